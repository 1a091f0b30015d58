/* Kernel calls by ports: random calls, replies, timeouts, changes of priority and deaths among many threads,
 * one after the other. After each step the whole graph of who waits for whom is looked at: every
 * effective priority must be the most urgent that leads to that thread, found by brute force. */
#include "tests/fake_arch/event_machine.h"

static void effective_set(struct thread *thread, unsigned priority);
/* clang-format off */
#define sched_lock_thread(t)                 ((void)(t), &machine.rq)
#define sched_unlock(rq)                     ((void)(rq))
#define sched_effective_unlock(rq, t, p)     ((void)(rq), effective_set(t, p))
#define sched_block_full()                   machine_leave(BLOCKED, NULL, NULL)
#define arch_user_leave(t)                   ((void)(t), machine_leave(RETURNED, NULL, NULL))
/* clang-format on */

#include "kernel/ipc/inherit.c"
#include "kernel/ipc/port.c"
#include "kernel/ipc/port_call.c"
#include "kernel/ipc/port_fast.c"
#include "kernel/ipc/port_message.c"
#include "kernel/ipc/port_reply.c"

#define THREADS 24u
#define PORTS   8u
#define STEPS   6000u
#define SEEDS   40u

struct thread *thread_users[THREADS_MAX];
static struct port *ports[PORTS];
static uint32_t handles[PORTS];
static unsigned calls, queued_most, deepest;

/* ---- What the sources call besides ---------------------------------------------------------- */

static void effective_set(struct thread *thread, unsigned priority) {
    thread->priority = (uint8_t)priority;
}
bool block_look(struct thread *thread, struct block_seen *seen) {
    *seen = (struct block_seen){.sequence = thread->block.sequence,
                                .kind = thread->block.kind,
                                .object = thread->block.object};
    return seen->kind != BLOCK_NONE;
}
void block_take_out(struct thread *thread) {
    if (thread->block.kind != BLOCK_NONE)
        (void)port_block_remove(thread, thread->block.object, thread->block.sequence);
}
int64_t cap_derive(struct unit *from, uint32_t handle, struct unit *to, unsigned rights,
                   uint64_t badge) {
    (void)from, (void)handle, (void)to, (void)rights, (void)badge;
    return GMK_ELIMIT;
}
int cap_drop(struct unit *unit, uint32_t handle) {
    (void)unit, (void)handle;
    return GMK_OK;
}
void notify_signal(const struct notify_ref *ref) {
    (void)ref;
}
void reaper_wake(void) {}
void thread_user_kill(struct thread *thread, uint32_t serial, int64_t status) {
    (void)thread, (void)serial, (void)status;
}
bool fault_reply(struct thread *thread, uint32_t tag, const uint64_t words[4],
                 const gmk_msg_t *msg) {
    (void)thread, (void)tag, (void)words, (void)msg;
    return true;
}
void arch_regs_get(const struct thread *thread, struct gmk_regs *regs) {
    (void)thread, (void)regs;
}
void arch_user_switch_plain(struct cpu *cpu, struct thread *to) {
    (void)cpu, (void)to;
}
void arch_fpu_switch(struct cpu *cpu, struct thread *from, struct thread *to) {
    (void)cpu, (void)from, (void)to;
}

/* ---- The graph, by brute force ---------------------------------------------------------------- */

/* Whom a thread makes more urgent; NULL: nobody. */
static struct thread *works_for_it(const struct thread *t) {
    if (t->donor_of != NULL)
        return t->donor_of;
    unsigned kind = t->block.kind;
    if (kind != BLOCK_CALL && kind != BLOCK_SEND)
        return NULL;
    const struct port *port = (const struct port *)t->block.object;
    return port->server;
}

