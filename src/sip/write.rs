//! Numbers and addresses as text, without the formatting machinery: they are written for every message.

use std::io::Write;
use std::net::IpAddr;

/// Bytes of the longest IP address that [`put_ip`] writes.
const IP_BYTES: usize = 45;

/// Appends a decimal number.
pub fn push_number(number: u32, out: &mut Vec<u8>) {
    let mut text = [0; 10];
    let end = put_number(number, &mut text);
    out.extend_from_slice(&text[..end]);
}

/// Writes a decimal number at the start of `text`, which must have 10 bytes or enough for it; its length.
pub fn put_number(mut number: u32, text: &mut [u8]) -> usize {
    let mut digits = [0; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let length = (digits.len() - at).min(text.len());
    text[..length].copy_from_slice(&digits[at..at + length]);
    length
}

/// Writes an IP address, IPv6 without brackets, at the start of `text`, which must have 45 bytes; its length.
pub fn put_ip(address: IpAddr, text: &mut [u8]) -> usize {
    match address {
        IpAddr::V4(address) => {
            let (mut dotted, mut at) = ([b'.'; 16], 0);
            for octet in address.octets() {
                at = put_octet(octet, &mut dotted, at) + 1;
            }
            text[..at - 1].copy_from_slice(&dotted[..at - 1]);
            at - 1
        }
        IpAddr::V6(address) => {
            let room = text.len().min(IP_BYTES);
            let mut rest = &mut text[..room];
            // The room holds the longest address there is.
            let _ = write!(rest, "{address}");
            room - rest.len()
        }
    }
}

/// Writes `octet` at `at`; where it ends.
#[inline]
fn put_octet(octet: u8, text: &mut [u8; 16], mut at: usize) -> usize {
    if octet >= 100 {
        text[at & 15] = b'0' + octet / 100;
        at += 1;
    }
    if octet >= 10 {
        text[at & 15] = b'0' + octet / 10 % 10;
        at += 1;
    }
    text[at & 15] = b'0' + octet % 10;
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_they_are_read() {
        for number in [0, 7, 10, 4_294_967_295] {
            let mut out = Vec::new();
            push_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();
        assert_eq!(longest, IP_BYTES);
        for address in
            ["192.0.2.1", "255.255.255.255", "0.0.0.0", "2001:db8::1", "1111:2222:3333:4444:5555:6666:7777:8888"]
        {
            let mut text = [0; IP_BYTES];
            let length = put_ip(address.parse().unwrap(), &mut text);
            assert_eq!(&text[..length], address.as_bytes());
        }
    }
}
