/* Notifications: bits, masks and waiters against a model, and which switch each signal makes. */
#include "tests/fake_arch/event_machine.h"

#include "kernel/ipc/notify.c"
#include "kernel/ipc/notify_fast.c"

/* The general way, as a system call; the short paths are tried with the same tests. */
static uint64_t general_signal(uint64_t handle, uint64_t bits, uint64_t a2, uint64_t a3,
                               uint64_t a4, uint64_t a5, uint64_t rax) {
    (void)a2, (void)a3, (void)a4, (void)a5, (void)rax;
    return notify_signal_slow(handle, bits);
}
static uint64_t general_wait(uint64_t handle, uint64_t mask, uint64_t timeout, uint64_t a3,
                             uint64_t a4, uint64_t a5, uint64_t rax) {
    (void)a3, (void)a4, (void)a5, (void)rax;
    return notify_wait_slow(handle, mask, timeout);
}
static uint64_t general_both(uint64_t signal, uint64_t wait, uint64_t bits, uint64_t mask,
                             uint64_t timeout, uint64_t a5, uint64_t rax) {
    (void)a5, (void)rax;
    return notify_both_slow(signal, wait, bits, mask, timeout);
}
static machine_entry sys_signal, sys_wait, sys_both;

#define BIT(n) (1ull << (n))

static struct notify *n1, *n2;
static uint32_t h1, h2;
static struct thread *const T = machine.threads;

static int set_up_general(void **state) {
    (void)state;
    int error = GMK_OK;
    machine_start(7);
    n1 = (struct notify *)notify_new(NULL, &error);
    n2 = (struct notify *)notify_new(NULL, &error);
    assert_non_null(n1);
    assert_non_null(n2);
    h1 = machine_cap(1, &n1->object, GMK_CAP_NOTIFY, GMK_RIGHTS_ALL);
    h2 = machine_cap(2, &n2->object, GMK_CAP_NOTIFY, GMK_RIGHTS_ALL);
    sys_signal = general_signal;
    sys_wait = general_wait;
    sys_both = general_both;
    return 0;
}

static int set_up_short(void **state) {
    int status = set_up_general(state);
    sys_signal = notify_sys_signal;
    sys_wait = notify_sys_wait;
    sys_both = notify_sys_signal_wait;
    for (unsigned i = 0; i < MACHINE_THREADS; i++) { /* as after a first call */
        T[i].signals = (struct notify_cache){cap_changes, n1, h1, n1->object.serial};
        T[i].waits = (struct notify_cache){cap_changes, n2, h2, n2->object.serial};
    }
    return status;
}

static int tear_down(void **state) {
    (void)state;
    notify_end(n1, n1->object.serial);
    notify_end(n2, n2->object.serial);
    assert_int_equal(machine.objects, 0);
    return 0;
}

static unsigned waiting(const struct notify *n) {
    unsigned count = n->waiters != NULL;
    for (const struct thread *t = n->waiters; t != NULL && t->block.next != n->waiters;
         t = t->block.next)
        count++;
    return count;
}

static void signal_by(struct thread *t, uint32_t handle, uint64_t bits) {
    machine_call(t, sys_signal, handle, bits, 0, 0, 0);
}
static void wait_by(struct thread *t, uint32_t handle, uint64_t mask, uint64_t timeout) {
    machine_call(t, sys_wait, handle, mask, timeout, 0, 0);
}
static void both_by(struct thread *t, uint32_t to, uint32_t from, uint64_t bits, uint64_t mask) {
    machine_call(t, sys_both, to, from, bits, mask, GMK_FOREVER);
}

static void assert_got(struct thread *t, uint64_t bits) {
    assert_int_equal(machine_status(t), GMK_OK);
    assert_true(arch_user_frame(t)->rdi == bits);
    assert_int_equal(t->block.kind, BLOCK_NONE);
}

/* ---- What a signal does ---------------------------------------------------------------- */

