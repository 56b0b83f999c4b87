//! What we write into messages to find our own things again: branch values, dialog cookies, To tags.
//!
//! A branch is `z9hG4bK` (RFC 3261 §8.1.1.7), a letter, slot and generation of the client transaction, a keyed check, and the
//! loop detection part (RFC 5393 §4.2): a response finds its transaction by index, not by hash, and a forged or old one finds
//! nothing. Generations start at random, so branches stay unique over restarts.

use super::slab::Id;
use core::hash::{BuildHasher, Hash};
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// How the branch of a probe begins: its answers belong to the prober, not to a call.
pub const PROBE_BRANCH: &[u8] = b"z9hG4bKp";
/// How the branch of a client transaction begins.
const TRANSACTION_BRANCH: &[u8; 8] = b"z9hG4bKs";
/// How the branch of a statelessly forwarded ACK begins.
const STATELESS_BRANCH: &[u8; 8] = b"z9hG4bKa";

/// A branch value as written.
pub(crate) type BranchText = [u8; 40];
/// A dialog cookie as written.
pub(crate) type CookieText = [u8; 24];

/// Bytes of a To tag of ours.
pub(crate) const OWN_TAG_BYTES: usize = 8;

/// Keyed hashes of one shard. The key comes from outside, once.
#[derive(Debug)]
pub(crate) struct Keys {
    state: SeedableRandomState,
}

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()) }
    }

    /// A 64-bit keyed hash.
    #[inline]
    pub(crate) fn hash(&self, value: impl Hash) -> u64 {
        self.state.hash_one(value)
    }

    fn check(&self, kind: u8, id: Id) -> u32 {
        self.hash((kind, id.index, id.generation)) as u32
    }

    /// The branch of client transaction `id`, with the loop detection part `fingerprint`.
    pub(crate) fn branch(&self, id: Id, fingerprint: u32) -> BranchText {
        let mut text = [0; 40];
        text[..8].copy_from_slice(TRANSACTION_BRANCH);
        for (at, word) in [id.index, id.generation, self.check(b's', id), fingerprint].into_iter().enumerate() {
            text[8 + at * 8..16 + at * 8].copy_from_slice(&hex(word));
        }
        text
    }

    /// The branch of an ACK that is forwarded without a transaction: the same for each retransmission (RFC 3261 §16.11).
    pub(crate) fn stateless_branch(&self, received: u64, fingerprint: u32) -> BranchText {
        let mut text = [0; 40];
        text[..8].copy_from_slice(STATELESS_BRANCH);
        let words = [(received >> 32) as u32, received as u32, self.hash((b'a', received)) as u32, fingerprint];
        for (at, word) in words.into_iter().enumerate() {
            text[8 + at * 8..16 + at * 8].copy_from_slice(&hex(word));
        }
        text
    }

    /// The client transaction that a branch of ours names; `None` when we did not write it.
    pub(crate) fn transaction(&self, branch: &[u8]) -> Option<Id> {
        self.named(branch, TRANSACTION_BRANCH)
    }

    /// The branch of a probe: `id` is the prober's own numbering.
    #[cfg(any(feature = "io", test))]
    pub(crate) fn probe_branch(&self, id: Id) -> BranchText {
        let mut text = self.branch(id, 0);
        text[..8].copy_from_slice(PROBE_BRANCH);
        text[24..32].copy_from_slice(&hex(self.check(b'p', id)));
        text
    }

    /// The probe that a branch of ours names; `None` when we did not write it.
    #[cfg(any(feature = "io", test))]
    pub(crate) fn probe(&self, branch: &[u8]) -> Option<Id> {
        self.named(branch, PROBE_BRANCH)
    }

    fn named(&self, branch: &[u8], start: &[u8]) -> Option<Id> {
        let words = branch.strip_prefix(start).filter(|rest| rest.len() == 32)?;
        let id = Id { index: unhex(&words[..8])?, generation: unhex(&words[8..16])? };
        (unhex(&words[16..24])? == self.check(start[7], id)).then_some(id)
    }

    /// The cookie of dialog `id`.
    pub(crate) fn cookie(&self, id: Id) -> CookieText {
        let mut text = [0; 24];
        for (at, word) in [id.index, id.generation, self.check(b'd', id)].into_iter().enumerate() {
            text[at * 8..at * 8 + 8].copy_from_slice(&hex(word));
        }
        text
    }

    /// The dialog that a cookie of ours names; `None` when we did not write it.
    pub(crate) fn dialog(&self, cookie: &[u8]) -> Option<Id> {
        if cookie.len() != 24 {
            return None;
        }
        let id = Id { index: unhex(&cookie[..8])?, generation: unhex(&cookie[8..16])? };
        (unhex(&cookie[16..])? == self.check(b'd', id)).then_some(id)
    }

    /// A To tag for our own answers to the request with this hash: the same each time (RFC 3261 §8.2.7).
    pub(crate) fn to_tag(&self, request: u64) -> [u8; OWN_TAG_BYTES] {
        hex(self.hash((b't', request)) as u32)
    }
}

