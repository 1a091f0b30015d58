#!/usr/bin/env python3
# Tree test: the rules that this source tree keeps about itself, each checked by one function.
#
# A rule is a function that takes the tree and yields (file, line, what is wrong). The
# decorator gives it its promise, the sentence printed for it. selftest.py plants one
# violation of every rule and demands that it is seen, so a rule cannot rot unnoticed.
#
#   tests/tree/tree.py [--failures-only] [FOLDER]      prints TAP

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FILE_LINES_MAX = 500
FILE_LINES_WARN = 400
FUNCTION_LINES_MAX = 50

# Headers that a C compiler brings along without an operating system, and string.h, whose
# few memory functions every platform provides.
FREESTANDING = {"stdint.h", "stddef.h", "stdbool.h", "stdatomic.h", "stdarg.h", "limits.h",
                "stdalign.h", "stdnoreturn.h", "string.h"}
ANY = None

# Folder -> (project headers it may include, system headers it may include). The first
# prefix that fits counts. tests/ and bench/ may include anything.
MAY_INCLUDE = [
    ("include/", (["ggmk/"], FREESTANDING - {"string.h", "stdatomic.h"})),
    ("lib/", (["ggmk/", "lib/"], FREESTANDING)),
    ("engine/", (["ggmk/", "lib/", "engine/", "hal/hal.h"], FREESTANDING)),
    ("hal/hal.h", (["ggmk/"], FREESTANDING)),
    ("hal/kernel/", (["ggmk/", "lib/", "hal/", "kernel/", "arch/arch.h"], FREESTANDING)),
    ("hal/unit/", (["ggmk/", "lib/", "hal/", "user/lib/"], FREESTANDING)),
    ("hal/", (["ggmk/", "lib/", "hal/"], ANY)),
    ("user/lib/", (["ggmk/", "lib/", "user/lib/"], FREESTANDING)),
    ("user/init/", (["ggmk/", "lib/", "user/lib/", "user/init/"], FREESTANDING)),
    ("user/apps/loglens", (["ggmk/", "lib/", "user/", "examples/loglens/"], FREESTANDING | {"stdlib.h"})),
    ("user/", (["ggmk/", "lib/", "hal/hal.h", "user/"], FREESTANDING)),
    ("boot/boot_info.h", ([], FREESTANDING)),
    ("boot/", (["ggmk/", "lib/", "boot/"], FREESTANDING)),
    ("arch/", (["ggmk/", "lib/", "kernel/", "arch/", "boot/boot_info.h"], FREESTANDING)),
    ("kernel/", (["ggmk/", "lib/", "engine/", "kernel/", "hal/hal.h", "arch/arch.h",
                  "boot/boot_info.h"], FREESTANDING)),
    ("examples/", (["ggmk/", "gmk/", "examples/"], ANY)),
]
PROJECT_FOLDERS = ("ggmk/", "gmk/", "lib/", "engine/", "hal/", "examples/", "bench/", "tests/",
                   "kernel/", "arch/", "boot/", "user/")
# The cheap halves of an architecture, found by search path: for arch/arch.h itself, and for paths of
# the kernel that switch to user mode.
ARCH_INLINE = {"arch_inline.h": "arch/", "arch_user.h": ("arch/", "kernel/")}

# Folders -> calls that have no place there, and why.
BANNED = [
    (("engine/", "lib/", "kernel/", "arch/", "boot/", "hal/unit/"),
     r"malloc|calloc|realloc|free|alloca|strdup|aligned_alloc|posix_memalign|mmap",
     "memory comes from the arena, in the kernel from kernel/mem"),
    (("engine/", "lib/", "kernel/", "arch/", "boot/"),
     r"v?f?printf|v?s?n?printf|v?asprintf|puts|fputs|putchar|fwrite|fopen|perror",
     "text goes through the log and hal_log_write()"),
    (("engine/", "lib/"), r"pthread_\w+|thrd_\w+|mtx_\w+|cnd_\w+|syscall|clock_gettime",
     "the platform is reached through hal/hal.h"),
    (("engine/", "lib/"), r"exit|_exit|abort|assert|raise", "the engine stops by hal_panic()"),
    (("include/", "engine/", "lib/", "hal/", "examples/", "bench/"), r"gets|strcpy|strcat|v?sprintf",
     "it writes without a bound"),
    (("include/", "engine/", "lib/", "hal/", "examples/", "bench/"), r"sleep|usleep",
     "waiting is for an event, never for a guess"),
]

PLATFORM_MACROS = r"__linux__|__linux|__x86_64__|__i386__|__aarch64__|__arm__|__unix__|_WIN32|" \
                  r"__APPLE__|__FreeBSD__|__KERNEL__|__CUDA_ARCH__"

