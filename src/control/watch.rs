//! What the control side does by the clock: it looks whether the config files have changed, and frees old tables.
//!
//! A file is taken when its stamp (time, size, inode) is another one than at the last reload, and the same at two looks: who writes it
//! piece by piece is given the time to end. What is read then and cannot be used is told, and changes nothing; the next look that finds
//! yet another stamp tries again.

use super::{Control, Source};
use crate::limits;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::time::sleep;

/// Time, size and inode of a file; none when there is none.
type Stamp = Option<(SystemTime, u64, u64)>;

/// Frees policies that have been in force.
pub(super) async fn sweep(control: Arc<Control>) {
    loop {
        sleep(limits::CONTROL_LOOK_INTERVAL).await;
        control.retired.sweep();
    }
}

/// Reloads the config when its file, or the list file that it names, has changed.
pub(super) async fn files(control: Arc<Control>) {
    let mut taken = stamps(&control).await;
    let mut last = taken.clone();
    loop {
        sleep(limits::CONTROL_LOOK_INTERVAL).await;
        let now = stamps(&control).await;
        if now != taken && now == last {
            taken.clone_from(&now);
            // Told by the reload itself.
            let _ = control.reload(Source::File, "file change").await;
        }
        last = now;
    }
}

async fn stamps(control: &Control) -> Vec<Stamp> {
    let file = Arc::clone(&control.in_force().file);
    let paths: Vec<PathBuf> = file.path.iter().chain(&file.list_path).cloned().collect();
    // A folder on a network may take its time.
    tokio::task::spawn_blocking(move || paths.iter().map(stamp).collect()).await.unwrap_or_default()
}

fn stamp(path: &PathBuf) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.size(), metadata.ino()))
}
