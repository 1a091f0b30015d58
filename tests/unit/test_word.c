/* Words: waiting and waking, with wakers, ends and page faults between the waiter's two steps. */
#include "tests/fake_arch/event_machine.h"

#define WORDS 64u
static uint32_t memory[WORDS]; /* what user space sees at BASE */
static void (*between)(void);  /* what happens while the word is being read */

#include "kernel/ipc/word.c"

#define BASE  UINT64_C(0x400000)
#define AT(i) (BASE + 4u * (i))

static struct thread *const T = machine.threads;

int arch_load_user32(uint64_t user, uint32_t *value) {
    assert_int_equal(machine.locks_held, 0); /* it may fault */
    if (user < BASE || user >= AT(WORDS))
        return GMK_EFAULT;
    *value = memory[(user - BASE) / 4u];
    void (*now)(void) = between;
    between = NULL;
    if (now != NULL)
        now();
    return GMK_OK;
}

static int set_up(void **state) {
    (void)state;
    machine_start(3);
    machine.unit.index = 5;
    memset(memory, 0, sizeof(memory));
    between = NULL;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (unsigned i = 0; i < UNITS_MAX * WORD_BUCKETS; i++) {
        assert_null(buckets[i].head);
        assert_int_equal(buckets[i].lock.class, LOCK_WORDS);
    }
    return 0;
}

static void wait_by(struct thread *t, uint64_t address, uint64_t expected, uint64_t timeout) {
    machine_call(t, word_sys_wait, address, expected, timeout, 0, 0);
}
static int64_t wake_by(struct thread *t, uint64_t address, uint64_t count) {
    machine_call(t, word_sys_wake, address, count, 0, 0, 0);
    assert_int_equal(machine.how, RETURNED);
    return machine_status(t);
}

static void a_wait_lasts_until_a_wake(void **state) {
    (void)state;
    wait_by(&T[1], AT(1), 0, GMK_FOREVER);
    assert_int_equal(machine.how, BLOCKED);
    assert_int_equal(wake_by(&T[0], AT(2), 1), 0);
    assert_int_equal(wake_by(&T[0], AT(1), 1), 1);
    assert_ptr_equal(machine.readied[0], &T[1]);
    assert_int_equal(machine_status(&T[1]), GMK_OK);
    assert_int_equal(wake_by(&T[0], AT(1), 1), 0);
}

static void another_value_returns_at_once(void **state) {
    (void)state;
    memory[1] = 7;
    wait_by(&T[1], AT(1), 8, GMK_FOREVER);
    assert_int_equal(machine.how, RETURNED);
    assert_int_equal(machine_status(&T[1]), GMK_EAGAIN);
    wait_by(&T[1], AT(1), 7, 0);
    assert_int_equal(machine_status(&T[1]), GMK_ETIMEOUT);
    wait_by(&T[1], AT(1), 8, 0);
    assert_int_equal(machine_status(&T[1]), GMK_EAGAIN);
}

static void wakes_go_in_order_and_no_further_than_asked(void **state) {
    (void)state;
    for (unsigned i = 1; i <= 40; i++)
        wait_by(&T[i], AT(3), 0, GMK_FOREVER);
    wait_by(&T[41], AT(4), 0, GMK_FOREVER); /* the same bucket, another word */
    assert_int_equal(wake_by(&T[0], AT(3), 0), 0);
    assert_int_equal(wake_by(&T[0], AT(3), 2), 2);
    assert_ptr_equal(machine.readied[0], &T[1]);
    assert_ptr_equal(machine.readied[1], &T[2]);
    assert_int_equal(wake_by(&T[0], AT(3), UINT64_MAX), GMK_WORD_WAKE_MAX);
    assert_int_equal(wake_by(&T[0], AT(3), UINT64_MAX), 38 - GMK_WORD_WAKE_MAX);
    assert_int_equal(wake_by(&T[0], AT(4), UINT64_MAX), 1);
}

/* ---- What comes between -------------------------------------------------------------------- */

static void wake_between(void) {
    struct thread *self = machine.cpu.current;
    struct bucket *b = bucket_of(&machine.unit, AT(1));
    assert_ptr_equal(b->head, self); /* in the queue before it looks */
    assert_int_equal(word_sys_wake(AT(1), 1, 0, 0, 0, 0, 0), 1);
}
static void change_and_wake(void) {
    memory[1] = 1;
    wake_between();
}
static void change_only(void) {
    memory[1] = 1;
}
static void end_between(void) {
    struct thread *self = machine.cpu.current;
    assert_true(machine_cancel(self, word_block_remove, self->block.object, GMK_EKILLED));
    machine_ready(self, false);
}

static void a_wake_between_the_two_steps_is_not_lost(void **state) {
    (void)state;
    void (*const cases[])(void) = {wake_between, change_and_wake};
    for (unsigned i = 0; i < 2; i++) {
        memory[1] = 0;
        between = cases[i];
        wait_by(&T[1], AT(1), 0, GMK_FOREVER);
        assert_int_equal(machine.how, BLOCKED); /* in name: it is ready already */
        assert_int_equal(machine.ready_count, 1);
        assert_ptr_equal(machine.readied[0], &T[1]);
        assert_int_equal(machine_status(&T[1]), GMK_OK);
        memory[1] = 1; /* read late: the same when the value differs */
        between = wake_between;
        wait_by(&T[1], AT(1), 0, GMK_FOREVER);
        assert_int_equal(machine.how, BLOCKED);
        assert_int_equal(machine_status(&T[1]), GMK_OK);
    }
    memory[1] = 0;
    between = change_only; /* after the look: the waker's turn */
    wait_by(&T[1], AT(1), 0, GMK_FOREVER);
    assert_int_equal(machine.how, BLOCKED);
    assert_int_equal(wake_by(&T[0], AT(1), 1), 1);
}

