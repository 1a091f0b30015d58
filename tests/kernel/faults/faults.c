/* Faults: one function per mistake; tests/system/kernel-faults.sh knows what each must say.
 *
 * The functions keep their names in the backtrace: they are not inlined, and what they call is not
 * their last step. */
#include "tests/kernel/faults/faults.h"

#include <cmocka.h>
#include <string.h>

#include "ggmk/ggmk.h"
#include "kernel/core/cpu.h"
#include "kernel/core/kernel.h"
#include "kernel/core/lock.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/thread.h"
#include "tests/kernel/lib/runner.h"

#define STEP __attribute__((noinline)) static void

static volatile uint64_t zero; /* what the compiler must not know */
static volatile uint64_t sink;

/* ---- The processor's ------------------------------------------------------------------------- */

STEP touch_guard_page(void) {
    volatile char *stack = vm_stack_alloc(THREAD_STACK_SIZE);
    stack[-1] = 1;
    sink++;
}

STEP recurse(uint64_t depth) {
    volatile uint64_t frame[64];
    frame[depth % 64] = depth;
    if (depth != zero - 1) /* which never comes */
        recurse(depth + 1);
    sink += frame[depth % 64];
}

STEP overflow_stack(void) {
    recurse(0);
    sink++;
}

STEP smash_stack(void) {
    fault_smash_stack();
    sink++;
}

STEP divide_by_zero(void) {
    sink = 100 / zero;
}

/* An address with bit 63 set and bit 47 clear is in nobody's half. */
STEP use_crooked_address(void) {
    sink = *(volatile uint64_t *)(zero + 0x8000000000000000ull);
}

STEP read_null(void) {
    sink = *(volatile uint64_t *)(zero + 8);
}

STEP call_null(void) {
    ((void (*)(void))zero)();
    sink++;
}

STEP write_code(void) {
    *(volatile char *)(uintptr_t)fault_provoke = 0;
    sink++;
}

STEP write_constant(void) {
    static const char text[] = "constant";
    *(volatile char *)(uintptr_t)text = 0;
    sink++;
}

STEP run_data(void) {
    static char bytes[16];
    memset(bytes, 0xc3, sizeof(bytes)); /* ret */
    ((void (*)(void))(uintptr_t)bytes)();
    sink++;
}

STEP send_nmi(void) {
    arch_ipi_send(cpu_this()->index, ARCH_IPI_STOP); /* though nobody panics */
    sink++;
    while (zero == 0)
        arch_relax();
}

/* ---- The kernel's own ------------------------------------------------------------------------ */

STEP break_invariant(void) {
    K_ASSERT(zero == 1, "zero is one");
    sink++;
}

static int broken_handler(gmk_ctx_t *ctx) {
    K_ASSERT(ctx->task->meta0 == 1, "the task is the first");
    return GMK_OK;
}

/* In a task, so on a worker of another engine. */
STEP break_in_task(void) {
    static const gmk_handler_reg_t handlers[] = {{1, broken_handler, "broken"}};
    static gmk_module_t module = {.name = "breaker", .handlers = handlers, .n_handlers = 1};
    gmk_module_t *const mods[] = {&module};
    const gmk_boot_cfg_t cfg = {.n_workers = 1,
                                .arena_size = gmk_boot_arena_min(NULL) + (1u << 20),
                                .no_auto_modules = true};
    static gmk_kernel_t engine;
    gmk_task_t task = {.type = 1, .meta0 = 2};
    if (gmk_boot(&engine, &cfg, mods, 1) == GMK_OK && gmk_submit(&engine, &task) == GMK_OK)
        (void)gmk_drain(&engine, UINT64_MAX);
}

static struct spinlock first = SPINLOCK_INIT(LOCK_IRQ_TABLE), last = SPINLOCK_INIT(LOCK_LEAF);

STEP take_lock_twice(void) {
    (void)spin_lock(&last);
    (void)spin_lock(&last);
    sink++;
}

STEP take_locks_in_wrong_order(void) {
    (void)spin_lock(&last);
    (void)spin_lock(&first);
    sink++;
}

STEP free_twice(void) {
    void *block = kmalloc(100), *neighbour = kmalloc(100); /* keeps their slab alive */
    kfree(block);
    kfree(block);
    kfree(neighbour);
}

STEP write_past_block(void) {
    char *block = kmalloc(100);
    memset(block, 0, kmalloc_size(block) + 1);
    kfree(block);
    sink++;
}

STEP free_frame_twice(void) {
    paddr_t frame = frame_alloc(FRAME_OTHER);
    frame_free(frame);
    frame_free(frame);
    sink++;
}

static void deaf(void *arg) {
    (void)arch_irq_disable();
    atomic_store_explicit((_Atomic bool *)arg, true, memory_order_relaxed);
    while (zero == 0)
        arch_relax();
}

/* The other CPU of two spins with interrupts off while this one wants its TLB flushed. */
STEP wait_for_deaf_cpu(void) {
    static _Atomic bool is_deaf;
    int other = cpu_this()->index == 0 ? 1 : 0;
    if (thread_start("deaf", THREAD_STACK_SIZE, THREAD_PRIORITY_WORKER, other, deaf, &is_deaf) ==
        NULL)
        return;
    while (!atomic_load_explicit(&is_deaf, memory_order_relaxed))
        sched_yield();
    void *page = vm_alloc(PAGE_SIZE, FRAME_OTHER);
    vm_free(page, PAGE_SIZE);
    sink++;
}

/* ---- The tests' own: does the runner see what goes wrong? --------------------------------------- */

static void fails(void **state) {
    (void)state;
    assert_int_equal(sink + 1, zero);
    sink++;
}

static void hangs(void **state) {
    (void)state;
    while (zero == 0)
        sched_yield();
}

static void passes(void **state) {
    (void)state;
    assert_int_equal(zero, 0);
}

STEP run_failing_test(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fails), cmocka_unit_test(passes)};
    program_now = "fault";
    (void)cmocka_run_group_tests(tests, NULL, NULL);
}

STEP run_hanging_test(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(passes), cmocka_unit_test(hangs)};
    program_now = "fault";
    (void)cmocka_run_group_tests(tests, NULL, NULL);
}

/* ---- By name --------------------------------------------------------------------------------- */

void fault_provoke(const char *name) {
    static const struct {
        const char *name;
        void (*provoke)(void);
    } faults[] = {
        {"guard-page", touch_guard_page},
        {"stack-overflow", overflow_stack},
        {"smashed-stack", smash_stack},
        {"divide", divide_by_zero},
        {"protection", use_crooked_address},
        {"null-read", read_null},
        {"null-call", call_null},
        {"write-code", write_code},
        {"write-constant", write_constant},
        {"run-data", run_data},
        {"nmi", send_nmi},
        {"assert", break_invariant},
        {"task-assert", break_in_task},
        {"lock-twice", take_lock_twice},
        {"lock-order", take_locks_in_wrong_order},
        {"free-twice", free_twice},
        {"write-past", write_past_block},
        {"frame-twice", free_frame_twice},
        {"deaf-cpu", wait_for_deaf_cpu},
        {"failing-test", run_failing_test},
        {"hanging-test", run_hanging_test},
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (strcmp(faults[i].name, name) == 0)
            faults[i].provoke();
}
