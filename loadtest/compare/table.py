"""Samples become rows: medians with their spread, and ratios that are made round by round."""

import statistics

from systems import MMSG, RING, TURNS


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
    """CPU per call: each system at each rate, and saturated with user and system apart."""
    rows = []
    for what, of in samples.items():
        kamailio = of.of(bench.chosen_load, figure_of)
        for system in (system for system in bench.compared() if system.name in of.by_system):
            values = of.of(system, figure_of)
            parts = [cell(of.of(system, lambda window, part=part: window[f"tested_{part}_us_per_call"])).split(" ", 1)[0]
                     for part in ("user", "system")]
            share = cell(of.of(system, lambda window: window["tested_cpu_share"]), 2).split(" ", 1)[0]
            rows.append([f"{what:,}/s" if isinstance(what, int) else what, system.name, cell(values), " + ".join(parts), share,
                         cell(paired(values, kamailio), 2), str(of.unclean(system)), cell(of.foreign(system), 2)])
    return table(["load", "system", "CPU µs per call", "user + system", "of a core", "to Kamailio with call load", "not clean",
                  "others, cores"], rows)


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


def past(shares):
    """What is left past the limit."""
    return table(["system", "completed, as a share of its highest rate"],
                 [[name, "no figure" if share is None else f"{share:.2f}"] for name, share in shares.items()])


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


def targets(bench, cost, rates, latency, shares):
    """What is asked for and what came of it; a paired ratio is the median of its rounds."""
    rows = []

    def ratio(text, of, system, base, bound):
        if system.name in of.by_system and base.name in of.by_system:
            values = paired(of.of(system, figure_of), of.of(base, figure_of))
            middle = statistics.median(values) if values else None
            rows.append([text, f"at most {bound:.2f}", cell(values, 2), verdict(middle is not None and middle <= bound)])

    if cost:
        saturated = cost["saturated"]
        ratio("CPU per call saturated, to Kamailio with dialogs and call load", saturated, RING, bench.chosen_load, 1 / 3)
        ratio("CPU per call saturated, round robin, to Kamailio's without dialogs", saturated, TURNS, bench.chosen_turns, 1 / 2)
        ratio("CPU per call saturated, to the null forwarder", saturated, RING, bench.null, 1.35)
        for rate in (1000, 3000):
            ratio(f"CPU per call at {rate:,}/s, to Kamailio with call load", cost[rate], RING, bench.chosen_load, 1 / 3)
            ratio(f"the null forwarder itself at {rate:,}/s, to Kamailio with call load", cost[rate], bench.null, bench.chosen_load, 1 / 3)
    if rates:
        values = paired(rates.get(RING.name, []), rates.get(bench.chosen_load.name, []))
        rows.append(["highest clean rate, to Kamailio's with call load", "at least 3", cell(values, 2),
                     verdict(bool(values) and statistics.median(values) >= 3)])
    if shares and shares.get(RING.name):
        rows.append(["completed when 1.15 × its limit is offered", "no collapse (0.9)", f"{shares[RING.name]:.2f}",
                     verdict(shares[RING.name] >= 0.9)])
    for quantile in ("p50", "p99") if latency else ():
        ours, theirs = (latency.of(system, lambda window: window.setup(quantile)) for system in (RING, bench.chosen_load))
        values = [a - b for a, b in zip(ours, theirs) if a is not None and b is not None]
        rows.append([f"setup {quantile} at half of Kamailio's highest, minus Kamailio's, µs", "below 0", cell(values, 0),
                     verdict(bool(values) and statistics.median(values) < 0)])
    return table(["target", "asked", "measured", ""], rows)


def verdict(holds):
    """In words."""
    return "met" if holds else "MISSED"
