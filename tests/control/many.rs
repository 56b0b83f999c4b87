//! Ten thousand destinations: what is looked at stays small, and each of them can be found.

use crate::browser::Browser;
use crate::ctl::{done, json};
use crate::http::free_port;
use crate::reload::{Ctl, Place};
use crate::top::{at_terminal, once};
use serde_json::{Value, json};
use std::net::SocketAddr;

const SETS: usize = 20;
const EACH: usize = 500;
const ALL: usize = SETS * EACH;
/// The web page's look at sets and at the destinations that it lists, however many there are.
const ANSWER_BYTES_MAX: usize = 150_000;

/// Nobody is probed: they are not there.
fn sets() -> String {
    let one = |set: usize, it: usize| {
        format!(
            "{{ uri = \"sip:127.{}.{}.{}:5060\", duid = \"gw{set}-{it}\", maxload = 50 }}",
            100 + set,
            it / 250,
            it % 250 + 1
        )
    };
    let of = |set: usize| {
        let all: Vec<String> = (0..EACH).map(|it| one(set, it)).collect();
        format!("[[set]]\nid = {set}\nname = \"set{set}\"\ndestinations = [\n{}]\n", all.join(",\n"))
    };
    format!("[prober]\ninterval_ms = 0\n{}", (1..=SETS).map(of).collect::<String>())
}

#[test]
fn with_ten_thousand_destinations_every_view_is_small_and_finds_each_of_them() {
    let (place, http) = (Place::new("many", 93), free_port(93));
    let control = format!("[control.http]\nlisten = \"{http}\"");
    let siplane = place.start(&control, "[[set]]\nid = 1\ndestinations = [\"sip:127.62.93.11\"]\n");
    place.write(&siplane, &control, &sets());
    let mut ctl = place.connect();
    ctl.call("dispatcher.reload", json!([])).unwrap();
    done(&place, &["disable", "set20", "gw20-499"]);
    an_overview_has_what_is_asked_for(&mut ctl);
    drains_and_top_find_one(&place);
    the_page_asks_for_what_it_shows(http);
    assert_eq!(siplane.terminate().code(), Some(0));
}

fn an_overview_has_what_is_asked_for(ctl: &mut Ctl) {
    let mut look = |params: Value| ctl.call("dispatcher.overview", params);
    let duids = |answer: &Value| -> Vec<String> {
        answer["destinations"].as_array().unwrap().iter().map(|it| it["duid"].as_str().unwrap().to_owned()).collect()
    };
    let counts = |answer: &Value| (answer["destinations_found"].clone(), answer["destinations_all"].clone());
    let none = look(json!({ "limit": 0 })).unwrap();
    assert_eq!((duids(&none).len(), counts(&none)), (0, (json!(ALL), json!(ALL))));
    assert_eq!((none["sets"].as_array().unwrap().len(), &none["sets"][19]["available"]), (SETS, &json!(EACH - 1)));
    assert_eq!(none["sets"][0]["requests"], json!(0));
    assert!(none.to_string().len() < 10_000, "{}", none.to_string().len());
    let page = look(json!({ "limit": 200 })).unwrap();
    assert_eq!((duids(&page).len(), duids(&page)[199].as_str()), (200, "gw1-199"));
    assert!(page.to_string().len() < ANSWER_BYTES_MAX, "{}", page.to_string().len());
    // By duid in any case, by URI, in one set.
    let one = look(json!({ "find": "GW7-499", "limit": 200 })).unwrap();
    assert_eq!((duids(&one), counts(&one)), (vec!["gw7-499".to_owned()], (json!(1), json!(ALL))));
    assert_eq!(duids(&look(json!({ "find": "SIP:127.103.1.250:" })).unwrap()), ["gw3-499"]);
    let of_set = look(json!({ "set": 3, "find": "gw3-49", "limit": 5 })).unwrap();
    assert_eq!((duids(&of_set).len(), counts(&of_set)), (5, (json!(11), json!(EACH))));
    let troubled = look(json!({ "troubled": true })).unwrap();
    assert_eq!((duids(&troubled), counts(&troubled)), (vec!["gw20-499".to_owned()], (json!(1), json!(ALL))));
    assert_eq!(duids(&look(json!([])).unwrap()).len(), ALL, "without a limit all of them");
    assert_eq!(look(json!({ "limit": -1 })).unwrap_err(), "limit: found -1, allowed: 0 and more");
}

fn drains_and_top_find_one(place: &Place) {
    let end = json(&done(place, &["--json", "drain", "set20", "gw20-498", "--wait", "--deadline", "60s"]));
    assert_eq!((&end["admin"], &end["calls"]), (&json!("draining"), &json!(0)));
    let socket = place.socket().display().to_string();
    let frame = String::from_utf8(once(&["--socket", &socket]).stdout).unwrap();
    assert!(frame.lines().count() > ALL && frame.contains(" gw20-497 "), "{}", frame.lines().count());
    let steps = json!([
        ["see", "set1"],
        ["type", "\t/gw20-498\r"],
        ["see", "only \"gw20-498\""],
        ["see", ">  20 127.120.1.249:5060"],
        ["type", "ey"],
        ["see", "(gw20-498) of set 20 is enabled"],
        ["type", "q"],
        ["ends", 0],
    ]);
    at_terminal("many", "80x24", &steps, |_| {});
}

fn the_page_asks_for_what_it_shows(http: SocketAddr) {
    let mut browser = Browser::open("many", &format!("http://{http}/"));
    let rows = "document.querySelectorAll('#destinations tbody tr').length";
    let shown = |browser: &mut Browser, rows_shown: usize, text: &str| {
        let shown = "document.getElementById('shown').innerText";
        browser.until(text, &format!("{rows} === {rows_shown} && {shown} === '{text}'"));
    };
    let choose = |browser: &mut Browser, id: &str, value: &str| {
        browser.eval(&format!(
            "(() => {{ const it = document.getElementById('{id}'); it.value = '{value}'; it.dispatchEvent(new Event('input')); }})()"
        ));
    };
    shown(&mut browser, 200, "10000 of 10000; the first 200 are shown");
    assert_eq!(browser.eval("document.querySelectorAll('#sets tbody tr').length"), json!(SETS));
    choose(&mut browser, "scope", "7");
    shown(&mut browser, 200, "500 of 500; the first 200 are shown");
    choose(&mut browser, "find", "GW7-499");
    shown(&mut browser, 1, "1 of 500");
    choose(&mut browser, "scope", "");
    shown(&mut browser, 1, "1 of 10000");
    choose(&mut browser, "find", "");
    browser.eval("document.getElementById('troubled').click()");
    shown(&mut browser, 1, "1 of 10000");
    let sizes = browser.eval("performance.getEntriesByType('resource').filter((it) => it.name.endsWith('/rpc')).map((it) => it.encodedBodySize)");
    let sizes: Vec<u64> = sizes.as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).collect();
    // Among them one with all that is listed at once; how many looks there were depends on how fast the machine is.
    assert!(sizes.iter().any(|size| *size > 20_000), "{sizes:?}");
    assert!(sizes.iter().all(|size| (1_000..ANSWER_BYTES_MAX as u64).contains(size)), "{sizes:?}");
    assert!(browser.faults.is_empty(), "{:#?}", browser.faults);
}
