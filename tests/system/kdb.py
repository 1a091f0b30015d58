#!/usr/bin/env python3
# Monitor test: types every command of kdb into a booted machine, good and bad, and judges answers.
#
#   tests/system/kdb.py IMAGE INITRD FXTCHECK PROGRAMS       prints TAP
#
# A boot for everything that leaves the machine running, one with user threads that wait in each way
# (tests/user/prog_waits.c, from the archive PROGRAMS), and one for each way to end the machine.

import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from monitor import Monitor, Silence  # noqa: E402

IMAGE, INITRD, FXTCHECK, PROGRAMS = sys.argv[1:5]
OPTIONS = ["--cpus", "2", "--initrd", INITRD]
results = []


def check(promise, good, told=""):
    results.append(good)
    print(f"{'ok' if good else 'not ok'} {len(results)} - {promise}", flush=True)
    if not good:
        print("".join(f"#   {line}\n" for line in str(told).splitlines()), end="", flush=True)


def answers(monitor, command, promise, *patterns):
    """One command, one test: all patterns are found in its output."""
    try:
        output = monitor.command(command)
    except Silence as silence:
        check(f"{command}: {promise}", False, silence)
        raise
    missing = [p for p in patterns if not re.search(p, output, re.M)]
    check(f"{command}: {promise}", not missing, f"not found: {missing} in:\n{output}")
    return output


def test_help(m):
    output = answers(m, "help", "lists every command", r"^  cpus +\w", r"^  trace \[")
    for name in ("cpus mem numa tasks workers chans mods services metrics trace bt peek vmmap "
                 "panic reboot poweroff log irqs threads config initrd units ps caps ports maps "
                 "kill sched lat").split():
        check(f"help: names {name}", re.search(rf"^  {name}\b", output, re.M), output)


def test_machine(m):
    answers(m, "cpus", "shows both CPUs", r"^  0 +\d+ ", r"^  1 +\d+ ")
    answers(m, "threads", "shows workers", r"blocked|running|ready", r"gmk-w0", r"gmk-w1")
    answers(m, "irqs", "counts the serial line's", r"gsi +\d+ vector +\d+ +[1-9]\d*  serial")
    answers(m, "config", "shows the words", r"^command line: log=debug$",
            r"^  log +debug ", r"^  panic +halt ", r"^  tests +\"\"")
    answers(m, "initrd", "lists the files", r"etc/motd$")
    answers(m, "log", "repeats the log", r"info +boot: GGMK", r"cpu: 2 online")
    answers(m, "bt", "walks the stacks of threads that wait",
            r"^thread \d+, gmk-w0", r"\bwait_block\+0x", r"\bcontext_begin\+0x")
    threads = answers(m, "threads", "numbers them", r"^ +\d+ \w+ +cpu")
    number = re.search(r"^ *(\d+) .* gmk-watch$", threads, re.M)[1]
    answers(m, f"bt {number}", "shows one thread", rf"^thread {number}, gmk-watch",
            r"\bwatch_main\+0x")
    for cpu in "01":
        answers(m, f"bt cpu {cpu}", "walks the stack of a CPU", r"#0 +[0-9a-f]{16} \w+\+0x")


