//! Who holds a UDP address, for the message that says that we cannot have it.
//!
//! The kernel lists sockets with their inode, and each process's open files by inode. What may not be read is passed over: the
//! answer is a help, not a promise.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The process that holds `address`, or an address that stands in its way, as `name (pid 17)`.
pub(super) fn occupant(address: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .find_map(|list| inode_of(&fs::read_to_string(list).ok()?, address))?;
    let target = format!("socket:[{inode}]");
    let is_process = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let process = fs::read_dir("/proc").ok()?.flatten().filter(is_process).find(|process| {
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| link.as_os_str() == target.as_str())
    })?;
    let name = fs::read_to_string(process.path().join("comm")).ok()?;
    Some(format!("{} (pid {})", name.trim(), process.file_name().display()))
}

/// Lines look like `  12: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000  0  0 12345 2 …`: the second
/// column is the local address in words of host order, the tenth the inode.
fn inode_of(list: &str, wanted: SocketAddr) -> Option<u64> {
    list.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        let (ip, port) = columns.nth(1)?.split_once(':')?;
        let in_the_way = u16::from_str_radix(port, 16).ok()? == wanted.port() && clash(address_of(ip)?, wanted.ip());
        in_the_way.then(|| columns.nth(7)?.parse().ok()).flatten()
    })
}

/// An unspecified address takes every other one of its family.
fn clash(held: IpAddr, wanted: IpAddr) -> bool {
    held.is_ipv4() == wanted.is_ipv4() && (held == wanted || held.is_unspecified() || wanted.is_unspecified())
}

fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (at, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at * 8)?);
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn the_holder_of_a_socket_is_found() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(bind) else { continue };
            let found = occupant(socket.local_addr().unwrap()).unwrap();
            assert!(found.ends_with(&format!("(pid {})", std::process::id())), "{found}");
        }
    }

    #[test]
    fn an_address_clashes_with_itself_and_the_unspecified_one_of_its_family() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(clash(ip("0.0.0.0"), ip("127.0.0.1")) && clash(ip("::1"), ip("::")) && clash(ip("::1"), ip("::1")));
        assert!(!clash(ip("127.0.0.2"), ip("127.0.0.1")) && !clash(ip("::"), ip("127.0.0.1")));
    }
}
