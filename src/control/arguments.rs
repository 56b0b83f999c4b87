//! What a caller gave, bound to what a method takes.
//!
//! # Policy
//!
//! - Parameters come by position or by name. An object whose names are not the method's is taken by position, as Kamailio takes every
//!   object.
//! - A number may be written as text (kamcli sends all as text, and Kamailio silently reads 0), and a text as a number (kamcmd sends
//!   `123` as a number). What is neither is refused, and nothing is ever taken for 0.

use super::{Fault, Value};
use core::ops::RangeInclusive;
use std::borrow::Cow;

/// What kind of value a parameter is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A whole number.
    Int,
    /// Text.
    Text,
    /// true or false, 1 or 0.
    Flag,
    /// An object, as it was given.
    Struct,
    /// All that are left, as texts: for the last parameter, which may be left out.
    Rest,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Int => "a whole number",
            Self::Text => "a text",
            Self::Flag => "true or false",
            Self::Struct => "an object",
            Self::Rest => "texts",
        }
    }
}

/// One parameter of a method.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
}

impl Param {
    /// One that must be there.
    #[must_use]
    pub const fn required(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, optional: false }
    }

    /// One that may be left out.
    #[must_use]
    pub const fn optional(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, optional: true }
    }
}

/// What a caller gave.
#[derive(Clone, PartialEq, Debug)]
pub enum Given {
    /// By position.
    List(Vec<Value>),
    /// By name, in the order of writing.
    Named(Vec<(Cow<'static, str>, Value)>),
}

impl Given {
    /// Nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self::List(Vec::new())
    }

    /// What the member `params` of a JSON-RPC request says; none where it is neither an array nor an object.
    #[must_use]
    pub fn from_params(params: Option<serde_json::Value>) -> Option<Self> {
        match params.map(Value::from_json) {
            None => Some(Self::none()),
            Some(Value::Array(values)) => Some(Self::List(values)),
            Some(Value::Struct(members)) => Some(Self::Named(members)),
            Some(_) => None,
        }
    }
}

/// The parameters of one call in the order of the method's, each of its kind.
#[derive(Clone, PartialEq, Debug)]
pub struct Arguments(Vec<Option<Value>>);

impl Arguments {
    /// Binds what was `given` to `params`.
    ///
    /// # Errors
    /// A fault that names the parameter, what was found and what is allowed.
    pub fn bind(params: &[Param], given: Given) -> Result<Self, Fault> {
        let mut values = in_order(params, given)?;
        gather_rest(params, &mut values);
        if values.len() > params.len() {
            return Err(Fault::parameters(format!("{} parameters; allowed: {}", values.len(), usage(params))));
        }
        values.resize(params.len(), None);
        for (param, value) in params.iter().zip(&mut values) {
            match value.take().filter(|value| *value != Value::Null) {
                Some(found) => *value = Some(of_kind(param, found)?),
                None if param.optional => {}
                None => {
                    return Err(Fault::parameters(format!("{} is missing; allowed: {}", param.name, usage(params))));
                }
            }
        }
        Ok(Self(values))
    }

