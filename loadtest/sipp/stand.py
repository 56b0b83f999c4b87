"""What an experiment stands on: an address range of its own, the programs that it starts there, and how each is stopped by its id."""

import csv
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
READY_S = 10  # how long a started proxy may take to answer OPTIONS
SETTLE_S = 6  # how long callees may take to finish their calls after the last caller has
TAIL_S = 45  # how long callers may take beyond the time their rate implies: 64*T1 and some
STARTED = []  # every process of this run, so that an interrupted run leaves none behind


class Failed(Exception):
    """An experiment's expectation that did not hold: its message says which, with figures."""


def expect(holds, why):
    """Fails the experiment with `why` unless `holds`."""
    if not holds:
        raise Failed(why)


class Program:
    """A started process, with its output in a file; stopped by its id."""

    def __init__(self, command, log, cwd):
        self.log = pathlib.Path(log)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=cwd,
                env={**os.environ, "TERM": "dumb", "LC_ALL": "C"}, start_new_session=True)
        STARTED.append(self)

    def send_signal(self, number):
        """Sends a signal, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self, timeout_s):
        """Its exit code, or None when it still runs after `timeout_s`."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, first=signal.SIGTERM, timeout_s=3):
        """Asks it to end, then makes it end."""
        self.send_signal(first)
        if self.wait(timeout_s) is None:
            self.send_signal(signal.SIGKILL)
            self.wait(timeout_s)

    def last_words(self):
        """The last line it printed, for messages."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "(printed nothing)")[-200:]


class Sipp(Program):
    """One sipp process and the statistics it writes."""

    def __init__(self, stand, scenario, name, address, options):
        self.name, self.folder = name, stand.folder
        self.errors = stand.folder / f"{name}.err"
        command = ["sipp", "-sf", HERE / scenario, "-i", address, "-mi", address, "-mp", stand.next_port(6),
                   "-nostdin", "-trace_stat", "-stf", f"{name}.stat", "-fd", "1", "-trace_counts", "-trace_err", "-error_file", self.errors,
                   "-timer_resol", "5", "-recv_timeout", "40000"]
        super().__init__(command + list(options), stand.folder / f"{name}.log", stand.folder)

    def last_row(self, path):
        """The last complete row of a semicolon-separated file of sipp's, by column."""
        expect(pathlib.Path(path).exists(), f"{self.name} wrote no statistics: {self.last_words()}")
        with open(path, newline="", errors="replace") as file:
            rows = [row for row in csv.reader(file, delimiter=";") if row]
        whole = [row for row in rows[1:] if len(row) >= len(rows[0]) - 1]
        return dict(zip(rows[0], whole[-1])) if whole else {}

    def figure(self, column):
        """One cumulative figure of the statistics."""
        return int(self.last_row(self.folder / f"{self.name}.stat").get(column, 0) or 0)

    def messages(self, ending):
        """Sum of the per-message counters whose column ends like this, e.g. `_ACK_Recv`."""
        files = list(self.folder.glob(f"*_{self.process.pid}_counts.csv"))
        row = self.last_row(files[0]) if files else {}
        return sum(int(value) for column, value in row.items() if column.endswith(ending) and value.isdigit())

    def unexpected(self):
        """Messages that its scenario does not have at that point."""
        return self.messages("_Unexp")

    def retransmissions(self):
        """Messages sent again."""
        return self.figure("Retransmissions(C)")

    def setup_ms(self):
        """Response time 1 of every call that reached it, milliseconds."""
        times = []
        for path in self.folder.glob(f"*_{self.process.pid}_rtt.csv"):
            for row in csv.reader(path.open(), delimiter=";"):
                if len(row) >= 3 and row[2].strip() == "1":
                    times.append(float(row[1]))
        return times

    def first_error(self):
        """The first complaint in its error file."""
        lines = self.errors.read_text(errors="replace").splitlines() if self.errors.exists() else []
        return (lines[0] if lines else "no error logged")[:300]


