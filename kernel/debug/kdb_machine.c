/* Monitor, the machine: CPUs, threads, interrupts, backtraces, configuration, log, power. */
#include <string.h>

#include "ggmk/error.h"
#include "kernel/core/config.h"
#include "kernel/core/console.h"
#include "kernel/core/cpu.h"
#include "kernel/core/initrd.h"
#include "kernel/core/kernel.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/debug/kdb.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/heap.h"
#include "kernel/sched/thread.h"

#define MS 1000000ull

enum { MODE_KIND = 0xf000, MODE_FOLDER = 0x4000 }; /* cpio(5): c_mode, as in stat */

static void cmd_cpus(const struct kdb_call *call) {
    (void)call;
    char text[256];
    arch_features_text(text, sizeof text);
    kdb_print(
        "%s\ncpu apic node  interrupts       timer        ipis    switches    idle ms  runs\n",
        text);
    for (unsigned i = 0; i < CPUS_MAX; i++) {
        const struct cpu *c = cpus[i];
        if (c == NULL)
            continue;
        uint64_t ipis = 0;
        for (size_t kind = 0; kind < sizeof c->ipi_count / sizeof c->ipi_count[0]; kind++)
            ipis += c->ipi_count[kind];
        kdb_print("%3u %4u %4u %11llu %11llu %11llu %11llu %10llu  %s\n", c->index, c->apic_id,
                  c->node, (unsigned long long)c->irq_count, (unsigned long long)c->timer_count,
                  (unsigned long long)ipis, (unsigned long long)c->switch_count,
                  (unsigned long long)(c->idle_ns / MS),
                  !atomic_load_explicit(&c->online, memory_order_relaxed) ? "(not started)"
                  : c->current != NULL                                    ? c->current->name
                                                                          : "");
    }
}

const char *kdb_thread_state(unsigned state) {
    static const char *const names[] = {"new", "ready", "running", "blocked", "stopped", "exited"};
    return state < sizeof names / sizeof names[0] ? names[state] : "?";
}

static void show_thread(void *arg, const struct thread *t) {
    (void)arg;
    kdb_print("%3u %-7s cpu %2u prio %3u %8llu ms  %s\n", t->id, kdb_thread_state(t->state), t->cpu,
              t->priority, (unsigned long long)(t->run_cycles / arch_cycles_khz()), t->name);
}

static void cmd_threads(const struct kdb_call *call) {
    (void)call;
    thread_each(show_thread, NULL);
}

static void cmd_irqs(const struct kdb_call *call) {
    (void)call;
    struct irq_info info;
    for (unsigned i = 0; i < IRQ_DEVICES_MAX && irq_info(i, &info); i++)
        kdb_print("  gsi %3u vector %3u %11llu  %s\n", info.gsi, info.vector,
                  (unsigned long long)info.count, info.name);
    kdb_print("  without a handler   %11llu\n", (unsigned long long)irq_unexpected());
}

/* ---- Backtraces ------------------------------------------------------------------------ */

struct bt_request {
    uint64_t id; /* thread asked for; UINT64_MAX: all */
    bool found;
};

/* `t` is a copy: a thread is known by its number. */
static void bt_thread(void *arg, const struct thread *t) {
    struct bt_request *request = arg;
    if (request->id != UINT64_MAX && request->id != t->id)
        return;
    request->found = true;
    kdb_print("thread %u, %s, %s on CPU %u\n", t->id, t->name, kdb_thread_state(t->state), t->cpu);
    const struct cpu *cpu = cpus[t->cpu];
    if (cpu != NULL && cpu->current != NULL && cpu->current->id == t->id)
        kdb_print("  it runs: bt cpu %u shows where\n", t->cpu);
    else if (t->state != THREAD_EXITED)
        report_backtrace_context(&t->context, kdb_print);
}

/* Runs on every other CPU, in an interrupt, on the stack of what it interrupted. */
static void bt_here(void *arg) {
    if (cpu_this()->index == *(const uint64_t *)arg)
        report_backtrace(NULL, kdb_print);
}

static void bt_cpu(const struct kdb_call *call) {
    uint64_t cpu;
    if (!kdb_arg(call, 1, 10, CPUS_MAX - 1u, &cpu))
        return;
    if (cpus[cpu] == NULL || !atomic_load_explicit(&cpus[cpu]->online, memory_order_relaxed)) {
        kdb_print("there is no CPU %u\n", (unsigned)cpu);
        return;
    }
    bool irq = arch_irq_disable();
    bool here = cpu_this()->index == cpu;
    arch_irq_restore(irq);
    if (here) {
        kdb_print("CPU %u runs this monitor\n", (unsigned)cpu);
        report_backtrace(NULL, kdb_print);
    } else if (call->ctx == NULL) {
        kdb_print("CPU %u is stopped and cannot tell\n", (unsigned)cpu);
    } else {
        ipi_call_others(bt_here, &cpu);
    }
}

