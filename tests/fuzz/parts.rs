//! A message taken apart without the product's own reader: what came in beside what went out.

/// Names of header fields that a proxy owns.
const OWNED: [&str; 7] = ["via", "v", "record-route", "route", "max-forwards", "max-breadth", ""];

/// The first line, the header fields with their continuation lines, and what is behind the empty line.
pub(crate) fn taken_apart(message: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>, Vec<u8>) {
    let start = message.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
    let message = &message[start..];
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").expect("a head that ends");
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in message[..end].split(|byte| *byte == b'\n') {
        match lines.last_mut().filter(|_| line.starts_with(b" ") || line.starts_with(b"\t")) {
            Some(last) => last.extend_from_slice(&[b"\n", line].concat()),
            None => lines.push(line.to_vec()),
        }
    }
    (lines.remove(0), lines, message[end + 4..].to_vec())
}

/// The name of a header field in small letters.
pub(crate) fn name(line: &[u8]) -> String {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    String::from_utf8_lossy(name).trim_ascii_end().to_ascii_lowercase()
}

/// The fields that a proxy passes on untouched, in order.
pub(crate) fn untouched(lines: &[Vec<u8>]) -> Vec<&[u8]> {
    let theirs = lines.iter().filter(|line| !OWNED.contains(&name(line).as_str()));
    theirs.map(|line| line.trim_ascii_end()).collect()
}

/// All Via fields, in order.
pub(crate) fn vias(lines: &[Vec<u8>]) -> Vec<&[u8]> {
    lines.iter().filter(|line| ["via", "v"].contains(&name(line).as_str())).map(|line| line.trim_ascii_end()).collect()
}