static void an_end_between_the_two_steps_stands(void **state) {
    (void)state;
    between = end_between;
    wait_by(&T[1], AT(1), 0, GMK_FOREVER);
    assert_int_equal(machine_status(&T[1]), GMK_EKILLED);
    memory[1] = 1;
    between = end_between;
    wait_by(&T[1], AT(1), 0, GMK_FOREVER);
    assert_int_equal(machine.how, BLOCKED);
    assert_int_equal(machine_status(&T[1]), GMK_EKILLED);
}

/* ---- Refusals --------------------------------------------------------------------------------- */

static void addresses_that_cannot_be_are_refused(void **state) {
    (void)state;
    for (unsigned i = 1; i < 4; i++) {
        wait_by(&T[1], AT(1) + i, 0, GMK_FOREVER);
        assert_int_equal(machine_status(&T[1]), GMK_EINVAL);
        assert_int_equal(wake_by(&T[1], AT(1) + i, 1), GMK_EINVAL);
    }
    const uint64_t bad[] = {0, GMK_USER_MAX, 0x800000000000u, 0xffff800000000000u, UINT64_MAX - 3};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        wait_by(&T[1], bad[i], 0, GMK_FOREVER);
        assert_int_equal(machine_status(&T[1]), GMK_EFAULT);
        assert_int_equal(wake_by(&T[1], bad[i], 1), GMK_EFAULT);
    }
    wait_by(&T[1], AT(WORDS), 0, GMK_FOREVER); /* plausible, but nothing is there */
    assert_int_equal(machine.how, RETURNED);
    assert_int_equal(machine_status(&T[1]), GMK_EFAULT);
    machine.no_timers = true;
    wait_by(&T[1], AT(1), 0, 1000);
    assert_int_equal(machine_status(&T[1]), GMK_ELIMIT);
}

static void units_do_not_wake_each_other(void **state) {
    (void)state;
    static struct unit other;
    other.index = 6;
    wait_by(&T[1], AT(1), 0, GMK_FOREVER);
    T[2].unit = &other;
    assert_int_equal(wake_by(&T[2], AT(1), 10), 0);
    wait_by(&T[2], AT(1), 0, GMK_FOREVER);
    assert_ptr_not_equal(T[1].block.object, T[2].block.object);
    assert_int_equal(wake_by(&T[0], AT(1), 10), 1);
    assert_true(machine_cancel(&T[2], word_block_remove, T[2].block.object, GMK_EKILLED));
}

/* ---- Against a model ----------------------------------------------------------------------------- */

static void random_waits_wakes_and_ends_agree_with_a_model(void **state) {
    (void)state;
    unsigned order[MACHINE_THREADS], count = 0, wakes = 0;
    uint64_t where[MACHINE_THREADS] = {0};
    for (unsigned step = 0; step < 100000; step++) {
        unsigned t = (unsigned)machine_random(24), what = (unsigned)machine_random(10);
        uint64_t address = AT(machine_random(6));
        if (T[t].block.kind != BLOCK_NONE) {
            if (what != 0)
                continue;
            assert_true(machine_cancel(&T[t], word_block_remove, T[t].block.object, GMK_ETIMEOUT));
            for (unsigned i = 0; i < count; i++)
                if (order[i] == t)
                    memmove(&order[i], &order[i + 1], (--count - i) * sizeof(order[0]));
        } else if (what < 6) {
            wait_by(&T[t], address, machine_random(2), GMK_FOREVER);
            if (machine.how == BLOCKED) {
                order[count++] = t;
                where[t] = address;
            }
        } else {
            uint64_t most = machine_random(4), woken = 0;
            assert_true(wake_by(&T[t], address, most) >= 0);
            for (unsigned i = 0; i < count && woken < most;) {
                unsigned w = order[i];
                if (where[w] != address) {
                    i++;
                    continue;
                }
                assert_ptr_equal(machine.readied[woken++], &T[w]);
                memmove(&order[i], &order[i + 1], (--count - i) * sizeof(order[0]));
            }
            assert_int_equal(machine_status(&T[t]), woken);
            wakes += (unsigned)woken;
        }
    }
    assert_true(wakes > 5000);
    for (unsigned i = 0; i < count; i++)
        assert_true(machine_cancel(&T[order[i]], word_block_remove, T[order[i]].block.object, 0));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_wait_lasts_until_a_wake),
        TEST(another_value_returns_at_once),
        TEST(wakes_go_in_order_and_no_further_than_asked),
        TEST(a_wake_between_the_two_steps_is_not_lost),
        TEST(an_end_between_the_two_steps_stands),
        TEST(addresses_that_cannot_be_are_refused),
        TEST(units_do_not_wake_each_other),
        TEST(random_waits_wakes_and_ends_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
