//! Where doors are in the file system: taken at the start, given back at the end, and never taken from somebody else.

use crate::clients::{kamcmd, wait_for};
use crate::{socket_path, start};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Places for the three doors, and the keys that name them.
fn doors(name: &str) -> ([PathBuf; 3], String) {
    let places = ["stream", "datagram", "fifo"].map(|door| socket_path(&format!("{name}-{door}")));
    let [socket, datagram, fifo] = places.each_ref().map(|path| path.display());
    let control = format!("socket = \"{socket}\"\ndatagram_socket = \"{datagram}\"\nfifo = \"{fifo}\"");
    (places, control)
}

/// What a siplane says, with that `[control]`, that does not start.
fn refused(host: u8, control: &str) -> String {
    let file = socket_path(&format!("refused-{host}")).with_extension("toml");
    let sets = format!("[[set]]\nid = 1\ndestinations = [\"sip:127.62.{host}.11\"]\n");
    fs::write(&file, format!("listen = [\"udp:127.62.{host}.2:5060\"]\nshards = 1\n[control]\n{control}\n{sets}"))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_siplane"));
    let output = command.args(["run", "--config"]).arg(&file).stdin(Stdio::null()).output().unwrap();
    fs::remove_file(&file).unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn what_the_doors_put_into_the_file_system_is_gone_at_the_end_unless_somebody_else_has_put_something_there() {
    let (places, control) = doors("end");
    let siplane = start(86, &control);
    wait_for("all three are there", || places.iter().all(|path| path.exists()).then_some(()));
    assert!(fs::symlink_metadata(&places[2]).unwrap().file_type().is_fifo());
    assert_eq!(siplane.terminate().code(), Some(0));
    for path in &places {
        assert!(fs::symlink_metadata(path).is_err(), "{} is still there", path.display());
    }
    let siplane = start(86, &control);
    fs::remove_file(&places[0]).unwrap();
    fs::write(&places[0], "somebody else's").unwrap();
    assert_eq!(siplane.terminate().code(), Some(0));
    assert_eq!(fs::read_to_string(&places[0]).unwrap(), "somebody else's");
    assert!(fs::symlink_metadata(&places[1]).is_err() && fs::symlink_metadata(&places[2]).is_err());
    let said = refused(86, &format!("socket = \"{}\"", places[0].display()));
    assert!(said.contains("there is something that is no socket"), "{said}");
    assert_eq!(fs::read_to_string(&places[0]).unwrap(), "somebody else's");
    fs::remove_file(&places[0]).unwrap();
}

#[test]
fn what_a_dead_process_has_left_is_replaced_and_what_a_living_one_holds_is_an_error_that_says_so() {
    let (places, control) = doors("stale");
    // Dropped without an end: killed.
    drop(start(87, &control));
    for path in &places {
        assert!(fs::symlink_metadata(path).is_ok(), "{} is gone: nothing is tried here", path.display());
    }
    let siplane = start(87, &control);
    assert!(kamcmd(&places[0], &["core.version"]).starts_with("siplane "));
    let [socket, datagram, fifo] = places.each_ref().map(|path| path.display().to_string());
    for (key, path, why) in [
        ("socket", &socket, "another process listens there"),
        ("datagram_socket", &datagram, "another process listens there"),
        ("fifo", &fifo, "another process reads there"),
    ] {
        let said = refused(87, &format!("{key} = \"{path}\""));
        assert!(said.contains(&format!("{path}: {why}")), "{key}: {said}");
    }
    // The one that was there has lost nothing.
    assert!(kamcmd(&places[0], &["core.version"]).starts_with("siplane "));
    assert_eq!(siplane.terminate().code(), Some(0));
}
