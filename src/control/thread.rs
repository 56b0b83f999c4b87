//! The thread of the control side.

use super::Control;
use super::doors::{self, Doors};
use crate::config::ControlSettings;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// The running control side; dropping it ends it.
#[derive(Debug)]
pub struct ControlThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for ControlThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread panicked");
        }
    }
}

/// The doors, open, with nobody behind them yet: who knocks waits.
#[derive(Debug)]
pub struct OpenDoors {
    runtime: Runtime,
    doors: Doors,
}

/// Opens the doors that `settings` ask for.
///
/// # Errors
/// What the system says, with the door that it refused.
pub fn open(settings: &ControlSettings) -> io::Result<OpenDoors> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let doors = {
        let _inside = runtime.enter();
        doors::open(settings)?
    };
    Ok(OpenDoors { runtime, doors })
}

impl OpenDoors {
    /// Serves them on a thread of its own.
    ///
    /// # Errors
    /// When there may be no more threads.
    pub fn serve(self, control: Arc<Control>) -> io::Result<ControlThread> {
        let Self { runtime, doors } = self;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                doors.serve(control);
                // An error says that the sender is gone, which is the same.
                let _ = stopped.await;
            });
        };
        let thread = thread::Builder::new().name(String::from("control")).spawn(serve)?;
        Ok(ControlThread { stop: Some(stop), thread: Some(thread) })
    }
}
