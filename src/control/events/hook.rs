//! The hook: a program that is run for each event.
//!
//! It gets the type as its only argument and the event as one line of JSON on standard input. At most [`limits::HOOKS_AT_ONCE`] run at
//! once, so two that come together may end in any order: `seq` has theirs. What fails, takes too long, or finds no room in the queue is
//! logged; nothing is tried again.

use super::Record;
use crate::limits;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// How long what it said is waited for when it has ended.
const AFTER_ITS_END: Duration = Duration::from_millis(100);

/// The program, and what waits for it.
#[derive(Debug)]
pub(super) struct Hook {
    program: Arc<PathBuf>,
    queue: mpsc::Sender<Arc<Record>>,
    /// Taken by the one who serves.
    waiting: Mutex<Option<mpsc::Receiver<Arc<Record>>>>,
    lost: AtomicU64,
}

impl Hook {
    pub(super) fn new(program: PathBuf) -> Self {
        let (queue, waiting) = mpsc::channel(limits::HOOK_EVENTS_MAX);
        Self { program: Arc::new(program), queue, waiting: Mutex::new(Some(waiting)), lost: AtomicU64::new(0) }
    }

    /// Queues an event; when there is no room it is lost to the hook, and counted.
    pub(super) fn offer(&self, record: &Arc<Record>) {
        if self.queue.try_send(Arc::clone(record)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs the program for each event.
    pub(super) async fn serve(&self) {
        let Some(mut waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let places = Arc::new(Semaphore::new(limits::HOOKS_AT_ONCE));
        while let Some(record) = waiting.recv().await {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(lost, "the hook did not get all events: it is too slow");
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let program = Arc::clone(&self.program);
            tokio::spawn(async move {
                let event = record.kind;
                if let Err(error) = run(&program, &record).await {
                    tracing::warn!(hook = %program.display(), event, error, "the hook failed");
                }
                drop(place);
            });
        }
    }
}

async fn run(program: &Path, record: &Record) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg(record.kind).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("it cannot be run: {error}"))?;
    let text = format!("{}\n", record.value().to_json());
    match timeout(limits::HOOK_TIME_MAX, finish(&mut child, &text)).await {
        Ok(Ok((status, _))) if status.success() => Ok(()),
        Ok(Ok((status, said))) => Err(format!("{status}: {said}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("killed after {} s", limits::HOOK_TIME_MAX.as_secs())),
    }
}

/// Gives it the event and waits for its end; what it said on standard error, the beginning of it.
async fn finish(child: &mut Child, text: &str) -> std::io::Result<(ExitStatus, String)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let hears = tokio::spawn(hear(stderr));
    let (status, ()) = tokio::join!(child.wait(), give(stdin, text));
    // What it has left running in the background may keep the pipe open, and is not waited for.
    let said = timeout(AFTER_ITS_END, hears).await.map(Result::unwrap_or_default).unwrap_or_default();
    Ok((status?, String::from_utf8_lossy(&said).trim_end().to_owned()))
}

async fn give(stdin: Option<ChildStdin>, text: &str) {
    if let Some(mut stdin) = stdin {
        // Who does not read it has no use for it.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
}

async fn hear(stderr: Option<ChildStderr>) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(mut stderr) = stderr {
        let _ = (&mut stderr).take(limits::HOOK_ERROR_BYTES_MAX).read_to_end(&mut said).await;
        if said.len() as u64 == limits::HOOK_ERROR_BYTES_MAX {
            tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_the_queue_has_no_room_for_is_counted_and_holds_nobody_up() {
        let hook = Hook::new(PathBuf::from("/bin/true"));
        let record = Arc::new(Record { sequence: 1, at: SystemTime::now(), kind: "up", members: Vec::new() });
        (0..limits::HOOK_EVENTS_MAX + 3).for_each(|_| hook.offer(&record));
        assert_eq!(hook.lost.load(Ordering::Relaxed), 3);
    }
}
