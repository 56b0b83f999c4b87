//! A dialog as a user agent keeps it (RFC 3261 §12): tags, remote target, route set, CSeq numbers; what is still to
//! happen in it.

use crate::message::{Message, address_of, param, uri_of};
use crate::transaction::ClientId;
use core::time::Duration;
use siplane::time::Instant;
use std::net::SocketAddr;

/// What a user agent does in an established dialog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    Bye,
    Info,
    ReInvite,
    Options,
}

/// A 2xx that waits for its ACK (RFC 3261 §13.3.1.4).
#[derive(Clone, Debug)]
pub(crate) struct Unacked {
    pub(crate) cseq: u32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) to: SocketAddr,
    pub(crate) interval: Duration,
    pub(crate) next_at: Instant,
    pub(crate) ends_at: Instant,
}

/// How a dialog stands with its user agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// Established.
    Live,
    /// Our BYE is out.
    Leaving,
    /// BYE was answered or received.
    Ended,
}

/// One dialog.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    /// The branch of the INVITE that a callee answered.
    pub(crate) branch: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) cseq: u32,
    pub(crate) remote_cseq: u32,
    pub(crate) life: Life,
    /// What is to be done, earliest first.
    pub(crate) acts: Vec<(Instant, Act)>,
    /// Our last 2xx to an INVITE, not yet acknowledged.
    pub(crate) unacked: Option<Unacked>,
    /// Whether the first 2xx was acknowledged.
    pub(crate) acked: bool,
    /// The ACK for our last INVITE: its CSeq, bytes, and where it goes.
    pub(crate) ack: Option<(u32, Vec<u8>, SocketAddr)>,
    pub(crate) bye: Option<ClientId>,
    /// Our last INVITE in this dialog, and whether it has no final response yet.
    pub(crate) reinvite: Option<ClientId>,
    pub(crate) reinvite_pending: bool,
    /// Requests in this dialog that got a final response, BYE aside.
    pub(crate) extras_answered: u32,
}

impl Dialog {
    fn new(message: &Message, local: String, remote: String, routes: Vec<String>) -> Self {
        Self {
            call_id: message.get("Call-ID").to_owned(),
            branch: message.branch().to_owned(),
            local,
            remote,
            target: uri_of(message.get("Contact")).to_owned(),
            routes,
            cseq: 0,
            remote_cseq: 0,
            life: Life::Live,
            acts: Vec::new(),
            unacked: None,
            acked: false,
            ack: None,
            bye: None,
            reinvite: None,
            reinvite_pending: false,
            extras_answered: 0,
        }
    }

    /// The caller's side, from a 2xx (RFC 3261 §12.1.2: Record-Route in reverse order).
    pub(crate) fn of_caller(response: &Message) -> Self {
        let routes: Vec<_> = response.values("Record-Route").into_iter().rev().collect();
        let mut dialog = Self::new(response, response.get("From").to_owned(), response.get("To").to_owned(), routes);
        dialog.cseq = response.cseq().0;
        dialog
    }

    /// The callee's side, from the INVITE and its 2xx (RFC 3261 §12.1.1: Record-Route in order).
    pub(crate) fn of_callee(invite: &Message, response: &Message) -> Self {
        let routes = invite.values("Record-Route");
        let mut dialog = Self::new(invite, response.get("To").to_owned(), response.get("From").to_owned(), routes);
        dialog.remote_cseq = invite.cseq().0;
        dialog.cseq = 1000;
        dialog
    }

    pub(crate) fn local_tag(&self) -> &str {
        param(&self.local, "tag").unwrap_or_default()
    }

    pub(crate) fn remote_tag(&self) -> &str {
        param(&self.remote, "tag").unwrap_or_default()
    }

    /// Whether `message`, received by this side, belongs to this dialog.
    pub(crate) fn matches(&self, message: &Message) -> bool {
        self.local_tag() == message.to_tag()
            && self.remote_tag() == message.sender_tag()
            && self.call_id == message.get("Call-ID")
    }

    /// A request within the dialog (RFC 3261 §12.2.1.1) and where it goes; `via` is our Via value.
    pub(crate) fn request(&mut self, method: &str, cseq: Option<u32>, via: String) -> (Message, SocketAddr) {
        let number = cseq.unwrap_or_else(|| {
            self.cseq += 1;
            self.cseq
        });
        let loose = self.routes.first().is_none_or(|route| has_lr(route));
        let (uri, routes) = if loose {
            (self.target.clone(), self.routes.clone())
        } else {
            // RFC 3261 §12.2.1.1: a strict router gets its own URI as Request-URI, the target goes to the end.
            let mut rest = self.routes[1..].to_vec();
            rest.push(format!("<{}>", self.target));
            (uri_of(&self.routes[0]).to_owned(), rest)
        };
        let next = if loose { routes.first().map_or(uri.as_str(), |route| uri_of(route)) } else { uri.as_str() };
        let to = address_of(next).unwrap_or_else(|| panic!("next hop {next} is no address"));
        let mut message = Message::new(format!("{method} {uri} SIP/2.0")).with("Via", via).with("Max-Forwards", "70");
        for route in &routes {
            message = message.with("Route", route.clone());
        }
        let message = message
            .with("From", self.local.clone())
            .with("To", self.remote.clone())
            .with("Call-ID", self.call_id.clone())
            .with("CSeq", format!("{number} {method}"));
        (message, to)
    }
}

/// Whether the URI in a Route value says that its element is a loose router (RFC 3261 §16.12).
pub(crate) fn has_lr(route: &str) -> bool {
    uri_of(route).split(';').skip(1).any(|param| param == "lr" || param.starts_with("lr="))
}