static void bits_that_nobody_wants_stay_until_somebody_does(void **state) {
    (void)state;
    signal_by(&T[0], h1, BIT(3) | BIT(63));
    signal_by(&T[0], h1, BIT(3) | BIT(5));
    assert_int_equal(machine.how, RETURNED);
    wait_by(&T[1], h1, BIT(3) | BIT(4), 0);
    assert_got(&T[1], BIT(3));
    wait_by(&T[1], h1, BIT(3), 0);
    assert_int_equal(machine_status(&T[1]), GMK_ETIMEOUT);
    wait_by(&T[1], h1, UINT64_MAX, GMK_FOREVER);
    assert_got(&T[1], BIT(5) | BIT(63));
}

static void a_more_urgent_waiter_is_switched_to_at_once(void **state) {
    (void)state;
    T[1].priority = 101;
    wait_by(&T[1], h1, UINT64_MAX, GMK_FOREVER);
    assert_int_equal(machine.how, BLOCKED);
    signal_by(&T[0], h1, 6);
    assert_int_equal(machine.how, SWITCHED_READY);
    assert_ptr_equal(machine.to, &T[1]);
    assert_int_equal(machine.ready_count, 0);
    assert_got(&T[1], 6);
    assert_int_equal(machine_status(&T[0]), GMK_OK);
}

static void any_other_waiter_is_made_ready(void **state) {
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        T[1].priority = round < 2 ? 100 : 101;
        machine.slow = round == 1;
        machine.elsewhere = round == 2 || round == 3; /* more urgent, but not to be had here */
        machine.urgent_waits = round == 4;
        machine.idle_elsewhere = round == 5;
        wait_by(&T[1], h1, UINT64_MAX, GMK_FOREVER);
        signal_by(&T[0], h1, 6);
        assert_int_equal(machine.how, RETURNED);
        assert_int_equal(machine.ready_count, 1);
        assert_ptr_equal(machine.readied[0], &T[1]);
        assert_got(&T[1], 6);
    }
}

static void several_waiters_share_by_mask_first_come_first(void **state) {
    (void)state;
    wait_by(&T[1], h1, BIT(0) | BIT(1), GMK_FOREVER);
    wait_by(&T[2], h1, BIT(1) | BIT(2), GMK_FOREVER);
    wait_by(&T[3], h1, BIT(1), GMK_FOREVER);
    wait_by(&T[4], h1, BIT(9), GMK_FOREVER);
    signal_by(&T[0], h1, BIT(1) | BIT(2) | BIT(3));
    assert_int_equal(machine.ready_count, 2);
    assert_got(&T[1], BIT(1));
    assert_got(&T[2], BIT(2));
    assert_int_equal(T[3].block.kind, BLOCK_NOTIFY);
    assert_int_equal(waiting(n1), 2);
    assert_true(n1->bits == BIT(3));
}

static void an_interrupts_signal_makes_ready_and_never_switches(void **state) {
    (void)state;
    struct notify_ref ref = {n1, n1->object.serial, BIT(2)}, nobody = {0};
    T[1].priority = 200;
    wait_by(&T[1], h1, BIT(2), GMK_FOREVER);
    machine.ready_count = 0;
    notify_signal(&nobody);
    notify_signal(&ref);
    assert_int_equal(machine.ready_count, 1);
    assert_got(&T[1], BIT(2));
    notify_signal(&ref);
    assert_true(n1->bits == BIT(2));
}

/* ---- Signal and wait in one --------------------------------------------------------------- */

static void signalling_and_waiting_in_one_call_changes_places(void **state) {
    (void)state;
    wait_by(&T[1], h1, UINT64_MAX, GMK_FOREVER);
    for (unsigned i = 0; i < 10; i++) {
        struct thread *self = &T[i % 2], *other = &T[1 - i % 2];
        both_by(self, i % 2 == 0 ? h1 : h2, i % 2 == 0 ? h2 : h1, BIT(i), UINT64_MAX);
        /* In one switch, once the capabilities are remembered. */
        bool direct = sys_both == notify_sys_signal_wait && i != 1;
        assert_int_equal(machine.how, direct ? SWITCHED_BLOCKED : BLOCKED);
        assert_ptr_equal(direct ? machine.to : machine.readied[0], other);
        assert_int_equal(machine.ready_count, !direct);
        assert_got(other, BIT(i));
        assert_int_equal(self->block.kind, BLOCK_NOTIFY);
    }
}

