//! Header values: what is read of them is in them, and reads the same when it is written in the plainest spelling.

use siplane::sip::{NameAddr, Span, Uri, Via, host_address, values};

pub(crate) fn run(data: &[u8]) {
    let all = Span::new(0, data.len());
    for value in values(data, all) {
        assert!(value.start <= value.end && value.end as usize <= data.len());
    }
    // The scanner lets no other line end into a value than that of a folded line.
    if data.windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n')) || data.contains(&0) {
        return;
    }
    via(data, all);
    name_addr(data, all);
    if let Some(uri) = Uri::parse(data, all) {
        assert!([uri.user, uri.host, uri.params, uri.headers].iter().all(|part| part.end <= all.end));
        let _ = (uri.address(data), uri.params(data).count(), host_address(uri.host.of(data)));
    }
}

fn via(data: &[u8], all: Span) {
    let Some(via) = Via::parse(data, all) else { return };
    assert!(via.value.end <= all.end && via.next.is_none_or(|next| next <= all.end && next > via.value.end));
    let _ = via.overload(data);
    assert!(via.overload_spans(data).all(|span| span.end <= via.value.end));
    let port = via.port.map(|port| format!(":{port}")).unwrap_or_default();
    let mut plain = [b"SIP/2.0/", via.transport.of(data), b" ", via.host.of(data), port.as_bytes()].concat();
    for (name, part) in [("branch", via.branch), ("received", via.received), ("maddr", via.maddr)] {
        plain.extend([&b";"[..], name.as_bytes(), b"=", part.of(data)].concat().into_iter().take(part.len() * 99));
    }
    let again = Via::parse(&plain, Span::new(0, plain.len())).expect("a Via");
    let told =
        |via: &Via, bytes: &[u8]| [via.host, via.branch, via.received, via.maddr].map(|at| at.of(bytes).to_vec());
    assert_eq!((told(&again, &plain), again.port), (told(&via, data), via.port));
}

fn name_addr(data: &[u8], all: Span) {
    let Some(one) = NameAddr::parse(data, all) else { return };
    assert!(one.uri.end <= one.value.end && one.value.end <= all.end && one.tag.end <= all.end);
    assert_eq!(NameAddr::whole(data, all).is_some(), one.next.is_none());
    let mut plain = [b"<", one.uri.of(data), b">"].concat();
    plain.extend([b";tag=", one.tag.of(data)].concat().into_iter().take(one.tag.len() * 99));
    let again = NameAddr::whole(&plain, Span::new(0, plain.len())).expect("a name-addr");
    assert_eq!((again.uri.of(&plain), again.tag.of(&plain)), (one.uri.of(data), one.tag.of(data)));
}
