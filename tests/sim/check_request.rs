//! What a request that the proxy sends must be.

use crate::checks::{Branch, Checks, Context, Verdict, ensure};
use crate::clock::{T1, s};
use crate::dialog::has_lr;
use crate::lines::{all_values, first_line, has_to_tag, rest, server_key, stamped, text};
use crate::message::{address_of, param, sent_by, uri_of};
use siplane::dispatcher::{Destination, SetId, Table};
use siplane::proxy::Transmit;
use siplane::sip::{Message, scan};
use siplane::time::Instant;

/// Headers that a proxy changes in a request that it forwards (RFC 3261 §16.6).
const CHANGED: [&str; 5] = ["via", "record-route", "route", "max-forwards", "max-breadth"];

impl Checks {
    pub(crate) fn request_sent(
        &mut self,
        now: Instant,
        table: &Table,
        out: &Transmit<'_>,
        message: &Message<'_>,
    ) -> Verdict {
        let (method, vias) = (text(message.text(message.head.method)), all_values(message, "via"));
        let ours = &self.listen[usize::from(out.socket.0)].advertised;
        // RFC 3261 §16.6 item 8
        ensure(sent_by(&vias[0]) == ours, || format!("top Via {} is not of socket {}", vias[0], out.socket.0))?;
        let branch = param(&vias[0], "branch").unwrap_or_default().to_owned();
        ensure(branch.len() > 8 && branch.starts_with("z9hG4bK"), || format!("branch {branch}"))?;
        if vias.len() == 1 {
            return match method.as_str() {
                "CANCEL" => self.cancel_sent(now, out, message, &branch),
                "ACK" => self.hop_ack_sent(out, message, &branch),
                "OPTIONS" | "BYE" if self.keeps_alive => self.own_sent(now, out, message, &branch),
                _ => Err(String::from("a request from nowhere: no Via below ours")),
            };
        }
        let key = server_key(&vias[1], &method);
        let context = self.contexts.get(&key).ok_or_else(|| format!("a request from nowhere: {key}"))?;
        if let Some(known) = self.branches.get_mut(&branch) {
            ensure(known.context == key, || format!("branch {branch} is of {} already", known.context))?;
            // What has no transaction goes to whoever is available then, by a socket that reaches it.
            let moves = method == "CANCEL" && self.table_changes;
            ensure(moves || known.bytes == out.bytes, || String::from("a retransmission with other bytes"))?;
            let same = moves || known.destination == out.destination && known.socket == out.socket;
            ensure(same, || String::from("a retransmission to elsewhere"))?;
            let spacing = now.saturating_since(known.resent_at);
            known.resent_at = now;
            known.sends += 1;
            // RFC 3261 §16.11, §17.1.1.2: an ACK for 2xx, and a CANCEL of nothing known, have no transaction and go on as often as they come.
            if method == "ACK" || method == "CANCEL" {
                let (sends, arrivals) = (known.sends, context.paths.len());
                return ensure(sends as usize <= arrivals, || format!("sent {sends} times, came {arrivals} times"));
            }
            ensure(spacing >= T1, || format!("retransmitted after {spacing:?}"))?;
            return ensure(known.final_code.is_none(), || String::from("retransmitted after the final"));
        }
        let target = self.target(table, context, out);
        self.forwarded(table, context, target, out, message, &vias)?;
        self.offers(&vias[0], target)?;
        if context.is_new {
            self.dispatched(now, table, context, out)?;
        } else if method == "CANCEL" {
            // RFC 3261 §16.10: a CANCEL of nothing known is passed on; any destination may get it.
            let known = self.set.destinations.iter().any(|destination| destination.address == out.destination);
            self.stray_cancels += 1;
            ensure(known, || format!("CANCEL goes to {}", out.destination))?;
        } else {
            self.follows_route(context, out)?;
            self.keeps_its_socket(context, out)?;
        }
        let double = context.socket != out.socket;
        let foretold = context.branches.is_empty() && context.firsts.as_ref().is_some_and(|firsts| firsts.len() == 1);
        let sent = Branch {
            context: key.clone(),
            destination: out.destination,
            target: target.map(|target| target.id),
            socket: out.socket,
            bytes: out.bytes.to_vec(),
            sent_at: now,
            resent_at: now,
            sends: 1,
            heard_at: None,
            provisional: false,
            final_code: None,
            final_at: None,
            finals: 0,
            acks: 0,
            failed_to_send: false,
            cancel: None,
        };
        self.branches.insert(branch.clone(), sent);
        if let Some(target) = target {
            let counts = &mut self.ledger.counts;
            counts.own_sockets += u64::from(target.socket.is_some() && double);
            counts.foretold += u64::from(foretold);
            self.ledger.placed(now, table, target, method == "INVITE")?;
        }
        self.contexts.entry(key).and_modify(|context| context.branches.push(branch));
        Ok(())
    }

