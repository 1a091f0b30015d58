/* Engine: the task engine inside the kernel, one worker per CPU, and tasks from interrupts.
 *
 * Interrupts as clients. A handler submits with irq_submit(). To the engine, the interrupt context
 * of a CPU is a thread of its own, a client: it has its own thread record (found through hal_local,
 * exchanged for the length of the call), its own counters and its own trace ring. So an interrupt
 * that comes in the middle of a worker's submit is, to the engine, a second thread that runs
 * while the first one stands still. Why that is safe, although the first cannot go on until the
 * second has finished, is told in docs/decisions/0010-interrupts-as-clients.md. In short: what
 * irq_submit() calls takes no lock of threads and waits for nobody,
 *   - gmk_emit() with the context of an attached client enters by that client's own entry: no
 *     search, no running lock, also when the engine halts just now (then EHALTED);
 *   - groups and the ordered lane, whose paths have locks, are refused here;
 *   - a client's task goes into a ready ring: a push is a compare-and-swap loop that repeats only
 *     when another CPU got a cell, never for a producer that stands still;
 *   - waking is bits, a store and wait_wake(), whose locks are held with IF off only.
 *
 * The clients are attached in the early init of the module "irq", before any driver's init can
 * let its interrupts in. Where there are more CPUs than client places to spare, several CPUs
 * share one, under a spinlock. */
#include "kernel/cap/reaper.h"
#include "kernel/core/config.h"
#include "kernel/core/cpu.h"
#include "kernel/core/engine_call.h"
#include "kernel/core/initrd.h"
#include "kernel/core/kernel.h"
#include "kernel/core/lock.h"
#include "kernel/core/panic.h"
#include "kernel/core/services.h"
#include "kernel/ipc/channel.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/frame.h"
#include "kernel/sched/thread.h"

#include "ggmk/ggmk.h"

#include <string.h>

#define ENGINE_THREADS     8u /* client places for threads: the monitor, tests, services */
#define ENGINE_IRQ_CLIENTS (GMK_CLIENTS_MAX - ENGINE_THREADS)
#define ENGINE_ARENA_SPARE ((size_t)128 * 1024) /* beyond the least that works */
#define ENGINE_UNITS_SHARE 48u /* of free memory, for what units send by channels */

gmk_kernel_t kernel_engine;

struct irq_client irq_clients[ENGINE_IRQ_CLIENTS];
unsigned irq_client_count;

/* ---- From interrupts -------------------------------------------------------------------- */

static int submit_as(struct cpu *cpu, const struct irq_client *client, const gmk_task_t *task) {
    void *interrupted = cpu->local;
    cpu->local = client->record;
    int status = gmk_emit(client->ctx, task);
    cpu->local = interrupted;
    return status;
}

int irq_submit(const gmk_task_t *task) {
    struct cpu *cpu = cpu_this();
    if (task->group != 0 || (task->flags & GMK_TASK_DETERMINISTIC) != 0)
        return GMK_EINVAL;
    if (irq_client_count == 0)
        return GMK_EHALTED;
    struct irq_client *client = irq_client_of(cpu);
    if (client->ctx == NULL)
        return GMK_EHALTED;
    if (!irq_client_is_shared())
        return submit_as(cpu, client, task);
    bool irq = spin_lock(&client->lock);
    int status = submit_as(cpu, client, task);
    spin_unlock(&client->lock, irq);
    return status;
}

/* The calling thread's hal_local. */
static void *exchange_local(void *local) {
    bool irq = arch_irq_disable();
    void *before = cpu_this()->local;
    cpu_this()->local = local;
    arch_irq_restore(irq);
    return before;
}