# The run queues are written in one file only; the queues' own files define the functions.
RUN_QUEUE_WRITE = r"\b(?:localq_push\w*|ring_push(?:_n)?_mpmc)\s*\("
RUN_QUEUE_FILES = {"engine/enqueue.c", "engine/localq.c", "engine/localq.h",
                   "engine/ring_mpmc.h"}

# Written in pieces, so that this file does not contain what it looks for.
LEFTOVERS = r"\b(?:" + "|".join(["FIX" + "ME", "TO" + "DO", "X" * 3, "HA" + "CK"]) + r")\b" \
            + r"|\bfor " + r"now\b"
MACHINE_PATHS = "|".join(["/wo" + "rk/", "/ho" + "me/[a-z]", "/r" + "oot/", "/Us" + "ers/[a-zA-Z]",
                          "/tmp/gg" + "mk"])

RULES = []


def rule(promise):
    """Registers a rule under the sentence that says what it promises."""
    def register(function):
        RULES.append((function.__name__, promise, function))
        return function
    return register


class Tree:
    """The files of one source tree, read once."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.text = {}
        for name in self._names():
            try:
                self.text[name] = (self.root / name).read_text(encoding="utf-8")
            except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
                continue  # binary, or deleted and not yet committed
        self.warnings = []

    def _names(self):
        if (self.root / ".git").exists() and shutil.which("git"):
            listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=self.root,
                                    capture_output=True, text=True, check=False)
            if listed.returncode == 0:
                return sorted(set(listed.stdout.splitlines()))
        found = (p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file())
        return sorted(str(p) for p in found if p.parts[0] not in ("build", ".git"))

    def files(self, folders, suffixes):
        for name, text in self.text.items():
            if name.startswith(tuple(folders)) and name.endswith(tuple(suffixes)):
                yield name, text

    def lines(self, folders, suffixes, strip=False):
        for name, text in self.files(folders, suffixes):
            for number, line in enumerate((code_only(text) if strip else text).split("\n"), 1):
                yield name, number, line


def code_only(text):
    """C text with comments and literals blanked out, line numbers kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text, flags=re.S)


@rule("includes point only downward: engine/ and lib/ know no platform, kernel/ one arch.h, examples/ only the public API")
def include_direction(tree):
    include = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
    for name, number, line in tree.lines([""], [".c", ".h"]):
        match = include.match(line)
        allowed = next((a for prefix, a in MAY_INCLUDE if name.startswith(prefix)), None)
        if not match or not allowed:
            continue
        quote, header = match.groups()
        projects, system = allowed
        if header.startswith(PROJECT_FOLDERS) or (quote == '"' and "/" in header):
            fine = header.startswith(tuple(projects))
        elif quote == '"':
            fine = name.startswith(("examples/", "hal/linux/")) or (
                header in ARCH_INLINE and name.startswith(ARCH_INLINE[header]))
        else:
            fine = system is ANY or header in system
        if not fine:
            yield name, number, f"may not include {header}"


@rule("each file begins with a comment that names its subject")
def subject_line(tree):
    for name, text in tree.text.items():
        lines = text.split("\n")
        if name.endswith((".c", ".h", ".cc", ".pml", ".S", ".lds")):
            wanted = r"/\* [^:]+: \S"
        elif name.endswith((".sh", ".py", ".mk")) or name == "Makefile":
            wanted = r"# [^:]+: \S"
        elif lines[0].startswith("#!"):
            wanted = r"# [^:]+: \S"
        else:
            continue
        first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
        if not re.match(wanted, first):
            yield name, 1, "starts without '<subject>: <one sentence>'"


@rule("headers guard themselves with #pragma once")
def pragma_once(tree):
    for name, text in tree.files([""], [".h"]):
        if not re.search(r"^#pragma once$", text, re.M):
            yield name, 1, "has no #pragma once"


@rule("nothing is left for later: no note to self stands in any file")
def leftovers(tree):
    for name, number, line in tree.lines([""], [""]):
        found = re.search(LEFTOVERS, line)
        if found:
            yield name, number, f"says '{found.group(0)}'"


@rule("no call that a folder has no business with: allocation, stdio, threads, unbounded copies, sleeps")
def banned_calls(tree):
    for folders, names, why in BANNED:
        call = re.compile(r"(?<![\w.])(?<!->)(" + names + r")\s*\(")
        for name, number, line in tree.lines(folders, [".c", ".h"], strip=True):
            found = call.search(line)
            if found:
                yield name, number, f"calls {found.group(1)}(): {why}"


