//! What would become of a request, by the very steps that a request takes, without one being sent, counted or reserved.
//!
//! Meant for a [`Proxy`] of its own, beside the shards: what it counts of itself is nobody's figure.

use super::failover::{Choice, input};
use super::request::{Decision, Incoming};
use super::route::Plan;
use super::rules::{Facts, Mismatch, mismatch};
use super::{Datagram, Policy, Proxy};
use crate::dispatcher::{SetId, SetView, Targets};
use crate::sip::{Blame, Method, Start, scan};
use crate::time::Instant;
use std::net::SocketAddr;

/// What would become of a request, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The rules that were asked, in order: why each does not take it, and none for the one that does.
    pub rules: Vec<Option<Mismatch>>,
    /// The sets that it comes to, in the order of the fallback chain.
    pub sets: Vec<SetStep>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It goes to the targets of the last set.
    Dispatched,
    /// Its Route or Request-URI says where it goes, past the dispatcher.
    Routed(SocketAddr),
    /// It gets this answer; the phrase says why when it is not the status's own.
    Answered(u16, &'static str),
    /// It is dropped: it is no request that could be answered.
    Dropped(&'static str),
    /// It is an OPTIONS that asks us.
    Ours,
}

/// One set that a request comes to.
#[derive(Clone, Debug)]
pub struct SetStep {
    /// Which.
    pub set: SetId,
    /// What selection says of it.
    pub view: SetView,
    /// The target set.
    pub targets: Targets,
    /// What is hashed of the request, as text; empty when nothing is.
    pub hashed: String,
}

impl Explanation {
    fn of(outcome: Outcome) -> Self {
        Self { rules: Vec::new(), sets: Vec::new(), outcome }
    }
}

impl Proxy {
    /// What would become of this datagram under `policy` at `now`, if it began something new.
    #[must_use]
    pub fn explain(&mut self, now: Instant, policy: &Policy, datagram: Datagram<'_>) -> Explanation {
        let message = scan(datagram.bytes);
        if let Some(defect) = message.defect {
            return Explanation::of(refused(defect.blame(), defect.label()));
        }
        let Start::Request(method) = message.head.start else {
            return Explanation::of(Outcome::Dropped("not a request"));
        };
        if matches!(method, Method::Ack | Method::Cancel) {
            return Explanation::of(Outcome::Dropped("an ACK or CANCEL follows its INVITE"));
        }
        let incoming = match Incoming::read(&message, method, datagram.source, datagram.socket) {
            Ok(incoming) => incoming,
            Err(defect) => return Explanation::of(refused(defect.blame(), defect.label())),
        };
        match Plan::new(&message, &self.names, &self.keys) {
            Ok(plan) => self.explain_route(now, policy, &incoming, &plan),
            Err(defect) => Explanation::of(refused(defect.blame(), defect.label())),
        }
    }

    fn explain_route(&mut self, now: Instant, policy: &Policy, incoming: &Incoming<'_>, plan: &Plan) -> Explanation {
        let decision = self.decide(policy, incoming, plan);
        let mut explanation = Explanation::of(match decision {
            Decision::Options => return Explanation::of(Outcome::Ours),
            Decision::Set(..) => Outcome::Dispatched,
            Decision::Address(address) => Outcome::Routed(address),
            Decision::Answer(status, phrase) => Outcome::Answered(status.code(), phrase),
        });
        if plan.next.is_none() && !incoming.in_dialog() {
            explanation.rules = asked(policy, incoming, plan);
        }
        if let Err(refusal) = self.check(incoming) {
            explanation.outcome = Outcome::Answered(refusal.status().code(), "");
        } else if let Decision::Set(first, _) = decision {
            let Self { random, scratch, .. } = self;
            let choice = Choice::by(&policy.table, first, |set, targets| {
                let input = input(now, set, incoming, plan, scratch);
                let view = set.explain(policy.table.states(), &input, random, targets);
                let hashed = [input.hash_key, input.hash_host].map(String::from_utf8_lossy);
                let hashed = hashed.join(if input.hash_host.is_empty() { "" } else { "@" });
                explanation.sets.push(SetStep { set: set.id, view, targets: *targets, hashed });
            });
            if choice.targets.is_empty() {
                explanation.outcome = Outcome::Answered(503, "No destination available");
            }
        }
        explanation
    }
}

/// The rules up to the one that takes the request.
fn asked(policy: &Policy, incoming: &Incoming<'_>, plan: &Plan) -> Vec<Option<Mismatch>> {
    let facts = Facts { message: incoming.message, uri: &plan.uri, source: incoming.source.ip() };
    let mut asked = Vec::new();
    for rule in &policy.rules {
        asked.push(mismatch(rule, &facts));
        if asked.last() == Some(&None) {
            break;
        }
    }
    asked
}

fn refused(blame: Blame, why: &'static str) -> Outcome {
    match blame {
        Blame::Reject(status, "") => Outcome::Answered(status.code(), why),
        Blame::Reject(status, phrase) => Outcome::Answered(status.code(), phrase),
        _ => Outcome::Dropped(why),
    }
}