static void it_falls_back_where_the_switch_cannot_be(void **state) {
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        machine.elsewhere = i == 0;
        machine.urgent_waits = i == 1;
        wait_by(&T[1], h1, UINT64_MAX, GMK_FOREVER);
        both_by(&T[0], h1, h2, 1, UINT64_MAX);
        assert_int_equal(machine.how, BLOCKED);
        assert_int_equal(machine.ready_count, 1);
        assert_got(&T[1], 1);
        signal_by(&T[1], h2, 1);
        assert_got(&T[0], 1);
    }
}

static void
bits_that_are_there_end_it_at_once_and_the_waiter_runs_if_it_is_more_urgent(void **state) {
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        T[1].priority = (uint8_t)(100 + i);
        wait_by(&T[1], h1, UINT64_MAX, GMK_FOREVER);
        signal_by(&T[2], h2, 12);
        both_by(&T[0], h1, h2, 1, 4);
        assert_int_equal(machine.how, i == 0 ? RETURNED : SWITCHED_READY);
        assert_int_equal(machine.ready_count, 1 - i);
        assert_got(&T[0], 4);
        assert_got(&T[1], 1);
    }
}

static void a_notification_may_be_signalled_and_waited_on_in_one(void **state) {
    (void)state;
    both_by(&T[0], h1, h1, 5, 4);
    assert_got(&T[0], 4);
    assert_true(n1->bits == 1);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void its_end_wakes_all_who_wait(void **state) {
    (void)state;
    int error = GMK_OK;
    struct notify *n = (struct notify *)notify_new(NULL, &error);
    uint32_t serial = n->object.serial;
    uint32_t h = machine_cap(3, &n->object, GMK_CAP_NOTIFY, GMK_RIGHTS_ALL);
    struct notify_ref ref = {n, serial, 1};
    signal_by(&T[0], h, 0); /* now it remembers the capability */
    wait_by(&T[0], h, 1, 0);
    for (unsigned i = 1; i <= 5; i++)
        wait_by(&T[i], h, BIT(i), GMK_FOREVER);
    machine.ready_count = 0;
    notify_end(n, serial);
    assert_int_equal(machine.ready_count, 5);
    for (unsigned i = 1; i <= 5; i++)
        assert_int_equal(machine_status(&T[i]), GMK_EHANDLE);
    notify_end(n, serial); /* once */
    assert_int_equal(machine.ready_count, 5);
    /* Stale handles and references do nothing, also when the memory lives again. */
    struct notify *again = (struct notify *)notify_new(NULL, &error);
    assert_ptr_equal(again, n);
    notify_signal(&ref);
    signal_by(&T[0], h, 1);
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    wait_by(&T[0], h, 1, GMK_FOREVER);
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    both_by(&T[0], h, h1, 1, 1);
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    assert_int_equal(waiting(n1), 0);
    both_by(&T[0], h1, h, 2, 1); /* the signal is given, then the wait fails */
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    assert_true(n1->bits == 2);
    assert_true(again->bits == 0);
    notify_end(again, again->object.serial);
}

static void a_capability_that_was_taken_back_is_not_remembered(void **state) {
    (void)state;
    wait_by(&T[1], h1, 1, GMK_FOREVER);
    signal_by(&T[0], h1, 1);
    wait_by(&T[0], h1, 1, 0);
    machine.caps[1].head = CAP_HEAD(GMK_CAP_NONE, 0, 0, 1);
    cap_changes++;
    signal_by(&T[0], h1, 1);
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    wait_by(&T[0], h1, 1, 0);
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    both_by(&T[0], h1, h2, 1, 1);
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    both_by(&T[0], h2, h1, 1, 1);
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    assert_true(n1->bits == 0 && n2->bits == 0 && waiting(n1) == 0 && waiting(n2) == 0);
}

static void a_wait_is_ended_once_and_only_while_it_lasts(void **state) {
    (void)state;
    wait_by(&T[1], h1, 1, 1000);
    uint32_t sequence = T[1].block.sequence;
    assert_false(notify_block_remove(&T[1], n2, UINT32_MAX));
    assert_false(notify_block_remove(&T[1], n1, sequence - 1));
    assert_true(notify_block_remove(&T[1], n1, sequence));
    assert_false(notify_block_remove(&T[1], n1, sequence));
    assert_int_equal(waiting(n1), 0);
    signal_by(&T[0], h1, 1);
    assert_int_equal(machine.ready_count, 0);
    wait_by(&T[1], h1, 2, 1000);
    assert_false(notify_block_remove(&T[1], n1, sequence)); /* the timer of the wait before */
    assert_true(notify_block_remove(&T[1], n1, UINT32_MAX));
}

/* ---- Refusals ------------------------------------------------------------------------------- */

static void wrong_arguments_are_refused_and_change_nothing(void **state) {
    (void)state;
    uint32_t look = machine_cap(3, &n1->object, GMK_CAP_NOTIFY, GMK_RIGHT_READ);
    uint32_t tell = machine_cap(4, &n1->object, GMK_CAP_NOTIFY, GMK_RIGHT_WRITE);
    uint32_t other = machine_cap(5, &n1->object, GMK_CAP_PORT, GMK_RIGHTS_ALL);
    signal_by(&T[0], look, 1);
    assert_int_equal(machine_status(&T[0]), GMK_ERIGHTS);
    wait_by(&T[0], tell, 1, GMK_FOREVER);
    assert_int_equal(machine_status(&T[0]), GMK_ERIGHTS);
    signal_by(&T[0], other, 1);
    assert_int_equal(machine_status(&T[0]), GMK_ECAPTYPE);
    signal_by(&T[0], GMK_HANDLE(9, 1), 1);
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    signal_by(&T[0], GMK_HANDLE(1, 2), 1);
    assert_int_equal(machine_status(&T[0]), GMK_EHANDLE);
    wait_by(&T[0], h1, 0, GMK_FOREVER);
    assert_int_equal(machine_status(&T[0]), GMK_EINVAL);
    both_by(&T[0], h1, h2, 1, 0);
    assert_int_equal(machine_status(&T[0]), GMK_EINVAL);
    both_by(&T[0], tell, tell, 1, 1);
    assert_int_equal(machine_status(&T[0]), GMK_ERIGHTS);
    both_by(&T[0], look, look, 1, 1);
    assert_int_equal(machine_status(&T[0]), GMK_ERIGHTS);
    both_by(&T[0], other, look, 1, 1);
    assert_int_equal(machine_status(&T[0]), GMK_ECAPTYPE);
    assert_true(n1->bits == 0 && n2->bits == 0 && waiting(n1) == 0 && waiting(n2) == 0);
}

static void waiters_and_timers_are_limited(void **state) {
    (void)state;
    machine.no_timers = true;
    wait_by(&T[0], h1, 1, 1000);
    assert_int_equal(machine_status(&T[0]), GMK_ELIMIT);
    assert_int_equal(waiting(n1), 0);
    for (unsigned i = 1; i <= NOTIFY_WAITERS_MAX; i++) {
        wait_by(&T[i], h1, BIT(i - 1), GMK_FOREVER);
        assert_int_equal(machine.how, BLOCKED);
    }
    wait_by(&T[0], h1, 1, GMK_FOREVER);
    assert_int_equal(machine_status(&T[0]), GMK_ELIMIT);
    signal_by(&T[0], h1, UINT64_MAX);
    assert_int_equal(machine.ready_count, NOTIFY_WAITERS_MAX);
    for (unsigned i = 1; i <= NOTIFY_WAITERS_MAX; i++)
        assert_got(&T[i], BIT(i - 1));
}

/* ---- Against a model --------------------------------------------------------------------------- */

struct model {
    uint64_t bits;
    unsigned order[MACHINE_THREADS], count; /* waiters, first come first */
    uint64_t mask[MACHINE_THREADS];
};

static void model_remove(struct model *m, unsigned at) {
    memmove(&m->order[at], &m->order[at + 1], (--m->count - at) * sizeof(m->order[0]));
}

static void model_signal(struct model *m, uint64_t bits) {
    m->bits |= bits;
    for (unsigned i = 0; i < m->count;) {
        unsigned t = m->order[i];
        uint64_t got = m->bits & m->mask[t];
        m->bits &= ~got;
        if (got == 0) {
            i++;
            continue;
        }
        assert_got(&T[t], got);
        model_remove(m, i);
    }
}

static void assert_model(const struct model *m, const struct notify *n) {
    assert_true(n->bits == m->bits);
    assert_int_equal(waiting(n), m->count);
    const struct thread *t = n->waiters;
    for (unsigned i = 0; i < m->count; i++, t = t->block.next) {
        assert_ptr_equal(t, &T[m->order[i]]);
        assert_ptr_equal(t->block.next->block.prev, t);
        assert_true((m->mask[t->id] & m->bits) == 0);
    }
    assert_true(m->count == 0 ? t == NULL : t == n->waiters);
}

static uint64_t some_bits(void) {
    return BIT(machine_random(6)) | BIT(machine_random(6));
}

static void a_long_random_life_agrees_with_the_model(void **state) {
    (void)state;
    struct model m = {0};
    unsigned signals = 0, ended = 0;
    for (unsigned step = 0; step < 200000; step++) {
        unsigned t = (unsigned)machine_random(12);
        uint64_t bits = some_bits();
        machine.elsewhere = machine_random(4) == 0;
        machine.slow = machine_random(2) == 0;
        T[t].priority = T[t].block.kind == BLOCK_NONE ? (uint8_t)machine_random(3) : T[t].priority;
        if (T[t].block.kind != BLOCK_NONE) {
            if (machine_random(8) != 0)
                continue;
            for (unsigned i = 0; i < m.count; i++)
                if (m.order[i] == t) {
                    assert_true(machine_cancel(&T[t], notify_block_remove, n1, GMK_ETIMEOUT));
                    model_remove(&m, i);
                    ended++;
                }
        } else if (machine_random(2) == 0) {
            signal_by(&T[t], h1, bits);
            model_signal(&m, bits);
            signals++;
        } else {
            wait_by(&T[t], h1, bits, machine_random(3) == 0 ? 0 : GMK_FOREVER);
            if (machine.how == BLOCKED) {
                m.order[m.count++] = t;
                m.mask[t] = bits;
            } else if (machine_status(&T[t]) == GMK_OK) {
                assert_got(&T[t], m.bits & bits);
                m.bits &= ~bits;
            }
        }
        assert_model(&m, n1);
    }
    assert_true(signals > 20000 && ended > 100);
}

int main(void) {
#define TEST(name)                                                 \
    {#name " (general)", name, set_up_general, tear_down, NULL}, { \
#name " (short)", name, set_up_short, tear_down, NULL      \
    }
    const struct CMUnitTest tests[] = {
        TEST(bits_that_nobody_wants_stay_until_somebody_does),
        TEST(a_more_urgent_waiter_is_switched_to_at_once),
        TEST(any_other_waiter_is_made_ready),
        TEST(several_waiters_share_by_mask_first_come_first),
        TEST(an_interrupts_signal_makes_ready_and_never_switches),
        TEST(signalling_and_waiting_in_one_call_changes_places),
        TEST(it_falls_back_where_the_switch_cannot_be),
        TEST(bits_that_are_there_end_it_at_once_and_the_waiter_runs_if_it_is_more_urgent),
        TEST(a_notification_may_be_signalled_and_waited_on_in_one),
        TEST(its_end_wakes_all_who_wait),
        TEST(a_capability_that_was_taken_back_is_not_remembered),
        TEST(a_wait_is_ended_once_and_only_while_it_lasts),
        TEST(wrong_arguments_are_refused_and_change_nothing),
        TEST(waiters_and_timers_are_limited),
        TEST(a_long_random_life_agrees_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
