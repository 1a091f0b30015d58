/* HAL of a unit: what hal/hal.h asks for, by system calls and user/lib.
 *
 * Threads are the unit's own, waiting is word_wait and word_wake, memory is anonymous and mapped, the
 * log is the console that the unit was given. How many CPUs there are it knows only if it was given
 * the machine to look at ("system"); else it makes do with one.
 *
 * No asymmetric barrier: a unit cannot interrupt other CPUs. No dump request: nobody asks a unit. */
#include "hal/hal.h"

#include <string.h>

#include "ggmk/error.h"
#include "user/lib/memory.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

/* ---- Time ------------------------------------------------------------------------------------- */

#define CALIBRATE_NS 5000000u

uint64_t hal_now_ns(void) {
    return (uint64_t)sys_time();
}

uint64_t hal_cycles(void) {
    return __builtin_ia32_rdtsc();
}

static uint64_t calibrate(void) {
    uint64_t from_ns = hal_now_ns(), from = hal_cycles(), ns;
    do {
        ns = hal_now_ns() - from_ns;
    } while (ns < CALIBRATE_NS);
    uint64_t khz = (hal_cycles() - from) * 1000000u / ns;
    return khz != 0 ? khz : 1;
}

uint64_t hal_cycles_khz(void) {
    static _Atomic uint64_t known; /* 0: not yet. Two threads may measure; the first answer stays */
    uint64_t khz = atomic_load_explicit(&known, memory_order_relaxed);
    if (khz != 0)
        return khz;
    uint64_t measured = calibrate();
    (void)atomic_compare_exchange_strong_explicit(&known, &khz, measured, memory_order_relaxed,
                                                  memory_order_relaxed);
    return khz != 0 ? khz : measured;
}

/* ---- Waiting ---------------------------------------------------------------------------------- */

bool hal_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    return sys_word_wait(word, expected, timeout_ns) != GMK_ETIMEOUT;
}

void hal_wake(_Atomic uint32_t *word, uint32_t count) {
    while (count != 0) { /* at most the threads of a unit */
        uint32_t some = count < GMK_WORD_WAKE_MAX ? count : GMK_WORD_WAKE_MAX;
        if (sys_word_wake(word, some) < (int64_t)some)
            return;
        count -= some;
    }
}

void hal_yield_cpu(void) {
    (void)sys_yield();
}

bool hal_barrier_all(void) {
    return false;
}

bool hal_barrier_is_asymmetric(void) {
    return false;
}

/* ---- Threads ----------------------------------------------------------------------------------- */

_Thread_local void *hal_local __attribute__((tls_model("initial-exec")));
static _Thread_local void (*local_exit)(void *value);

struct start {
    void (*fn)(void *arg);
    void *arg;
};

void hal_local_on_exit(void (*fn)(void *value)) {
    local_exit = fn;
}

static void thread_entry(void *memory) {
    struct start start = *(struct start *)memory;
    heap_free(memory);
    start.fn(start.arg);
    void *value = hal_local;
    hal_local = NULL;
    if (value != NULL && local_exit != NULL)
        local_exit(value);
}

/* Every thread has the same stack (THREAD_STACK_SIZE), and units choose no CPUs. */
int hal_thread_start(struct hal_thread *out, const char *name, size_t stack_size, int cpu,
                     void (*fn)(void *arg), void *arg) {
    (void)stack_size;
    if (cpu >= 0 && (unsigned)cpu >= hal_cpu_count())
        return GMK_EINVAL;
    struct start *start = heap_alloc(sizeof *start);
    if (start == NULL)
        return GMK_ENOMEM;
    *start = (struct start){fn, arg};
    struct thread *thread;
    int status = thread_start(&thread, name != NULL ? name : "", GMK_PRIORITY_NORMAL, 0,
                              thread_entry, start);
    if (status != GMK_OK) {
        heap_free(start);
        return status;
    }
    out->opaque[0] = (uintptr_t)thread;
    out->opaque[1] = 0;
    return 0;
}

void hal_thread_join(struct hal_thread *thread) {
    thread_join((struct thread *)thread->opaque[0]);
}

