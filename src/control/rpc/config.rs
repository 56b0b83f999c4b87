//! `config.*`: what a config would change, put it in force, and go back to the one before.

use super::{Method, Role, Run};
use crate::control::{Answer, Arguments, Control, Kind, Line, Outcome, Param, Source, Value};
use crate::limits;
use std::borrow::Cow;
use std::sync::Arc;

const TOML: Param = Param::optional("toml", Kind::Text);

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "config.diff",
        help: "What a reload would change, of the config file or of this TOML; nothing is changed.",
        params: &[TOML],
        // What is wrong with a file that a given TOML names is told with the file's own words.
        role: Role::Operate,
        run: Run::Later(|control, arguments| Box::pin(diff(control, arguments))),
    },
    Method {
        name: "config.apply",
        help: "Reloads the config file, or takes this TOML in its place until the next reload, and tells what changed.",
        params: &[TOML],
        role: Role::Operate,
        run: Run::Later(|control, arguments| Box::pin(apply(control, source(&arguments), "config.apply"))),
    },
    Method {
        name: "config.rollback",
        help: "Goes back to the config that was in force before the last reload, with what had been changed in it at run time.",
        params: &[],
        role: Role::Operate,
        run: Run::Later(|control, _| Box::pin(apply(control, Source::Before, "config.rollback"))),
    },
];

fn source(arguments: &Arguments) -> Source {
    arguments.text(0).map_or(Source::File, |text| Source::Text(text.to_owned()))
}

async fn diff(control: Arc<Control>, arguments: Arguments) -> Answer {
    Ok(told(&control.try_reload(source(&arguments)).await?))
}

async fn apply(control: Arc<Control>, source: Source, wish_of: &'static str) -> Answer {
    Ok(told(&control.reload(source, wish_of).await?))
}

fn told(outcome: &Outcome) -> Value {
    let lines = &outcome.diff.lines;
    let shown = lines.len().min(limits::CONTROL_DIFF_LINES_MAX);
    Value::of([
        ("summary", Value::from(outcome.diff.to_string())),
        ("changes", Value::Array(lines[..shown].iter().map(line).collect())),
        ("changes_not_shown", Value::from(lines.len() - shown)),
        ("restart_needed", outcome.restart.iter().copied().collect()),
        ("warnings", outcome.warnings.iter().map(String::as_str).collect()),
    ])
}

fn line(line: &Line) -> Value {
    let mut members = vec![(Cow::Borrowed("change"), Value::fixed(line.change.as_str()))];
    let mut add = |name: &'static str, value| members.push((Cow::Borrowed(name), value));
    if let Some(set) = line.set {
        add("set", Value::from(set.0));
    }
    if let Some((duid, uri)) = &line.destination {
        add("duid", Value::from(duid.as_str()));
        add("uri", Value::from(uri.as_str()));
    }
    if line.reverts {
        add("takes_back", Value::fixed("what was changed at run time"));
    }
    if !line.fields.is_empty() {
        let field = |(key, from, to): &(&'static str, String, String)| {
            let values = [("from", Value::from(from.as_str())), ("to", Value::from(to.as_str()))];
            (Cow::Borrowed(*key), Value::of(values))
        };
        add("keys", Value::Struct(line.fields.iter().map(field).collect()));
    }
    Value::Struct(members)
}
