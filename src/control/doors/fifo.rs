//! The FIFO: Kamailio's JSON-RPC, one document after the other, each with the name of the FIFO that its reply goes to.
//!
//! # Policy
//!
//! - The reply goes into a FIFO that the client has made in the folder for replies, under the name it gives: a name alone, so that
//!   nothing outside of the folder is ever written to; no link is followed, and nothing but a FIFO is opened.
//! - What is no JSON is forgotten up to the end of what was written with it. Where it names a FIFO all the same, its writer is told.

use super::{kamailio, path};
use crate::control::rpc::Role;
use crate::control::{Control, who};
use crate::limits;
use core::time::Duration;
use serde_json::Value as Json;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// Time from one look whether a client reads its FIFO to the next.
const READER_INTERVAL: Duration = Duration::from_millis(10);

/// The FIFO, open.
#[derive(Debug)]
pub(super) struct Door {
    requests: pipe::Receiver,
    replies: Arc<Path>,
    _place: path::Place,
}

impl Door {
    /// Makes the FIFO at `path` unless there is one that nobody reads, for its owner and group alone. Replies go into FIFOs in `replies`.
    pub(super) fn open(path: &Path, replies: &Path) -> io::Result<Self> {
        let open = || {
            make(path)?;
            let place = path::Place::take(path)?;
            // Also for writing: so it has no end when a client closes it.
            let requests = pipe::OpenOptions::new().read_write(true).open_receiver(path)?;
            Ok(Self { requests, replies: Arc::from(replies), _place: place })
        };
        open().map_err(path::named(path))
    }

    /// Answers every request.
    pub(super) async fn serve(mut self, control: Arc<Control>) {
        let places = Arc::new(Semaphore::new(limits::CONTROL_REQUESTS_MAX));
        let mut bytes = Vec::new();
        loop {
            let read = match bytes.is_empty() {
                true => Ok(self.requests.read_buf(&mut bytes).await),
                false => timeout(limits::CONTROL_REST_TIMEOUT, self.requests.read_buf(&mut bytes)).await,
            };
            let is_late = match read {
                Ok(Ok(_)) => false,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the control side's FIFO cannot be read any more");
                    return;
                }
                Err(_) => true,
            };
            let (documents, used) = documents(&bytes, is_late || bytes.len() > limits::CONTROL_REQUEST_BYTES_MAX);
            bytes.drain(..used);
            for document in documents {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let work = answer(Arc::clone(&control), Arc::clone(&self.replies), document, place);
                tokio::spawn(who::on_wish_of(String::from("FIFO"), work));
            }
        }
    }
}

/// A FIFO at `path`, made unless it is there and nobody reads it.
fn make(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_fifo() => match open_to_write(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process reads there")),
            Err(_) => Ok(()),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no FIFO")),
        Err(_) => make_fifo(path),
    }
}

fn make_fifo(path: &Path) -> io::Result<()> {
    let text = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: the text ends with 0 and lives until the call is over.
    match unsafe { libc::mkfifo(text.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One document, or the text of what is none.
type Document = Result<Json, String>;

/// The documents that `bytes` begin with, and how many bytes they take. With `all` there comes nothing more, and the rest is none.
fn documents(bytes: &[u8], all: bool) -> (Vec<Document>, usize) {
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Json>();
    let mut found = Vec::new();
    loop {
        let used = stream.byte_offset();
        match stream.next() {
            Some(Ok(document)) => found.push(Ok(document)),
            Some(Err(error)) if error.is_eof() && !all => return (found, used),
            Some(Err(_)) => {
                found.push(Err(String::from_utf8_lossy(&bytes[used..]).into_owned()));
                return (found, bytes.len());
            }
            None => return (found, bytes.len()),
        }
    }
}

async fn answer(control: Arc<Control>, replies: Arc<Path>, document: Document, place: OwnedSemaphorePermit) {
    let (text, name) = match &document {
        Ok(request) => (request.to_string(), kamailio::reply_name(request)),
        Err(text) => (text.clone(), named_in(text)),
    };
    let Some(path) = name.and_then(|name| place_of(&replies, name)) else {
        tracing::warn!(?name, "a request by FIFO has no reply_name that is a name in the folder for replies");
        return;
    };
    // A pipe has no bound, and its reader, cat, neither.
    let reply = kamailio::reply(&control, Role::Operate, text.as_bytes(), usize::MAX).await;
    let sent = timeout(limits::CONTROL_REPLY_TIMEOUT, send(&path, reply.as_bytes())).await;
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, fifo = %path.display(), "a reply could not be written"),
        Err(_) => tracing::warn!(fifo = %path.display(), "a client does not read its reply"),
    }
    drop(place);
}

/// The `reply_name` of what is no JSON, where it can be made out.
fn named_in(text: &str) -> Option<&str> {
    let (_, behind) = text.split_once("\"reply_name\"")?;
    let value = behind.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    value.split_once('"').map(|(name, _)| name)
}

/// Where the FIFO `name` is: a name alone, which Kamailio wants to be without a dot and kamcli gives one with.
fn place_of(replies: &Path, name: &str) -> Option<PathBuf> {
    let is_name = !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0']);
    is_name.then(|| replies.join(name))
}

/// Opens what is at `path`, which is no link: ENXIO for a FIFO that nobody reads.
fn open_to_write(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)
}

/// Opens what the client has made, as soon as it reads, and writes to it.
async fn send(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = loop {
        match open_to_write(path) {
            // A FIFO that nobody reads yet: kamctl begins to read when it has written.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => sleep(READER_INTERVAL).await,
            opened => break opened?,
        }
    };
    // Refuses what is no FIFO.
    pipe::Sender::from_file(file)?.write_all(bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_name_is_a_name_and_no_way_out_of_the_folder() {
        let place = |name| place_of(Path::new("/tmp"), name);
        assert_eq!(place("kamailio_rpc_reply.fifo"), Some(PathBuf::from("/tmp/kamailio_rpc_reply.fifo")));
        assert_eq!(place("kamailio_receiver_7"), Some(PathBuf::from("/tmp/kamailio_receiver_7")));
        for name in ["", ".", "..", "../etc/x", "/etc/x", "a/b", "a\\b", "a\0b"] {
            assert_eq!(place(name), None, "{name:?}");
        }
    }

    #[test]
    fn documents_are_taken_as_they_end_and_the_rest_waits() {
        let (found, used) = documents(b"{\"a\":1}\n {\"b\":2}\n{\"c\":", false);
        assert_eq!((found.len(), used), (2, 16));
        let (found, used) = documents(b"{\"c\":", true);
        assert_eq!((found, used), (vec![Err(String::from("{\"c\":"))], 5));
        let (found, used) = documents(b"{\"a\":1}{x}{\"b\":2}", false);
        assert_eq!((found.len(), used), (2, 17));
        assert!(found[0].is_ok() && found[1].is_err());
        assert_eq!(documents(b" \n", false), (Vec::new(), 2));
    }

    #[test]
    fn the_reply_name_is_found_in_what_is_no_json() {
        assert_eq!(named_in("{\"method\": x, \"reply_name\" : \"client_7\""), Some("client_7"));
        assert_eq!(named_in("{\"method\": x, \"reply_name\" : 7"), None);
    }
}
