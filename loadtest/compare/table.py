"""Samples become rows: medians with their spread, and ratios that are made round by round."""

import statistics

from measure import ALONE, JOINED, VARIED
from overload import LATE_US, OFFERED_MORE, SHARE
from systems import RING, SHARDS, TURNS
from waiting import BUSY, DIRECT, LONG, LONGEST, PLAIN, SATURATED


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


def costs(bench, by_mode):
    """CPU per call, saturated, with user and system apart; and what the generator's way to send and receive makes of it."""
    samples = by_mode[ALONE]
    rows, kamailio = [], samples.of(bench.chosen_load, figure_of)
    for system in (system for system in bench.compared() if system.name in samples.by_system):
        values = samples.of(system, figure_of)
        parts = [middle(samples, system, f"tested_{part}_us_per_call") for part in ("user", "system")]
        rows.append([system.name, cell(values), " + ".join(parts), middle(samples, system, "tested_cpu_share", 2),
                     middle(samples, system, "completed_per_s", 0), cell(paired(values, kamailio), 2), str(samples.unclean(system)),
                     cell(samples.foreign(system), 2)])
    return table(["system", "CPU µs per call", "user + system", "of a core", "calls/s", "to Kamailio with call load", "not clean",
                  "others, cores"], rows) + "\n\n" + modes(bench, by_mode)


MODES = {ALONE: "each datagram by itself", JOINED: " ".join(map(str, JOINED)), VARIED: " ".join(VARIED)}


def modes(bench, by_mode):
    """What the generator takes, and what its way to send and receive makes of what the systems take."""
    rows = []
    for system in (system for system in bench.compared() if system in (RING, bench.null, bench.chosen_load)):
        for mode, title in MODES.items():
            samples = by_mode[mode]
            if system.name in samples.by_system:
                values, alone = samples.of(system, figure_of), by_mode[ALONE].of(system, figure_of)
                rows.append([system.name, title, cell(values), cell(paired(values, alone), 2) if mode != ALONE else "1",
                             cell(samples.of(system, lambda window: window["own_cpu_us_per_call"])),
                             " + ".join(middle(samples, system, f"own_{part}_us_per_call") for part in ("user", "system")),
                             cell(samples.of(system, lambda window: window.generator()), 2), str(samples.unclean(system))])
    return table(["system", "generator", "system: CPU µs per call", "to each by itself", "generator: CPU µs per call", "user + system",
                  "system under test = 1", "not clean"], rows)


def added(bench, samples):
    """Setup times at 100 calls/s: what each turn's are above the floor's, and above those without anything between."""
    rows = []
    for system in (DIRECT, bench.null, RING):
        times = [setups(samples, system, "p50"), *(above(samples, system, base, "p50") for base in (DIRECT, bench.null))]
        rows.append([system.name, *map(middle_half, times), str(samples.unclean(system))])
    turns = len(samples.by_system[RING.name])
    titles = [f"{turns} turns", "setup p50, µs: median and middle half", "above directly", "above the null forwarder", "not clean"]
    return table(titles, rows)


def middle_half(values):
    """Median, and where half of the values lie: `38 [36-41]`."""
    there = [value for value in values if value is not None]
    if len(there) < 2:
        return cell(there, 0)
    low, middle_one, high = statistics.quantiles(there, n=4, method="inclusive")
    return f"{middle_one:,.0f} [{low:,.0f}-{high:,.0f}]"


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
    for system in (RING, bench.chosen_load, bench.chosen_turns, bench.null):
        cells = []
        for quantile, floors in floor.items():
            values = samples.of(system, lambda window, quantile=quantile: window.setup(quantile))
            added = [value - base for value, base in zip(values, floors) if value is not None and base is not None]
            cells.append(f"{cell(values, 0)}; {cell(added, 0)}" if system is not bench.null else cell(values, 0))
        rows.append([system.name, *cells, str(samples.unclean(system)), cell(samples.foreign(system), 2)])
    return table(["system", "p50 µs; added", "p99 µs; added", "p99.9 µs; added", "not clean", "others, cores"], rows)


def past(found):
    """What is left past the limit."""
    excesses = [excess for excess in OFFERED_MORE if any(excess in of_excess for runs in found.values() for _, of_excess in runs)]
    rows = [[name, cell([best for best, _ in runs], 0), *(past_cell([of_excess[excess] for _, of_excess in runs]) for excess in excesses)]
            for name, runs in found.items()]
    titles = [f"{excess} × offered: completed; setup p50, p99 s" for excess in excesses]
    return table(["system", f"best at {SHARE} of a core, calls/s", *titles], rows)


def past_cell(runs):
    """One excess: what was completed, and how long calls took in the median of the runs."""
    if not runs:
        return "no figure"
    times = ", ".join(f"{statistics.median(window.setup(quantile) for _, window in runs) / 1e6:.2f}" for quantile in ("p50", "p99"))
    late = max(window["lag_us"]["p99"] for _, window in runs)
    return f"{cell([share for share, _ in runs], 2)}; {times}" + (f" (generator late by {late / 1e6:.1f} s)" if late > LATE_US else "")


def memory(found):
    """What open calls take."""
    rows = [[name, *(f"{size / 2**20:,.0f} MiB" for size in sizes)] if sizes else [name, "no figure", "no figure"]
            for name, sizes in found.items()]
    return table(["system", "100,000 calls, just set up", "the calls alone"], rows)


