//! The same questions to siplane and to a live Kamailio: who reads Kamailio's answers reads ours.

use crate::clients::{kamcmd, program, wait_for};
use crate::datagram::Client;
use crate::{socket_path, start};
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A Kamailio of this test's own, killed when dropped.
struct Kamailio {
    child: Child,
    folder: PathBuf,
}

impl Kamailio {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("siplane-{}-kamailio", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let address = UdpSocket::bind("127.62.40.1:0").unwrap().local_addr().unwrap();
        let modules =
            ["kex", "corex", "tm", "tmx", "sl", "pv", "rr", "dialog", "cfg_rpc", "counters", "ctl", "jsonrpcs"];
        let load: String = modules.iter().map(|name| format!("loadmodule \"{name}.so\"\n")).collect();
        let script = format!(
            "#!KAMAILIO\ndebug=0\nlog_stderror=yes\nchildren=1\ndisable_tcp=yes\nauto_aliases=no\nlisten=udp:{address}\n{load}\
             modparam(\"ctl\", \"binrpc\", \"unixs:{}\")\nmodparam(\"jsonrpcs\", \"dgram_socket\", \"{}\")\n\
             modparam(\"jsonrpcs\", \"transport\", 4)\nrequest_route {{ sl_send_reply(\"200\", \"OK\"); }}\n",
            folder.join("ctl").display(),
            folder.join("rpc").display()
        );
        let file = folder.join("kamailio.cfg");
        fs::write(&file, script).unwrap();
        let mut command = Command::new(program("kamailio"));
        command.arg("-f").arg(&file).args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"]).arg(&folder).arg("-P");
        command.arg(folder.join("pid")).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(folder.join("log")).unwrap());
        let kamailio = Self { child: command.spawn().unwrap(), folder };
        let log = kamailio.folder.join("log");
        wait_for("kamailio answers kamcmd", || {
            let said = kamcmd(&kamailio.socket(), &["core.uptime"]);
            said.contains("uptime").then_some(said)
        });
        assert!(log.exists());
        kamailio
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("ctl")
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // The first process ends its children at SIGTERM.
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

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
    let siplane = start(30, &control);
    let kamailio = Kamailio::start();
    for method in [
        "core.uptime",
        "core.info",
        "core.runinfo",
        "core.shmmem",
        "core.sockets_list",
        "corex.list_sockets",
        "dlg.stats_active",
    ] {
        assert_eq!(shape(&path, &[method]), shape(&kamailio.socket(), &[method]), "{method}");
    }
    for method in ["core.uptime", "core.shmmem", "core.sockets_list", "corex.list_sockets", "core.version", "core.echo"]
    {
        assert_eq!(layout(&datagram, method), layout(&kamailio.folder.join("rpc"), method), "{method}");
    }
    // Of threads and counters there are others; each is told in the same way.
    let (ours, theirs) = (shape(&path, &["core.psx"]), shape(&kamailio.socket(), &["core.psx"]));
    assert_eq!(ours[..6], theirs[..6]);
    for args in
        [&["tm.stats"][..], &["cnt.grp_get_all", "dialog"], &["cnt.grp_get_all", "shmem"], &["stats.fetch", "tmx:"]]
    {
        let (ours, theirs) = (shape(&path, args), shape(&kamailio.socket(), args));
        assert!(ours.len() > 4, "{ours:?}");
        let strangers: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).collect();
        assert!(strangers.is_empty(), "{args:?}: {strangers:?} {theirs:?}");
    }
    for args in
        [&["no.such"][..], &["stats.fetch"], &["cnt.get", "dialog", "active_dialogs"], &["core.echo", "a", "b c"]]
    {
        assert_eq!(kamcmd(&path, args), kamcmd(&kamailio.socket(), args), "{args:?}");
    }
    let lines = |socket: &Path| kamcmd(socket, &["stats.get_statistics", "active_dialogs", "no_such", "dialog:"]);
    assert_eq!(lines(&path), lines(&kamailio.socket()));
    assert_eq!(siplane.terminate().code(), Some(0));
}
