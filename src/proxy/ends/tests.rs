use super::*;
use crate::sip::scan;

const LEGS_MAX: usize = 4;

fn invite(lines: &str) -> String {
    format!(
        "INVITE sip:b@x SIP/2.0\r\n{lines}From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn ok(lines: &str) -> String {
    format!(
        "SIP/2.0 200 OK\r\n{lines}From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n\r\n"
    )
}

fn empty(legs_max: usize, dialog: Id) -> EndsTable {
    let mut table = EndsTable::new(legs_max, 1, crate::proxy::memory::as_it_comes);
    table.open(Instant::from_nanos(1), dialog, 100);
    table
}

/// Adds the leg with this far tag that an INVITE, as received, and its 2xx make.
fn insert(table: &mut EndsTable, dialog: Id, tag: u32, [invite, got]: [&str; 2], buffers: &mut Buffers) -> bool {
    let told = (CallerOf::Invite(invite.as_bytes()), &scan(got.as_bytes()));
    // Our Record-Route in the answers has one value for each socket.
    let sockets = [SocketId(0), SocketId(u8::from(got.contains("r2=on")))];
    table.insert((Instant::from_nanos(2), dialog, tag), sockets, told, &mut Vec::new(), buffers)
}

/// A table with the leg that these two make, and its only record.
fn table(invite: &str, got: &str, buffers: &mut Buffers) -> (EndsTable, Id) {
    let dialog = Id { index: 3, generation: 1 };
    let mut table = empty(LEGS_MAX, dialog);
    assert!(insert(&mut table, dialog, 200, [invite, got], buffers));
    let id = table.find(dialog, 200).unwrap();
    (table, id)
}

fn written(ends: &Ends, end: End) -> Vec<String> {
    let mut out = Vec::new();
    ends.write_request(end, Method::Options, ends.known(end).cseq, [b"Via: us;branch=", b"b"], &mut out);
    let text = String::from_utf8(out).unwrap();
    text.lines().filter(|line| line.starts_with("OPTIONS") || line.starts_with("Route")).map(str::to_owned).collect()
}

#[test]
fn each_end_has_the_route_set_between_it_and_us() {
    // RFC 3261 §12.1.1, §12.1.2
    let own = "Record-Route: <sip:us;lr;r2=on>\r\nRecord-Route: <sip:us2;lr;r2=on>\r\n";
    let far = "Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8;lr>\r\n";
    let contact = "m: \"A\" <sip:a@192.0.2.9:5070>;q=1, <sip:no>\r\n";
    let received = invite(&format!("{far}{contact}"));
    let beyond = "Record-Route: <sip:192.0.2.21;lr>\r\nRecord-Route: <sip:192.0.2.20:5062;lr> ,";
    let got = ok(&format!("{beyond}{}{far}Contact: sip:b@192.0.2.22\r\n", own.replacen("Record-Route:", "", 1)));
    let mut buffers = Buffers::new(1 << 16);
    let (table, id) = table(&received, &got, &mut buffers);
    let ends = table.get(id).unwrap();
    let caller = ["OPTIONS sip:a@192.0.2.9:5070 SIP/2.0", "Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8;lr>"];
    assert_eq!(written(ends, End::Caller), caller);
    let destination = ["OPTIONS sip:b@192.0.2.22 SIP/2.0", "Route: <sip:192.0.2.20:5062;lr>, <sip:192.0.2.21;lr>"];
    assert_eq!(written(ends, End::Destination), destination);
    let hops = End::BOTH.map(|end| ends.next_hop(end).unwrap().to_string());
    assert_eq!(hops, ["192.0.2.7:5060", "192.0.2.20:5062"]);
}

#[test]
fn a_strict_router_gets_its_own_uri_and_the_target_at_the_end_of_the_route() {
    // RFC 3261 §12.2.1.1
    let own = "Record-Route: <sip:us;lr>\r\n";
    for (far, route) in [
        ("Record-Route: <sip:192.0.2.7>\r\n", "Route: <sip:a@192.0.2.9>"),
        ("Record-Route: <sip:192.0.2.7>, <sip:p;lr>\r\n", "Route: <sip:p;lr>, <sip:a@192.0.2.9>"),
    ] {
        let received = invite(&format!("{far}Contact: <sip:a@192.0.2.9>\r\n"));
        let mut buffers = Buffers::new(1 << 16);
        let (table, id) = table(&received, &ok(&format!("{own}{far}")), &mut buffers);
        let ends = table.get(id).unwrap();
        assert_eq!(written(ends, End::Caller), ["OPTIONS sip:192.0.2.7 SIP/2.0", route]);
        assert_eq!(ends.next_hop(End::Caller), Some(([192, 0, 2, 7], 5060).into()));
        assert_eq!(ends.next_hop(End::Destination), None, "it has said no Contact");
    }
}

#[test]
fn a_contact_that_no_request_of_ours_can_have_is_none() {
    // RFC 3261 §19.1.1
    for contact in ["*", "<sips:a@192.0.2.9>", "<tel:1>", "<sip:a@192.0.2.9?X=y>", "<sip:a b@192.0.2.9>", ""] {
        let mut buffers = Buffers::new(1 << 16);
        let (table, id) = table(&invite(&format!("Contact: {contact}\r\n")), &ok(""), &mut buffers);
        assert_eq!(table.get(id).unwrap().next_hop(End::Caller), None, "{contact}");
    }
}

#[test]
fn a_target_is_replaced_and_nothing_else_and_all_memory_goes_back() {
    // RFC 3261 §12.2.1.2
    let mut buffers = Buffers::new(1 << 16);
    let (mut table, id) = table(
        &invite("Record-Route: <sip:192.0.2.7;lr>\r\nContact: <sip:a@192.0.2.9>\r\n"),
        &ok("Contact: <sip:b@192.0.2.22>\r\n"),
        &mut buffers,
    );
    let dialog = table.get(id).unwrap().dialog;
    let long = format!("Contact: <sip:{}@192.0.2.10>\r\n", "u".repeat(2000));
    for (request, answer) in [("", "Contact: <sip:b@192.0.2.33:5099>\r\n"), (long.as_str(), "")] {
        let (request, answer) = (invite(request), ok(answer));
        let messages = (&scan(request.as_bytes()), &scan(answer.as_bytes()));
        assert!(table.refresh(dialog, [100, 200], messages, &mut Vec::new(), &mut buffers));
    }
    let ends = table.get(id).unwrap();
    assert_eq!(written(ends, End::Destination), ["OPTIONS sip:b@192.0.2.33:5099 SIP/2.0"]);
    let caller = [format!("OPTIONS sip:{}@192.0.2.10 SIP/2.0", "u".repeat(2000)), "Route: <sip:192.0.2.7;lr>".into()];
    assert_eq!(written(ends, End::Caller), caller);
    table.retain(dialog, |_| false, &mut buffers);
    assert_eq!((buffers.in_use_bytes(), table.of(dialog).len()), (0, 0));
}

#[test]
fn a_full_table_and_a_full_pool_take_no_leg() {
    let dialog = Id { index: 0, generation: 1 };
    let (mut table, mut buffers) = (empty(1, dialog), Buffers::new(1 << 16));
    let texts = [&*invite(""), &*ok("")];
    assert!(!insert(&mut table, dialog, 1, texts, &mut Buffers::new(100)));
    assert!(insert(&mut table, dialog, 1, texts, &mut buffers));
    assert!(!insert(&mut table, dialog, 2, texts, &mut buffers));
    assert_eq!((table.of(dialog).len(), buffers.in_use_bytes()), (1, 256));
}

#[test]
fn a_further_leg_shares_its_caller_with_one_that_is_there() {
    // RFC 3261 §13.2.2.4: two forks; by the second 2xx the INVITE is gone.
    let own = "Record-Route: <sip:us;lr>\r\n";
    let far = "Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8;lr>\r\n";
    let received = invite(&format!("{far}Contact: <sip:a@192.0.2.9>\r\n"));
    let beyond =
        |last: u8| format!("Record-Route: <sip:192.0.2.{last};lr>\r\n{own}{far}Contact: <sip:b@192.0.2.2{last}>\r\n");
    let mut buffers = Buffers::new(1 << 16);
    let (mut table, first) = table(&received, &ok(&beyond(1)), &mut buffers);
    let dialog = table.get(first).unwrap().dialog;
    let mut add = |caller: Id, tag: u32| {
        let (leg, answer) = ((Instant::from_nanos(3), dialog, tag), ok(&beyond(2)));
        let told = (CallerOf::Leg(caller), &scan(answer.as_bytes()));
        table.insert(leg, [SocketId(0); 2], told, &mut Vec::new(), &mut buffers)
    };
    assert!(!add(Id::NOBODY, 300) && add(first, 300));
    let [one, two] = [200, 300].map(|tag| table.get(table.find(dialog, tag).unwrap()).unwrap());
    assert_eq!((two.call_id(), written(two, End::Caller)), (one.call_id(), written(one, End::Caller)));
    assert_eq!(two.party(End::Caller).name, b"<sip:a@x>;tag=1");
    assert_eq!(written(one, End::Destination), ["OPTIONS sip:b@192.0.2.21 SIP/2.0", "Route: <sip:192.0.2.1;lr>"]);
    assert_eq!(written(two, End::Destination), ["OPTIONS sip:b@192.0.2.22 SIP/2.0", "Route: <sip:192.0.2.2;lr>"]);
}
