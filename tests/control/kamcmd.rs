//! kamcmd, unmodified, and packets that it would not send.

use crate::clients::{kamcmd, kamcmd_typing};
use crate::{socket_path, start};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    stream
}

/// A request with one text after the other, and the cookie 7.
fn request(texts: &[&str]) -> Vec<u8> {
    let record = |text: &&str| {
        let length = u16::try_from(text.len() + 1).unwrap().to_be_bytes();
        [&[0xA1, length[0], length[1]], text.as_bytes(), &[0]].concat()
    };
    let body: Vec<u8> = texts.iter().flat_map(record).collect();
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[0xA1, 0x04, length[0], length[1], 7], body.as_slice()].concat()
}

/// The next packet: its type, its cookie, its body.
fn packet(stream: &mut UnixStream) -> (u8, Vec<u8>, Vec<u8>) {
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    };
    let first = read(2);
    assert_eq!(first[0], 0xA1);
    let length = read(usize::from(first[1] >> 2 & 3) + 1);
    let cookie = read(usize::from(first[1] & 3) + 1);
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    (first[1] >> 4, cookie, read(length))
}

#[test]
fn kamcmd_asks_and_prints_what_it_prints_of_kamailio() {
    let path = socket_path("kamcmd");
    let siplane = start(20, &format!("socket = \"{}\"", path.display()));
    let said = |args: &[&str]| kamcmd(&path, args);
    let uptime = said(&["core.uptime"]);
    assert!(uptime.starts_with("{\n\tnow: ") && uptime.contains("\n\tuptime: "), "{uptime}");
    assert_eq!(said(&["no.such", "x"]).trim(), "error: 500 - command no.such not found");
    assert_eq!(said(&["core.echo", "a", "12", "s:12", "1.5", "b c"]), "a\n12\n12\n1.5\nb c\n");
    assert!(said(&["core.version"]).starts_with("siplane "), "{}", said(&["core.version"]));
    let threads = said(&["core.psx"]);
    assert!(threads.contains("DSC: main process") && threads.contains("DSC: shard 0 core "), "{threads}");
    assert!(said(&["ps"]).contains("shard 0 core "), "an alias of kamcmd's");
    assert_eq!(said(&["cfg.list"]).trim(), "");
    let lines = said(&["stats.get_statistics", "rcv_requests", "sl:"]);
    assert!(lines.starts_with("core:rcv_requests = ") && lines.contains("\nsl:sent_replies = "), "{lines}");
    assert_eq!(said(&["stats.fetch"]).trim(), "error: 400 - Please provide which stats to retrieve");
    assert_eq!(said(&["cnt.grps_list"]), "core\ndialog\nshmem\nsl\ntmx\nsiplane\n");
    assert_eq!(said(&["cnt.get", "dialog", "active_dialogs"]), "0\n");
    assert_eq!(said(&["cnt.get", "dialog", "none"]).trim(), "error: 400 - non-existent counter");
    assert!(said(&["cnt.get", "siplane"]).contains("\tcalls_answered: 0\n"));
    assert!(said(&["system.listMethods"]).contains("\ncore.uptime\n"));
    assert_eq!(said(&["system.methodHelp", "core.echo"]), "Its parameters. Takes: [texts ...].\n");
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn kamcmd_is_interactive_and_completes() {
    let path = socket_path("typing");
    let siplane = start(21, &format!("socket = \"{}\"", path.display()));
    // Methods are completed, and groups and names of counters, which it has asked for at its start.
    let said = kamcmd_typing(&path, &["core.upt\\t", "cnt.get dial\\tact\\t", "core.echo x y", "no.such", "quit"]);
    assert!(said.contains("core.uptime") && said.contains("up_since: "), "{said}");
    assert!(said.contains("cnt.get dialog active_dialogs"), "{said}");
    assert!(said.contains("x\r\ny\r\n"), "{said}");
    assert!(said.contains("error: 500 - command no.such not found"), "{said}");
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// kamcmd gives up on more than 131,072 bytes; Kamailio sends them all the same.
#[test]
fn a_reply_too_long_for_kamcmd_is_cut_and_says_so() {
    let path = socket_path("long");
    let siplane = start(22, &format!("socket = \"{}\"", path.display()));
    // Some 90 counters, 200 times: kamcmd itself takes no more than 256 words.
    let args: Vec<&str> = std::iter::once("stats.get_statistics").chain(["all"; 200]).collect();
    let said = kamcmd(&path, &args);
    let head: String = said.chars().take(200).collect();
    let shown = said.lines().take_while(|line| line.contains(" = ")).count();
    assert!((2_000..10_000).contains(&shown), "{shown} {head}");
    assert!(said.contains(&format!("\tSHOWN: {shown}\n")) && said.contains("\tALL: "), "{shown} {head}");
    assert!(said.contains("HINT: ") && said.contains("siplane ctl"), "{head}");
    let one = kamcmd(&path, &["stats.get_statistics", "all"]);
    assert!(one.lines().count() > 50 && !one.contains("HINT"), "{one}");
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn packets_come_in_pieces_and_several_at_once() {
    let path = socket_path("pieces");
    let siplane = start(23, &format!("socket = \"{}\"", path.display()));
    let mut stream = connect(&path);
    for byte in request(&["core.echo", "x"]) {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(packet(&mut stream), (1, vec![7], b"\x21x\0".to_vec()));
    let three: Vec<u8> = ["1", "2", "3"].iter().flat_map(|text| request(&["core.echo", text])).collect();
    stream.write_all(&three).unwrap();
    for text in ["1", "2", "3"] {
        assert_eq!(packet(&mut stream).2, format!("\x21{text}\0").as_bytes());
    }
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn what_is_wrong_gets_a_fault_and_only_what_cannot_be_read_on_from_ends_the_connection() {
    let path = socket_path("wrong");
    let siplane = start(24, &format!("socket = \"{}\"", path.display()));
    let mut stream = connect(&path);
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    // A text that reaches beyond its packet; no text at all; a number for a name.
    for (body, told) in [
        (vec![0x71, b'a'], "bad request: more data needed"),
        (vec![], "bad request method: "),
        (vec![0x10, 7], "bad request method: "),
    ] {
        stream.write_all(&[&[0xA1, 0x00, body.len() as u8, 9], body.as_slice()].concat()).unwrap();
        let (kind, cookie, said) = packet(&mut stream);
        assert_eq!((kind, cookie.as_slice(), &said[..3]), (3, &[9][..], &[0x20, 0x01, 0x90][..]), "400");
        assert!(text(&said).contains(told), "{}", text(&said));
    }
    stream.write_all(&request(&["core.echo", "x"])).unwrap();
    assert_eq!(packet(&mut stream).0, 1, "the connection lives");
    stream.write_all(b"\xA1\x0C\xFF\xFF\xFF\xFF\x01").unwrap();
    let (kind, _, said) = packet(&mut stream);
    assert!(kind == 3 && text(&said).contains("packet too long"), "{}", text(&said));
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "and now it has ended");
    let mut stream = connect(&path);
    stream.write_all(&[request(&["core.echo", "x"]), b"{}".to_vec()].concat()).unwrap();
    assert_eq!((packet(&mut stream).0, packet(&mut stream).0), (1, 3));
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(siplane.terminate().code(), Some(0));
}
