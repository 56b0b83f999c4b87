//! Pieces of bytes of a bounded size, kept under a handle: what a retransmission is made of.

/// Bytes of one piece: a head with a few Vias and Record-Routes, or a dialog's route set and target.
pub(crate) const PIECE_BYTES: usize = 1536;
/// Pieces that are allocated together.
const BLOCK_PIECES: usize = 256;

/// A piece's place; [`Handle::NONE`] is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Handle(u32);

impl Handle {
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// Memory grows by blocks to the largest number of pieces held at once, and stays.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    blocks: Vec<Vec<u8>>,
    bytes: Vec<u16>,
    free: Vec<u32>,
}

impl Pool {
    /// Keeps a copy of `parts`, one after the other; `None` when they are too long together.
    pub(crate) fn keep(&mut self, parts: &[&[u8]]) -> Option<Handle> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if total > PIECE_BYTES {
            return None;
        }
        let at = self.free.pop().unwrap_or_else(|| self.grow());
        let piece = &mut self.blocks[at as usize / BLOCK_PIECES][at as usize % BLOCK_PIECES * PIECE_BYTES..];
        let mut end = 0;
        for part in parts {
            piece[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        self.bytes[at as usize] = total as u16;
        Some(Handle(at))
    }

    /// What was kept; nothing for [`Handle::NONE`].
    pub(crate) fn get(&self, handle: Handle) -> &[u8] {
        if handle == Handle::NONE {
            return &[];
        }
        let at = handle.0 as usize;
        &self.blocks[at / BLOCK_PIECES][at % BLOCK_PIECES * PIECE_BYTES..][..usize::from(self.bytes[at])]
    }

    /// Gives a piece back and forgets its handle.
    pub(crate) fn release(&mut self, handle: &mut Handle) {
        if *handle != Handle::NONE {
            self.free.push(handle.0);
            *handle = Handle::NONE;
        }
    }

    fn grow(&mut self) -> u32 {
        let first = self.bytes.len() as u32;
        self.blocks.push(vec![0; BLOCK_PIECES * PIECE_BYTES]);
        self.bytes.resize(self.bytes.len() + BLOCK_PIECES, 0);
        self.free.extend((first + 1..first + BLOCK_PIECES as u32).rev());
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_whole_and_its_room_is_used_again() {
        let mut pool = Pool::default();
        let mut handles: Vec<_> = (0..600u32).map(|n| pool.keep(&[b"n=", n.to_string().as_bytes()]).unwrap()).collect();
        for (n, handle) in handles.iter().enumerate() {
            assert_eq!(pool.get(*handle), format!("n={n}").as_bytes());
        }
        let blocks = pool.blocks.len();
        handles.iter_mut().for_each(|handle| pool.release(handle));
        assert!(handles.iter().all(|handle| *handle == Handle::NONE && pool.get(*handle).is_empty()));
        (0..600).for_each(|_| assert!(pool.keep(&[b"x"]).is_some()));
        assert_eq!(pool.blocks.len(), blocks);
        assert!(pool.keep(&[&[0; PIECE_BYTES], b"x"]).is_none());
    }
}
