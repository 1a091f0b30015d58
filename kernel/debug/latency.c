/* Latency: the longest stretches with interrupts off. See latency.h. */
#include "kernel/debug/latency.h"

#include <stdatomic.h>

#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/sys/sys.h"
#include "lib/format.h"

#define REPORTED   3u
#define EXCEPTIONS 32u

_Static_assert((int)LATENCY_VECTOR == (int)GMK_SYSCALLS_MAX, "a kind per system call");

#if LATENCY_ON

static _Atomic uint64_t longest[LATENCY_KINDS];
static _Atomic uintptr_t site; /* in which thread of the kernel: of the longest of LATENCY_KERNEL */

void latency_begin(unsigned kind) {
    struct cpu *cpu = cpu_this();
    cpu->off_kind = kind;
    cpu->off_site = (uintptr_t)__builtin_return_address(0);
    cpu->off_since = arch_cycles();
}

void latency_end(void) {
    struct cpu *cpu = cpu_this();
    if (cpu->off_since == 0) /* the first time that IF comes on */
        return;
    uint64_t cycles = arch_cycles() - cpu->off_since;
    _Atomic uint64_t *most = &longest[cpu->off_kind];
    cpu->off_since = 0;
    uint64_t before = atomic_load_explicit(most, memory_order_relaxed);
    while (cycles >
           before) /* bounded: each further round means that another CPU had a longer one */
        if (atomic_compare_exchange_weak_explicit(most, &before, cycles, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            if (cpu->off_kind == LATENCY_KERNEL)
                atomic_store_explicit(&site, cpu->off_site, memory_order_relaxed);
            return;
        }
}

uint64_t latency_longest(unsigned kind) {
    return atomic_load_explicit(&longest[kind], memory_order_relaxed);
}

void latency_reset(void) {
    for (unsigned kind = 0; kind < LATENCY_KINDS; kind++)
        atomic_store_explicit(&longest[kind], 0, memory_order_relaxed);
}

static uintptr_t longest_site(void) {
    return atomic_load_explicit(&site, memory_order_relaxed);
}

#else

uint64_t latency_longest(unsigned kind) {
    (void)kind;
    return 0;
}
void latency_reset(void) {}
static uintptr_t longest_site(void) {
    return 0;
}

#endif

void latency_name(unsigned kind, char *out, size_t size) {
    const char *name = kind < LATENCY_VECTOR ? sys_name(kind) : NULL;
    char at[LATENCY_NAME_MAX - 24u];
    if (name != NULL) {
        format_string(out, size, "%s", name);
    } else if (kind < LATENCY_VECTOR) {
        format_string(out, size, "system call %u", kind);
    } else if (kind < LATENCY_FOREIGN) {
        unsigned vector = kind - LATENCY_VECTOR;
        format_string(out, size, "%s %u", vector < EXCEPTIONS ? "exception" : "interrupt", vector);
    } else if (kind == LATENCY_FOREIGN) {
        format_string(out, size, "foreign call");
    } else {
        symbol_format(longest_site(), at, sizeof at);
        format_string(out, size, "kernel thread in %s", at);
    }
}

unsigned latency_next(uint64_t cycles) {
    unsigned most = LATENCY_KINDS;
    for (unsigned kind = 0; kind < LATENCY_KINDS; kind++) {
        uint64_t here = latency_longest(kind);
        if (here != 0 && here < cycles && (most == LATENCY_KINDS || here > latency_longest(most)))
            most = kind;
    }
    return most;
}

void latency_report(void) {
    char text[REPORTED * (LATENCY_NAME_MAX + 24u)];
    size_t used = 0;
    unsigned kind = latency_next(UINT64_MAX);
    for (unsigned i = 0; i < REPORTED && kind != LATENCY_KINDS; i++) {
        char name[LATENCY_NAME_MAX];
        uint64_t cycles = latency_longest(kind);
        latency_name(kind, name, sizeof name);
        used += format_string(text + used, sizeof text - used, "%s%s %llu", i == 0 ? "" : ", ",
                              name, (unsigned long long)cycles);
        kind = latency_next(cycles);
    }
    if (used != 0)
        klog_info("latency", "longest with interrupts off, in cycles: %s", text);
}
