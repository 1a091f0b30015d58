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
 * User threads can also be STOPPED: suspended, or out of time (budget.c). They come from READY, RUNNING
 * (on the way to user mode), BLOCKED (when the wait ends) and NEW (when started), and go on to READY; and
 * they are ended in every state (user.c). docs/scheduling.md tells all of it.
 *
 * 256 priorities, 255 the most urgent, first come first served within one, with a time slice.
 * Each CPU has a run queue (bitmap of priorities: O(1)) and runs its most urgent thread.
 * Interrupts are on while a thread runs, off in the kernel's own short paths. */
#pragma once

#include "arch/arch.h"
#include "kernel/cap/object.h"
#include "kernel/core/cpu.h"
#include "kernel/time/timer.h"

#define THREAD_STACK_SIZE  ((size_t)16 * 1024)
#define THREAD_NAME_MAX    24u
#define THREADS_MAX        1024u /* user threads alive */
#define THREADS_KERNEL_MAX 256u  /* the kernel's own alive */
#define THREAD_PRIORITIES  256u
#define THREAD_SLICE_NS    5000000ull /* among threads of one priority that share a CPU */
#define THREAD_FAVOUR_NS   100000ull  /* what a less urgent thread gets of one that yields */
#define THREAD_YIELDS      16u /* yields until a less urgent thread gets its THREAD_FAVOUR_NS */
#define THREAD_STEAL_LOOKS 16u /* threads of a queue that an idle CPU looks at */

enum thread_priority {
    THREAD_PRIORITY_IDLE = 0,
    THREAD_PRIORITY_NORMAL = 96,
    THREAD_PRIORITY_WORKER = 128,   /* the engine's workers */
    THREAD_PRIORITY_REALTIME = 208, /* from here on: placed by priority, never stolen */
};

enum thread_state {
    THREAD_NEW,
    THREAD_READY,
    THREAD_RUNNING,
    THREAD_BLOCKED,
    THREAD_STOPPED, /* user threads: would be READY, but is suspended or out of budget */
    THREAD_EXITED
};

/* What a user thread waits for (kernel/ipc/block.h). X(name, waits for) */
#define BLOCK_LIST(X)                                                            \
    X(BLOCK_NONE, "nothing")                                                     \
    X(BLOCK_RECV, "a message, in port.receivers")                                \
    X(BLOCK_SEND, "a receiver of its send, in port.callers")                     \
    X(BLOCK_CALL, "a receiver of its call, in port.callers")                     \
    X(BLOCK_REPLY, "a reply: in no queue, found by token")                       \
    X(BLOCK_KERNEL, "a receiver of, or the reply to, a fault or a foreign call") \
    X(BLOCK_NOTIFY, "bits, in notify.waiters")                                   \
    X(BLOCK_WORD, "a word of memory, in a bucket")                               \
    X(BLOCK_CHAN_SEND, "room in a channel")                                      \
    X(BLOCK_CHAN_RECV, "a message of a channel")
enum block_kind {
#define BLOCK_ENUM(name, waits) name,
    BLOCK_LIST(BLOCK_ENUM)
#undef BLOCK_ENUM
        BLOCK_KINDS
};

/* Why a thread takes the slow paths: each a bit of thread.special, tested as one. */
enum thread_special {
    SPECIAL_STOP = 1,      /* suspended: when it would become READY it becomes STOPPED */
    SPECIAL_KILL = 2,      /* ends at its next exit to user mode */
    SPECIAL_RESCHED = 4,   /* a more urgent one waits for its CPU */
    SPECIAL_BUDGET = 8,    /* its CPU time, or its unit's, is limited */
    SPECIAL_DEADLINE = 16, /* in the deadline band */
    SPECIAL_AFFINITY = 32, /* not every CPU */
    SPECIAL_MOVED = 64,    /* feedback moved it: the end of its next wait moves it back */
    /* Those that matter on the way to user mode. */
    SPECIAL_EXIT = SPECIAL_STOP | SPECIAL_KILL | SPECIAL_RESCHED,
};

struct unit;

/* CPU time per period, in cycles. Guarded by the run-queue lock of the thread's CPU (budget.c). */
struct budget {
    uint64_t amount, period; /* 0: only its unit's budget limits it */
    uint64_t relative;       /* deadline band: from the start of a period to the deadline */
    int64_t left;            /* of the period; below 0: it ran too long, the next one pays */
    uint64_t period_end;
    uint64_t grant; /* what this stretch may use of the unit's budget */
    bool throttled; /* STOPPED until `refill` fires */
    bool admitted;  /* counts in the load of CPU `home` */
    uint8_t home;
    uint32_t load; /* share of a CPU in millionths */
    struct timer refill;
};

struct thread {
    /* At fixed places for the entry code. */
    struct arch_context context;
    uintptr_t stack_top; /* end of the kernel stack, below which user mode's frame is */
    struct unit *unit;   /* NULL: a thread of the kernel */

