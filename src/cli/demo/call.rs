//! One call of the caller: what was sent for it, what has come, and whether that was by the book.

use super::port::Dice;
use super::ua::{self, Dialog, Request, SDP, T1, Wish};
use crate::sip::{Message, Method, Rport, Status};
use core::time::Duration;
use std::net::SocketAddr;
use std::time::Instant;

/// Where a call stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// INVITE sent, nothing has come.
    Calling,
    /// A provisional answer has come.
    Proceeding,
    /// Answered.
    Up,
    /// Our BYE is out.
    Leaving,
    /// Ended, well or not.
    Over,
}

/// The number of our INVITE; our BYE has the next one.
const INVITE_CSEQ: u32 = 1;

/// One call.
pub(super) struct Call {
    pub(super) phase: Phase,
    pub(super) id: String,
    from: String,
    pub(super) wish: Wish,
    pub(super) talk: Duration,
    pub(super) placed: Instant,
    invite_branch: String,
    bye_branch: String,
    /// Our request that waits for its answer, to be repeated.
    pub(super) pending: Vec<u8>,
    pub(super) interval: Duration,
    /// To of the last provisional answer that had a tag.
    early: Option<String>,
    pub(super) dialog: Option<Dialog>,
    /// The ACK, for every time that the 200 comes.
    pub(super) ack: Vec<u8>,
    /// Something was not by the book.
    pub(super) faulty: bool,
}

impl Call {
    /// A call from `local` through `proxy`, about to be placed.
    pub(super) fn new(dice: &mut Dice, local: SocketAddr, proxy: SocketAddr, wish: Wish, talk: Duration) -> Self {
        let mut call = Self {
            phase: Phase::Calling,
            id: format!("{}@{}", dice.token(), local.ip()),
            from: format!("\"demo\" <sip:caller@{local}>;tag={}", dice.token()),
            wish,
            talk,
            placed: Instant::now(),
            invite_branch: dice.branch(),
            bye_branch: String::new(),
            pending: Vec::new(),
            interval: T1,
            early: None,
            dialog: None,
            ack: Vec::new(),
            faulty: false,
        };
        call.pending = call.invite(local, proxy);
        call
    }

    fn invite(&self, local: SocketAddr, proxy: SocketAddr) -> Vec<u8> {
        let uri = format!("sip:demo@{proxy}");
        let headers = format!("Contact: <{}>\r\n{}", contact(local), self.wish.line());
        Request {
            method: "INVITE",
            uri: &uri,
            via: local,
            branch: &self.invite_branch,
            routes: &[],
            from: &self.from,
            to: &format!("<{uri}>"),
            call_id: &self.id,
            cseq: INVITE_CSEQ,
            headers: &headers,
            body: SDP,
        }
        .write()
    }

    // RFC 3261 §17.1.1.3: the ACK of a refusal has the INVITE's branch and Request-URI, and To of the answer.
    pub(super) fn ack_refusal(&self, answer: &Message<'_>, local: SocketAddr, proxy: SocketAddr) -> Vec<u8> {
        Request {
            method: "ACK",
            uri: &format!("sip:demo@{proxy}"),
            via: local,
            branch: &self.invite_branch,
            routes: &[],
            from: &self.from,
            to: &ua::text(answer, answer.head.to.value),
            call_id: &self.id,
            cseq: INVITE_CSEQ,
            headers: "",
            body: "",
        }
        .write()
    }

    /// Takes the dialog of a 2xx and writes its ACK (RFC 3261 §13.2.2.4); where that goes, if the answer says.
    pub(super) fn confirm(&mut self, answer: &Message<'_>, dice: &mut Dice, local: SocketAddr) -> Option<SocketAddr> {
        let dialog = Dialog::of_caller(answer)?;
        let next_hop = dialog.next_hop()?;
        self.ack = dialog.request("ACK", INVITE_CSEQ, &dice.branch(), local);
        self.dialog = Some(dialog);
        Some(next_hop)
    }

