"""Calls that stay open: the memory they take, and what a million of them cost the calls beside them."""

import time

import measure
from systems import RING, RING_AS_IT_COMES, Failed, wait_until

HELD_FOR_MEMORY, HELD_LONG = 100_000, 1_000_000
BESIDE = 1000  # calls/s beside the million
WINDOW_S = 2


def memory(bench):
    """Bytes that 100,000 open calls take: when they have just been set up, and when nothing of that is left."""
    found = {}
    for system in (RING_AS_IT_COMES, bench.chosen_load):
        found[system.name] = bench.guarded(system, lambda system=system: held_memory(bench, system, HELD_FOR_MEMORY))
        if found[system.name]:
            bench.tell(f"  {system.name}: {', '.join(f'{size / 2**20:.0f} MiB' for size in found[system.name])}")
    return found


def held_memory(bench, system, count):
    """The two sizes. Who keeps what it has freed shows the second one by what as many more calls add, which use that again."""
    with bench.fresh(system, rpc=True, shared_mb=6144) as running:
        measure.ready(bench.rig, running)
        before = system.held_bytes(running, bench.rig)
        hold(bench, running, count)
        full = system.held_bytes(running, bench.rig)
        time.sleep(system.gone_s)
        left = system.held_bytes(running, bench.rig)
        if not system.keeps_freed:
            return full - before, left - before
        hold(bench, running, count)
        return full - before, system.held_bytes(running, bench.rig) - left


def hold(bench, running, count):
    """Sets so many calls up and leaves them open; the generator goes, the system does not know."""
    window = measure.run(bench.rig, running, "--hold-open", count, "--rate", 1, "--calls", 1, timeout_s=150)
    if window["held_open"] != count:
        raise Failed(f"{window['held_open']} of {count} calls were set up: {window.why()}")


def million(bench, rounds):
    """A million open calls, then BESIDE calls/s on top: µs per call in windows without them and with them, and the bytes they take."""
    with bench.started(RING) as running:
        without = [measure.offer(bench.rig, running, BESIDE, WINDOW_S) for _ in range(rounds)]
    with bench.fresh(RING_AS_IT_COMES) as running:
        measure.ready(bench.rig, running)
        before = RING_AS_IT_COMES.held_bytes(running, bench.rig)
        began, gone = time.monotonic(), RING.gone_s
        duration = gone + rounds * WINDOW_S + 3
        load = measure.Load(bench.rig, running, ["--hold-open", HELD_LONG, "--rate", BESIDE, "--duration", duration, *measure.JOINED[:-2]])
        if not wait_until(lambda: load.seconds() or load.process.poll() is not None, 240):
            raise Failed("setting up took too long")
        took = time.monotonic() - began
        bench.tell(f"  {HELD_LONG} calls set up in {took:.0f} s; waiting until only the calls are left")
        time.sleep(gone)
        costs = [cost_beside(load, running) for _ in range(rounds)]
        size = RING_AS_IT_COMES.held_bytes(running, bench.rig) - before
        window = load.finish(60)
        return {"without": [of.cpu() if of.clean else None for of in without], "with": costs, "bytes": size, "took_s": took,
                "held": window["held_open"], "failed": window["failures"], "clean": window.clean, "why": window.why()}


def cost_beside(load, running):
    """µs per call that ends in the next seconds; the generator tells them once a second."""
    def told():
        return len(load.seconds()), measure.exact_processor_s(running.pids())
    lines, used = told()
    time.sleep(WINDOW_S)
    more, used_then = told()
    completed = sum(line["completed"] for line in load.seconds()[lines:more])
    return (used_then - used) * 1e6 / completed if completed else None
