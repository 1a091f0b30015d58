#!/usr/bin/env python3
# Self-test of the tree test: every rule must see a violation planted for it, and none may
# complain about a small clean tree.
#
# A rule without a plant here is a failure: no check that cannot fail.

import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
import tree as tree_test  # noqa: E402  (after the switch above)

CLEAN = {
    "Makefile": "# Build: nothing.\n",
    "include/ggmk/a.h": "/* A: a header. */\n#pragma once\n#include <stdint.h>\n"
                        "#ifdef __cplusplus\nextern \"C\" {\n#endif\nint32_t a(void);\n"
                        "#ifdef __cplusplus\n}\n#endif\n",
    "lib/b.h": "/* B: a helper. */\n#pragma once\n#include \"ggmk/a.h\"\n",
    "engine/c.c": "/* C: an engine file; printf() in a comment is no call. */\n"
                  "#include \"engine/c.h\"\n#include \"hal/hal.h\"\n#include <string.h>\n"
                  "static const char *text = \"malloc(1)\";\n"
                  "int c(struct ops *o) { block_free(text); return o->free(o); }\n",
    "engine/c.h": "/* C: its header. */\n#pragma once\n#include \"lib/b.h\"\n",
    "engine/enqueue.c": "/* Enqueue: the one writer. */\nvoid e(void) { localq_push(q, t); }\n",
    "hal/hal.h": "/* HAL: a platform. */\n#pragma once\n#ifdef __x86_64__\n#endif\n",
    "hal/linux/d.c": "/* D: threads. */\n#include \"hal/hal.h\"\n#include <pthread.h>\n"
                     "void d(void) { pthread_self(); }\n",
    "arch/arch.h": "/* Arch: a machine. */\n#pragma once\n#include \"arch_inline.h\"\n",
    "arch/x86_64/arch_inline.h": "/* Inline: cheap. */\n#pragma once\n#include <stdint.h>\n",
    "boot/boot_info.h": "/* Boot info: a machine's. */\n#pragma once\n",
    "kernel/mem/k.h": "/* K: a kernel header. */\n#pragma once\n#include \"arch/arch.h\"\n",
    "examples/e.c": "/* E: an example. */\n#include \"ggmk/a.h\"\n#include <stdio.h>\n"
                    "int main(void) { printf(\"x\"); }\n",
    "tests/unit/test_a.c": "/* A: its test. */\n#include \"engine/c.h\"\n"
                           "void f(void) { usleep(1); localq_push_one(q); }\n",
    "scripts/run": "#!/bin/sh\n# Run: mktemp /tmp/x.XXXXXX is fine.\n",
    "docs/a.md": "# A page\n",
}


def body(lines):
    """A C function of so many lines."""
    return "int f(void) {\n" + "    ;\n" * (lines - 2) + "}\n"


