//! The unix stream socket: JSON-RPC, one document to a line, or BINRPC where that is what the first byte begins.

use super::{binrpc, follow, json, path};
use crate::control::rpc::Role;
use crate::control::{Control, who};
use crate::limits;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The socket, open.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    _place: path::Place,
}

impl Door {
    /// Opens the socket at `path`, in the place of one that nobody listens on any more, for its owner and group alone.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let connected = std::os::unix::net::UnixStream::connect(path).map(drop);
        let open = || {
            path::remove_stale(path, connected)?;
            let listener = UnixListener::bind(path)?;
            Ok(Self { listener, _place: path::Place::take(path)? })
        };
        open().map_err(path::named(path))
    }

    /// Serves everybody who connects.
    pub(super) async fn serve(self, control: Arc<Control>) {
        let places = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let control = Arc::clone(&control);
                    tokio::spawn(async move {
                        // Who has gone away needs no answer.
                        let who = who_is(&stream);
                        let _ = who::on_wish_of(who, converse(stream, &control)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket accepts nobody");
                    tokio::time::sleep(limits::ACCEPT_RETRY).await;
                }
            }
        }
    }
}

/// Who has connected, as the kernel knows it.
fn who_is(stream: &UnixStream) -> String {
    let Ok(known) = stream.peer_cred() else { return String::from("control socket") };
    let process = known.pid().map(|pid| format!(" pid {pid}")).unwrap_or_default();
    format!("control socket: uid {}{process}", known.uid())
}

async fn converse(stream: UnixStream, control: &Arc<Control>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    if reader.fill_buf().await?.first() == Some(&binrpc::FIRST_BYTE) {
        return binrpc::converse(reader, writer, control).await;
    }
    let mut line = Vec::new();
    // Who asks nothing may stay; who has begun to must come to an end, and take what is answered.
    while !reader.fill_buf().await?.is_empty() {
        line.clear();
        let mut bounded = (&mut reader).take(limits::CONTROL_REQUEST_BYTES_MAX as u64);
        timeout(limits::CONTROL_REST_TIMEOUT, bounded.read_until(b'\n', &mut line)).await??;
        if let Some(wish) = follow::asked(&line) {
            return wish.serve(control, &mut reader, &mut writer).await;
        }
        if let Some(answer) = json::answer(control, Role::Operate, &line).await {
            let mut text = answer.to_string();
            text.push('\n');
            timeout(limits::CONTROL_REPLY_TIMEOUT, writer.write_all(text.as_bytes())).await??;
        }
        if !line.ends_with(b"\n") {
            break;
        }
    }
    Ok(())
}
