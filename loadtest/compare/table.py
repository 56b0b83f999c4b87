"""Samples become rows: medians with their spread, and ratios that are made round by round."""

import statistics

from overload import LATE_US, OFFERED, SHARE
from systems import MMSG, RING, TURNS
from waiting import BUSY, LONG, LONGEST, PLAIN, SATURATED


def cell(values, digits=1):
    """Median and spread of what there is: `38.2 [36.0-41.5]`."""
    there = [value for value in values if value is not None]
    if not there:
        return "none clean"
    middle = f"{statistics.median(there):,.{digits}f}"
    return middle if len(there) == 1 else f"{middle} [{min(there):,.{digits}f}-{max(there):,.{digits}f}]"


def paired(values, bases):
    """The ratio of each round in which there are both."""
    return [value / base for value, base in zip(values, bases) if value is not None and base]


def table(titles, rows):
    """A table as PERF.md has them."""
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def figure_of(window):
    """µs per call."""
    return window.cpu()


def costs(bench, samples):
    """CPU per call, saturated, with user and system apart."""
    rows, kamailio = [], samples.of(bench.chosen_load, figure_of)
    for system in (system for system in bench.compared() if system.name in samples.by_system):
        values = samples.of(system, figure_of)
        parts = [middle(samples, system, f"tested_{part}_us_per_call") for part in ("user", "system")]
        rows.append([system.name, cell(values), " + ".join(parts), middle(samples, system, "tested_cpu_share", 2),
                     middle(samples, system, "completed_per_s", 0), cell(paired(values, kamailio), 2), str(samples.unclean(system)),
                     cell(samples.foreign(system), 2)])
    return table(["system", "CPU µs per call", "user + system", "of a core", "calls/s", "to Kamailio with call load", "not clean",
                  "others, cores"], rows)


def middle(samples, system, figure, digits=1):
    """The median alone."""
    return cell(samples.of(system, lambda window: window[figure]), digits).split(" ", 1)[0]


def waiting(bench, samples):
    """Each way to wait at each rate: cost, and setup times with what they are above the floor's of the same round."""
    rows = []
    for what, of in samples.items():
        is_beside = bench.chosen_load.name in of.by_system
        for name in of.by_system:
            system = next(system for system in (PLAIN, RING, LONG, LONGEST, BUSY, bench.null, bench.chosen_load) if system.name == name)
            values = of.of(system, figure_of)
            times = [] if what == SATURATED else [f"{cell(setups(of, system, q), 0)}; {cell(above(of, system, bench.null, q), 0)}"
                                                  for q in ("p50", "p99")]
            ratio = cell(paired(values, of.of(bench.chosen_load, figure_of)), 2) if is_beside else ""
            rows.append([f"{what:,}/s" if isinstance(what, int) else what, name, cell(values), middle(of, system, "tested_cpu_share", 2),
                         ratio, *(times or ["", ""]), str(of.unclean(system))])
    return table(["load", "system", "CPU µs per call", "of a core", "to Kamailio with call load",
                  "setup p50 µs; above the null forwarder's", "p99 µs; above", "not clean"], rows)


def setups(samples, system, quantile):
    """Setup times of each round."""
    return samples.of(system, lambda window: window.setup(quantile))


def above(samples, system, base, quantile):
    """What they are above those of `base` in the same round."""
    pairs = zip(setups(samples, system, quantile), setups(samples, base, quantile))
    return [value - floor for value, floor in pairs if value is not None and floor is not None]


def highest(bench, found):
    """The highest clean rates."""
    kamailio = found.get(bench.chosen_load.name, [])
    rows = [[name, cell(rates, 0), cell(paired(rates, kamailio), 2)] for name, rates in found.items()]
    return table(["system", "highest rate without a fault, calls/s", "to Kamailio with call load"], rows)


def latencies(bench, samples):
    """Setup times, and what is left of them without the floor's."""
    rows, floor = [], {}
    for quantile in ("p50", "p99", "p99_9"):
        floor[quantile] = samples.of(bench.null, lambda window, quantile=quantile: window.setup(quantile))
    for system in (RING, MMSG, bench.chosen_load, bench.chosen_turns, bench.null):
        cells = []
        for quantile, floors in floor.items():
            values = samples.of(system, lambda window, quantile=quantile: window.setup(quantile))
            added = [value - base for value, base in zip(values, floors) if value is not None and base is not None]
            cells.append(f"{cell(values, 0)}; {cell(added, 0)}" if system is not bench.null else cell(values, 0))
        rows.append([system.name, *cells, str(samples.unclean(system)), cell(samples.foreign(system), 2)])
    return table(["system", "p50 µs; added", "p99 µs; added", "p99.9 µs; added", "not clean", "others, cores"], rows)


