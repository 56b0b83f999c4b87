use super::*;
use core::cell::Cell;

const TURN: u64 = BATCH_DATAGRAMS as u64;
const MS: u64 = 1_000_000;

/// Sockets whose backlog and a call path whose counts the test says.
#[derive(Default)]
struct Fake {
    backlog: Cell<Backlog>,
    takes_filters: bool,
    sieve: Cell<Option<Sieve>>,
    looks: Cell<u32>,
    settings: Cell<u32>,
}

impl Inlet for Fake {
    fn backlog(&self) -> Backlog {
        self.looks.set(self.looks.get() + 1);
        self.backlog.get()
    }

    fn keep_out(&self, _: &mut Filter, sieve: Option<Sieve>) -> bool {
        self.settings.set(self.settings.get() + 1);
        self.sieve.set(sieve.filter(|_| self.takes_filters));
        self.takes_filters
    }
}

/// The call path.
struct Calls(Stats, Vec<u8>);

impl Callers for Calls {
    fn stats(&self) -> &Stats {
        &self.0
    }

    fn left_out_host(&self) -> &[u8] {
        &self.1
    }
}

/// One shard, whose turns each read a batch and take a millisecond.
struct Bench {
    fake: Fake,
    calls: Calls,
    overload: Overload,
    ms: u64,
    received: u64,
}

impl Bench {
    fn new(takes_filters: bool) -> Self {
        Self {
            fake: Fake { takes_filters, ..Fake::default() },
            calls: Calls(Stats::default(), b"carrier.example.com".to_vec()),
            overload: Overload::new(Filter::new(vec![]), Instant::from_nanos(0)),
            ms: 0,
            received: 0,
        }
    }

    fn turn(&mut self, in_turn: u64, backlog: Backlog) -> Option<Shedding> {
        self.ms += 1;
        self.received += in_turn;
        self.fake.backlog.set(backlog);
        self.overload.note(Instant::from_nanos(self.ms * MS), self.received, &self.calls, &self.fake)
    }

    /// A turn with a receive buffer so full, of much room; which way new calls are left out: by the kernel, by the call path.
    fn full(&mut self, share: f32, drops: u64) -> (bool, bool) {
        let shedding = self.turn(TURN, Backlog { share, bytes: 0.0, drops });
        (self.fake.sieve.get().is_some(), shedding.is_some())
    }
}

const TURNS: [(f32, u64); 9] =
    [(0.0, 0), (0.49, 0), (0.51, 5), (0.9, 15), (0.3, 25), (0.24, 35), (0.49, 36), (2.0, 50), (0.0, 51)];
const ON: [bool; 9] = [false, false, true, true, true, false, false, true, false];

#[test]
fn a_shard_sheds_from_half_a_buffer_on_until_a_quarter_is_left() {
    let mut bench = Bench::new(true);
    assert_eq!(TURNS.map(|(share, drops)| bench.full(share, drops)), ON.map(|on| (on, on)));
    assert_eq!(
        (bench.overload.shed, bench.overload.lost),
        (30 + 1, 20),
        "what was dropped while new calls were kept out"
    );
}

#[test]
fn where_the_kernel_takes_no_filter_the_call_path_sheds() {
    let mut bench = Bench::new(false);
    assert_eq!(TURNS.map(|(share, drops)| bench.full(share, drops)), ON.map(|on| (false, on)));
    assert_eq!((bench.overload.shed, bench.overload.lost), (0, 51));
}

#[test]
fn what_waits_for_long_is_overload_however_much_room_is_left() {
    let mut bench = Bench::new(true);
    let waits = |datagrams: f32| Backlog { share: 0.01, bytes: datagrams * DATAGRAM_TAKES, drops: 0 };
    (0..40).for_each(|_| assert!(bench.turn(TURN, waits(0.0)).is_none()));
    // 64 are read in a millisecond.
    assert!(bench.turn(TURN, waits(99.0 * 64.0)).is_none());
    assert!(bench.turn(TURN, waits(101.0 * 64.0)).is_some());
    assert!(bench.turn(TURN, waits(51.0 * 64.0)).is_some());
    assert!(bench.turn(TURN, waits(49.0 * 64.0)).is_none());
}

