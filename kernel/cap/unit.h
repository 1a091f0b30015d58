/* Unit: the unit of isolation: an address space, a capability table, threads, a budget.
 *
 *         unit_create()      first thread_start()      unit_kill(), exit, last thread
 *     ---------------> NEW ---------------------> ALIVE ----------------------> DYING
 *                                                                                 | reaper tasks
 *                                                                                 v
 *                                                          DEAD (status readable until dropped)
 *
 * Dying is cut into steps that an engine task does (reaper.c): threads are killed, capabilities
 * dropped (some slots at a time), mappings and page tables undone (some pages at a time), the budget
 * given back, watchers signalled. The machine runs on meanwhile.
 *
 * Its memory is used again when it is DEAD and its capability is gone (object.serial is 0), whichever
 * comes last. */
#pragma once

#include "kernel/cap/cap.h"
#include "kernel/cap/factory.h"
#include "kernel/mem/space.h"

#define UNITS_MAX        256u
#define UNIT_THREADS_MAX 256u                     /* threads of one unit */
#define UNIT_MSG_BASE    UINT64_C(0x7ffffff00000) /* message buffers: 32 pages, eight threads each */
#define UNIT_MSG_PAGES   (UNIT_THREADS_MAX / 8)

struct notify;
struct port;
struct thread;

/* A reference to an object that may end: pointer and life. */
struct port_ref {
    struct port *port; /* NULL: none */
    uint32_t serial;
    uint64_t badge;
};
struct notify_ref {
    struct notify *notify; /* NULL: none */
    uint32_t serial;
    uint64_t bits;
};

struct unit {
    struct object object; /* lock: LOCK_UNIT */
    struct space space;
    /* Constant for this memory. */
    struct cap *caps; /* GMK_CAPS_MAX */
    uint16_t index;   /* in units[] */
    /* Guarded by caps_lock, as writing to caps[] is. */
    struct spinlock caps_lock; /* LOCK_CAPS */
    uint64_t caps_free[CAP_BITS];
    uint8_t caps_last, caps_sweep; /* slot taken last; where the search for revoked ones goes on */
    bool caps_closed;              /* dying: nothing comes in */
    /* Constant while it lives. */
    uint32_t id; /* never used twice */
    char name[GMK_UNIT_NAME_MAX];
    uint16_t priority_max;
    uint32_t cpu_permille;
    _Atomic uint64_t cpu_used; /* of it: kernel/sched/budget.c */
    /* Guarded by object.lock. */
    uint8_t state; /* enum gmk_unit_state */
    int64_t status;
    struct factory *factory; /* its budget; NULL once it is dead */
    struct thread *threads;  /* circular list by unit_next, unit_prev */
    uint32_t thread_count;
    uint64_t msg_slots[UNIT_THREADS_MAX / 64]; /* bit: message buffer in use */
    paddr_t msg_frames[UNIT_MSG_PAGES];
    struct port_ref fault_port, personality_port;
    struct notify_ref watcher;
    uint64_t dead_run_ns; /* CPU time of threads that have ended */
    bool reap_waits;      /* DYING, and only the end of its last thread is waited for */
    /* The reaper's. */
    struct unit *next_dying;
    unsigned reap_step, reap_slot;
};

extern struct unit *units[UNITS_MAX]; /* NULL: never made. Entries never change again */

/* An empty unit, charged to `factory`: itself, and its own budget of args->frames and args->objects,
 * from which its page tables are taken. GMK_EINVAL (name not terminated, flags, cpu_permille),
 * GMK_ERANGE (above priority_max), GMK_EBUDGET, GMK_ENOMEM, GMK_ELIMIT. IF off. */
int unit_create(struct factory *factory, const gmk_unit_args_t *args, unsigned priority_max,
                struct unit **out);
/* Makes memory for the next one if there is none. True if it did: that took long, and unit_create() will
 * not. IF off. */
bool unit_prepare(void);
/* NEW becomes ALIVE: before its first thread starts. */
void unit_started(struct unit *unit);
/* Starts the end. Once; later ones find it dying. Never blocks; IF off, no lock held. May be the
 * caller's own unit: then it returns, and the current thread is gone at its next exit to user mode
 * (thread_user_exit() for at once). */
void unit_kill(struct unit *unit, int64_t status);
void unit_end(struct unit *unit, uint32_t serial); /* object_ends[]: kill, and forget once dead */
/* A thread joins or has ended (it runs no more, in no space); the last one's end kills the unit with
 * its status. object.lock held by neither. GMK_ESTATE: dying; GMK_ELIMIT: UNIT_THREADS_MAX. */
int unit_thread_add(struct unit *unit, struct thread *thread);
void unit_thread_remove(struct unit *unit, struct thread *thread);
/* GMK_EHANDLE: not this life. */
int unit_info(struct unit *unit, uint32_t serial, gmk_unit_info_t *info);
int unit_watch(struct unit *unit, uint32_t serial, const struct notify_ref *watcher);
int unit_ports(struct unit *unit, uint32_t serial, const struct port_ref *fault,
               const struct port_ref *personality);
/* Every unit that is not dead and forgotten. */
void unit_each(void (*fn)(void *arg, struct unit *unit), void *arg);
/* Message buffers: a slot for a thread, its frame wired and mapped in the unit's space (charged).
 * *user gets its address there, *kernel the kernel's. GMK_ELIMIT, GMK_EBUDGET, GMK_ENOMEM. */
int unit_msg_alloc(struct unit *unit, uint64_t *user, gmk_msg_t **kernel);
void unit_msg_free(struct unit *unit, uint64_t user);

/* ---- reaper.c ------------------------------------------------------------------------------------ */

/* The unit is DYING: its end is done step by step from now on. IF off. */
void reaper_add(struct unit *unit);
/* There is other work for the reaper: memory_reap_step(), port_reap_step(). IF off; locks up to LOCK_MEMORY held. */
void reaper_wake(void);
/* unit.c: the last step. */
void unit_finish(struct unit *unit);
