//! What the program under test, and we ourselves, took of the processor, and what its sockets lost: from the kernel's own accounts.

use crate::io::Address;
use std::collections::BTreeSet;
use std::fs;

/// Processor time, nanoseconds. The total is exact; the kernel splits it into user and system by samples (4 to 10 ms each).
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Cpu {
    pub(crate) total: u64,
    pub(crate) user: u64,
    pub(crate) system: u64,
}

impl Cpu {
    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        let total = self.total.saturating_sub(before.total);
        let (user, system) = (self.user.saturating_sub(before.user), self.system.saturating_sub(before.system));
        // The two are ticks: their proportion is applied to the exact total.
        let user = (total as u128 * u128::from(user) / u128::from((user + system).max(1))) as u64;
        Self { total, user, system: total - user }
    }

    /// All processes together; one that is gone counts nothing.
    pub(crate) fn of(pids: &[i32]) -> Self {
        pids.iter().filter_map(|pid| one(*pid)).fold(Self::default(), |sum, one| Self {
            total: sum.total + one.total,
            user: sum.user + one.user,
            system: sum.system + one.system,
        })
    }
}

fn one(pid: i32) -> Option<Cpu> {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both calls write into values that live through them.
    let total = unsafe {
        if libc::clock_getcpuclockid(pid, &raw mut clock) != 0 || libc::clock_gettime(clock, &raw mut time) != 0 {
            return None;
        }
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (user, system) = ticks(&stat)?;
    Some(Cpu { total, user, system })
}

/// utime and stime of a `/proc/PID/stat` (proc_pid_stat(5): fields 14 and 15); the name before them may hold anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// `pids` and all that descend from them, as it is now.
pub(crate) fn with_descendants(pids: &[i32]) -> Vec<i32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: i32| (pid, parent)));
    }
    let mut found: BTreeSet<i32> = pids.iter().copied().collect();
    loop {
        let more: Vec<_> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return found.into_iter().collect();
        }
        found.extend(more);
    }
}

/// Datagrams that found no room so far: at sockets bound to `address`, and at those that the processes have.
pub(crate) fn drops(address: Address, pids: &[i32]) -> u64 {
    let inodes: BTreeSet<u64> = pids.iter().flat_map(|pid| sockets_of(*pid)).collect();
    let (local, any) = (table_form(address), format!("00000000:{:04X}", address.socket_address().port()));
    let is_meant = |row: &Row<'_>| row.local == local || row.local == any || inodes.contains(&row.inode);
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|table| table.lines().filter_map(row).filter(&is_meant).map(|row| row.drops).sum::<u64>())
        .sum()
}

fn table_form(address: Address) -> String {
    let address = address.socket_address();
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

struct Row<'a> {
    local: &'a str,
    inode: u64,
    drops: u64,
}

/// One row of `/proc/net/udp`; the heading is none.
fn row(line: &str) -> Option<Row<'_>> {
    let mut fields = line.split_ascii_whitespace();
    let (local, inode) = (fields.nth(1)?, fields.nth(7)?.parse().ok()?);
    Some(Row { local, inode, drops: fields.nth(2)?.parse().ok()? })
}

fn sockets_of(pid: i32) -> Vec<u64> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |link: fs::DirEntry| {
        let target = fs::read_link(link.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    links.filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_process_is_seen() {
        let pids = [std::process::id() as i32];
        let before = Cpu::of(&pids);
        let mut sum = 0u64;
        while Cpu::of(&pids).since(before).total < 30_000_000 {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        let used = Cpu::of(&pids).since(before);
        assert_eq!(used.user + used.system, used.total);
        assert_eq!(Cpu::of(&[i32::MAX]).total, 0);
    }

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 2 3 4 111 222 0 0 20 0 1 0 5";
        assert_eq!(ticks(stat), Some((111, 222)));
    }

    #[test]
    fn descendants_are_found() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = with_descendants(&[std::process::id() as i32]);
        assert!(found.contains(&(child.id() as i32)) && found.contains(&(std::process::id() as i32)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_row_of_the_kernels_table_is_read() {
        let line =
            "  411: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 48231 2 0 17";
        let row = row(line).unwrap();
        assert_eq!((row.local, row.inode, row.drops), ("0100007F:13C4", 48231, 17));
        assert_eq!(table_form("127.0.0.1:5060".parse::<std::net::SocketAddrV4>().unwrap().into()), row.local);
    }

    #[test]
    fn what_a_socket_of_a_process_lost_is_found_by_process_and_by_address() {
        let (from, to) =
            (std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let std::net::SocketAddr::V4(address) = to.local_addr().unwrap() else { unreachable!() };
        (0..2000).for_each(|_| assert!(from.send_to(&[0; 1400], address).is_ok()));
        assert!(drops(address.into(), &[]) > 0);
        assert!(drops(Address::NONE, &[std::process::id() as i32]) > 0);
        assert_eq!(drops("127.9.9.9:9".parse::<std::net::SocketAddrV4>().unwrap().into(), &[]), 0);
    }
}