def test_memory(m):
    answers(m, "mem", "adds up", r"^\d+ KiB of RAM, \d+ KiB free", r"KiB kernel image",
            r"KiB page tables", r"^slabs: ", r"^TLB shootdowns: ")
    answers(m, "numa", "shows the node", r"^node 0: \d+ KiB, \d+ KiB free, distances 10$")
    ranges = answers(m, "vmmap", "shows code, constants and data", r" r-x-- 4K image$",
                     r" r---- 4K image$", r" rw--- 4K image$", r"direct map$")
    check("vmmap: nothing is writable and executable", not re.search(r" rwx", ranges), ranges)
    begins = [int(line[:16], 16) for line in ranges.splitlines() if re.match("[0-9a-f]{16}-", line)]
    check("vmmap: the ranges are in order", begins == sorted(begins), ranges)
    answers(m, "peek ffffffff80200000 2", "reads the image",
            r"^ffffffff80200000: [0-9a-f]{16} [0-9a-f]{16}$")
    answers(m, "peek 0xffffffff80200003 1", "begins at a whole word", r"^ffffffff80200000: ")
    answers(m, "peek 0", "refuses user addresses", "not in the kernel's half")
    answers(m, "peek 800000000000", "refuses what no address is", "not in the kernel's half")
    answers(m, "peek ffffffffffffffff", "refuses the last word of all", "not mapped")
    answers(m, "peek ffffb00000000000", "refuses what is not mapped", "not mapped")
    device = re.search(r"^([0-9a-f]{16})-.* rw--d ", ranges, re.M)
    answers(m, f"peek {device[1]}", "refuses devices", "device memory")


def test_engine(m):
    answers(m, "tasks", "shows the law of conservation", r"submitted \d+ \+ emitted \d+ =",
            r'"kdb input"')
    answers(m, "workers", "shows what each runs", r"^worker 0: ", r"^worker 1: ",
            r"runs kdb input", r"^local \d+, gathered")
    answers(m, "chans", "shows the system's", r"sys\.dropped", r"sys\.error")
    answers(m, "mods", "shows modules", r" kdb +1\.0\.0 kernel 2 handlers")
    answers(m, "services", "counts them", r"^\d+ services$")
    answers(m, "metrics", "is Prometheus text", r"^# TYPE ggmk_\w+ counter$",
            r"^ggmk_\w+.* \d+$")
    some = answers(m, "metrics ggmk_tasks_failed", "takes a prefix", r"^ggmk_tasks_failed_total")
    check("metrics: shows nothing but what begins with the prefix", "completed" not in some, some)
    answers(m, "load 1000", "runs tasks on the workers", r"^1000 tasks in \d+ us$")
    answers(m, "tasks", "has counted them", r'"kdb load": 1000 in, 1000 completed')


def test_trace(m):
    answers(m, "trace", "tells the level", r"^level warn$")
    answers(m, "trace all", "sets it", r"^$")
    answers(m, "trace", "has set it", r"^level all$")
    m.command("load 200")
    answers(m, "trace tail 8", "shows the newest events", r"^last \d trace events of CPU 0:$",
            r"ms ago  sched kdb (load|input) took \d+ ns$")
    answers(m, "trace off", "switches it off", r"^$")


def test_mistakes(m):
    answers(m, "nonsense", "is named", r"^no command 'nonsense': help lists them$")
    answers(m, "peek", "names what is missing", r"^too few words for peek: peek ADDRESS \[WORDS\]$")
    answers(m, "cpus 1", "names what is too much", r"^too many words for cpus")
    answers(m, "peek zz", "names what is no number", r"^'zz' is not a hexadecimal number$")
    answers(m, "peek ffffffff80200000 100000", "names what is too large",
            r"^'100000' is too large: at most 512$")
    answers(m, "bt 99999", "names the thread that is not there", r"^there is no thread 99999")
    answers(m, "bt cpu 9", "names the CPU that is not there", r"^there is no CPU 9$")
    answers(m, "bt cpu", "asks which", r"which one\?$")
    answers(m, "trace loud", "names the level that there is not", r"^trace loud: a level ")
    answers(m, "load 99999999999999999999", "refuses what does not fit", "is not a number")
    for command in ("caps 999", "maps 999", "kill unit 999"):
        answers(m, command, "names the unit that is not there", r"^there is no unit 999: units ")
    answers(m, "kill thread 99999", "names the thread that is not there", r"no user thread 99999")
    answers(m, "kill cpu 1", "says what can be killed", r"^kill cpu: unit or thread")
    answers(m, "kill unit", "asks which", r"^too few words for kill")
    answers(m, "caps x", "names what is no number", r"^'x' is not a number$")
    answers(m, "lat now", "knows what it takes", r"reset, or nothing$|without the instrument")
    answers(m, "1 2 3 4 5 6 7 8 9", "refuses too many words", r"^too many words: at most 8$")
    answers(m, "", "does nothing", r"^$")