#[test]
fn a_burst_after_a_pause_is_no_overload() {
    let mut bench = Bench::new(true);
    let waits = |datagrams: f32| Backlog { share: 0.01, bytes: datagrams * DATAGRAM_TAKES, drops: 0 };
    for _ in 0..100 {
        bench.ms += 100;
        assert!(
            bench.turn(TURN, waits(300.0)).is_none(),
            "64 datagrams in 100 ms are not the speed of a shard that waited"
        );
        assert!(bench.turn(1, waits(0.0)).is_none());
    }
}

#[test]
fn a_turn_that_brought_little_asks_nothing_of_the_kernel() {
    let mut bench = Bench::new(true);
    let full = Backlog { share: 1.0, ..Backlog::default() };
    bench.turn(TURN - 1, full);
    assert_eq!((bench.fake.looks.get(), bench.fake.sieve.get()), (0, None));
    bench.turn(TURN, full);
    assert_eq!((bench.fake.looks.get(), bench.fake.sieve.get()), (1, Some(Sieve::default())));
    bench.turn(0, Backlog::default());
    assert_eq!((bench.fake.looks.get(), bench.fake.sieve.get()), (2, None), "who sheds always looks");
}

#[test]
fn one_of_eight_datagrams_may_be_a_refusal() {
    let mut bench = Bench::new(true);
    let full = Backlog { share: 1.0, ..Backlog::default() };
    let refusals =
        [0, 7, 64, 200].map(|in_turn| bench.turn(TURN, full).and(bench.turn(in_turn, full)).unwrap().refusals);
    assert_eq!(refusals, [1, 1, 8, 25]);
}

#[test]
fn the_loss_that_is_told_is_that_of_the_last_half_second() {
    let mut bench = Bench::new(true);
    let mut loss = |taken: u64, refused: u64, drops: u64| {
        (0..=u64::from(OVERLOAD_REPORT_MS)).for_each(|at| {
            if at == 1 {
                bench.calls.0.calls += taken;
                bench.calls.0.refused_overload += refused / 2;
                bench.calls.0.shed_unanswered += refused - refused / 2;
            }
            bench.turn(TURN, Backlog { share: 0.6, bytes: 0.0, drops });
        });
        bench.turn(TURN, Backlog { share: 0.6, bytes: 0.0, drops }).unwrap().loss_percent
    };
    assert_eq!(loss(100, 0, 0), 0);
    assert_eq!(loss(100, 100, 0), 50);
    assert_eq!(loss(100, 100, 200), 75);
    assert_eq!(loss(0, 0, 200), 0, "no new call came");
    assert_eq!(loss(0, 7, 200), 100);
}

#[test]
fn the_sieve_lets_as_many_through_as_can_be_refused() {
    let mut bench = Bench::new(true);
    let full = Backlog { share: 1.0, ..Backlog::default() };
    // By ten milliseconds: 640 datagrams, of which so many were left out.
    let mut sieve_after = |left_out: u64| {
        (0..10).for_each(|_| {
            bench.calls.0.refused_overload += left_out / 10;
            bench.turn(TURN, full);
        });
        bench.fake.sieve.get().unwrap()
    };
    let first = sieve_after(40);
    assert_eq!([sieve_after(200), sieve_after(200)], [first.finer(), first.finer().finer()]);
    assert_eq!(sieve_after(60), first.finer().finer(), "an eighth of 640 is 80, a fourth of that 20");
    assert_eq!(sieve_after(10), first.finer());
}

#[test]
fn a_name_is_learned_when_no_sieve_is_fine_enough() {
    let mut bench = Bench::new(true);
    let full = Backlog { share: 1.0, ..Backlog::default() };
    for _ in 0..300 {
        bench.calls.0.shed_unanswered += 60;
        bench.turn(TURN, full);
    }
    assert!(!bench.overload.filter.learn(b"carrier.example.com"), "it was learned");
    assert!(bench.fake.settings.get() < 20, "the kernel is told of changes only");
}
