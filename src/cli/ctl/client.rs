//! The connection to a running siplane: requests by JSON-RPC 2.0, a document to a line.

use serde_json::{Value as Json, json};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Longest wait for the answer to one request; a reload of ten thousand destinations takes a fraction of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
    /// siplane says why not.
    Fault {
        /// The code of JSON-RPC 2.0.
        code: i64,
        /// For people.
        message: String,
    },
    /// What was asked for did not come about, and why.
    NotDone(String),
    /// Nobody answers.
    Unreachable(String),
    /// What was typed makes no sense.
    Usage(String),
    /// Interrupted by the user, with what is so now.
    Interrupted(String),
    /// Nobody reads the output any more, which is no failure.
    Unread,
}

/// The code of what is not there.
pub(super) const NOT_FOUND: i64 = -32004;

/// The code of JSON-RPC 2.0 for a method that is not there.
pub(in crate::cli) const NO_METHOD: i64 = -32601;

impl Failure {
    /// Tells it on standard error, in the name of that command; its exit status.
    pub(in crate::cli) fn tell(self, command: &str) -> ExitCode {
        let status = match self {
            Self::Fault { .. } | Self::NotDone(_) => 1,
            Self::Unreachable(_) | Self::Usage(_) => 2,
            Self::Interrupted(_) => 130,
            Self::Unread => return ExitCode::SUCCESS,
        };
        // Nowhere else to tell it.
        let _ = writeln!(io::stderr(), "siplane {command}: {}", self.text());
        ExitCode::from(status)
    }

    /// For people.
    pub(in crate::cli) fn text(self) -> String {
        match self {
            Self::Fault { message: text, .. }
            | Self::NotDone(text)
            | Self::Unreachable(text)
            | Self::Usage(text)
            | Self::Interrupted(text) => text,
            Self::Unread => String::new(),
        }
    }
}

/// What a command gives, or why it gives nothing.
pub(in crate::cli) type Outcome<T> = Result<T, Failure>;

/// A connection.
#[derive(Debug)]
pub(in crate::cli) struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the socket at `path`.
    pub(in crate::cli) fn connect(path: &Path) -> Outcome<Self> {
        let stream = UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            stream.set_write_timeout(Some(ANSWER_WITHIN))?;
            Ok(stream)
        });
        let stream = stream.map_err(|error| Failure::Unreachable(unreachable(path, &error)))?;
        Ok(Self { path: path.to_owned(), stream: BufReader::new(stream) })
    }

    /// Connects once more to where it was connected.
    pub(super) fn reconnect(&mut self) -> Outcome<()> {
        *self = Self::connect(&self.path)?;
        Ok(())
    }

    /// The result of a method.
    pub(in crate::cli) fn call(&mut self, method: &str, params: Json) -> Outcome<Json> {
        let request = json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": 1 });
        let sent = self.stream.get_mut().write_all(format!("{request}\n").as_bytes());
        sent.map_err(|error| self.lost(&error))?;
        let mut answer = self.read()?;
        match answer.get_mut("error") {
            None => Ok(answer.get_mut("result").map(Json::take).unwrap_or_default()),
            Some(error) => Err(Failure::Fault {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or("a fault without a message").to_owned(),
            }),
        }
    }

    /// The next document, however long it takes to come.
    pub(super) fn wait(&mut self) -> Outcome<Json> {
        let endless = self.stream.get_mut().set_read_timeout(None);
        endless.map_err(|error| self.lost(&error))?;
        self.read()
    }

    fn read(&mut self) -> Outcome<Json> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(self.lost(&io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => serde_json::from_str(&line).map_err(|error| self.lost(&error.into())),
            Err(error) => Err(self.lost(&error)),
        }
    }

    fn lost(&self, error: &io::Error) -> Failure {
        let path = self.path.display();
        Failure::Unreachable(match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!("siplane at {path} closed the connection: it has ended or restarts")
            }
            io::ErrorKind::WouldBlock => {
                format!("siplane at {path} did not answer within {} s", ANSWER_WITHIN.as_secs())
            }
            _ => format!("{path}: {error}"),
        })
    }
}

fn unreachable(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    let cure = match error.kind() {
        io::ErrorKind::NotFound => {
            "does siplane run, with [control] socket in its config? --socket PATH names the socket, --config FILE the config"
        }
        io::ErrorKind::ConnectionRefused => "nobody listens there: siplane does not run",
        io::ErrorKind::PermissionDenied => "it is for the user and the group that siplane runs as",
        _ => "--socket PATH names another one",
    };
    format!("cannot connect to {path}: {error}; {cure}")
}
