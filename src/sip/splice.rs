//! Writes a message anew with a few places changed; every other byte is copied as it stands (RFC 3261 §16.6 item 1: no header
//! is removed or reordered, the body is untouched).

use super::Span;

/// Changes that one message can get without growing.
const EDITS: usize = 16;
/// Bytes of new text that one message can get without growing.
const TEXT: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Edit {
    /// What goes away.
    at: Span,
    /// What comes in its place: a part of the new text.
    text: Span,
}

/// A list of changes to one message, kept and reused so that it allocates nothing in the long run.
#[derive(Clone, Debug, Default)]
pub struct Splice {
    edits: Vec<Edit>,
    text: Vec<u8>,
}

impl Splice {
    /// Room for the changes of one ordinary message.
    #[must_use]
    pub fn new() -> Self {
        Self { edits: Vec::with_capacity(EDITS), text: Vec::with_capacity(TEXT) }
    }

    /// Forgets all changes.
    pub fn clear(&mut self) {
        self.edits.clear();
        self.text.clear();
    }

    /// Puts `bytes` before the byte at `at`. Insertions at one place keep their order.
    pub fn insert_bytes(&mut self, at: u32, bytes: &[u8]) {
        self.replace_bytes(Span { start: at, end: at }, bytes);
    }

    /// Puts `bytes` in the place of `at`.
    pub fn replace_bytes(&mut self, at: Span, bytes: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        self.push(at, start);
    }

    /// Puts what `write` appends in the place of `at`.
    pub fn replace_with(&mut self, at: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        write(&mut self.text);
        self.push(at, start);
    }

    /// Takes `at` away.
    pub fn remove(&mut self, at: Span) {
        self.replace_bytes(at, b"");
    }

    #[inline]
    fn push(&mut self, at: Span, text_start: usize) {
        let edit = Edit { at, text: Span::new(text_start, self.text.len()) };
        // Changes mostly come in the order of their places.
        if self.edits.last().is_none_or(|last| last.at.start <= at.start) {
            return self.edits.push(edit);
        }
        let place = self.edits.iter().rposition(|other| other.at.start <= at.start).map_or(0, |index| index + 1);
        self.edits.insert(place, edit);
    }

    /// Appends the first `end` bytes of `message` to `out`, with all changes made. Where two changes overlap the later one loses
    /// what the earlier one has already replaced.
    pub fn write(&self, message: &[u8], end: usize, out: &mut Vec<u8>) {
        self.write_part(message, Span::new(0, end), out);
    }

    /// Appends the part `part` of `message` to `out`, with all changes made; all of them must lie in it.
    pub fn write_part(&self, message: &[u8], part: Span, out: &mut Vec<u8>) {
        let (mut done, end) = (part.start as usize, part.end as usize);
        for edit in &self.edits {
            let (start, stop) = (edit.at.start as usize, edit.at.end as usize);
            if start > done {
                append(message, Span::new(done, start.min(end)), out);
            }
            append(&self.text, edit.text, out);
            done = done.max(stop);
        }
        if done < end {
            out.extend_from_slice(&message[done..end]);
        }
    }
}

/// Appends the part `part` of `bytes`. Most parts are a few bytes long, and quicker copied with what is behind them than one by one.
#[inline]
fn append(bytes: &[u8], part: Span, out: &mut Vec<u8>) {
    const SHORT: usize = 16;
    match bytes.get(part.start as usize..).and_then(<[u8]>::first_chunk::<SHORT>) {
        Some(chunk) if part.len() <= SHORT => {
            out.extend_from_slice(chunk);
            out.truncate(out.len() - (SHORT - part.len()));
        }
        _ => out.extend_from_slice(part.of(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_in_place_order_whatever_order_they_came_in() {
        let mut splice = Splice::new();
        splice.remove(Span::new(6, 8));
        splice.replace_with(Span::new(2, 2), |text| text.extend_from_slice(b"12"));
        splice.insert_bytes(2, b"34");
        splice.replace_bytes(Span::new(0, 1), b"AA");
        let mut out = Vec::new();
        splice.write(b"abcdefghij", 9, &mut out);
        assert_eq!(out, b"AAb1234cdefi");
        splice.clear();
        out.clear();
        splice.write(b"abc", 3, &mut out);
        assert_eq!(out, b"abc");
    }
}
