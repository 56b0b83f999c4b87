//! What methods take and give: the values that JSON and BINRPC have in common.

use core::time::Duration;
use serde_json::Value as Json;
use std::borrow::Cow;

/// One value. A struct keeps the order of its members, because clients print them in it.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing: JSON's null, BINRPC's `<null string>`.
    Null,
    /// JSON only; BINRPC has 0 and 1.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// Any other number, of which BINRPC keeps three decimals.
    Float(f64),
    /// Text.
    Text(Cow<'static, str>),
    /// Values in order.
    Array(Vec<Value>),
    /// Named values in order. A name may repeat only where Kamailio's own answer repeats it.
    Struct(Vec<(Cow<'static, str>, Value)>),
}

impl Value {
    /// A text of our own.
    #[must_use]
    pub const fn fixed(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A struct with these members.
    #[must_use]
    pub fn of<const N: usize>(members: [(&'static str, Self); N]) -> Self {
        Self::Struct(members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// The text, or null when it is empty, as Kamailio shows empty strings.
    #[must_use]
    pub fn text_or_null(text: &str) -> Self {
        if text.is_empty() { Self::Null } else { Self::from(text) }
    }

    /// A number that may outgrow 31 bits: BINRPC's clients take a whole number beyond them for a negative one, and another number for
    /// what it is. JSON has no such difference.
    #[must_use]
    pub fn count(number: u64) -> Self {
        i32::try_from(number).map_or(Self::Float(number as f64), Self::from)
    }

    /// A time in milliseconds, with Kamailio's three decimals.
    #[must_use]
    pub fn millis(time: Duration) -> Self {
        Self::Float((time.as_secs_f64() * 1e6).round() / 1e3)
    }

    /// A time in seconds, with three decimals.
    #[must_use]
    pub fn seconds(time: Duration) -> Self {
        Self::Float((time.as_secs_f64() * 1e3).round() / 1e3)
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What a JSON document says. Whole numbers beyond 64 bits become floats.
    #[must_use]
    pub fn from_json(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Flag(flag),
            Json::Number(number) => {
                number.as_i64().map_or_else(|| Self::Float(number.as_f64().unwrap_or_default()), Self::Int)
            }
            Json::String(text) => Self::from(text),
            Json::Array(values) => Self::Array(values.into_iter().map(Self::from_json).collect()),
            Json::Object(members) => Self::Struct(
                members.into_iter().map(|(name, value)| (Cow::Owned(name), Self::from_json(value))).collect(),
            ),
        }
    }

    /// The JSON document for it. A float without a fraction is written as a whole number, and one that is no number as null.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Flag(flag) => Json::Bool(*flag),
            Self::Int(number) => Json::from(*number),
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Json::from(*number as i64),
            Self::Float(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
            Self::Text(text) => Json::from(text.as_ref()),
            Self::Array(values) => values.iter().map(Self::to_json).collect(),
            Self::Struct(members) => members.iter().map(|(name, value)| (name.to_string(), value.to_json())).collect(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Cow::Owned(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(i64::from(number))
    }
}

/// Counters: they never reach 2^63.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl<T: Into<Self>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back_as_it_went_in_with_members_in_order() {
        let text = r#"{"b":1,"a":[true,null,"x",-2,1.5],"c":{}}"#;
        let json: Json = serde_json::from_str(text).unwrap();
        assert_eq!(Value::from_json(json).to_json().to_string(), text);
    }

    #[test]
    fn a_float_without_fraction_is_written_as_kamailio_writes_it() {
        let written = [24.0, 0.0, -3.0, 21.1, f64::NAN].map(|number| Value::Float(number).to_json().to_string());
        assert_eq!(written, ["24", "0", "-3", "21.1", "null"]);
    }
}
