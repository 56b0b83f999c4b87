"""One measurement: the generator beside a running system, with what else the machine did in the meantime."""

import json
import os
import pathlib
import subprocess
import threading
import time

from systems import STARTED, Failed, stat_fields, wait_until

GENERATOR_CORE = 1
AT_ONCE = 400  # calls of a closed loop: enough for a system that is busy while the generator gathers
# How the generator sends and receives: each datagram by itself; what is alike as one (UDP_SEGMENT, UDP_GRO), the cheapest way that a
# null forwarder can be measured with, too; and by itself, each call's messages of other sizes.
ALONE, JOINED, VARIED = (), ("--segment", "--join", "--gather-us", 1000), ("--vary-sizes",)
READY_S = 30  # how long a system may take to place its first call
TICKS = os.sysconf("SC_CLK_TCK")


def processor_s(pids):
    """Processor seconds that these processes have used."""
    return sum((int(fields[11]) + int(fields[12])) / TICKS for fields in map(stat_fields, pids) if fields)


def machine_busy_s():
    """Processor seconds that anybody has used, or that the hypervisor took."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = fields
    return (user + nice + system + interrupts + soft + stolen) / TICKS


class Window:
    """What one run of the generator said, and `foreign`: the cores' share that neither of the two had, in cores."""

    def __init__(self, told, foreign, status):
        self.told, self.foreign, self.status = told, foreign, status
        self.clean = bool(told.get("clean"))

    def __getitem__(self, name):
        return self.told[name]

    def why(self):
        """Why it is not clean."""
        return "; ".join(self.told.get("complaints", [])) or f"the generator ended with {self.status}"

    def cpu(self):
        """Processor time of the system, µs per call."""
        return self.told["tested_cpu_us_per_call"]

    def generator(self):
        """Processor time of the generator, where the system takes 1."""
        return self.told["own_cpu_us_per_call"] / self.told["tested_cpu_us_per_call"]

    def setup(self, quantile):
        """From INVITE to 200, µs."""
        return self.told["setup_us"][quantile]


class Load:
    """The generator while it runs: `seconds` grows by a line each second."""

    def __init__(self, rig, running, options):
        pids = running.pids()
        command = [rig.program("siplane-load"), "--proxy", rig.proxy, "--uac", rig.caller, "--uas", rig.callee, "--destinations",
                   running.system.destinations, "--core", GENERATOR_CORE, "--json", "--per-second", *running.system.load_options, *options]
        if pids:
            command += ["--pid", ",".join(map(str, pids))]
        self.running, self.lines, self.pids = running, [], pids
        self.began, self.busy, self.tested = time.monotonic(), machine_busy_s(), processor_s(pids)
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, start_new_session=True)
        STARTED.append(self.process)
        self.errors = ""
        self.readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self.readers:
            reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def _read_errors(self):
        self.errors = self.process.stderr.read()

    def seconds(self):
        """The lines of each second so far."""
        return [line for line in list(self.lines) if line["type"] == "second"]

    def finish(self, timeout_s):
        """Waits for its end and gives the figures."""
        own = time.monotonic()
        _, status, usage = self._wait(own + timeout_s)
        seconds = time.monotonic() - self.began
        for reader in self.readers:
            reader.join(5)
        ours = usage.ru_utime + usage.ru_stime + processor_s(self.pids) - self.tested
        foreign = max(0.0, (machine_busy_s() - self.busy - ours) / seconds)
        told = [line for line in self.lines if line["type"] == "summary"]
        if not told:
            raise Failed(f"the generator gave no figures: {self.errors[-300:].strip()}")
        return Window(told[0], foreign, status)

    def _wait(self, deadline):
        while time.monotonic() < deadline:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                return pid, self.process.returncode, usage
            time.sleep(0.01)
        self.process.kill()
        raise Failed(f"the generator did not end beside {self.running.system.name}")


def run(rig, running, *options, timeout_s=90):
    """The generator with these options, to its end."""
    window = Load(rig, running, options).finish(timeout_s)
    running.alive()
    return window


def ready(rig, running):
    """Waits until calls go through, by placing some; not before the system says that it listens, where it says so."""
    word = running.system.ready_word
    if word and not wait_until(lambda: running.alive() or word in running.said(), READY_S):
        raise Failed(f"{running.system.name} never said {word}: {running.said()[-300:].strip()}")

    def places_a_call():
        running.alive()
        return run(rig, running, "--concurrency", 1, "--calls", 1, "--timeout-ms", 300, timeout_s=10).told["completed"] == 1
    if not wait_until(places_a_call, READY_S):
        raise Failed(f"no call goes through {running.system.name}: {running.said()[-300:].strip()}")


def saturate(rig, running, seconds, *options):
    """Calls in a closed loop."""
    return run(rig, running, "--concurrency", AT_ONCE, "--duration", seconds, "--timeout-ms", 5000, "--lag-ms", 50, *options)


def offer(rig, running, rate, seconds, *options, lag_ms=50):
    """Calls in an open loop. Waiting times need a generator that is no later than `lag_ms`; processor time and failures do not."""
    return run(rig, running, "--rate", round(rate), "--duration", seconds, "--timeout-ms", 2000, "--lag-ms", lag_ms, *options)


def urgent():
    """Gives this process, and all that it starts, real-time priority where that is allowed; what it had before."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        pass
    return before


def exact_processor_s(pids):
    """Processor seconds of these processes by the scheduler's account, nanoseconds exact, threads included."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (OSError, ValueError, IndexError):
                continue
    return total / 1e9
