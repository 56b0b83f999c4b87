//! A callee fed by hand, on a clock of the test's own.

use super::*;

const ME: &str = "127.0.0.12:5060";
const SOURCE: &str = "127.0.0.1:5099";

struct Scene {
    callee: Callee,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        Self { callee: Callee::new(ME.parse().unwrap()), start: Instant::now() }
    }

    /// Feeds `text`, then alarms until `ms` after the start; start lines of what came out, and all of the last.
    fn step(&mut self, ms: u64, text: &str) -> (Vec<String>, String) {
        let now = self.start + Duration::from_millis(ms);
        if !text.is_empty() {
            self.callee.handle_datagram(now, text.as_bytes(), SOURCE.parse().unwrap());
        }
        self.callee.handle_alarms(now);
        let out: Vec<String> = self.callee.out.drain(..).map(|(bytes, _)| String::from_utf8(bytes).unwrap()).collect();
        let lines = out.iter().map(|text| text.lines().next().unwrap().to_owned()).collect();
        (lines, out.last().cloned().unwrap_or_default())
    }
}

fn request(method: &str, branch: &str, to_tag: &str, headers: &str) -> String {
    format!(
        "{method} sip:b@{ME} SIP/2.0\r\nVia: SIP/2.0/UDP {SOURCE};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
        From: <sip:a@h>;tag=f\r\nTo: <sip:b@h>{to_tag}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\
        Contact: <sip:a@{SOURCE}>\r\n\
        {headers}Content-Length: 0\r\n\r\n"
    )
}

fn tag_in(text: &str) -> String {
    let message = sip::scan(text.as_bytes());
    format!(";tag={}", String::from_utf8_lossy(ua::to_tag(&message)))
}

#[test]
fn a_stranger_is_answered_until_he_acknowledges_and_never_hung_up() {
    // RFC 3261 §13.3.1.4, §17.2.1
    let mut scene = Scene::new();
    let invite = request("INVITE", "1", "", "");
    assert_eq!(scene.step(0, &invite).0, ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing"]);
    assert_eq!(scene.step(100, &invite).0, ["SIP/2.0 180 Ringing"]);
    let (lines, ok) = scene.step(200, "");
    assert_eq!(lines, ["SIP/2.0 200 OK"]);
    assert_eq!(scene.step(700, "").0, ["SIP/2.0 200 OK"]);
    assert_eq!(scene.step(1_000, &request("ACK", "2", &tag_in(&ok), "")).0, [""; 0]);
    assert_eq!(scene.step(60_000, "").0, [""; 0]);
    scene.callee.close_down(scene.start);
    assert!(scene.callee.is_closed_down());
    assert_eq!(scene.step(60_001, &request("BYE", "3", &tag_in(&ok), "")).0, ["SIP/2.0 200 OK"]);
    assert_eq!(scene.step(60_002, &request("BYE", "3", &tag_in(&ok), "")).0, ["SIP/2.0 200 OK"]);
    assert_eq!(
        scene.step(60_003, &request("BYE", "4", &tag_in(&ok), "")).0,
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    let expected = DestinationReport { invites: 1, answered: 1, ended: 1, repeats: 3, strays: 0 };
    assert_eq!(scene.callee.report, expected);
    scene.step(120_000, "");
    assert!(scene.callee.calls.is_empty() && scene.callee.by_key.is_empty() && scene.callee.by_tag.is_empty());
}

#[test]
fn a_2xx_without_ack_ends_in_a_bye_after_64_t1() {
    // RFC 3261 §13.3.1.4
    let mut scene = Scene::new();
    scene.step(0, &request("INVITE", "1", "", ""));
    for ms in (200..32_200).step_by(100) {
        assert!(scene.step(ms, "").0.iter().all(|line| line == "SIP/2.0 200 OK"), "{ms}");
    }
    assert_eq!(scene.step(32_200, "").0, [format!("BYE sip:a@{SOURCE} SIP/2.0")]);
}

#[test]
fn a_cancel_ends_ringing_with_487() {
    // RFC 3261 §9.2, §17.2.3
    let mut scene = Scene::new();
    scene.step(0, &request("INVITE", "1", "", ""));
    let (lines, refused) = scene.step(10, &request("CANCEL", "1", "", ""));
    assert_eq!(lines, ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(scene.step(10_000, &request("ACK", "1", &tag_in(&refused), "")).0, [""; 0]);
    assert_eq!(scene.step(11_000, "").0, [""; 0]);
    assert_eq!(scene.step(11_001, &request("CANCEL", "9", "", "")).0, ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
}

#[test]
fn closing_down_refuses_what_rings_and_hangs_up_what_wished_for_it() {
    let mut scene = Scene::new();
    scene.step(0, &request("INVITE", "1", "", "X-Siplane-Demo: ring_ms=10\r\n"));
    let (_, ok) = scene.step(10, "");
    scene.step(11, &request("ACK", "2", &tag_in(&ok), ""));
    scene.step(12, &request("INVITE", "3", "", "X-Siplane-Demo: ring_ms=10\r\n").replace("Call-ID: c", "Call-ID: d"));
    scene.callee.close_down(scene.start + Duration::from_millis(13));
    let (mut lines, _) = scene.step(13, "");
    lines.sort();
    assert_eq!(lines, [format!("BYE sip:a@{SOURCE} SIP/2.0"), "SIP/2.0 503 Service Unavailable".to_owned()]);
    assert_eq!(scene.step(14, &request("INVITE", "4", "", "")).0, ["SIP/2.0 503 Service Unavailable"]);
    assert!(!scene.callee.is_closed_down());
}

#[test]
fn what_goes_around_the_way_of_its_invite_is_a_stray() {
    // RFC 3261 §16.12
    let mut scene = Scene::new();
    scene.step(0, &request("INVITE", "1", "", ""));
    let (_, ok) = scene.step(200, "");
    let ack = request("ACK", "2", &tag_in(&ok), "Route: <sip:127.0.0.1;lr>\r\n");
    scene.step(201, &ack);
    assert_eq!(scene.callee.report.strays, 1);
    let elsewhere = "127.0.0.9:5060".parse().unwrap();
    scene.callee.handle_datagram(scene.start, request("BYE", "3", &tag_in(&ok), "").as_bytes(), elsewhere);
    assert_eq!(scene.callee.report.strays, 2);
    scene.step(202, &request("BYE", "5", ";tag=unknown", ""));
    assert_eq!(scene.callee.report.strays, 3);
}

#[test]
fn a_call_of_the_caller_is_up_until_its_bye_is_answered_and_a_strangers_is_not_waited_for() {
    let mut scene = Scene::new();
    scene.step(0, &request("INVITE", "1", "", "X-Siplane-Demo: ring_ms=10;bye_ms=30\r\n"));
    scene.step(1, &request("INVITE", "s", "", "").replace("Call-ID: c", "Call-ID: s"));
    assert_eq!(scene.callee.calls_up, 0);
    let (_, ok) = scene.step(10, "");
    scene.step(11, &request("ACK", "2", &tag_in(&ok), ""));
    let (lines, bye) = scene.step(41, "");
    assert_eq!(lines, [format!("BYE sip:a@{SOURCE} SIP/2.0")]);
    assert_eq!(scene.callee.calls_up, 1, "the answer to the BYE is on its way");
    let headers = bye.split_once("\r\n").unwrap().1;
    scene.step(42, &format!("SIP/2.0 200 OK\r\n{headers}"));
    scene.step(300, "");
    assert_eq!((scene.callee.calls_up, scene.callee.report.answered, scene.callee.report.ended), (0, 2, 1));
}
