//! The transaction layer of a user agent: RFC 3261 §17 with RFC 6026, by the book.

use crate::clock::{T1, T2, T4, TIMEOUT, sooner};
use crate::message::{Message, reply_address, sent_by, split_values};
use crate::network::Packet;
use core::time::Duration;
use siplane::time::Instant;
use std::net::SocketAddr;

/// How long somebody listens to the ringing: longer than any proxy's Timer C (RFC 3261 §16.6 item 11).
const PATIENCE: Duration = Duration::from_secs(240);

/// Names a client transaction of one user agent.
pub(crate) type ClientId = u64;

/// What the transaction layer tells the user agent core.
#[derive(Debug)]
pub(crate) enum Event {
    /// A new request, with the key of its server transaction.
    Request(Message, String),
    /// An ACK that no transaction took: for a 2xx.
    Ack(Message),
    /// A response that its transaction passed up.
    Response(Message, ClientId),
    /// Timer B or F.
    Timeout(ClientId),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Calling and Trying.
    Trying,
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
}

#[derive(Debug)]
struct Client {
    id: ClientId,
    branch: String,
    method: String,
    request: Vec<u8>,
    to: SocketAddr,
    state: State,
    interval: Duration,
    resend_at: Option<Instant>,
    ends_at: Option<Instant>,
    ack: Vec<u8>,
}

#[derive(Debug)]
struct Server {
    key: String,
    to: SocketAddr,
    invite: bool,
    state: State,
    last: Option<Vec<u8>>,
    interval: Duration,
    resend_at: Option<Instant>,
    ends_at: Option<Instant>,
}

/// All transactions of one user agent.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) local: SocketAddr,
    pub(crate) out: Vec<Packet>,
    clients: Vec<Client>,
    servers: Vec<Server>,
    next_id: ClientId,
}

impl Layer {
    pub(crate) fn new(local: SocketAddr) -> Self {
        Self { local, out: Vec::new(), clients: Vec::new(), servers: Vec::new(), next_id: 0 }
    }

    /// Nothing under way but what may hang for ever: requests that this user agent never answers.
    pub(crate) fn is_idle(&self) -> bool {
        self.clients.is_empty() && self.servers.iter().all(|server| server.resend_at.is_none())
    }

