//! What requests of the proxy's own must be: keepalives within calls, and the BYEs that end a call whose end is dead.

use crate::check_target::Side;
use crate::checks::{Checks, Verdict, ensure};
use crate::clock::{T1, TIMEOUT};
use crate::lines::{all_values, has_to_tag, text};
use crate::message::{address_of, param, uri_of};
use siplane::proxy::Transmit;
use siplane::sip::Message;
use siplane::time::Instant;
use std::net::SocketAddr;

/// A request of the proxy's own.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    is_bye: bool,
    bytes: Vec<u8>,
    destination: SocketAddr,
    sent_at: Instant,
    resent_at: Instant,
    answered: bool,
}

impl Checks {
    /// RFC 3261 §12.2.1.1, §17.1.2.2.
    pub(crate) fn own_sent(
        &mut self,
        now: Instant,
        out: &Transmit<'_>,
        message: &Message<'_>,
        branch: &str,
    ) -> Verdict {
        if let Some(known) = self.own.get_mut(branch) {
            ensure(known.bytes == out.bytes, || String::from("a retransmission with other bytes"))?;
            ensure(known.destination == out.destination, || String::from("a retransmission to elsewhere"))?;
            let spacing = now.saturating_since(known.resent_at);
            known.resent_at = now;
            ensure(spacing >= T1, || format!("retransmitted after {spacing:?}"))?;
            return ensure(!known.answered, || String::from("retransmitted after the final"));
        }
        let call_id = text(message.call_id());
        let begun =
            |context: &&crate::checks::Context| context.call_id == call_id && context.is_new && context.answered;
        let invite = self.contexts.values().find(begun);
        let invite = invite.ok_or_else(|| format!("a request of our own in {call_id}, which is no call"))?;
        ensure(has_to_tag(message), || String::from("a request of our own outside of a dialog"))?;
        let names = [message.head.from, message.head.to].map(|name| text(message.text(name.value)));
        let invite = crate::message::Message::parse(&invite.bytes);
        let caller = names.iter().position(|name| param(name, "tag") == Some(invite.sender_tag()));
        let caller = caller.ok_or("neither From nor To is the caller's")?;
        ensure(names[caller] == invite.get("From"), || format!("{} is not {}", names[caller], invite.get("From")))?;
        let routes = all_values(message, "route");
        let uri = text(message.text(message.head.uri));
        let next = routes.first().map_or(uri.as_str(), |route| uri_of(route));
        ensure(address_of(next) == Some(out.destination), || format!("goes to {} and not to {next}", out.destination))?;
        let side = if caller == 0 { Side::Callee } else { Side::Caller };
        ensure(self.has_socket(&call_id, side, out), || format!("leaves by {:?}", out.socket))?;
        let is_bye = message.text(message.head.method) == b"BYE";
        if caller == 0 {
            let least = invite.cseq().0 + u32::from(is_bye);
            ensure(message.head.cseq_number >= least, || format!("CSeq below {least}"))?;
        }
        let (bytes, destination) = (out.bytes.to_vec(), out.destination);
        let own = Own { is_bye, bytes, destination, sent_at: now, resent_at: now, answered: false };
        self.own.insert(branch.to_owned(), own);
        Ok(())
    }

    pub(crate) fn own_answered(&mut self, branch: &str, status: u16) {
        if let Some(own) = self.own.get_mut(branch) {
            own.answered |= status >= 200;
        }
    }

    /// Whether a BYE of the proxy's own may still be on its way.
    pub(crate) fn is_hanging_up(&self, now: Instant) -> bool {
        self.own.values().any(|own| own.is_bye && !own.answered && now.saturating_since(own.sent_at) < TIMEOUT + T1)
    }
}
