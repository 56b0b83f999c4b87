//! The method of probes.

use super::problem::nearest;
use super::reader::Item;

/// Methods that cannot be probes, with the reason.
const REFUSED: [(&str, &str); 4] = [
    ("INVITE", "which begins a call"),
    ("ACK", "which is never answered"),
    ("CANCEL", "which needs an INVITE to cancel"),
    ("BYE", "which needs a call to end"),
];

/// Methods that need nothing but what a probe has anyway.
const PLAIN: [&str; 4] = ["OPTIONS", "INFO", "REGISTER", "MESSAGE"];

/// Methods whose requests need more (RFC 3261 §8.1.1 does not list it): an answer says that they came, hardly ever 2xx.
const NEEDY: [(&str, &str); 6] = [
    ("SUBSCRIBE", "an Event (RFC 6665)"),
    ("NOTIFY", "an Event (RFC 6665)"),
    ("PUBLISH", "an Event (RFC 3903)"),
    ("REFER", "a Refer-To (RFC 3515)"),
    ("PRACK", "an RAck (RFC 3262)"),
    ("UPDATE", "a dialog (RFC 3311)"),
];

/// The method that `item` names (Kamailio's `ds_ping_method`).
pub(super) fn read(item: &Item<'_>) -> Option<String> {
    let allowed = "OPTIONS, INFO, or another method that is a request of its own";
    let text = item.text(allowed)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    // RFC 3261 §7.1: methods are case-sensitive, but nobody who writes `invite` means another one.
    if let Some((method, why)) = REFUSED.iter().find(|(method, _)| text.eq_ignore_ascii_case(method)) {
        item.refuse_because(format!("{method}, {why}"), allowed);
        return None;
    }
    if text.is_empty() || text.len() > 32 || !text.bytes().all(token) {
        item.refuse(allowed);
        return None;
    }
    if let Some((method, need)) = NEEDY.iter().find(|(method, _)| *method == text) {
        let found = format!("{method}, which needs {need} that a probe has not");
        item.warn(found, "OPTIONS, or reply_codes with what it is answered");
    } else if !PLAIN.contains(&text) {
        let known = PLAIN.into_iter().chain(NEEDY.iter().map(|(method, _)| *method));
        let near = PLAIN.into_iter().find(|method| text.eq_ignore_ascii_case(method));
        item.warn_near(format!("\"{text}\""), PLAIN.join(", "), near.or_else(|| nearest(text, known)));
    }
    Some(text.to_owned())
}
