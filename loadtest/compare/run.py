#!/usr/bin/env python3
"""siplane beside Kamailio and beside a null forwarder: the same calls, one core each, in turn, in one run.

    run.py --binaries target/release                    # medians of five of everything, some 14 minutes
    run.py --binaries target/release --quick            # one short round of the costs: does it work?
    run.py --binaries target/release --only costs       # this part alone, and what it needs
    run.py --binaries target/release --all              # more variants: see below
    run.py --binaries target/release --write            # and the tables into PERF.md, between their markers

The system under test has core 0 and the generator core 1; nobody else should use either: what others took is in each row. Calls are
record-routed INVITE-100-180-200-ACK-BYE-200, every message verified. Each system is started afresh for each of its turns, warmed up, and
stopped by its id. A run in which a call failed, a message was wrong or a datagram was lost is counted as not clean, and no part of the
medians. Needs: two cores, python 3, Debian's kamailio, and the workspace's release binaries.

Of each round, seconds, and what is measured once: BUDGET
--all adds: every way to wait at every rate and saturated; Kamailio's highest round robin; 1.5 and 2 times the best offered, past the
limit. That takes some 35 minutes; say so with --minutes.
"""

import argparse
import os
import pathlib
import signal
import statistics
import sys
import time

import held
import overload
import rates
import rows
import systems
import told
import waiting

# Of each part the seconds of one round, and those that are spent once. What would not be over in --minutes is left out.
TAKES_S = {"costs": (26, 0), "waiting": (29, 0), "added": (7, 5), "rates": (13, 20), "latencies": (15, 0), "past": (26, 0),
           "shards": (7, 0), "memory": (0, 75), "held": (4, 100)}
PARTS = tuple(TAKES_S)
PILOT_S, DEFAULT_ROUNDS = 20, 5
NEEDS = {"latencies": {"rates"}, "rates": {"costs"}}


def takes_s(part, rounds):
    """Seconds that a part takes, by experience."""
    each, once = TAKES_S[part]
    return each * rounds + once


def measured(bench, args, parts, end):
    """Runs the parts, each with what it needs, and leaves out what would not be over by `end`."""
    results, rounds = {}, args.rounds

    def part(name, title, measuring):
        if name not in parts:
            return
        if time.monotonic() + takes_s(name, rounds) > end:
            bench.tell(f"{title}: LEFT OUT, no time (--minutes)")
            return
        bench.tell(f"{title} ...")
        began = time.monotonic()
        results[name] = bench.guarded(rows.RING, measuring)
        bench.tell(f"{title}: took {time.monotonic() - began:.0f} s of {takes_s(name, rounds)}")

    bench.tell("which form of Kamailio and of the floor is the cheapest ...")
    results["pilot"] = bench.pilot()
    part("costs", "CPU per call", lambda: bench.costs(rounds))
    part("waiting", "ways to wait", lambda: waiting.waiting(bench, rounds, args.all))
    part("added", "added at 100 calls/s", lambda: waiting.added(bench, rounds))
    part("rates", "highest clean rates", lambda: rates.rates(bench, rounds, results.get("costs"), args.all))
    limits = [rate for rate in (results.get("rates") or {}).get(bench.chosen_load.name, []) if rate]
    results["half"] = args.setup_rate or statistics.median(limits or [2000]) / 2
    part("latencies", "setup times", lambda: bench.latencies(rounds, results["half"]))
    part("past", "past the limit", lambda: overload.past(bench, rounds, args.all))
    part("shards", "two shards", lambda: bench.shards(rounds))
    part("memory", "memory of open calls", lambda: held.memory(bench))
    part("held", "a million open calls", lambda: held.million(bench, rounds))
    return results


def arguments():
    """The command line."""
    budget = [f"{part} {each} × {DEFAULT_ROUNDS} + {once}" for part, (each, once) in TAKES_S.items()]
    total = PILOT_S + sum(takes_s(part, DEFAULT_ROUNDS) for part in PARTS)
    about = __doc__.replace("BUDGET", f"pilot {PILOT_S}, {', '.join(budget)}; together {total} s.")
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help="folder of siplane, siplane-load and null-forwarder")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, help=f"of each row but memory (default {DEFAULT_ROUNDS})")
    parser.add_argument("--only", action="append", choices=PARTS, default=[], help="these parts alone, and what they need")
    parser.add_argument("--without", action="append", choices=PARTS, default=[], help="all parts but these")
    parser.add_argument("--minutes", type=float, default=15, help="leave out what would take longer (default 15)")
    parser.add_argument("--all", action="store_true", help="more variants; takes longer")
    parser.add_argument("--setup-rate", type=float, help="of the setup times, calls/s, instead of half of Kamailio's highest")
    parser.add_argument("--quick", action="store_true", help="one round of the costs")
    parser.add_argument("--write", action="store_true", help="put the tables into PERF.md; with --only, those that were measured")
    return parser, parser.parse_args()


def main():
    parser, args = arguments()
    rig = systems.Rig(args.binaries)
    missing = [name for name in ("siplane", "siplane-load", "null-forwarder") if not os.access(rig.program(name), os.X_OK)]
    if missing or not rig.kamailio or not rig.kamcmd or (os.cpu_count() or 1) < 2:
        parser.error(f"not built: {', '.join(missing)}" if missing else "needs kamailio (and kamcmd) and two cores")
    signal.signal(signal.SIGINT, systems.interrupted)
    signal.signal(signal.SIGTERM, systems.interrupted)
    parts = {"costs"} if args.quick else set(args.only or PARTS) - set(args.without)
    for _ in NEEDS if not args.setup_rate else ():
        parts |= set().union(*(NEEDS.get(part, set()) for part in parts))
    began = time.monotonic()
    bench = rows.Bench(rig, lambda text: print(f"[{time.monotonic() - began:4.0f} s] {text}", file=sys.stderr, flush=True))
    if args.quick:
        args.rounds = 1
    results = measured(bench, args, parts, began + args.minutes * 60)
    text = told.report(bench, results, "make load" + (f" LOAD_ARGS='{' '.join(sys.argv[3:])}'" if args.only else ""))
    print(f"{text}\n\ntook {time.monotonic() - began:.0f} s")
    if args.write:
        told.write(text, whole=not args.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
