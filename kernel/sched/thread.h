/* Thread: an execution context with a kernel stack and a priority.
 *
 * Everything that runs outside of an interrupt is a thread. The scheduler gives each CPU its
 * most urgent one; waiting is done on 32-bit words, as hal_wait() promises it (wait.c).
 *
 * States and who takes each arrow:
 *
 *              thread_start()            sched_pick()
 *      NEW ------------------> READY <=================> RUNNING
 *                                ^      preempted, yield    |  | thread_exit()
 *                                |                          |  v
 *                     wait_wake(), timer          wait_block() EXITED
 *                                |                          |
 *                                +-------- BLOCKED <--------+
 *
 * 256 priorities, 255 the most urgent, first come first served within one, with a time slice.
 * Each CPU has a run queue (bitmap of priorities: O(1)) and runs its most urgent thread.
 * Interrupts are on while a thread runs, off in the kernel's own short paths. */
#pragma once

#include "arch/arch.h"
#include "kernel/core/cpu.h"

#define THREAD_STACK_SIZE  ((size_t)16 * 1024)
#define THREAD_NAME_MAX    24u
#define THREADS_MAX        256u /* threads alive */
#define THREAD_PRIORITIES  256u
#define THREAD_SLICE_NS    5000000ull /* among threads of one priority that share a CPU */
#define THREAD_FAVOUR_NS   100000ull  /* what a less urgent thread gets of one that yields */
#define THREAD_YIELDS      16u /* yields until a less urgent thread gets its THREAD_FAVOUR_NS */
#define THREAD_STEAL_LOOKS 16u /* threads of a queue that an idle CPU looks at */

enum thread_priority {
    THREAD_PRIORITY_IDLE = 0,
    THREAD_PRIORITY_NORMAL = 96,
    THREAD_PRIORITY_WORKER = 128, /* the engine's workers */
};

enum thread_state { THREAD_NEW, THREAD_READY, THREAD_RUNNING, THREAD_BLOCKED, THREAD_EXITED };

struct thread {
    struct arch_context context;
    char name[THREAD_NAME_MAX];
    uint32_t id;
    void *stack;
    size_t stack_size;
    void *local; /* hal_local while the thread is not running */
    void (*local_exit)(void *value);
    void (*entry)(void *arg);
    void *arg;

    /* Guarded by the run-queue lock of `cpu`. */
    uint8_t state;    /* enum thread_state */
    uint8_t priority; /* constant */
    bool pinned;      /* constant */
    bool woken;       /* sched_ready() came before sched_block() */
    uint32_t cpu; /* whose queue it is or was in; changes only while READY, or by who readies it */
    struct thread *next, *prev; /* in the run queue */
    uint64_t slice_end_ns;
    uint64_t run_ns;   /* CPU time used, without the current stretch */
    uint64_t since_ns; /* start of the current stretch */

    /* Guarded by the wait bucket's lock. */
    const _Atomic uint32_t *wait_word; /* NULL: waits for no word (any more) */
    struct thread *wait_next, *wait_prev;
    bool timed_out;

    _Atomic uint32_t exited; /* 1 when it has ended: joiners wait on this word */
};

/* Makes a thread and starts it. `cpu` >= 0 pins it. `stack_size` in bytes, 0 for
 * THREAD_STACK_SIZE, which is also the least. Returns NULL when there is no memory, no such CPU
 * or THREADS_MAX are alive. The name is copied, and cut. Thread context or boot. */
struct thread *thread_start(const char *name, size_t stack_size, unsigned priority, int cpu,
                            void (*entry)(void *arg), void *arg);
/* Waits for its end and frees it. Once per thread. */
void thread_join(struct thread *thread);
_Noreturn void thread_exit(void);
struct thread *thread_current(void);

/* Calls fn for every live thread (a copy of its state is consistent only at rest). For kdb. */
void thread_each(void (*fn)(void *arg, const struct thread *thread), void *arg);

/* ---- sched.c ---------------------------------------------------------------------------------- */

/* Makes the CPU's run queue, and a thread of the flow that calls: "boot" on CPU 0, which gets an
 * idle thread of its own besides, "idle/N" on the others. IF off; the heap works; after
 * timer_cpu_init(). The boot thread is as urgent as a worker: both use the engine, and neither
 * starves the other. */
void sched_cpu_init(struct cpu *cpu);
/* The end of a boot flow. On CPU 0 the boot thread ends; elsewhere the flow becomes the idle
 * thread. Never returns. */
_Noreturn void sched_idle_loop(void);
/* Gives the CPU to the next thread of the same or higher priority. When only less urgent ones
 * wait, the most urgent of them gets THREAD_FAVOUR_NS: it may be in the middle of what the
 * caller waits for; so does, at every THREAD_YIELDS-th yield on a CPU, one that waits behind others
 * which yield too. Thread context. */
void sched_yield(void);
/* On the way out of an interrupt, the controller having been told and cpu->in_irq cleared:
 * switches threads if cpu->resched asks for it. IF off; returns, perhaps much later. The handler of
 * ARCH_IPI_RESCHED does nothing but set cpu->resched. */
void sched_irq_exit(void);
/* Makes a blocked or new thread ready, on its CPU or an idle one; sends the IPI that this needs.
 * May come before the thread's sched_block(), once. Any context but NMI. */
void sched_ready(struct thread *thread);
/* The current thread stops running until sched_ready(). IF off since before the caller put the
 * thread where a waker finds it, so that it stays on this CPU. */
void sched_block(void);

/* As sched_ready(), for a caller that has turned IF off already: IF becomes `irq` again. */
void sched_ready_irq(struct thread *thread, bool irq);

/* Between sched.c and thread.c: the first and the last step of a thread; the thread that a boot
 * flow becomes; the idle thread of CPU 0. The last two return NULL when there is no memory. */
void sched_begin(void);
_Noreturn void sched_end(void);
struct thread *thread_adopt(const char *name, struct cpu *cpu);
struct thread *thread_idle(struct cpu *cpu, void (*entry)(void *arg));

/* ---- wait.c: the kernel's futex --------------------------------------------------------------- */

/* As hal_wait() and hal_wake() in hal/hal.h promise. wait_wake() in any context but NMI. */
bool wait_block(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
unsigned wait_wake(_Atomic uint32_t *word, uint32_t count);
