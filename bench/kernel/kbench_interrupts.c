/* Kernel bench, interrupts: from a device's interrupt to the first instruction of its task, and
 * from a wake-up to a thread on a parked CPU. */
#include "bench/kernel/kbench.h"

#include "ggmk/ggmk.h"
#include "kernel/core/cpu.h"
#include "kernel/core/kernel.h"
#include "kernel/core/log.h"
#include "kernel/irq/irq.h"
#include "kernel/sched/thread.h"

/* ---- Interrupt to task ------------------------------------------------------------------ */

#define TYPE_BENCH_IRQ 4000u
#define BENCH_GSI      11u /* a pin that nothing drives on the machines measured here */
#define SAMPLE_NS      1000000000ull

static uint64_t raised;
static uint64_t handler_seen, task_seen;
static _Atomic uint32_t task_ran;

static void on_interrupt(void *arg) {
    (void)arg;
    handler_seen = arch_cycles();
    (void)irq_submit(&(gmk_task_t){.type = TYPE_BENCH_IRQ});
}

static int run_irq_task(gmk_ctx_t *ctx) {
    (void)ctx;
    task_seen = arch_cycles();
    /* Pairs with the acquire in interrupt_to_task(). */
    atomic_store_explicit(&task_ran, 1, memory_order_release);
    (void)wait_wake(&task_ran, 1);
    return GMK_OK;
}

static const gmk_handler_reg_t irq_handlers[] = {{TYPE_BENCH_IRQ, run_irq_task, "bench.irq"}};
static gmk_module_t irq_bench = {.name = "irq_bench",
                                 .version = GMK_VERSION(1, 0, 0),
                                 .handlers = irq_handlers,
                                 .n_handlers = 1,
                                 .privilege = GMK_KERNEL};
GMK_MODULE(irq_bench)

static unsigned bench_vector(void) {
    struct irq_info info;
    for (unsigned i = 0; irq_info(i, &info); i++) {
        if (info.gsi == BENCH_GSI)
            return info.vector;
    }
    return 0;
}

/* An interrupt whose first instant is known: the CPU takes the vector as an INT instruction,
 * which enters through the same gate (Intel SDM 3A 6.4.4). The operand is a constant of the
 * instruction, hence the table of code. */
static void raise_vector(unsigned vector) {
    uint8_t *code = NULL;
    extern uint8_t kbench_int_table[]; /* bench/kernel/kbench_int.S: 256 times `int n; ret` */
    code = kbench_int_table + vector * 4u;
    void (*call)(void) = (void (*)(void))(uintptr_t)code;
    raised = arch_cycles();
    call();
}

static void interrupt_to_task(unsigned vector) {
    static struct kbench handler, task;
    kbench_begin(&handler);
    kbench_begin(&task);
    for (unsigned i = 0; i < KBENCH_SAMPLES + 10; i++) {
        atomic_store_explicit(&task_ran, 0, memory_order_relaxed);
        raise_vector(vector);
        while (atomic_load_explicit(&task_ran, memory_order_acquire) == 0) {
            if (!wait_block(&task_ran, 0, SAMPLE_NS)) {
                kprint("bench irq-to-task failed: the task did not run\n");
                return;
            }
        }
        if (i < 10)
            continue; /* warm up */
        kbench_add(&handler, handler_seen - raised);
        kbench_add(&task, task_seen - raised);
    }
    kbench_print(&handler, "irq-to-handler");
    kbench_print(&task, "irq-to-task");
}

/* ---- Waking a parked CPU ------------------------------------------------------------------ */

static _Atomic uint32_t go, went;
static uint64_t woken_at;

#define WAKES 64u

static void sleeper(void *arg) {
    (void)arg;
    for (uint32_t turn = 1; turn <= WAKES; turn++) {
        while (atomic_load_explicit(&go, memory_order_acquire) != turn)
            (void)wait_block(&go, turn - 1, UINT64_MAX);
        woken_at = arch_cycles();
        atomic_store_explicit(&went, turn, memory_order_release);
        (void)wait_wake(&went, 1);
    }
    thread_exit();
}

static void rest(uint64_t ns) {
    static _Atomic uint32_t never;
    (void)wait_block(&never, 0, ns);
}

static void remote_wake(void) {
    static struct kbench bench;
    kbench_begin(&bench);
    struct thread *thread =
        thread_start("bench-sleeper", 0, THREAD_PRIORITY_NORMAL, 1, sleeper, NULL);
    if (thread == NULL) {
        kprint("bench remote-wake failed: no thread\n");
        return;
    }
    for (uint32_t turn = 1; turn <= WAKES; turn++) {
        rest(2000000); /* the other CPU has long parked */
        uint64_t start = arch_cycles();
        atomic_store_explicit(&go, turn, memory_order_release);
        (void)wait_wake(&go, 1);
        while (atomic_load_explicit(&went, memory_order_acquire) != turn)
            (void)wait_block(&went, turn - 1, UINT64_MAX);
        kbench_add(&bench, woken_at - start);
    }
    thread_join(thread);
    kbench_print(&bench, "remote-wake");
}

void kbench_interrupts(void) {
    int status = irq_attach(BENCH_GSI, false, false, on_interrupt, NULL, "bench");
    if (status != GMK_OK) {
        kprint("bench irq-to-task failed: %s\n", gmk_strerror(status));
        return;
    }
    interrupt_to_task(bench_vector());
    (void)irq_detach(BENCH_GSI);
    if (cpu_count > 1)
        remote_wake();
}