    /// The whole number at `index`, if it was given.
    #[must_use]
    pub fn int(&self, index: usize) -> Option<i64> {
        match self.0.get(index)? {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// The whole number at `index`, which the method calls `name`, if it was given.
    ///
    /// # Errors
    /// It is none of those `allowed`.
    pub fn int_in(&self, index: usize, name: &str, allowed: RangeInclusive<i64>) -> Result<Option<i64>, Fault> {
        match self.int(index) {
            Some(number) if !allowed.contains(&number) => {
                let (least, most) = (allowed.start(), allowed.end());
                let range = if *most == i64::MAX { format!("{least} and more") } else { format!("{least} to {most}") };
                Err(Fault::parameters(format!("{name}: found {number}, allowed: {range}")))
            }
            number => Ok(number),
        }
    }

    /// The text at `index`, if it was given.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<&str> {
        match self.0.get(index)? {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The flag at `index`; false when it was not given.
    #[must_use]
    pub fn flag(&self, index: usize) -> bool {
        matches!(self.0.get(index), Some(Some(Value::Flag(true))))
    }

    /// The texts from `index` on, where the method takes any number of them.
    pub fn rest(&self, index: usize) -> impl Iterator<Item = &str> {
        let values = match self.0.get(index) {
            Some(Some(Value::Array(values))) => values.as_slice(),
            _ => &[],
        };
        values.iter().filter_map(|value| if let Value::Text(text) = value { Some(text.as_ref()) } else { None })
    }

    /// The value at `index`, if it was given.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<&Value> {
        self.0.get(index)?.as_ref()
    }
}

/// The values in the order of the method's parameters.
fn in_order(params: &[Param], given: Given) -> Result<Vec<Option<Value>>, Fault> {
    let members = match given {
        Given::List(values) => return Ok(values.into_iter().map(Some).collect()),
        Given::Named(members) => members,
    };
    let place = |name: &str| params.iter().position(|param| param.name == name);
    let known = members.iter().filter(|(name, _)| place(name).is_some()).count();
    if known == 0 {
        return Ok(members.into_iter().map(|(_, value)| Some(value)).collect());
    }
    let mut values = vec![None; params.len()];
    for (name, value) in members {
        let index = place(&name)
            .ok_or_else(|| Fault::parameters(format!("{name} is no parameter; allowed: {}", usage(params))))?;
        values[index] = Some(value);
    }
    Ok(values)
}

/// The values from the last parameter on become one, where it takes all of them. An array that was given for it by name is that already.
fn gather_rest(params: &[Param], values: &mut Vec<Option<Value>>) {
    let Some((last, _)) = params.split_last().filter(|(last, _)| last.kind == Kind::Rest) else { return };
    let at = params.len() - 1;
    if values.len() > at && !matches!(&values[at..], [None | Some(Value::Array(_))]) {
        let rest = values.drain(at..).map(|value| value.unwrap_or(Value::Null)).collect();
        values.push(Some(Value::Array(rest)));
    }
    debug_assert!(last.optional);
}

fn of_kind(param: &Param, found: Value) -> Result<Value, Fault> {
    let shown = found.to_json().to_string();
    let converted = match (param.kind, found) {
        (Kind::Int, Value::Int(number)) => Some(Value::Int(number)),
        (Kind::Int, Value::Text(text)) => text.trim().parse().ok().map(Value::Int),
        (Kind::Text, text @ Value::Text(_)) => Some(text),
        (Kind::Text, number @ (Value::Int(_) | Value::Float(_))) => Some(Value::from(number.to_json().to_string())),
        (Kind::Flag, flag @ Value::Flag(_)) => Some(flag),
        (Kind::Flag, Value::Int(number @ 0..=1)) => Some(Value::Flag(number == 1)),
        (Kind::Flag, Value::Text(text)) => match text.as_ref() {
            "1" | "true" | "yes" | "on" => Some(Value::Flag(true)),
            "0" | "false" | "no" | "off" => Some(Value::Flag(false)),
            _ => None,
        },
        (Kind::Struct, members @ Value::Struct(_)) => Some(members),
        (Kind::Rest, Value::Array(values)) => {
            let text = Param { kind: Kind::Text, ..*param };
            Some(Value::Array(values.into_iter().map(|value| of_kind(&text, value)).collect::<Result<_, _>>()?))
        }
        _ => None,
    };
    let wrong = || Fault::parameters(format!("{}: found {shown}, allowed: {}", param.name, param.kind.name()));
    converted.ok_or_else(wrong)
}

/// How a method is called: `SET URI [FLAGS]`.
pub(super) fn usage(params: &[Param]) -> String {
    if params.is_empty() {
        return String::from("no parameters");
    }
    let name = |param: &Param| match (param.kind, param.optional) {
        (Kind::Rest, _) => format!("[{} ...]", param.name),
        (_, true) => format!("[{}]", param.name),
        (_, false) => param.name.to_owned(),
    };
    params.iter().map(name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: [Param; 3] =
        [Param::required("set", Kind::Int), Param::required("uri", Kind::Text), Param::optional("flags", Kind::Int)];

    fn list(values: &[Value]) -> Result<Arguments, Fault> {
        Arguments::bind(&PARAMS, Given::List(values.to_vec()))
    }

    #[test]
    fn numbers_may_be_text_and_text_may_be_a_number_but_nothing_becomes_0() {
        let bound = list(&[Value::fixed("4"), Value::Int(17)]).unwrap();
        assert_eq!((bound.int(0), bound.text(1), bound.int(2)), (Some(4), Some("17"), None));
        let refused = list(&[Value::fixed("x4"), Value::fixed("sip:h")]).unwrap_err();
        assert_eq!(refused.detail, "set: found \"x4\", allowed: a whole number");
    }

    #[test]
    fn names_bind_in_any_order_and_foreign_names_by_position() {
        let named = |members: &[(&'static str, Value)]| {
            Given::Named(members.iter().map(|(name, value)| (Cow::Borrowed(*name), value.clone())).collect())
        };
        let bound = Arguments::bind(&PARAMS, named(&[("uri", Value::fixed("sip:h")), ("set", Value::Int(1))]));
        assert_eq!(bound, list(&[Value::Int(1), Value::fixed("sip:h")]));
        let foreign = Arguments::bind(&PARAMS, named(&[("a", Value::Int(1)), ("b", Value::fixed("sip:h"))]));
        assert_eq!(foreign, bound);
        let mixed = Arguments::bind(&PARAMS, named(&[("set", Value::Int(1)), ("urn", Value::fixed("sip:h"))]));
        assert_eq!(mixed.unwrap_err().detail, "urn is no parameter; allowed: set uri [flags]");
    }

    #[test]
    fn the_last_parameter_may_take_all_that_are_left_as_texts() {
        const NAMES: [Param; 2] = [Param::required("group", Kind::Text), Param::optional("names", Kind::Rest)];
        let bound = |values: &[Value]| Arguments::bind(&NAMES, Given::List(values.to_vec()));
        let texts = |values: &[Value]| bound(values).unwrap().rest(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(texts(&[Value::fixed("g"), Value::Int(7), Value::fixed("x")]), ["7", "x"]);
        assert_eq!(texts(&[Value::fixed("g"), Value::Array(vec![Value::fixed("x")])]), ["x"]);
        assert!(texts(&[Value::fixed("g")]).is_empty());
        assert_eq!(bound(&[]).unwrap_err().detail, "group is missing; allowed: group [names ...]");
        let wrong = bound(&[Value::fixed("g"), Value::fixed("a"), Value::Struct(Vec::new())]).unwrap_err();
        assert_eq!(wrong.detail, "names: found {}, allowed: a text");
    }

    #[test]
    fn what_is_missing_or_too_much_is_told_with_what_is_allowed() {
        assert_eq!(list(&[Value::Int(1)]).unwrap_err().detail, "uri is missing; allowed: set uri [flags]");
        let four = [Value::Int(1), Value::fixed("a"), Value::Int(2), Value::Int(3)];
        assert_eq!(list(&four).unwrap_err().detail, "4 parameters; allowed: set uri [flags]");
    }
}
