//! The ways in: each turns bytes into calls of methods, and answers into bytes.
//!
//! | door | file | clients |
//! |---|---|---|
//! | unix stream | `stream.rs` | `siplane ctl`, kamcmd: which protocol is spoken, the first byte tells |
//! | HTTP | `http/` | programs, browsers, Prometheus |

mod http;
mod json;
mod kamailio_json;
mod stream;

use super::Control;
use crate::config::ControlSettings;
use std::io;
use std::sync::Arc;

/// The doors that are open.
#[derive(Debug, Default)]
pub(super) struct Doors {
    stream: Option<stream::Door>,
    http: Option<http::Door>,
}

/// Opens what `settings` ask for. To be called in the runtime.
pub(super) fn open(settings: &ControlSettings) -> io::Result<Doors> {
    let stream = settings.socket.as_deref().map(stream::Door::open).transpose()?;
    let http = settings.http.as_ref().map(http::Door::open).transpose()?;
    Ok(Doors { stream, http })
}

impl Doors {
    /// Serves them until the runtime ends.
    pub(super) fn serve(self, control: Arc<Control>) {
        if let Some(stream) = self.stream {
            tokio::spawn(stream.serve(Arc::clone(&control)));
        }
        if let Some(http) = self.http {
            tokio::spawn(http.serve(control));
        }
    }
}
