//! Places in a message.

/// A range of bytes in one message: offsets from its first byte. The empty span at 0 stands for "not there".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

impl Span {
    /// The range `start..end`; offsets beyond 4 GiB cannot occur, since messages are bounded by
    /// [`crate::limits::DATAGRAM_BYTES_MAX`].
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes that it covers in `bytes`; nothing when it reaches beyond them.
    #[must_use]
    pub fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Length, bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it covers nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether something is there: a span that was never set is `0..0`.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.end != 0
    }
}
