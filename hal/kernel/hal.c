/* HAL of the kernel: what hal/hal.h asks for, by the kernel's own means.
 *
 * The engine's threads are kernel threads, its waiting is wait.c, its memory is mapped page by page
 * (vm_alloc()), its log is the kernel's. hal_local lies in the CPU's block and is switched with
 * the thread (arch/.../hal_local.h).
 *
 * No asymmetric barrier. hal_barrier_all() could be an inter-processor interrupt to every other
 * CPU. But the engine asks for it whenever a worker goes to sleep, and the interrupts would wake
 * all those that sleep already: a system that comes to rest would take CPUs squared of them, to
 * spare each submit one locked instruction. So the light side pays: a fence. */
#include "hal/hal.h"

#include "ggmk/error.h"
#include "hal/kernel/dump.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

/* ---- Time ------------------------------------------------------------------------ */

uint64_t hal_now_ns(void) {
    return time_now_ns();
}

uint64_t hal_cycles(void) {
    return arch_cycles();
}

uint64_t hal_cycles_khz(void) {
    return arch_cycles_khz();
}

/* ---- Waiting ----------------------------------------------------------------------- */

bool hal_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    return wait_block(word, expected, timeout_ns);
}

void hal_wake(_Atomic uint32_t *word, uint32_t count) {
    (void)wait_wake(word, count);
}

void hal_yield_cpu(void) {
    sched_yield();
}

bool hal_barrier_all(void) {
    return false;
}

bool hal_barrier_is_asymmetric(void) {
    return false;
}

/* ---- Threads -------------------------------------------------------------------------- */

int hal_thread_start(struct hal_thread *out, const char *name, size_t stack_size, int cpu,
                     void (*fn)(void *arg), void *arg) {
    if (cpu >= 0 && (unsigned)cpu >= hal_cpu_count())
        return GMK_EINVAL;
    struct thread *thread =
        thread_start(name != NULL ? name : "", stack_size, THREAD_PRIORITY_WORKER, cpu, fn, arg);
    if (thread == NULL)
        return GMK_ENOMEM;
    out->opaque[0] = (uintptr_t)thread;
    out->opaque[1] = 0;
    return 0;
}

void hal_thread_join(struct hal_thread *thread) {
    thread_join((struct thread *)thread->opaque[0]);
}

unsigned hal_cpu_count(void) {
    return cpu_count;
}

unsigned hal_cpu_current(void) {
    return cpu_this()->index;
}

void hal_local_on_exit(void (*fn)(void *value)) {
    thread_current()->local_exit = fn;
}

/* ---- Locks: three states, so that nobody wakes anybody unless somebody waits --------------
 * After Ulrich Drepper, "Futexes Are Tricky", mutex2. Who has slept takes the lock as contended,
 * since it cannot know whether it was the last. */

enum { HAL_LOCK_FREE = 0, HAL_LOCK_HELD = 1, HAL_LOCK_CONTENDED = 2 };

void hal_lock(struct hal_lock *lock) {
    uint32_t seen = HAL_LOCK_FREE;
    /* Acquire, both: pair with the release in hal_unlock(). */
    if (atomic_compare_exchange_strong_explicit(&lock->state, &seen, HAL_LOCK_HELD,
                                                memory_order_acquire, memory_order_relaxed))
        return;
    while (atomic_exchange_explicit(&lock->state, HAL_LOCK_CONTENDED, memory_order_acquire) !=
           HAL_LOCK_FREE)
        (void)wait_block(&lock->state, HAL_LOCK_CONTENDED, HAL_FOREVER);
}

void hal_unlock(struct hal_lock *lock) {
    /* Release: pairs with both acquires in hal_lock(). */
    if (atomic_exchange_explicit(&lock->state, HAL_LOCK_FREE, memory_order_release) ==
        HAL_LOCK_CONTENDED)
        (void)wait_wake(&lock->state, 1);
}

/* ---- Short locks: a system call cannot sleep, and may have preempted a thread of the engine ---- */

struct short_lock {
    struct spinlock spin;
    bool irq; /* of the holder, to be put back */
};
_Static_assert(sizeof(struct short_lock) <= sizeof(struct hal_short), "it fits");

static struct short_lock *short_of(struct hal_short *lock) {
    return (struct short_lock *)(void *)lock;
}

void hal_short_init(struct hal_short *lock) {
    spin_init(&short_of(lock)->spin, LOCK_ENGINE);
}

void hal_short_lock(struct hal_short *lock) {
    bool irq = spin_lock(&short_of(lock)->spin);
    short_of(lock)->irq = irq;
}

void hal_short_unlock(struct hal_short *lock) {
    spin_unlock(&short_of(lock)->spin, short_of(lock)->irq);
}

/* ---- Memory ------------------------------------------------------------------------------- */

void *hal_pages_alloc(size_t size) {
    return size == 0 || size % PAGE_SIZE != 0 ? NULL : vm_alloc(size, FRAME_ENGINE);
}

void hal_pages_free(void *pages, size_t size) {
    if (pages != NULL)
        vm_free(pages, size);
}

/* ---- Last words ----------------------------------------------------------------------------- */

void hal_log_write(const char *text, size_t length) {
    klog_write(text, length);
}

_Noreturn void hal_panic(const char *message) {
    panic("%s", message);
}

/* ---- Dump requests ---------------------------------------------------------------------------- */

static struct hal_lock dump_lock;
/* Guarded by dump_lock, which is held while the function runs: so it does not run any more when
 * hal_on_dump_request() returns. */
static void (*dump_fn)(void *arg);
static void *dump_arg;

bool hal_on_dump_request(void (*fn)(void *arg), void *arg) {
    hal_lock(&dump_lock);
    dump_fn = fn;
    dump_arg = arg;
    hal_unlock(&dump_lock);
    return true;
}

bool hal_dump_request_fire(void) {
    hal_lock(&dump_lock);
    bool wanted = dump_fn != NULL;
    if (wanted)
        dump_fn(dump_arg);
    hal_unlock(&dump_lock);
    return wanted;
}
