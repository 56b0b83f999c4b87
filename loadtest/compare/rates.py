"""The highest rate without a fault: bisection at first, and in later rounds a look at whether the last result still holds."""

import measure
from systems import RING, Failed

SEARCH_S = 1.5
DISTURBED, TRIES = 0.1, 3  # cores that others used: a run with a fault is then tried again, and shows nothing in the end
RATE_MIN = 50  # calls/s below which the search gives up
FIRST_STEP, STEP = 1.3, 1.05  # the search ends when the bounds are as close as the latter
ROUNDING = 1.001
CALLS_MAX = 60_000


class Probe:
    """One system that rates are tried on. Its process serves until a run was not clean, which may leave things behind, or so many calls
    were made that those remembered are more than memory was made ready for."""

    def __init__(self, bench, system):
        self.bench, self.system, self.running, self.calls = bench, system, None, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.running:
            self.running.__exit__()
        self.running, self.calls = None, 0

    def is_clean(self, rate):
        """Whether it takes this rate without any fault."""
        if rate < RATE_MIN:
            raise Failed(f"not clean at {rate * STEP:.0f} calls/s")
        for _ in range(TRIES):
            self.running = self.running or self.bench.started(self.system)
            window = measure.offer(self.bench.rig, self.running, rate, SEARCH_S, *measure.JOINED)
            self.calls += window["started"]
            if self.calls > CALLS_MAX or not window.clean:
                self.__exit__()
            if window.clean:
                return True
            self.bench.tell(f"    {self.system.name} at {rate:.0f} calls/s, others {window.foreign:.2f} cores:{self.bench.note(window)}")
            if window.foreign < DISTURBED:
                return False
        raise Failed("others took too much of the cores")


def highest(is_clean, guess, step):
    """The highest clean rate, from `guess` up or down in steps, then by bisection."""
    low, high = None, None
    while low is None or high is None:
        if is_clean(guess):
            low, guess = guess, guess * step
        else:
            high, guess = guess, guess / step
    while high / low > STEP * ROUNDING:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if is_clean(middle) else (low, middle)
    return low


def first_guess(system, found, costs):
    """Where the search begins, and in which steps: from the last round's rate, or from the rate at saturation."""
    if any(found):
        return [rate for rate in found if rate][-1], STEP
    windows = costs[measure.JOINED].by_system.get(system.name, []) if costs else []
    saturated = sorted(window["completed_per_s"] for window in windows if window)
    return saturated[len(saturated) // 2] if saturated else 1000, FIRST_STEP


def rates(bench, rounds, costs, everything):
    """The highest clean rates of each round, by system."""
    found = {}
    for at in range(rounds):
        for system in (RING, bench.chosen_load, *([bench.chosen_turns] if everything else [])):
            of = found.setdefault(system.name, [])

            def searching(system=system, of=of):
                with Probe(bench, system) as probe:
                    return highest(probe.is_clean, *first_guess(system, of, costs))
            of.append(bench.guarded(system, searching))
            bench.tell(f"  round {at + 1}, {system.name}: {of[-1] or 0:.0f} calls/s")
    return found
