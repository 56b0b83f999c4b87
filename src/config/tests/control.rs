//! `[control]`: who may be let in, and where.

use super::*;

fn http(text: &str) -> String {
    problems(&format!("{LISTEN}{SET}[control.http]\n{text}\n"))
}

#[test]
fn on_loopback_nothing_more_is_needed() {
    assert_eq!(http("listen = \"127.0.0.1:9680\""), "");
    assert_eq!(http("listen = \"[::1]:9680\""), "");
}

#[test]
fn beyond_loopback_somebody_must_be_known() {
    for address in ["192.0.2.1:9680", "0.0.0.0:9680", "[::]:9680"] {
        let told = http(&format!("listen = \"{address}\""));
        assert!(
            told.starts_with(&format!("f:6: control.http.listen: found {address} without authentication")),
            "{told}"
        );
        assert_eq!(http(&format!("listen = \"{address}\"\ntokens = \"t\"")), "");
    }
    let tls = "listen = \"192.0.2.1:9680\"\ncertificate = \"c\"\nkey = \"k\"\n";
    assert!(http(tls).contains("without authentication"));
    assert_eq!(http(&format!("{tls}client_ca = \"ca\"")), "");
}

#[test]
fn halves_and_words_that_mean_nothing_are_refused() {
    let listen = "listen = \"127.0.0.1:9680\"\n";
    assert!(http(&format!("{listen}certificate = \"c\"")).contains("control.http.key: found certificate alone"));
    assert!(http(&format!("{listen}key = \"k\"")).contains("control.http.certificate: found key alone"));
    assert!(http(&format!("{listen}client_ca = \"ca\"")).contains("control.http.client_ca: found client_ca alone"));
    assert!(http(&format!("{listen}client_role = \"admin\"")).contains("allowed: read, operate, report"));
    assert!(http("listen = \"9680\"").contains("allowed: ADDRESS:PORT"));
    assert!(http("").contains("control.http.listen: found nothing"));
    assert!(problems(&format!("{LISTEN}{SET}[control]\nsocket = \"\"\n")).contains("allowed: a path in quotes"));
}

#[test]
fn doors_are_paths_and_are_closed_unless_they_have_one() {
    let control = |text: &str| config(&format!("{LISTEN}{SET}[control]\n{text}\n")).control;
    let none = control("");
    assert_eq!((none.socket, none.datagram_socket, none.fifo), (None, None, None));
    assert_eq!(none.fifo_reply_dir.to_str(), Some("/tmp"));
    let all = control("socket = \"s\"\ndatagram_socket = \"d\"\nfifo = \"f\"\nfifo_reply_dir = \"r\"");
    let paths = [all.socket.unwrap(), all.datagram_socket.unwrap(), all.fifo.unwrap(), all.fifo_reply_dir];
    assert_eq!(paths.map(|path| path.display().to_string()), ["s", "d", "f", "r"]);
    for key in ["socket", "datagram_socket", "fifo", "fifo_reply_dir"] {
        let told = problems(&format!("{LISTEN}{SET}[control]\n{key} = \"\"\n"));
        assert_eq!(told, format!("f:6: control.{key}: found \"\", allowed: a path in quotes"));
    }
}
