"""What a proxy adds to the setup time when there is next to nothing to do: calls directly and through each system, in turn.

All run at the same time, and the others are idle while one has its window: so what the machine does in a second, it does to all.
"""

import measure
from rows import Samples
from systems import RING, Direct, Rig

RATE, WINDOW_S, TURNS = 100, 0.5, 4  # calls/s, seconds, and turns of a round
DIRECT = Direct()


def added(bench, rounds):
    """Samples of each turn, of RATE calls/s."""
    systems = (DIRECT, bench.null, RING)
    running, samples = {}, Samples()
    try:
        for number, system in enumerate(systems, 1):
            rig = Rig(bench.rig.binaries, number)
            running[system] = rig, system.start(rig, gather_us=0)
            measure.ready(*running[system])
        for at in range(rounds * TURNS):
            for system in systems if at % 2 else reversed(systems):
                samples.add(system, measure.offer(*running[system], RATE, WINDOW_S, "--gather-us", 0))
    finally:
        for _, one in running.values():
            one.__exit__()
    return samples
