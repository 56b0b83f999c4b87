//! `[database]` through the program: SQLite with the real kamcli, real PostgreSQL and MariaDB servers of the test's own.

use crate::http::{free_port, read, request};
use crate::reload::{Ctl, Place};
use crate::servers::{DatabaseServer, PASSWORD, PASSWORD_IN_URL};
use crate::{clients, ctl};
use serde_json::{Value, json};
use siplane::cli::demo::{Destination, LoadOptions, load};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::fs;
use std::future::Future;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What a server may take to start on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Kamailio's table; how an id comes about is said differently everywhere.
fn schema(id: &str) -> [String; 3] {
    [
        String::from(
            "CREATE TABLE version (table_name VARCHAR(32) NOT NULL, table_version INTEGER DEFAULT 0 NOT NULL)",
        ),
        format!(
            "CREATE TABLE dispatcher (id {id}, setid INTEGER DEFAULT 0 NOT NULL, destination VARCHAR(192) DEFAULT '' NOT NULL, \
             flags INTEGER DEFAULT 0 NOT NULL, priority INTEGER DEFAULT 0 NOT NULL, attrs VARCHAR(128) DEFAULT '' NOT NULL, \
             description VARCHAR(64) DEFAULT '' NOT NULL)"
        ),
        String::from("INSERT INTO version (table_name, table_version) VALUES ('dispatcher', 4)"),
    ]
}

/// Eleven rows, of which 5 and 11 cannot be used: ids that are compared as text have these two in another order.
fn rows() -> Vec<String> {
    let row = |index: u8| {
        let host = if [5, 11].contains(&index) { format!("bridge-{index}") } else { format!("127.0.0.{}", 10 + index) };
        format!(
            "INSERT INTO dispatcher (setid, destination, flags, priority, attrs, description) \
             VALUES (1, 'sip:{host}:5060', 8, {}, 'duid=d{index};maxload={index}', 'Z\u{fc}rich')",
            i32::from(index) - 6
        )
    };
    (1..=11).map(row).collect()
}

