//! The thread of the control side.

use super::{Control, doors};
use crate::config::ControlSettings;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
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

/// Opens the doors that `settings` ask for, and serves them on a thread of its own. They are open when this returns.
///
/// # Errors
/// What the system says, with the door that it refused.
pub fn start(settings: &ControlSettings, control: Arc<Control>) -> io::Result<ControlThread> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let open = {
        let _inside = runtime.enter();
        doors::open(settings)?
    };
    let (stop, stopped) = oneshot::channel();
    let serve = move || {
        runtime.block_on(async {
            open.serve(control);
            // An error says that the sender is gone, which is the same.
            let _ = stopped.await;
        });
    };
    let thread = thread::Builder::new().name(String::from("control")).spawn(serve)?;
    Ok(ControlThread { stop: Some(stop), thread: Some(thread) })
}
