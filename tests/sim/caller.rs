//! The calling side: INVITE, CANCEL, ACK for every 2xx, BYE for the forks that are too many; and single requests.

use crate::agent::Agent;
use crate::clock::{TIMEOUT, sooner};
use crate::dialog::{Act, Dialog};
use crate::message::{Message, split_values};
use crate::network::Packet;
use crate::transaction::ClientId;
use core::time::Duration;
use siplane::time::Instant;
use std::net::SocketAddr;

/// What a caller is going to do.
#[derive(Clone, Debug)]
pub(crate) struct CallPlan {
    pub(crate) call_id: String,
    /// INVITE, or a method that makes no dialog.
    pub(crate) method: &'static str,
    pub(crate) start: Instant,
    /// The proxy's address that it calls.
    pub(crate) proxy: SocketAddr,
    /// CANCEL after this time without a final response.
    pub(crate) cancel_after: Option<Duration>,
    /// What it does in the call, by time from the answer.
    pub(crate) acts: Vec<(Duration, Act)>,
    /// Never acknowledges a 2xx.
    pub(crate) no_ack: bool,
    /// Sends the INVITE once more after this time, from its second address.
    pub(crate) second_path: Option<Duration>,
    /// Sits behind another proxy that record-routes (played by the second address).
    pub(crate) edge: bool,
    pub(crate) compact: bool,
    /// Sends no Max-Forwards (RFC 3261 §16.6 item 3: the proxy adds 70).
    pub(crate) no_max_forwards: bool,
}

/// How a call went for its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// A 2xx came.
    Answered,
    /// This final response came.
    Refused(u16),
    /// Timer B or F.
    TimedOut,
    /// No final response within 64*T1 of CANCEL (RFC 3261 §9.1).
    GaveUp,
}

/// One call of a caller.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) plan: CallPlan,
    pub(crate) client: Option<ClientId>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) cancelled: bool,
    pub(crate) ringing: bool,
    message: Option<Message>,
    provisional: bool,
    cancel_at: Option<Instant>,
    second_path_at: Option<Instant>,
    give_up_at: Option<Instant>,
}

impl Call {
    pub(crate) fn new(plan: CallPlan) -> Self {
        Self {
            plan,
            client: None,
            outcome: None,
            cancelled: false,
            ringing: false,
            message: None,
            provisional: false,
            cancel_at: None,
            second_path_at: None,
            give_up_at: None,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.outcome.is_some() {
            return None;
        }
        let start = Some(self.plan.start).filter(|_| self.client.is_none());
        let cancel = self.cancel_at.filter(|_| self.provisional && !self.cancelled);
        sooner(sooner(start, cancel), sooner(self.second_path_at, self.give_up_at))
    }
}

impl Agent {
    pub(crate) fn caller_timeout(&mut self, now: Instant) {
        for index in 0..self.calls.len() {
            let call = &mut self.calls[index];
            if call.outcome.is_some() {
                continue;
            }
            if call.client.is_none() && call.plan.start <= now {
                self.start_call(now, index);
                continue;
            }
            if call.second_path_at.is_some_and(|at| at <= now) {
                call.second_path_at = None;
                let bytes = call.message.as_ref().expect("started").write();
                self.layer.out.push(Packet { from: self.second, to: call.plan.proxy, bytes, shard: None });
            }
            let call = &mut self.calls[index];
            if call.give_up_at.is_some_and(|at| at <= now) {
                call.outcome = Some(Outcome::GaveUp);
                self.layer.abandon(call.client.expect("started"));
            } else if call.provisional && !call.cancelled && call.cancel_at.is_some_and(|at| at <= now) {
                self.cancel(now, index);
            }
        }
    }

    fn start_call(&mut self, now: Instant, index: usize) {
        let message = self.first_request(&self.calls[index].plan.clone());
        let proxy = self.calls[index].plan.proxy;
        let id = self.layer.request(now, &message, proxy);
        let call = &mut self.calls[index];
        call.client = Some(id);
        call.message = Some(message);
        call.cancel_at = call.plan.cancel_after.map(|after| now + after);
        call.second_path_at = call.plan.second_path.map(|after| now + after);
    }

