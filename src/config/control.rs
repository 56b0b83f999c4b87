//! `[control]`: the doors of the control side, and what it does by itself.

use super::reader::{Item, Section};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Which doors there are, and what the control side does by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlSettings {
    /// The unix stream socket of `siplane ctl` and kamcmd; none: no such door.
    pub socket: Option<PathBuf>,
    /// The unix datagram socket of kamcli; none: no such door.
    pub datagram_socket: Option<PathBuf>,
    /// The FIFO of kamctl; none: no such door.
    pub fifo: Option<PathBuf>,
    /// The folder with the FIFOs that clients of the FIFO read their replies from.
    pub fifo_reply_dir: PathBuf,
    /// The HTTP door; none: no such door.
    pub http: Option<HttpSettings>,
    /// Where what operators said of destinations is kept over restarts; none: nowhere.
    pub state_file: Option<PathBuf>,
    /// Whether a config file that has changed is reloaded without being told to.
    pub reload_on_change: bool,
    /// From which utilisation of a set on there is an event, percent, at most 100; 0: none.
    pub utilisation_alarm_percent: u8,
    /// The program that is run for each event; none: none is.
    pub hook: Option<PathBuf>,
}

/// See [`ControlSettings::utilisation_alarm_percent`].
const ALARM_PERCENT: u8 = 90;

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            socket: None,
            datagram_socket: None,
            fifo: None,
            fifo_reply_dir: PathBuf::from("/tmp"),
            http: None,
            state_file: None,
            reload_on_change: false,
            utilisation_alarm_percent: ALARM_PERCENT,
            hook: None,
        }
    }
}

/// The HTTP door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpSettings {
    /// Where it listens. Beyond loopback there are tokens or client certificates.
    pub listen: SocketAddr,
    /// The file of bearer tokens; none: none are known.
    pub tokens: Option<PathBuf>,
    /// TLS; none: plain text.
    pub tls: Option<TlsSettings>,
}

/// What a caller may do, and what a method asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Look.
    Read,
    /// Everything.
    Operate,
    /// Report load, and nothing else.
    Report,
}

impl Role {
    /// The role of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Self::Read),
            "operate" => Some(Self::Operate),
            "report" => Some(Self::Report),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Report => "report",
        }
    }

    /// Whether somebody in this role may call what asks for `wanted`.
    #[must_use]
    pub fn allows(self, wanted: Self) -> bool {
        self == wanted || self == Self::Operate
    }
}

/// TLS of the HTTP door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsSettings {
    /// Our certificate and those above it, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Who signs client certificates, PEM; none: clients show none.
    pub client_ca: Option<PathBuf>,
    /// What a client with a certificate may do.
    pub client_role: Role,
}

/// Reads `[control]`.
pub(super) fn control(mut section: Section<'_>) -> ControlSettings {
    let http = section.item("http").and_then(|item| http(item.section("a table, [control.http]")?));
    let default = ControlSettings::default();
    let settings = ControlSettings {
        socket: socket(&mut section),
        datagram_socket: path(&mut section, "datagram_socket"),
        fifo: path(&mut section, "fifo"),
        fifo_reply_dir: path(&mut section, "fifo_reply_dir").unwrap_or(default.fifo_reply_dir),
        http,
        state_file: path(&mut section, "state_file"),
        reload_on_change: section.flag("reload_on_change"),
        utilisation_alarm_percent: section.number("utilisation_alarm_percent", 0..=100, ALARM_PERCENT),
        hook: path(&mut section, "hook"),
    };
    section.finish();
    settings
}

/// Where `siplane ctl` finds the process that runs.
pub(super) fn socket(section: &mut Section<'_>) -> Option<PathBuf> {
    path(section, "socket")
}

fn http(mut section: Section<'_>) -> Option<HttpSettings> {
    let allowed = "ADDRESS:PORT, like \"127.0.0.1:9680\" or \"[::1]:9680\"";
    let listen = section.required("listen", allowed);
    let (tokens, tls) = (path(&mut section, "tokens"), tls(&mut section));
    let address = listen.as_ref().and_then(|item| address(item, allowed));
    let is_known = tokens.is_some() || tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if let (Some(item), Some(address)) = (&listen, address)
        && !address.ip().is_loopback()
        && !is_known
    {
        let cure = "a loopback address; or with it tokens, or certificate, key and client_ca: nobody beyond this machine operates unknown";
        item.refuse_because(format!("{address} without authentication"), cure);
    }
    section.finish();
    Some(HttpSettings { listen: address?, tokens, tls })
}

fn address(item: &Item<'_>, allowed: &str) -> Option<SocketAddr> {
    let address = item.text(allowed)?.parse().ok();
    if address.is_none() {
        item.refuse(allowed);
    }
    address
}

fn tls(section: &mut Section<'_>) -> Option<TlsSettings> {
    let (certificate, key) = (path(section, "certificate"), path(section, "key"));
    let client_ca = path(section, "client_ca");
    let roles = [("read", Role::Read), ("operate", Role::Operate), ("report", Role::Report)];
    let client_role = section.choice("client_role", &roles, Role::Operate);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsSettings { certificate, key, client_ca, client_role }),
        (None, None) => {
            if client_ca.is_some() {
                section.refuse(
                    "client_ca",
                    "client_ca alone",
                    "certificate and key with it: client certificates are shown in TLS",
                );
            }
            None
        }
        (certificate, _) => {
            let (found, missing) = if certificate.is_some() { ("certificate", "key") } else { ("key", "certificate") };
            section.refuse(missing, &format!("{found} alone"), "both certificate and key, or neither");
            None
        }
    }
}

fn path(section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    let item = section.item(key)?;
    let path = item.text("a path in quotes")?;
    if path.is_empty() {
        item.refuse("a path in quotes");
        return None;
    }
    Some(PathBuf::from(path))
}
