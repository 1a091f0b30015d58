/* Channel, inside: what ends, registries and those who wait are made of. For
 * kernel/ipc/channel*.c.
 *
 * Two locks. An end's own (object.lock, LOCK_CHANNEL) is held while a message
 * is received, copy to the user included: so those who receive from one end
 * take turns, and a message that could not be copied is put back in its place.
 * A queue's (LOCK_CHAN_WAIT) guards those who wait, and is all that a waker
 * takes. Sending takes neither: the engine is told which opening of the channel
 * is meant (its shape), and refuses another.
 *
 * No lost wake-up. Before it looks at the engine for the last time a thread
 * notes `rings`; a waker counts it up under the queue's lock and then wakes all
 * who are in the queue. Under that lock the thread compares: either it is in
 * the queue before the waker comes, or it sees that the waker came. */
#pragma once

#include "ggmk/chan.h"
#include "kernel/ipc/channel.h"

struct agent;
struct channel;
struct chan_sub;

#define CHANNELS_MAX        1024u /* ends alive */
#define CHANNEL_WAITERS_MAX 32u   /* threads that wait in one queue */
#define CHANNEL_SLOTS_MAX   1024u /* of a channel that a unit makes */
#define CHANNEL_SLOTS       64u   /* when it does not say */
#define CHANNEL_SLOT_BYTES  1024u /* of payloads per slot, when it does not say */
#define CHANNEL_BYTES_MAX   (UINT64_C(1) << 26)

/* Threads that wait to be called. */
struct chan_queue {
    struct spinlock lock; /* LOCK_CHAN_WAIT */
    _Atomic uint32_t rings;
    /* Guarded by lock. */
    struct thread *first; /* circular, first come first, by block.next/prev */
    uint32_t count;
};

struct chan_end {
    struct object object; /* LOCK_CHANNEL */
    gmk_waker_t waker;    /* a message came: wakes `receivers`, signals `bound` */
    struct chan_queue receivers;
    struct notify_ref bound; /* guarded by receivers.lock */
    /* Constant in a life; read without a lock, and then the serial again. */
    _Atomic uint32_t id;
    _Atomic uint64_t shape;
    _Atomic(struct channel *) chan; /* the engine's */
    uint64_t base;                  /* sequence numbers of the engine's id go on; here they begin
                    anew */
    /* Guarded by object.lock. */
    struct chan_sub *sub; /* its subscription; NULL: none */
    uint32_t sub_index;
    bool creator;  /* the channel closes with it */
    bool drained;  /* closed, and everything was received */
    bool holds;    /* `held` could not be copied out: it is the next one */
    uint64_t lost; /* before `held` */
    gmk_task_t held;
    uint64_t frames; /* charged to object.factory besides the object */
};

/* What units know of a channel of the engine, by its id. */
struct conduit {
    gmk_waker_t room; /* wakes `senders` */
    struct chan_queue senders;
    uint64_t shape; /* of the channel that `bytes` are set aside for; guarded by
                     conduit_lock */
    uint64_t bytes;
};
extern struct conduit conduits[GMK_CHANNELS_MAX];

struct registry {
    struct object object;      /* LOCK_OBJECT */
    char prefix[GMK_NAME_MAX]; /* constant in a life */
};

/* Is the name one that units may use, and does it begin with the registry's
 * prefix? */
int registry_check(const struct object *registry, const char *name, size_t length);

/* Gives the end its subscription if it has none. Under its lock; GMK_ECLOSED,
 * GMK_EEXIST .. */
int channel_subscribe_locked(struct agent *a, struct chan_end *end);

/* ---- Waiting (channel_wait.c); IF off ------------------------------------------------------- */

void chan_queue_init(struct chan_queue *queue);
/* The current thread waits in `kind` of the queue, unless the queue has rung
 * since `rings` (GMK_EAGAIN). GMK_OK: it is in the queue, and
 * sched_block_user() is next; when it is called its system call (rax, a0, a1,
 * what is left of timeout) runs again. GMK_ETIMEOUT, GMK_ELIMIT. */
int chan_queue_wait(struct chan_queue *queue, enum block_kind kind, uint32_t rings, uint64_t rax,
                    uint64_t a0, uint64_t a1, uint64_t timeout);
/* All in it run their calls again. Any context. Where a CPU wants it
 * (chan_catches[]), one that waits alone is left there, in no queue: it is the
 * CPU's to make ready. */
void chan_queue_ring(struct chan_queue *queue, const struct chan_end *bound_of);
struct chan_catch { /* of a CPU; IF off */
    bool wanted;
    struct thread *thread; /* NULL: nobody */
};
extern struct chan_catch chan_catches[CPUS_MAX];
/* All in it get this status. */
void chan_queue_end(struct chan_queue *queue, int status);
