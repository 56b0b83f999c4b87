//! One owner per call: which shard holds the transactions, dialog and timers of a Call-ID.

/// Bytes of the Call-ID that count. A kernel program that steers datagrams must be able to compute the same in a few
/// instructions, so the hash is plain; the tables behind it use seeded ones.
const CALL_ID_BYTES: usize = 32;

/// Which shard this is, and how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardId {
    /// Its number, from 0.
    pub index: u32,
    /// How many shards the process has, at least 1.
    pub count: u32,
}

/// The shard that owns the calls with this Call-ID. It reads the first 32 bytes, up to the first white space or control byte.
#[must_use]
pub fn owner_of(call_id: &[u8], shards: u32) -> u32 {
    let mut hash = 0u32;
    for byte in call_id.get(..CALL_ID_BYTES).unwrap_or(call_id) {
        if *byte <= b' ' {
            break;
        }
        hash = hash.wrapping_mul(31).wrapping_add(u32::from(*byte));
    }
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(0x2c1b_3c6d);
    hash ^= hash >> 12;
    hash % shards.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_ids_of_real_user_agents_spread_evenly() {
        let mut shares = [0u32; 8];
        for n in 1..=8000u32 {
            shares[owner_of(format!("{n}-24421@127.0.0.1").as_bytes(), 8) as usize] += 1;
        }
        assert!(shares.iter().all(|share| (850..1150).contains(share)), "{shares:?}");
    }

    #[test]
    fn what_follows_the_value_does_not_change_the_owner() {
        assert_eq!(owner_of(b"abc@h", 7), owner_of(b"abc@h \r\n x", 7));
        assert_eq!(owner_of(b"abc", 0), 0);
    }
}
