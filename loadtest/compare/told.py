"""What a run has found, as text, and its place in PERF.md."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

import table
from systems import Failed

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- make load: begin -->", "<!-- make load: end -->"
TARGETS = "Targets"


def machine(rig, command):
    """Where and when this was measured."""
    cpu = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("model name")), "?")
    kamailio = subprocess.run([rig.kamailio, "-v"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.split("\n", 1)[0]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    siplane = subprocess.run([rig.program("siplane"), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()
    return (f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}; {kamailio.replace('version: ', '')}; {siplane} at "
            f"{commit.stdout.strip() or '?'}; {datetime.date.today()}; `{command}`.")


def sections(bench, results):
    """The tables of what was measured, each with its heading."""
    makers = {
        "costs": ("CPU per call, saturated", lambda got: table.costs(bench, got)),
        "waiting": ("Ways to wait", lambda got: table.waiting(bench, got)),
        "added": ("Added at 100 calls/s", lambda got: table.added(bench, got)),
        "rates": ("Highest rate on one core", lambda got: table.highest(bench, got)),
        "latencies": (f"Setup time at {results.get('half', 0):,.0f} calls/s, half of Kamailio's highest",
                      lambda got: table.latencies(bench, got)),
        "past": ("Offered more than it can take", table.past),
        "memory": ("Memory", table.memory),
        "shards": ("Two shards, one trunk", lambda got: table.shards(*got)),
        "held": ("A million open calls", table.held),
    }
    asked = table.targets(bench, results)
    found = [f"**{title}.**\n\n{make(results[part])}" for part, (title, make) in makers.items() if results.get(part)]
    return "\n\n".join([f"**{TARGETS}.**\n\n{asked}", *found])


def report(bench, results, command):
    """All of it."""
    return f"{machine(bench.rig, command)}\n\n{sections(bench, results)}"


def write(text, whole):
    """Puts the tables into PERF.md, between their markers: all that was there goes, or what was not measured stays."""
    path = ROOT / "PERF.md"
    before, begin, rest = path.read_text().partition(BEGIN)
    there, end, after = rest.partition(END)
    if not begin or not end:
        raise Failed(f"{path} has no markers {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text if whole else merged(there.strip(), text)}\n{END}{after}")


def parts_of(text):
    """The head, and each section's text by its title."""
    head, *rest = re.split(r"^(?=\*\*[^*\n]+\.\*\*$)", text, flags=re.MULTILINE)
    return head.strip(), {part.split("\n", 1)[0].strip("*. "): part.strip() for part in rest}


def merged(there, new):
    """The tables that are there, with those of `new` in their places, and a word on how each of these was measured."""
    (head, old), (how, newer) = parts_of(there), parts_of(new)
    targets = merged_rows(old.get(TARGETS, ""), newer.pop(TARGETS, ""))
    for title, section in newer.items():
        # The setup times' title has their rate.
        known = next((one for one in old if one.split(" at ")[0] == title.split(" at ")[0]), title)
        old = {(title if one == known else one): text for one, text in old.items()}
        old[title] = f"{section}\n\nBy itself: {how}"
    return "\n\n".join([head, targets, *(section for title, section in old.items() if title != TARGETS)])


def merged_rows(there, new):
    """A table's rows, those of `new` in the places of those with the same first cell, or at the end."""
    def by_name(text):
        return {line.split(" | ")[0]: line for line in text.splitlines()}
    return "\n".join({**by_name(there), **by_name(new)}.values()) if there and new else there or new