class Stand:
    """One experiment's range of addresses and ports, its folder, and everything it has started."""

    def __init__(self, binary, index, keep):
        self.binary, self.keep = binary, keep
        self.subnet = f"127.{100 + os.getpid() % 150}.{10 + index}"
        self.sip_port = 24000 + 100 * index
        self.port = self.sip_port
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="siplane-sipp-"))
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.started):
            program.stop(signal.SIGKILL if isinstance(program, Sipp) else signal.SIGTERM)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def next_port(self, step):
        """A port of this stand that nothing else uses; `step` leaves room for those sipp takes beside it."""
        self.port += step
        return self.port

    def start(self, program):
        """Remembers what must be stopped."""
        self.started.append(program)
        return program

    def callees(self, scenarios, options=()):
        """One sipp per scenario, on .11, .12, .13, ... of the range."""
        return [self.start(Sipp(self, scenario, f"callee{number}", f"{self.subnet}.{number}",
                                ["-p", self.sip_port, "-d", 1000, *options]))
                for number, scenario in enumerate(scenarios, 11)]

    def proxy(self, count, algorithm="round-robin", shards=2, weights=(), set_keys=""):
        """Starts the binary with one set of `count` destinations and waits until it answers."""
        rows = [f'{{ uri = "sip:{self.subnet}.{11 + at}:{self.sip_port}"' + (f", weight = {weights[at]} }}" if weights else " }")
                for at in range(count)]
        config = self.folder / "siplane.toml"
        config.write_text(f'listen = ["udp:{self.subnet}.1:{self.sip_port}"]\nshards = {shards}\n\n[[set]]\nid = 1\n'
                          f'algorithm = "{algorithm}"\n{set_keys}destinations = [{", ".join(rows)}]\n')
        program = self.start(Program([self.binary, "run", "--config", config], self.folder / "proxy.log", self.folder))
        self.wait_ready(program, f"{self.subnet}.1")
        return program

    def siplane(self, host, text):
        """Starts the binary with this config, which listens on `host`, and waits until it answers."""
        config = self.folder / f"siplane-{host}.toml"
        config.write_text(text)
        program = self.start(Program([self.binary, "run", "--config", config], self.folder / f"proxy-{host}.log", self.folder))
        self.wait_ready(program, host)
        return program

    def sipp(self, scenario, name, host, options):
        """Starts a sipp on `host`."""
        return self.start(Sipp(self, scenario, name, host, options))

    def wait_ready(self, program, proxy):
        """Sends OPTIONS until any answer comes, at most READY_S."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.bind((f"{self.subnet}.3", 0))
            asker.settimeout(0.2)
            host, port = asker.getsockname()
            target = f"{proxy}:{self.sip_port}"
            deadline = time.monotonic() + READY_S
            for attempt in range(1000):
                expect(time.monotonic() < deadline, f"the proxy did not answer OPTIONS within {READY_S} s: {program.last_words()}")
                code = program.process.poll()
                expect(code is None, f"the proxy ended with {code}: {program.last_words()}")
                request = (f"OPTIONS sip:{target} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bKready{attempt}\r\n"
                           f"From: <sip:ready@{host}>;tag=r{attempt}\r\nTo: <sip:{target}>\r\nCall-ID: ready-{attempt}@{host}\r\n"
                           f"CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n")
                try:
                    asker.sendto(request.encode(), (proxy, self.sip_port))
                    if asker.recv(65535).startswith(b"SIP/2.0 "):
                        return
                except (TimeoutError, ConnectionError):
                    time.sleep(0.05)

    def caller(self, scenario, calls, rate, hold_ms=50, ports="one", options=()):
        """Starts the calls."""
        return self.start(Sipp(self, scenario, "caller", f"{self.subnet}.2", [
            f"{self.subnet}.1:{self.sip_port}", "-s", "service", "-p", self.next_port(1),
            *(["-t", "un", "-max_socket", 1000] if ports == "many" else ["-t", "u1"]),
            "-m", calls, "-r", rate, "-d", hold_ms, "-l", calls, "-trace_rtt", "-rtt_freq", "1", "-timeout",
            int(calls / rate + TAIL_S - 2), *options]))

    def finish(self, caller, callees, calls, rate, settle_s=SETTLE_S):
        """Waits for the caller, lets callees finish, and checks that nobody died on the way."""
        code = caller.wait(calls / rate + TAIL_S)
        expect(code is not None, f"the caller still ran after {calls / rate + TAIL_S:.0f} s")
        # Callees report once a second; those with calls open (a retransmission may still come) end by themselves or are made to.
        for callee in callees:
            callee.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + settle_s
        for callee in callees:
            callee.wait(max(0.1, deadline - time.monotonic()))
        expect(caller.figure("TotalCallCreated") == calls, f"only {caller.figure('TotalCallCreated')} of {calls} calls were made: "
               f"{caller.last_words()}")
        return code
