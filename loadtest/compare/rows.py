"""The experiments. Each gives samples by system and round; table.py makes rows of them."""

import time

import measure
import systems
from systems import KAMAILIO_LOAD, KAMAILIO_TURNS, MMSG, NULLS, RING, RING_AS_IT_COMES, TURNS, Failed

WARM_S, SATURATION_S, STEADY_S, LATENCY_S, SEARCH_S, CONFIRM_S = 0.5, 2.5, 2, 2.5, 2, 3
DISTURBED = 0.1  # cores that others used: a run with a fault is then tried once more
RATE_MIN = 50  # calls/s below which the search gives up
STEP = 1.05  # the search ends when the bounds are so close
HELD_FOR_MEMORY, HELD_LONG = 100_000, 1_000_000


class Samples:
    """Windows of one experiment by system: one of each round, None for one that gave no figures."""

    def __init__(self):
        self.by_system = {}

    def add(self, system, window):
        """The window of the next round."""
        self.by_system.setdefault(system.name, []).append(window)

    def of(self, system, figure):
        """A figure of each round; None where the run was not clean."""
        return [figure(window) if window and window.clean else None for window in self.by_system.get(system.name, [])]

    def unclean(self, system):
        """How many rounds were not."""
        return sum(1 for window in self.by_system.get(system.name, []) if not (window and window.clean))

    def foreign(self, system):
        """Others' processor time in each round, cores."""
        return [window.foreign for window in self.by_system.get(system.name, []) if window]