def past(found):
    """What is left past the limit."""
    rows = []
    for name, figures in found.items():
        if not figures:
            rows.append([name, *["no figure"] * (1 + len(OFFERED))])
            continue
        best, of_excess = figures
        rows.append([name, f"{best:,.0f}", *(past_cell(*of_excess[excess]) for excess in OFFERED)])
    titles = [f"{excess} × offered: completed; setup p50, p99 s" for excess in OFFERED]
    return table(["system", f"best at {SHARE} of a core, calls/s", *titles], rows)


def past_cell(share, window):
    """One excess."""
    times = ", ".join(f"{window.setup(quantile) / 1e6:.2f}" for quantile in ("p50", "p99"))
    late = window["lag_us"]["p99"]
    return f"{share:.2f}; {times}" + (f" (generator late by {late / 1e6:.1f} s)" if late > LATE_US else "")


def memory(found):
    """What open calls take."""
    rows = [[name, *(f"{size / 2**20:,.0f} MiB" for size in sizes)] if sizes else [name, "no figure", "no figure"]
            for name, sizes in found.items()]
    return table(["system", "100,000 calls, just set up", "the calls alone"], rows)


def shards(samples, said):
    """Two shards under one trunk: shares and cost."""
    one, two = ([window.cpu() if window and window.clean else None for window in windows] for windows in samples.by_system.values())
    ratio = cell(paired(two, one), 2)
    lines = [f"One shard: {cell(one)} µs per call; two: {cell(two)} µs; two to one: {ratio}."]
    for shards_said in said:
        calls = [shard["calls"] for shard in shards_said]
        handed = sum(shard["handed_off"] for shard in shards_said)
        lines.append(f"Calls by shard: {' / '.join(map(str, calls))}; messages handed off: {handed} of "
                     f"{sum(shard['received'] for shard in shards_said)}.")
    return "\n".join(lines)


def held(figures):
    """A million open calls."""
    if not figures or not figures["with"] or not figures["without"]:
        return "No figures."
    faults = "" if figures["clean"] else f" Not clean: {figures['why']}."
    return (f"{figures['held']:,} calls open (set up in {figures['took_s']:.0f} s, {figures['bytes'] / 2**20:,.0f} MiB with what their "
            f"set-up needed): {figures['with']:.1f} µs per call at 1,000/s on top; without them {figures['without']:.1f}; "
            f"ratio {figures['with'] / figures['without']:.2f}; {figures['failed']} failed.{faults}")


def targets(bench, results):
    """What is asked for and what came of it; a paired ratio is the median of its rounds."""
    rows = []

    def at_most(text, values, bound, asked=None, digits=2):
        holds = bool(values) and statistics.median(values) <= bound
        rows.append([text, asked or f"at most {bound:.2f}", cell(values, digits), verdict(holds)])

    def at_least(text, values, bound):
        rows.append([text, f"at least {bound:g}", cell(values, 2), verdict(bool(values) and statistics.median(values) >= bound)])

    def ratio(text, of, system, base, bound):
        at_most(text, paired(of.of(system, figure_of), of.of(base, figure_of)), bound)

    saturated, waits, rates = (results.get(part) for part in ("costs", "waiting", "rates"))
    if saturated:
        ratio("CPU per call saturated, to Kamailio with dialogs and call load", saturated, RING, bench.chosen_load, 1 / 3)
        ratio("CPU per call saturated, round robin, to Kamailio's without dialogs", saturated, TURNS, bench.chosen_turns, 1 / 2)
        ratio("CPU per call saturated, to the null forwarder", saturated, RING, bench.null, 1.35)
    for rate in (1000, 3000) if waits else ():
        for system in (PLAIN, LONG, LONGEST, bench.null):
            ratio(f"CPU per call at {rate:,}/s, to Kamailio with call load: {system.name}", waits[rate], system, bench.chosen_load, 1 / 3)
    if waits:
        at_most("setup p50 at 100/s, above the null forwarder's, µs", above(waits[100], PLAIN, bench.null, "p50"), 50, "below 50", 0)
    if rates:
        at_least("highest clean rate, to Kamailio's with call load",
                 paired(rates.get(RING.name, []), rates.get(bench.chosen_load.name, [])), 3)
    for name, figures in (results.get("past") or {}).items():
        for excess in OFFERED if figures and name == RING.name else ():
            at_least(f"completed when {excess} × what it completes at best is offered, of the best", [figures[1][excess][0]], 0.9)
    for quantile in ("p50", "p99") if results.get("latencies") else ():
        at_most(f"setup {quantile} at half of Kamailio's highest, minus Kamailio's, µs",
                above(results["latencies"], RING, bench.chosen_load, quantile), 0, "below 0", 0)
    return table(["target", "asked", "measured", ""], rows)


def verdict(holds):
    """In words."""
    return "met" if holds else "MISSED"
