/* HAL: what a platform must give the engine. One implementation per folder: hal/linux,
 * later hal/kernel and hal/unit. This page is the porting guide.
 *
 * The engine calls nothing else of the platform. Every function says who may call it,
 * what it may do to the caller (block or not) and what failure looks like. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Time ------------------------------------------------------------------ */

/* Nanoseconds since a fixed point before boot; monotonic on every CPU. Never blocks. */
uint64_t hal_now_ns(void);

/* Raw cycle counter, constant rate, cheap (a few ns); comparable between CPUs. A
 * platform whose counter is not all of that answers with hal_now_ns(). */
uint64_t hal_cycles(void);

/* Rate of hal_cycles() in kHz; constant after the first call, which may calibrate
 * (at most 20 ms). Never 0. */
uint64_t hal_cycles_khz(void);

/* ---- Waiting ---------------------------------------------------------------- */

#define HAL_FOREVER UINT64_MAX

/* Blocks while *word == expected, until woken, or until `timeout_ns` from now passed
 * (0 does not block, HAL_FOREVER has no limit). The comparison and the sleep are one step
 * against hal_wake(): a wake that follows a change of *word is never lost. May return
 * early for no reason; callers re-check. Returns false only when the time limit passed.
 * Orders no memory by itself: the caller's load of *word does. Thread context only. */
bool hal_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);

/* Wakes at most `count` threads that block in hal_wait() on `word`. Never blocks.
 * Callable from a signal handler (hosted) or an interrupt handler (kernel). */
void hal_wake(_Atomic uint32_t *word, uint32_t count);

/* Tells the CPU that the caller spins: `pause`, `yield`. */
static inline void hal_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Full memory barrier: what comes before it, stores included, is visible to every CPU
 * before anything after it is read. Inline assembly where the compiler's own fence is
 * slower (x86 mfence) or unknown to ThreadSanitizer (C11 fences). */
static inline void hal_fence(void) {
#if defined(__x86_64__)
    __asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
#elif defined(__aarch64__)
    __asm__ volatile("dmb ish" ::: "memory");
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Lets another thread have this CPU if one waits for it. Thread context only. */
void hal_yield_cpu(void);

/* Makes every other thread of the process (every other CPU) pass a full memory barrier
 * before it returns: the heavy half of an asymmetric barrier, the light half being a
 * compiler barrier. Returns false when the platform has none; then the fast side must
 * use full fences instead (hal_barrier_is_asymmetric() tells it, constant after boot). */
bool hal_barrier_all(void);
bool hal_barrier_is_asymmetric(void);

/* ---- Threads ----------------------------------------------------------------- */

struct hal_thread {
    uintptr_t opaque[2];
};

/* CPUs carry the numbers 0 .. hal_cpu_count()-1: the position among those this process
 * may use, fixed at first use. So "CPU 0" exists everywhere, whatever the machine calls it. */

/* Starts `fn(arg)` on a new thread (or takes a CPU). `cpu` >= 0 pins it there, -1 leaves
 * it free. `name` is copied, and cut where the platform's names are shorter; NULL for none.
 * `stack_size` bytes, 0 for the platform's default, small values are raised to its minimum.
 * Returns 0, or the platform's negative error number; then *out is untouched. */
int hal_thread_start(struct hal_thread *out, const char *name, size_t stack_size, int cpu,
                     void (*fn)(void *arg), void *arg);

/* Waits for the thread to return. Once per thread. */
void hal_thread_join(struct hal_thread *thread);

/* CPUs this process may use; at least 1. */
unsigned hal_cpu_count(void);

/* CPU the caller runs on at this moment, below hal_cpu_count(). A hint. */
unsigned hal_cpu_current(void);

/* One pointer of thread-local storage for the engine; NULL in a new thread. The attribute
 * (GNU) makes it one load also inside a shared library. A platform whose threads have no storage
 * that the compiler knows of names a header (HAL_LOCAL_HEADER) that makes hal_local an lvalue. */
#ifdef HAL_LOCAL_HEADER
#include HAL_LOCAL_HEADER
#else
extern _Thread_local void *hal_local __attribute__((tls_model("initial-exec")));
#endif

/* Asks that `fn(value)` run when the calling thread ends, with `value` = hal_local of
 * that thread, if not NULL then; hal_local is NULL again while fn runs. Asking again only
 * replaces fn. A process that exits as a whole does not end its threads: no fn runs. */
void hal_local_on_exit(void (*fn)(void *value));

/* ---- Locks -------------------------------------------------------------------- */

/* A lock for slow paths (boot, subscribe, registry); sleeps when contended. Zero is
 * unlocked. Not recursive. Hot paths in the engine take no lock. */
struct hal_lock {
    _Atomic uint32_t state; /* 0 free, 1 held, 2 held and somebody waits */
};
void hal_lock(struct hal_lock *lock);
void hal_unlock(struct hal_lock *lock);

/* The same for sections that are short, bounded and wait for nothing. A platform whose callers may be
 * unable to sleep (the kernel: system calls) spins instead, with interrupts off while it is held.
 * Zeroed, then made by hal_short_init(). */
struct hal_short {
    uint64_t opaque[4];
};
void hal_short_init(struct hal_short *lock);
void hal_short_lock(struct hal_short *lock);
void hal_short_unlock(struct hal_short *lock);

/* ---- Memory ------------------------------------------------------------------- */

/* `size` bytes of zeroed memory, aligned to 2 MiB from that size on, else to a page;
 * NULL when there is none, or when size is 0 or no multiple of 4096. */
void *hal_pages_alloc(size_t size);
void hal_pages_free(void *pages, size_t size);

/* ---- Last words ----------------------------------------------------------------- */

/* Writes bytes to the platform's log (stderr, serial line). Any context, also a signal
 * handler; never blocks for long, never allocates. */
void hal_log_write(const char *text, size_t length);

/* Stops everything with `message`. Does not return. */
_Noreturn void hal_panic(const char *message);

/* Asks the platform to call `fn(arg)` when the user demands a dump (SIGQUIT on Linux). fn
 * must be safe in a signal handler. There is one such request per process: asking again
 * replaces it. fn == NULL takes it back, restores what was there before, and returns when
 * no call of the old fn is running any more (so not from inside fn). Thread context only.
 * Returns false when the platform has no such request. */
bool hal_on_dump_request(void (*fn)(void *arg), void *arg);
