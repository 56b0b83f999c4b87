//! The Debian package: that what it names is there and fits together, that its config works, and, of a package that was built
//! (`make deb`), that it can be installed, runs, and can be removed.

use crate::program::Siplane;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::de::{DeTable, DeValue};

const MANIFEST: &str = include_str!("../../Cargo.toml");
const CONFIG: &str = include_str!("../../packaging/siplane.toml");
const UNIT: &str = include_str!("../../packaging/siplane.service");
const SYSUSERS: &str = include_str!("../../packaging/sysusers.d/siplane.conf");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a file has at this path.
fn at(text: &'static str, path: &[&str]) -> DeValue<'static> {
    let document = DeValue::Table(DeTable::parse(text).unwrap().into_inner());
    path.iter().fold(document, |value, name| value.get(*name).unwrap().get_ref().clone())
}

fn texts<'a>(value: &'a DeValue<'static>) -> Vec<&'a str> {
    value.as_array().unwrap().iter().map(|text| text.get_ref().as_str().unwrap()).collect()
}

/// What the unit says of `name`, in the order of its lines.
fn unit(name: &str) -> Vec<&'static str> {
    UNIT.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

#[test]
fn what_the_package_names_is_there_and_fits_together() {
    let deb = |name| at(MANIFEST, &["package", "metadata", "deb", name]);
    let mut installed = BTreeSet::new();
    for asset in deb("assets").as_array().unwrap().iter() {
        let [from, to, _] = texts(asset.get_ref())[..] else { panic!("{asset:?}") };
        let file = Path::new(from).file_name().unwrap().to_str().unwrap();
        let is_there = root().join(from).exists() || from.starts_with("target/release/") || file == "*.md";
        assert!(is_there, "{from} is not there");
        installed.insert(if to.ends_with('/') { format!("/{to}{file}") } else { format!("/{to}") });
    }
    for conffile in texts(&deb("conf-files")) {
        assert!(installed.contains(conffile), "{conffile} is not in {installed:?}");
    }
    let [start] = unit("ExecStart")[..] else { panic!("one ExecStart") };
    for path in start.split(' ').filter(|word| word.starts_with('/')) {
        assert!(installed.contains(path), "the unit names {path}, which is not in {installed:?}");
    }
    let [user] = unit("User")[..] else { panic!("one User") };
    assert!(SYSUSERS.lines().any(|line| line.starts_with(&format!("u {user} "))), "{SYSUSERS}");
    let postinst = fs::read_to_string(root().join("packaging/debian/postinst")).unwrap();
    assert!(
        installed.iter().any(|path| path.starts_with("/usr/lib/sysusers.d/") && postinst.contains(path.as_str())),
        "{postinst}"
    );
}

/// kamcmd, kamcli, ctl and systemctl reload work at once, and operators' words outlive a restart: each place is in a folder that systemd
/// makes, and the one with the sockets lets the group in, to make sockets for replies that siplane may write to.
#[test]
fn what_the_packages_config_opens_is_where_the_unit_lets_it() {
    for (key, folder) in [
        ("socket", format!("/run/{}/", unit("RuntimeDirectory")[0])),
        ("datagram_socket", format!("/run/{}/", unit("RuntimeDirectory")[0])),
        ("state_file", format!("/var/lib/{}/", unit("StateDirectory")[0])),
    ] {
        let path = at(CONFIG, &["control", key]);
        assert!(path.as_str().unwrap().starts_with(&folder), "{key}: {path:?}");
    }
    // The one that ctl goes to when nothing says otherwise, as ExecReload does.
    assert_eq!(at(CONFIG, &["control", "socket"]).as_str(), Some("/run/siplane/ctl.sock"));
    assert_eq!(unit("ExecReload"), ["/usr/bin/siplane ctl reload"]);
    let mode = u32::from_str_radix(unit("RuntimeDirectoryMode")[0], 8).unwrap();
    assert_eq!(mode & 0o070, 0o070, "the group makes sockets there");
    assert_eq!(mode & 0o3000, 0o3000, "which are of the group, and which nobody else removes");
    assert_eq!(mode & 0o007, 0, "nobody else");
}

#[test]
fn the_units_bounds_fit_the_programs() {
    // One that hangs is stuck for 2 s before the watchdog is told no more; both together are what a hang takes of calls.
    let watchdog: u64 = unit("WatchdogSec")[0].parse().unwrap();
    assert!(watchdog > siplane::limits::SHARD_STUCK_AFTER.as_secs(), "{watchdog}");
    // What the process may take by the config's default, before it asks for more itself.
    let config = siplane::config::parse(CONFIG, "packaging/siplane.toml").unwrap();
    let stop: u64 = unit("TimeoutStopSec")[0].parse().unwrap();
    assert!(stop > config.shutdown_timeout.as_secs(), "{stop}");
    assert_eq!(unit("Type"), ["notify"]);
}

#[test]
fn systemd_understands_the_unit_and_finds_it_closed() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("not tried: systemd-analyze is not there");
        return;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("unit-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("siplane.service");
    fs::write(&file, UNIT.replace("/usr/bin/siplane", env!("CARGO_BIN_EXE_siplane"))).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(!said.contains("siplane.service"), "{said}");
    // 0 is closed, 10 wide open; a service without any of this has 9.6.
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--threshold=25", "--no-pager"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_packages_config_starts_as_it_stands_and_says_that_it_has_nobody_to_call() {
    let http = TcpListener::bind("127.62.33.1:0").unwrap().local_addr().unwrap();
    let folder = std::env::temp_dir().join(format!("siplane-packaged-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let siplane = Siplane::start(SocketAddr::from(([127, 62, 33, 1], 0)), |address| {
        let config =
            CONFIG.replace("127.0.0.1:5060", &address.to_string()).replace("127.0.0.1:9680", &http.to_string());
        let own = format!("{}/", folder.display());
        config.replace("\"/run/siplane/", &format!("\"{own}")).replace("\"/var/lib/siplane/", &format!("\"{own}"))
    });
    let mut stream = TcpStream::connect(http).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("no destination is available\n"), "{text}");
    assert!(["ctl.sock", "rpc.sock"].iter().all(|socket| folder.join(socket).exists()));
    assert_eq!(siplane.terminate().code(), Some(0));
    fs::remove_dir_all(&folder).unwrap();
}

