//! Who said what: an event for each method that changes something.

use super::Method;
use crate::control::{Answer, Arguments, Control, Role, Value, who};
use crate::limits;
use std::borrow::Cow;

/// Methods for operators that change nothing.
const LOOKS: &[&str] = &["config.diff"];

/// What is told of a call of `method`; none: nothing.
pub(super) fn begin(method: &Method, arguments: &Arguments) -> Option<Value> {
    let is_told = method.role == Role::Operate && !LOOKS.contains(&method.name);
    let given = |(index, param): (usize, &crate::control::Param)| {
        arguments.value(index).map(|value| (Cow::Borrowed(param.name), shortened(value)))
    };
    is_told.then(|| Value::Struct(method.params.iter().enumerate().filter_map(given).collect()))
}

/// Tells it, with what came of it.
pub(super) fn tell(control: &Control, method: &Method, told: Value, answer: &Answer) {
    let who = who::who().map_or(Value::Null, |who| Value::from(who.as_ref()));
    let fault = answer.as_ref().err().map_or(Value::Null, |fault| shortened(&Value::from(fault.detail.as_str())));
    let done = Value::from(answer.is_ok());
    let method = Value::fixed(method.name);
    control
        .events()
        .push("operated", vec![("method", method), ("params", told), ("who", who), ("done", done), ("fault", fault)]);
}

/// Long texts are not for an event.
fn shortened(value: &Value) -> Value {
    match value {
        Value::Text(text) if text.len() > limits::EVENT_TEXT_BYTES_MAX => {
            let end = (0..=limits::EVENT_TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            Value::from(format!("{}…", &text[..end]))
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ü".repeat(limits::EVENT_TEXT_BYTES_MAX);
        let Value::Text(cut) = shortened(&Value::from(text)) else { unreachable!() };
        assert_eq!(cut.chars().count(), limits::EVENT_TEXT_BYTES_MAX / 2 + 1);
        assert_eq!(shortened(&Value::fixed("short")), Value::fixed("short"));
    }
}