    /// RFC 3261 §16.6: what may change, and nothing else.
    fn forwarded(
        &self,
        table: &Table,
        context: &Context,
        target: Option<&Destination>,
        out: &Transmit<'_>,
        message: &Message<'_>,
        vias: &[String],
    ) -> Verdict {
        let received = scan(&context.bytes);
        let line = self.first_line_for(table, context, target);
        ensure(line == first_line(message), || {
            format!("request line {}, not {}", text(first_line(message)), text(&line))
        })?;
        let was = [self.lines_for(table, target), rest(&received, &CHANGED)].concat();
        let is = rest(message, &CHANGED);
        ensure(was == is, || format!("headers or body changed:\n{}\nwas\n{}", text(&is), text(&was)))?;
        let mut expected = all_values(&received, "via");
        expected[0] = stamped(&expected[0], context.source);
        ensure(vias[1..] == expected, || format!("Vias below ours are {:?}, not {expected:?}", &vias[1..]))?;
        // RFC 3261 §16.6 item 3
        let hops = if received.head.max_forwards.is_set() { received.head.max_forwards_value - 1 } else { 70 };
        ensure(message.head.max_forwards_value == hops, || format!("Max-Forwards is not {hops}"))?;
        // RFC 5393 §5.3.3
        let (is, breadth) = (message.head.max_breadth_value, breadth_of(&context.bytes));
        let forks = context.is_new && self.at_once() > 1;
        ensure(is == breadth || forks && (1..=breadth).contains(&is), || format!("Max-Breadth is {is} of {breadth}"))?;
        self.record_routed(context, out, message, &received)?;
        let routes = self.routes_left(&received);
        let left = all_values(message, "route");
        ensure(left == routes, || format!("Route is {left:?}, not {routes:?}"))
    }

    /// RFC 3261 §16.6 item 4.
    fn record_routed(
        &self,
        context: &Context,
        out: &Transmit<'_>,
        message: &Message<'_>,
        received: &Message<'_>,
    ) -> Verdict {
        let (is, was) = (all_values(message, "record-route"), all_values(received, "record-route"));
        let own = is.len().saturating_sub(was.len());
        ensure(is[own..] == was[..], || format!("Record-Route {is:?} is not on top of {was:?}"))?;
        let wanted = match (context.method.as_str(), out.socket == context.socket) {
            ("INVITE" | "SUBSCRIBE" | "REFER" | "NOTIFY" | "UPDATE", same) => 2 - usize::from(same),
            _ => own,
        };
        ensure(own == wanted, || format!("{own} Record-Routes of ours instead of {wanted}"))?;
        for (at, value) in is[..own].iter().enumerate() {
            let socket = if at == 0 { out.socket } else { context.socket };
            let ours = &self.listen[usize::from(socket.0)].advertised;
            let host = uri_of(value).strip_prefix("sip:").and_then(|uri| uri.split(';').next());
            ensure(has_lr(value) && host == Some(ours), || {
                format!("Record-Route {value} is not a loose one of {ours}")
            })?;
        }
        Ok(())
    }

    /// RFC 3261 §16.4: Route values without those on top that are ours.
    fn routes_left(&self, received: &Message<'_>) -> Vec<String> {
        let is_ours =
            |value: &String| address_of(uri_of(value)).is_some_and(|at| self.listen.iter().any(|l| l.address == at));
        all_values(received, "route").into_iter().skip_while(is_ours).collect()
    }

