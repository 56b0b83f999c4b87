//! The ways in: each turns bytes into calls of methods, and answers into bytes.
//!
//! | door | file | clients |
//! |---|---|---|
//! | unix stream | `stream.rs` | `siplane ctl`, kamcmd (`binrpc`): which protocol is spoken, the first byte tells |
//! | unix datagram | `datagram.rs` | kamcli: JSON-RPC as Kamailio has it (`kamailio.rs`) |
//! | FIFO | `fifo.rs` | kamctl: the same |
//! | HTTP | `http/` | programs, browsers, Prometheus; Kamailio's JSON-RPC, too |

mod binrpc;
mod datagram;
mod fifo;
mod fitting;
mod follow;
mod http;
mod json;
mod kamailio;
mod path;
mod pretty;
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
    datagram: Option<datagram::Door>,
    fifo: Option<fifo::Door>,
}

/// Opens what `settings` ask for. To be called in the runtime.
pub(super) fn open(settings: &ControlSettings) -> io::Result<Doors> {
    let stream = settings.socket.as_deref().map(stream::Door::open).transpose()?;
    let http = settings.http.as_ref().map(http::Door::open).transpose()?;
    let datagram = settings.datagram_socket.as_deref().map(datagram::Door::open).transpose()?;
    let fifo = settings.fifo.as_deref().map(|path| fifo::Door::open(path, &settings.fifo_reply_dir)).transpose()?;
    Ok(Doors { stream, datagram, fifo, http })
}

impl Doors {
    /// Serves them until the runtime ends.
    pub(super) fn serve(self, control: Arc<Control>) {
        if let Some(stream) = self.stream {
            tokio::spawn(stream.serve(Arc::clone(&control)));
        }
        if let Some(datagram) = self.datagram {
            tokio::spawn(datagram.serve(Arc::clone(&control)));
        }
        if let Some(fifo) = self.fifo {
            tokio::spawn(fifo.serve(Arc::clone(&control)));
        }
        if let Some(http) = self.http {
            tokio::spawn(http.serve(control));
        }
    }
}
