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
#[inline]
pub fn put_number(number: u32, text: &mut [u8]) -> usize {
    let (mut left, mut length) = (number / 10, 1);
    while left > 0 {
        (left, length) = (left / 10, length + 1);
    }
    let length = length.min(text.len());
    left = number;
    for place in text[..length].iter_mut().rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    length
}

/// Writes an IP address, IPv6 without brackets, at the start of `text`, which must have 45 bytes; its length.
pub fn put_ip(address: IpAddr, text: &mut [u8]) -> usize {
    match address {
        IpAddr::V4(address) => {
            let Some(text) = text.first_chunk_mut() else { return 0 };
            let mut at = 0;
            for octet in address.octets() {
                at = put_octet(octet, text, at);
            }
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

/// Each octet with a dot behind it, and how long that is.
static OCTETS: [([u8; 4], u8); 256] = octets();

const fn octets() -> [([u8; 4], u8); 256] {
    let mut table = [([0; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let (hundreds, tens, ones) =
            (b'0' + (octet / 100) as u8, b'0' + (octet / 10 % 10) as u8, b'0' + (octet % 10) as u8);
        table[octet] = match octet {
            0..10 => ([ones, b'.', 0, 0], 2),
            10..100 => ([tens, ones, b'.', 0], 3),
            _ => ([hundreds, tens, ones, b'.'], 4),
        };
        octet += 1;
    }
    table
}

/// Writes `octet` and a dot at `at`; where they end.
#[inline]
fn put_octet(octet: u8, text: &mut [u8; 17], at: usize) -> usize {
    let (digits, length) = OCTETS[usize::from(octet)];
    if let Some(place) = text.get_mut(at..at + 4) {
        place.copy_from_slice(&digits);
    }
    at + usize::from(length)
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