    /// A request within a dialog, or one with a Route: it follows the Route, then the Request-URI.
    fn follows_route(&self, context: &Context, out: &Transmit<'_>) -> Verdict {
        let received = scan(&context.bytes);
        let routes = self.routes_left(&received);
        let uri = text(received.text(received.head.uri));
        let next = routes.first().map_or(uri.as_str(), |route| uri_of(route));
        ensure(address_of(next) == Some(out.destination), || format!("goes to {} and not to {next}", out.destination))
    }

    /// A request that the dispatcher placed: targets of the set, each once, the next one only for a reason.
    fn dispatched(&self, now: Instant, table: &Table, context: &Context, out: &Transmit<'_>) -> Verdict {
        let targets = table.sets().iter().flat_map(|set| &set.destinations);
        let target = targets.into_iter().find(|destination| destination.address == out.destination);
        let target = target.ok_or_else(|| format!("{} is not in the set", out.destination))?;
        ensure(table.states().is_available(target.state), || format!("{} is not available", out.destination))?;
        self.leaves_by(context, target, out)?;
        self.last_resort_waits(table, context, target)?;
        self.comes_first(context, target)?;
        let earlier: Vec<_> = context.branches.iter().map(|branch| &self.branches[branch]).collect();
        let of_set = |branch: &&&Branch| {
            let set = table.set(target.set).into_iter().flat_map(|set| &set.destinations);
            set.into_iter().any(|destination| destination.address == branch.destination)
        };
        let tried = earlier.iter().filter(of_set).count();
        ensure(tried < self.set.failover_limit, || String::from("more targets than failover_limit"))?;
        // A fallback's turn comes when the set before has nothing left.
        let left = context.available_first.saturating_sub(earlier.len() - tried);
        let lapsed = self.lapsed(context);
        ensure(target.set == SetId(1) || left == 0 || self.table_changes || lapsed, || {
            format!("{left} targets were left")
        })?;
        let twice = earlier.iter().any(|branch| branch.destination == out.destination);
        ensure(!twice, || format!("{} was tried already", out.destination))?;
        ensure(!context.cancelled, || String::from("a new branch after CANCEL"))?;
        ensure(!context.answered, || String::from("a new branch after 2xx"))?;
        // RFC 3261 §16.7 item 5
        ensure(!context.declined, || String::from("a new branch after 6xx"))?;
        ensure(context.final_sent.is_none(), || String::from("a new branch after the final response"))?;
        if self.at_once() > 1 {
            return self.forked(now, context, &earlier, out, target.set);
        }
        // Those before the last one were looked at when it was started.
        if let Some(branch) = earlier.last() {
            let failed = branch.final_code.is_none_or(|code| self.set.failover_codes.contains(code));
            ensure(failed, || format!("failover after {:?}", branch.final_code))?;
            ensure(self.is_over(now, branch), || format!("failover while {} is pending", branch.destination))?;
        }
        Ok(())
    }

    /// One of several branches: no more at once than the set has, with no more breadth than the request (RFC 5393 §5.3.3).
    fn forked(&self, now: Instant, context: &Context, earlier: &[&Branch], out: &Transmit<'_>, set: SetId) -> Verdict {
        let running: Vec<_> = earlier.iter().filter(|branch| self.runs(now, branch)).collect();
        ensure(running.len() < self.at_once(), || format!("a new branch beside {}", running.len()))?;
        let of_first = |branch: &&Branch| self.set.destinations.iter().any(|it| it.address == branch.destination);
        let waits = set != SetId(1) && running.iter().copied().any(of_first);
        ensure(!waits, || String::from("the fallback is entered while a branch of the first set runs"))?;
        let breadth: u32 = running.iter().map(|branch| breadth_of(&branch.bytes)).chain([breadth_of(out.bytes)]).sum();
        let whole = breadth_of(&context.bytes);
        ensure(breadth <= whole, || format!("branches of breadth {breadth} for one of {whole}"))?;
        let decides = |branch: &&Branch| {
            let code = branch.final_code.filter(|_| !self.is_given_up(branch));
            code.is_some_and(|code| !self.set.failover_codes.contains(code))
        };
        let decided = earlier.iter().copied().find(decides).map(|branch| branch.final_code);
        ensure(decided.is_none(), || format!("failover after {decided:?}"))
    }

