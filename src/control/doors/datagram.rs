//! The unix datagram socket: Kamailio's JSON-RPC, one document to a datagram.

use super::{kamailio, path};
use crate::control::rpc::Role;
use crate::control::{Control, who};
use crate::limits;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::UnixDatagram;
use tokio::sync::Semaphore;

/// The socket, open.
#[derive(Debug)]
pub(super) struct Door {
    socket: UnixDatagram,
    _place: path::Place,
}

impl Door {
    /// Opens the socket at `path`, in the place of one that nobody listens on any more, for its owner and group alone.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let connected = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| socket.connect(path));
        let open = || {
            path::remove_stale(path, connected)?;
            let socket = UnixDatagram::bind(path)?;
            Ok(Self { socket, _place: path::Place::take(path)? })
        };
        open().map_err(path::named(path))
    }

    /// Answers every datagram whose sender has an address.
    pub(super) async fn serve(self, control: Arc<Control>) {
        let Self { socket, _place } = self;
        let socket = Arc::new(socket);
        let places = Arc::new(Semaphore::new(limits::CONTROL_REQUESTS_MAX));
        let mut bytes = vec![0; limits::CONTROL_REQUEST_BYTES_MAX];
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match socket.recv_from(&mut bytes).await {
                Ok((length, sender)) => {
                    let (control, socket) = (Arc::clone(&control), Arc::clone(&socket));
                    let request = bytes[..length].to_vec();
                    tokio::spawn(async move {
                        let sender = sender.as_pathname().map(Path::to_path_buf);
                        let who = String::from("datagram socket");
                        who::on_wish_of(who, answer(&control, &socket, &request, sender)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control side's datagram socket receives nothing");
                    tokio::time::sleep(limits::ACCEPT_RETRY).await;
                }
            }
        }
    }
}

async fn answer(control: &Arc<Control>, socket: &UnixDatagram, request: &[u8], sender: Option<PathBuf>) {
    let reply = kamailio::reply(control, Role::Operate, request, limits::CONTROL_DATAGRAM_BYTES_MAX).await;
    let Some(sender) = sender else {
        tracing::debug!("a request by datagram came from a socket without a path: nobody to answer");
        return;
    };
    let sent = tokio::time::timeout(limits::CONTROL_REPLY_TIMEOUT, socket.send_to(reply.as_bytes(), &sender));
    match sent.await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, client = %sender.display(), "a reply could not be sent"),
        Err(_) => tracing::warn!(client = %sender.display(), "a client does not read its reply"),
    }
}
