//! How running shards begin, wait, go on and end.

use super::*;

on_both_engines! {
    an_idle_shard_sleeps_until_its_next_timer_and_does_not_spin,
    a_stop_ends_the_threads_at_once,
    draining_refuses_new_calls_and_ends_all_shards_when_the_last_transaction_has_its_answer,
    threads_are_named_after_their_shards,
}

fn an_idle_shard_sleeps_until_its_next_timer_and_does_not_spin(engine: EngineKind) {
    let (bed, client, silent) = (Bed::start(engine, 1), client(), client());
    std::thread::sleep(Duration::from_millis(300));
    client.send_to(request("INVITE", &client, "silent", silent.local_addr().ok()).as_bytes(), bed.address).unwrap();
    read(&silent);
    let sent = Instant::now();
    read(&silent);
    // RFC 3261 §17.1.1.2: Timer A fires after T1.
    assert!(sent.elapsed() > T1 / 2 && sent.elapsed() < 4 * T1, "{:?}", sent.elapsed());
    let counts = bed.end(Phase::Stopped).remove(0);
    assert!(counts.io.turns > 2 && counts.io.turns < 60, "{} turns in half a second", counts.io.turns);
}

fn a_stop_ends_the_threads_at_once(engine: EngineKind) {
    let bed = Bed::start(engine, 2);
    let start = Instant::now();
    bed.end(Phase::Stopped);
    assert!(start.elapsed() < SECOND);
}

fn draining_refuses_new_calls_and_ends_all_shards_when_the_last_transaction_has_its_answer(engine: EngineKind) {
    let (bed, client, server) = (Bed::start(engine, 2), client(), client());
    client.send_to(request("INVITE", &client, "last", server.local_addr().ok()).as_bytes(), bed.address).unwrap();
    let (invite, _) = read(&server);
    server.send_to(response(&invite, "180 Ringing").as_bytes(), bed.address).unwrap();
    while !read(&client).0.starts_with("SIP/2.0 180") {}
    bed.lifecycle.advance(Phase::Draining);
    std::thread::sleep(2 * limits::IDLE_WAIT_MAX);
    for n in 0..8 {
        client.send_to(request("INVITE", &client, &format!("{n}-new"), None).as_bytes(), bed.address).unwrap();
        let answer = read_final(&client);
        assert!(answer.starts_with("SIP/2.0 503") && answer.contains("Retry-After"), "{answer}");
    }
    server.send_to(response(&invite, "486 Busy Here").as_bytes(), bed.address).unwrap();
    assert!(read_final(&client).starts_with("SIP/2.0 486"));
    let start = Instant::now();
    let counts = bed.end(Phase::Draining);
    assert!(start.elapsed() < SECOND);
    assert!(counts.iter().all(|counts| counts.proxy.refused_draining > 0), "both were there to the end");
}

#[test]
fn several_shards_on_one_core_and_cores_that_do_not_exist() {
    let start_on = |cores: &[usize]| {
        let (input, _) = input(cores.len().max(1));
        let lifecycle = Arc::new(Lifecycle::new(cores.len()));
        let input = ShardsInput { lifecycle: Arc::clone(&lifecycle), ..input };
        let started = start(&ShardsPlan { cores: cores.to_vec() }, input);
        lifecycle.advance(Phase::Stopped);
        started.map(|handles| handles.into_iter().for_each(|handle| handle.join().unwrap()))
    };
    let core = ShardsPlan::spread(1).cores[0];
    start_on(&[core, core, core]).unwrap();
    assert!(matches!(start_on(&[core, 9999]), Err(StartError::Executor { shard: 1, .. })));
    assert!(matches!(start_on(&[]), Err(StartError::Mismatch { planned: 0, .. })));
}

fn threads_are_named_after_their_shards(engine: EngineKind) {
    let bed = Bed::start(engine, 2);
    let names: Vec<_> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .collect();
    for name in ["shard-0\n", "shard-1\n"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    bed.end(Phase::Stopped);
}

/// glommio 0.9 parks an executor for good when its preemption timer fires between its look at I/O and its look at the task that yielded:
/// likely where threads are kept from their core for longer than that timer, as these keep each other.
#[test]
fn shards_that_never_sleep_and_share_a_core_all_go_on() {
    const SHARDS: usize = 6;
    let (input, _) = input(SHARDS);
    let lifecycle = Arc::clone(&input.lifecycle);
    let input = ShardsInput { waiting: Waiting { busy_poll: true, ..Waiting::default() }, ..input };
    let core = ShardsPlan::spread(1).cores[0];
    let handles = start(&ShardsPlan { cores: vec![core; SHARDS] }, input).unwrap();
    let turns = || handles.iter().map(|handle| handle.counters().load().io.turns).collect::<Vec<_>>();
    std::thread::sleep(4 * SECOND);
    let before = turns();
    std::thread::sleep(SECOND);
    let went_on = before.iter().zip(turns()).map(|(before, after)| after > *before).collect::<Vec<_>>();
    lifecycle.advance(Phase::Stopped);
    assert_eq!(went_on, [true; SHARDS]);
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}
