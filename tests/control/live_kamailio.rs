//! The same questions to siplane and to a live Kamailio: who reads Kamailio's answers reads ours.

use crate::clients::{kamcmd, program};
use crate::datagram::Client;
use crate::process::Process;
use crate::program::Siplane;
use crate::socket_path;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Kamailio of a test's own that answers kamcmd and kamcli.
pub struct Kamailio {
    _process: Process,
    folder: PathBuf,
}

impl Kamailio {
    /// At a port of 127.62.`host`.1, with these modules and lines besides.
    pub fn start(host: u8, modules: &[&str], more: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("siplane-{}-kamailio-{host}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let address = UdpSocket::bind(format!("127.62.{host}.1:0")).unwrap().local_addr().unwrap();
        let load: String = modules.iter().map(|name| format!("loadmodule \"{name}.so\"\n")).collect();
        let socket = folder.join("ctl");
        let script = format!(
            "listen=udp:{address}\n{load}modparam(\"ctl\", \"binrpc\", \"unixs:{}\")\n\
             modparam(\"jsonrpcs\", \"dgram_socket\", \"{}\")\nmodparam(\"jsonrpcs\", \"transport\", 4)\n{more}\n\
             request_route {{ sl_send_reply(\"200\", \"OK\"); }}\n",
            socket.display(),
            folder.join("rpc").display()
        );
        let mut uptime = Command::new(program("kamcmd"));
        uptime.arg("-s").arg(format!("unix:{}", socket.display())).arg("core.uptime").stdin(Stdio::null());
        let process = Process::start(&folder, &script, || {
            String::from_utf8_lossy(&uptime.output().unwrap().stdout).contains("uptime")
        });
        Self { _process: process, folder }
    }

    /// Where kamcmd finds it.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("ctl")
    }

    /// Where kamcli finds it.
    pub fn datagram_socket(&self) -> PathBuf {
        self.folder.join("rpc")
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What `siplane`'s answers of the process itself are compared with.
const MODULES: [&str; 12] =
    ["kex", "corex", "tm", "tmx", "sl", "pv", "rr", "dialog", "cfg_rpc", "counters", "ctl", "jsonrpcs"];

/// The document that answers `method` by datagram, each line up to its value: the layout.
fn layout(socket: &Path, method: &str) -> Vec<String> {
    let text = Client::new(socket).text(&format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"id\":\"x\"}}"));
    let name = |line: &str| line.split_once(":\t").map_or_else(|| line.to_owned(), |(name, _)| name.to_owned());
    text.lines().map(name).collect()
}

/// What kamcmd prints without the values: names and braces, each as deep as it stands.
fn shape(socket: &Path, args: &[&str]) -> Vec<String> {
    let said = kamcmd(socket, args);
    said.lines().map(|line| line.split_once(": ").map_or(line, |(name, _)| name).to_owned()).collect()
}

#[test]
fn the_answers_have_the_shapes_of_kamailios() {
    let path = socket_path("shapes");
    let datagram = socket_path("layout");
    let control = format!("socket = \"{}\"\ndatagram_socket = \"{}\"", path.display(), datagram.display());
    let siplane = Siplane::start(SocketAddr::from(([127, 62, 30, 1], 0)), |address| {
        format!(
            "listen = [\"udp:{address}\"]\nshards = 1\naliases = [\"sip.example.com\"]\n[control]\n{control}\n\n\
             [[set]]\nid = 1\ndestinations = [\"sip:127.62.30.11\"]\n"
        )
    });
    let kamailio = Kamailio::start(40, &MODULES, "alias=\"sip.example.com\"\n");
    for method in [
        "core.uptime",
        "core.info",
        "core.runinfo",
        "core.shmmem",
        "core.sockets_list",
        "corex.list_sockets",
        "dlg.stats_active",
        "core.aliases_list",
        "corex.list_aliases",
        "sl.stats",
    ] {
        assert_eq!(shape(&path, &[method]), shape(&kamailio.socket(), &[method]), "{method}");
    }
    for method in [
        "core.uptime",
        "core.shmmem",
        "core.sockets_list",
        "corex.list_sockets",
        "core.version",
        "core.echo",
        "core.aliases_list",
        "corex.list_aliases",
        "sl.stats",
    ] {
        assert_eq!(layout(&datagram, method), layout(&kamailio.datagram_socket(), method), "{method}");
    }
    // Of threads and counters there are others; each is told in the same way.
    let (ours, theirs) = (shape(&path, &["core.psx"]), shape(&kamailio.socket(), &["core.psx"]));
    assert_eq!(ours[..6], theirs[..6]);
    for args in [
        &["tm.stats"][..],
        &["cnt.grp_get_all", "dialog"],
        &["cnt.grp_get_all", "shmem"],
        &["stats.fetch", "tmx:"],
        &["stats.fetch", "sl:"],
    ] {
        let (ours, theirs) = (shape(&path, args), shape(&kamailio.socket(), args));
        assert!(ours.len() > 4, "{ours:?}");
        let strangers: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).collect();
        assert!(strangers.is_empty(), "{args:?}: {strangers:?} {theirs:?}");
    }
    for args in [
        &["no.such"][..],
        &["core.tcp_info"],
        &["core.tcp_options"],
        &["core.tcp_list"],
        &["core.aliases_list"],
        &["corex.list_aliases"],
        &["dlg.dlg_list", "nobody@example.com"],
        &["stats.fetch"],
        &["cnt.get", "dialog", "active_dialogs"],
        &["core.echo", "a", "b c"],
    ] {
        assert_eq!(kamcmd(&path, args), kamcmd(&kamailio.socket(), args), "{args:?}");
    }
    let lines = |socket: &Path| kamcmd(socket, &["stats.get_statistics", "active_dialogs", "no_such", "dialog:"]);
    assert_eq!(lines(&path), lines(&kamailio.socket()));
    assert_eq!(siplane.terminate().code(), Some(0));
}