    /* Read by every switch. */
    struct space *space;      /* of its unit; NULL: a thread of the kernel */
    uint64_t tls;             /* FS base */
    void *fpu;                /* block of its vector registers; NULL: may not use them */
    _Atomic uint32_t special; /* enum thread_special; set under the run-queue lock of `cpu` */
    uint32_t computes;        /* 1: fpu is not NULL. Read together with special (thread_traits()) */
    gmk_msg_t *msg;           /* message buffer, the kernel's address */
    void *local;              /* hal_local while the thread is not running; NULL for users */
    uintptr_t frame;          /* of its system call (arch_user_frame()); constant for the memory */

    /* Guarded by the run-queue lock of `cpu`. */
    uint8_t state;    /* enum thread_state */
    uint8_t priority; /* effective: what the queues go by */
    uint8_t base;     /* its own, feedback included */
    uint8_t assigned; /* what thread_sched said */
    uint8_t floor;    /* how far feedback moves it; == assigned: no feedback */
    bool woken;       /* sched_ready() came before sched_block() */
    uint32_t cpu; /* whose queue it is or was in; changes only while READY, or by who readies it */
    struct thread *next, *prev; /* in the run queue */
    uint64_t affinity;          /* CPUs it may run on; constant for threads of the kernel */
    uint64_t slice;             /* cycles of a whole time slice */
    uint64_t
        slice_left; /* of the slice in which it was preempted; 0: a whole one is due, or it runs */
    uint64_t deadline;     /* cycles: order in the deadline band; 0 for those who only inherit it */
    uint64_t run_cycles;   /* CPU time used, without the current stretch (arch_cycles()) */
    uint64_t since_cycles; /* start of the current stretch */
    uint64_t switches;
    struct budget budget; /* with SPECIAL_BUDGET or SPECIAL_DEADLINE */
    /* Inheritance (kernel/ipc/inherit.c): those for whom it works. */
    struct thread *donors; /* circular by donor_next, donor_prev */
    uint32_t donor_count;  /* = tokens that it holds */
    struct port *served;   /* port.server == this */

    /* In one of somebody's donors: guarded by the run-queue lock of that thread's CPU. */
    struct thread *donor_next, *donor_prev;
    struct thread *donor_of;

    /* What a user thread waits for. Guarded by the lock of the object that it waits in; the first four
     * are also read without it, see kernel/ipc/block.h. */
    struct {
        _Atomic uint8_t kind;      /* enum block_kind */
        uint8_t key;               /* priority by which it stands in port.callers */
        _Atomic uint32_t sequence; /* counts waits: a late timer knows that its wait is over */
        void *_Atomic object;
        _Atomic uint64_t until_ns; /* when the wait times out; GMK_FOREVER */
        struct thread *next, *prev;
        uint32_t tag;      /* message on its way */
        uint32_t call;     /* token of its call, shifted: TOKEN_ in kernel/ipc/port.h */
        uint64_t badge;    /* of the capability it sent by; NOTIFY: mask */
        uint64_t words[4]; /* of a queued call or send */
    } block;
    /* The capabilities by which it called and received last, for the fast paths. Its own. */
    struct port_cache {
        uint64_t changes; /* cap_changes when it was looked up */
        struct port *port;
        uint64_t badge;
        uint32_t handle, serial; /* handle 0: none */
    } calls_by, receives_by;
    /* The same for notifications (kernel/ipc/notify_fast.c). */
    struct notify_cache {
        uint64_t changes;
        struct notify *notify;
        uint32_t handle, serial;
    } signals, waits;
    struct timer *timeout; /* its own; &timer_memory, armed by block_prepare() */
    struct timer timer_memory;

    /* Constant while it lives. */
    struct object object; /* lock: LOCK_THREAD */
    char name[THREAD_NAME_MAX];
    uint32_t id;
    uint16_t slot; /* in the table of threads: its number in tokens */
    void *stack;
    size_t stack_size;
    uint64_t badge;    /* of its foreign calls and faults */
    uint64_t msg_user; /* message buffer, the unit's address */
    void (*local_exit)(void *value);
    void (*entry)(void *arg);
    void *arg;

    /* Guarded by object.lock. */
    struct thread *unit_next, *unit_prev; /* guarded by the unit's lock */
    int64_t status;                       /* of exit */
    struct notify *watcher;
    uint32_t watcher_serial;
    uint64_t watcher_bits;
    bool unreferenced;      /* its capability never was, or is gone */
    bool gone;              /* it has ended, and nobody stands on its stack */
    uint8_t charged_frames; /* for stack and vector registers */
    void *fpu_memory;       /* kept with the memory, as the stack is */

