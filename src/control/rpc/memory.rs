//! `core.shmmem`: what Kamailio shares between its processes, calls share here: the bytes of stored messages.
//!
//! | member | here |
//! |---|---|
//! | total | `stored_bytes_max` of all shards |
//! | used, free | what messages take of it now, and what they leave |
//! | real_used | memory of the whole process (resident), bytes |
//! | max_used | the most that it ever was |
//! | fragments | 0: memory is handed out in slots of a kind |

use super::Method;
use crate::control::{Answer, Arguments, Control, Value};
use std::fs;

pub(super) const METHODS: &[Method] =
    &[Method::look("core.shmmem", "Memory for messages: all, used, free; and that of the process.", &[], shmmem)];

/// Bytes, each under what Kamailio calls it.
pub(super) struct Memory {
    pub(super) total: u64,
    pub(super) used: u64,
    pub(super) real_used: u64,
    pub(super) max_used: u64,
}

impl Memory {
    pub(super) fn of(control: &Control) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            total: control.settings().stored_bytes_max as u64 * control.shards().count() as u64,
            used: control.snapshot().levels.stored_bytes,
            real_used: bytes(&status, "VmRSS:"),
            max_used: bytes(&status, "VmHWM:"),
        }
    }

    pub(super) const fn free(&self) -> u64 {
        self.total.saturating_sub(self.used)
    }
}

fn shmmem(control: &Control, _: &Arguments) -> Answer {
    let memory = Memory::of(control);
    Ok(Value::of([
        ("total", Value::count(memory.total)),
        ("free", Value::count(memory.free())),
        ("used", Value::count(memory.used)),
        ("real_used", Value::count(memory.real_used)),
        ("max_used", Value::count(memory.max_used)),
        ("fragments", Value::Int(0)),
    ]))
}

/// The bytes that the line `name` of /proc/self/status tells in kB; 0 where there is none.
fn bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_kibibytes() {
        assert_eq!(bytes("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:"), 2_097_152);
        assert_eq!(bytes("", "VmRSS:"), 0);
    }
}
