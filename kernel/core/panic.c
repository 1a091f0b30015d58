/* Panic: stop everybody else, tell what is known, end. See panic.h.
 *
 * The order is by how likely each step is to fail in a damaged kernel: the reason first, the
 * registers, then what follows pointers. Every pointer is checked before it is followed
 * (kernel/debug/readable.h), and what fails all the same ends in the second level below.
 *
 *   level 1   the first panic: the whole report
 *   level 2   on the same CPU, a fault in the report: one line, then the same end
 *   level 3   a fault in that line or in the end: halt, touching nothing
 * A panic on another CPU meanwhile parks that CPU: its NMI is on the way. */
#include "kernel/core/panic.h"

#include <stdarg.h>

#include "kernel/core/config.h"
#include "kernel/core/console.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "kernel/debug/kdb.h"
#include "kernel/debug/readable.h"
#include "kernel/debug/report.h"
#include "kernel/sched/thread.h"
#include "lib/format.h"

#define PANIC_STOP_NS    100000000u /* how long the other CPUs have to stop: 0.1 s */
#define PANIC_STOP_TRIES 10000000u  /* the same in looks, should the clock stand still */
#define PANIC_TRACE      16u        /* events shown */
#define PANIC_NOBODY     0u

static _Atomic uint32_t panicking; /* index + 1 of the CPU that panics */
static unsigned panic_level;       /* touched by that CPU only */

/* This CPU panics: returns its level; another one was first: does not return. */
static unsigned panic_enter(void) {
    uint32_t mine = cpu_this()->index + 1u, first = PANIC_NOBODY;
    /* Alone: the flag orders nothing, it only chooses one CPU. */
    if (!atomic_compare_exchange_strong_explicit(&panicking, &first, mine, memory_order_relaxed,
                                                 memory_order_relaxed) &&
        first != mine)
        panic_stop_here();
    return ++panic_level;
}

void panic_stop_here(void) {
    uint32_t first = atomic_load_explicit(&panicking, memory_order_relaxed);
    struct cpu *cpu = cpu_this();
    if (first == PANIC_NOBODY || first == cpu->index + 1u)
        return;
    /* Pairs with stopped_all(): nothing that this CPU wrote comes after. */
    atomic_store_explicit(&cpu->stopped, true, memory_order_release);
    arch_halt_forever();
}

static bool cpu_runs(unsigned i) {
    return cpus[i] != NULL && i != cpu_this()->index &&
           atomic_load_explicit(&cpus[i]->online, memory_order_relaxed) &&
           /* Pairs with panic_stop_here(). */
           !atomic_load_explicit(&cpus[i]->stopped, memory_order_acquire);
}

static bool stopped_all(void) {
    for (unsigned i = 0; i < CPUS_MAX; i++)
        if (cpu_runs(i))
            return false;
    return true;
}

static void stop_others(void) {
    if (stopped_all())
        return; /* there are none; then there may be no interrupt controller either */
    arch_ipi_send_others(ARCH_IPI_STOP);
    uint64_t end = arch_time_ns() + PANIC_STOP_NS;
    for (unsigned i = 0; i < PANIC_STOP_TRIES && !stopped_all() && arch_time_ns() < end; i++)
        arch_relax();
}

static void print_head(const char *text) {
    struct cpu *cpu = cpu_this();
    uint64_t us = arch_time_ns() / 1000u;
    const char *name = "none";
    if (debug_readable((vaddr_t)cpu->current, sizeof *cpu->current, NULL))
        name = cpu->current->name;
    kprint("\nPANIC: %s\n", text);
    kprint("on CPU %u, thread %.*s%s, at %llu.%06llu s\n", cpu->index, (int)THREAD_NAME_MAX, name,
           cpu->in_irq ? ", in an interrupt" : "", (unsigned long long)(us / 1000000u),
           (unsigned long long)(us % 1000000u));
    for (unsigned i = 0; i < CPUS_MAX; i++)
        if (cpu_runs(i))
            kprint("CPU %u did not stop: what follows may change under our eyes\n", i);
}

_Noreturn static void panic_end(void) {
    if (kernel_config.panic == CONFIG_PANIC_EXIT)
        arch_poweroff(1);
    if (kernel_config.panic == CONFIG_PANIC_REBOOT)
        arch_reboot();
    kprint("halted\n");
    if (kernel_config.kdb && kernel_config.serial)
        kdb_post_mortem();
    arch_halt_forever();
}

_Noreturn static void panic_v(const struct arch_frame *frame, const char *fmt, va_list args) {
    (void)arch_irq_disable();
    unsigned level = panic_enter();
    if (level > 2)
        arch_halt_forever();
    char text[GMK_LOG_LINE_MAX];
    format_vstring(text, sizeof text, fmt, args);
    if (level == 2) {
        kprint("panic inside the panic: %s\n", text);
        panic_end();
    }
    stop_others();
    console_panic();
    print_head(text);
    if (frame != NULL)
        arch_frame_print(frame, kprint);
    report_backtrace(frame, kprint);
    report_trace(cpu_this()->index, PANIC_TRACE, kprint);
    panic_end();
}

void panic_frame(const struct arch_frame *frame, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    panic_v(frame, fmt, args);
}

void panic(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    panic_v(NULL, fmt, args);
}