static void check_graph(void) {
    unsigned wanted[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        wanted[i] = machine.threads[i].base;
    for (unsigned round = 0; round < THREADS; round++)
        for (unsigned i = 0; i < THREADS; i++) {
            const struct thread *to = works_for_it(&machine.threads[i]);
            if (to != NULL && wanted[to->id] < wanted[i])
                wanted[to->id] = wanted[i];
        }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(machine.threads[i].priority, wanted[i]);
}

/* Every queue holds whom it should, in order; each token is held once. */
static void check_queues(void) {
    unsigned held = 0, waits = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        const struct thread *t = &machine.threads[i], *d = t->donors;
        assert_true((t->donor_count == 0) == (d == NULL));
        for (unsigned n = 0; n<t->donor_count; n++, d = t->donor_count> 1 ? d->donor_next : d)
            assert_ptr_equal(d->donor_of, t);
        held += t->donor_count;
        waits += t->donor_of != NULL;
        assert_int_equal(t->donor_of != NULL, t->block.kind == BLOCK_REPLY);
        assert_true(t->served == NULL || t->served->server == t);
    }
    assert_int_equal(held, waits);
    for (unsigned p = 0; p < PORTS; p++) {
        const struct port *port = ports[p];
        const struct thread *t = port->callers;
        assert_true(port->callers == NULL || port->receivers == NULL);
        assert_int_equal(port->top, t == NULL ? 0 : t->priority + 1);
        for (unsigned n = 0; n < port->waiting; n++, t = t->block.next) {
            assert_ptr_equal(t->block.object, port);
            assert_int_equal(t->block.key, t->priority);
            assert_true(n == 0 || t->block.prev->block.key >= t->block.key);
        }
        assert_ptr_equal(t, port->callers);
        queued_most = port->waiting > queued_most ? port->waiting : queued_most;
    }
}

/* ---- Steps ------------------------------------------------------------------------------------- */

static void new_life(struct thread *t) {
    t->base = t->priority = (uint8_t)(50 + machine_random(150));
    t->calls_by.handle = t->receives_by.handle = 0;
}

/* Would this wait close a circle? */
static bool leads_to(const struct thread *from, const struct thread *to) {
    unsigned depth = 0;
    for (; from != NULL && from != to; from = works_for_it(from))
        depth++;
    deepest = from == NULL && depth > deepest ? depth : deepest;
    return from != NULL;
}

static uint64_t random_tag(void) {
    return GMK_TAG(1, machine_random(2) == 0 ? 8 : 200, 0);
}

static void step_call(struct thread *t, bool call) {
    unsigned p = (unsigned)machine_random(PORTS);
    if (ports[p]->receivers == NULL && leads_to(ports[p]->server, t))
        return;
    if (ports[p]->receivers != NULL && ports[p]->receivers->donor_of == t)
        return;
    uint64_t timeout = machine_random(3) == 0 ? 1000000 : GMK_FOREVER;
    machine_call(t, call ? ipc_call : ipc_send, handles[p] | random_tag() << 32, timeout, 1, 2, 3);
    calls++;
}

static void step_receive(struct thread *t) {
    unsigned p = (unsigned)machine_random(PORTS);
    machine_call(t, ipc_recv, handles[p], machine_random(4) == 0 ? 0 : GMK_FOREVER, 0, 0, 0);
}

/* The token of any call that is being served: by its own holder or by another thread. */
static uint64_t random_token(const struct thread *holder) {
    for (unsigned i = 0; i < 8; i++) {
        const struct thread *t = &machine.threads[machine_random(THREADS)];
        if (t->donor_of != NULL && (holder == NULL || t->donor_of == holder))
            return (uint64_t)t->block.call << 31;
    }
    return machine_random(1u << 20) << 32;
}

static uint64_t token_of_entry; /* goes where rax goes */
static uint64_t with_token_reply(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                                 uint64_t a5, uint64_t rax) {
    return ipc_reply(a0, a1, a2, a3, a4, a5, rax | token_of_entry);
}
static uint64_t with_token_reply_recv(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                                      uint64_t a4, uint64_t a5, uint64_t rax) {
    return ipc_reply_recv(a0, a1, a2, a3, a4, a5, rax | token_of_entry);
}

