//! What a call is called: its number, the Call-ID made of it, and how much longer its messages are than the shortest.

use crate::mix::Kind;

/// Digits of a call's number.
pub(crate) const DIGITS: usize = 16;
/// Digits of a run's id.
const RUN_DIGITS: usize = 8;
/// What ends our Call-IDs.
pub(crate) const CALL_ID_END: &[u8] = b"@siplane-load";
/// What makes messages longer.
const FILLER: [u8; 128] = [b'x'; 128];

/// Two hexadecimal digits of each byte.
const PAIRS: [[u8; 2]; 256] = {
    let (digits, mut pairs, mut at) = (b"0123456789abcdef", [[0; 2]; 256], 0);
    while at < 256 {
        pairs[at] = [digits[at >> 4], digits[at & 15]];
        at += 1;
    }
    pairs
};

/// Reads eight hexadecimal digits at once; what others would give is nobody's.
const fn eight(digits: [u8; 8]) -> u32 {
    const LOW: u64 = 0x0f0f_0f0f_0f0f_0f0f;
    let letters = u64::from_be_bytes(digits);
    // Letters have the bit of 64; `a` is 0x61.
    let nibbles = (letters & LOW) + 9 * (letters >> 6 & 0x0101_0101_0101_0101);
    let bytes = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    (pairs | pairs >> 16) as u32
}

/// A call: its place in the tables, and which of the calls at that place it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Number {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Number {
    /// As it stands in messages. The generation changes fastest and comes last of the 16.
    #[inline]
    pub(crate) fn digits(self) -> [u8; DIGITS] {
        let value = (u64::from(self.slot) << 32 | u64::from(self.generation)).to_be_bytes();
        let (mut digits, mut at) = ([0; DIGITS], 0);
        for byte in value {
            [digits[at], digits[at + 1]] = PAIRS[usize::from(byte)];
            at += 2;
        }
        digits
    }

    /// Reads [`Number::digits`].
    #[inline]
    pub(crate) fn read(digits: &[u8]) -> Option<Self> {
        let digits: &[u8; DIGITS] = digits.first_chunk()?;
        let (halves, _) = digits.as_chunks();
        let number = Self { slot: eight(halves[0]), generation: eight(halves[1]) };
        // What was no such digit does not come back as it was.
        (number.digits() == *digits).then_some(number)
    }
}

/// By how many bytes the parts of a call's messages are longer than the shortest.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Lengths {
    /// The caller's user part.
    user: u8,
    call_id: u8,
    /// The line that bodies end with has so many; `None`: they have no such line.
    body: Option<u8>,
}

impl Lengths {
    pub(crate) fn user(self) -> &'static [u8] {
        &FILLER[..self.user.into()]
    }

    pub(crate) fn call_id(self) -> &'static [u8] {
        &FILLER[..self.call_id.into()]
    }

    /// What a body of ours has behind its usual lines.
    pub(crate) fn body(self) -> [&'static [u8]; 3] {
        self.body.map_or([&[]; 3], |bytes| [b"a=x:", &FILLER[..bytes.into()], b"\r\n"])
    }

    /// Whether `body` is the usual one and what follows it.
    pub(crate) fn is_body(self, body: &[u8], usual: &[u8]) -> bool {
        let rest = self.body().iter().try_fold(body.strip_prefix(usual), |rest, part| Some(rest?.strip_prefix(*part)));
        rest.flatten().is_some_and(<[u8]>::is_empty)
    }
}

/// What tells this run's calls from those of another, and whether their messages differ in size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    id: [u8; RUN_DIGITS],
    vary: bool,
}

impl Run {
    pub(crate) fn new(id: u32, vary: bool) -> Self {
        let mut digits = [0; RUN_DIGITS];
        digits.copy_from_slice(&Number { slot: id, generation: 0 }.digits()[..RUN_DIGITS]);
        Self { id: digits, vary }
    }

    /// Its digits, as they stand in Call-IDs.
    pub(crate) fn id(&self) -> &str {
        core::str::from_utf8(&self.id).unwrap_or_default()
    }

    /// How long this call's messages are: both sides know it by the number alone.
    #[inline]
    pub(crate) fn lengths(self, number: Number) -> Lengths {
        if !self.vary {
            return Lengths::default();
        }
        let mixed = (u64::from(number.slot) << 32 | u64::from(number.generation)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let part = |shift: u32, below: u64| (mixed >> shift & (below - 1)) as u8;
        Lengths { user: part(60, 16), call_id: part(55, 32), body: Some(part(48, 128)) }
    }

    /// The call that a Call-ID of ours names, and its kind.
    #[inline]
    pub(crate) fn read(self, call_id: &[u8]) -> Option<(Number, Kind)> {
        let (number, (&letter, rest)) = (Number::read(call_id)?, call_id.get(DIGITS..)?.split_first()?);
        let end = rest.strip_prefix(b"-")?.strip_prefix(&self.id)?.strip_prefix(self.lengths(number).call_id())?;
        (end == CALL_ID_END).then_some((number, Kind::of_letter(letter)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_their_digits() {
        let number = Number { slot: 0x1234, generation: 0xdead_beef };
        assert_eq!(&number.digits(), b"00001234deadbeef");
        for number in [Number { slot: 0, generation: 0 }, Number { slot: u32::MAX, generation: 7 }, number] {
            assert_eq!(Number::read(&number.digits()), Some(number));
        }
        for wrong in [&b"00001234DEADBEEF"[..], b"0000", b"0000000g00000000", b"000000000000000\xff"] {
            assert_eq!(Number::read(wrong), None);
        }
    }

    #[test]
    fn sizes_vary_from_call_to_call_only_where_they_are_to() {
        let numbers = || (0..1000).map(|slot| Number { slot, generation: 1 });
        let distinct = |run: Run| {
            let sums = numbers().map(|number| run.lengths(number)).map(|of| of.user().len() + of.call_id().len());
            sums.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((distinct(Run::new(1, false)), distinct(Run::new(1, true))), (1, 16 + 32 - 1));
        let bodies: std::collections::BTreeSet<_> =
            numbers().map(|number| Run::new(1, true).lengths(number).body()[1].len()).collect();
        assert_eq!(bodies.len(), 128);
    }

    #[test]
    fn a_body_is_ours_only_with_all_that_follows_the_usual_one() {
        let longer = Lengths { body: Some(2), ..Lengths::default() };
        for (lengths, body, ours) in [
            (Lengths::default(), &b"usual"[..], true),
            (Lengths::default(), b"usual ", false),
            (longer, b"usuala=x:xx\r\n", true),
            (longer, b"usuala=x:x\r\n", false),
            (longer, b"usuala=x:xx\r\nmore", false),
            (longer, b"usual", false),
        ] {
            assert_eq!(lengths.is_body(body, b"usual"), ours, "{lengths:?}, {body:?}");
        }
    }

    #[test]
    fn a_call_id_with_another_length_is_not_ours() {
        let (run, number) = (Run::new(0xabc, true), Number { slot: 3, generation: 4 });
        let of = |filler: &[u8]| [&number.digits()[..], b"o-00000abc", filler, CALL_ID_END].concat();
        let filler = run.lengths(number).call_id();
        assert!(!filler.is_empty());
        assert_eq!(run.read(&of(filler)), Some((number, Kind::Ok)));
        assert_eq!(run.read(&of(&filler[1..])), None);
        assert_eq!(Run::new(0xabd, true).read(&of(filler)), None);
    }
}
