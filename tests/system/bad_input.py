# Bad input: boots the plain kernel with damaged archives, command lines and tables, and reads what it
# says. In every case it must name what is wrong and still come to its prompt.

import pathlib
import re
import struct
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from monitor import PROMPT, Monitor, Silence  # noqa: E402  (after the path above)

# Small and quick; its command line is passed in memory, so it may be of any length.
MICROVM = ("--machine", "microvm", "--cpus", "1", "--memory", "64")
Q35 = ("--machine", "q35", "--cpus", "2", "--memory", "64")

counter = 0
failed = False


def boots(name, expected, initrd=None, append="", machine=MICROVM, more=(), refused=None):
    """One boot that comes to the prompt, and whose log has a line that matches each pattern."""
    global counter, failed
    counter += 1
    options = [*machine, *(("--initrd", str(initrd)) if initrd else ()), *(("--", *more) if more else ())]
    problem = None
    try:
        with Monitor(IMAGE, append, options) as guest:
            text = guest.wait(PROMPT)
            for pattern in expected:
                if not re.search(pattern, text, re.M):
                    problem = f"no line matches {pattern!r} in:\n{text}"
            if refused and re.search(refused, text, re.M):
                problem = f"a line matches {refused!r} in:\n{text}"
    except Silence as error:
        problem = str(error)
    failed = failed or problem is not None
    print(f"{'not ok' if problem else 'ok'} {counter} - {name}", flush=True)
    if problem:
        print("\n".join("# " + line for line in problem.split("\n")), flush=True)


def table(signature, body, checksum=None):
    """An ACPI table (ACPI 6.5, 5.2.6) with the right checksum, or the one asked for."""
    length = 36 + len(body)
    raw = struct.pack("<4sIBB6s8sI4sI", signature, length, 1, 0, b"GGMK  ", b"TEST    ", 1, b"TEST", 1) + body
    right = -sum(raw) & 0xff
    return raw[:9] + bytes([right if checksum is None else checksum]) + raw[10:]


def archives(folder, good):
    damaged = "^.*warn  initrd: damaged at byte"
    boots("no archive is reported", ["warn  initrd: no archive came with the kernel"])
    cases = {
        "an archive that ends in the middle": good[:len(good) // 2],
        "an archive without its trailer": good[:good.rindex(b"07070")],
        "an archive whose first header is no header": b"garbage!" + good[8:],
        "an archive with a name longer than the file": good[:94] + b"FFFFFFFF" + good[102:],
        "an archive of zeroes": bytes(4096),
    }
    for name, content in cases.items():
        path = folder / "initrd"
        path.write_bytes(content)
        boots(f"{name} is reported with its place", [damaged], initrd=path)
    boots("a good archive is no reason to complain", [r"info  initrd: \d+ entries"], initrd=INITRD,
          refused="warn  initrd")


def command_lines():
    boots("an unknown word is named", ["warn  .*'?bananas'?"], append="bananas cpus=1")
    boots("a bad value is named with what is legal", ["warn  .*cpus=none", "1"], append="cpus=none")
    boots("a command line of 64 KiB is cut, and that is said", ["warn  .*command line.*6[0-9]{4}"],
          append="cpus=1 " + "x" * 65528)


def tables(folder):
    """SRAT and SLIT of our own beside QEMU's tables."""
    for name, content, pattern in (
            ("a table of noise", table(b"SRAT", bytes(range(7, 251))), "warn  acpi: SRAT"),
            ("a distance table shorter than its matrix", table(b"SLIT", struct.pack("<Q", 64) + b"\x0a"),
             "warn  acpi: SLIT"),
            ("a distance table that says a node is far from itself",
             table(b"SLIT", struct.pack("<Q", 1) + b"\x63"), "warn  acpi: SLIT")):
        path = folder / "table"
        path.write_bytes(content)
        boots(f"{name} is reported and left out", [pattern], machine=Q35, initrd=INITRD,
              more=("-acpitable", f"file={path}"))


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        archives(folder, INITRD.read_bytes())
        command_lines()
        tables(folder)
    print(f"1..{counter}")
    sys.exit(1 if failed else 0)


IMAGE, INITRD = sys.argv[1], pathlib.Path(sys.argv[2])
main()
