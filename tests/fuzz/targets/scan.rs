//! The scanner: it never panics, what it points at is in the message, and the quick look for the Call-ID sees what the scan sees.

use siplane::proxy::owner_of;
use siplane::sip::{Span, Start, fields, find_call_id, scan};

pub(crate) fn run(data: &[u8]) {
    let message = scan(data);
    let head = &message.head;
    let lines = [head.via, head.from, head.to, head.call_id, head.cseq, head.max_forwards, head.max_breadth]
        .into_iter()
        .chain([head.content_length, head.route, head.proxy_require, head.timestamp]);
    let inside = |span: Span| span.start <= span.end && span.end as usize <= data.len();
    for line in lines.filter(|line| line.is_set()) {
        assert!(inside(line.line) && inside(line.value), "{line:?}");
        assert!(line.line.start <= line.value.start && line.value.end <= line.line.end, "{line:?}");
    }
    assert!([head.method, head.uri, head.cseq_method, head.vias, head.body].into_iter().all(inside));
    assert!(head.headers as usize <= data.len() && head.headers_end as usize <= data.len());
    assert!(fields(&message).all(|field| inside(field.line) && inside(field.name) && inside(field.value)));
    let _ = (message.top_via(), message.from(), message.to());
    if message.defect.is_some() {
        return;
    }
    assert!(head.start != Start::Noise && head.headers <= head.headers_end && head.headers_end < head.body.start);
    assert!(!message.call_id().iter().any(u8::is_ascii_whitespace), "white space in a Call-ID");
    assert_eq!(find_call_id(data), Some(message.call_id()));
    let again = scan(&data[..message.end()]);
    assert_eq!((again.defect, again.call_id(), again.end()), (None, message.call_id(), message.end()));
    assert!(owner_of(message.call_id(), 3) < 3);
}
