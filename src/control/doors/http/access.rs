//! Who may do what: tokens, client certificates, and how many requests there may be.

use crate::config::HttpSettings;
use crate::control::Role;
use crate::limits;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// Whether a client certificate was checked on this connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::control) struct Certified(pub(super) bool);

/// Who may do what.
#[derive(Debug)]
pub(in crate::control) struct Access {
    tokens: Vec<Token>,
    /// What a client certificate allows.
    certified: Option<Role>,
    rate: Mutex<Rate>,
}

#[derive(Debug)]
struct Token {
    role: Role,
    text: String,
}

/// Why somebody is turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Denied {
    /// No token, or none of ours: 401.
    Unknown,
    /// Too many requests: 429.
    TooMany,
    /// A name in Host that may be anybody's: 421.
    Host,
}

impl Access {
    /// Reads the token file that `settings` name.
    pub(super) fn read(settings: &HttpSettings) -> io::Result<Self> {
        let tokens = match &settings.tokens {
            Some(path) => {
                let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                let text = fs::read_to_string(path).map_err(named)?;
                tokens(&text).map_err(|why| named(io::Error::new(io::ErrorKind::InvalidData, why)))?
            }
            None => Vec::new(),
        };
        let certified = settings.tls.as_ref().filter(|tls| tls.client_ca.is_some()).map(|tls| tls.client_role);
        Ok(Self { tokens, certified, rate: Mutex::new(Rate::full(Instant::now())) })
    }

    /// Counts a request in.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Denied> {
        // A poisoned lock would mean that `take` panicked, which it cannot.
        let mut rate = self.rate.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if rate.take(now) { Ok(()) } else { Err(Denied::TooMany) }
    }

    /// The role of somebody with this Authorization header.
    pub(super) fn role(
        &self,
        authorization: Option<&str>,
        host: Option<&str>,
        certified: Certified,
    ) -> Result<Role, Denied> {
        if let (Some(role), true) = (self.certified, certified.0) {
            return Ok(role);
        }
        if self.tokens.is_empty() && self.certified.is_none() {
            return if host.is_none_or(is_own) { Ok(Role::Operate) } else { Err(Denied::Host) };
        }
        let given = authorization.and_then(|text| text.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        // Every token is compared, each in constant time: how long it takes says nothing about how near a guess is.
        let known = given.and_then(|given| {
            self.tokens.iter().fold(None, |found, token| {
                if bool::from(token.text.as_bytes().ct_eq(given.as_bytes())) { Some(token.role) } else { found }
            })
        });
        known.ok_or(Denied::Unknown)
    }
}

/// An address, or this machine: no name that somebody else's DNS points here.
fn is_own(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// A token to a line, behind its role.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (role, token) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let Some(role) = Role::named(role) else {
            return Err(format!("line {number}: the role is none of read, operate, report"));
        };
        let token = token.trim();
        if token.len() < limits::TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let least = limits::TOKEN_BYTES_MIN;
            return Err(format!("line {number}: a token has at least {least} printable characters and no space"));
        }
        tokens.push(Token { role, text: token.to_owned() });
    }
    if tokens.is_empty() { Err(String::from("no token in it")) } else { Ok(tokens) }
}

/// A bucket that fills at [`limits::HTTP_REQUESTS_PER_SECOND`].
#[derive(Debug)]
struct Rate {
    left: f64,
    at: Instant,
}

impl Rate {
    fn full(now: Instant) -> Self {
        Self { left: f64::from(limits::HTTP_REQUESTS_PER_SECOND), at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let most = f64::from(limits::HTTP_REQUESTS_PER_SECOND);
        let since = now.saturating_duration_since(self.at).min(Duration::from_secs(1));
        self.left = (self.left + since.as_secs_f64() * most).min(most);
        self.at = now;
        let is_left = self.left >= 1.0;
        self.left -= f64::from(u8::from(is_left));
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(text: &str) -> Access {
        Access { tokens: tokens(text).unwrap(), certified: None, rate: Mutex::new(Rate::full(Instant::now())) }
    }

    #[test]
    fn a_token_gives_its_role_and_nothing_else_gives_one() {
        let access = access("# operators\noperate 0123456789abcdef\n\nread  fedcba9876543210\n");
        let role = |authorization| access.role(authorization, Some("sip.example.com"), Certified(false));
        assert_eq!(role(Some("Bearer 0123456789abcdef")), Ok(Role::Operate));
        assert_eq!(role(Some("bearer fedcba9876543210")), Ok(Role::Read));
        for wrong in [None, Some("Bearer 0123456789abcdeg"), Some("Basic 0123456789abcdef"), Some("Bearer"), Some("")] {
            assert_eq!(role(wrong), Err(Denied::Unknown), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_file_that_cannot_be_meant_is_refused_with_its_line() {
        let refused = |text: &str| tokens(text).err();
        assert!(refused("admin 0123456789abcdef").unwrap().starts_with("line 1: the role"));
        assert!(refused("read 0123456789abcdef\nread short").unwrap().starts_with("line 2: a token"));
        assert_eq!(refused("# nothing\n").as_deref(), Some("no token in it"));
    }

    #[test]
    fn without_tokens_only_an_address_or_this_machine_may_be_the_host() {
        let access = Access { tokens: Vec::new(), certified: None, rate: Mutex::new(Rate::full(Instant::now())) };
        let role = |host| access.role(None, host, Certified(false));
        for own in [None, Some("127.0.0.1:8080"), Some("localhost"), Some("[::1]:8080"), Some("LOCALHOST:1")] {
            assert_eq!(role(own), Ok(Role::Operate), "{own:?}");
        }
        // DNS rebinding: the page's own name, pointed at this machine.
        assert_eq!(role(Some("evil.example.com:8080")), Err(Denied::Host));
    }

    #[test]
    fn a_second_of_requests_may_come_at_once_and_then_so_many_a_second() {
        let now = Instant::now();
        let mut rate = Rate::full(now);
        let most = limits::HTTP_REQUESTS_PER_SECOND as usize;
        assert_eq!((0..2 * most).filter(|_| rate.take(now)).count(), most);
        let later = now + Duration::from_millis(100);
        assert_eq!((0..most).filter(|_| rate.take(later)).count(), most / 10);
    }
}
