"""What the comparison makes of its samples: `python3 -m unittest discover -s loadtest/compare`."""

import pathlib
import re
import tempfile
import unittest

import overload
import rows
import run
import systems
import table
import waiting
from measure import Window

HERE = pathlib.Path(__file__).resolve().parent


def window(cpu, clean=True, foreign=0.0, late_us=10):
    """A window with this cost per call."""
    return Window({"clean": clean, "complaints": [] if clean else ["7 calls failed"], "lag_us": {"p99": late_us},
                   "tested_cpu_us_per_call": cpu, "tested_cpu_share": 0.5,
                   "setup_us": {"p50": cpu * 10, "p99": cpu * 20, "p99_9": cpu * 30}}, 2.0, foreign, 0)


class Figures(unittest.TestCase):
    """Samples become rows."""

    def test_a_run_that_is_not_clean_is_counted_and_in_no_median(self):
        samples = rows.Samples()
        for sample in (window(10.0), window(99.0, clean=False), None, window(12.0), window(11.0)):
            samples.add(systems.RING, sample)
        values = samples.of(systems.RING, table.figure_of)
        self.assertEqual(values, [10.0, None, None, 12.0, 11.0])
        self.assertEqual(samples.unclean(systems.RING), 2)
        self.assertEqual(table.cell(values), "11.0 [10.0-12.0]")

    def test_ratios_are_of_the_same_round(self):
        self.assertEqual(table.paired([10.0, None, 30.0], [20.0, 20.0, 30.0]), [0.5, 1.0])
        self.assertEqual(table.paired([10.0], [None]), [])
        self.assertEqual(table.cell([None]), "none clean")

    def test_a_missed_target_says_so(self):
        bench = rows.Bench(None, lambda text: None)
        samples = rows.Samples()
        for system, cost in ((systems.RING, 34.0), (bench.chosen_load, 100.0), (bench.null, 30.0), (systems.TURNS, 30.0),
                             (bench.chosen_turns, 70.0)):
            samples.add(system, window(cost))
        past = {systems.RING.name: (900.0, {1.15: (0.95, None), 1.5: (0.9, None), 2: (0.89, None)})}
        text = table.targets(bench, {"costs": samples, "past": past,
                                     "rates": {systems.RING.name: [3100.0], bench.chosen_load.name: [1000.0]}})
        self.assertIn("| CPU per call saturated, to Kamailio with dialogs and call load | at most 0.33 | 0.34 | MISSED |", text)
        self.assertIn("| CPU per call saturated, to the null forwarder | at most 1.35 | 1.13 | met |", text)
        self.assertIn("| highest clean rate, to Kamailio's with call load | at least 3 | 3.10 | met |", text)
        self.assertIn("| completed when 1.5 × what it completes at best is offered, of the best | at least 0.9 | 0.90 | met |", text)
        self.assertIn("| completed when 2 × what it completes at best is offered, of the best | at least 0.9 | 0.89 | MISSED |", text)

    def test_ways_to_wait_are_beside_kamailio_and_the_floor_of_the_same_round(self):
        bench = rows.Bench(None, lambda text: None)
        samples = {what: rows.Samples() for what in (*waiting.RATES, waiting.SATURATED)}
        for of in samples.values():
            for system, costs in ((waiting.PLAIN, (40.0, None)), (bench.null, (35.5, 1.0)), (bench.chosen_load, (100.0, 1.0))):
                for cost in costs:
                    of.add(system, cost and window(cost))
        text = table.waiting(bench, samples)
        self.assertIn("| 1,000/s | siplane, never gathers | 40.0 | 0.50 | 0.40 | 400; 45 | 800; 90 | 1 |", text)
        self.assertIn("| saturated | siplane, never gathers | 40.0 | 0.50 | 0.40 |  |  | 1 |", text)
        asked = table.targets(bench, {"waiting": samples})
        self.assertIn("| setup p50 at 100/s, above the null forwarder's, µs | below 50 | 45 | met |", asked)
        self.assertIn("3,000/s, to Kamailio with call load: siplane, never gathers | at most 0.33 | 0.40 | MISSED |", asked)

    def test_what_is_completed_past_the_limit_is_that_of_the_later_half(self):
        self.assertEqual(overload.later_half([{"completed": of} for of in (9, 9, 4, 2)]), 3)
        self.assertEqual(overload.later_half([]), 0)
        text = table.past({"a": (900.0, {1.15: (0.95, window(10.0)), 1.5: (0.9, window(10.0, late_us=3_000_000)), 2: (0.5, window(10.0))}),
                           "b": None})
        self.assertIn("| a | 900 | 0.95; 0.00, 0.00 | 0.90; 0.00, 0.00 (generator late by 3.0 s) | 0.50; 0.00, 0.00 |", text)
        self.assertIn("| b | no figure | no figure | no figure | no figure |", text)

    def test_added_latency_is_without_the_floors_of_the_same_round(self):
        bench, samples = rows.Bench(None, lambda text: None), rows.Samples()
        for cost in (10.0, 20.0):
            samples.add(systems.RING, window(cost))
            samples.add(bench.null, window(cost - 1))
        self.assertIn("| siplane | 150 [100-200]; 10 [10-10] |", table.latencies(bench, samples))

    def test_what_shards_say_at_their_end_is_read(self):
        text = "x INFO siplane::server: shard stopped shard=0 calls=8227 received=49361 handed_off=0\nother shard=9\n"
        self.assertEqual(rows.shard_lines(text), [{"shard": 0, "calls": 8227, "received": 49361, "handed_off": 0}])


class Files(unittest.TestCase):
    """Templates and markers."""

    def test_every_word_of_the_templates_is_filled_in(self):
        words = {"siplane.toml": {"LISTEN", "SHARDS", "ENGINE", "WAITING", "READY", "ALGORITHM", "DESTINATIONS"},
                 "kamailio.cfg": {"LISTEN", "CHILDREN", "FOLDER"}}
        for name, known in words.items():
            self.assertEqual(set(re.findall(r"@([A-Z]+)@", (HERE / name).read_text())), known)
        with tempfile.TemporaryDirectory() as folder:
            path = systems.fill(HERE / "siplane.toml", pathlib.Path(folder) / "x", dict.fromkeys(words["siplane.toml"], "1"))
            self.assertNotRegex(path.read_text(), r"@[A-Z]+@")

    def test_the_tables_have_their_place(self):
        text = (run.ROOT / "PERF.md").read_text()
        self.assertEqual((text.count(run.BEGIN), text.count(run.END)), (1, 1))


if __name__ == "__main__":
    unittest.main()
