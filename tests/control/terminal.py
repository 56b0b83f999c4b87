#!/usr/bin/env python3
"""Runs a program at a terminal of its own, types at it and looks at its screen.

terminal.py COLUMNSxROWS STEPS COMMAND...: STEPS is a JSON list of ["see", TEXT], ["gone", TEXT], ["type", TEXT], ["signal", NAME] and
["size", COLUMNSxROWS]. At the end the program has to end by itself with the status of the last step, ["ends", STATUS], and the terminal has to
be as it was before: lines and echo, the first screen, a cursor. Each step that is done is a line on stdout. Exit status 0 if all that came about, else 1 with the screen on stderr.
"""

import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

WITHIN_S = 20
SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b[^\[]|[^\x1b]", re.S)


class Screen:
    """As much of a terminal as a program needs that says where each text goes."""

    def __init__(self):
        self.cells, self.row, self.column, self.left, self.modes = {}, 0, 0, "", {}

    def feed(self, text):
        text, at = self.left + text, 0
        for found in SEQUENCE.finditer(text):
            if found.start() != at:
                break
            at = found.end()
            self.put(found)
        self.left = text[at:]

    def put(self, found):
        parameters, final = found.group(1), found.group(2)
        if final == "H":
            row, _, column = parameters.partition(";")
            self.row, self.column = int(row or 1) - 1, int(column or 1) - 1
        elif final == "J":
            self.cells = {}
        elif final in ("h", "l"):
            self.modes[parameters] = final
        elif final is None and found.group() == "\r":
            self.column = 0
        elif final is None and found.group() == "\n":
            self.row += 1
        elif final is None and len(found.group()) == 1:
            self.cells[self.row, self.column] = found.group()
            self.column += 1

    def text(self):
        rows = 1 + max((row for row, _ in self.cells), default=0)
        line = lambda row: "".join(self.cells.get((row, column), " ") for column in range(300)).rstrip()
        return "\n".join(line(row) for row in range(rows))


class Terminal:
    def __init__(self, size, command):
        self.outer, self.inner = pty.openpty()
        self.resize(size)
        self.before = termios.tcgetattr(self.inner)
        self.screen, self.decoder = Screen(), codecs.getincrementaldecoder("utf-8")("replace")
        own = lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.child = subprocess.Popen(command, stdin=self.inner, stdout=self.inner, stderr=self.inner, preexec_fn=own)

    def resize(self, size):
        columns, rows = map(int, size.split("x"))
        fcntl.ioctl(self.outer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        if select.select([self.outer], [], [], 0.05)[0]:
            self.screen.feed(self.decoder.decode(os.read(self.outer, 65536)))

    def wait(self, what, is_so):
        end = time.monotonic() + WITHIN_S
        while not is_so():
            if time.monotonic() > end:
                self.fail(f"not within {WITHIN_S} s: {what}")
            self.read()

    def fail(self, why):
        self.child.kill()
        sys.exit(f"{why}\n{self.screen.text()}")

    def step(self, kind, text):
        if kind == "see":
            self.wait(f"see {text!r}", lambda: text in self.screen.text())
        elif kind == "gone":
            self.wait(f"see {text!r} no more", lambda: text not in self.screen.text())
        elif kind == "type":
            os.write(self.outer, text.encode())
        elif kind == "signal":
            self.child.send_signal(getattr(signal, "SIG" + text))
        elif kind == "size":
            self.resize(text)
        else:
            self.wait("end", lambda: self.child.poll() is not None)
            self.ended(text)

    def ended(self, status):
        self.read()
        if self.child.returncode != status:
            self.fail(f"ended with {self.child.returncode}, not {status}")
        if termios.tcgetattr(self.inner) != self.before:
            self.fail("the terminal's lines and echo are not as before")
        modes = self.screen.modes
        if (modes.get("?1049"), modes.get("?25")) != ("l", "h"):
            self.fail(f"the terminal is left with another screen or without a cursor: {modes}")


def main():
    terminal = Terminal(sys.argv[1], sys.argv[3:])
    for kind, text in json.loads(sys.argv[2]):
        terminal.step(kind, text)
        print(kind, flush=True)


main()
