//! The FIFO: kamctl, unmodified, and names that must not be followed.

use crate::clients::{kamctl, wait_for};
use crate::{socket_path, start};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const O_NONBLOCK: i32 = 0o4000;

/// A folder for replies, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("siplane-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(fifo: &Path, text: &str) {
    OpenOptions::new().write(true).open(fifo).unwrap().write_all(text.as_bytes()).unwrap();
}

/// What comes into the FIFO at `path` until its writer closes it.
fn read(path: &Path) -> Value {
    let mut text = String::new();
    OpenOptions::new().read(true).open(path).unwrap().read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn request(method: &str, reply_name: &str) -> String {
    json!({"jsonrpc": "2.0", "method": method, "reply_name": reply_name, "id": 1}).to_string()
}

#[test]
fn kamctl_asks_and_prints() {
    let path = socket_path("kamctl");
    let siplane = start(28, &format!("fifo = \"{}\"", path.display()));
    let said = kamctl(&path, &["core.uptime"]);
    assert!(said.contains("\"up_since\":") && said.contains("\"uptime\":"), "{said}");
    let said = kamctl(&path, &["core.echo", "x", "s:7", "8"]);
    assert!(said.contains("\"x\"") && said.contains("\"7\"") && said.contains("\"8\""), "{said}");
    assert!(kamctl(&path, &["no.such"]).contains("Method Not Found"));
    assert_eq!(siplane.terminate().code(), Some(0));
    let _ = fs::remove_file(path);
}

#[test]
fn a_reply_goes_to_a_fifo_in_the_folder_and_nowhere_else() {
    let (path, folder) = (socket_path("fifo"), Folder::new("replies"));
    let inner = Folder(folder.0.join("inner"));
    fs::create_dir_all(&inner.0).unwrap();
    let control = format!("fifo = \"{}\"\nfifo_reply_dir = \"{}\"", path.display(), inner.0.display());
    let siplane = start(29, &control);
    // kamcli's own name has a dot, which Kamailio refuses.
    let answers = inner.fifo("kamailio_rpc_reply.fifo");
    write(&path, &request("core.version", "kamailio_rpc_reply.fifo"));
    assert!(read(&answers)["result"].as_str().unwrap().starts_with("siplane "));
    // Two documents in one go, and one that is none but names its FIFO.
    let second = inner.fifo("second");
    write(&path, &format!("{}\n{}", request("core.info", "kamailio_rpc_reply.fifo"), request("no.such", "second")));
    assert!(read(&answers)["result"].is_object());
    assert_eq!(read(&second)["error"]["code"], 500);
    write(&path, "{\"jsonrpc\": \"2.0\", nonsense, \"reply_name\": \"second\"}");
    assert_eq!(read(&second)["error"]["code"], -32700);
    // Neither a FIFO outside of the folder, nor a link to it, nor a file in it is written to.
    let outside = folder.fifo("outside");
    std::os::unix::fs::symlink(&outside, inner.0.join("link")).unwrap();
    fs::write(inner.0.join("file"), "as it was").unwrap();
    let mut watched = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(&outside).unwrap();
    for name in ["../outside", "link", "file", "..", outside.to_str().unwrap()] {
        write(&path, &request("core.version", name));
    }
    wait_for("five refusals in the log", || {
        let log = siplane.log();
        let (named, written) = (log.matches("has no reply_name").count(), log.matches("could not be written").count());
        (named == 3 && written == 2).then_some(())
    });
    assert_eq!(watched.read(&mut [0; 10]).unwrap(), 0, "nobody has written");
    assert_eq!(fs::read_to_string(inner.0.join("file")).unwrap(), "as it was");
    // One who does not read loses the reply, and keeps nobody waiting.
    inner.fifo("mute");
    write(&path, &request("core.version", "mute"));
    write(&path, &request("core.version", "second"));
    assert!(read(&second)["result"].is_string(), "and it goes on");
    wait_for("a reply is given up", || siplane.log().contains("does not read its reply").then_some(()));
    assert_eq!(siplane.terminate().code(), Some(0));
    let _ = fs::remove_file(path);
}
