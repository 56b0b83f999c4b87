//! New calls that the shard has no time for: refused without state at a fraction of a call's cost, or left unanswered.
//!
//! Only INVITEs that would begin a call are: what belongs to a dialog or a transaction goes on, and emergency and authorized calls are
//! taken (RFC 7339 §5.10.1).

use super::overload::is_prioritized;
use super::reject::retry_after;
use super::request::Incoming;
use super::{Proxy, Turn};
use crate::limits::{OVERLOAD_REPORT_MS, OVERLOAD_RETRY_AFTER_S_MAX};
use crate::sip::{Feedback, Method, Status};

/// What a shard that is offered more than it can take does about new calls, from when this is said until it is said anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shedding {
    /// So many are refused; the rest is left unanswered, which costs less and brings the same INVITE again when there may be room.
    pub refusals: u32,
    /// Percent of the new calls that are not taken now, as those who asked for it are told (RFC 7339 §4).
    pub loss_percent: u32,
}

impl Proxy {
    /// From now on new calls are not taken; with `None` they are.
    pub const fn shed(&mut self, shedding: Option<Shedding>) {
        self.shedding = shedding;
    }

    /// Whether a request that no transaction knows is left out.
    #[inline]
    pub(super) fn leaves_out(&self, incoming: &Incoming<'_>) -> bool {
        self.shedding.is_some()
            && incoming.method == Method::Invite
            && !incoming.in_dialog()
            && !is_prioritized(incoming)
    }

    /// Whom a new call was addressed to that was left unanswered not long ago: host and port as its Request-URI spells them.
    #[must_use]
    pub fn left_out_host(&self) -> &[u8] {
        &self.left_out_host
    }

    /// One of some is enough.
    fn note_host(&mut self, incoming: &Incoming<'_>) {
        const ONE_OF: u64 = 64;
        if self.stats.shed_unanswered.is_multiple_of(ONE_OF) {
            let uri = incoming.message.text(incoming.message.head.uri);
            let host = uri.splitn(2, |byte| *byte == b'@').nth(1).unwrap_or_default();
            let end = host.iter().position(|byte| b";?".contains(byte)).unwrap_or(host.len());
            self.left_out_host.clear();
            self.left_out_host.extend_from_slice(&host[..end]);
        }
    }

    /// RFC 3261 §21.5.4: 503, or no answer at all.
    pub(super) fn leave_out(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>) {
        let Some(shedding) = &mut self.shedding else { return };
        let Some(left) = shedding.refusals.checked_sub(1) else {
            self.stats.shed_unanswered += 1;
            return self.note_host(incoming);
        };
        shedding.refusals = left;
        self.stats.refused_overload += 1;
        let feedback = Feedback {
            loss_percent: shedding.loss_percent,
            validity_ms: OVERLOAD_REPORT_MS,
            sequence_ms: turn.now.as_nanos() / 1_000_000,
        };
        self.scratch.clear();
        if incoming.via.offers_loss(incoming.message.bytes) {
            // RFC 7339 §5.10.2: who heeds reports sends less by them; Retry-After would have it send nothing at all.
            return self.reply_with_feedback(turn, incoming, Status::SERVICE_UNAVAILABLE, &feedback);
        }
        // Drawn for each, so that not all come back at once.
        retry_after(1 + self.random.below(u64::from(OVERLOAD_RETRY_AFTER_S_MAX)) as u32, &mut self.scratch);
        self.reply_with_scratch(turn, incoming.message, incoming.datagram(), Status::SERVICE_UNAVAILABLE, "");
    }
}
