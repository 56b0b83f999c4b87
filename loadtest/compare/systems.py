"""What is compared: how each system is configured, started on its core, asked what it uses, and stopped by its id."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SHARED_MB = 2048  # of Kamailio: room for what it remembers for 5 s after a call's end, at its highest rate
GATHER_US = 100  # the null forwarder's, as siplane's gather_us
GROUPS = []  # folders of control groups that this run has made
STARTED = []  # every process of this run, so that an interrupted run leaves none behind


class Failed(Exception):
    """A system that did not start, or a run that gave no figures: its message says why."""


class Rig:
    """Addresses of this run alone, in 127.0.0.0/8, and the programs."""

    def __init__(self, binaries, number=0):
        self.binaries = pathlib.Path(binaries).resolve()
        subnet = f"127.{100 + os.getpid() % 150}.{1 + os.getpid() // 150 % 250}"
        self.proxy, self.callee, self.caller = (f"{subnet}.{10 * number + host}:{port}" for host, port in ((1, 5060), (2, 6060), (3, 0)))
        self.kamailio = shutil.which("kamailio", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        self.kamcmd = shutil.which("kamcmd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

    def program(self, name):
        """The path of one of our programs."""
        return self.binaries / name

    def wait_free(self):
        """Waits until the last system's socket is gone: a ring lets it go a little after its process."""
        host, port = self.proxy.split(":")

        def is_free():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind((host, int(port)))
                    return True
                except OSError:
                    return False
        if not wait_until(is_free, 10):
            raise Failed(f"{self.proxy} is in use")

    def destinations(self):
        """URIs of the two callees."""
        host, port = self.callee.split(":")
        return [f"sip:{host}:{int(port) + at}" for at in range(2)]