def shards(samples, said):
    """Two shards under one trunk: shares and cost."""
    one, two = (samples.of(system, figure_of) for system in SHARDS)
    lines = [f"One shard: {cell(one)} µs per call; two: {cell(two)} µs; two to one: {cell(shards_ratio(samples), 2)}."]
    for of in said:
        calls = " / ".join(str(shard["calls"]) for shard in of)
        lines.append(f"Calls by shard: {calls}; messages handed off: {handed_off(of)} of {sum(shard['received'] for shard in of)}.")
    return "\n".join(lines)


def shards_ratio(samples):
    """Cost per call of two shards to that of one, round by round."""
    one, two = (samples.of(system, figure_of) for system in SHARDS)
    return paired(two, one)


def uneven(said):
    """The largest shard's calls, where an even share is 1."""
    calls = [shard["calls"] for shard in said]
    return max(calls) * len(calls) / sum(calls)


def handed_off(said):
    """Messages that came to another shard than their call's."""
    return sum(shard["handed_off"] for shard in said)


def held(figures):
    """A million open calls."""
    if not figures or not any(figures["with"]) or not any(figures["without"]):
        return "No figures."
    faults = "" if figures["clean"] else f" Not clean: {figures['why']}."
    return (f"{figures['held']:,} calls open (set up in {figures['took_s']:.0f} s, {figures['bytes'] / 2**20:,.0f} MiB with what their "
            f"set-up needed): {cell(figures['with'])} µs per call at 1,000/s on top; without them {cell(figures['without'])}; "
            f"ratio of the medians {million_ratio(figures):.2f}; {figures['failed']} failed.{faults}")


def million_ratio(figures):
    """Cost with a million open calls to that without."""
    with_them, without = (statistics.median(filter(None, figures[name])) for name in ("with", "without"))
    return with_them / without


def targets(bench, results):
    """What is asked for and what came of it; a paired ratio is the median of its rounds."""
    rows = []

    def at_most(text, values, bound, asked=None, digits=2, told=None):
        there = [value for value in values if value is not None]
        holds = bool(there) and statistics.median(there) <= bound
        rows.append([text, asked or f"at most {bound:.2f}", told(there) if told else cell(there, digits), verdict(holds, there)])

    def at_least(text, values, bound):
        rows.append([text, f"at least {bound:g}", cell(values, 2), verdict(bool(values) and statistics.median(values) >= bound, values)])

    def ratio(text, of, system, base, bound):
        at_most(text, paired(of.of(system, figure_of), of.of(base, figure_of)), bound)

    saturated, waits, rates, quiet = (results.get(part) for part in ("costs", "waiting", "rates", "added"))
    if saturated:
        alone = saturated[ALONE]
        ratio("CPU per call saturated, to Kamailio with dialogs and call load", alone, RING, bench.chosen_load, 1 / 3)
        ratio("CPU per call saturated, round robin, to Kamailio's without dialogs", alone, TURNS, bench.chosen_turns, 1 / 2)
        ratio("CPU per call saturated, to the null forwarder", alone, RING, bench.null, 1.35)
        for system in (RING, bench.chosen_load):
            for mode in (ALONE, JOINED):
                at_most(f"the generator's CPU per call, to that of {system.name}; generator: {MODES[mode]}",
                        saturated[mode].of(system, lambda window: window.generator()), 0.5)
    for rate in (1000, 3000) if waits else ():
        for system in (PLAIN, LONG, LONGEST, bench.null):
            if system.name in waits[rate].by_system:
                ratio(f"CPU per call at {rate:,}/s, to Kamailio with call load: {system.name}", waits[rate], system, bench.chosen_load,
                      1 / 3)
    if quiet:
        at_most(f"setup p50 at 100/s, above the null forwarder's, µs; {len(quiet.by_system[RING.name])} turns, middle half",
                above(quiet, RING, bench.null, "p50"), 50, "below 50", 0, told=middle_half)
    if rates:
        at_least("highest clean rate, to Kamailio's with call load",
                 paired(rates.get(RING.name, []), rates.get(bench.chosen_load.name, [])), 3)
    runs = (results.get("past") or {}).get(RING.name, [])
    for excess in [excess for excess in OFFERED_MORE if runs and excess in runs[0][1]]:
        at_least(f"completed when {excess} × what it completes at best is offered, of the best", [of[excess][0] for _, of in runs], 0.9)
    for quantile in ("p50", "p99") if results.get("latencies") else ():
        at_most(f"setup {quantile} at half of Kamailio's highest, minus Kamailio's, µs",
                above(results["latencies"], RING, bench.chosen_load, quantile), 0, "below 0", 0)
    if results.get("shards"):
        samples, said = results["shards"]
        at_most("two shards: CPU per call, to one shard's", shards_ratio(samples), 1.05)
        at_most("two shards: largest share of the calls, of an even one", [uneven(of) for of in said], 1.05)
        at_most("two shards: messages handed off", [float(handed_off(of)) for of in said], 0, "0", 0)
    if results.get("held") and any(results["held"]["with"]) and any(results["held"]["without"]):
        at_most("a million open calls: CPU per call at 1,000/s on top, to that without", [million_ratio(results["held"])], 1.10)
    return table(["target", "asked", "measured", ""], rows)


def verdict(holds, values):
    """In words."""
    return ("met" if holds else "MISSED") if values else "not measured"