    /* Guarded by the wait bucket's lock (kernel threads, wait.c). */
    const _Atomic uint32_t *wait_word; /* NULL: waits for no word (any more) */
    struct thread *wait_next, *wait_prev;
    bool timed_out;

    _Atomic uint32_t exited; /* 1 when it has ended: joiners wait on this word */
};

_Static_assert(offsetof(struct thread, context) == 0, "arch: entry code");
_Static_assert(offsetof(struct thread, stack_top) == 8, "arch: entry code");

/* Makes a thread and starts it. `cpu` >= 0 pins it. `stack_size` in bytes, 0 for
 * THREAD_STACK_SIZE, which is also the least. Returns NULL when there is no memory, no such CPU
 * or THREADS_KERNEL_MAX are alive. The name is copied, and cut. Thread context or boot. */
struct thread *thread_start(const char *name, size_t stack_size, unsigned priority, int cpu,
                            void (*entry)(void *arg), void *arg);
/* Waits for its end and frees it. Once per thread. */
void thread_join(struct thread *thread);
_Noreturn void thread_exit(void);
struct thread *thread_current(void);

/* CPU time so far, in nanoseconds. */
uint64_t thread_run_ns(const struct thread *thread);

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

/* ---- User threads: user.c ----------------------------------------------------------------------
 *
 * A user thread has a kernel stack that is empty while it runs in user mode. In the kernel it runs with
 * IF off from entry to exit, and waits only at the boundary (kernel/ipc/block.h): so it never holds
 * a lock or a half-done change while it does not run, and can be ended wherever it is found.
 *
 * Their memory is type-stable, stack included (object.h): creation costs no mapping once the pool is
 * warm. */

struct unit;

/* Makes memory for a thread if the pool has none, which takes long: call thread_user_new() later, after
 * letting interrupts in. False: there is some, or none can be had (then that call says why). IF off. */
bool thread_user_prepare(void);
/* A new thread of `unit`, NEW. Charges the unit's factory. GMK_EINVAL (priority, flags, entry or
 * stack outside), GMK_ESTATE (unit dying), GMK_ELIMIT, GMK_EBUDGET, GMK_ENOMEM. IF off. */
int thread_user_new(struct unit *unit, const gmk_thread_args_t *args, struct thread **out);
/* GMK_ESTATE: not NEW. */
int thread_user_start(struct thread *thread, uint32_t serial);
/* The current user thread ends; with `whole`, so does its unit. */
_Noreturn void thread_user_exit(int64_t status, bool whole);
/* Ends a thread in any state. A running one is gone when this CPU next sees it not RUNNING: it is
 * interrupted; one that waits is taken out of its wait. The current one: at its exit to user mode.
 * IF off, no lock held. */
void thread_user_kill(struct thread *thread, uint32_t serial, int64_t status);
/* object_ends[]: as kill; its memory goes back when it has left its CPU. */
void thread_user_end(struct thread *thread, uint32_t serial);
/* From now on it does not run; one that waits goes on waiting, and stops when its wait ends. When
 * suspend returns GMK_OK its registers are stable. GMK_ESTATE: ended. The current thread may suspend
 * itself: it stops at its exit to user mode. */
int thread_user_suspend(struct thread *thread, uint32_t serial);
int thread_user_resume(struct thread *thread, uint32_t serial);
/* GMK_EINVAL, GMK_ERANGE (above priority_max), GMK_ELIMIT (deadline: the CPUs are full). */
int thread_user_sched(struct thread *thread, uint32_t serial, const gmk_sched_args_t *args);
/* GMK_EHANDLE: not this life. */
int thread_user_info(struct thread *thread, uint32_t serial, gmk_thread_info_t *info);
/* On the way to user mode with special bits set: stops, ends, or returns to go on. IF off. */
void thread_user_special(struct thread *thread);

/* ---- sched.c: for inheritance ------------------------------------------------------------------ */

/* Locks the run queue that a thread belongs to just now (its cpu may change until then). IF off. */
struct runq *sched_lock_thread(const struct thread *thread);
void sched_unlock(struct runq *rq);
/* The thread's effective priority becomes this: moves it in its queue, preempts, as needed. Its run queue
 * is locked, and unlocked on return (an IPI may have to be sent). */
void sched_effective_unlock(struct runq *rq, struct thread *thread, unsigned priority);

/* User threads by their number in tokens (slot, from 1 on): NULL or type-stable for ever. */
extern struct thread *thread_users[THREADS_MAX];

/* What stands against a switch in line: special in the lower half, `computes` in the upper one. Its
 * run queue is locked, so an ordinary load will do. */
static inline uint64_t thread_traits(const struct thread *thread) {
    uint64_t traits;
    __builtin_memcpy(&traits, (const char *)thread + offsetof(struct thread, special),
                     sizeof traits);
    return traits;
}
_Static_assert(offsetof(struct thread, computes) == offsetof(struct thread, special) + 4, "traits");