    fn first_request(&mut self, plan: &CallPlan) -> Message {
        let name = |long: &'static str, short: &'static str| if plan.compact { short } else { long };
        let mut message = Message::new(format!("{} sip:+4930{}@example.com SIP/2.0", plan.method, plan.call_id.len()));
        let via = self.via();
        if plan.edge {
            let edge = format!("SIP/2.0/UDP {};branch=z9hG4bK-edge-{}", self.address(), plan.call_id);
            message = message.with(
                name("Via", "v"),
                format!("{edge}, {}", via.replace(&self.address().to_string(), "client.invalid")),
            );
        } else {
            message = message.with(name("Via", "v"), via);
        }
        if !plan.no_max_forwards {
            message = message.with("Max-Forwards", "70");
        }
        if plan.edge && plan.method == "INVITE" {
            message = message.with("Record-Route", format!("<sip:{};lr>", self.second));
        }
        message = message
            .with(
                name("From", "f"),
                format!("\"Caller\" <sip:{}@example.net>;tag={}-{}", self.name, self.name, plan.call_id),
            )
            .with(name("To", "t"), "<sip:callee@example.com>")
            .with(name("Call-ID", "i"), plan.call_id.clone())
            .with("CSeq", format!("7 {}", plan.method))
            .with("X-Untouched", " a , b;c=\"d\" ".trim())
            .with("Supported", "timer, 100rel");
        if plan.method == "INVITE" {
            message = message.with(name("Contact", "m"), self.contact()).with("Content-Type", "application/sdp");
            message.body = String::from("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n");
        }
        message
    }

    /// RFC 3261 §9.1: same Request-URI, Call-ID, To, From, CSeq number, one Via: the top one.
    fn cancel(&mut self, now: Instant, index: usize) {
        let call = &mut self.calls[index];
        call.cancelled = true;
        call.give_up_at = Some(now + TIMEOUT);
        let (invite, proxy) = (call.message.as_ref().expect("started"), call.plan.proxy);
        let cancel = Message::new(format!("CANCEL {} SIP/2.0", invite.uri()))
            .with("Via", split_values(invite.get("Via")).next().unwrap_or_default())
            .with("Max-Forwards", "70")
            .with("From", invite.get("From"))
            .with("To", invite.get("To"))
            .with("Call-ID", invite.get("Call-ID"))
            .with("CSeq", format!("{} CANCEL", invite.cseq().0));
        self.layer.request(now, &cancel, proxy);
    }

    pub(crate) fn on_call_response(&mut self, now: Instant, message: &Message, id: ClientId) {
        let Some(call) = self.calls.iter_mut().find(|call| call.client == Some(id)) else { return };
        let status = message.status();
        if status < 200 {
            call.provisional = true;
            call.ringing |= status > 100;
        } else if status < 300 {
            call.outcome = Some(Outcome::Answered);
            if call.plan.method == "INVITE" && !call.plan.no_ack {
                self.on_answer(now, message, id);
            }
        } else {
            call.outcome.get_or_insert(Outcome::Refused(status));
        }
    }

    /// A 2xx, its retransmission, or another one from a fork (RFC 3261 §13.2.2.4).
    fn on_answer(&mut self, now: Instant, message: &Message, id: ClientId) {
        let known =
            self.dialogs.iter().position(|d| d.remote_tag() == message.to_tag() && d.call_id == message.get("Call-ID"));
        let index = known.unwrap_or_else(|| {
            let call = self.calls.iter().find(|call| call.client == Some(id)).expect("a call");
            let mut dialog = Dialog::of_caller(message);
            if call.plan.edge {
                // The edge is played by this host: what it would strip is left out.
                let own = self.second.to_string();
                dialog.routes.retain(|route| !route.contains(&own));
            }
            let first = self.dialogs.iter().all(|other| other.call_id != dialog.call_id);
            dialog.acts = if first && !call.cancelled {
                call.plan.acts.iter().map(|(after, act)| (now + *after, *act)).collect()
            } else {
                vec![(now, Act::Bye)]
            };
            self.dialogs.push(dialog);
            self.dialogs.len() - 1
        });
        self.acknowledge(index, message.cseq().0);
    }

    pub(crate) fn on_call_timeout(&mut self, id: ClientId) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.client == Some(id)) {
            call.outcome.get_or_insert(Outcome::TimedOut);
        }
    }
}
