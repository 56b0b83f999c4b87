//! Lists of status codes: `[408, "5xx", "!501"]`, read from left to right; `!` takes out again.

use super::reader::Item;
use core::ops::RangeInclusive;
use std::collections::BTreeSet;

/// The codes that `list` names; each must lie within `range`.
pub(super) fn read(list: &Item<'_>, range: &RangeInclusive<u16>) -> BTreeSet<u16> {
    let allowed = allowed(range);
    let mut codes = BTreeSet::new();
    for item in list.list(&format!("a list of {allowed}")) {
        match entry(&item, range) {
            Some((false, entry)) => codes.extend(entry),
            Some((true, entry)) => remove(&item, entry, &mut codes),
            None => item.refuse(allowed.as_str()),
        }
    }
    codes
}

fn remove(item: &Item<'_>, entry: RangeInclusive<u16>, codes: &mut BTreeSet<u16>) {
    let before = codes.len();
    codes.retain(|code| !entry.contains(code));
    if codes.len() == before {
        item.warn(format!("{}, which takes out nothing", item.shown()), "! behind the codes that it takes out of");
    }
}

fn allowed(range: &RangeInclusive<u16>) -> String {
    let (first, last) = (range.start(), range.end());
    format!(
        "codes {first} to {last}, classes \"{}xx\" to \"{}xx\", and either with ! in front",
        first / 100,
        last / 100
    )
}

/// Whether the entry takes out, and what.
fn entry(item: &Item<'_>, range: &RangeInclusive<u16>) -> Option<(bool, RangeInclusive<u16>)> {
    if let Some(code) = item.as_integer() {
        let code = u16::try_from(code).ok().filter(|code| range.contains(code))?;
        return Some((false, code..=code));
    }
    let text = item.as_text()?;
    let (out, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let entry = codes(text)?;
    (range.contains(entry.start()) && range.contains(entry.end())).then_some((out, entry))
}

/// `503` or `5xx`.
fn codes(text: &str) -> Option<RangeInclusive<u16>> {
    let digits =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    match text.strip_suffix("xx") {
        Some(class) if class.len() == 1 => digits(class).map(|class| class * 100..=class * 100 + 99),
        Some(_) => None,
        None => digits(text).map(|code| code..=code),
    }
}
