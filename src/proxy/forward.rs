//! RFC 3261 §16.6: a request leaves.

use super::Proxy;
use super::branch::{BranchText, CookieText};
use super::overload::OFFER;
use super::request::Incoming;
use super::route::Plan;
use super::settings::SocketId;
use crate::dispatcher::{Destination, DestinationId, HeaderName};
use crate::limits;
use crate::sip::{Message, Scheme, Span, Uri, push_number};
use std::net::SocketAddr;

/// Where a branch goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hop {
    pub(super) address: SocketAddr,
    /// The destination that the dispatcher chose; `None` when Route or Request-URI said.
    pub(super) destination: Option<DestinationId>,
    /// The socket that this destination asks for.
    pub(super) socket: Option<SocketId>,
    /// The Max-Breadth that it is sent with, 1 to [`limits::BREADTH_MAX`].
    pub(super) breadth: u8,
}

impl Hop {
    /// To where Route or Request-URI say.
    pub(super) const fn routed(address: SocketAddr, breadth: u8) -> Self {
        Self { address, destination: None, socket: None, breadth }
    }

    /// To what the dispatcher chose.
    #[inline]
    pub(super) fn chosen(destination: &Destination, breadth: u8) -> Self {
        let socket = destination.socket.map(SocketId);
        Self { address: destination.address, destination: Some(destination.id), socket, breadth }
    }
}

/// What is particular to one branch.
pub(super) struct Parts<'a> {
    pub(super) branch: &'a BranchText,
    /// The socket that it leaves by.
    pub(super) socket: SocketId,
    /// The dialog cookie for our Record-Route.
    pub(super) cookie: Option<CookieText>,
    /// Its Max-Breadth.
    pub(super) breadth: u8,
    /// The URI of its destination, when the Request-URI is to become that.
    pub(super) target: Option<&'a [u8]>,
    /// A header line for the destination, with its attrs.
    pub(super) attrs: Option<(HeaderName, &'a str)>,
    /// Whether overload control is offered to the destination.
    pub(super) overload_control: bool,
}

impl Proxy {
    /// The socket by which a request leaves: the destination's own, else where its double Record-Route says, else by family.
    #[inline]
    pub(super) fn leaves_by(&self, incoming: SocketId, plan: &Plan, hop: &Hop) -> Option<SocketId> {
        self.names.outgoing(hop.socket.or(plan.leave_by).unwrap_or(incoming), &hop.address)
    }

    /// Appends the request as it is forwarded. Everything that is not named here stays as it is (RFC 3261 §16.6 item 1).
    pub(super) fn write_request(&mut self, incoming: &Incoming<'_>, plan: &Plan, parts: &Parts<'_>, out: &mut Vec<u8>) {
        let message = incoming.message;
        self.splice.clear();
        self.edit_start_line(incoming, plan, parts.target);
        self.insert_lines(incoming, parts);
        self.insert_via(incoming, parts);
        // RFC 3261 §18.2.1: where it came from.
        incoming.stamp.apply(&mut self.splice, &incoming.via);
        self.edit_max_forwards(incoming);
        self.edit_max_breadth(incoming, parts.breadth);
        plan.cuts.iter().for_each(|cut| self.splice.remove(*cut));
        self.edit_strict(incoming, plan);
        // RFC 3261 §7.5: empty lines before the request are not passed on.
        let whole = Span { start: message.head.method.start, end: message.end() as u32 };
        self.splice.write_part(message.bytes, whole, out);
    }

    /// RFC 3261 §16.6 item 2: the Request-URI. Untouched but for what §16.4 and a strict next hop ask for.
    fn edit_start_line(&mut self, incoming: &Incoming<'_>, plan: &Plan, target: Option<&[u8]>) {
        let (message, head) = (incoming.message, &incoming.message.head);
        let target = target.and_then(|target| Some((target, Uri::parse(target, Span::new(0, target.len()))?)));
        match (&plan.next, target) {
            (None, Some((target, uri))) => {
                self.splice.replace_with(head.uri, |out| rewrite(target, &uri, message, plan, out));
            }
            // RFC 3261 §16.6 item 6: the next hop is a strict router: its URI becomes the Request-URI.
            (Some(next), _) if !next.uri.has_param(message.bytes, b"lr") => {
                self.splice.replace_bytes(head.uri, message.text(next.text));
            }
            _ if plan.uri_text != head.uri => self.splice.replace_bytes(head.uri, message.text(plan.uri_text)),
            _ => plan.uri_cuts.iter().for_each(|cut| self.splice.remove(*cut)),
        }
        // RFC 3261 §7.1: the version is sent in upper case.
        let version = Span { start: head.uri.end + 1, end: head.uri.end + 8 };
        if message.text(version) != b"SIP/2.0" {
            self.splice.replace_bytes(version, b"SIP/2.0");
        }
    }