    /// Writes the BYE into [`Self::pending`]; where it goes.
    pub(super) fn bye(&mut self, dice: &mut Dice, local: SocketAddr) -> Option<SocketAddr> {
        let dialog = self.dialog.as_mut()?;
        dialog.cseq += 1;
        self.bye_branch = dice.branch();
        self.pending = dialog.request("BYE", dialog.cseq, &self.bye_branch, local);
        self.interval = T1;
        dialog.next_hop()
    }

    /// Whether a provisional answer moved to another callee than this `answer` is from; the tag is remembered.
    pub(super) fn has_moved(&mut self, answer: &Message<'_>) -> bool {
        if ua::to_tag(answer).is_empty() {
            return false;
        }
        let to = ua::text(answer, answer.head.to.value);
        let moved = self.early.as_ref().is_some_and(|early| *early != to);
        self.early = Some(to);
        moved
    }

    /// What is wrong with an answer that came to `local`; nothing when all is as it was sent.
    pub(super) fn check_answer(
        &self,
        answer: &Message<'_>,
        status: Status,
        local: SocketAddr,
    ) -> Result<(), &'static str> {
        let invite = answer.text(answer.head.cseq_method) == b"INVITE";
        let branch = if invite { &self.invite_branch } else { &self.bye_branch };
        let cseq = if invite { INVITE_CSEQ } else { INVITE_CSEQ + 1 };
        check_via(answer, branch, local)?;
        hold(answer.text(answer.head.from.value) == self.from.as_bytes(), "From is not what was sent")?;
        hold(answer.head.cseq_number == cseq, "CSeq is not what was sent")?;
        hold(status == Status::TRYING || !ua::to_tag(answer).is_empty(), "To has no tag")?;
        let ours = |dialog: &Dialog| dialog.remote.as_bytes() == answer.text(answer.head.to.value);
        let success = status.is_success() || !invite;
        hold(!success || self.dialog.as_ref().is_none_or(ours), "To is not the dialog's")
    }

    /// What is wrong with a request inside this call that came to `local`.
    pub(super) fn check_request(&self, request: &Message<'_>, local: SocketAddr) -> Result<(), &'static str> {
        hold(request.method() == Some(Method::Bye), "an unexpected request")?;
        hold(ua::text(request, request.head.uri) == contact(local), "Request-URI is not our Contact")?;
        hold(!request.head.route.is_set(), "a Route is left in a request to us")?;
        let value = |span| ua::text(request, span);
        let ours = |dialog: &Dialog| {
            value(request.head.to.value) == dialog.local && value(request.head.from.value) == dialog.remote
        };
        hold(self.dialog.as_ref().is_some_and(ours), "From or To are not the dialog's")
    }
}

/// Our Contact.
fn contact(local: SocketAddr) -> String {
    format!("sip:caller@{local}")
}

