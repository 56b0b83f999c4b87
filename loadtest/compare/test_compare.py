"""What the comparison makes of its samples: `python3 -m unittest discover -s loadtest/compare`."""

import pathlib
import re
import tempfile
import unittest

import rows
import run
import systems
import table
from measure import Window

HERE = pathlib.Path(__file__).resolve().parent


def window(cpu, clean=True, foreign=0.0):
    """A window with this cost per call."""
    return Window({"clean": clean, "complaints": [] if clean else ["7 calls failed"], "tested_cpu_us_per_call": cpu,
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
        samples = {what: rows.Samples() for what in (1000, 3000, "saturated")}
        for of in samples.values():
            for system, cost in ((systems.RING, 34.0), (bench.chosen_load, 100.0), (bench.null, 30.0), (systems.TURNS, 30.0),
                                 (bench.chosen_turns, 70.0)):
                of.add(system, window(cost))
        text = table.targets(bench, samples, {systems.RING.name: [3100.0], bench.chosen_load.name: [1000.0]}, None, None)
        self.assertIn("| CPU per call saturated, to Kamailio with dialogs and call load | at most 0.33 | 0.34 | MISSED |", text)
        self.assertIn("| CPU per call saturated, to the null forwarder | at most 1.35 | 1.13 | met |", text)
        self.assertIn("| highest clean rate, to Kamailio's with call load | at least 3 | 3.10 | met |", text)

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
        words = {"siplane.toml": {"LISTEN", "SHARDS", "ENGINE", "ALGORITHM", "DESTINATIONS"},
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
