"""What the comparison makes of its samples: `python3 -m unittest discover -s loadtest/compare`."""

import pathlib
import re
import tempfile
import unittest

import overload
import rates
import rows
import run
import systems
import table
import told
import waiting
from measure import ALONE, JOINED, VARIED, Window

HERE = pathlib.Path(__file__).resolve().parent


def window(cpu, clean=True, foreign=0.0, late_us=10):
    """A window with this cost per call."""
    return Window({"clean": clean, "complaints": [] if clean else ["7 calls failed"], "lag_us": {"p99": late_us},
                   "own_cpu_us_per_call": 12.0, "own_user_us_per_call": 5.0, "own_system_us_per_call": 7.0,
                   "tested_cpu_us_per_call": cpu, "tested_user_us_per_call": 1.0,
                   "tested_system_us_per_call": cpu - 1, "completed_per_s": 1e6 / cpu, "tested_cpu_share": 0.5,
                   "setup_us": {"p50": cpu * 10, "p99": cpu * 20, "p99_9": cpu * 30}}, foreign, 0)


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
        past = {systems.RING.name: [(900.0, {1.15: (0.95, None), 1.5: (0.9, None), 2: (share, None)}) for share in (0.91, 0.7, 0.89)]}
        shards = rows.Samples(), [[{"calls": 111, "handed_off": 0}, {"calls": 89, "handed_off": 1}]]
        for system, cost in zip(systems.SHARDS, (20.0, 21.0)):
            shards[0].add(system, window(cost))
        held = {"with": [21.0, 23.0, 22.0], "without": [20.0]}
        text = table.targets(bench, {"costs": dict.fromkeys((ALONE, JOINED, VARIED), samples), "past": past, "shards": shards, "held": held,
                                     "rates": {systems.RING.name: [3100.0, None], bench.chosen_load.name: [1000.0, 900.0]}})
        self.assertIn("| CPU per call saturated, to Kamailio with dialogs and call load | at most 0.33 | 0.34 | MISSED |", text)
        self.assertIn("| CPU per call saturated, to the null forwarder | at most 1.35 | 1.13 | met |", text)
        self.assertIn("| highest clean rate, to Kamailio's with call load | at least 3 | 3.10 | met |", text)
        self.assertIn("1.5 × what it completes at best is offered, of the best | at least 0.9 | 0.90 [0.90-0.90] | met |", text)
        self.assertIn("2 × what it completes at best is offered, of the best | at least 0.9 | 0.89 [0.70-0.91] | MISSED |", text)
        self.assertIn("of siplane; generator: each datagram by itself | at most 0.50 | 0.35 | met |", text)
        self.assertIn("call load, 1 child; generator: --segment --join --gather-us 1000 | at most 0.50 | 0.12 | met |", text)
        self.assertIn("setup p50 at half of Kamailio's highest, minus Kamailio's, µs | below 0 | none clean | not measured |",
                      table.targets(bench, {"latencies": rows.Samples()}))
        self.assertIn("| two shards: CPU per call, to one shard's | at most 1.05 | 1.05 | met |", text)
        self.assertIn("| two shards: largest share of the calls, of an even one | at most 1.05 | 1.11 | MISSED |", text)
        self.assertIn("| two shards: messages handed off | 0 | 1 | MISSED |", text)
        self.assertIn("| a million open calls: CPU per call at 1,000/s on top, to that without | at most 1.10 | 1.10 | met |", text)

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
        self.assertIn("3,000/s, to Kamailio with call load: siplane, never gathers | at most 0.33 | 0.40 | MISSED |", asked)

    def test_what_is_completed_past_the_limit_is_that_of_the_later_half(self):
        self.assertEqual(overload.later_half([{"completed": of} for of in (9, 9, 4, 2)]), 3)
        self.assertEqual(overload.later_half([]), 0)
        runs = [(best, {1.15: (best / 1000, window(10.0)), 2: (0.5, window(10.0, late_us=3_000_000))}) for best in (900.0, 920.0, 950.0)]
        text = table.past({"a": runs, "b": []})
        self.assertIn("| a | 920 [900-950] | 0.92 [0.90-0.95]; 0.00, 0.00 | 0.50 [0.50-0.50]; 0.00, 0.00 (generator late by 3.0 s) |", text)
        self.assertIn("| b | none clean | no figure | no figure |", text)
        self.assertNotIn("1.5 ×", text)

    def test_added_latency_is_without_the_floors_of_the_same_round(self):
        bench, samples = rows.Bench(None, lambda text: None), rows.Samples()
        for cost in (10.0, 20.0):
            samples.add(systems.RING, window(cost))
            samples.add(bench.null, window(cost - 1))
        self.assertIn("| siplane | 150 [100-200]; 10 [10-10] |", table.latencies(bench, samples))

    def test_what_is_added_at_a_low_rate_is_paired_turn_by_turn(self):
        bench, samples = rows.Bench(None, lambda text: None), rows.Samples()
        for at in range(5):
            for system, cost in ((waiting.DIRECT, 5.0), (bench.null, 30.0), (systems.RING, 33.0 + at)):
                samples.add(system, window(cost + 10 * at))
        text = table.added(bench, samples)
        self.assertIn("| siplane | 550 [440-660] | 300 [290-310] | 50 [40-60] | 0 |", text)
        self.assertIn("turns, middle half | below 50 | 50 [40-60] | met |", table.targets(bench, {"added": samples}))

    def test_the_generators_modes_are_beside_each_other(self):
        bench, by_mode = rows.Bench(None, lambda text: None), {mode: rows.Samples() for mode in (ALONE, JOINED, VARIED)}
        for mode, cost in ((ALONE, 20.0), (JOINED, 16.0), (VARIED, 25.0)):
            by_mode[mode].add(systems.RING, window(cost))
        text = table.costs(bench, by_mode)
        self.assertIn("| siplane | each datagram by itself | 20.0 | 1 | 12.0 | 5.0 + 7.0 | 0.60 | 0 |", text)
        self.assertIn("| siplane | --segment --join --gather-us 1000 | 16.0 | 0.80 | 12.0 | 5.0 + 7.0 | 0.75 | 0 |", text)
        self.assertIn("| siplane | --vary-sizes | 25.0 | 1.25 | 12.0 | 5.0 + 7.0 | 0.48 | 0 |", text)

    def test_the_highest_rate_is_found_to_a_step(self):
        for limit in (100, 999, 12_345, 37_000):
            for guess, step in ((limit * 1.9, rates.FIRST_STEP), (limit / 3, rates.FIRST_STEP), (limit, rates.STEP)):
                tried = []
                found = rates.highest(lambda rate: tried.append(rate) or rate <= limit, guess, step)
                self.assertTrue(limit / (rates.STEP * rates.ROUNDING) <= found <= limit, f"{limit} from {guess}: {found}")
                self.assertLessEqual(len(tried), 2 if guess == limit else 9)

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

    def test_the_whole_run_is_meant_to_be_over_in_time(self):
        self.assertLess(run.PILOT_S + sum(run.takes_s(part, run.DEFAULT_ROUNDS) for part in run.PARTS), 15 * 60)

    def test_the_tables_have_their_place(self):
        text = (told.ROOT / "PERF.md").read_text()
        self.assertEqual((text.count(told.BEGIN), text.count(told.END)), (1, 1))

    def test_what_was_measured_by_itself_takes_the_place_of_what_was_there(self):
        there = ("machine; `make load`.\n\n**Targets.**\n\n| t |\n|---|\n| a | 1 |\n| b | 2 |\n\n**Memory.**\n\n| m | 1 |\n\n"
                 "**Setup time at 5 calls/s, x.**\n\n| s |")
        new = ("machine; `only`.\n\n**Targets.**\n\n| t |\n|---|\n| b | 9 |\n| c | 3 |\n\n"
               "**Setup time at 7 calls/s, x.**\n\n| S |")
        self.assertEqual(told.merged(there, new).splitlines(), [
            "machine; `make load`.", "", "**Targets.**", "", "| t |", "|---|", "| a | 1 |", "| b | 9 |", "| c | 3 |", "",
            "**Memory.**", "", "| m | 1 |", "", "**Setup time at 7 calls/s, x.**", "", "| S |", "", "By itself: machine; `only`."])


if __name__ == "__main__":
    unittest.main()