class Bench:
    """All experiments of one run, with what they say while they run."""

    def __init__(self, rig, tell):
        self.rig, self.tell = rig, tell
        self.chosen_load, self.chosen_turns, self.null = KAMAILIO_LOAD[0], KAMAILIO_TURNS[0], NULLS[0]

    def guarded(self, system, measuring):
        """What `measuring` gives; None, told, when the system or the generator failed."""
        try:
            return measuring()
        except (Failed, OSError, ValueError) as why:
            self.tell(f"  {system.name}: NO FIGURES: {why}")
            return None

    def fresh(self, system, **options):
        """The system, started."""
        self.rig.wait_free()
        return system.start(self.rig, **options)

    def started(self, system, **options):
        """The system, started, with calls going through, and warm."""
        running = self.fresh(system, **options)
        try:
            measure.ready(self.rig, running)
            measure.saturate(self.rig, running, WARM_S)
            return running
        except Failed:
            running.__exit__()
            raise

    def pilot(self):
        """One short run of each form of Kamailio and of the floor: the cheaper one is compared."""
        costs = {}
        for system in (*KAMAILIO_LOAD, *KAMAILIO_TURNS, *NULLS):
            def measuring(system=system):
                with self.started(system) as running:
                    return measure.saturate(self.rig, running, 2)
            window = self.guarded(system, measuring)
            costs[system.name] = window.cpu() if window and window.clean else float("inf")
            self.tell(f"  {system.name}: {costs[system.name]:.1f} µs per call{self.note(window)}")
        self.chosen_load, self.chosen_turns, self.null = (
            min(forms, key=lambda system: costs[system.name]) for forms in (KAMAILIO_LOAD, KAMAILIO_TURNS, NULLS))
        return costs

    @staticmethod
    def note(window):
        """What must be said beside a figure."""
        if not window:
            return ""
        return "" if window.clean else f" NOT CLEAN: {window.why()}"

    def compared(self):
        """Everything that takes its turn in each round."""
        return [RING, self.chosen_load, MMSG, self.null, TURNS, self.chosen_turns]

    def costs(self, rounds):
        """CPU per call, saturated: a fresh process of each system in each round."""
        samples = Samples()
        for at in range(rounds):
            for system in self.compared():
                window = self.guarded(system, lambda system=system: self.saturated(system))
                samples.add(system, window)
                if window:
                    self.tell(f"  round {at + 1}, {system.name}: {window.cpu():.1f} µs{self.note(window)}")
        return samples

    def saturated(self, system):
        """One window."""
        with self.started(system) as running:
            return measure.saturate(self.rig, running, SATURATION_S)

    def is_clean_at(self, system, rate, seconds):
        """Whether a fresh process of the system takes this rate without any fault."""
        for _ in range(2):
            def measuring():
                with self.started(system) as running:
                    return measure.offer(self.rig, running, rate, seconds)
            window = self.guarded(system, measuring)
            if window and not window.clean:
                self.tell(f"    {system.name} at {rate:.0f} calls/s, others {window.foreign:.2f} cores:{self.note(window)}")
            if window and (window.clean or window.foreign < DISTURBED):
                return window.clean
        return False

    def highest(self, system, guess, factor):
        """The highest clean rate, from `guess` up or down in steps of `factor`, then by bisection, and confirmed by a longer run."""
        low, high = None, None
        while low is None or high is None:
            if self.is_clean_at(system, guess, SEARCH_S):
                low, guess = guess, guess * factor
            else:
                high, guess = guess, guess / factor
            if guess < RATE_MIN:
                raise Failed(f"not clean at {high:.0f} calls/s")
        while high / low > STEP:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if self.is_clean_at(system, middle, SEARCH_S) else (low, middle)
        while not self.is_clean_at(system, low, CONFIRM_S):
            low /= STEP
            if low < RATE_MIN:
                raise Failed("no rate was confirmed")
        self.tell(f"  {system.name}: {low:.0f} calls/s")
        return low

    def first_guess(self, system, found, costs):
        """Where the search begins, and in which steps: from the last round's rate, or from the rate at saturation."""
        if any(found):
            return [rate for rate in found if rate][-1], 1.12
        windows = costs.by_system.get(system.name, []) if costs else []
        saturated = sorted(window["completed_per_s"] for window in windows if window)
        return saturated[len(saturated) // 2] if saturated else 1000, 1.3

    def rates(self, rounds, costs):
        """The highest clean rates of each round, by system."""
        found = {}
        for _ in range(rounds):
            for system in (RING, self.chosen_load, self.chosen_turns):
                of = found.setdefault(system.name, [])
                of.append(self.guarded(system, lambda system=system, of=of: self.highest(system, *self.first_guess(system, of, costs))))
        return found

    def latencies(self, rounds, rate):
        """Setup times at one rate for all, in turn."""
        samples = Samples()
        for at in range(rounds):
            for system in (RING, self.chosen_load, MMSG, self.chosen_turns, self.null):
                def measuring(system=system):
                    with self.started(system, gather_us=0) as running:
                        return measure.offer(self.rig, running, rate, LATENCY_S, "--gather-us", 0, lag_ms=5)
                window = self.guarded(system, measuring)
                samples.add(system, window)
                if window:
                    times = f"p50 {window.setup('p50')}, p99 {window.setup('p99')}"
                    self.tell(f"  round {at + 1}, {system.name}: {times} µs{self.note(window)}")
        return samples

    def memory(self):
        """Bytes that 100,000 open calls take: when they have just been set up, and when nothing of that is left."""
        found = {}
        for system in (RING_AS_IT_COMES, self.chosen_load):
            found[system.name] = self.guarded(system, lambda system=system: self.held_memory(system, HELD_FOR_MEMORY))
            if found[system.name]:
                self.tell(f"  {system.name}: {', '.join(f'{size / 2**20:.0f} MiB' for size in found[system.name])}")
        return found

    def held_memory(self, system, count):
        """The two sizes. Who keeps what it has freed shows the second one by what as many more calls add, which use that again."""
        with self.fresh(system, rpc=True, shared_mb=6144) as running:
            measure.ready(self.rig, running)
            before = system.held_bytes(running, self.rig)
            self.hold(running, count)
            full = system.held_bytes(running, self.rig)
            time.sleep(system.gone_s)
            left = system.held_bytes(running, self.rig)
            if not system.keeps_freed:
                return full - before, left - before
            self.hold(running, count)
            return full - before, system.held_bytes(running, self.rig) - left

    def hold(self, running, count):
        """Sets so many calls up and leaves them open; the generator goes, the system does not know."""
        window = measure.run(self.rig, running, "--hold-open", count, "--rate", 1, "--calls", 1, timeout_s=150)
        if window["held_open"] != count:
            raise Failed(f"{window['held_open']} of {count} calls were set up: {window.why()}")

    def shards(self, rounds, rate=3000):
        """One and two shards under one trunk (one address and port), in turn, as many calls for each shard: windows, and what two
        shards said at their end."""
        samples, said = Samples(), []
        one, two = systems.Siplane("one shard", "io_uring", "call-load"), systems.Siplane("two shards", "io_uring", "call-load", 2)
        for at in range(rounds):
            for system in (one, two):
                def measuring(system=system):
                    with self.started(system) as running:
                        window = measure.offer(self.rig, running, rate * system.shards, STEADY_S)
                        running.stop()
                        if system is two:
                            said.append(shard_lines(running.said()))
                        return window
                window = self.guarded(system, measuring)
                samples.add(system, window)
                if window:
                    self.tell(f"  round {at + 1}, {system.name}: {window.cpu():.1f} µs{self.note(window)}")
        if said:
            self.tell(f"  {said[-1]}")
        return samples, said

    def held_long(self, rate=1000, seconds=6):
        """A million open calls, then `rate` on top: µs per call without them and with them, and the bytes they take."""
        with self.started(RING) as running:
            without = measure.offer(self.rig, running, rate, seconds)
        with self.fresh(RING_AS_IT_COMES) as running:
            measure.ready(self.rig, running)
            before = RING_AS_IT_COMES.held_bytes(running, self.rig)
            gone = RING.gone_s
            began = time.monotonic()
            load = measure.Load(self.rig, running, ["--hold-open", HELD_LONG, "--rate", rate, "--duration", gone + seconds + 3])
            if not systems.wait_until(lambda: load.seconds() or load.process.poll() is not None, 240):
                raise Failed("setting up took too long")
            took = time.monotonic() - began
            self.tell(f"  {HELD_LONG} calls set up in {took:.0f} s; waiting until only the calls are left")
            time.sleep(gone)
            figures = [(len(load.seconds()), measure.exact_processor_s(running.pids()))]
            time.sleep(seconds)
            figures.append((len(load.seconds()), measure.exact_processor_s(running.pids())))
            size = RING_AS_IT_COMES.held_bytes(running, self.rig) - before
            window = load.finish(60)
            lines = load.seconds()[figures[0][0]:figures[1][0]]
            completed = sum(line["completed"] for line in lines)
            with_them = (figures[1][1] - figures[0][1]) * 1e6 / completed if completed else None
            return {"without": without.cpu(), "with": with_them, "bytes": size, "held": window["held_open"], "took_s": took,
                    "failed": window["failures"], "clean": window.clean, "why": window.why()}


def shard_lines(text):
    """What each shard said at its end, as name and number."""
    found = []
    for line in text.splitlines():
        if "shard stopped" in line:
            found.append({name: int(value) for name, _, value in (word.partition("=") for word in line.split()) if value.isdigit()})
    return found