static void cmd_bt(const struct kdb_call *call) {
    if (call->argc > 0 && strcmp(call->argv[0], "cpu") == 0) {
        if (call->argc == 2)
            bt_cpu(call);
        else
            kdb_print("bt cpu: which one?\n");
        return;
    }
    struct bt_request request = {.id = UINT64_MAX};
    if (call->ctx == NULL) {
        kdb_print("bt of threads needs a running kernel: bt cpu N\n");
        return;
    }
    if (call->argc > 1) {
        kdb_print("bt %s %s: a thread's number, or cpu and its number\n", call->argv[0],
                  call->argv[1]);
        return;
    }
    if (call->argc == 1 && !kdb_arg(call, 0, 10, UINT32_MAX, &request.id))
        return;
    thread_each(bt_thread, &request);
    if (!request.found)
        kdb_print("there is no thread %s: threads lists them\n", call->argv[0]);
}

/* ---- What it was told ------------------------------------------------------------------- */

/* The n-th word of "off|on|...". */
static void print_choice(const char *choices, uint32_t n) {
    for (; n > 0 && *choices != '\0'; choices++)
        n -= *choices == '|';
    const char *end = choices;
    while (*end != '\0' && *end != '|')
        end++;
    kdb_print("%.*s", (int)(end - choices), choices);
}

static void cmd_config(const struct kdb_call *call) {
    (void)call;
    const struct config_word *w;
    kdb_print("command line: %s\n", boot_info.cmdline);
    for (unsigned i = 0; (w = config_word(i)) != NULL; i++) {
        const uint8_t *field = (const uint8_t *)&kernel_config + w->offset;
        uint32_t value = 0;
        kdb_print("  %-8s ", w->name);
        if (w->size > sizeof value) {
            kdb_print("\"%s\"", (const char *)field);
        } else {
            memcpy(&value, field, w->size);
            if (w->choices != NULL)
                print_choice(w->choices, value - w->least);
            else
                kdb_print("%u", value);
        }
        kdb_print("  (%s)\n", w->meaning);
    }
}

static void cmd_log(const struct kdb_call *call) {
    (void)call;
    static char text[KLOG_KEEP]; /* one monitor, one copy */
    size_t length = klog_tail(text, sizeof text);
    console_write(text, length);
}

static void cmd_initrd(const struct kdb_call *call) {
    (void)call;
    if (boot_info.module_count == 0) {
        kdb_print("the loader brought none\n");
        return;
    }
    struct cpio archive;
    struct cpio_entry entry;
    cpio_open(&archive, arch_phys(boot_info.modules[0].base), boot_info.modules[0].size);
    while (cpio_next(&archive, &entry) && !kdb_interrupted())
        kdb_print("  %9zu  %s%s\n", entry.size, entry.name,
                  (entry.mode & MODE_KIND) == MODE_FOLDER ? "/" : "");
    if (archive.error != NULL)
        kdb_print("damaged at byte %zu: %s\n", archive.at, archive.error);
}

/* ---- Ends --------------------------------------------------------------------------------- */

static void cmd_panic(const struct kdb_call *call) {
    (void)call;
    panic("asked for in the monitor");
}

/* The engine cannot be halted from one of its own tasks. */
static void power_off(void *arg) {
    (void)arg;
    kernel_shutdown(0);
}

static void restart(void *arg) {
    (void)arg;
    kernel_restart();
}

static void shut_down(const char *name, void (*how)(void *arg)) {
    if (thread_start(name, 0, THREAD_PRIORITY_NORMAL, -1, how, NULL) == NULL)
        kdb_print("no thread can be started for it\n");
}

static void cmd_reboot(const struct kdb_call *call) {
    if (call->ctx == NULL) /* after a panic nothing is shut down any more */
        arch_reboot();
    shut_down("reboot", restart);
}

static void cmd_poweroff(const struct kdb_call *call) {
    if (call->ctx == NULL)
        arch_poweroff(1);
    shut_down("poweroff", power_off);
}

const struct kdb_command kdb_machine_commands[] = {
    {"cpus", "", "CPUs, and what they did", 0, 0, true, cmd_cpus},
    {"threads", "", "threads, and where they are", 0, 0, false, cmd_threads},
    {"bt", "[ID | cpu N]", "backtraces of threads, or of a CPU", 0, 2, true, cmd_bt},
    {"irqs", "", "interrupts with a handler", 0, 0, false, cmd_irqs},
    {"config", "", "the command line and what came of it", 0, 0, true, cmd_config},
    {"initrd", "", "files that came with the kernel", 0, 0, true, cmd_initrd},
    {"log", "", "the end of the log", 0, 0, true, cmd_log},
    {"panic", "", "stop everything, with a report", 0, 0, false, cmd_panic},
    {"reboot", "", "shut modules down, start the machine again", 0, 0, true, cmd_reboot},
    {"poweroff", "", "shut modules down, switch the machine off", 0, 0, true, cmd_poweroff},
    {0},
};