    /// RFC 3261 §16.6 item 6: towards a strict router the Request-URI goes to the end of the route, and its own value away.
    fn edit_strict(&mut self, incoming: &Incoming<'_>, plan: &Plan) {
        let message = incoming.message;
        let Some(next) = plan.next.filter(|next| !next.uri.has_param(message.bytes, b"lr")) else { return };
        self.scratch.clear();
        self.scratch.extend_from_slice(b"Route: <");
        self.scratch.extend_from_slice(message.text(plan.uri_text));
        self.scratch.extend_from_slice(b">\r\n");
        self.splice.remove(next.cut());
        self.splice.insert_bytes(message.head.routes_end, &self.scratch);
    }

    /// RFC 3261 §16.6 item 8: our Via, right above the others: simple readers take adjacent lines for all of them.
    fn insert_via(&mut self, incoming: &Incoming<'_>, parts: &Parts<'_>) {
        let (at, via) = (incoming.message.head.via.line.start, self.names.via(parts.socket));
        self.splice.replace_with(Span { start: at, end: at }, |lines| {
            lines.extend_from_slice(via);
            lines.extend_from_slice(parts.branch);
            if parts.overload_control {
                lines.extend_from_slice(OFFER);
            }
            lines.extend_from_slice(b"\r\n");
        });
        if parts.overload_control {
            // RFC 7339 §5.6: what the one before us offers is between the two of us.
            let bytes = incoming.message.bytes;
            incoming.via.overload_spans(bytes).for_each(|span| self.splice.remove(span));
        }
    }

    /// Our Record-Route above all headers, and what is missing (RFC 3261 §16.6 items 3, 4; RFC 5393 §5.3.3).
    fn insert_lines(&mut self, incoming: &Incoming<'_>, parts: &Parts<'_>) {
        let (head, names) = (&incoming.message.head, &self.names);
        self.splice.replace_with(Span { start: head.headers, end: head.headers }, |lines| {
            if incoming.method.record_routes() {
                // RFC 3261 §16.6 item 4: where the sockets differ, a value for each side, ours towards the next hop on top.
                let double = parts.socket != incoming.socket;
                record_route(names.record_route(parts.socket), double, parts.cookie.as_ref(), lines);
                if double {
                    record_route(names.record_route(incoming.socket), double, parts.cookie.as_ref(), lines);
                }
            }
            if let Some((name, attrs)) = parts.attrs {
                [name.as_bytes(), b": ", attrs.as_bytes(), b"\r\n"]
                    .iter()
                    .for_each(|part| lines.extend_from_slice(part));
            }
            if !head.max_forwards.is_set() {
                // RFC 3261 §16.6 item 3: 70 when absent.
                lines.extend_from_slice(b"Max-Forwards: 70\r\n");
            }
            // RFC 5393 §5.3.3: 60 when absent, and of several branches a share of it.
            if !head.max_breadth.is_set() && u32::from(parts.breadth) == limits::BREADTH_MAX {
                const _: () = assert!(limits::BREADTH_MAX == 60);
                lines.extend_from_slice(b"Max-Breadth: 60\r\n");
            } else if !head.max_breadth.is_set() {
                lines.extend_from_slice(b"Max-Breadth: ");
                push_number(parts.breadth.into(), lines);
                lines.extend_from_slice(b"\r\n");
            }
        });
    }

    fn edit_max_forwards(&mut self, incoming: &Incoming<'_>) {
        let head = &incoming.message.head;
        if head.max_forwards.is_set() {
            // RFC 3261 §16.6 item 3: less by one.
            let less = u32::from(head.max_forwards_value.saturating_sub(1));
            self.splice.replace_with(head.max_forwards.value, |text| push_number(less, text));
        }
    }

    fn edit_max_breadth(&mut self, incoming: &Incoming<'_>, breadth: u8) {
        let head = &incoming.message.head;
        if head.max_breadth.is_set() && head.max_breadth_value != u32::from(breadth) {
            // RFC 5393 §5.3.3: the branch's share; more than our own bound is overwritten.
            self.splice.replace_with(head.max_breadth.value, |text| push_number(breadth.into(), text));
        }
    }
}

