//! What a transaction-stateful, record-routing proxy over UDP must do with each message of RFC 4475.
//!
//! Policy: the proxy needs, and so checks, the start line, the top Via, From, To, Call-ID, CSeq, Max-Forwards, Content-Length,
//! Route, Record-Route, Proxy-Require and Max-Breadth. RFC 3261 §16.3 item 1: "Any other components, well-formed or not,
//! SHOULD be ignored and remain unchanged when the message is forwarded." Where RFC 4475 leaves an element the choice to be
//! liberal, the row says what *this* proxy chooses; where either choice is right for it, the row allows both.
//!
//! Invariants: one row per file; a response is `Drop` when it matches no transaction (RFC 6026 §7.3); an ACK is never answered
//! (RFC 3261 §17.1.1.3), so it is never `Reject`; a request without a readable top Via cannot be answered, so it is `Drop`.

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request, or its beginning, with the method as it is written.
    Request(&'static str),
    /// A response with its status code as it is written; `bigcode` needs more than 16 bits.
    Response(u64),
    /// Octets that are no SIP message: keep-alives, STUN, HTTP, noise.
    Noise,
}

/// What the proxy must do. Status codes are those of the one response that goes back to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Sent on to the next hop. Every header field line but Via, Record-Route, Route, Max-Forwards and Max-Breadth is
    /// byte-identical and in the same order, so is the body; octets beyond Content-Length are gone (RFC 3261 §18.3).
    Forward,
    /// Answered with one of these status codes; nothing goes to the next hop.
    Reject(&'static [u16]),
    /// Nothing is sent to anyone.
    Drop,
    /// Either: RFC 4475 leaves the choice, and so does the proxy's policy.
    ForwardOrReject(&'static [u16]),
    /// Too little is left of the request to insist on an answer; forwarding is wrong in any case.
    RejectOrDrop(&'static [u16]),
}

/// One message and the duty it puts on the proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation {
    /// Path below `tests/torture/`.
    pub(crate) file: &'static str,
    /// Section of RFC 4475 (`A` is its archive alone), or of the RFC that rules one of our own messages.
    pub(crate) section: &'static str,
    /// What the file holds.
    pub(crate) kind: Kind,
    /// The duty when the datagram arrives alone, with no transaction for it to match.
    pub(crate) outcome: Outcome,
    /// Responses only: the duty when the first Via value is replaced by that of a branch of ours, with the transaction (its
    /// CSeq method and number, its tags) to match. `Drop` then means: not relayed.
    pub(crate) matched: Option<Outcome>,
    /// Well-formed, whatever becomes of it.
    pub(crate) valid: bool,
    /// The reason, in one line.
    pub(crate) why: &'static str,
}

/// A row for a well-formed request, or for noise.
pub(crate) const fn good(
    file: &'static str,
    section: &'static str,
    kind: Kind,
    outcome: Outcome,
    why: &'static str,
) -> Expectation {
    Expectation { file, section, kind, outcome, matched: None, valid: true, why }
}

/// A row for a malformed request.
pub(crate) const fn bad(
    file: &'static str,
    section: &'static str,
    kind: Kind,
    outcome: Outcome,
    why: &'static str,
) -> Expectation {
    Expectation { file, section, kind, outcome, matched: None, valid: false, why }
}

/// A row for a response: alone it is always dropped.
pub(crate) const fn response(
    file: &'static str,
    section: &'static str,
    code: u64,
    matched: Outcome,
    valid: bool,
    why: &'static str,
) -> Expectation {
    let kind = Kind::Response(code);
    Expectation { file, section, kind, outcome: Outcome::Drop, matched: Some(matched), valid, why }
}

impl Expectation {
    /// The octets of the message, as one datagram. Panics when the file is not there.
    pub(crate) fn octets(&self) -> Vec<u8> {
        let path = format!("{}/tests/torture/{}", env!("CARGO_MANIFEST_DIR"), self.file);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

use Kind::Request;
use Outcome::{Drop, Forward, ForwardOrReject, Reject, RejectOrDrop};

/// The 49 messages of RFC 4475 §3, in its order, and the stray `test.dat` of its archive.
#[rustfmt::skip]
pub(crate) const RFC4475: &[Expectation] = &[
    // 3.1.1 Valid messages
    good("wsinv.sip", "3.1.1.1", Request("INVITE"), Forward,
        "all elements should treat it as well formed; proxies forward UnknownHeaderWithUnusualValue unchanged"),
    good("intmeth.sip", "3.1.1.2", Request("!interesting-Method0123456789_*+`.%indeed'~"), Forward,
        "every character is legal where it stands (NUL, BEL, DEL as quoted-pairs); an unknown method is no reason to refuse"),
    good("esc01.sip", "3.1.1.3", Request("INVITE"), Forward,
        "valid %-escapes in URIs; the user part is not a sips URI, and nothing is decoded on the way"),
    good("escnull.sip", "3.1.1.4", Request("REGISTER"), Forward,
        "\"The message is well formed - parsers must accept this message\": %00 does not end a user part"),
    good("esc02.sip", "3.1.1.5", Request("RE%47IST%45R"), Forward,
        "\"The request method is unknown.  It is NOT equivalent to REGISTER\"; C%6Fntact is no Contact"),
    good("lwsdisp.sip", "3.1.1.6", Request("OPTIONS"), Forward,
        "no LWS between display name and <: a bug of the grammar; \"Elements should accept this request as well formed\""),
    good("longreq.sip", "3.1.1.7", Request("INVITE"), Forward,
        "well formed: long values, 34 Via field lines in every spelling, the top one without a branch (RFC 2543 matching)"),
    good("dblreq.sip", "3.1.1.8", Request("REGISTER"), Forward,
        "the octets after the empty body are noise: \"the INVITE octets would not appear in the forwarded request\""),
    good("semiuri.sip", "3.1.1.9", Request("OPTIONS"), Forward,
        "\"Receiving elements will accept this as a well-formed message\": the ; and the %40 belong to the user part"),
    good("transports.sip", "3.1.1.10", Request("OPTIONS"), Forward,
        "any transport in the lower Vias, known or not, is accepted: \"Parsers must accept this message as well formed\""),
    good("mpart01.sip", "3.1.1.11", Request("MESSAGE"), Forward,
        "a binary body with NULs, framed by Content-Length alone; its Route has no lr, so the next hop is a strict router"),
    response("unreason.sip", "3.1.1.12", 200, Forward, true,
        "a reason phrase may be any UTF-8 text; it is relayed as it came"),
    response("noreason.sip", "3.1.1.13", 100, Drop, true,
        "an empty reason phrase is well formed; a 100 ends at this hop (RFC 3261 §16.7 item 5)"),
    // 3.1.2 Invalid messages
    bad("badinv01.sip", "3.1.2.1", Request("INVITE"), Reject(&[400]),
        "empty parameters and values in Via and Contact: an element should answer 400; the top Via is one we need"),
    bad("clerr.sip", "3.1.2.2", Request("INVITE"), Reject(&[400]),
        "Content-Length beyond the datagram: over UDP the element should answer 400 (RFC 3261 §18.3)"),
    bad("ncl.sip", "3.1.2.3", Request("INVITE"), Reject(&[400]),
        "negative Content-Length: the element should answer with an error; over UDP the rest is discarded"),
    bad("scalar02.sip", "3.1.2.4", Request("REGISTER"), Reject(&[400]),
        "CSeq of 2^65: 400 \"due to the CSeq error\", whatever one makes of Max-Forwards 300 and Expires"),
    response("scalarlg.sip", "3.1.2.5", 503, Drop, false,
        "\"An element receiving this response will simply discard it\": CSeq number out of range"),
    bad("quotbal.sip", "3.1.2.6", Request("INVITE"), Reject(&[400]),
        "unterminated quoted string in To: an element should answer 400; where the name ends is a guess"),
    bad("ltgtruri.sip", "3.1.2.7", Request("INVITE"), Reject(&[400]),
        "\"It is reasonable always to reject\" <> around the Request-URI; forwarded, the brackets must go"),
    bad("lwsruri.sip", "3.1.2.8", Request("INVITE"), Reject(&[400]),
        "LWS within the Request-URI: 400; ignoring it is a choice this proxy does not take"),
    bad("lwsstart.sip", "3.1.2.9", Request("INVITE"), Reject(&[400]),
        "more than one SP in the start line: 400; the liberal must not send the extra SP on"),
    bad("trws.sip", "3.1.2.10", Request("OPTIONS"), Reject(&[400]),
        "SP after the SIP-Version: 400; the liberal must not send the extra SP on"),
    bad("escruri.sip", "3.1.2.11", Request("INVITE"), Reject(&[400]),
        "headers in a Request-URI (RFC 3261 §19.1.1 forbids them): 400 is acceptable; forwarded, they must not appear"),
    bad("baddate.sip", "3.1.2.12", Request("INVITE"), Forward,
        "a Date that is not GMT: an element \"could ignore this value altogether if it wasn't going to use\" it"),
    bad("regbadct.sip", "3.1.2.13", Request("REGISTER"), Forward,
        "a Contact that lacks its <>: for the registrar to judge; a proxy does not use Contact"),
    bad("badaspec.sip", "3.1.2.14", Request("OPTIONS"), ForwardOrReject(&[400]),
        "spaces within the addr-spec of To: reasonable to reject, \"elements attempting to be liberal may ignore the spaces\""),
    bad("baddn.sip", "3.1.2.15", Request("OPTIONS"), RejectOrDrop(&[400]),
        "unquoted comma in display names, which a proxy must not propagate; the archive's copy also lacks the empty line"),
    bad("badvers.sip", "3.1.2.16", Request("OPTIONS"), Reject(&[505]),
        "SIP/7.0, in the start line and in Via: an element should answer 505"),
    bad("mismatch01.sip", "3.1.2.17", Request("OPTIONS"), Reject(&[400]),
        "the method differs from the CSeq method: 400"),
    bad("mismatch02.sip", "3.1.2.18", Request("NEWMETHOD"), Reject(&[400, 501]),
        "unknown method, and CSeq says INVITE: 501 or 400; a proxy has no 501 of its own, so 400"),
    response("bigcode.sip", "3.1.2.19", 4_294_967_301, Drop, false,
        "\"An element receiving this response should simply drop it\"; modulo 2^32 it would be a 5"),
    // 3.2 Transaction layer semantics
    bad("badbranch.sip", "3.2.1", Request("OPTIONS"), ForwardOrReject(&[400]),
        "the cookie with nothing after it: 400, statelessly, or \"fall back to the RFC 2543-style transaction identifier\""),
    // 3.3 Application-layer semantics
    bad("insuf.sip", "3.3.1", Request("INVITE"), Reject(&[400]),
        "no Call-ID, From or To: must not break; ideally a 400"),
    good("unkscm.sip", "3.3.2", Request("OPTIONS"), Reject(&[416]),
        "\"An element receiving this request will reject it with a 416\"; the syntax is fine"),
    good("novelsc.sip", "3.3.3", Request("OPTIONS"), Reject(&[416]),
        "soap.beep will never be routed here, so \"it is appropriate to treat it as unknown\": 416"),
    good("unksm2.sip", "3.3.4", Request("REGISTER"), Forward,
        "any scheme in To, From and Contact: proxies treat it as any other request for this Request-URI"),
    good("bext01.sip", "3.3.5", Request("OPTIONS"), Reject(&[420]),
        "two unknown Proxy-Require options: 420, Unsupported lists those two and not the ones of Require"),
    good("invut.sip", "3.3.6", Request("INVITE"), Forward,
        "a body of unknown type is for the endpoint (415); a proxy processes it as any other INVITE"),
    good("regaut01.sip", "3.3.7", Request("REGISTER"), Forward,
        "an unknown Authorization scheme is for the registrar; a proxy does not read Authorization"),
    bad("multi01.sip", "3.3.8", Request("INVITE"), Reject(&[400]),
        "two each of Call-ID, To, From, Max-Forwards, CSeq: must not break; 400"),
    bad("mcl01.sip", "3.3.9", Request("OPTIONS"), Reject(&[400]),
        "two Content-Length values that differ: an error, and over UDP the rest of the datagram is discarded"),
    response("bcast.sip", "3.3.10", 200, Forward, true,
        "the next Via is 255.255.255.255: harmless here, for it goes where the request came from, never where a Via says"),
    good("zeromf.sip", "3.3.11", Request("OPTIONS"), Reject(&[483]),
        "legal, but it may not go further: 483 (RFC 3261 §16.3 item 3)"),
    good("cparam01.sip", "3.3.12", Request("REGISTER"), Forward,
        "a contact-param, not a URI parameter: the registrar's business"),
    good("cparam02.sip", "3.3.13", Request("REGISTER"), Forward,
        "an unknown URI parameter in Contact: the registrar's business"),
    good("regescrt.sip", "3.3.14", Request("REGISTER"), Forward,
        "a header escaped in a Contact URI: the registrar's business"),
    good("sdp01.sip", "3.3.15", Request("INVITE"), Forward,
        "an Accept nobody can meet: the endpoint answers 406"),
    // 3.4 Backward compatibility
    good("inv2543.sip", "3.4.1", Request("INVITE"), Forward,
        "RFC 2543: no branch, no From tag, no Max-Forwards (one is added), no Content-Length (the body is the rest)"),
    bad("test.sip", "A", Request("INVITE"), Drop,
        "in the archive, in no section: no SIP-Version, no Via; nothing to answer to"),
];