/// The loop detection part of a branch that one of us wrote.
pub(crate) fn fingerprint_of(branch: &[u8]) -> Option<u32> {
    let ours = branch.len() == 40 && (branch.starts_with(TRANSACTION_BRANCH) || branch.starts_with(STATELESS_BRANCH));
    if ours { unhex(&branch[32..]) } else { None }
}

/// All eight digits at once, one in each byte.
fn hex(word: u32) -> [u8; 8] {
    let mut digits = u64::from(word);
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // Six more carry a digit above 9 into the next four bits.
    let letters = (digits + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (digits + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// All eight digits at once; `None` for anything that [`hex`] does not write.
fn unhex(text: &[u8]) -> Option<u32> {
    let text = u64::from_be_bytes(text.try_into().ok()?);
    // Letters have this bit, and count from 1.
    let letters = text >> 6 & 0x0101_0101_0101_0101;
    let mut digits = (text & 0x0f0f_0f0f_0f0f_0f0f) + letters * 9;
    digits = (digits | digits >> 4) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits >> 8) & 0x0000_ffff_0000_ffff;
    let word = (digits | digits >> 16) as u32;
    (hex(word) == text.to_be_bytes()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_finds_its_transaction_and_a_forged_one_finds_nothing() {
        let keys = Keys::new(7);
        let id = Id { index: 3, generation: 0xdead_beef };
        let branch = keys.branch(id, 0x1234);
        // RFC 3261 §8.1.1.7: the magic cookie.
        assert!(branch.starts_with(b"z9hG4bK"));
        assert_eq!(keys.transaction(&branch), Some(id));
        assert_eq!(fingerprint_of(&branch), Some(0x1234));
        for at in 8..32 {
            let mut forged = branch;
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(keys.transaction(&forged), None, "{at}");
        }
        assert_eq!(Keys::new(8).transaction(&branch), None);
        assert_eq!(keys.transaction(b"z9hG4bKs"), None);
    }

    #[test]
    fn the_branch_of_a_probe_is_no_calls() {
        let keys = Keys::new(7);
        let id = Id { index: 3, generation: 4 };
        let branch = keys.probe_branch(id);
        assert!(branch.starts_with(PROBE_BRANCH));
        assert_eq!((keys.probe(&branch), keys.transaction(&branch)), (Some(id), None));
        assert_eq!(keys.probe(&keys.branch(id, 0)), None);
    }

    #[test]
    fn a_cookie_finds_its_dialog_and_is_no_branch() {
        let keys = Keys::new(7);
        let id = Id { index: 9, generation: 1 };
        let cookie = keys.cookie(id);
        assert_eq!(keys.dialog(&cookie), Some(id));
        assert_eq!(Keys::new(1).dialog(&cookie), None);
        assert_eq!(keys.dialog(b""), None);
    }

    #[test]
    fn words_are_written_as_eight_digits_and_read_back() {
        for word in [0, 1, 9, 0xa, 0x0123_4567, 0x89ab_cdef, 0x90a9_0f9a, u32::MAX] {
            assert_eq!(hex(word), format!("{word:08x}").as_bytes(), "{word}");
            assert_eq!(unhex(&hex(word)), Some(word));
        }
        // Every other byte, at every place, is refused.
        for (place, byte) in (0..8).flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte))) {
            let mut text = *b"01239abf";
            text[place] = byte;
            let plain = byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
            let wanted = plain.then(|| u32::from_str_radix(str::from_utf8(&text).unwrap(), 16).unwrap());
            assert_eq!(unhex(&text), wanted, "{place} {byte}");
        }
        assert_eq!((unhex(b"0123456"), unhex(b"012345678")), (None, None));
    }

    #[test]
    fn a_stateless_branch_is_the_same_for_the_same_request() {
        let keys = Keys::new(7);
        assert_eq!(keys.stateless_branch(5, 6), keys.stateless_branch(5, 6));
        assert_ne!(keys.stateless_branch(5, 6), keys.stateless_branch(4, 6));
        assert_eq!(keys.transaction(&keys.stateless_branch(5, 6)), None);
    }
}
