//! RFC 3261 §16.6: a request leaves.

use super::Proxy;
use super::branch::{BranchText, CookieText};
use super::request::Incoming;
use super::route::Plan;
use super::settings::SocketId;
use crate::dispatcher::DestinationId;
use crate::limits;
use crate::sip::{Span, push_number};
use std::net::SocketAddr;

/// Where a branch goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hop {
    pub(super) address: SocketAddr,
    /// The destination that the dispatcher chose; `None` when Route or Request-URI said.
    pub(super) destination: Option<DestinationId>,
}

/// What is particular to one branch.
pub(super) struct Parts<'a> {
    pub(super) branch: &'a BranchText,
    /// The socket that it leaves by.
    pub(super) socket: SocketId,
    /// The dialog cookie for our Record-Route.
    pub(super) cookie: Option<CookieText>,
}

impl Proxy {
    /// The socket by which a request to `address` leaves: where its double Record-Route says, else by family.
    pub(super) fn leaves_by(&self, incoming: SocketId, plan: &Plan, address: SocketAddr) -> Option<SocketId> {
        self.names.outgoing(plan.leave_by.unwrap_or(incoming), address)
    }

    /// Appends the request as it is forwarded. Everything that is not named here stays as it is (RFC 3261 §16.6 item 1).
    pub(super) fn write_request(&mut self, incoming: &Incoming<'_>, plan: &Plan, parts: &Parts<'_>, out: &mut Vec<u8>) {
        let message = incoming.message;
        self.splice.clear();
        // RFC 3261 §18.2.1: before anything else, where it came from.
        incoming.stamp.apply(&mut self.splice, &incoming.via);
        self.edit_start_line(incoming, plan);
        self.insert_lines(incoming, parts);
        self.insert_via(incoming, parts);
        self.edit_max_forwards(incoming);
        self.edit_max_breadth(incoming);
        plan.cuts.iter().for_each(|cut| self.splice.remove(*cut));
        self.edit_strict(incoming, plan);
        // RFC 3261 §7.5: empty lines before the request are not passed on.
        let whole = Span { start: message.head.method.start, end: message.end() as u32 };
        self.splice.write_part(message.bytes, whole, out);
    }

    /// RFC 3261 §16.6 item 2: the Request-URI. Untouched but for what §16.4 and a strict next hop ask for.
    fn edit_start_line(&mut self, incoming: &Incoming<'_>, plan: &Plan) {
        let (message, head) = (incoming.message, &incoming.message.head);
        match &plan.next {
            // RFC 3261 §16.6 item 6: the next hop is a strict router: its URI becomes the Request-URI.
            Some(next) if !next.uri.has_param(message.bytes, b"lr") => {
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
            lines.extend_from_slice(b"\r\n");
        });
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
            if !head.max_forwards.is_set() {
                // RFC 3261 §16.6 item 3: 70 when absent.
                lines.extend_from_slice(b"Max-Forwards: 70\r\n");
            }
            if !head.max_breadth.is_set() {
                // RFC 5393 §5.3.3: 60 when absent.
                lines.extend_from_slice(b"Max-Breadth: ");
                push_number(limits::BREADTH_MAX, lines);
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

    fn edit_max_breadth(&mut self, incoming: &Incoming<'_>) {
        let head = &incoming.message.head;
        if head.max_breadth.is_set() && head.max_breadth_value > limits::BREADTH_MAX {
            // RFC 5393 §5.3.3: more than our own bound is overwritten.
            self.splice.replace_with(head.max_breadth.value, |text| push_number(limits::BREADTH_MAX, text));
        }
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
