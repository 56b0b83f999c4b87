//! Which addresses this machine has, by interface.

use core::ptr::null_mut;
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The names of the interfaces that are up, each with its addresses, in the kernel's order (getifaddrs(3)).
///
/// # Errors
/// When the process may open no more descriptors.
pub fn interfaces() -> io::Result<Vec<(String, IpAddr)>> {
    let mut first: *mut libc::ifaddrs = null_mut();
    // SAFETY: getifaddrs writes one pointer to `first`.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: the list is ours until it is freed; each entry is valid and names the next, or null.
    while let Some(entry) = unsafe { next.as_ref() } {
        found.extend(address(entry).map(|address| (name(entry), address)));
        next = entry.ifa_next;
    }
    // SAFETY: `first` is what getifaddrs gave, and nothing refers to the list any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

fn name(entry: &libc::ifaddrs) -> String {
    // SAFETY: each entry has a name that ends with a zero byte and lives as long as the list.
    unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy().into_owned()
}

fn address(entry: &libc::ifaddrs) -> Option<IpAddr> {
    if entry.ifa_addr.is_null() || entry.ifa_flags & libc::IFF_UP as u32 == 0 {
        return None;
    }
    // SAFETY: not null, and every address begins with its family.
    match i32::from(unsafe { (*entry.ifa_addr).sa_family }) {
        libc::AF_INET => {
            // SAFETY: an address of this family is a sockaddr_in; read as bytes may lie.
            let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: an address of this family is a sockaddr_in6; read as bytes may lie.
            let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_its_address() {
        let found = interfaces().unwrap();
        assert!(found.contains(&(String::from("lo"), Ipv4Addr::LOCALHOST.into())), "{found:?}");
    }
}
