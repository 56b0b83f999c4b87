//! Answers that a client can take.
//!
//! # Policy
//!
//! An answer that its door cannot carry, or its client not read, is not lost as in Kamailio, but shortened until it fits:
//! 1. a method with a short form, called without arguments, is called again for that;
//! 2. then every list in the answer is cut to its first so many elements, all to the same number, the highest that fits; a member
//!    `MORE` beside a list that was cut says how many it had, and one at the top how to get the rest.

use crate::control::rpc::{self, Role};
use crate::control::{Answer, Control, Fault, Given, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// What shortens the answer of a method: its short form.
const SHORT_FORMS: [(&str, &str); 1] = [("dispatcher.list", "short")];

const HINT: &str = "too long for this client; `siplane ctl` and JSON-RPC on the control socket show all of it";

/// Calls the method `name` for an answer that `fits`, which none does with more than `bytes_max` bytes of names and texts.
pub(super) async fn call(
    control: &Arc<Control>,
    role: Role,
    name: &str,
    given: Given,
    bytes_max: usize,
    fits: impl Fn(&Value) -> bool,
) -> Answer {
    // To write an answer takes longer than to add its texts up.
    let fits = |value: &Value| text_bytes(value) <= bytes_max && fits(value);
    let short = SHORT_FORMS.iter().find(|(long, _)| *long == name && given == Given::none());
    let mut value = rpc::call(control, role, name, given).await?;
    if fits(&value) {
        return Ok(value);
    }
    if let Some((_, form)) = short {
        value = rpc::call(control, role, name, Given::List(vec![Value::fixed(form)])).await?;
    }
    shortened(&value, fits).ok_or_else(|| Fault::refused(format!("the answer of {name} is {HINT}"), "reply too big"))
}

/// `value` with lists as long as fit; none when it does not even fit without their elements.
fn shortened(value: &Value, fits: impl Fn(&Value) -> bool) -> Option<Value> {
    let with_hint = |count| hinted(cut(value, count), value);
    if !fits(&with_hint(0)) {
        return None;
    }
    // The number of elements from which on it does not fit: doubled, and then halved down to the last one that does. So what is far too
    // long is never written.
    let (mut fitting, mut beyond, longest) = (0, 1, longest(value));
    while beyond <= longest && fits(&with_hint(beyond)) {
        (fitting, beyond) = (beyond, beyond * 2);
    }
    while beyond - fitting > 1 {
        let middle = fitting.midpoint(beyond);
        if fits(&with_hint(middle)) {
            fitting = middle;
        } else {
            beyond = middle;
        }
    }
    Some(with_hint(fitting))
}

fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Array(values) => values.iter().map(text_bytes).sum(),
        Value::Struct(members) => members.iter().map(|(name, value)| name.len() + text_bytes(value)).sum(),
        _ => 0,
    }
}

fn longest(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(longest).max().unwrap_or(0).max(values.len()),
        Value::Struct(members) => members.iter().map(|(_, value)| longest(value)).max().unwrap_or(0),
        _ => 0,
    }
}

/// `value` with at most `count` elements in each list.
fn cut(value: &Value, count: usize) -> Value {
    match value {
        Value::Array(values) => Value::Array(values.iter().take(count).map(|value| cut(value, count)).collect()),
        Value::Struct(members) => {
            let mut shorter = Vec::with_capacity(members.len() + 1);
            for (name, value) in members {
                shorter.push((name.clone(), cut(value, count)));
                if let Value::Array(values) = value
                    && values.len() > count
                {
                    shorter.push((Cow::Borrowed("MORE"), more(values.len(), count)));
                }
            }
            Value::Struct(shorter)
        }
        other => other.clone(),
    }
}

fn more(all: usize, shown: usize) -> Value {
    Value::of([("SHOWN", Value::from(shown)), ("ALL", Value::from(all))])
}

/// What was cut with the hint at its end; of a list that is the whole answer its length as well.
fn hinted(cut: Value, whole: &Value) -> Value {
    match cut {
        Value::Struct(mut members) => {
            members.push((Cow::Borrowed("HINT"), Value::fixed(HINT)));
            Value::Struct(members)
        }
        Value::Array(mut values) => {
            let all = if let Value::Array(all) = whole { all.len() } else { 0 };
            values.push(Value::of([("MORE", more(all, values.len())), ("HINT", Value::fixed(HINT))]));
            Value::Array(values)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(sets: usize, destinations: usize) -> Value {
        let destination = |at| Value::of([("DEST", Value::of([("URI", Value::from(format!("sip:192.0.2.1:{at}")))]))]);
        let set = |id: usize| {
            let targets = Value::Array((0..destinations).map(destination).collect());
            Value::of([("SET", Value::of([("ID", Value::from(id)), ("TARGETS", targets)]))])
        };
        Value::of([("NRSETS", Value::from(sets)), ("RECORDS", (0..sets).map(set).collect())])
    }

    fn length(value: &Value) -> usize {
        value.to_json().to_string().len()
    }

    #[test]
    fn lists_are_cut_to_the_most_that_fits_and_tell_how_long_they_were() {
        let fits = |value: &Value| length(value) <= 20_000;
        let shorter = shortened(&list(2, 10_000), fits).unwrap();
        assert!(fits(&shorter) && length(&shorter) > 19_800, "{}", length(&shorter));
        let json = shorter.to_json();
        let set = &json["RECORDS"][1]["SET"];
        assert_eq!(set["MORE"]["ALL"], 10_000);
        assert_eq!(set["MORE"]["SHOWN"], set["TARGETS"].as_array().unwrap().len());
        assert!(json["HINT"].as_str().unwrap().contains("siplane ctl"));
    }

    #[test]
    fn many_sets_are_cut_as_well_and_what_cannot_be_cut_is_no_answer() {
        let shorter = shortened(&list(4_096, 3), |value| length(value) <= 5_000).unwrap().to_json();
        assert_eq!(shorter["MORE"]["ALL"], 4_096);
        assert!(shorter["RECORDS"].as_array().unwrap().len() > 10);
        assert_eq!(shortened(&Value::from("x".repeat(100)), |value| length(value) <= 50), None);
        let array = shortened(&(0..100_u32).collect(), |value| length(value) <= 300).unwrap().to_json();
        let last = array.as_array().unwrap().last().unwrap();
        assert!(last["HINT"].is_string() && last["MORE"]["ALL"] == 100, "{last}");
    }
}