@rule("engine/, lib/, kernel/ and boot/ contain no #if about a platform")
def platform_ifdef(tree):
    condition = re.compile(r"^\s*#\s*(?:el)?if.*\b(" + PLATFORM_MACROS + r")\b")
    for name, number, line in tree.lines(["engine/", "lib/", "kernel/", "boot/"], [".c", ".h"],
                                         strip=True):
        found = condition.match(line)
        if found:
            yield name, number, f"depends on {found.group(1)}: give hal/hal.h or arch/arch.h a function instead"


@rule(f"no C file is longer than {FILE_LINES_MAX} lines")
def file_size(tree):
    for name, text in tree.files([""], [".c", ".h"]):
        count = text.count("\n")
        if count > FILE_LINES_MAX:
            yield name, count, f"has {count} lines"
        elif count > FILE_LINES_WARN:
            tree.warnings.append(f"{name} has {count} lines; {FILE_LINES_MAX} are allowed")


@rule(f"no function is longer than {FUNCTION_LINES_MAX} lines")
def function_size(tree):
    ctags = shutil.which("ctags-universal") or shutil.which("ctags")
    sources = [name for name, _ in tree.files([""], [".c", ".h"])]
    if not ctags:
        yield "tests/tree/tree.py", 1, "universal-ctags is not installed"
        return
    listed = subprocess.run(
        [ctags, "--languages=C,C++", "--kinds-C=f", "--kinds-C++=f", "--fields=+ne", "-o", "-",
         "-L", "-"], input="\n".join(sources), cwd=tree.root, capture_output=True, text=True,
        check=True).stdout
    for line in listed.splitlines():
        fields = re.search(r"^(\S+)\t([^\t]+)\t.*\tline:(\d+).*\tend:(\d+)", line)
        if not fields:
            continue
        function, name, start, end = fields.groups()
        length = int(end) - int(start) + 1
        # The main() of a test is the list of its tests.
        if length > FUNCTION_LINES_MAX and not (function == "main" and name.startswith("tests/")):
            yield name, int(start), f"{function}() has {length} lines"


def compile_alone(tree, headers, command, suffix):
    """Compiles each header by itself; yields what the compiler refuses."""
    with tempfile.TemporaryDirectory() as folder:
        for header in headers:
            source = pathlib.Path(folder, header.replace("/", "_") + suffix)
            source.write_text(f'#include "{header}"\n')
            done = subprocess.run(command + ["-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                                             "-Iinclude", "-I.", str(source)],
                                  cwd=tree.root, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                error = next((x for x in done.stderr.splitlines() if "error" in x), "fails")
                yield header, 1, f"{' '.join(command)}: {error}"


@rule("each header compiles alone, the public ones as C11 and as C++17")
def headers_alone(tree):
    public = [name for name, _ in tree.files(["include/"], [".h"])]
    inner = [name for name, _ in tree.files(["engine/", "lib/", "hal/"], [".h"])]
    kernel = [name for name, _ in tree.files(["kernel/", "arch/", "boot/", "user/"], [".h"])]
    yield from compile_alone(tree, public, ["gcc", "-std=c11", "-pedantic"], ".c")
    yield from compile_alone(tree, inner, ["gcc", "-std=c11"], ".c")
    yield from compile_alone(tree, kernel, ["gcc", "-std=c11", "-ffreestanding",
                                            "-iquote", "arch/x86_64"], ".c")
    yield from compile_alone(tree, public, ["g++", "-std=c++17"], ".cc")


@rule("only engine/enqueue.c writes to a run queue")
def one_enqueue_core(tree):
    for name, number, line in tree.lines(["engine/", "hal/", "lib/", "kernel/", "arch/", "examples/"],
                                         [".c", ".h"], strip=True):
        if name not in RUN_QUEUE_FILES and re.search(RUN_QUEUE_WRITE, line):
            yield name, number, f"writes to a run queue: {line.strip()}"


@rule("no path of somebody's machine stands in any file")
def machine_paths(tree):
    for name, number, line in tree.lines([""], [""]):
        found = re.search(MACHINE_PATHS, line)
        if found:
            yield name, number, f"names {found.group(0)}"


def main():
    args = [a for a in sys.argv[1:] if a != "--failures-only"]
    quiet = len(args) < len(sys.argv) - 1
    tree = Tree(args[0] if args else pathlib.Path(__file__).resolve().parents[2])
    failed = False
    for number, (_, promise, check) in enumerate(RULES, 1):
        problems = list(check(tree))
        failed = failed or bool(problems)
        if problems or not quiet:
            print(f"{'not ok' if problems else 'ok'} {number} - {promise}")
        for name, line, problem in problems:
            print(f"#   {name}:{line}: {problem}")
    for warning in tree.warnings:
        print(f"# warning: {warning}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
