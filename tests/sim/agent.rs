//! A user agent: transactions below, calls above (`caller.rs`, `callee.rs`), and here what both sides do within a
//! dialog.

use crate::callee::{CalleePlan, Incoming};
use crate::caller::Call;
use crate::clock::{T1, T2, TIMEOUT, ms, sooner};
use crate::dialog::{Act, Dialog, Life, Unacked};
use crate::message::Message;
use crate::network::Packet;
use crate::transaction::{ClientId, Event, Layer};
use core::time::Duration;
use siplane::time::Instant;
use std::collections::HashMap;
use std::net::SocketAddr;

/// When a BYE is sent again that was refused for lack of room.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// One user agent with one address and a second one (another interface, or another port of its host).
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) second: SocketAddr,
    pub(crate) layer: Layer,
    pub(crate) dialogs: Vec<Dialog>,
    pub(crate) calls: Vec<Call>,
    pub(crate) incoming: Vec<Incoming>,
    /// What this callee does with a call, by Call-ID.
    pub(crate) plans: HashMap<String, CalleePlan>,
    branches: u64,
    /// Requests in a dialog with a CSeq number lower than the last one's.
    pub(crate) out_of_order: u32,
}

impl Agent {
    pub(crate) fn new(name: String, address: SocketAddr, second: SocketAddr) -> Self {
        Self {
            name,
            second,
            layer: Layer::new(address),
            dialogs: Vec::new(),
            calls: Vec::new(),
            incoming: Vec::new(),
            plans: HashMap::new(),
            branches: 0,
            out_of_order: 0,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.layer.local
    }

    /// A fresh Via value of ours.
    pub(crate) fn via(&mut self) -> String {
        self.branches += 1;
        let rport = if self.branches.is_multiple_of(2) { ";rport" } else { "" };
        format!("SIP/2.0/UDP {}{rport};branch=z9hG4bK-{}-{}", self.address(), self.name, self.branches)
    }

    pub(crate) fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.name, self.second)
    }

    /// It is gone, with all that it knew.
    pub(crate) fn vanish(&mut self) {
        self.layer = Layer::new(self.address());
        self.incoming.clear();
        self.plans.clear();
        for dialog in &mut self.dialogs {
            (dialog.life, dialog.unacked, dialog.reinvite_pending) = (Life::Ended, None, false);
            dialog.acts.clear();
        }
    }

    /// Nothing under way, nothing planned.
    pub(crate) fn is_idle(&self) -> bool {
        self.layer.is_idle()
            && self.dialogs.iter().all(|dialog| dialog.life == Life::Ended && dialog.unacked.is_none())
            && self.calls.iter().all(|call| call.outcome.is_some())
            && self.incoming.iter().all(|incoming| incoming.acts.is_empty())
    }

    /// What keeps it from being idle, for a failure message.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let dialogs = self.dialogs.iter().filter(|dialog| dialog.life != Life::Ended || dialog.unacked.is_some());
        let dialogs = dialogs.map(|d| format!("{} {} {:?} {:?}", d.call_id, d.local_tag(), d.life, d.acts));
        let calls = self.calls.iter().filter(|call| call.outcome.is_none()).map(|call| call.plan.call_id.clone());
        let busy = (!self.layer.is_idle()).then(|| String::from("transactions"));
        dialogs.chain(calls).chain(busy).map(|what| format!("{}: {what}", self.name)).collect()
    }

    pub(crate) fn receive(&mut self, now: Instant, packet: &Packet) {
        match self.layer.receive(now, packet.from, &packet.bytes) {
            Some(Event::Request(message, key)) => self.on_request(now, &message, &key),
            Some(Event::Ack(message)) => self.on_ack(&message),
            Some(Event::Response(message, id)) => self.on_response(now, &message, id),
            Some(Event::Timeout(id)) => self.on_timeout(id),
            None => {}
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let dialogs = self.dialogs.iter().map(|dialog| {
            let unacked =
                dialog.unacked.as_ref().and_then(|unacked| sooner(Some(unacked.next_at), Some(unacked.ends_at)));
            let act = dialog.acts.first().map(|act| act.0).filter(|_| dialog.life == Life::Live);
            sooner(unacked, act)
        });
        let calls = self.calls.iter().map(Call::poll_timeout);
        let incoming = self.incoming.iter().map(|incoming| incoming.acts.first().map(|act| act.at));
        dialogs.chain(calls).chain(incoming).fold(self.layer.poll_timeout(), sooner)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for event in self.layer.handle_timeout(now) {
            if let Event::Timeout(id) = event {
                self.on_timeout(id);
            }
        }
        self.callee_timeout(now);
        self.caller_timeout(now);
        for index in 0..self.dialogs.len() {
            self.resend_2xx(now, index);
            self.act(now, index);
        }
    }

    fn on_request(&mut self, now: Instant, message: &Message, key: &str) {
        match message.method() {
            "CANCEL" => self.on_cancel(now, message, key),
            _ if !message.to_tag().is_empty() => self.on_dialog_request(now, message, key),
            _ => self.on_new_request(now, message, key),
        }
    }

    fn on_ack(&mut self, message: &Message) {
        let lost = self.plans.get_mut(message.get("Call-ID")).is_some_and(|plan| {
            let lost = plan.lost_acks > 0;
            plan.lost_acks = plan.lost_acks.saturating_sub(1);
            lost
        });
        let Some(dialog) = self.dialogs.iter_mut().find(|dialog| dialog.matches(message)) else { return };
        if !lost && dialog.unacked.as_ref().is_some_and(|unacked| unacked.cseq == message.cseq().0) {
            (dialog.unacked, dialog.acked) = (None, true);
        }
    }

    fn on_response(&mut self, now: Instant, message: &Message, id: ClientId) {
        if self.calls.iter().any(|call| call.client == Some(id)) {
            return self.on_call_response(now, message, id);
        }
        let status = message.status();
        let Some(index) = self.dialogs.iter().position(|dialog| dialog.bye == Some(id) || dialog.reinvite == Some(id))
        else {
            if let Some(dialog) =
                self.dialogs.iter_mut().find(|d| status >= 200 && d.local_tag() == message.sender_tag())
            {
                dialog.extras_answered += 1;
            }
            return;
        };
        let dialog = &mut self.dialogs[index];
        if dialog.bye == Some(id) {
            if status == 503 && dialog.life == Life::Leaving {
                // RFC 3261 §21.5.4: for now; there may be room later.
                (dialog.life, dialog.bye) = (Life::Live, None);
                dialog.acts.push((now + RETRY_AFTER, Act::Bye));
            } else if status >= 200 {
                dialog.life = Life::Ended;
            }
        } else if status >= 200 {
            dialog.reinvite_pending = false;
            dialog.extras_answered += 1;
        }
        if dialog.reinvite == Some(id) && (200..300).contains(&status) {
            self.acknowledge(index, message.cseq().0);
        }
    }

    fn on_timeout(&mut self, id: ClientId) {
        self.on_call_timeout(id);
        for dialog in &mut self.dialogs {
            if dialog.bye == Some(id) {
                dialog.life = Life::Ended;
            }
            dialog.reinvite_pending &= dialog.reinvite != Some(id);
        }
    }

    /// RFC 3261 §13.2.2.4: every 2xx, retransmissions too, gets its ACK, which is the same each time.
    pub(crate) fn acknowledge(&mut self, index: usize, cseq: u32) {
        if self.dialogs[index].ack.as_ref().is_none_or(|ack| ack.0 != cseq) {
            let via = self.via();
            let (ack, to) = self.dialogs[index].request("ACK", Some(cseq), via);
            self.dialogs[index].ack = Some((cseq, ack.write(), to));
        }
        if let Some((_, bytes, to)) = self.dialogs[index].ack.clone() {
            self.layer.send(to, bytes);
        }
    }

    fn on_dialog_request(&mut self, now: Instant, message: &Message, key: &str) {
        let found = self.dialogs.iter().position(|dialog| dialog.matches(message) && dialog.life != Life::Ended);
        let Some(index) = found else { return self.layer.respond(now, key, &message.response(481, "")) };
        let (cseq, method) = message.cseq();
        let dialog = &mut self.dialogs[index];
        if cseq < dialog.remote_cseq {
            // RFC 3261 §12.2.2
            self.out_of_order += 1;
            return self.layer.respond(now, key, &message.response(500, ""));
        }
        dialog.remote_cseq = cseq;
        match method {
            "BYE" => {
                (dialog.life, dialog.unacked) = (Life::Ended, None);
                self.layer.respond(now, key, &message.response(200, ""));
            }
            // RFC 3261 §14.2: not while another INVITE is under way.
            "INVITE" if dialog.unacked.is_some() || dialog.reinvite_pending => {
                self.layer.respond(now, key, &message.response(491, ""));
            }
            "INVITE" => {
                let response = message.response(200, "").with("Contact", self.contact());
                self.accept(now, key, &response, index);
            }
            _ => self.layer.respond(now, key, &message.response(200, "")),
        }
    }

    /// Sends a 2xx to an INVITE and again until its ACK comes.
    pub(crate) fn accept(&mut self, now: Instant, key: &str, response: &Message, index: usize) {
        let Some(to) = self.layer.reply_to(key) else { return };
        self.layer.respond(now, key, response);
        self.dialogs[index].unacked = Some(Unacked {
            cseq: response.cseq().0,
            bytes: response.write(),
            to,
            interval: T1,
            next_at: now + T1,
            ends_at: now + TIMEOUT,
        });
    }

    fn resend_2xx(&mut self, now: Instant, index: usize) {
        let dialog = &mut self.dialogs[index];
        let Some(unacked) = dialog.unacked.as_mut() else { return };
        if unacked.ends_at <= now {
            // RFC 3261 §13.3.1.4: no ACK for 64*T1: the dialog is there, and should be ended with BYE.
            dialog.unacked = None;
            dialog.acts = vec![(now, Act::Bye)];
        } else if unacked.next_at <= now {
            unacked.interval = (unacked.interval * 2).min(T2);
            unacked.next_at = now + unacked.interval;
            let (to, bytes) = (unacked.to, unacked.bytes.clone());
            self.layer.send(to, bytes);
        }
    }

    fn act(&mut self, now: Instant, index: usize) {
        let dialog = &mut self.dialogs[index];
        if dialog.life != Life::Live || dialog.acts.first().is_none_or(|act| act.0 > now) {
            return;
        }
        if dialog.unacked.is_some() || dialog.reinvite_pending {
            // RFC 3261 §15: no BYE before the ACK; and one INVITE at a time.
            dialog.acts[0].0 = now + ms(500);
            return;
        }
        let (method, act) = match dialog.acts.remove(0).1 {
            Act::Bye => ("BYE", Act::Bye),
            Act::Info => ("INFO", Act::Info),
            Act::ReInvite => ("INVITE", Act::ReInvite),
            Act::Options => ("OPTIONS", Act::Options),
        };
        let via = self.via();
        let (mut message, to) = self.dialogs[index].request(method, None, via);
        if act == Act::ReInvite {
            message = message.with("Contact", self.contact());
            message.body = String::from("v=0\r\nre-invite\r\n");
        }
        let id = self.layer.request(now, &message, to);
        let dialog = &mut self.dialogs[index];
        match act {
            Act::Bye => (dialog.life, dialog.bye) = (Life::Leaving, Some(id)),
            Act::ReInvite => (dialog.reinvite, dialog.reinvite_pending) = (Some(id), true),
            Act::Info | Act::Options => {}
        }
    }
}
