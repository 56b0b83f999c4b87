//! What one turn wants to send: bytes in one arena, reused for ever.

use super::settings::SocketId;
use crate::limits;
use std::net::SocketAddr;

/// One datagram to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit<'a> {
    /// By which socket.
    pub socket: SocketId,
    /// Where to.
    pub destination: SocketAddr,
    /// The message.
    pub bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    socket: SocketId,
    destination: SocketAddr,
    start: usize,
    end: usize,
}

/// The datagrams of one turn, in order. Cleared by the shard after they are sent.
#[derive(Debug)]
pub struct Outbox {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    full_at: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// With room for [`limits::OUTBOX_BYTES`] and one more datagram.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(limits::OUTBOX_BYTES),
            entries: Vec::with_capacity(2048),
            full_at: limits::OUTBOX_BYTES - 4 * limits::DATAGRAM_BYTES_MAX,
        }
    }

    /// The same, which is full with so many bytes already.
    #[must_use]
    pub fn full_at(bytes: usize) -> Self {
        Self { full_at: bytes, ..Self::new() }
    }

    /// Forgets everything; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Datagrams in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the shard must send before it goes on.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= self.full_at
    }

    /// The datagrams in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Transmit<'_>> {
        self.entries.iter().map(|entry| self.transmit(entry))
    }

    /// Datagram number `at`.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<Transmit<'_>> {
        self.entries.get(at).map(|entry| self.transmit(entry))
    }

    fn transmit(&self, entry: &Entry) -> Transmit<'_> {
        let Entry { socket, destination, start, end } = *entry;
        Transmit { socket, destination, bytes: &self.bytes[start..end] }
    }

    /// Adds the datagram that `write` appends to the arena, and gives its bytes.
    pub(crate) fn push(
        &mut self,
        socket: SocketId,
        destination: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> &[u8] {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let end = self.bytes.len();
        self.entries.push(Entry { socket, destination, start, end });
        &self.bytes[start..end]
    }

    /// Takes the last datagram back.
    pub(crate) fn unpush(&mut self) {
        if let Some(entry) = self.entries.pop() {
            self.bytes.truncate(entry.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_in_order_and_the_last_can_be_taken_back() {
        let mut out = Outbox::new();
        let to = "192.0.2.1:5060".parse().unwrap();
        assert_eq!(out.push(SocketId(0), to, |bytes| bytes.extend(b"one")), b"one");
        out.push(SocketId(1), to, |bytes| bytes.extend(b"two"));
        out.push(SocketId(1), to, |bytes| bytes.extend(b"three"));
        out.unpush();
        let got: Vec<_> = out.iter().map(|t| (t.socket.0, t.bytes)).collect();
        assert_eq!(got, [(0, &b"one"[..]), (1, b"two")]);
        out.clear();
        assert!(out.is_empty() && !out.is_full());
    }
}
