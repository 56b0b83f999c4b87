//! Two listen addresses, and a destination that asks for the second one: what it gets comes from there.

use super::program::Siplane;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// What a busy machine may take for one step.
const MOST: Duration = Duration::from_secs(10);

fn bound(host: u8) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(SocketAddr::from(([127, 63, 1, host], 0))).unwrap();
    socket.set_read_timeout(Some(SECOND)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The next message to `socket` that begins with `line`, and where it came from.
fn next(socket: &UdpSocket, line: &str) -> (String, SocketAddr) {
    let (end, mut buffer) = (Instant::now() + MOST, [0; 65_535]);
    while Instant::now() < end {
        let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.starts_with(line) {
            return (text, source);
        }
    }
    panic!("no {line} within {MOST:?}");
}

/// The values of the headers called `name`.
fn all<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let start = format!("{name}: ");
    text.lines().filter_map(|line| line.strip_prefix(start.as_str())).collect()
}

fn answer(request: &str, status: &str, contact: SocketAddr) -> String {
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Record-Route:"];
    let lines = request.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let lines: String = lines.map(|line| format!("{}\r\n", with_tag(line))).collect();
    format!("SIP/2.0 {status}\r\n{lines}Contact: <sip:b@{contact}>\r\nContent-Length: 0\r\n\r\n")
}

fn with_tag(line: &str) -> String {
    let plain = line.starts_with("To:") && !line.contains(";tag=");
    if plain { format!("{line};tag=b1") } else { line.to_owned() }
}

fn request(method: &str, uri: &str, caller: SocketAddr, to_tag: &str, route: &str) -> String {
    let number = if method == "BYE" { 2 } else { 1 };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {caller};branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\n{route}\
         From: <sip:a@{caller}>;tag=a1\r\nTo: <sip:b@example.com>{to_tag}\r\nCall-ID: sockets@{caller}\r\nCSeq: {number} {method}\r\n\
         Contact: <sip:a@{caller}>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn calls_and_probes_leave_by_the_socket_that_their_destination_asks_for() {
    let (caller, from) = bound(2);
    let (destination, to) = bound(11);
    let (probed, pinged) = bound(12);
    let carrier = bound(3).1;
    let siplane = Siplane::start(SocketAddr::from(([127, 63, 1, 1], 0)), |address| {
        format!(
            "listen = [\"udp:{address}\", {{ address = \"udp:{carrier}\", name = \"carrier\" }}]\nshards = 2\n\n\
             [prober]\ninterval_ms = 500\n\n[[set]]\nid = 1\nalgorithm = \"priority\"\ndestinations = [\n\
             {{ uri = \"sip:{to}\", sockname = \"carrier\", priority = 2 }},\n\
             {{ uri = \"sip:{pinged}\", socket = \"udp:{address}\", ping_socket = \"carrier\" }}]\n"
        )
    });
    let (probe, source) = next(&destination, "OPTIONS");
    assert_eq!((source, all(&probe, "Via")[0].contains(&carrier.to_string())), (carrier, true), "{probe}");
    destination.send_to(answer(&probe, "200 OK", to).as_bytes(), source).unwrap();
    assert_eq!(next(&probed, "OPTIONS").1, carrier);

    caller.send_to(request("INVITE", "sip:b@example.com", from, "", "").as_bytes(), siplane.address).unwrap();
    let (invite, source) = next(&destination, "INVITE");
    assert_eq!(source, carrier);
    let records = all(&invite, "Record-Route");
    assert_eq!(records.len(), 2, "{invite}");
    assert!(records[0].contains(&carrier.to_string()) && records[1].contains(&siplane.address.to_string()), "{invite}");
    destination.send_to(answer(&invite, "200 OK", to).as_bytes(), source).unwrap();
    let (ok, back) = next(&caller, "SIP/2.0 200");
    assert_eq!(back, siplane.address);

    // RFC 3261 §12.1.2: the caller's route is the Record-Route from its end.
    let route: String = all(&ok, "Record-Route").iter().rev().map(|value| format!("Route: {value}\r\n")).collect();
    let uri = format!("sip:b@{to}");
    for method in ["ACK", "BYE"] {
        caller.send_to(request(method, &uri, from, ";tag=b1", &route).as_bytes(), siplane.address).unwrap();
        let (received, source) = next(&destination, method);
        assert_eq!((source, all(&received, "Route").len()), (carrier, 0), "{received}");
        if method == "BYE" {
            destination.send_to(answer(&received, "200 OK", to).as_bytes(), source).unwrap();
        }
    }
    assert_eq!(next(&caller, "SIP/2.0 200").1, siplane.address);
    assert_eq!(siplane.terminate().code(), Some(0));
}
