//! The web page in a real browser, before a real siplane with calls.

use crate::browser::Browser;
use crate::clients::wait_for;
use crate::http::{free_port, post};
use crate::page::{OPERATE, READ, REPORT, tokens};
use crate::program::Siplane;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use serde_json::{Value, json};
use siplane::cli::demo::{Destination, Load, LoadOptions};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

const TAB: (&str, u32, &str) = ("Tab", 9, "");
const ENTER: (&str, u32, &str) = ("Enter", 13, "\r");
const ESCAPE: (&str, u32, &str) = ("Escape", 27, "");

fn loopback(host: u8, last: u8) -> SocketAddr {
    SocketAddr::from(([127, 62, host, last], 0))
}

/// A siplane with two sets, one destination each that is there, and one that is disabled.
fn run(host: u8, destinations: &[Destination; 2], http: &str) -> Siplane {
    let [one, two] = destinations.each_ref().map(Destination::address);
    Siplane::start(loopback(host, 1), |address| {
        format!(
            "listen = [\"udp:{address}\"]\nshards = 2\nshutdown_timeout_s = 2\ndefault_set = 1\n[control.http]\n{http}\n\
             [[set]]\nid = 1\nname = \"bridges\"\ndestinations = [\n  {{ uri = \"sip:{one}\", duid = \"one\", maxload = 100 }},\n  \
             {{ uri = \"sip:{two}\", duid = \"two\", maxload = 100 }},\n]\n\
             [[set]]\nid = 2\ndestinations = [{{ uri = \"sip:127.62.{host}.13:5060\", disabled = true }}]\n"
        )
    })
}

fn admin(http: SocketAddr, duid: &str) -> String {
    let ask = json!({"jsonrpc": "2.0", "method": "dispatcher.get", "params": [1, duid], "id": 1}).to_string();
    post(http, "/rpc", &[], &ask).json()["result"]["admin"].as_str().unwrap().to_owned()
}

/// The text of a cell of the destination whose row names `duid`.
fn cell(duid: &str, column: usize) -> String {
    format!(
        "[...document.querySelectorAll('#destinations tbody tr')].find((row) => row.cells[0].innerText.includes('{duid}')).cells[{column}]"
    )
}

fn button(duid: &str, action: &str) -> String {
    format!("{}.querySelector('[data-action={action}]')", cell(duid, 11))
}

const STATE: usize = 2;
const ADMIN: usize = 3;
const CPS: usize = 5;

#[test]
fn the_page_shows_live_calls_and_its_buttons_drain_and_enable() {
    let http = free_port(67);
    let destinations = [11, 12].map(|last| Destination::start(loopback(67, last)).unwrap());
    let siplane = run(67, &destinations, &format!("listen = \"{http}\""));
    let load = Load::start(&LoadOptions::new(siplane.address, 1_200, 100)).unwrap();
    let mut browser = Browser::open("open", &format!("http://{http}/"));
    browser.until("three destinations", "document.querySelectorAll('#destinations tbody tr').length === 3");
    assert_eq!(browser.text("#ready"), "ready");
    assert_eq!(browser.eval(&format!("{}.innerText", cell("127.62.67.13", ADMIN))), json!("disabled"));
    numbers_change(&mut browser);
    keys_drain(&mut browser, http);
    // By mouse, and back.
    browser.eval(&format!("{}.click()", button("one", "enable")));
    browser.until("the dialog is open", "document.getElementById('confirm').open");
    browser.eval("document.getElementById('confirm-yes').click()");
    wait_for("enabled", || (admin(http, "one") == "enabled").then_some(()));
    browser.until("it is shown", &format!("{}.innerText === 'enabled'", cell("one", ADMIN)));
    events_are_told(&mut browser);
    sets_and_texts_choose(&mut browser);
    it_fits_phones_and_the_dark(&mut browser);
    markup_stays_text(&mut browser);
    assert!(browser.faults.is_empty(), "{:#?}", browser.faults);
    let own = format!("http://{http}/");
    assert!(
        browser.urls.iter().all(|url| url.starts_with(&own) || url == "about:blank" || url == "data:,"),
        "{:?}",
        browser.urls
    );
    drop(browser);
    assert_eq!(load.wait().unwrap().lost(), 0);
    assert_eq!(siplane.terminate().code(), Some(0));
}

