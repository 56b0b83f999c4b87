//! `[control]`: who may be let in, and where.

use super::*;

fn http(text: &str) -> String {
    problems(&format!("{LISTEN}{SET}[control.http]\n{text}\n"))
}

#[test]
fn on_loopback_nothing_more_is_needed() {
    assert_eq!(http("listen = \"127.0.0.1:9680\""), "");
    assert_eq!(http("listen = \"[::1]:9680\""), "");
}

#[test]
fn beyond_loopback_somebody_must_be_known() {
    for address in ["192.0.2.1:9680", "0.0.0.0:9680", "[::]:9680"] {
        let told = http(&format!("listen = \"{address}\""));
        assert!(
            told.starts_with(&format!("f:6: control.http.listen: found {address} without authentication")),
            "{told}"
        );
        assert_eq!(http(&format!("listen = \"{address}\"\ntokens = \"t\"")), "");
    }
    let tls = "listen = \"192.0.2.1:9680\"\ncertificate = \"c\"\nkey = \"k\"\n";
    assert!(http(tls).contains("without authentication"));
    assert_eq!(http(&format!("{tls}client_ca = \"ca\"")), "");
}

#[test]
fn halves_and_words_that_mean_nothing_are_refused() {
    let listen = "listen = \"127.0.0.1:9680\"\n";
    assert!(http(&format!("{listen}certificate = \"c\"")).contains("control.http.key: found certificate alone"));
    assert!(http(&format!("{listen}key = \"k\"")).contains("control.http.certificate: found key alone"));
    assert!(http(&format!("{listen}client_ca = \"ca\"")).contains("control.http.client_ca: found client_ca alone"));
    assert!(http(&format!("{listen}client_role = \"admin\"")).contains("allowed: read, operate, report"));
    assert!(http("listen = \"9680\"").contains("allowed: ADDRESS:PORT"));
    assert!(http("").contains("control.http.listen: found nothing"));
    assert!(problems(&format!("{LISTEN}{SET}[control]\nsocket = \"\"\n")).contains("allowed: a path in quotes"));
}
