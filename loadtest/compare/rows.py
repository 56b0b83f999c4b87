"""The experiments. Each gives samples by system and round; table.py makes rows of them."""

import measure
from measure import ALONE, JOINED, VARIED
from systems import KAMAILIO_LOAD, KAMAILIO_TURNS, MMSG, NULLS, RING, SHARDS, TURNS, Failed

WARM_S, PILOT_S, SATURATION_S, STEADY_S, LATENCY_S = 0.3, 1, 1, 1.2, 1.5


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
                    return measure.saturate(self.rig, running, PILOT_S)
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

    def modes(self, system):
        """How the generator sends and receives beside this one; that it sends each datagram by itself is what systems are compared by."""
        if system in (RING, self.null):
            return ALONE, VARIED, JOINED
        return (ALONE, JOINED) if system is self.chosen_load else (ALONE,)

    def costs(self, rounds):
        """CPU per call, saturated, by mode of the generator: a fresh process of each system in each round."""
        samples = {mode: Samples() for mode in (ALONE, VARIED, JOINED)}
        for at in range(rounds):
            for system in self.compared():
                windows = self.guarded(system, lambda system=system: self.saturated(system)) or {}
                for mode in self.modes(system):
                    samples[mode].add(system, windows.get(mode))
                told = ", ".join(f"{window.cpu():.1f} µs{self.note(window)}" for window in windows.values())
                self.tell(f"  round {at + 1}, {system.name}: {told}")
        return samples

    def saturated(self, system):
        """A window of each mode."""
        with self.started(system) as running:
            return {mode: measure.saturate(self.rig, running, SATURATION_S, *mode) for mode in self.modes(system)}

    def latencies(self, rounds, rate):
        """Setup times at one rate for all, in turn."""
        samples = Samples()
        for at in range(rounds):
            for system in (RING, self.chosen_load, self.chosen_turns, self.null):
                def measuring(system=system):
                    with self.started(system, gather_us=0) as running:
                        return measure.offer(self.rig, running, rate, LATENCY_S, "--gather-us", 0, lag_ms=5)
                window = self.guarded(system, measuring)
                samples.add(system, window)
                if window:
                    times = f"p50 {window.setup('p50')}, p99 {window.setup('p99')}"
                    self.tell(f"  round {at + 1}, {system.name}: {times} µs{self.note(window)}")
        return samples

    def shards(self, rounds, rate=3000):
        """One and two shards under one trunk (one address and port), in turn, as many calls for each shard: windows, and what two
        shards said at their end."""
        samples, said = Samples(), []
        for at in range(rounds):
            for system in SHARDS:
                def measuring(system=system):
                    with self.started(system) as running:
                        window = measure.offer(self.rig, running, rate * system.shards, STEADY_S)
                        running.stop()
                        if system.shards > 1:
                            said.append(shard_lines(running.said()))
                        return window
                window = self.guarded(system, measuring)
                samples.add(system, window)
                if window:
                    self.tell(f"  round {at + 1}, {system.name}: {window.cpu():.1f} µs{self.note(window)}")
        if said:
            self.tell(f"  {said[-1]}")
        return samples, said

def shard_lines(text):
    """What each shard said at its end, as name and number."""
    found = []
    for line in text.splitlines():
        if "shard stopped" in line:
            found.append({name: int(value) for name, _, value in (word.partition("=") for word in line.split()) if value.isdigit()})
    return found