fn numbers_change(browser: &mut Browser) {
    let cps = format!("parseFloat({}.innerText)", cell("two", CPS));
    browser.until("calls flow", &format!("{cps} > 10"));
    browser.until("health is shown", &format!("{}.innerText === 'active'", cell("two", STATE)));
    let received = "Number(document.querySelector('#shards tbody tr').cells[2].innerText) > 0 ||\
        Number(document.querySelectorAll('#shards tbody tr')[1].cells[2].innerText) > 0";
    browser.until("shards receive", received);
    browser.until("load is shown with its bound", &format!("/^[0-9]+ of 100$/.test({}.innerText)", cell("two", 4)));
    // The charts are drawn, in words, too, and go on.
    assert_eq!(browser.eval("document.querySelectorAll('#charts canvas').length"), json!(3));
    let drawn = "(() => { const canvas = document.querySelector('#charts canvas');\
        return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.join(); })()";
    let before = browser.eval(drawn);
    browser.eval(&format!("(window.before = {before}, 0)"));
    browser.until("the chart goes on", &format!("window.before !== {drawn}"));
    let label = browser.eval("document.querySelector('#charts canvas').getAttribute('aria-label')");
    assert!(label.as_str().unwrap().starts_with("Calls per second, the last ten minutes. total: now "), "{label}");
    assert!(browser.text("#charts .legend").contains("1 bridges"));
}

/// With keys alone; Escape is no.
fn keys_drain(browser: &mut Browser, http: SocketAddr) {
    for is_meant in [false, true] {
        browser.eval(&format!("{}.focus()", button("one", "drain")));
        browser.press(ENTER);
        browser.until("the dialog is open", "document.getElementById('confirm').open");
        assert!(browser.text("#confirm").contains("Drain sip:127.62.67.11:"), "{}", browser.text("#confirm"));
        assert_eq!(browser.eval("document.activeElement.id"), json!("confirm-no"));
        if !is_meant {
            browser.press(ESCAPE);
            browser.until("the dialog is closed", "!document.getElementById('confirm').open");
            assert_eq!(browser.eval("document.activeElement.dataset.action"), json!("drain"), "back where it was");
            assert_eq!(admin(http, "one"), "enabled");
            continue;
        }
        browser.press(TAB);
        assert_eq!(browser.eval("document.activeElement.id"), json!("confirm-yes"));
        browser.press(ENTER);
        wait_for("draining", || (admin(http, "one") == "draining").then_some(()));
    }
    browser.until("it is shown", &format!("{}.innerText === 'draining'", cell("one", ADMIN)));
    browser.until("it is told", "document.getElementById('done').innerText.includes('is draining; it has ')");
    browser.until("it gets no calls", &format!("parseFloat({}.innerText) === 0", cell("one", CPS)));
    assert_eq!(browser.eval(&format!("{}.disabled", button("one", "drain"))), json!(true));
}

/// Real ones, the last one first.
fn events_are_told(browser: &mut Browser) {
    let told = |kind: &str, texts: &[&str]| {
        let all: String = texts.iter().map(|text| format!(" && it.cells[2].innerText.includes('{text}')")).collect();
        format!(
            "[...document.querySelectorAll('#events tbody tr')].findIndex((it) => it.cells[1].innerText === '{kind}'{all})"
        )
    };
    let drained = told("admin", &["set_name bridges", "duid one", "admin draining"]);
    let enabled = told("admin", &["duid one", "admin enabled"]);
    let operated = told("operated", &["method dispatcher.enable", "who ", "done true"]);
    let started = told("started", &["destinations 3"]);
    browser.until("what was done is told", &format!("{operated} >= 0 && {enabled} >= 0 && {drained} > {enabled}"));
    browser.until("and what was before", &format!("{started} > {drained}"));
    assert_eq!(browser.eval("document.getElementById('events-section').hidden"), json!(false));
    // Times are the browser's, of this day.
    let time = "/^[0-9]{1,2}:[0-9]{2}:[0-9]{2}/.test(document.querySelector('#events tbody tr').cells[0].innerText)";
    assert_eq!(browser.eval(time), json!(true));
}

fn sets_and_texts_choose(browser: &mut Browser) {
    let rows = "document.querySelectorAll('#destinations tbody tr').length";
    let set = |id: &str, value: &str| {
        format!(
            "(() => {{ const it = document.getElementById('{id}'); it.value = '{value}'; it.dispatchEvent(new Event('input')); }})()"
        )
    };
    let shown = |text: &str, count: u8| {
        format!("{rows} === {count} && document.getElementById('shown').innerText === '{text}'")
    };
    browser.eval(&set("scope", "2"));
    browser.until("one of set 2", &shown("1 of 1", 1));
    browser.eval(&set("scope", ""));
    browser.eval(&set("find", "TWO"));
    browser.until("the one with that text", &shown("1 of 3", 1));
    browser.eval(&set("find", ""));
    browser.eval("document.getElementById('troubled').click()");
    browser.until("the one in trouble", &shown("1 of 3", 1));
    browser.eval("document.getElementById('troubled').click()");
    browser.until("all of them", &shown("3 of 3", 3));
}

