/* Kernel bench, log: what one line costs, formatting and every console included. */
#include "bench/kernel/kbench.h"

#include "kernel/core/log.h"

void kbench_log(void) {
    static struct kbench bench;
    kbench_begin(&bench);
    for (unsigned i = 0; i < 32; i++) {
        uint64_t start = arch_cycles();
        klog_warn("bench", "line %u of a log, with a number %llx in it", i,
                  (unsigned long long)start);
        kbench_add(&bench, arch_cycles() - start);
    }
    kbench_print(&bench, "log-line");
    kbench_begin(&bench);
    for (unsigned i = 0; i < KBENCH_SAMPLES; i++) {
        uint64_t start = arch_cycles();
        klog_debug("bench", "line %u that the level drops", i);
        kbench_add(&bench, arch_cycles() - start);
    }
    kbench_print(&bench, "log-line-dropped");
}