def test_editing(m):
    m.send("cpuz\x7fs\r")
    check("backspace corrects", "interrupts" in m.wait("\ngmk> "), m.text[-500:])
    m.send("nonsense\x15numa\r")
    check("ctrl-U forgets what was typed", "distances" in m.wait("\ngmk> "), m.text[-500:])
    m.send("nonsense\x03")
    check("ctrl-C gives a new prompt", m.wait("gmk> ").endswith("^C\n"), m.text[-500:])
    m.send("\x1b[A\r")
    check("arrow up brings a line back", "distances" in m.wait("\ngmk> "), m.text[-500:])
    m.send("x" * 300 + "\r")
    check("a line that is too long is cut", "no command 'xxx" in m.wait("\ngmk> "), m.text[-500:])
    m.send("numa\rnuma\rnuma\rnuma\rnuma\r")
    for _ in range(5):
        m.wait("distances 10")
    m.settle()
    check("lines typed ahead are all run", True)


def line_of(output, pattern):
    """The words of the line that matches; fails loudly where there is none."""
    return re.search(rf"^.*{pattern}.*$", output, re.M)[0].split()


def test_units(m):
    """One unit, id 1, with five threads that wait or compute, and its first one."""
    answers(m, "units", "shows a unit and what it uses", r"^ +1 alive +6 +\d+ +\d+/\d+ +\d+/\d+ ")
    threads = answers(m, "ps", "shows what each thread waits for", r"blocked NOTIFY .*: bits$",
                      r"blocked WORD .*: word$", r"blocked RECV .*: receiver$",
                      r"blocked CALL .*: caller$", r"(running|ready) .*: computes$",
                      r"blocked NOTIFY .*: main$")
    answers(m, "caps 1", "shows what it holds", r"^ +1 [0-9a-f]{8} UNIT +RW-E-", r" NOTIFY +RWGEM ",
            r" PORT +RWGEM .* 0{16} ", r" SYSTEM ")
    ports = answers(m, "ports", "shows who waits there", r"^ +1 +\d+ \S+ +1 +0 ",
                    r"^ +1 +\d+ \S+ +0 +1 ")
    caller = line_of(threads, ": caller")[0]
    check("ports: names the first caller", f" {caller} no" in ports, f"{caller}:\n{ports}")
    ranges = answers(m, "maps 1", "shows code, data and stacks", r" r-x", r" rw-", r" KiB r--")
    check("maps: nothing is writable and executable", " rwx" not in ranges, ranges)
    answers(m, "sched", "shows what runs on each CPU", r"^ +0 +\d+/\d+ ", r"^ +1 ", r" computes$")
    before = int(line_of(threads, ": computes")[-5])
    after = answers(m, "ps", "counts time", r": computes$")
    check("ps: the time of a thread that computes goes on", int(line_of(after, ": computes")[-5]) >= before,
          f"{threads}\n{after}")
    computes = line_of(threads, ": computes")[0]
    answers(m, f"kill thread {computes}", "says nothing when it works", r"\A\s*\Z")
    gone(m, "ps", r": computes$", "kill thread: the thread is gone")
    answers(m, "kill unit 1", "says nothing when it works", r"\A\s*\Z")
    gone(m, "ps", r"^ +\d+ +1 ", "kill unit: its threads are gone")
    gone(m, "ports", r"^ +1 ", "kill unit: its ports are gone")


def gone(m, command, pattern, promise):
    """Within a few looks: what ends takes a moment."""
    for _ in range(20):
        output = m.command(command)
        if not re.search(pattern, output, re.M):
            break
        time.sleep(0.2)
    check(promise, not re.search(pattern, output, re.M), output)


