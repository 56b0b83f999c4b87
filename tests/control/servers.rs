//! Real database servers of a test's own: programs from Debian's packages, in a folder of their own, at an address of 127.0.0.0/8.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Every password here; it must be written otherwise in a URL.
pub const PASSWORD: &str = "p/4:ss@1";
pub const PASSWORD_IN_URL: &str = "p%2F4%3Ass%401";

/// Debian's user of that name. Database servers refuse to run as root, which the tests may be run as.
const NOBODY: u32 = 65_534;

/// A MariaDB that is started for a few rows.
const SMALL: [&str; 2] = ["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M"];

/// A running server. It is ended, and its folder removed, when it is dropped.
pub struct DatabaseServer {
    child: Child,
    directory: PathBuf,
    pub address: SocketAddr,
}

impl DatabaseServer {
    /// PostgreSQL at a port of 127.62.`host`.1, with the superuser `postgres` and [`PASSWORD`].
    pub fn postgres(host: u8) -> Self {
        let (directory, address) = (own_directory("postgres"), free(host));
        let password_file = directory.join("password");
        fs::write(&password_file, PASSWORD).unwrap();
        let programs = postgres_programs();
        let data = directory.join("data");
        let mut create = unprivileged(&programs.join("initdb"), &directory);
        create.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--no-sync",
            "--no-locale",
            "-E",
            "UTF8",
        ]);
        create.arg("--pwfile").arg(&password_file);
        finish(create, &directory);
        let mut run = unprivileged(&programs.join("postgres"), &directory);
        run.arg("-F").arg("-D").arg(&data).arg("-k").arg(&directory);
        run.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
        Self { child: run.spawn().unwrap(), directory, address }
    }

    /// MariaDB at a port of 127.62.`host`.1, with a database and a user `kamailio` and [`PASSWORD`].
    pub fn mariadb(host: u8) -> Self {
        let (directory, address) = (own_directory("mariadb"), free(host));
        let data = directory.join("data");
        fs::create_dir(&data).unwrap();
        if is_root() {
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = format!("--datadir={}", data.display());
        // What mariadb-install-db does, which is in a package with much else.
        let tables = fs::read_to_string("/usr/share/mysql/mysql_system_tables.sql").unwrap();
        let first = directory.join("first.sql");
        fs::write(&first, format!("CREATE DATABASE mysql;\nUSE mysql;\n{tables}")).unwrap();
        let mut create = unprivileged(Path::new("mariadbd"), &directory);
        create.args(["--no-defaults", "--bootstrap", &data]).args(SMALL).stdin(File::open(first).unwrap());
        finish(create, &directory);
        let setup = directory.join("setup.sql");
        let words = [
            "CREATE DATABASE kamailio;".to_owned(),
            format!("CREATE USER kamailio@'%' IDENTIFIED BY '{PASSWORD}';"),
            "GRANT ALL ON kamailio.* TO kamailio@'%';".to_owned(),
        ];
        fs::write(&setup, words.join("\n")).unwrap();
        let mut run = unprivileged(Path::new("mariadbd"), &directory);
        run.args(["--no-defaults", &data, "--skip-name-resolve"]).args(SMALL);
        run.arg(format!("--init-file={}", setup.display()));
        run.arg(format!("--socket={}", directory.join("socket").display()));
        run.arg(format!("--pid-file={}", directory.join("pid").display()));
        run.arg(format!("--bind-address={}", address.ip())).arg(format!("--port={}", address.port()));
        Self { child: run.spawn().unwrap(), directory, address }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// Ends it at once; its address refuses connections from now on.
    pub fn end(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            let id = self.child.id();
            // PostgreSQL takes its shared memory away with this one; MariaDB ends as well.
            assert!(Command::new("sh").args(["-c", &format!("kill -QUIT {id}")]).status().unwrap().success());
            self.child.wait().unwrap();
        }
    }
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A folder that the servers may write, with a path short enough for a socket's.
fn own_directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("siplane-{}-{name}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    if is_root() {
        chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    directory
}

fn free(host: u8) -> SocketAddr {
    TcpListener::bind(SocketAddr::from(([127, 62, host, 1], 0))).unwrap().local_addr().unwrap()
}

/// Where Debian has the newest version's programs.
fn postgres_programs() -> PathBuf {
    let versions =
        fs::read_dir("/usr/lib/postgresql").unwrap_or_else(|error| panic!("postgresql is not installed: {error}"));
    let version = versions
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok()));
    version.unwrap().join("bin")
}

/// A program that says what it says into the folder's log.
fn unprivileged(program: &Path, directory: &Path) -> Command {
    let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let mut command = Command::new(program);
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    command.current_dir(directory).env("PATH", path).env("HOME", directory).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn finish(mut command: Command, directory: &Path) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {}", fs::read_to_string(directory.join("log")).unwrap_or_default());
}
