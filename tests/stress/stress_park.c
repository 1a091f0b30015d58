/* Stress of park: many threads, no time limits, and every piece of work must be found.
 *
 * Producers publish work into counters and notify; waiters take it and park when there is
 * none. A lost wake-up leaves work behind with everybody asleep: the run hangs and its time
 * limit ends it, and the message printed at the start says which setting it was. Settings:
 * plain or chained notify, symmetric or asymmetric barrier, with few and with many waiters.
 *
 * GGMK_STRESS=n runs n times as long. SEED=n repeats a run's choices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/park.h"
#include "lib/rand.h"

#define WAITERS_MAX 6u
#define PRODUCERS   3u /* most; the tight setting has one */

struct stress {
    struct park park;
    struct park_slot slots[WAITERS_MAX];
    struct {
        /* Two counters instead of one, so that publishing is a plain store: an atomic addition
         * would be a full barrier on x86, and hide a missing one in park. */
        _Alignas(GMK_FALSE_SHARING) _Atomic uint32_t published; /* written by its producer */
        _Alignas(GMK_FALSE_SHARING) _Atomic uint32_t claimed;   /* by whoever takes an item */
    } queues[PRODUCERS];
    _Alignas(GMK_FALSE_SHARING) _Atomic uint64_t taken;
    _Atomic bool stop;
    bool chained;
    uint32_t per_producer;
    uint64_t seed;
};

struct agent {
    struct hal_thread thread;
    struct stress *stress;
    uint32_t number;
};

static void notify(struct stress *s) {
    if (s->chained) {
        park_notify_chained(&s->park);
    } else {
        park_notify(&s->park, 1);
    }
}