fn it_fits_phones_and_the_dark(browser: &mut Browser) {
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true}),
    );
    let widths = browser.eval("[document.documentElement.scrollWidth, window.innerWidth]");
    assert_eq!(widths, json!([360, 360]), "nothing reaches beyond the screen");
    browser.call("Emulation.clearDeviceMetricsOverride", json!({}));
    let mut back = |scheme: &str| {
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.call("Emulation.setEmulatedMedia", feature);
        browser.eval("getComputedStyle(document.body).backgroundColor")
    };
    assert_ne!(back("dark"), back("light"));
}

/// What siplane never has in a URI, in every text that it sends.
fn markup_stays_text(browser: &mut Browser) {
    let replaced = r#"(() => {
        const [real, mark] = [window.fetch, "<img src=x onerror=document.title=1><b>bold</b>"];
        window.fetch = async (...given) => {
            const answers = await (await real(...given)).json();
            const [sets, chosen] = [answers[0].result, answers[1].result];
            for (const it of chosen.destinations) Object.assign(it, { uri: mark, why: mark, state: mark, admin: mark, duid: mark + it.duid });
            for (const it of sets.sets) it.name = mark;
            Object.assign(sets, { version: mark, not_ready: mark });
            answers[2] = { id: 2, result: { events: [{ seq: 1, at: "2026-01-01T00:00:00Z", type: mark, uri: mark }] } };
            return new Response(JSON.stringify(answers));
        };
        window.giveBack = () => { window.fetch = real; };
    })()"#;
    browser.eval(replaced);
    browser.until("it is shown", "document.querySelector('#destinations tbody').innerText.includes('<img src=x')");
    for place in ["#ready", "#about", "#sets", "#charts", "#scope"] {
        assert!(browser.text(place).contains("<b>bold</b>"), "{place}");
    }
    assert_eq!(browser.eval("document.querySelectorAll('img, b').length"), json!(0));
    assert_eq!(browser.eval("document.title"), json!("siplane"));
    // Nor can a script make it markup.
    let tried =
        "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken'; } catch { return 'refused'; } })()";
    assert_eq!(browser.eval(tried), json!("refused"));
    browser.faults.retain(|fault| !fault.contains("TrustedHTML") && !fault.contains("trusted"));
    browser.eval("window.giveBack()");
    browser.until(
        "it is itself again",
        "document.querySelector('#destinations tbody').innerText.includes('sip:127.62.67.11')",
    );
}

#[test]
fn with_tokens_the_page_asks_once_and_shows_what_the_role_allows() {
    let (http, file) = (free_port(68), tokens("browser"));
    let destinations = [11, 12].map(|last| Destination::start(loopback(68, last)).unwrap());
    let siplane = run(68, &destinations, &format!("listen = \"{http}\"\ntokens = \"{}\"", file.display()));
    let mut browser = Browser::open("tokens", &format!("http://{http}/"));
    let asked = "!document.getElementById('sign-in').hidden && document.getElementById('view').hidden";
    let rows = "document.querySelectorAll('#destinations tbody tr').length";
    let acts = "[...document.querySelectorAll('#destinations button')].filter((it) => it.checkVisibility()).length";
    browser.until("a token is asked for", asked);
    assert_eq!(browser.eval(rows), json!(0));
    assert!(browser.text("#sign-in").contains("answers those who have a token"));
    sign_in(&mut browser, "guess-01234567890");
    browser.until(
        "it is unknown",
        "document.getElementById('sign-in-why').innerText.includes('does not know this token')",
    );
    assert_eq!(kept(&mut browser), json!([null, 0, ""]), "and not kept");
    sign_in(&mut browser, REPORT);
    browser
        .until("it may not look", "document.getElementById('sign-in-why').innerText.includes('needs the role read')");
    // Who looks has no buttons.
    sign_in(&mut browser, READ);
    browser.until("destinations", &format!("{rows} === 3"));
    assert_eq!(browser.eval(acts), json!(0));
    assert_eq!(kept(&mut browser), json!([READ, 0, ""]), "in this tab alone");
    // Not asked again.
    browser.call("Page.reload", json!({}));
    browser.until("destinations again", &format!("document.readyState === 'complete' && {rows} === 3 && {acts} === 0"));
    browser.eval("document.getElementById('sign-out').click()");
    assert_eq!(browser.eval(asked), json!(true));
    assert_eq!((browser.eval(rows), kept(&mut browser)), (json!(0), json!([null, 0, ""])), "nothing stays");
    sign_in(&mut browser, OPERATE);
    browser.until("destinations with buttons", &format!("{rows} === 3 && {acts} === 9"));
    browser.eval(&format!("{}.click()", button("two", "disable")));
    browser.until("the dialog is open", "document.getElementById('confirm').open");
    browser.eval("document.getElementById('confirm-yes').click()");
    browser.until("disabled", &format!("{}.innerText === 'disabled'", cell("two", ADMIN)));
    // What a browser logs by itself of the answers 401.
    browser.faults.retain(|fault| !fault.contains("401"));
    assert!(browser.faults.is_empty(), "{:#?}", browser.faults);
    assert!(browser.urls.iter().all(|url| !url.contains(READ)), "no token in an address: {:?}", browser.urls);
    siplane_goes_away(&mut browser, siplane);
    std::fs::remove_file(file).unwrap();
}

