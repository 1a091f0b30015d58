/* Main: from the first line of C on the boot CPU to a running engine.
 *
 * The steps below stand in the one order that works: each uses what those before it made. They run
 * once, on the boot CPU, with IF off until the CPUs are started. Then this flow is the thread
 * "boot": it runs the payload of a test image, or ends, and everything further is the modules'. */
#include "kernel/core/kernel.h"

#include "kernel/core/acpi.h"
#include "kernel/core/config.h"
#include "kernel/core/console.h"
#include "kernel/core/cpu.h"
#include "kernel/core/initrd.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/debug/kdb.h"
#include "kernel/debug/latency.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/mem.h"
#include "kernel/sched/thread.h"
#include "kernel/sys/sys.h"
#include "kernel/time/timer.h"
#include "lib/format.h"

/* arch/x86_64/kernel.lds */
extern char image_start[], image_end[];
typedef void (*constructor_fn)(void);
extern const constructor_fn init_array_start[], init_array_end[];

static void step_config(void) {
    arch_serial_init();
    if (boot_info.kernel_size == 0) {
        boot_info.kernel_base = (vaddr_t)image_start - LAYOUT_IMAGE;
        boot_info.kernel_size = (vaddr_t)image_end - (vaddr_t)image_start;
    }
    config_init(&boot_info);
    klog_info("boot", "GGMK %u.%u.%u, by %s%s%s: memory ranges %u, modules %u",
              GMK_VERSION_MAJOR(GMK_LIBRARY_VERSION), GMK_VERSION_MINOR(GMK_LIBRARY_VERSION),
              GMK_VERSION_PATCH(GMK_LIBRARY_VERSION), boot_info.road,
              boot_info.loader[0] != '\0' ? " from " : "", boot_info.loader, boot_info.range_count,
              boot_info.module_count);
    if (boot_info.complaint != NULL)
        klog_warn("boot", "%s", boot_info.complaint);
    if (boot_info.dropped_ranges + boot_info.dropped_modules > 0)
        klog_warn("boot", "too many for the tables: %u memory ranges, %u modules dropped",
                  boot_info.dropped_ranges, boot_info.dropped_modules);
}

static void step_cpu(void) {
    arch_cpu_init(cpus[0]);
    arch_features_init();
    char text[GMK_LOG_LINE_MAX];
    arch_features_text(text, sizeof text);
    klog_info("cpu", "%s", text);
}

static void step_memory(void) {
    mem_init(&boot_info);
    arch_boot_stack_guard();
    arch_space_init();
    initrd_init(&boot_info);
    console_screen_init(&boot_info);
}

static void step_acpi(void) {
    acpi_init(&boot_info);
    mem_numa_init();
    arch_machine_init();
}

static void step_heap(void) {
    mem_heap_init();
}

/* What every CPU does for itself before it counts as online. */
static void cpu_start(struct cpu *cpu) {
    timer_cpu_init(cpu);
    arch_timer_init();
    sched_cpu_init(cpu);
    /* Release pairs with the loads in arch_smp_start() and shootdown(): it answers interrupts. */
    atomic_store_explicit(&cpu->online, true, memory_order_release);
    arch_tlb_flush_all(); /* before that, nobody asked it to forget anything */
}

static void step_cpus(void) {
    cpu_start(cpus[0]);
    arch_irq_enable();
    arch_smp_start(kernel_config.cpus_max);
    klog_info("cpu", "%u online", cpu_count);
}

/* Constructors: the modules of the image register with the engine (GMK_MODULE). */
static void step_engine(void) {
    for (const constructor_fn *fn = init_array_start; fn < init_array_end; fn++)
        (*fn)();
    mem_boot_release(&boot_info);
    engine_start();
}

struct step {
    const char *name;
    void (*run)(void);
};
static const struct step steps[] = {
    {"config", step_config},       {"cpu", step_cpu},
    {"memory", step_memory},       {"acpi", step_acpi},
    {"interrupts", arch_irq_init}, {"time", arch_time_init},
    {"heap", step_heap},           {"cpus", step_cpus},
    {"engine", step_engine},
};
#define STEPS (sizeof steps / sizeof steps[0])

/* The clock exists only after some of the steps: cycles are kept and told at the end. */
static void report_times(const uint64_t marks[STEPS + 1]) {
    char text[GMK_LOG_LINE_MAX];
    size_t length = 0;
    for (unsigned i = 0; i < STEPS && length < sizeof text; i++)
        length += format_string(
            text + length, sizeof text - length, " %s %llu", steps[i].name,
            (unsigned long long)((marks[i + 1] - marks[i]) * 1000 / arch_cycles_khz()));
    klog_info("boot", "up after %llu us:%s",
              (unsigned long long)((marks[STEPS] - marks[0]) * 1000 / arch_cycles_khz()), text);
}

_Noreturn void kernel_main(void) {
    uint64_t marks[STEPS + 1];
    for (unsigned i = 0; i < STEPS; i++) {
        marks[i] = arch_cycles();
        steps[i].run();
    }
    marks[STEPS] = arch_cycles();
    report_times(marks);
    if (kernel_payload != NULL) {
        kernel_payload();
    } else {
        kdb_start();
        if (!init_start())
            kdb_greet();
    }
    sched_idle_loop();
}

_Noreturn void kernel_cpu_main(struct cpu *cpu) {
    mem_cpu_init(cpu);
    cpu_start(cpu);
    sched_idle_loop();
}

_Noreturn void kernel_shutdown(int status) {
    latency_report();
    engine_stop();
    arch_poweroff(status);
}

_Noreturn void kernel_restart(void) {
    engine_stop();
    arch_reboot();
}
