"""Past the limit: what a system completes when more calls are offered than it can take, by callers that do not give up.

Both systems get a part of their core alone, by the cpu controller of cgroups, so that the generator on the other core can offer twice
what they take. Callers send again as RFC 3261 wants (T1 doubled, until timer B), so what is not answered comes back and adds up.
"""

import os
import pathlib

import measure
import systems
from systems import RING

SHARE = 0.4  # of the core that each system gets
PERIOD_US = 20_000
# Of what it completes at best, and for how many seconds: five of an INVITE's seven sends in 8 s, six in 20 s.
OFFERED, OFFERED_MORE = {1.15: 8}, {1.15: 8, 1.5: 10, 2: 20}
BEST_S = 2
CHEAPEST = ("--segment", "--connect")  # the generator's flags, for both
LATE_US = 100_000  # a generator that is so late has not offered what it should
V1, V2 = pathlib.Path("/sys/fs/cgroup/cpu"), pathlib.Path("/sys/fs/cgroup")


class Throttle:
    """A group of processes that gets a share of one core, and that before others. Use it in `with`, around what runs in it."""

    def __init__(self, share=SHARE):
        quota = str(round(PERIOD_US * share))
        if (V1 / "cpu.cfs_quota_us").exists():
            self.path, self.files = V1, {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": quota, "cpu.shares": "100000"}
        else:
            self.path, self.files = V2, {"cpu.max": f"{quota} {PERIOD_US}", "cpu.weight": "10000"}
        self.path /= f"siplane-compare-{os.getpid()}"

    def __enter__(self):
        self.path.mkdir()
        systems.GROUPS.append(self.path)
        try:
            for name, value in self.files.items():
                (self.path / name).write_text(value)
        except OSError as why:
            self.path.rmdir()
            raise systems.Failed(f"no share of a core can be set: {why}") from why
        return self

    def take(self, running):
        """Puts all processes of a system into the group."""
        for pid in running.pids():
            (self.path / "cgroup.procs").write_text(str(pid))

    def __exit__(self, *_):
        systems.remove_group(self.path)


def past(bench, rounds, everything):
    """By system and round: what it completes at best, calls/s, and for each excess the share of that and the window."""
    found = {}
    for _ in range(rounds):
        for system in (RING, bench.chosen_load):
            figures = bench.guarded(system, lambda system=system: of_system(bench, system, OFFERED_MORE if everything else OFFERED))
            found.setdefault(system.name, []).extend([figures] if figures else [])
    return found


def of_system(bench, system, offered):
    """One system at all excesses, each with processes of its own."""
    with Throttle() as throttle:
        with bench.started(system) as running:
            throttle.take(running)
            best = measure.saturate(bench.rig, running, BEST_S, *CHEAPEST)["completed_per_s"]
        found = {}
        for excess, seconds in offered.items():
            with bench.started(system) as running:
                throttle.take(running)
                load = measure.Load(bench.rig, running, ["--rate", round(best * excess), "--duration", seconds, "--grace-ms", 0,
                                                         "--active-max", 4_000_000, *CHEAPEST])
                window = load.finish(seconds + 60)
            found[excess] = later_half(load.seconds()) / best, window
            bench.tell(f"  {system.name}, {excess} × {best:.0f} calls/s offered: {found[excess][0]:.2f} of them completed")
    return best, found


def later_half(seconds):
    """Calls completed per second in the later half of a run, when what was not answered is coming back."""
    completed = [line["completed"] for line in seconds]
    later = completed[len(completed) // 2:]
    return sum(later) / len(later) if later else 0.0
