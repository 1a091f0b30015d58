/* Port: the object: making and ending one, its two queues, and who serves it.
 *
 * See port.h. Ending: no new thread can come in once the serial has changed; those in the queues are let
 * go PORT_END_STEP at a time, the first ones at once, the others by the reaper. Calls that were received
 * wait in no queue and are not touched.
 *
 * Locks: LOCK_PORT, then a run queue's, a notification's, or `dying_lock` (a leaf). */
#include "kernel/core/panic.h"
#include "kernel/ipc/notify.h"
#include "kernel/ipc/port_queue.h"

#define PORTS_MAX 4096u

static struct object_pool pool =
    OBJECT_POOL(GMK_CAP_PORT, LOCK_PORT, sizeof(struct port), PORTS_MAX);

static struct spinlock dying_lock = SPINLOCK_INIT(LOCK_LEAF);
static struct port *dying; /* by next_dying */

struct object *port_new(struct factory *factory, int *error) {
    struct object *object = object_new(&pool, factory, error);
    if (object == NULL)
        return NULL;
    struct port *port = (struct port *)object;
    spin_enter(&object->lock); /* threads whose calls outlived the life before may hold it */
    port->receivers = port->callers = port->server = NULL;
    port->waiting = 0;
    port->bound = (struct notify_ref){0};
    atomic_store_explicit(&port->top, 0, memory_order_relaxed);
    spin_leave(&object->lock);
    return object;
}

int port_bind(struct port *port, uint32_t serial, const struct notify_ref *bound) {
    if (!object_enter(&port->object, serial))
        return GMK_EHANDLE;
    port->bound = *bound;
    if (port->callers != NULL && bound->notify != NULL)
        notify_signal(bound);
    object_leave(&port->object);
    return GMK_OK;
}

/* ---- Queues ---------------------------------------------------------------------------------- */

static void port_top(struct port *port) {
    unsigned top = port->callers == NULL ? 0 : port->callers->block.key + 1u;
    /* Relaxed: whoever changed it goes on to inherit_refresh(), which has the fence. */
    atomic_store_explicit(&port->top, (uint8_t)top, memory_order_relaxed);
}

void caller_insert(struct port *port, struct thread *thread) {
    /* It is seen to wait here before we read its priority. Pairs with the fence in inherit_next(). */
    atomic_thread_fence(memory_order_seq_cst);
    uint8_t key = *(const volatile uint8_t *)&thread->priority;
    struct thread *first = port->callers;
    thread->block.key = key;
    K_ASSERT(port->waiting < PORT_CALLERS_MAX, "a thread waits once");
    port->waiting++;
    if (first == NULL) {
        port->callers = thread->block.next = thread->block.prev = thread;
        port_top(port);
        return;
    }
    /* From the back: behind all that are as urgent. */
    struct thread *before = first->block.prev;
    while (before->block.key < key && before != first)
        before = before->block.prev;
    bool front = before->block.key < key;
    struct thread *after = front ? first : before->block.next;
    thread->block.next = after;
    thread->block.prev = after->block.prev;
    after->block.prev->block.next = thread;
    after->block.prev = thread;
    if (front)
        port->callers = thread;
    port_top(port);
}

void caller_remove(struct port *port, struct thread *thread) {
    thread->block.prev->block.next = thread->block.next;
    thread->block.next->block.prev = thread->block.prev;
    if (port->callers == thread)
        port->callers = thread->block.next == thread ? NULL : thread->block.next;
    port->waiting--;
    port_top(port);
}

static void receiver_remove(struct port *port, struct thread *thread) {
    if (port->receivers == thread) {
        port->receivers = thread->block.next;
        return;
    }
    thread->block.prev->block.next = thread->block.next;
    if (thread->block.next != NULL)
        thread->block.next->block.prev = thread->block.prev;
}

bool port_block_remove(struct thread *thread, void *object, uint32_t sequence) {
    struct port *port = object;
    struct thread *changed = NULL;
    spin_enter(&port->object.lock);
    unsigned kind = thread->block.kind;
    if (thread->block.object != object || thread->block.sequence != sequence ||
        kind == BLOCK_NONE) {
        spin_leave(&port->object.lock);
        return false;
    }
    if (kind == BLOCK_RECV) {
        receiver_remove(port, thread);
    } else if (caller_is_queued(port, thread)) {
        caller_remove(port, thread);
        changed = port->server;
    } else {
        changed = call_over(thread);
    }
    block_over(thread);
    spin_leave(&port->object.lock);
    if (changed != NULL)
        inherit_update(changed);
    return true;
}

/* ---- Who serves it --------------------------------------------------------------------------- */

static void set_served(struct thread *thread, struct port *port) {
    struct runq *rq = sched_lock_thread(thread);
    thread->served = port;
    sched_unlock(rq);
}

struct thread *port_serve(struct port *port, struct thread *thread) {
    struct thread *before = port->server;
    if (before == thread)
        return NULL;
    if (before != NULL)
        set_served(before, NULL);
    port->server = thread;
    set_served(thread, port);
    return before;
}

void port_leave(struct thread *thread, const struct port *but) {
    /* Only the thread itself begins to serve; another may end that, under the port's lock. */
    struct port *port = *(struct port *const volatile *)&thread->served;
    if (port == NULL || port == but)
        return;
    spin_enter(&port->object.lock);
    if (port->server == thread) {
        port->server = NULL;
        set_served(thread, NULL);
    }
    spin_leave(&port->object.lock);
}

/* ---- The end --------------------------------------------------------------------------------- */

/* One of those who wait, out of its wait; NULL: nobody is left. */
static struct thread *end_one(struct port *port) {
    struct thread *thread = port->receivers;
    if (thread != NULL)
        receiver_remove(port, thread);
    else if ((thread = port->callers) != NULL)
        caller_remove(port, thread);
    return thread;
}

/* Lets some of those who wait go. True: nobody is left. */
static bool end_step(struct port *port) {
    for (unsigned i = 0; i < PORT_END_STEP; i++) {
        spin_enter(&port->object.lock);
        struct thread *thread = end_one(port);
        bool kernel = thread != NULL && thread->block.kind == BLOCK_KERNEL;
        if (thread != NULL)
            block_over(thread);
        spin_leave(&port->object.lock);
        if (thread == NULL)
            return true;
        wait_end(thread, kernel, GMK_EHANDLE);
    }
    return false;
}

void port_end(struct port *port, uint32_t serial) {
    if (!object_enter(&port->object, serial))
        return;
    object_end_locked(&port->object);
    struct thread *server = port->server;
    port->server = NULL;
    port->bound = (struct notify_ref){0};
    if (server != NULL)
        set_served(server, NULL);
    object_leave(&port->object);
    if (server != NULL)
        inherit_update(server);
    if (end_step(port)) {
        object_free(&pool, &port->object);
        return;
    }
    spin_enter(&dying_lock);
    port->next_dying = dying;
    dying = port;
    spin_leave(&dying_lock);
    reaper_wake();
}

bool port_reap_step(void) {
    spin_enter(&dying_lock);
    struct port *port = dying;
    if (port != NULL)
        dying = port->next_dying;
    spin_leave(&dying_lock);
    if (port == NULL)
        return true;
    if (end_step(port)) {
        object_free(&pool, &port->object);
    } else {
        spin_enter(&dying_lock);
        port->next_dying = dying;
        dying = port;
        spin_leave(&dying_lock);
    }
    return false;
}
