//! `trace.*`: the messages of single calls, shown in the log for a while.

use super::{Later, Method, Role, Run};
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use crate::limits::{TRACE_MESSAGES_DEFAULT, TRACE_MESSAGES_MAX, TRACE_SECONDS_DEFAULT, TRACE_SECONDS_MAX, TRACES_MAX};
use crate::proxy::owner_of;
use crate::shard::{Trace, TraceOf, clock};
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "trace.start",
        help: "Shows the messages of a call, or of the calls that come from an address, in the log.",
        params: &[
            Param::optional("call_id", Kind::Text),
            Param::optional("source", Kind::Text),
            Param::optional("seconds", Kind::Int),
            Param::optional("messages", Kind::Int),
        ],
        role: Role::Operate,
        run: Run::Later(start),
    },
    Method {
        name: "trace.stop",
        help: "Ends a trace, or all when none is named.",
        params: &[Param::optional("trace", Kind::Int)],
        role: Role::Operate,
        run: Run::Now(stop),
    },
    Method::look("trace.list", "The traces that run and the last that did.", &[], list),
];

fn start(control: Arc<Control>, arguments: Arguments) -> Later {
    Box::pin(async move { begin(&control, &arguments).await })
}

async fn begin(control: &Control, arguments: &Arguments) -> Answer {
    let of = wanted(arguments)?;
    let seconds = arguments.int_in(2, "seconds", 1..=TRACE_SECONDS_MAX as i64)?;
    let seconds = seconds.map_or(TRACE_SECONDS_DEFAULT, |seconds| seconds as u64);
    let messages = arguments.int_in(3, "messages", 1..=TRACE_MESSAGES_MAX as i64)?;
    let messages = messages.map_or(TRACE_MESSAGES_DEFAULT, |messages| messages as u64);
    let shards = control.inquiries().shards();
    let followers = match &of {
        TraceOf::CallId(call_id) => {
            let owner = owner_of(call_id, shards);
            owner..owner + 1
        }
        TraceOf::Source(..) => 0..shards,
    };
    let until = clock::now() + Duration::from_secs(seconds);
    let made = control.traces().add(|id, lines| Trace::new(id, of, until, messages, lines));
    let full = || Fault::refused(format!("{TRACES_MAX} traces run already: trace.stop ends one"), "Too Many Traces");
    let trace = made.ok_or_else(full)?;
    for shard in followers {
        let followed = Arc::clone(&trace);
        let heard = control.ask(shard, move |asked| asked.tracer.follow(followed, asked.now)).await;
        heard.inspect_err(|_| trace.stop())?;
    }
    Ok(shown(control, &trace))
}

fn wanted(arguments: &Arguments) -> Result<TraceOf, Fault> {
    match (arguments.text(0).filter(|text| !text.is_empty()), arguments.text(1)) {
        (Some(call_id), None) => Ok(TraceOf::CallId(call_id.as_bytes().into())),
        (None, Some(source)) => address(source),
        _ => Err(Fault::parameters("allowed: either call_id or source, an ADDRESS or ADDRESS:PORT")),
    }
}

fn address(text: &str) -> Result<TraceOf, Fault> {
    let with_port = text.parse::<SocketAddr>().map(|source| TraceOf::Source(source.ip(), Some(source.port())));
    with_port
        .or_else(|_| text.parse::<IpAddr>().map(|source| TraceOf::Source(source, None)))
        .map_err(|_| Fault::parameters(format!("source is {text}; allowed: ADDRESS or ADDRESS:PORT")))
}

fn stop(control: &Control, arguments: &Arguments) -> Answer {
    let traces = control.traces().all();
    let named = arguments.int(0);
    let is_it = |trace: &&Arc<Trace>| named.is_none_or(|id| u64::try_from(id) == Ok(trace.id));
    let stopped: Vec<_> = traces.iter().filter(is_it).collect();
    if let Some(id) = named.filter(|_| stopped.is_empty()) {
        let known: Vec<_> = traces.iter().map(|trace| trace.id.to_string()).collect();
        return Err(Fault::not_found(format!("no trace {id}; traces: {}", known.join(", ")), "Trace Not Found"));
    }
    stopped.iter().for_each(|trace| trace.stop());
    Ok(Value::Array(stopped.into_iter().map(|trace| shown(control, trace)).collect()))
}

fn list(control: &Control, _: &Arguments) -> Answer {
    Ok(Value::Array(control.traces().all().iter().map(|trace| shown(control, trace)).collect()))
}

fn shown(control: &Control, trace: &Trace) -> Value {
    let of = match &trace.of {
        TraceOf::CallId(call_id) => ("call_id", Value::from(&*String::from_utf8_lossy(call_id))),
        TraceOf::Source(ip, Some(port)) => ("source", Value::from(SocketAddr::new(*ip, *port).to_string())),
        TraceOf::Source(ip, None) => ("source", Value::from(ip.to_string())),
    };
    Value::of([
        ("trace", Value::from(trace.id)),
        of,
        ("runs", Value::from(!trace.is_over(clock::now()))),
        ("until", Value::Int(control.unix_time(trace.until))),
        ("shown", Value::from(trace.shown())),
        ("left", Value::from(trace.left())),
        ("lost", Value::from(trace.lost())),
    ])
}