// RFC 3261 §18.1.2, §16.7.3: exactly our own Via comes back, with nothing but where we are added to it (RFC 3581 §4).
fn check_via(answer: &Message<'_>, branch: &str, local: SocketAddr) -> Result<(), &'static str> {
    let via = answer.top_via().map_err(|_| "Via cannot be read")?;
    hold(answer.head.via_lines == 1 && via.next.is_none(), "not exactly one Via")?;
    let sent_by = format!("{}:{}", ua::text(answer, via.host), via.port.unwrap_or(5060));
    hold(sent_by == local.to_string(), "Via is not ours")?;
    hold(answer.text(via.branch) == branch.as_bytes(), "the branch is not ours")?;
    hold(via.rport == Rport::Port(local.port()), "rport is not our port")
}

fn hold(good: bool, fault: &'static str) -> Result<(), &'static str> {
    if good { Ok(()) } else { Err(fault) }
}

#[cfg(test)]
mod tests {
    use super::super::ua::Answer;
    use super::*;
    use crate::sip;

    const OK: Answer<'static> =
        Answer { status: Status::OK, tag: "t", headers: "Contact: <sip:b@127.0.0.12>\r\n", body: "" };

    fn placed() -> (Call, String) {
        let wish = Wish { ring: Duration::ZERO, bye_after: None };
        let call = Call::new(&mut Dice::new(), local(), "127.0.0.1:5060".parse().unwrap(), wish, Duration::ZERO);
        let (answer, to) = OK.write(&sip::scan(&call.pending), local()).unwrap();
        assert_eq!(to, local());
        (call, String::from_utf8(answer).unwrap())
    }

    fn local() -> SocketAddr {
        "127.0.0.1:5099".parse().unwrap()
    }

    fn check(call: &Call, answer: &str) -> Result<(), &'static str> {
        let message = sip::scan(answer.as_bytes());
        assert_eq!(message.defect, None);
        call.check_answer(&message, message.status().unwrap(), local())
    }

    #[test]
    fn an_answer_whose_via_branch_rport_from_cseq_or_tag_changed_is_found_out() {
        // RFC 3261 §18.1.2, §16.7.3
        let (call, answer) = placed();
        assert_eq!(check(&call, &answer), Ok(()));
        let second_via = answer.replace("From:", "Via: SIP/2.0/UDP 127.0.0.9;branch=z9hG4bKx\r\nFrom:");
        assert_eq!(check(&call, &second_via), Err("not exactly one Via"));
        assert_eq!(check(&call, &answer.replace("UDP 127.0.0.1:", "UDP 127.0.0.2:")), Err("Via is not ours"));
        assert_eq!(check(&call, &answer.replace(&call.invite_branch, "z9hG4bKother")), Err("the branch is not ours"));
        assert_eq!(check(&call, &answer.replace("rport=5099", "rport=5098")), Err("rport is not our port"));
        assert_eq!(check(&call, &answer.replace("\"demo\" <", "<")), Err("From is not what was sent"));
        assert_eq!(check(&call, &answer.replace("CSeq: 1", "CSeq: 2")), Err("CSeq is not what was sent"));
        assert_eq!(check(&call, &answer.replace(";tag=t\r", "\r")), Err("To has no tag"));
    }

    #[test]
    fn another_tag_in_to_is_a_move_before_the_answer_and_a_fault_after_it() {
        let (mut call, answer) = placed();
        let other = answer.replace(";tag=t\r", ";tag=u\r");
        assert!(!call.has_moved(&sip::scan(answer.as_bytes())) && !call.has_moved(&sip::scan(answer.as_bytes())));
        assert!(call.has_moved(&sip::scan(other.as_bytes())));
        let next_hop = call.confirm(&sip::scan(answer.as_bytes()), &mut Dice::new(), local());
        assert_eq!(next_hop, Some("127.0.0.12:5060".parse().unwrap()));
        assert_eq!((check(&call, &answer), check(&call, &other)), (Ok(()), Err("To is not the dialog's")));
    }

    #[test]
    fn a_refusal_is_acknowledged_in_its_own_transaction() {
        // RFC 3261 §17.1.1.3
        let (call, answer) = placed();
        let ack = call.ack_refusal(&sip::scan(answer.as_bytes()), local(), "127.0.0.1:5060".parse().unwrap());
        let (ack, invite) = (sip::scan(&ack), sip::scan(&call.pending));
        assert_eq!(ack.text(ack.head.via.value), invite.text(invite.head.via.value));
        assert_eq!((ack.text(ack.head.uri), ua::to_tag(&ack)), (invite.text(invite.head.uri), &b"t"[..]));
    }

    #[test]
    fn a_bye_of_the_callee_must_name_our_contact_and_our_dialog() {
        let (mut call, answer) = placed();
        let answer = sip::scan(answer.as_bytes());
        call.confirm(&answer, &mut Dice::new(), local());
        let mut callee = Dialog::of_callee(&sip::scan(&call.pending), "t").unwrap();
        let write = |callee: &Dialog| callee.request("BYE", 1, "z9hG4bKb", "127.0.0.12:5060".parse().unwrap());
        assert_eq!(call.check_request(&sip::scan(&write(&callee)), local()), Ok(()));
        callee.routes = vec!["<sip:127.0.0.1;lr>".to_owned()];
        assert_eq!(call.check_request(&sip::scan(&write(&callee)), local()), Err("a Route is left in a request to us"));
        callee.routes.clear();
        callee.target = "sip:caller@127.0.0.1:1".to_owned();
        assert_eq!(call.check_request(&sip::scan(&write(&callee)), local()), Err("Request-URI is not our Contact"));
    }
}