class Running:
    """A started system. Use it in `with`: its end stops it."""

    def __init__(self, system, command, folder, cores):
        self.system, self.folder, self.log = system, folder, folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
                env={**os.environ, "LC_ALL": "C"}, start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, cores))
        STARTED.append(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        """Asks it to end, then makes it end, and all that it has started with it."""
        if self.process.poll() is None and self.system.says_goodbye:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                pass
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # it leads a group of its own
            self.process.wait(10)

    def said(self):
        """All that it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def alive(self):
        """Raises when it has ended by itself."""
        if self.process.poll() is not None:
            raise Failed(f"{self.system.name} has ended with {self.process.returncode}: {self.said()[-400:].strip()}")

    def pids(self):
        """Its processes: those of its group."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = stat_fields(entry)
                if fields and int(fields[2]) == self.process.pid:
                    found.append(int(entry))
        return found

    def resident(self):
        """Resident bytes that are no shared memory, of all its processes."""
        return sum(private_bytes(pid) for pid in self.pids())


def stat_fields(pid):
    """/proc/PID/stat behind the name: state, parent, group, ...; None when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def private_bytes(pid):
    """Anonymous resident bytes of one process."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


class Siplane:
    """siplane: always with dialogs, load and failover."""

    load_options, destinations, says_goodbye, ready_word = (), 2, True, " ready "
    gone_s, keeps_freed = 36, True  # after so long nothing is left of a call's set-up but the call: 64*T1 and some

    def __init__(self, name, engine, algorithm, shards=1, waiting="", ready=500_000):
        self.name, self.engine, self.algorithm, self.shards, self.waiting = name, engine, algorithm, shards, waiting
        self.ready = ready  # transactions that memory is made ready for at start

    def start(self, rig, **_):
        """Runs it on core 0; a second shard on core 1."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="siplane-compare-"))
        words = {"LISTEN": rig.proxy, "SHARDS": ", ".join(map(str, range(self.shards))), "ENGINE": self.engine,
                 "WAITING": self.waiting, "READY": self.ready, "ALGORITHM": self.algorithm,
                 "DESTINATIONS": ", ".join(f'{{ uri = "{uri}" }}' for uri in rig.destinations())}
        config = fill(HERE / "siplane.toml", folder / "siplane.toml", words)
        return Running(self, [rig.program("siplane"), "run", "--config", config], folder, set(range(self.shards)))

    @staticmethod
    def held_bytes(running, _rig):
        """Memory in use."""
        return running.resident()


class Kamailio:
    """Kamailio: tm, rr, maxfwd and dispatcher; with call load the dialog module, too."""

    load_options, destinations, says_goodbye, ready_word = (), 2, False, None
    gone_s, keeps_freed = 9, False  # wt_timer and some

    def __init__(self, name, children, call_load):
        self.name, self.children, self.call_load = name, children, call_load

    def start(self, rig, rpc=False, shared_mb=SHARED_MB, **_):
        """Runs it on core 0; with `rpc` it can be asked for its memory."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="siplane-compare-"))
        rows = [f"1 {uri} 0 0 duid=d{at}\n" for at, uri in enumerate(rig.destinations())]
        (folder / "dispatcher.list").write_text("".join(rows))
        config = fill(HERE / "kamailio.cfg", folder / "kamailio.cfg",
                      {"LISTEN": rig.proxy, "CHILDREN": str(self.children), "FOLDER": str(folder)})
        defines = [word for wanted, name in ((self.call_load, "WITH_CALL_LOAD"), (rpc, "WITH_RPC")) if wanted for word in ("-A", name)]
        command = [rig.kamailio, "-f", config, *defines, "-DD", "-E", "-x", "tlsf", "-X", "tlsf", "-m", shared_mb, "-M", 32,
                   "-Y", folder, "-P", folder / "pid"]
        return Running(self, command, folder, {0})

    @staticmethod
    def held_bytes(running, rig):
        """Shared memory in use and what its processes have of their own."""
        answer = subprocess.run([rig.kamcmd, "-s", f"unix:{running.folder / 'ctl'}", "core.shmmem"], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=20)
        used = re.search(r"real_used: (\d+)", answer.stdout)
        if not used:
            raise Failed(f"kamcmd does not tell the memory: {answer.stdout} {answer.stderr}")
        return int(used.group(1)) + running.resident()


class Null:
    """The floor: as many datagrams of the same sizes, none of them read. It knows one caller and one callee."""

    load_options, destinations, says_goodbye, ready_word = ("--through-null", 90), 1, False, None

    def __init__(self, name, engine):
        self.name, self.engine = name, engine

    def start(self, rig, gather_us=GATHER_US, **_):
        """Runs it on core 0."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="siplane-compare-"))
        command = [rig.program("null-forwarder"), "--listen", rig.proxy, "--uas", rig.callee, "--engine", self.engine, "--core", 0,
                   "--gather-us", gather_us]
        return Running(self, command, folder, {0})


class Direct:
    """Nothing: callers reach the callee, as through a forwarder that changes nothing."""

    name, load_options, destinations, ready_word = "directly", ("--through-null", 0), 1, None

    def start(self, rig, **_):
        """There is nothing to start."""
        rig.proxy = rig.callee
        return self

    @property
    def system(self):
        """What runs."""
        return self

    def pids(self):
        """None."""
        return []

    def alive(self):
        """Always."""

    def __exit__(self, *_):
        """Nothing to stop."""


def fill(template, path, words):
    """Writes the template with its @-words filled in."""
    text = template.read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    path.write_text(text)
    return path


RING = Siplane("siplane", "io_uring", "call-load")
RING_AS_IT_COMES = Siplane("siplane", "io_uring", "call-load", ready=0)  # so that memory is what calls take
MMSG = Siplane("siplane, mmsg", "mmsg", "call-load")
SHARDS = Siplane("one shard", "io_uring", "call-load"), Siplane("two shards", "io_uring", "call-load", 2)
TURNS = Siplane("siplane, round-robin", "io_uring", "round-robin")
KAMAILIO_LOAD = [Kamailio(f"Kamailio, dialogs and call load, {n} child{'ren' * (n > 1)}", n, True) for n in (1, 2)]
KAMAILIO_TURNS = [Kamailio(f"Kamailio, round robin, {n} child{'ren' * (n > 1)}", n, False) for n in (1, 2)]
NULLS = [Null("null forwarder, mmsg", "mmsg"), Null("null forwarder, io_uring", "ring")]


def interrupted(number, _frame):
    """Ends everything this run has started, and the run."""
    for process in STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own, so what it has started goes too
    for folder in GROUPS:
        remove_group(folder)
    os._exit(128 + number)


def remove_group(folder):
    """Removes a control group once its last process is gone."""
    def is_gone():
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True
    wait_until(is_gone, 5)


def wait_until(condition, seconds):
    """Whether the condition came true within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
