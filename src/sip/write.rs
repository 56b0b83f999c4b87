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
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                push_number(u32::from(octet), out);
            }
        }
        // Writing to a Vec does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
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