def test_programs():
    with Monitor(IMAGE, "init=tests/prog_waits", ["--cpus", "2", "--initrd", PROGRAMS]) as m:
        m.wait("boot: up after")
        m.settle()
        m.send("\r")  # with a program on the line the prompt comes when somebody asks for it
        m.wait("gmk> ")
        for _ in range(50):  # until its threads have begun to wait
            if m.command("ps").count(" blocked ") == 5:
                break
            time.sleep(0.2)
        test_units(m)


def test_archive():
    """scripts/trace and the strict reader: the file that people open."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/trace.fxt"
        made = subprocess.run([ROOT / "scripts/trace", "--out", out, IMAGE, "--", *OPTIONS],
                              capture_output=True, text=True, timeout=200, check=False)
        check("scripts/trace writes an archive", made.returncode == 0, made.stdout + made.stderr)
        read = subprocess.run([FXTCHECK, out], capture_output=True, text=True, check=False)
        check("the strict reader accepts it", read.returncode == 0, read.stdout + read.stderr)
        for what in (r"^thread worker 0 [1-9]", r"^thread worker 1 [1-9]", r"^event kdb load [1-9]"):
            check(f"the archive has {what[1:]}", re.search(what, read.stdout, re.M), read.stdout)


def test_panic():
    with Monitor(IMAGE, "", OPTIONS) as m:
        m.wait("gmk> ")
        m.settle()
        m.panic_expected = True
        m.send("trace all\rload 100\rpanic\r")
        report = m.wait("the monitor still answers")
        for what, pattern in (("the reason", r"^PANIC: asked for in the monitor$"),
                              ("CPU and thread", r"^on CPU \d, thread gmk-w\d, at \d+\.\d{6} s$"),
                              ("who called", r"#\d+ +[0-9a-f]{16} cmd_panic\+0x"),
                              ("the way back to the start", r"context_begin\+0x"),
                              ("the last events", r"^last [1-9]\d* trace events of CPU \d:$")):
            check(f"a panic tells {what}", re.search(pattern, report, re.M), report)
        check("a panic stops the other CPU", "did not stop" not in report, report)
        m.wait("gmk> ")
        answers(m, "cpus", "works after a panic", r"^  1 ")
        answers(m, "log", "has the panic", r"^PANIC: asked")
        answers(m, "peek 0", "still refuses", "not in the kernel's half")
        answers(m, f"bt cpu {re.search('on CPU (.)', report)[1]}", "works after a panic",
                r" kdb_post_mortem\+0x")
        answers(m, "bt", "says what it can after a panic", r"needs a running kernel: bt cpu N$")
        answers(m, "tasks", "says that it cannot", r"^tasks needs a running kernel$")


def test_ends():
    with Monitor(IMAGE, "exit=debug", OPTIONS) as m:
        m.wait("gmk> ")
        m.settle()
        m.send("poweroff\r")
        status = m.end()
        check("poweroff: shuts down and ends with success", status == 33, f"{status}\n{m.text}")
    with Monitor(IMAGE, "panic=exit exit=debug", OPTIONS) as m:
        m.wait("gmk> ")
        m.settle()
        m.panic_expected = True
        m.send("panic\r")
        status = m.end()
        check("panic: ends with failure where the command line says so", status == 35, m.text)
    with Monitor(IMAGE, "", OPTIONS) as m:
        m.wait("gmk> ")
        m.settle()
        m.send("reboot\r")
        status = m.end()  # QEMU runs with -no-reboot
        check("reboot: resets the machine", status == 0, f"{status}\n{m.text}")


def main():
    try:
        with Monitor(IMAGE, "log=debug", OPTIONS) as m:
            m.wait("gmk> ")
            m.settle()
            for test in (test_help, test_machine, test_memory, test_engine, test_trace,
                         test_mistakes, test_editing):
                test(m)
        for test in (test_programs, test_archive, test_panic, test_ends):
            test()
    except Silence as silence:
        check("the machine answers", False, silence)
    print(f"1..{len(results)}")
    sys.exit(0 if all(results) else 1)


main()