static void step_reply(struct thread *t) {
    token_of_entry = random_token(machine_random(2) == 0 ? t : NULL);
    if (machine_random(2) == 0) {
        machine_call(t, with_token_reply, random_tag() << 32, 0, 1, 2, 3);
        return;
    }
    unsigned p = (unsigned)machine_random(PORTS);
    for (unsigned i = 0; i < PORTS; i++)
        p = ports[i]->server == t ? i : p;
    machine_call(t, with_token_reply_recv, handles[p] | random_tag() << 32, GMK_FOREVER, 1, 2, 3);
}

static void step(void) {
    struct thread *t = &machine.threads[machine_random(THREADS)];
    bool waits = t->block.kind != BLOCK_NONE;
    machine.ready_count = 0;
    switch (machine_random(12)) {
    case 0: /* its time is over */
        block_take_out(t);
        break;
    case 1:
        t->base = (uint8_t)(50 + machine_random(150));
        inherit_update(t);
        break;
    case 2:
        if (machine_random(8) == 0) { /* it ends, and its memory lives again */
            ipc_thread_end(t);
            assert_int_equal(t->donor_count, 0);
            assert_null(t->served);
            new_life(t);
        }
        break;
    case 3:
        if (!waits) {
            uint64_t token = random_token(NULL) >> 32;
            const struct thread *caller = thread_users[token & (THREADS_MAX - 1)];
            if (caller == NULL || !leads_to(t, caller))
                machine_call(t, ipc_accept, token, 0, 0, 0, 0);
        }
        break;
    case 4:
    case 5:
    case 6:
        if (!waits)
            step_receive(t);
        break;
    case 7:
    case 8:
        if (!waits)
            step_reply(t);
        break;
    default:
        if (!waits)
            step_call(t, machine_random(8) != 0);
    }
}

static void start(uint64_t seed) {
    static gmk_msg_t buffers[THREADS];
    machine_start(seed);
    atomic_store(&machine.rq.top, IDLE_PRIORITY);
    for (unsigned i = 0; i < THREADS; i++) {
        struct thread *t = &machine.threads[i];
        t->slot = (uint16_t)(i + 1);
        t->block.call = (uint32_t)t->slot << 1;
        t->msg = &buffers[i];
        thread_users[t->slot] = t;
        new_life(t);
    }
    for (unsigned p = 0; p < PORTS; p++) {
        int error;
        struct object *object = port_new(NULL, &error);
        assert_non_null(object);
        ports[p] = (struct port *)object;
        handles[p] = machine_cap(p + 1, object, GMK_CAP_PORT, GMK_RIGHT_READ | GMK_RIGHT_WRITE);
    }
}

static void effective_priorities_are_the_most_urgent_of_the_graph_after_every_step(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start(seed);
        for (unsigned i = 0; i < STEPS; i++) {
            step();
            check_graph();
            check_queues();
        }
        /* A port may end at any time; in the end all do, and everybody has his own priority again. */
        for (unsigned p = 0; p < PORTS; p++) {
            port_end(ports[p], ports[p]->object.serial);
            while (!port_reap_step())
                continue;
            check_graph();
        }
        for (unsigned i = 0; i < THREADS; i++)
            block_take_out(&machine.threads[i]); /* whoever still waits for a reply gives up */
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal(machine.threads[i].priority, machine.threads[i].base);
        assert_int_equal(machine.objects, 0);
    }
    print_message("%u calls, at most %u in a queue, chains of at most %u\n", calls, queued_most,
                  deepest);
    assert_true(calls > 10000);
    assert_true(queued_most >= 4);
    assert_true(deepest >= 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effective_priorities_are_the_most_urgent_of_the_graph_after_every_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
