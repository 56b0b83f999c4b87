//! The few calls by which the kernel gets a steering program.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

// linux/bpf.h
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const MAP_TYPE_REUSEPORT_SOCKARRAY: u32 = 20;
const PROG_TYPE_SK_REUSEPORT: u32 = 21;
/// Of a program that uses no helper that asks for the GPL.
const LICENSE: &[u8] = b"Dual MIT/GPL\0";

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries_max: u32,
    flags: u32,
}

#[repr(C)]
struct MapUpdate {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// A map of `sockets` sockets of one SO_REUSEPORT group, each at its own place.
pub(super) fn socket_map(sockets: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    let create = MapCreate {
        map_type: MAP_TYPE_REUSEPORT_SOCKARRAY,
        key_bytes: 4,
        value_bytes: 8,
        entries_max: sockets.len() as u32,
        flags: 0,
    };
    let map = descriptor(bpf(MAP_CREATE, &create)?);
    for (key, socket) in (0u32..).zip(sockets) {
        let value = socket.as_raw_fd() as u64;
        let update = MapUpdate {
            map: map.as_raw_fd() as u32,
            padding: 0,
            key: (&raw const key) as u64,
            value: (&raw const value) as u64,
            flags: 0,
        };
        bpf(MAP_UPDATE_ELEM, &update)?;
    }
    Ok(map)
}

/// The program, verified.
pub(super) fn load(code: &[u64]) -> io::Result<OwnedFd> {
    let load = ProgLoad {
        prog_type: PROG_TYPE_SK_REUSEPORT,
        instructions: code.len() as u32,
        code: code.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: 0,
        log_bytes: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    bpf(PROG_LOAD, &load).map(descriptor)
}

/// Gives the group of `socket` this program.
pub(super) fn attach_ebpf(socket: BorrowedFd<'_>, program: &OwnedFd) -> io::Result<()> {
    set(socket, libc::SO_ATTACH_REUSEPORT_EBPF, &program.as_raw_fd())
}

/// Gives the group of `socket` this classic program: its result is the number of a socket in the order in which they were bound.
pub(super) fn attach_classic(socket: BorrowedFd<'_>, code: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_ptr().cast_mut() };
    set(socket, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

fn set<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    let bytes = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `bytes` bytes of `value`, and what a classic program points to, during the call.
    match unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, core::ptr::from_ref(value).cast(), bytes)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<RawFd> {
    // SAFETY: the kernel reads the attributes, whose size is told, and the memory that they point to, which outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, core::ptr::from_ref(attributes), size_of::<T>() as libc::c_uint)
    };
    RawFd::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}

fn descriptor(raw: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
