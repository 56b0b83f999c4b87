//! Numbers and addresses as text, without the formatting machinery: they are written for every message.

use std::io::Write;
use std::net::IpAddr;

/// Appends a decimal number.
pub fn push_number(mut number: u32, out: &mut Vec<u8>) {
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
    out.extend_from_slice(&digits[at..]);
}

/// Appends an IP address, IPv6 without brackets.
pub fn push_ip(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            let (mut text, mut at) = ([b'.'; 16], 0);
            for octet in address.octets() {
                at = put_octet(octet, &mut text, at) + 1;
            }
            out.extend_from_slice(&text[..at - 1]);
        }
        // Writing to a Vec does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
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
        for address in ["192.0.2.1", "255.255.255.255", "0.0.0.0", "2001:db8::1"] {
            let mut out = Vec::new();
            push_ip(address.parse().unwrap(), &mut out);
            assert_eq!(out, address.as_bytes());
        }
    }
}