fn sign_in(browser: &mut Browser, token: &str) {
    browser.eval("document.getElementById('token').focus()");
    browser.call("Input.insertText", json!({"text": token}));
    browser.press(ENTER);
}

/// Where a token may be found: in sessionStorage, in localStorage, in cookies.
fn kept(browser: &mut Browser) -> Value {
    browser.eval("[sessionStorage.getItem('siplane.token'), localStorage.length, document.cookie]")
}

fn siplane_goes_away(browser: &mut Browser, siplane: Siplane) {
    assert_eq!(siplane.terminate().code(), Some(0));
    browser.until("it is told", "document.getElementById('fault').innerText.startsWith('No answer: ')");
    browser.until("what is shown is old", "document.getElementById('view').classList.contains('stale')");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(browser.eval("document.querySelectorAll('#destinations tbody tr').length"), json!(3), "and stays");
}

#[test]
fn the_page_works_in_tls_and_its_buttons_too() {
    let (http, file) = (free_port(94), tokens("browser-tls"));
    let destinations = [11, 12].map(|last| Destination::start(loopback(94, last)).unwrap());
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new([http.ip().to_string()]).unwrap().self_signed(&key).unwrap();
    let pem = |name: &str, text: &str| {
        let path = file.with_extension(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (certificate, secret) = (pem("pem", &own.pem()), pem("key", &key.serialize_pem()));
    let tls = format!("certificate = \"{}\"\nkey = \"{}\"", certificate.display(), secret.display());
    let siplane = run(94, &destinations, &format!("listen = \"{http}\"\ntokens = \"{}\"\n{tls}", file.display()));
    // Chromium knows this key, and no other that nobody has signed.
    let option = format!("--ignore-certificate-errors-spki-list={}", fingerprint(&key));
    let mut browser = Browser::open_with("tls", &format!("https://{http}/"), &option);
    browser.until("a token is asked for", "!document.getElementById('sign-in').hidden");
    sign_in(&mut browser, OPERATE);
    let rows = "document.querySelectorAll('#destinations tbody tr').length";
    browser.until("destinations", &format!("{rows} === 3"));
    browser.eval(&format!("{}.click()", button("two", "drain")));
    browser.until("the dialog is open", "document.getElementById('confirm').open");
    browser.eval("document.getElementById('confirm-yes').click()");
    browser.until("draining", &format!("{}.innerText === 'draining'", cell("two", ADMIN)));
    assert_eq!(browser.eval("[location.protocol, isSecureContext]"), json!(["https:", true]));
    browser.faults.retain(|fault| !fault.contains("401"));
    assert!(browser.faults.is_empty(), "{:#?}", browser.faults);
    drop(browser);
    assert_eq!(siplane.terminate().code(), Some(0));
    [file, certificate, secret].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

/// SHA-256 of the public key, as Chromium's option has it.
fn fingerprint(key: &KeyPair) -> String {
    const SCRIPT: &str = "import base64, hashlib, sys\nprint(base64.b64encode(hashlib.sha256(bytes.fromhex(sys.argv[1])).digest()).decode())";
    let hex: String = key.subject_public_key_info().iter().map(|byte| format!("{byte:02x}")).collect();
    let output = Command::new("python3").args(["-c", SCRIPT, &hex]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
