"""How siplane waits: what each way costs per call, and how long calls then take."""

import dataclasses
import os

import measure
from rows import Samples
from systems import RING, Direct, Rig, Siplane

RATES = (1000, 3000, 10_000)  # calls/s
WINDOW_S = 1
SATURATED = "saturated"
LOW_RATE, LOW_S, LOW_TURNS = 100, 0.5, 4  # calls/s, seconds, and turns of a round
DIRECT = Direct()


@dataclasses.dataclass(frozen=True)
class Way:
    """A system as it waits, and at which rates it is looked at."""

    system: object
    rates: tuple = RATES


def gathering(name, us, above):
    """siplane that lets datagrams gather for `us` above so many datagrams a millisecond."""
    return Siplane(name, "io_uring", "call-load", waiting=f"gather_us = {us}\ngather_above_per_ms = {above}")


PLAIN = Siplane("siplane, never gathers", "io_uring", "call-load", waiting="gather_us = 0")
LONG = gathering("siplane, 500 µs above 5 datagrams/ms", 500, 5)
LONGEST = gathering("siplane, 1,000 µs above 2 datagrams/ms", 1000, 2)
BUSY = Siplane("siplane, busy_poll", "io_uring", "call-load", waiting="busy_poll = true")


def ways(bench, everything):
    """All that take their turn in each round. By default siplane does not gather at the lower rates, so it is as if it never did. With
    `everything` each way at every rate, and saturated."""
    if everything:
        every = (*RATES, SATURATED)
        return [*(Way(system, every) for system in (PLAIN, RING, LONG, LONGEST, BUSY, bench.null)), Way(bench.chosen_load, every)]
    return [Way(PLAIN), Way(RING, (10_000,)), Way(LONG), Way(LONGEST, (1000, 3000)), Way(BUSY, (1000,)), Way(bench.null),
            Way(bench.chosen_load, (1000, 3000))]


def waiting(bench, rounds, everything):
    """Samples by rate."""
    samples = {}
    for at in range(rounds):
        for way in ways(bench, everything):
            windows = bench.guarded(way.system, lambda way=way: windows_of(bench, way)) or {}
            for rate in way.rates:
                samples.setdefault(rate, Samples()).add(way.system, windows.get(rate))
            told = ", ".join(f"{rate}: {window.cpu():.1f} µs, p50 {window.setup('p50')}{bench.note(window)}"
                             for rate, window in windows.items())
            bench.tell(f"  round {at + 1}, {way.system.name}: {told}")
    return samples


def windows_of(bench, way):
    """The windows of one round. The null forwarder does not gather: it is the floor of waiting times."""
    with bench.started(way.system, gather_us=0) as running:
        return {rate: measure.saturate(bench.rig, running, WINDOW_S) if rate == SATURATED
                else measure.offer(bench.rig, running, rate, WINDOW_S, "--gather-us", 0) for rate in way.rates}


def added(bench, rounds):
    """Setup times when there is next to nothing to do, directly and through each system: samples of each turn.

    All run at the same time, and the others are idle while one has its window: so what the machine does in a second, it does to all.
    They and the generator have real-time priority where that is allowed: what else the machine does then makes them wait less.
    """
    systems = (DIRECT, bench.null, RING)
    urgent = measure.urgent()
    running, samples = {}, Samples()
    try:
        for number, system in enumerate(systems, 1):
            rig = Rig(bench.rig.binaries, number)
            running[system] = rig, system.start(rig, gather_us=0)
            measure.ready(*running[system])
        for at in range(rounds * LOW_TURNS):
            for system in systems if at % 2 else reversed(systems):
                samples.add(system, measure.offer(*running[system], LOW_RATE, LOW_S, "--gather-us", 0))
    finally:
        os.sched_setscheduler(0, *urgent)
        for _, one in running.values():
            one.__exit__()
    return samples
