//! Why a method gave no result.

use core::fmt;

/// Who is to blame, which decides the code that a door gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// There is no such method (JSON-RPC 2.0: -32601).
    NoSuchMethod,
    /// The parameters are not those of the method (JSON-RPC 2.0: -32602).
    Parameters,
    /// What the parameters name is not there (-32004; Kamailio's 404 where it has that).
    NotFound,
    /// The caller's role does not allow it (-32003).
    Role,
    /// It cannot be done now, or what was to be done did not succeed (-32000).
    Refused,
    /// A bug of ours (JSON-RPC 2.0: -32603).
    Internal,
}

/// Why a method gave no result, in our words and in Kamailio's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Who is to blame.
    pub blame: Blame,
    /// What was wrong and what exists instead, for people.
    pub detail: String,
    /// What Kamailio says in this case, for scripts that look at it.
    pub kamailio: &'static str,
}

impl Fault {
    /// The parameters are wrong.
    pub fn parameters(detail: impl Into<String>) -> Self {
        Self { blame: Blame::Parameters, detail: detail.into(), kamailio: "Invalid Parameters" }
    }

    /// What the parameters name is not there; `kamailio` is its text for it.
    pub fn not_found(detail: impl Into<String>, kamailio: &'static str) -> Self {
        Self { blame: Blame::NotFound, detail: detail.into(), kamailio }
    }

    /// It cannot be done; `kamailio` is its text for it.
    pub fn refused(detail: impl Into<String>, kamailio: &'static str) -> Self {
        Self { blame: Blame::Refused, detail: detail.into(), kamailio }
    }

    /// There is no method of that name.
    #[must_use]
    pub fn no_such_method(name: &str) -> Self {
        let detail = format!("no method {name}; system.listMethods tells all");
        Self { blame: Blame::NoSuchMethod, detail, kamailio: "Method Not Found" }
    }

    /// The caller's role does not allow it.
    #[must_use]
    pub fn role(name: &str, wanted: &str) -> Self {
        let detail = format!("{name} needs the role {wanted}");
        Self { blame: Blame::Role, detail, kamailio: "Permission Denied" }
    }

    /// A bug of ours.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self { blame: Blame::Internal, detail: detail.into(), kamailio: "Server Error" }
    }

    /// Its code behind the doors that follow JSON-RPC 2.0.
    #[must_use]
    pub const fn json_rpc_code(&self) -> i64 {
        match self.blame {
            Blame::NoSuchMethod => -32601,
            Blame::Parameters => -32602,
            Blame::Internal => -32603,
            Blame::NotFound => -32004,
            Blame::Role => -32003,
            Blame::Refused => -32000,
        }
    }

    /// Its code behind the doors that answer as Kamailio does: 500, but for some of its texts.
    #[must_use]
    pub fn kamailio_code(&self) -> i64 {
        let known = OTHER_CODES.iter().find(|(text, _)| *text == self.kamailio);
        known.map_or(500, |(_, code)| *code)
    }
}

/// What has another code than Kamailio's 500.
const OTHER_CODES: [(&str, i64); 4] = [
    // It has no roles: the code is HTTP's.
    ("Permission Denied", 403),
    ("Destination Group Not Found", 404),
    ("Please provide which stats to retrieve", 400),
    ("non-existent counter", 400),
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard_and_of_kamailio() {
        let missing = Fault::no_such_method("x");
        assert_eq!((missing.json_rpc_code(), missing.kamailio_code()), (-32601, 500));
        let group = Fault::not_found("no set 7", "Destination Group Not Found");
        assert_eq!((group.json_rpc_code(), group.kamailio_code()), (-32004, 404));
        assert_eq!(Fault::not_found("no set 7", "State Update Failed").kamailio_code(), 500);
    }
}