/// RFC 5393 §5.3.3: the Max-Breadth of a request for all branches that run at once: 60 when absent, and never more.
pub(super) fn breadth_of(message: &Message<'_>) -> u8 {
    const _: () = assert!(limits::BREADTH_MAX <= u8::MAX as u32);
    let head = &message.head;
    let said = if head.max_breadth.is_set() { head.max_breadth_value } else { limits::BREADTH_MAX };
    said.min(limits::BREADTH_MAX) as u8
}

/// RFC 3261 §16.6 item 2: the URI of the destination in the place of the Request-URI, whose user part is kept when it has one. What
/// may not stand in a Request-URI is left out (§19.1.1: headers and `method`).
fn rewrite(target: &[u8], uri: &Uri, message: &Message<'_>, plan: &Plan, out: &mut Vec<u8>) {
    let is_tel = plan.uri.scheme == Scheme::Tel;
    out.extend_from_slice(if uri.scheme == Scheme::Sips { b"sips:" } else { b"sip:" });
    let user = match plan.uri.user {
        // RFC 3261 §19.1.6: the whole number with its parameters becomes the user part.
        user if is_tel => message.text(Span { start: user.start, end: plan.uri_text.end }),
        // With its password: all up to the `@`.
        user if user.is_set() => message.text(Span { start: user.start, end: plan.uri.host.start - 1 }),
        _ if uri.user.is_set() => &target[uri.user.start as usize..uri.host.start as usize - 1],
        _ => b"",
    };
    out.extend_from_slice(user);
    if !user.is_empty() {
        out.push(b'@');
    }
    out.extend_from_slice(&target[uri.host.start as usize..uri.params.start as usize]);
    for param in uri.params.of(target).split(|byte| *byte == b';').filter(|param| !param.is_empty()) {
        let name = param.split(|byte| *byte == b'=').next().unwrap_or_default();
        if !name.eq_ignore_ascii_case(b"method") {
            out.push(b';');
            out.extend_from_slice(param);
        }
    }
    if is_tel && !uri.has_param(target, b"user") {
        out.extend_from_slice(b";user=phone");
    }
}

/// RFC 3261 §16.6 item 4: our URI, with `lr`; `r2` marks one of two values, `did` names the dialog.
fn record_route(start: &[u8], double: bool, cookie: Option<&CookieText>, out: &mut Vec<u8>) {
    out.extend_from_slice(start);
    if double {
        out.extend_from_slice(b";r2=on");
    }
    if let Some(cookie) = cookie {
        out.extend_from_slice(b";did=");
        out.extend_from_slice(cookie);
    }
    out.extend_from_slice(b">\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::branch::Keys;
    use super::super::names::Names;
    use super::super::settings::Settings;
    use super::*;
    use crate::sip::scan;

    fn rewritten(uri: &str, target: &str) -> String {
        let text = format!("INVITE {uri} SIP/2.0\r\n\r\n");
        let message = scan(text.as_bytes());
        let plan = Plan::new(&message, &Names::new(&Settings::default()), &Keys::new(1)).unwrap();
        let mut out = Vec::new();
        let parsed = Uri::parse(target.as_bytes(), Span::new(0, target.len())).unwrap();
        rewrite(target.as_bytes(), &parsed, &message, &plan, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_destinations_uri_gets_the_user_part_of_the_request() {
        // RFC 3261 §16.6 item 2
        for (uri, target, wanted) in [
            ("sip:b@example.com;x=1", "sip:203.0.113.1:5080;transport=udp", "sip:b@203.0.113.1:5080;transport=udp"),
            ("sip:b:pw@example.com:5070", "sip:[2001:db8::1]", "sip:b:pw@[2001:db8::1]"),
            ("sip:b@example.com", "sip:gw@192.0.2.9", "sip:b@192.0.2.9"),
            ("sip:example.com", "sip:gw:s@192.0.2.9", "sip:gw:s@192.0.2.9"),
            ("sip:example.com", "sip:192.0.2.9", "sip:192.0.2.9"),
            // RFC 3261 §19.1.1: neither headers nor a method in a Request-URI.
            ("sip:b@x", "SIP:192.0.2.9;a;METHOD=INVITE;b=c?Subject=x", "sip:b@192.0.2.9;a;b=c"),
            // RFC 3261 §19.1.6
            ("tel:+1-555;phone-context=x", "sip:192.0.2.9;lr", "sip:+1-555;phone-context=x@192.0.2.9;lr;user=phone"),
            ("tel:112", "sip:192.0.2.9;user=ip", "sip:112@192.0.2.9;user=ip"),
        ] {
            assert_eq!(rewritten(uri, target), wanted, "{uri} to {target}");
        }
    }
}
