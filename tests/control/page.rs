//! The web page as it is served, and `POST /report`.

use crate::http::{Reply, free_port, post, request, send};
use crate::program::Siplane;
use crate::start;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Tokens of each role.
pub const READ: &str = "reader-0123456789";
pub const OPERATE: &str = "operator-01234567";
pub const REPORT: &str = "reporter-01234567";

/// Writes a file of these tokens.
pub fn tokens(name: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tokens-{name}-{}", std::process::id()));
    std::fs::write(&file, format!("read {READ}\noperate {OPERATE}\nreport {REPORT}\n")).unwrap();
    file
}

/// The header that shows a token.
fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// A siplane with a page that asks for tokens.
fn guarded(host: u8) -> (Siplane, SocketAddr, PathBuf) {
    let (address, file) = (free_port(host), tokens(&host.to_string()));
    let control = format!("[control.http]\nlisten = \"{address}\"\ntokens = \"{}\"", file.display());
    (start(host, &control), address, file)
}

fn get(address: SocketAddr, path: &str, headers: &[&str]) -> Reply {
    send(address, &request(&format!("GET {path}"), headers, ""))
}

#[test]
fn the_page_is_for_everybody_and_lets_nothing_else_in() {
    let (siplane, address, file) = guarded(60);
    let page = get(address, "/", &[]);
    assert_eq!(page.status, 200);
    let mut paths = vec!["/".to_owned()];
    let quoted = |text: &str| -> Vec<String> {
        let names = text.split('"').map(|name| name.strip_prefix('.').unwrap_or(name).to_owned());
        names.filter(|name| name.starts_with('/') && (name.ends_with(".js") || name.ends_with(".css"))).collect()
    };
    paths.extend(quoted(&page.body));
    paths.extend(quoted(&get(address, "/page.js", &[]).body));
    assert!(paths.len() >= 6, "{paths:?}");
    for path in paths {
        let reply = get(address, &path, &[]);
        let head = reply.head.to_lowercase();
        assert_eq!(reply.status, 200, "{path}");
        for wanted in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "connect-src 'self'",
            "script-src 'self'",
            "style-src 'self'",
        ] {
            assert!(
                head.lines().any(|line| line.starts_with("content-security-policy:") && line.contains(wanted)),
                "{path}: {head}"
            );
        }
        assert!(!head.contains("unsafe-") && !head.contains("set-cookie"), "{path}: {head}");
        assert!(
            head.contains("x-content-type-options: nosniff") && head.contains("referrer-policy: no-referrer"),
            "{path}: {head}"
        );
        assert!(!reply.body.contains("://"), "{path} names something elsewhere");
    }
    assert_eq!(siplane.terminate().code(), Some(0));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn whoever_asks_is_told_what_they_may_do() {
    let (siplane, address, file) = guarded(61);
    assert_eq!(get(address, "/role", &[]).status, 401);
    for (token, role) in [(READ, "read"), (OPERATE, "operate"), (REPORT, "report")] {
        let reply = get(address, "/role", &[&bearer(token)]);
        assert_eq!((reply.status, reply.body.as_str()), (200, role));
    }
    assert_eq!(siplane.terminate().code(), Some(0));
    std::fs::remove_file(file).unwrap();
}

/// What siplane keeps of the reports of a destination: the share in use, the capacity, and how many there were.
fn reported(address: SocketAddr) -> Value {
    let destination = json!([1, "sip:127.62.62.11:5060"]);
    let ask = json!({"jsonrpc": "2.0", "method": "dispatcher.get", "params": destination, "id": 1}).to_string();
    kept(&post(address, "/rpc", &[&bearer(READ)], &ask).json()["result"]["reported"])
}

fn kept(reported: &Value) -> Value {
    json!([reported["in_use"], reported["capacity"], reported["taken"]])
}

#[test]
fn a_destination_reports_its_load_with_a_token_of_its_own() {
    let (siplane, address, file) = guarded(62);
    let by_query = "/report?set=1&destination=sip:127.62.62.11:5060&load=57%25&capacity=200";
    // By the query alone: the token says enough.
    let plain =
        |path: &str, headers: &[&str], body: &str| send(address, &request(&format!("POST {path}"), headers, body));
    assert_eq!(plain(by_query, &[&bearer(REPORT)], "").status, 200);
    assert_eq!(reported(address), json!([0.57, 200, 1]));
    // In JSON.
    let body = json!({"set": 1, "destination": "sip:127.62.62.11:5060", "calls": 20, "capacity": 100}).to_string();
    let told = post(address, "/report", &[&bearer(REPORT)], &body);
    assert_eq!((told.status, kept(&told.json())), (200, json!([0.2, 100, 2])));
    assert_eq!(reported(address), json!([0.2, 100, 2]));
    // An operator may, too; who only looks may not, and who is unknown neither.
    assert_eq!(plain(by_query, &[&bearer(OPERATE)], "").status, 200);
    let refused = plain(by_query, &[&bearer(READ)], "");
    let error = json!({"error": "dispatcher.report_load needs the role report"});
    assert_eq!((refused.status, refused.json()), (403, error));
    assert_eq!(plain(by_query, &[], "").status, 401);
    // And the token of a destination opens nothing else.
    assert_eq!(get(address, "/metrics", &[&bearer(REPORT)]).status, 403);
    assert_eq!(siplane.terminate().code(), Some(0));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_report_that_cannot_be_meant_is_refused() {
    let address = free_port(63);
    let siplane = start(63, &format!("[control.http]\nlisten = \"{address}\""));
    let told = |body: &Value| {
        let reply = post(address, "/report", &[], &body.to_string());
        (reply.status, reply.json()["error"].as_str().unwrap_or_default().to_owned())
    };
    let name = "sip:127.62.63.11:5060";
    assert_eq!(told(&json!({"set": 1, "destination": name, "load": "57%"})), (200, String::new()));
    assert_eq!(told(&json!({"set": 7, "duid": "a", "load": 0.5})), (404, "no set 7; sets: 1 bridges".to_owned()));
    assert_eq!(told(&json!({"set": 1, "duid": "nobody", "load": 0.5})).0, 404);
    assert_eq!(told(&json!({"set": 1, "destination": name, "load": "much"})).0, 400);
    assert_eq!(told(&json!({"set": 1, "destination": name})).0, 400);
    assert_eq!(get(address, "/report", &[]).status, 405);
    // Without tokens a form on any page could send this: it must say that it is JSON.
    let query = format!("POST /report?set=1&destination={name}&load=100%25");
    for headers in [&[][..], &["Content-Type: text/plain"], &["Content-Type: application/x-www-form-urlencoded"]] {
        assert_eq!(send(address, &request(&query, headers, "")).status, 415, "{headers:?}");
    }
    assert_eq!(send(address, &request(&query, &["Content-Type: application/json"], "")).status, 200);
    assert_eq!(siplane.terminate().code(), Some(0));
}
