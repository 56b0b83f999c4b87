"""How siplane waits: what each way costs per call, and how long calls then take, from 100 calls a second to all that it can."""

import dataclasses

import measure
from rows import Samples
from systems import RING, Siplane

RATES = {100: 2.5, 1000: 1.5, 3000: 1.5, 10_000: 1.5}  # calls/s, and for how many seconds
SATURATED, SATURATED_S = "saturated", 1.5


@dataclasses.dataclass(frozen=True)
class Way:
    """A system as it waits, and at which rates it is looked at; saturated at the end."""

    system: object
    rates: tuple = tuple(RATES)
    saturated: bool = True


def gathering(name, us, above):
    """siplane that lets datagrams gather for `us` above so many datagrams a millisecond."""
    return Siplane(name, "io_uring", "call-load", waiting=f"gather_us = {us}\ngather_above_per_ms = {above}")


PLAIN = Siplane("siplane, never gathers", "io_uring", "call-load", waiting="gather_us = 0")
LONG = gathering("siplane, 500 µs above 5 datagrams/ms", 500, 5)
LONGEST = gathering("siplane, 1,000 µs above 2 datagrams/ms", 1000, 2)
BUSY = Siplane("siplane, busy_poll", "io_uring", "call-load", waiting="busy_poll = true")


def ways(bench):
    """All that take their turn in each round. By default siplane does not gather at the lower rates, so it is as if it never did."""
    return [Way(PLAIN), Way(RING, (10_000,)), Way(LONG), Way(LONGEST), Way(BUSY), Way(bench.null),
            Way(bench.chosen_load, (100, 1000, 3000), False)]


def waiting(bench, rounds):
    """Samples by rate."""
    samples = {what: Samples() for what in (*RATES, SATURATED)}
    for at in range(rounds):
        for way in ways(bench):
            windows = bench.guarded(way.system, lambda way=way: windows_of(bench, way)) or {}
            for what in (*way.rates, *([SATURATED] if way.saturated else [])):
                samples[what].add(way.system, windows.get(what))
            told = ", ".join(f"{what}: {window.cpu():.1f} µs, p50 {window.setup('p50')}{bench.note(window)}"
                             for what, window in windows.items())
            bench.tell(f"  round {at + 1}, {way.system.name}: {told}")
    return samples


def windows_of(bench, way):
    """The windows of one round. The null forwarder does not gather: it is the floor of waiting times."""
    with bench.started(way.system, gather_us=0) as running:
        windows = {rate: measure.offer(bench.rig, running, rate, RATES[rate], "--gather-us", 0) for rate in way.rates}
        if way.saturated:
            windows[SATURATED] = measure.saturate(bench.rig, running, SATURATED_S)
        return windows
