//! The called side: what a destination does with a new request, by the book or not.

use crate::agent::Agent;
use crate::clock::ms;
use crate::dialog::{Act, Dialog};
use crate::message::Message;
use core::time::Duration;
use siplane::time::Instant;

/// Longer than any call.
const ALONE_MAX: Duration = Duration::from_secs(1200);

/// How a destination answers one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// 100 and 180 first when `rings`, then 200 after so many milliseconds.
    Answer { rings: bool, after_ms: u64 },
    /// This final response, after 180 when `rings`.
    Refuse { code: u16, rings: bool, after_ms: u64 },
    /// The same final response twice at once.
    RefuseTwice { code: u16 },
    /// Nothing at all, not even to CANCEL.
    Silent,
    /// 100, and nothing more, not even to CANCEL.
    TryingOnly,
    /// Nothing for so many milliseconds, then 180 until somebody cancels.
    RingLate { after_ms: u64 },
    /// 180 until somebody cancels.
    RingForever,
    /// 180, and at CANCEL a 200 to the INVITE that crossed it.
    AnswerAtCancel,
    /// 180 and 200 from so many user agents behind this address, each with its own To tag.
    Fork { tags: u8, after_ms: u64 },
}

/// What a callee is going to do with a call.
#[derive(Clone, Debug)]
pub(crate) struct CalleePlan {
    pub(crate) reply: Reply,
    /// What it does in the call, by time from its answer.
    pub(crate) acts: Vec<(Duration, Act)>,
    /// So many ACKs are as if lost.
    pub(crate) lost_acks: u8,
}

/// A response that is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Say {
    pub(crate) at: Instant,
    pub(crate) status: u16,
    /// Which user agent behind this address says it.
    pub(crate) tag: u8,
}

/// A request outside of dialogs that this callee got.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) key: String,
    pub(crate) request: Message,
    pub(crate) acts: Vec<Say>,
    reply: Reply,
    /// The final response, once sent.
    pub(crate) said: Option<u16>,
}

impl Reply {
    /// What is said and when.
    fn script(self, now: Instant, invite: bool) -> Vec<Say> {
        let say = |after_ms, status, tag| Say { at: now + ms(after_ms), status, tag };
        let mut script = match self {
            Self::Answer { rings: true, after_ms } => {
                vec![say(0, 100, 0), say(after_ms / 2, 180, 0), say(after_ms, 200, 0)]
            }
            Self::Answer { rings: false, after_ms } => vec![say(after_ms, 200, 0)],
            Self::Refuse { code, rings: true, after_ms } => vec![say(20, 180, 0), say(after_ms, code, 0)],
            Self::Refuse { code, rings: false, after_ms } => vec![say(after_ms, code, 0)],
            Self::RefuseTwice { code } => vec![say(0, code, 0), say(0, code, 0)],
            Self::Silent => Vec::new(),
            Self::TryingOnly => vec![say(0, 100, 0)],
            Self::RingLate { after_ms } => vec![say(after_ms, 180, 0)],
            Self::RingForever | Self::AnswerAtCancel => vec![say(0, 100, 0), say(150, 180, 0)],
            Self::Fork { tags, after_ms } => {
                let rings = (0..tags).map(|tag| say(30 * u64::from(tag), 180, tag));
                rings.chain((0..tags).map(|tag| say(after_ms + 70 * u64::from(tag), 200, tag))).collect()
            }
        };
        if !invite {
            // RFC 4320 §4.1: no provisional response to a non-INVITE request but a late 100.
            script.retain(|say| say.status >= 200);
            script.truncate(1);
        }
        script.sort_by_key(|say| say.at);
        script
    }

    fn is_deaf(self) -> bool {
        matches!(self, Self::Silent | Self::TryingOnly)
    }
}

impl Agent {
    pub(crate) fn on_new_request(&mut self, now: Instant, message: &Message, key: &str) {
        let call_id = message.get("Call-ID");
        let reply = self.plans.get(call_id).map_or(Reply::Answer { rings: true, after_ms: 100 }, |plan| plan.reply);
        let acts = reply.script(now, message.method() == "INVITE");
        self.incoming.push(Incoming { key: key.to_owned(), request: message.clone(), acts, reply, said: None });
        self.callee_timeout(now);
    }

    pub(crate) fn on_cancel(&mut self, now: Instant, message: &Message, key: &str) {
        let invite_key = format!("{}INVITE", key.strip_suffix("CANCEL").expect("a key of CANCEL"));
        let Some(index) = self.incoming.iter().position(|incoming| incoming.key == invite_key) else {
            return self.layer.respond(now, key, &message.response(481, "none"));
        };
        let incoming = &mut self.incoming[index];
        if incoming.reply.is_deaf() {
            return;
        }
        if incoming.said.is_none() {
            // RFC 3261 §9.2
            let status = if incoming.reply == Reply::AnswerAtCancel { 200 } else { 487 };
            incoming.acts = vec![Say { at: now, status, tag: 0 }];
            self.callee_timeout(now);
        }
        self.layer.respond(now, key, &message.response(200, "cancel"));
    }

    /// Says what is due.
    pub(crate) fn callee_timeout(&mut self, now: Instant) {
        for index in 0..self.incoming.len() {
            while self.incoming[index].acts.first().is_some_and(|say| say.at <= now) {
                let say = self.incoming[index].acts.remove(0);
                self.say(now, index, say);
            }
        }
    }

    fn say(&mut self, now: Instant, index: usize, say: Say) {
        let incoming = &mut self.incoming[index];
        if say.status >= 200 {
            incoming.said.get_or_insert(say.status);
        }
        let (key, request) = (incoming.key.clone(), incoming.request.clone());
        let tag = format!("{}.{index}.{}", self.name, say.tag);
        let response = request.response(say.status, &tag).with("Contact", self.contact());
        if request.method() != "INVITE" || !(200..300).contains(&say.status) {
            return self.layer.respond(now, &key, &response);
        }
        let mut dialog = Dialog::of_callee(&request, &response);
        if let Some(plan) = self.plans.get(&dialog.call_id).filter(|_| say.tag == 0) {
            dialog.acts = plan.acts.iter().map(|(after, act)| (now + *after, *act)).collect();
        }
        // Who is left alone in a call hangs up some time; it is long over then where nothing went wrong.
        dialog.acts.push((now + ALONE_MAX, Act::Bye));
        self.dialogs.push(dialog);
        let dialog = self.dialogs.len() - 1;
        self.accept(now, &key, &response, dialog);
    }
}