/// Statements through a connection of any of the three.
macro_rules! execute {
    ($options:expr, $statements:expr) => {
        wait(async {
            let mut connection = $options.connect().await?;
            for statement in $statements {
                sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
            }
            connection.close().await
        })
    };
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Does it as soon as the server lets it.
fn when_up(server: &DatabaseServer, attempt: impl Fn() -> Result<(), sqlx::Error>) {
    let end = Instant::now() + START_WITHIN;
    while let Err(error) = attempt() {
        assert!(Instant::now() < end, "{error}; the server: {}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("database-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// `siplane check` of a config with this in `[database]`: its status, and all that it says.
fn check(folder: &Path, database: &str) -> (bool, String) {
    let file = folder.join("siplane.toml");
    let text = format!(
        "listen = [\"udp:127.0.0.1:5060\"]\n[prober]\ninterval_ms = 1000\n[database]\n{database}\n\
         [[set]]\nid = 1\nalgorithm = \"call-load\"\n"
    );
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_siplane")).args(["check", "--config"]).arg(&file).output().unwrap();
    (output.status.success(), all(&output).replace(&file.display().to_string(), "FILE"))
}

fn all(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// What holds for every server: its table is read, what is wrong in it is told with its row, and without it there is an error, soon.
fn a_server_is_read(name: &'static str, url: &str, described: &str, mut server: DatabaseServer) {
    let folder = folder(name);
    fs::write(folder.join("url"), format!("{url}\n")).unwrap();
    let (is_ok, told) = check(&folder, "url_file = \"url\"");
    assert!(is_ok, "{told}");
    let table = format!("table dispatcher of {described}");
    let lines: Vec<&str> = told.lines().collect();
    for (line, row) in lines.iter().zip([5, 11]) {
        let start =
            format!("{table}: left out: row {row}: destination: found \"sip:bridge-{row}:5060\" with a host name");
        assert!(line.starts_with(&start), "{told}");
    }
    assert_eq!(lines[2..], ["FILE: ok: 1 listen addresses, 1 sets, 9 destinations, 0 rules"]);
    let (is_ok, told) = check(&folder, &format!("url = \"{}\"", url.replace(PASSWORD_IN_URL, "wrong")));
    assert!(!is_ok && told.starts_with(&format!("FILE:5: database.url: found {table}: ")), "{told}");
    assert!(!told.contains("wrong"), "{told}");
    let (is_ok, told) = check(&folder, "url_file = \"url\"\ntable = \"gateways\"");
    assert!(!is_ok && told.contains("it has no row in the table version, which would say 4"), "{told}");
    let (is_ok, told) = check(&folder, "url_file = \"url\"\nattrs_col = \"attributes\"");
    assert!(!is_ok && told.contains("attributes"), "{told}");
    let place = Place::new(name, 62);
    let siplane = place.start("", &format!("[database]\nurl_file = \"{}\"\n", folder.join("url").display()));
    let mut ctl = place.connect();
    ctl.call("dispatcher.reload", json!([])).unwrap();
    let before = listed(&mut ctl);
    assert_eq!((before.len(), before[0].as_str()), (9, "sip:127.0.0.20:5060"), "the highest priority is the first");

    server.end();
    let (is_ok, told) = check(&folder, "url_file = \"url\"");
    assert!(!is_ok && told.starts_with(&format!("FILE:5: database.url_file: found {table}: ")), "{told}");
    for method in ["config.diff", "dispatcher.reload"] {
        let fault = ctl.call(method, json!([])).unwrap_err();
        assert!(fault.contains(&table) && fault.contains("refused"), "{fault}");
    }
    let fault = ctl.call("dispatcher.reload", json!([])).unwrap_err();
    assert_eq!(listed(&mut ctl), before);
    let everything = format!("{told}{fault}{}", siplane.log());
    assert!(!everything.contains(PASSWORD) && !everything.contains(PASSWORD_IN_URL), "{everything}");
    drop(siplane);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_table_of_postgresql_is_read() {
    let server = DatabaseServer::postgres(69);
    let address = server.address;
    let options = PgConnectOptions::new_without_pgpass().host(&address.ip().to_string()).port(address.port());
    let options = options.username("postgres").password(PASSWORD).database("postgres");
    when_up(&server, || execute!(options, schema("SERIAL PRIMARY KEY")));
    execute!(options, rows()).unwrap();
    let url = format!("postgres://postgres:{PASSWORD_IN_URL}@{address}/postgres");
    a_server_is_read("postgres", &url, &format!("postgres://{address}/postgres"), server);
}

#[test]
fn a_table_of_mariadb_is_read() {
    let server = DatabaseServer::mariadb(70);
    let address = server.address;
    let options = MySqlConnectOptions::new().host(&address.ip().to_string()).port(address.port());
    let options = options.username("kamailio").password(PASSWORD).database("kamailio");
    when_up(&server, || execute!(options, schema("INTEGER UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL")));
    execute!(options, rows()).unwrap();
    let url = format!("mysql://kamailio:{PASSWORD_IN_URL}@{address}/kamailio");
    a_server_is_read("mariadb", &url, &format!("mysql://{address}/kamailio"), server);
}

/// The real kamcli, which writes the database by itself.
fn kamcli(folder: &Path, words: &[&str]) -> String {
    let file = folder.join("kamcli.ini");
    fs::write(&file, format!("[db]\nrwurl=sqlite:///{}\n", folder.join("d.db").display())).unwrap();
    let mut command = Command::new("kamcli");
    let output =
        command.arg("--no-default-configs").arg("-c").arg(&file).arg("dispatcher").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", all(&output));
    all(&output)
}

/// A SQLite file with Kamailio's tables.
fn sqlite(folder: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(folder.join("d.db")).create_if_missing(true);
    execute!(options, schema("INTEGER PRIMARY KEY NOT NULL")).unwrap();
    options
}

#[test]
fn what_kamcli_adds_to_and_removes_from_a_sqlite_file_is_read() {
    let folder = folder("sqlite");
    sqlite(&folder);
    kamcli(
        &folder,
        &["add", "--flags", "8", "--priority", "5", "--attrs", "duid=a;maxload=7", "1", "sip:127.0.0.11:5060"],
    );
    kamcli(&folder, &["add", "--desc", "the other one", "1", "sip:127.0.0.12"]);
    assert!(kamcli(&folder, &["showdb", "-F", "raw"]).contains("sip:127.0.0.12"));
    let counted = |count: u8| format!("FILE: ok: 1 listen addresses, 1 sets, {count} destinations, 0 rules\n");
    assert_eq!(check(&folder, "url = \"sqlite://d.db\""), (true, counted(2)));
    kamcli(&folder, &["rm", "1", "sip:127.0.0.12"]);
    assert_eq!(check(&folder, "url = \"sqlite://d.db\""), (true, counted(1)));
    fs::remove_dir_all(folder).unwrap();
}

/// The URIs of set 1, as `dispatcher.list` has them.
fn listed(ctl: &mut Ctl) -> Vec<String> {
    let list = ctl.call("dispatcher.list", json!([])).unwrap();
    let targets = list["RECORDS"][0]["SET"]["TARGETS"].as_array().unwrap_or_else(|| panic!("{list}"));
    targets.iter().map(|target| target["DEST"]["URI"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_reload_reads_the_table_anew_and_without_the_database_the_last_one_stays() {
    let (folder, place, http) = (folder("reload"), Place::new("database", 61), free_port(61));
    sqlite(&folder);
    kamcli(&folder, &["add", "--priority", "9", "1", "sip:127.0.0.11:5060"]);
    let file = folder.join("d.db");
    let control = format!("[control.http]\nlisten = \"{http}\"");
    let siplane = place.start(&control, &format!("[database]\nurl = \"sqlite://{}\"\n", file.display()));
    let mut ctl = place.connect();
    assert_eq!(listed(&mut ctl), ["sip:127.0.0.11:5060"]);
    kamcli(&folder, &["add", "1", "sip:127.0.0.12:5060"]);
    assert_eq!(listed(&mut ctl), ["sip:127.0.0.11:5060"]);
    ctl.call("dispatcher.reload", json!([])).unwrap();
    assert_eq!(listed(&mut ctl), ["sip:127.0.0.11:5060", "sip:127.0.0.12:5060"]);
    assert_eq!(get(http, "/readyz"), "ready\n");
    assert!(get(http, "/metrics").contains("\nsiplane_config_last_reload_successful 1.0\n"));

    fs::rename(&file, folder.join("away.db")).unwrap();
    let fault = ctl.call("dispatcher.reload", json!([])).unwrap_err();
    let expected = format!("table dispatcher of sqlite:{}: error returned from database", file.display());
    assert!(fault.contains(&expected) && fault.contains("unable to open database file"), "{fault}");
    assert_eq!(listed(&mut ctl), ["sip:127.0.0.11:5060", "sip:127.0.0.12:5060"]);
    let log = siplane.log();
    let told = log.lines().find(|line| line.contains("config not reloaded, what is in force stays: "));
    assert!(told.is_some_and(|line| line.contains("ERROR") && line.contains("unable to open database file")), "{log}");
    let ready = get(http, "/readyz");
    assert!(ready.starts_with("ready; the last reload failed, what is in force was read "), "{ready}");
    assert!(get(http, "/metrics").contains("\nsiplane_config_last_reload_successful 0.0\n"));

    fs::rename(folder.join("away.db"), &file).unwrap();
    kamcli(&folder, &["rm", "1", "sip:127.0.0.11:5060"]);
    ctl.call("dispatcher.reload", json!([])).unwrap();
    assert_eq!(listed(&mut ctl), ["sip:127.0.0.12:5060"]);
    assert_eq!(get(http, "/readyz"), "ready\n");
    drop(siplane);
    fs::remove_dir_all(folder).unwrap();
}

/// What an operator of Kamailio does today, with no other setting of kamcli than paths.
#[test]
fn what_kamcli_adds_to_the_table_gets_calls_after_kamcli_dispatcher_reload() {
    let (folder, place) = (folder("calls"), Place::new("kamcli-calls", 95));
    sqlite(&folder);
    let destinations = [11, 12].map(|last| Destination::start(SocketAddr::from(([127, 62, 95, last], 0))).unwrap());
    let [one, two] = destinations.each_ref().map(|it| format!("sip:{}", it.address()));
    let (ini, rpc, db) = (folder.join("kamcli.ini"), folder.join("rpc"), folder.join("d.db"));
    let settings = format!(
        "[main]\ndomain=example.com\n[db]\nrwurl=sqlite:///{}\n[ctl]\ntype=jsonrpc\n[jsonrpc]\ntransport=socket\nsrvaddr={}\n\
         rcvaddr={}\noutformat=json\n",
        db.display(),
        rpc.display(),
        folder.join("reply").display()
    );
    fs::write(&ini, settings).unwrap();
    let dispatcher = |words: &[&str]| clients::kamcli(&ini, &[&["dispatcher"], words].concat());
    dispatcher(&["add", "1", &one]);
    let control = format!("datagram_socket = \"{}\"", rpc.display());
    let siplane =
        place.start(&control, &format!("[database]\nurl = \"sqlite://{}\"\n[[rule]]\nset = 1\n", db.display()));
    let call = || assert_eq!(load(&LoadOptions::new(siplane.address, 10, 100)).unwrap().lost(), 0);
    let got = || destinations.each_ref().map(Destination::invites);
    call();
    assert_eq!(got(), [10, 0]);
    dispatcher(&["add", "1", &two]);
    assert!(ctl::done(&place, &["reload", "--dry-run"]).starts_with("1 added, 0 removed, 0 changed\n"));
    call();
    assert_eq!(got(), [20, 0], "the table is read with a reload, and not before");
    let answer: Value = serde_json::from_str(&dispatcher(&["reload"])).unwrap();
    assert_eq!(answer["result"], json!("Ok. Dispatcher successfully reloaded."));
    assert!(dispatcher(&["list"]).contains(&two));
    call();
    let [before, shared] = got();
    // Each shard takes turns of its own.
    assert!((22..=28).contains(&before) && before + shared == 30, "{before} {shared}");
    dispatcher(&["rm", "1", &one]);
    dispatcher(&["reload"]);
    call();
    assert_eq!(got(), [before, shared + 10]);
    // Without the database kamcli is told, and calls go on.
    fs::rename(&db, folder.join("away.db")).unwrap();
    let answer: Value = serde_json::from_str(&dispatcher(&["reload"])).unwrap();
    assert_eq!(answer["error"]["message"], json!("Reload Failed"), "{answer}");
    for words in [&["reload"][..], &["reload", "--dry-run"]] {
        let fault = ctl::refused(&place, words);
        assert!(fault.contains("unable to open database file"), "{fault}");
    }
    call();
    assert_eq!(got(), [before, shared + 20]);
    assert_eq!(siplane.terminate().code(), Some(0));
    fs::remove_dir_all(folder).unwrap();
}

/// The body that a path of the HTTP door has.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request(&format!("GET {path}"), &[], "").as_bytes()).unwrap();
    read(stream).body
}

#[test]
fn a_table_of_another_version_and_a_file_that_is_not_there_are_errors() {
    let folder = folder("version");
    let (is_ok, told) = check(&folder, "url = \"sqlite://d.db\"");
    assert!(!is_ok && told.contains("unable to open database file"), "{told}");
    assert!(!folder.join("d.db").exists());
    let options = sqlite(&folder);
    execute!(options, ["UPDATE version SET table_version = 3"]).unwrap();
    let (is_ok, told) = check(&folder, "url = \"sqlite://d.db\"");
    assert!(!is_ok && told.contains("its version in the table version is 3, not 4"), "{told}");
    execute!(options, ["DROP TABLE version"]).unwrap();
    let (is_ok, told) = check(&folder, "url = \"sqlite://d.db\"");
    assert!(!is_ok && told.contains("its version: ") && told.contains("no such table: version"), "{told}");
    fs::remove_dir_all(folder).unwrap();
}

/// A server that takes connections and says nothing is no reason to wait for long.
#[test]
fn a_database_that_says_nothing_is_given_up_after_its_time() {
    let folder = folder("silent");
    let silent = std::net::TcpListener::bind("127.62.71.1:0").unwrap();
    let url = format!("url = \"postgres://k:secret@{}/k\"\ntimeout_s = 1", silent.local_addr().unwrap());
    let (is_ok, told) = check(&folder, &url);
    assert!(!is_ok && told.contains(": no answer within 1 s, allowed: "), "{told}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn more_rows_than_there_may_be_destinations_are_an_error() {
    let folder = folder("many");
    let options = sqlite(&folder);
    let many = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= {}) INSERT INTO dispatcher (setid) SELECT 1 FROM n",
        siplane::limits::DESTINATIONS_MAX
    );
    execute!(options, [many]).unwrap();
    let (is_ok, told) = check(&folder, "url = \"sqlite://d.db\"");
    assert!(!is_ok && told.contains(": more than 65536 rows, allowed: "), "{told}");
    fs::remove_dir_all(folder).unwrap();
}