unsigned hal_cpu_count(void) {
    static _Atomic unsigned known;
    unsigned count = atomic_load_explicit(&known, memory_order_relaxed);
    if (count != 0)
        return count;
    gmk_system_info_t info = {.cpus = 1};
    gmk_handle_t system = handle_find("system");
    if (system == 0 || sys_system_info(system, &info) != GMK_OK || info.cpus == 0)
        info.cpus = 1;
    atomic_store_explicit(&known, info.cpus, memory_order_relaxed);
    return info.cpus;
}

unsigned hal_cpu_current(void) {
    return 0; /* a hint */
}

/* ---- Locks: three states, so that nobody wakes anybody unless somebody waits ------------------
 * After Ulrich Drepper, "Futexes Are Tricky", mutex2. Who has slept takes the lock as contended,
 * since it cannot know whether it was the last. */

enum { LOCK_FREE = 0, LOCK_HELD = 1, LOCK_CONTENDED = 2 };

void hal_lock(struct hal_lock *lock) {
    uint32_t seen = LOCK_FREE;
    /* Acquire, both: pair with the release in hal_unlock(). */
    if (atomic_compare_exchange_strong_explicit(&lock->state, &seen, LOCK_HELD,
                                                memory_order_acquire, memory_order_relaxed))
        return;
    while (atomic_exchange_explicit(&lock->state, LOCK_CONTENDED, memory_order_acquire) !=
           LOCK_FREE)
        (void)hal_wait(&lock->state, LOCK_CONTENDED, HAL_FOREVER);
}

void hal_unlock(struct hal_lock *lock) {
    /* Release: pairs with both acquires in hal_lock(). */
    if (atomic_exchange_explicit(&lock->state, LOCK_FREE, memory_order_release) == LOCK_CONTENDED)
        hal_wake(&lock->state, 1);
}

/* Every thread of a unit can sleep. */
_Static_assert(sizeof(struct hal_lock) <= sizeof(struct hal_short), "it fits");

void hal_short_init(struct hal_short *lock) {
    memset(lock, 0, sizeof *lock);
}

void hal_short_lock(struct hal_short *lock) {
    hal_lock((struct hal_lock *)(void *)lock);
}

void hal_short_unlock(struct hal_short *lock) {
    hal_unlock((struct hal_lock *)(void *)lock);
}

/* ---- Memory -------------------------------------------------------------------------------------- */

#define PAGE_BYTES  ((size_t)4096)
#define LARGE_BYTES ((size_t)2 << 20)

/* The kernel aligns to pages: for more, a larger range is mapped and its ends given back. */
void *hal_pages_alloc(size_t size) {
    uint64_t at, extra = size >= LARGE_BYTES ? LARGE_BYTES : 0;
    if (size == 0 || size % PAGE_BYTES != 0 || size > SIZE_MAX - extra)
        return NULL;
    if (memory_new(size + extra, GMK_PROT_READ | GMK_PROT_WRITE, &at) != GMK_OK)
        return NULL;
    if (extra == 0)
        return (void *)at;
    uint64_t aligned = (at + LARGE_BYTES - 1) & ~(uint64_t)(LARGE_BYTES - 1);
    if (aligned > at)
        (void)memory_unmap(GMK_SELF_UNIT, at, aligned - at);
    (void)memory_unmap(GMK_SELF_UNIT, aligned + size, at + extra - aligned);
    return (void *)aligned;
}

void hal_pages_free(void *pages, size_t size) {
    if (pages != NULL)
        (void)memory_free((uintptr_t)pages, size);
}

/* ---- Last words ------------------------------------------------------------------------------------ */

void hal_log_write(const char *text, size_t length) {
    while (length > 0) {
        size_t some = length < PRINT_LINE_MAX ? length : PRINT_LINE_MAX;
        print("%.*s", (int)some, text);
        text += some;
        length -= some;
    }
}

_Noreturn void hal_panic(const char *message) {
    program_die("%s", message);
}

bool hal_on_dump_request(void (*fn)(void *arg), void *arg) {
    (void)fn;
    (void)arg;
    return false;
}
