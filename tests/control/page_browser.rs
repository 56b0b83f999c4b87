//! The web page in a real browser, before a real siplane with calls.

use crate::browser::Browser;
use crate::clients::wait_for;
use crate::http::{free_port, post};
use crate::page::{OPERATE, READ, REPORT, tokens};
use crate::program::Siplane;
use serde_json::{Value, json};
use siplane::cli::demo::{Destination, Load, LoadOptions};
use std::net::SocketAddr;
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

fn sets_and_texts_choose(browser: &mut Browser) {
    let rows = "document.querySelectorAll('#destinations tbody tr').length";
    let set = |id: &str, value: &str| {
        format!(
            "(() => {{ const it = document.getElementById('{id}'); it.value = '{value}'; it.dispatchEvent(new Event('input')); }})()"
        )
    };
    browser.eval(&set("scope", "2"));
    assert_eq!(browser.eval(rows), json!(1));
    browser.eval(&set("scope", ""));
    browser.eval(&set("find", "TWO"));
    assert_eq!((browser.eval(rows), browser.text("#shown")), (json!(1), "1 of 3".to_owned()));
    browser.eval(&set("find", ""));
    browser.eval("document.getElementById('troubled').click()");
    assert_eq!(browser.eval(rows), json!(1));
    browser.eval("document.getElementById('troubled').click()");
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
            const { result } = answers[0];
            for (const it of result.destinations) Object.assign(it, { uri: mark, why: mark, state: mark, admin: mark, duid: mark + it.duid });
            for (const it of result.sets) it.name = mark;
            Object.assign(result, { version: mark, not_ready: mark });
            answers[1] = { id: 1, result: { events: [{ seq: 1, at: "2026-01-01T00:00:00Z", type: mark, uri: mark }] } };
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
