/* Kernel bench: the payload of the bench image: picks groups, sorts samples, prints lines. */
#include "bench/kernel/kbench.h"

#include "bench/kernel/task_bench.h"
#include "kernel/core/config.h"
#include "kernel/core/kernel.h"
#include "kernel/core/log.h"

#include <string.h>

void kbench_begin(struct kbench *bench) {
    bench->count = 0;
}

void kbench_add(struct kbench *bench, uint64_t ticks) {
    if (bench->count == KBENCH_SAMPLES)
        return;
    unsigned i = bench->count++;
    for (; i > 0 && bench->at[i - 1] > ticks; i--)
        bench->at[i] = bench->at[i - 1];
    bench->at[i] = ticks;
}

void kbench_line(const char *name, uint64_t p50, uint64_t worst) {
    kprint("bench %s p50 %llu worst %llu\n", name, (unsigned long long)p50,
           (unsigned long long)worst);
}

void kbench_print(const struct kbench *bench, const char *name) {
    if (bench->count == 0)
        kprint("bench %s failed: no samples\n", name);
    else
        kbench_line(name, bench->at[bench->count / 2], bench->at[bench->count - 1]);
}

static void kbench_tasks(void) {
    task_bench(kbench_line);
}

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    {"footprint", kbench_footprint},
    {"memory", kbench_memory},
    {"log", kbench_log},
    {"tasks", kbench_tasks},
    {"interrupts", kbench_interrupts},
    {"throughput", kbench_throughput},
    {"idle", kbench_idle},
};

void kernel_payload(void) {
    bool found = false;
    for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (kernel_config.bench[0] != '\0' && strcmp(kernel_config.bench, groups[i].name) != 0)
            continue;
        found = true;
        groups[i].run();
    }
    if (!found)
        kprint("bench: there is no group '%s'\n", kernel_config.bench);
    kprint("bench: done\n");
    kernel_shutdown(found ? 0 : 1);
}