/// The package that `make deb` has built last.
fn built() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("debian");
    let packages = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let packages = packages.filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    packages
        .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
        .expect("make deb builds a package first")
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "of a built package: make deb"]
fn the_built_package_has_its_files_and_scripts() {
    let deb = built();
    let deb = deb.to_str().unwrap();
    let files = output("dpkg-deb", &["--contents", deb]);
    for (mode, path) in [
        ("-rwxr-xr-x 0/0", "./usr/bin/siplane"),
        ("-rw-r--r-- 0/0", "./etc/siplane/siplane.toml"),
        ("-rw-r--r-- 0/0", "./usr/lib/systemd/system/siplane.service"),
        ("-rw-r--r-- 0/0", "./usr/lib/sysusers.d/siplane.conf"),
        ("-rw-r--r-- 0/0", "./usr/share/man/man1/siplane.1.gz"),
        ("-rw-r--r-- 0/0", "./usr/share/siplane/alerts.yml"),
        ("-rw-r--r-- 0/0", "./usr/share/siplane/grafana-dashboard.json"),
        ("-rw-r--r-- 0/0", "./usr/share/doc/siplane/siplane.toml"),
        ("-rw-r--r-- 0/0", "./usr/share/doc/siplane/copyright"),
        ("-rw-r--r-- 0/0", "./usr/share/doc/siplane/docs/metrics.md"),
    ] {
        let is_there = files.lines().any(|line| line.starts_with(mode) && line.ends_with(&format!(" {path}")));
        assert!(is_there, "{mode} {path} is not in\n{files}");
    }
    assert_eq!(output("dpkg-deb", &["--info", deb, "conffiles"]), "/etc/siplane/siplane.toml\n");
    let control = output("dpkg-deb", &["--field", deb]);
    assert!(control.contains("Package: siplane\n") && control.contains("libc6 (>= 2."), "{control}");
    // Debian 12 has 2.36.
    let minor = control.split("libc6 (>= 2.").nth(1).and_then(|rest| rest.split(')').next()?.parse::<u32>().ok());
    assert!(minor.is_some_and(|minor| minor <= 36), "{control}");
    for script in ["postinst", "prerm", "postrm"] {
        let text = output("dpkg-deb", &["--info", deb, script]);
        assert!(text.starts_with("#!/bin/sh") && !text.contains("#DEBHELPER#"), "{script}:\n{text}");
    }
}

#[test]
#[ignore = "of a built package: make deb"]
fn the_built_package_installs_runs_and_leaves_nothing_behind() {
    if output("id", &["-u"]).trim() != "0" || !Command::new("unshare").args(["-mn", "true"]).status().unwrap().success()
    {
        eprintln!("not tried: a copy of this machine takes root, and namespaces");
        return;
    }
    let script = root().join("tests/packaging/install.sh");
    let run = Command::new("unshare").args(["-mn", "sh"]).arg(script).arg(built()).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    let expected = "install ok installed\nconffiles: /etc/siplane/siplane.toml\nuser: siplane of siplane\nenabled: disabled\nunit: verified\n\
                    readyz: 503 not ready: no destination is available\ncall: SIP/2.0 503 Service Unavailable\n\
                    ctl: siplane answers\nkamcmd: siplane\nkamcli: \"siplane\nstranger: Permission denied\n\
                    drain: sip:192.0.2.11:5060 of set 1 is draining: no new calls, 0 go on\n\
                    reload: nothing changed\nended: 0\nafter a restart: \"admin\": \"draining\"\n\
                    config after an upgrade: # the operator's own\nconfig after a removal: # the operator's own\npurged\n";
    assert_eq!(said, expected);
    assert!(
        Command::new("id").arg("siplane").output().is_ok_and(|id| !id.status.success()),
        "the machine itself is as it was"
    );
}
