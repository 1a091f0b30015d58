# Monitor: boots a kernel in QEMU and talks to its monitor over the serial line, as a person would.
#
# For scripts/trace and the tests. Every wait has a limit; leaving the `with` block ends QEMU.

import os
import pathlib
import selectors
import subprocess
import time

SCRIPTS = pathlib.Path(__file__).resolve().parent
PROMPT = "gmk> "


class Silence(Exception):
    """The guest did not say what was waited for, or panicked; tells what it said instead."""


class Monitor:
    """One boot. `options` are those of scripts/qemu."""

    def __init__(self, image, append="", options=()):
        command = [str(SCRIPTS / "qemu"), "--kernel", str(image), *options]
        if append:
            command[3:3] = ["--append", append]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT)
        os.set_blocking(self.child.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.child.stdout, selectors.EVENT_READ)
        self.text = ""  # everything so far, without carriage returns
        self.seen = 0   # how much of it has been waited for
        self.panic_expected = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    def read(self, limit):
        """Reads what comes within `limit` seconds; False at the end of the output."""
        if not self.selector.select(max(0, limit)):
            return True
        data = self.child.stdout.read(65536)
        self.text += (data or b"").decode("utf-8", "replace").replace("\r", "")
        return bool(data)

    def wait(self, text, limit=30):
        """Waits for `text` behind what was waited for before; returns what came before it."""
        end = time.monotonic() + limit
        while (at := self.text.find(text, self.seen)) < 0:
            more = self.read(end - time.monotonic())
            if "PANIC:" in self.text and "PANIC" not in text and not self.panic_expected:
                self.panic_expected = True  # told once
                self.settle()
                raise Silence(f"the kernel panicked:\n{self.text[self.text.find('PANIC:'):]}")
            if not more or time.monotonic() > end:
                why = "the guest ended" if not more else f"{limit} s passed"
                raise Silence(f"{why} waiting for {text!r}; it said:\n{self.text[self.seen:]}")
        before = self.text[self.seen:at]
        self.seen = at + len(text)
        return before

    def send(self, text):
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()

    def command(self, line, limit=30):
        """Types a line; returns its output, up to the next prompt."""
        self.send(line + "\r")
        self.wait(line + "\n", limit)
        self.seen -= 1  # back to the end of the echo: the prompt may follow at once
        return self.wait("\n" + PROMPT, limit)[1:]

    def settle(self, seconds=0.5):
        """Waits until nothing has come for a while."""
        while True:
            before = len(self.text)
            if not self.read(seconds) or len(self.text) == before:
                self.seen = len(self.text)
                return

    def end(self, limit=30):
        """Waits until QEMU ends by itself; its exit status."""
        end = time.monotonic() + limit
        while self.read(end - time.monotonic()):
            if time.monotonic() > end:
                raise Silence(f"{limit} s passed, and the machine is still on; it said:\n"
                              f"{self.text[self.seen:]}")
        return self.child.wait()