/* The booting thread slips into the role of each client in turn, and attaches as it. */
static int irq_attach_clients(gmk_ctx_t *ctx) {
    (void)ctx;
    irq_client_count = cpu_count < ENGINE_IRQ_CLIENTS ? cpu_count : ENGINE_IRQ_CLIENTS;
    for (unsigned i = 0; i < irq_client_count; i++) {
        struct irq_client *client = &irq_clients[i];
        spin_init(&client->lock, LOCK_IRQ_CLIENT);
        void *mine = exchange_local(client->record);
        gmk_ctx_t *attached = gmk_attach(&kernel_engine);
        client->record = exchange_local(mine);
        if (attached == NULL)
            return GMK_ELIMIT;
        /* Release: an interrupt that sees the context sees the record. */
        __atomic_store_n(&client->ctx, attached, __ATOMIC_RELEASE);
        atomic_store_explicit(&client->agent, attached->agent, memory_order_release);
    }
    return GMK_OK;
}

/* ---- Boot and halt ------------------------------------------------------------------------ */

static const char *const irq_needs[] = {"memory", "time"};
static gmk_module_t irq_module = {
    .name = "irq",
    .version = IRQ_SERVICE_VERSION,
    .privilege = GMK_KERNEL,
    .depends = irq_needs,
    .n_depends = sizeof irq_needs / sizeof irq_needs[0],
    .early_init = irq_attach_clients,
    .init = irq_service_publish,
};

static unsigned clients_needed(void) {
    unsigned irq = cpu_count < ENGINE_IRQ_CLIENTS ? cpu_count : ENGINE_IRQ_CLIENTS;
    return irq + ENGINE_THREADS;
}

/* What payloads of units' channels need besides: nothing without an archive that could hold units. */
static size_t arena_for_units(void) {
    const size_t least = (size_t)1 << 20, most = (size_t)16 << 20;
    struct frame_stats frames;
    size_t archive;
    (void)initrd_bytes(&archive);
    if (archive == 0 || strcmp(kernel_config.init, "none") == 0)
        return 0;
    frame_stats(&frames);
    size_t share = frames.free * PAGE_SIZE / ENGINE_UNITS_SHARE;
    return share < least ? least : share > most ? most : page_up(share);
}

void engine_start(void) {
    static gmk_module_t *const own[] = {&memory_module, &time_module, &irq_module, &reaper_module};
    gmk_boot_cfg_t cfg = {
        .n_workers = cpu_count,
        .max_clients = clients_needed(),
        .pin_workers = true,
        .dump_on_request = true,
        .trace_level = kernel_config.trace_level,
        .log_level = kernel_config.log_level,
    };
    channels_forget();
    size_t asked = (size_t)kernel_config.arena_kib * 1024, least = gmk_boot_arena_min(&cfg);
    cfg.arena_size = asked != 0 ? asked : least + ENGINE_ARENA_SPARE + arena_for_units();
    int status = gmk_boot(&kernel_engine, &cfg, own, sizeof own / sizeof own[0]);
    /* From 16 MiB on an engine has more tables, so a little more than the least can be too little. */
    if (status == GMK_ENOMEM && asked == 0) {
        cfg.arena_size = least;
        status = gmk_boot(&kernel_engine, &cfg, own, sizeof own / sizeof own[0]);
    }
    if (status != GMK_OK)
        panic("the engine did not start: %s: %s", gmk_error_name(status), gmk_strerror(status));
}

static void nothing(void *arg) {
    (void)arg;
}

/* No system call enters any more, and none is inside. */
static void shut_out_calls(void) {
    for (unsigned i = 0; i < irq_client_count; i++)
        atomic_store_explicit(&irq_clients[i].agent, NULL, memory_order_seq_cst);
    ipi_call_others(nothing, NULL); /* a barrier on each CPU: engine_enter() */
    for (unsigned i = 0; i < irq_client_count; i++) {
        /* Bound: one system call with IF off. Acquire pairs with the release in engine_leave(). */
        while (atomic_load_explicit(&irq_clients[i].inside, memory_order_acquire) != 0)
            arch_relax();
    }
}

int engine_stop(void) {
    shut_out_calls();
    return gmk_halt(&kernel_engine);
}
