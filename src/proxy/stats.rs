//! What the call path counts.

use crate::sip::Defect;
use crate::stats::counters;

counters! {
    /// Counters of one shard's call path. They only grow.
    pub struct Stats {
        /// Requests received, retransmissions and ACK included.
        requests,
        /// Responses received.
        responses,
        /// Requests that an existing transaction absorbed.
        request_retransmissions,
        /// Server transactions created.
        transactions_created,
        /// Initial INVITEs dispatched to a set.
        calls,
        /// Initial INVITEs that got a 2xx.
        calls_answered,
        /// Initial INVITEs that ended with another final answer than 2xx, CANCELled ones included.
        calls_failed,
        /// Requests moved on to the next target of their set.
        failovers,
        /// Branches that ran beside another one of their request from the start: parallel forking.
        forks,
        /// Client branches given up because nothing answered within the set's `answer_timeout`.
        answer_timeouts,
        /// Client transactions that ended by Timer B or F.
        transaction_timeouts,
        /// INVITE branches that ended by Timer C or the early lifetime.
        timer_c,
        /// Requests that could not be sent, or drew an ICMP error.
        request_send_errors,
        /// Responses that could not be sent, or drew an ICMP error.
        response_send_errors,
        /// Our own retransmissions of requests.
        retransmissions_sent,
        /// Our own retransmissions of final responses.
        response_retransmissions_sent,
        /// Responses without a matching transaction: dropped (RFC 6026 §7.3).
        stray_responses,
        /// Responses whose top Via is not ours: dropped (RFC 3261 §18.1.2).
        foreign_responses,
        /// ACKs that nothing waits for and nothing routes: dropped.
        stray_acks,
        /// Requests answered by ourselves without a transaction.
        stateless_replies,
        /// Requests refused because a table or buffer is full.
        refused_full,
        /// New requests refused because we are stopping.
        refused_draining,
        /// New calls refused because more come in than the shard keeps up with.
        refused_overload,
        /// New calls left unanswered for that reason, beyond those that were refused; retransmission brings them again.
        shed_unanswered,
        /// Requests whose set had no destination available.
        no_destination,
        /// Calls refused because no target had room for them: `maxload`, calls per second or overload control.
        no_room,
        /// Requests that went on to the fallback of their set.
        fallbacks,
        /// Requests that no rule takes.
        unrouted,
        /// Requests whose next hop is a name or an address that no listen socket reaches.
        unresolvable,
        /// Loops found (RFC 5393).
        loops,
        /// Dialogs created.
        dialogs_created,
        /// Dialogs that a 2xx made a call of: each ends once, as one of the next four.
        dialogs_confirmed,
        /// Calls whose last leg ended by BYE.
        dialogs_ended,
        /// Calls that ended by their lifetime or their session timer (RFC 4028) instead of BYE.
        dialogs_expired,
        /// Calls given up because nobody acknowledged their 2xx.
        dialogs_unacked,
        /// Calls ended because an end of them did not answer keepalives any more.
        dialogs_dead,
        /// Keepalives sent, retransmissions not counted.
        keepalives,
        /// Keepalives that failed: no answer, 408 or 481.
        keepalive_failures,
        /// Keepalives, or what they need to know, that there was no room for.
        keepalives_skipped,
        /// In-dialog requests whose cookie names no dialog of ours; they follow their Route all the same.
        dialog_misses,
        /// 2xx beyond `limits::FORKS_MAX` tags in one dialog.
        forks_beyond_limit,
        /// Messages that ought not to exist: a bug of ours.
        bugs,
    }
}

/// How often each [`Defect`] was met, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Defects(pub [u64; Defect::COUNT]);

impl Default for Defects {
    fn default() -> Self {
        Self([0; Defect::COUNT])
    }
}

/// How many requests were answered without a transaction, by the code of the answer: these codes by themselves, all others of their
/// class together, as Kamailio's sl module counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StatelessReplies(pub [u64; StatelessReplies::COUNT]);

impl StatelessReplies {
    /// How many counters there are.
    pub const COUNT: usize = 19;
    /// What each counts, in Kamailio's order: a code, the rest of a class, or the rest of all.
    pub const LABELS: [&str; Self::COUNT] = [
        "200", "202", "2xx", "300", "301", "302", "3xx", "400", "401", "403", "404", "407", "408", "483", "4xx", "500",
        "5xx", "6xx", "xxx",
    ];

    /// One more with this code.
    pub(super) fn note(&mut self, code: u16) {
        let place = match code {
            200 => 0,
            202 => 1,
            300 => 3,
            301 => 4,
            302 => 5,
            400 => 7,
            401 => 8,
            403 => 9,
            404 => 10,
            407 => 11,
            408 => 12,
            483 => 13,
            500 => 15,
            other => match other / 100 {
                2 => 2,
                3 => 6,
                4 => 14,
                5 => 16,
                6 => 17,
                _ => 18,
            },
        };
        self.0[place] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stateless_reply_is_counted_under_its_code_or_else_under_its_class() {
        for (code, label) in (0..700).map(|code: u16| {
            let (own, class) = (code.to_string(), format!("{}xx", code / 100));
            let known = |label: &String| StatelessReplies::LABELS.contains(&label.as_str());
            (code, [own, class].into_iter().find(known).unwrap_or_else(|| String::from("xxx")))
        }) {
            let mut replies = StatelessReplies::default();
            replies.note(code);
            let counted = StatelessReplies::LABELS.into_iter().zip(replies.0).filter(|(_, count)| *count > 0);
            assert_eq!(counted.collect::<Vec<_>>(), [(label.as_str(), 1)], "{code}");
        }
    }
}
