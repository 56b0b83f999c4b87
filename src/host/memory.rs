//! Memory that is not there at once when it is touched.

use super::finding::Finding;
use super::root::Root;

pub(super) fn look(root: &Root) -> Vec<Finding> {
    [hugepages(root), Some(swap(root))].into_iter().flatten().collect()
}

fn hugepages(root: &Root) -> Option<Finding> {
    let setting = root.text("sys/kernel/mm/transparent_hugepage/enabled")?;
    let chosen = setting.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))?;
    Some(match chosen {
        "always" => {
            let why = "a first touch may wait until 2 MiB are put together, and receive buffers take more memory than they use";
            let cure = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
            Finding::note("hugepages", "transparent hugepages are always made", why, cure)
        }
        _ => Finding::ok("hugepages", format!("transparent hugepages: {chosen}")),
    })
}

/// Behind a line of titles, a line for each.
fn swap(root: &Root) -> Finding {
    let text = root.text("proc/swaps").unwrap_or_default();
    let places: Vec<_> = text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    if places.is_empty() {
        return Finding::ok("swap", "none");
    }
    let why = "a call whose state was swapped out waits for a disk";
    Finding::note("swap", places.join(", "), why, "swapoff -a (systemd: MemorySwapMax=0)")
}