    pub(crate) fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.out.push(Packet { from: self.local, to, bytes, shard: None });
    }

    /// Starts a client transaction.
    pub(crate) fn request(&mut self, now: Instant, message: &Message, to: SocketAddr) -> ClientId {
        let request = message.write();
        self.send(to, request.clone());
        self.next_id += 1;
        self.clients.push(Client {
            id: self.next_id,
            branch: message.branch().to_owned(),
            method: message.method().to_owned(),
            request,
            to,
            state: State::Trying,
            interval: T1,
            resend_at: Some(now + T1),
            ends_at: Some(now + TIMEOUT),
            ack: Vec::new(),
        });
        self.next_id
    }

    /// Forgets a client transaction (RFC 3261 §9.1: a cancelled INVITE that stays unanswered).
    pub(crate) fn abandon(&mut self, id: ClientId) {
        self.clients.retain(|client| client.id != id);
    }

    /// Sends a response through its server transaction, or plainly when that is over (a late 2xx).
    pub(crate) fn respond(&mut self, now: Instant, key: &str, response: &Message) {
        let Some(server) = self.servers.iter_mut().find(|server| server.key == key) else { return };
        let (status, bytes, to) = (response.status(), response.write(), server.to);
        server.last = Some(bytes.clone());
        match status {
            100..200 => server.state = State::Proceeding,
            200..300 if server.invite => {
                server.state = State::Accepted;
                server.ends_at = Some(now + TIMEOUT);
            }
            _ => {
                server.state = State::Completed;
                server.ends_at = Some(now + TIMEOUT);
                server.resend_at = server.invite.then_some(now + T1);
            }
        }
        self.send(to, bytes);
    }

    /// Where responses of the server transaction `key` go.
    pub(crate) fn reply_to(&self, key: &str) -> Option<SocketAddr> {
        self.servers.iter().find(|server| server.key == key).map(|server| server.to)
    }

    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Option<Event> {
        let message = Message::parse(bytes);
        if message.status() > 0 { self.response(now, message) } else { self.incoming(now, from, message) }
    }

    fn response(&mut self, now: Instant, message: Message) -> Option<Event> {
        let (status, branch, method) = (message.status(), message.branch(), message.cseq().1);
        let client = self.clients.iter_mut().find(|client| client.branch == branch && client.method == method)?;
        let (id, to) = (client.id, client.to);
        if client.method != "INVITE" {
            return client.non_invite_response(now, status).then_some(Event::Response(message, id));
        }
        match (client.state, status) {
            (State::Trying | State::Proceeding, 100..200) => {
                (client.state, client.resend_at, client.ends_at) = (State::Proceeding, None, Some(now + PATIENCE));
            }
            (State::Trying | State::Proceeding, 200..300) => {
                (client.state, client.resend_at, client.ends_at) = (State::Accepted, None, Some(now + TIMEOUT));
            }
            (State::Accepted, 200..300) => {}
            (State::Trying | State::Proceeding, _) => {
                (client.state, client.resend_at, client.ends_at) = (State::Completed, None, Some(now + TIMEOUT));
                client.ack = hop_ack(&Message::parse(&client.request), &message);
                let ack = client.ack.clone();
                self.send(to, ack);
            }
            (State::Completed, 300..) => {
                // RFC 3261 §17.1.1.2: a repeated final is acknowledged again and not passed up.
                let ack = client.ack.clone();
                self.send(to, ack);
                return None;
            }
            _ => return None,
        }
        Some(Event::Response(message, id))
    }

    fn incoming(&mut self, now: Instant, from: SocketAddr, message: Message) -> Option<Event> {
        let top = split_values(message.get("Via")).next().expect("a Via");
        let method = if message.method() == "ACK" { "INVITE" } else { message.method() };
        let key = format!("{}|{}|{method}", message.branch(), sent_by(top));
        let found = self.servers.iter_mut().find(|server| server.key == key);
        match found {
            Some(server) if message.method() == "ACK" => {
                if server.state == State::Completed {
                    (server.state, server.resend_at, server.ends_at) = (State::Confirmed, None, Some(now + T4));
                    server.last = None;
                }
                None
            }
            None if message.method() == "ACK" => Some(Event::Ack(message)),
            Some(server) => {
                let again =
                    server.last.clone().filter(|_| matches!(server.state, State::Proceeding | State::Completed));
                if let Some(bytes) = again {
                    let to = server.to;
                    self.send(to, bytes);
                }
                None
            }
            None => {
                self.servers.push(Server {
                    key: key.clone(),
                    to: reply_address(top, from),
                    invite: method == "INVITE",
                    state: State::Trying,
                    last: None,
                    interval: T1,
                    resend_at: None,
                    ends_at: None,
                });
                Some(Event::Request(message, key))
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let clients = self.clients.iter().map(|client| sooner(client.resend_at, client.ends_at));
        let servers = self.servers.iter().map(|server| sooner(server.resend_at, server.ends_at));
        clients.chain(servers).fold(None, sooner)
    }

    /// Retransmits what is due and ends what is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        let local = self.local;
        for client in self.clients.iter_mut().filter(|client| client.resend_at.is_some_and(|at| at <= now)) {
            client.interval = match (client.method == "INVITE", client.state) {
                (true, _) => client.interval * 2,
                (false, State::Proceeding) => T2,
                (false, _) => (client.interval * 2).min(T2),
            };
            client.resend_at = Some(now + client.interval).filter(|_| client.ends_at.is_none_or(|end| end > now));
            self.out.push(Packet { from: local, to: client.to, bytes: client.request.clone(), shard: None });
        }
        self.clients.retain(|client| {
            let over = client.ends_at.is_some_and(|at| at <= now);
            let unanswered = matches!(client.state, State::Trying | State::Proceeding);
            if over && unanswered {
                events.push(Event::Timeout(client.id));
            }
            !over
        });
        for server in self.servers.iter_mut().filter(|server| server.resend_at.is_some_and(|at| at <= now)) {
            server.interval = (server.interval * 2).min(T2);
            server.resend_at = Some(now + server.interval);
            if let Some(bytes) = &server.last {
                self.out.push(Packet { from: local, to: server.to, bytes: bytes.clone(), shard: None });
            }
        }
        self.servers.retain(|server| server.ends_at.is_none_or(|at| at > now));
        events
    }
}

impl Client {
    /// RFC 3261 §17.1.2.2; whether the response is passed up.
    fn non_invite_response(&mut self, now: Instant, status: u16) -> bool {
        match (self.state, status) {
            (State::Completed, _) => return false,
            (_, 100..200) => self.state = State::Proceeding,
            _ => (self.state, self.resend_at, self.ends_at) = (State::Completed, None, Some(now + T4)),
        }
        true
    }
}

/// RFC 3261 §17.1.1.3: the ACK for a 300-699.
fn hop_ack(invite: &Message, response: &Message) -> Vec<u8> {
    let mut ack = Message::new(format!("ACK {} SIP/2.0", invite.uri()))
        .with("Via", split_values(invite.get("Via")).next().unwrap_or_default())
        .with("From", invite.get("From"))
        .with("To", response.get("To"))
        .with("Call-ID", invite.get("Call-ID"))
        .with("CSeq", format!("{} ACK", invite.cseq().0))
        .with("Max-Forwards", "70");
    for route in invite.lines("Route") {
        ack = ack.with("Route", route);
    }
    ack.write()
}
