//! Questions to running shards, and traces that they bring.

use super::*;
use std::sync::mpsc::{Receiver, channel};

on_both_engines! {
    a_sleeping_shard_answers_at_once,
    a_turn_answers_one_question_and_the_next_turn_the_next,
    a_trace_shows_what_a_call_brought_and_what_it_got,
}

fn ask<T: Send + 'static>(
    inquiries: &Inquiries,
    question: impl Fn(&mut Asked<'_>) -> T + Send + 'static,
) -> Receiver<T> {
    let (answer, answers) = channel();
    inquiries.ask(0, move |asked| answer.send(question(asked)).unwrap()).unwrap();
    answers
}

fn a_sleeping_shard_answers_at_once(engine: EngineKind) {
    let bed = Bed::start(engine, 1);
    let inquiries = bed.handles[0].inquiries().clone();
    std::thread::sleep(2 * limits::IDLE_WAIT_MAX);
    let start = Instant::now();
    // A hundred in turn: by its own idle wait alone it would take ten seconds.
    for _ in 0..100 {
        let answer = ask(&inquiries, |asked| asked.proxy.dialogs()).recv_timeout(3 * SECOND);
        assert_eq!(answer, Ok(0));
    }
    assert!(start.elapsed() < 100 * limits::IDLE_WAIT_MAX / 2, "{:?}", start.elapsed());
    bed.end(Phase::Stopped);
}

fn a_turn_answers_one_question_and_the_next_turn_the_next(engine: EngineKind) {
    let bed = Bed::start(engine, 1);
    let inquiries = bed.handles[0].inquiries().clone();
    let answers: Vec<_> = (0..8).map(|_| ask(&inquiries, |asked| asked.now)).collect();
    let turns: Vec<_> = answers.iter().map(|answer| answer.recv_timeout(3 * SECOND).unwrap()).collect();
    assert!(turns.is_sorted_by(|one, next| one < next), "{turns:?}");
    bed.end(Phase::Stopped);
    let (answer, answers) = channel::<()>();
    inquiries.ask(0, move |_| answer.send(()).unwrap()).unwrap();
    assert!(answers.recv_timeout(SECOND / 10).is_err(), "nobody answers any more");
}

fn a_trace_shows_what_a_call_brought_and_what_it_got(engine: EngineKind) {
    let (bed, client) = (Bed::start(engine, 1), client());
    let inquiries = bed.handles[0].inquiries().clone();
    let lines = Arc::new(TraceLines::default());
    let (of, until) = (TraceOf::CallId((*b"traced").into()), clock::now() + 60 * SECOND);
    let trace = Arc::new(Trace::new(1, of, until, 10, Arc::clone(&lines)));
    let followed = Arc::clone(&trace);
    ask(&inquiries, move |asked| asked.tracer.follow(Arc::clone(&followed), asked.now)).recv().unwrap();
    for call_id in ["other", "traced"] {
        client.send_to(request("OPTIONS", &client, call_id, None).as_bytes(), bed.address).unwrap();
        read(&client);
    }
    bed.end(Phase::Stopped);
    let shown: Vec<_> = core::iter::from_fn(|| lines.next()).collect();
    let first_lines: Vec<_> = shown.iter().map(|line| (line.is_received, line.first_line.text())).collect();
    assert_eq!(
        first_lines,
        [(true, "OPTIONS sip:bob@example.com SIP/2.0".into()), (false, "SIP/2.0 404 Not Found".into())]
    );
    assert!(shown.iter().all(|line| line.address == client.local_addr().unwrap() && line.shard == 0));
    assert_eq!((trace.shown(), trace.left(), trace.lost()), (2, 8, 0));
}
