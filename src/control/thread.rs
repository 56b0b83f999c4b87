//! The thread of the control side.

use super::doors::{self, Doors};
use super::{Control, Source, events, traces, watch};
use crate::config::ControlSettings;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

/// The running control side; dropping it ends it.
#[derive(Debug)]
pub struct ControlThread {
    control: Arc<Control>,
    runtime: Handle,
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

impl ControlThread {
    /// Reloads the config file, soon; the log tells what came of it.
    pub fn reload(&self) {
        let control = Arc::clone(&self.control);
        self.runtime.spawn(async move {
            // Told by the reload itself.
            let _ = control.reload(Source::File, "signal").await;
        });
    }
}

/// The doors, open, with nobody behind them yet: who knocks waits.
#[derive(Debug)]
pub struct OpenDoors {
    runtime: Runtime,
    doors: Doors,
    /// Whether changed files are reloaded.
    watches: bool,
    /// From which utilisation on there is an alarm, percent; 0: from none.
    alarm_percent: u8,
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
    let (watches, alarm_percent) = (settings.reload_on_change, settings.utilisation_alarm_percent);
    Ok(OpenDoors { runtime, doors, watches, alarm_percent })
}

impl OpenDoors {
    /// Serves them on a thread of its own, on `core` if there is one.
    ///
    /// # Errors
    /// When there may be no more threads.
    pub fn serve(self, control: Arc<Control>, core: Option<usize>) -> io::Result<ControlThread> {
        let Self { runtime, doors, watches, alarm_percent } = self;
        let (stop, stopped) = oneshot::channel();
        let (handle, shared) = (runtime.handle().clone(), Arc::clone(&control));
        let serve = move || {
            // Threads for long work inherit it: a table is built where no shard is.
            if core.is_some_and(|id| !core_affinity::set_for_current(core_affinity::CoreId { id })) {
                tracing::warn!(core, "the control side cannot be pinned to its core");
            }
            runtime.block_on(async {
                tokio::spawn(watch::sweep(Arc::clone(&control)));
                if watches {
                    tokio::spawn(watch::files(Arc::clone(&control)));
                }
                if alarm_percent > 0 {
                    tokio::spawn(events::alarm::watch(Arc::clone(&control), alarm_percent));
                }
                tokio::spawn(Arc::clone(control.events()).serve_hook());
                tokio::spawn(traces::write(Arc::clone(&control)));
                doors.serve(control);
                // An error says that the sender is gone, which is the same.
                let _ = stopped.await;
            });
        };
        let thread = thread::Builder::new().name(String::from("control")).spawn(serve)?;
        Ok(ControlThread { control: shared, runtime: handle, stop: Some(stop), thread: Some(thread) })
    }
}