    /// RFC 3261 §9.1, §16.7 item 10, §16.10.
    fn cancel_sent(&mut self, now: Instant, out: &Transmit<'_>, message: &Message<'_>, branch: &str) -> Verdict {
        let given_up = self.branches.get(branch).is_some_and(|known| self.is_given_up(known));
        let serial = self.at_once() == 1;
        let known = self.branches.get_mut(branch).ok_or("CANCEL of no branch")?;
        let context = &self.contexts[&known.context];
        ensure(!context.past, || String::from("CANCEL of a branch of a process that died"))?;
        let same = known.destination == out.destination && known.socket == out.socket;
        ensure(same, || String::from("CANCEL goes elsewhere than its INVITE"))?;
        if let Some((_, first)) = &known.cancel {
            return ensure(first == out.bytes, || String::from("a CANCEL retransmission with other bytes"));
        }
        known.cancel = Some((now, out.bytes.to_vec()));
        ensure(context.method == "INVITE", || String::from("CANCEL of another method than INVITE"))?;
        ensure(known.provisional, || String::from("CANCEL before a provisional response"))?;
        ensure(known.final_code.is_none(), || String::from("CANCEL after the final response"))?;
        // Timer C is more than 3 minutes; an early dialog lives for 5.
        let old = now.saturating_since(known.sent_at) >= s(180) || now.saturating_since(context.at) >= s(300);
        let moved_on = if serial { context.branches.last().is_some_and(|last| last != branch) } else { given_up };
        let wanted = context.cancelled
            || context.answered
            || context.declined
            || old
            || moved_on
            || context.final_sent.is_some();
        ensure(wanted, || String::from("CANCEL without a reason"))?;
        let invite = scan(&known.bytes);
        like_invite(message, &invite)?;
        ensure(message.text(message.head.to.value) == invite.text(invite.head.to.value), || {
            String::from("To of CANCEL")
        })?;
        let none = all_values(message, "require").is_empty() && all_values(message, "proxy-require").is_empty();
        ensure(none, || String::from("CANCEL with Require"))
    }

    /// RFC 3261 §17.1.1.3.
    fn hop_ack_sent(&mut self, out: &Transmit<'_>, message: &Message<'_>, branch: &str) -> Verdict {
        let known = self.branches.get_mut(branch).ok_or("ACK of no branch")?;
        let same = known.destination == out.destination && known.socket == out.socket;
        ensure(same, || String::from("ACK goes elsewhere than its INVITE"))?;
        let past = self.contexts.get(&known.context).is_some_and(|context| context.past);
        ensure(!past, || String::from("ACK on a branch of a process that died"))?;
        known.acks += 1;
        ensure(known.acks <= known.finals, || format!("{} ACKs for {} finals", known.acks, known.finals))?;
        like_invite(message, &scan(&known.bytes))?;
        self.acknowledged(branch);
        ensure(has_to_tag(message), || String::from("To of the ACK has no tag"))
    }
}

/// RFC 5393 §5.3.3: 60 when absent.
fn breadth_of(bytes: &[u8]) -> u32 {
    let head = scan(bytes).head;
    if head.max_breadth.is_set() { head.max_breadth_value } else { 60 }
}

/// What CANCEL and ACK of a hop share with their INVITE.
fn like_invite(message: &Message<'_>, invite: &Message<'_>) -> Verdict {
    for (name, is, was) in [
        ("Request-URI", message.head.uri, invite.head.uri),
        ("From", message.head.from.value, invite.head.from.value),
        ("Call-ID", message.head.call_id.value, invite.head.call_id.value),
    ] {
        ensure(message.text(is) == invite.text(was), || format!("{name} is not that of the INVITE"))?;
    }
    ensure(message.head.cseq_number == invite.head.cseq_number, || String::from("CSeq is not that of the INVITE"))?;
    let (is, was) = (all_values(message, "via"), all_values(invite, "via"));
    ensure(is[0] == was[0], || format!("Via {} is not {}", is[0], was[0]))?;
    let (is, was) = (all_values(message, "route"), all_values(invite, "route"));
    ensure(is == was, || format!("Route {is:?} is not {was:?}"))
}
