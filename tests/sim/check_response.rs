//! What a response that the proxy sends must be.

use crate::checks::{Checks, Context, Verdict, ensure};
use crate::clock::{TIMEOUT, ms};
use crate::lines::{all_values, cseq_method, server_key, whole};
use siplane::dispatcher::Exhausted;
use siplane::proxy::Transmit;
use siplane::sip::Message;
use siplane::time::Instant;

impl Checks {
    pub(crate) fn response_sent(
        &mut self,
        now: Instant,
        out: &Transmit<'_>,
        message: &Message<'_>,
        status: u16,
    ) -> Verdict {
        let method = cseq_method(message);
        // RFC 3261 §17.1.1.3
        ensure(method != "ACK", || String::from("an answer to ACK"))?;
        let vias = all_values(message, "via");
        let key = server_key(vias.first().ok_or("a response without Via")?, &method);
        let context = self.contexts.get(&key).ok_or_else(|| format!("a response to nothing: {key}"))?;
        // RFC 3261 §18.2.2, RFC 3581 §4
        let paths = if context.branches.is_empty() { &context.paths[..] } else { &context.paths[..1] };
        let home = paths.contains(&out.destination) && out.socket == context.socket;
        ensure(home, || {
            format!("goes to {} by {:?}, not to {paths:?} by {:?}", out.destination, out.socket, context.socket)
        })?;
        let form = whole(message, 0);
        if self.is_refusal(&key, status, message) {
            return Ok(());
        }
        let Some(context) = self.contexts.get(&key) else { return Ok(()) };
        // A transaction that had no room for any branch answers the same again.
        if self.is_tight && context.branches.is_empty() && context.said_before.as_ref() == Some(&form) {
            self.contexts.entry(key).and_modify(|context| context.final_sent = Some((status, form)));
            return Ok(());
        }
        let relayed = context.responses.contains(&form);
        match status {
            100 => trying(now, context, relayed)?,
            101..200 => {
                // RFC 3261 §16.7 item 5; RFC 4320 §4.1
                ensure(method == "INVITE" && relayed, || format!("{status} to {method} that no branch brought"))?;
                let early = context.final_sent.is_none() && !context.success_sent;
                ensure(early, || format!("{status} after the final response"))?;
            }
            200..300 if method == "INVITE" => {
                // RFC 6026 §7.1: 2xx retransmissions are relayed, none made by us.
                ensure(self.cause.as_ref() == Some(&form), || format!("{status} that did not just come in"))?;
            }
            _ => self.final_response(now, context, status, &form, relayed)?,
        }
        let Some(context) = self.contexts.get_mut(&key) else { return Ok(()) };
        if status >= 300 || status >= 200 && method != "INVITE" {
            context.final_sent.get_or_insert((status, form));
        } else if status >= 200 {
            context.success_sent = true;
        }
        Ok(())
    }

    /// Whether this refuses a request for lack of room; so often as was counted.
    fn is_refusal(&mut self, key: &str, status: u16, message: &Message<'_>) -> bool {
        let Some(context) = self.contexts.get_mut(key).filter(|context| context.branches.is_empty()) else {
            return false;
        };
        let refused = status == 503 && self.refused > 0 && all_values(message, "retry-after") == ["10"];
        if refused {
            (self.refused, self.refusals) = (self.refused - 1, self.refusals + 1);
            context.final_sent = Some((status, whole(message, 0)));
            context.refused = true;
        }
        refused
    }

    /// A final response that is not a 2xx to INVITE.
    fn final_response(&self, now: Instant, context: &Context, status: u16, form: &[u8], relayed: bool) -> Verdict {
        // RFC 3261 §16.7 items 5 and 6: one only.
        ensure(!context.success_sent, || format!("{status} after 2xx"))?;
        if context.method == "CANCEL" && relayed {
            // RFC 3261 §16.11: what went on without state comes back so, as often as it is answered.
            return ensure(self.cause.as_deref() == Some(form), || {
                format!("{status} to CANCEL that did not just come in")
            });
        }
        if context.method == "CANCEL" && self.table_changes && status == 481 {
            // RFC 3261 §9.2: nobody is left to be asked, and there was when it came before.
            return Ok(());
        }
        if let Some((first, bytes)) = &context.final_sent {
            return ensure(bytes == form, || format!("{status} after {first}"));
        }
        if context.method != "INVITE" {
            // RFC 4320 §4.2
            ensure(status != 408, || String::from("408 to a non-INVITE"))?;
            let waited = self.timers_until.saturating_since(context.at);
            ensure(waited < TIMEOUT, || String::from("a late response to a non-INVITE"))?;
        }
        if !relayed {
            let own: &[u16] = match context.method.as_str() {
                "CANCEL" => &[200, 481],
                "INVITE" => &[408, 487, 500, 503],
                _ => &[500, 503, 504],
            };
            ensure(own.contains(&status), || format!("{status} to {} that no branch brought", context.method))?;
        }
        if !context.is_new || status < 300 {
            return Ok(());
        }
        // RFC 3261 §16.7 item 6: 6xx first; a lone 503 is not relayed.
        ensure(!context.declined || status >= 600 || self.lapsed(context), || format!("{status} although a 6xx came"))?;
        ensure(status != 503 || !relayed, || String::from("503 relayed"))?;
        self.justified(now, context, status)
    }

    /// A call may fail only when nothing is left that might take it.
    fn justified(&self, now: Instant, context: &Context, status: u16) -> Verdict {
        let branches: Vec<_> = context.branches.iter().map(|branch| &self.branches[branch]).collect();
        let running = branches.iter().find(|branch| self.runs(now, branch)).filter(|_| self.at_once() > 1);
        ensure(running.is_none(), || format!("{status} while {:?} runs", running.map(|branch| branch.destination)))?;
        let codes = branches.iter().filter_map(|branch| branch.final_code);
        let decided = codes.into_iter().any(|code| !self.set.failover_codes.contains(code));
        if decided || context.cancelled || context.declined {
            return Ok(());
        }
        // Branches before the last one were given up when it was started.
        let pending = branches.last().filter(|branch| !self.is_over(now, branch));
        ensure(pending.is_none(), || {
            format!("{status} while {:?} is pending", pending.map(|branch| branch.destination))
        })?;
        let wanted = context.available;
        // RFC 3261 §16.8: a call that has rung until Timer C gets no other target.
        let rang_too_long = context.method == "INVITE" && now.saturating_since(context.first_at) > ms(180_000);
        let passed_over = self.lapses + self.refused - context.lapses_before;
        let all = branches.len() + passed_over as usize >= wanted || self.table_changes || rang_too_long;
        ensure(all, || format!("{status} after {} of {wanted} targets", branches.len()))?;
        let exhausted = (self.set.exhausted == Exhausted::ServiceUnavailable || branches.is_empty()) && !rang_too_long;
        ensure(!exhausted || status == 503 || context.method != "INVITE", || format!("{status} instead of 503"))
    }
}

/// RFC 3261 §16.7 item 5: a 100 is ours; RFC 4320 §4.1: to non-INVITE only late.
fn trying(now: Instant, context: &Context, relayed: bool) -> Verdict {
    ensure(!relayed, || String::from("100 relayed"))?;
    let late = now.saturating_since(context.first_at) >= ms(3500);
    ensure(context.method == "INVITE" || late, || String::from("an early 100 to a non-INVITE"))?;
    ensure(context.final_sent.is_none() && !context.success_sent, || String::from("100 after the final response"))
}