/* Relaxed on purpose: park alone must make the work visible. */
static bool take_from(struct stress *s, uint32_t queue) {
    _Atomic uint32_t *claimed = &s->queues[queue].claimed;
    uint32_t seen = atomic_load_explicit(claimed, memory_order_relaxed);
    while (seen < atomic_load_explicit(&s->queues[queue].published, memory_order_relaxed)) {
        if (atomic_compare_exchange_weak_explicit(claimed, &seen, seen + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

static bool look(struct stress *s) {
    for (uint32_t queue = 0; queue < PRODUCERS; queue++) {
        if (take_from(s, queue)) {
            atomic_fetch_add_explicit(&s->taken, 1, memory_order_relaxed);
            return true;
        }
    }
    return false;
}

/* One idle round: prepare, look, and sleep, some rounds after spinning on the own word.
 * Sets *found if the last look was lucky. Returns whether a notifier claimed this waiter. */
static bool idle_round(struct agent *a, struct rand_state *rand, bool *found) {
    struct park *park = &a->stress->park;
    park_prepare(park, a->number);
    *found = look(a->stress);
    if (*found || atomic_load_explicit(&a->stress->stop, memory_order_seq_cst)) {
        return park_cancel(park, a->number);
    }
    for (uint32_t spins = rand_below(rand, 200); spins > 0; spins--) {
        if (park_is_notified(park, a->number)) {
            break;
        }
        hal_relax();
    }
    /* Only waiter 0 has limits, so that they cannot hide what the others lose. */
    bool limited = a->number == 0 && park->slot_count > 1 && rand_below(rand, 4) == 0;
    return park_commit(park, a->number, limited ? rand_below(rand, 20000) : HAL_FOREVER);
}

static void waiter(void *arg) {
    struct agent *a = arg;
    struct rand_state rand = rand_seed(a->stress->seed + a->number);
    bool claimed = false;
    while (!atomic_load_explicit(&a->stress->stop, memory_order_seq_cst)) {
        bool found = look(a->stress);
        if (!found) {
            claimed = idle_round(a, &rand, &found) || claimed;
        }
        if (found && claimed) { /* pass on what was spent on this waiter */
            notify(a->stress);
            claimed = false;
        }
    }
}

/* Waits until everything this producer published is taken: a wake-up lost now stays lost,
 * because no later notify of this thread makes up for it. */
static void until_taken(struct stress *s, uint32_t queue, uint32_t published) {
    for (uint32_t n = 1;
         atomic_load_explicit(&s->queues[queue].claimed, memory_order_relaxed) != published; n++) {
        if (n % 512 == 0) {
            hal_yield_cpu();
        } else {
            hal_relax();
        }
    }
}

/* Sometimes in bursts; mostly one item at a time, and the next at the moment when the waiters,
 * having found no more, are about to park. */
static void producer(void *arg) {
    struct agent *a = arg;
    struct rand_state rand = rand_seed(a->stress->seed + 100 + a->number);
    for (uint32_t n = 1; n <= a->stress->per_producer; n++) {
        atomic_store_explicit(&a->stress->queues[a->number].published, n, memory_order_relaxed);
        notify(a->stress);
        if (rand_below(&rand, 8) != 0) {
            until_taken(a->stress, a->number, n);
            uint64_t from = hal_cycles();
            uint32_t delay = rand_below(&rand, 2000);
            while (hal_cycles() - from < delay) {}
        }
    }
}

static void start(struct agent *a, struct stress *s, uint32_t number, int cpu, void (*fn)(void *)) {
    *a = (struct agent){.stress = s, .number = number};
    assert_int_equal(hal_thread_start(&a->thread, "stress", 0, cpu, fn, a), 0);
}

struct setting {
    bool chained, asymmetric, pinned;
    uint32_t waiters, producers, per_producer;
};

static void run(const struct setting *set, uint64_t seed) {
    static struct stress s;
    struct agent agents[WAITERS_MAX + PRODUCERS];
    memset(&s, 0, sizeof s);
    park_init(&s.park, s.slots, set->waiters, set->asymmetric);
    s.chained = set->chained;
    s.per_producer = set->per_producer;
    s.seed = seed;
    print_message("%s, %s, %u waiters, SEED=%llu\n", set->chained ? "chained" : "plain",
                  s.park.asymmetric ? "asymmetric" : "symmetric", set->waiters,
                  (unsigned long long)seed);
    for (uint32_t i = 0; i < set->waiters; i++) {
        start(&agents[i], &s, i, set->pinned ? 0 : -1, waiter);
    }
    for (uint32_t i = 0; i < set->producers; i++) {
        int cpu = set->pinned ? (int)hal_cpu_count() - 1 : -1;
        start(&agents[WAITERS_MAX + i], &s, i, cpu, producer);
    }
    for (uint32_t i = 0; i < set->producers; i++) {
        hal_thread_join(&agents[WAITERS_MAX + i].thread);
    }
    uint64_t all = (uint64_t)set->producers * set->per_producer;
    while (atomic_load_explicit(&s.taken, memory_order_relaxed) != all) {
        hal_yield_cpu(); /* a lost wake-up shows here: nobody will ever take the rest */
    }
    atomic_store_explicit(&s.stop, true, memory_order_seq_cst);
    park_notify_all(&s.park);
    for (uint32_t i = 0; i < set->waiters; i++) {
        hal_thread_join(&agents[i].thread);
    }
    assert_true(park_check(&s.park));
    assert_int_equal(atomic_load(&s.park.parked), 0);
    assert_int_equal(atomic_load(&s.park.waking), 0);
}

static uint64_t number_of(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* Each of the four protocols with few and with many waiters, where the scheduler makes the
 * interleavings, and between two CPUs alone, where the store buffers do: there a publication
 * and a prepare fall within some ten nanoseconds of each other again and again. */
static void no_wake_up_is_lost_in_any_setting(void **state) {
    (void)state;
    uint64_t rounds = number_of("GGMK_STRESS", 1);
    uint64_t seed = number_of("SEED", 1);
    for (uint64_t round = 0; round < rounds; round++, seed++) {
        for (unsigned i = 0; i < 4; i++) {
            bool chained = (i & 1) != 0, asymmetric = (i & 2) != 0;
            run(&(struct setting){chained, asymmetric, false, 2, PRODUCERS, 2000}, seed);
            run(&(struct setting){chained, asymmetric, false, WAITERS_MAX, PRODUCERS, 2000}, seed);
            run(&(struct setting){chained, asymmetric, true, 1, 1, 20000}, seed);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wake_up_is_lost_in_any_setting),
    };
    return cmocka_run_group_tests_name("stress_park", tests, NULL, NULL);
}