# (rule, file, text that replaces or, with a leading +, follows the file's clean text)
PLANTS = [
    ("include_direction", "include/ggmk/a.h", "+#include \"lib/b.h\"\n"),
    ("include_direction", "include/ggmk/a.h", "+#include <stdio.h>\n"),
    ("include_direction", "lib/b.h", "+#include \"engine/c.h\"\n"),
    ("include_direction", "lib/b.h", "+#include <stdlib.h>\n"),
    ("include_direction", "engine/c.c", "+#include \"hal/linux/d.h\"\n"),
    ("include_direction", "engine/c.c", "+ #  include <unistd.h>\n"),
    ("include_direction", "hal/hal.h", "+#include \"engine/c.h\"\n"),
    ("include_direction", "hal/linux/d.c", "+#include \"engine/c.h\"\n"),
    ("include_direction", "examples/e.c", "+#include \"engine/c.h\"\n"),
    ("include_direction", "examples/e.c", "+#include <lib/b.h>\n"),
    ("include_direction", "boot/boot_info.h", "+#include \"kernel/mem/k.h\"\n"),
    ("include_direction", "kernel/mem/k.h", "+#include \"arch/x86_64/apic.h\"\n"),
    ("include_direction", "kernel/mem/k.h", "+#include <stdio.h>\n"),
    ("include_direction", "kernel/mem/k.h", "+#include \"arch_inline.h\"\n"),
    ("subject_line", "arch/x86_64/entry.S", "        .text\n"),
    ("platform_ifdef", "kernel/mem/k.h", "+#ifdef __x86_64__\n#endif\n"),
    ("banned_calls", "kernel/mem/k.h", "+static inline void *f(void) { return malloc(1); }\n"),
    ("headers_alone", "kernel/mem/k.h", "+static inline undefined_t f(void);\n"),
    ("subject_line", "lib/b.h", "#pragma once\n"),
    ("subject_line", "engine/c.c", "/* Some text */\n"),
    ("subject_line", "scripts/run", "#!/bin/sh\necho\n"),
    ("subject_line", "Makefile", "all:\n"),
    ("subject_line", "tests/model/a.pml", "init { skip }\n"),
    ("pragma_once", "lib/b.h", "/* B: a helper. */\n"),
    ("leftovers", "engine/c.c", "+/* TO" "DO: later */\n"),
    ("leftovers", "docs/a.md", "+FIX" "ME\n"),
    ("leftovers", "tests/unit/test_a.c", "+// XX" "X\n"),
    ("leftovers", "scripts/run", "+# enough for " "now\n"),
    ("banned_calls", "engine/c.c", "+void *f(void) { return malloc(1); }\n"),
    ("banned_calls", "engine/c.c", "+void f(void *p) { free (p); }\n"),
    ("banned_calls", "lib/b.h", "+static inline void f(void) { printf(\"\"); }\n"),
    ("banned_calls", "lib/b.h", "+static inline void f(void) { snprintf(0, 0, \"\"); }\n"),
    ("banned_calls", "engine/c.c", "+void f(void) { pthread_yield(); }\n"),
    ("banned_calls", "engine/c.c", "+void f(void) { abort(); }\n"),
    ("banned_calls", "hal/linux/d.c", "+void f(char *a) { strcpy(a, a); }\n"),
    ("banned_calls", "hal/linux/d.c", "+void f(char *a) { strcat(a, a); }\n"),
    ("banned_calls", "examples/e.c", "+void f(char *a) { sprintf(a, a); }\n"),
    ("banned_calls", "examples/e.c", "+void f(char *a) { gets(a); }\n"),
    ("banned_calls", "hal/linux/d.c", "+void f(void) { usleep(1); }\n"),
    ("banned_calls", "examples/e.c", "+void f(void) { sleep(1); }\n"),
    ("platform_ifdef", "engine/c.c", "+#ifdef __linux__\n#endif\n"),
    ("platform_ifdef", "lib/b.h", "+#if defined(__x86_64__)\n#endif\n"),
    ("platform_ifdef", "engine/c.c", "+#if 0\n#elif defined(__aarch64__)\n#endif\n"),
    ("file_size", "engine/c.c", "+" + "\n" * 500),
    ("function_size", "engine/c.c", "+" + body(51)),
    ("function_size", "tests/unit/test_a.c", "+" + body(51)),
    ("headers_alone", "include/ggmk/a.h", "+unknown_t b(void);\n"),
    ("headers_alone", "include/ggmk/a.h", "+int class(void);\nvoid *new(void);\n"),
    ("headers_alone", "engine/c.h", "+uint77_t b(void);\n"),
    ("one_enqueue_core", "engine/c.c", "+void f(void) { localq_push(q, t); }\n"),
    ("one_enqueue_core", "engine/c.c", "+void f(void) { ring_push_n_mpmc (q, t, 2); }\n"),
    ("one_enqueue_core", "engine/c.c", "+void f(void) { ring_push_mpmc(q, t); }\n"),
    ("machine_paths", "docs/a.md", "+see /wo" "rk/x\n"),
    ("machine_paths", "scripts/run", "+cd /ho" "me/someone\n"),
]


def violations(changes, only=None):
    """What the rules (or only the named one) say about the clean tree with these changes."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**CLEAN, **changes}.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        tree = tree_test.Tree(folder)
        return {name: found for name, _, check in tree_test.RULES
                if only in (None, name) and (found := list(check(tree)))}


def main():
    results = []
    complaints = violations({})
    results.append((not complaints, f"a clean tree passes {complaints or ''}"))
    for rule, name, text in PLANTS:
        planted = CLEAN.get(name, "") + text[1:] if text.startswith("+") else text
        found = violations({name: planted}, only=rule).get(rule, [])
        shown = text.strip("+\n").split("\n")[0]
        results.append((any(f[0] == name for f in found), f"{rule} sees '{shown}' in {name}"))
    planted_rules = {rule for rule, _, _ in PLANTS}
    for rule, _, _ in tree_test.RULES:
        results.append((rule in planted_rules, f"{rule} has a planted violation"))

    for number, (passed, promise) in enumerate(results, 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {promise}")
    sys.exit(0 if all(passed for passed, _ in results) else 1)


if __name__ == "__main__":
    main()
