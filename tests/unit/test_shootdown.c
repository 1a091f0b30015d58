/* Test of shootdown: when it returns nobody holds an old translation, CPUs that ask at once with IF off
 * do not wait for each other forever, and one that does not answer is named. A thread plays a CPU, an
 * array its TLB; an interrupt is taken where the CPU looks, and only with IF on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "kernel/core/lock.c"
#include "kernel/mem/shootdown.c"
#include "lib/rand.h"

#define CPUS   4u
#define PAGES  64u
#define ROUNDS 4000u

static struct machine_cpu {
    struct cpu cpu;
    bool irq_on;
    _Atomic bool pending;
    _Atomic uint64_t tlb[PAGES]; /* the version of each page that it remembers; 0: none */
    uint64_t page_flushes, full_flushes;
} machine[CPUS];
static _Thread_local struct machine_cpu *me;
static _Atomic uint64_t version[PAGES];
static _Atomic unsigned finished;
static _Atomic uint64_t clock_ns;
static uint64_t clock_step;
static char panic_text[128];

struct cpu *cpus[CPUS_MAX];
unsigned cpu_count = CPUS;

struct cpu *arch_cpu(void) {
    return &me->cpu;
}
static void take_interrupts(void) {
    if (!me->irq_on || !atomic_exchange(&me->pending, false))
        return;
    me->irq_on = false;
    shootdown_isr();
    me->irq_on = true;
}
bool arch_irq_disable(void) {
    bool on = me->irq_on;
    me->irq_on = false;
    return on;
}
void arch_irq_restore(bool on) {
    me->irq_on = on;
    take_interrupts();
}
static void (*on_relax)(struct machine_cpu *other); /* instead of giving way */
void arch_relax(void) {
    if (on_relax != NULL) {
        on_relax(&machine[1]);
        return;
    }
    take_interrupts();
    sched_yield();
}
uint64_t arch_cycles(void) {
    return 0;
}
uint64_t arch_time_ns(void) {
    return atomic_fetch_add(&clock_ns, clock_step);
}
void arch_ipi_send(unsigned cpu, enum arch_ipi ipi) {
    assert_int_equal(ipi, ARCH_IPI_SHOOTDOWN);
    atomic_store(&machine[cpu].pending, true);
}
void arch_tlb_flush_page(vaddr_t va) {
    me->page_flushes++;
    atomic_store(&me->tlb[va / PAGE_SIZE], 0);
}
void arch_tlb_flush_all(void) {
    me->full_flushes++;
    for (unsigned i = 0; i < PAGES; i++)
        atomic_store(&me->tlb[i], 0);
}
void panic(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(panic_text, sizeof panic_text, fmt, args);
    va_end(args);
    mock_assert(0, panic_text, "panic", 0);
    abort();
}

static int fresh(void **state) {
    (void)state;
    memset(machine, 0, sizeof machine);
    memset(version, 0, sizeof version);
    ask_lock = (struct spinlock)SPINLOCK_INIT(LOCK_SHOOTDOWN);
    waiting = 0;
    finished = 0;
    clock_step = 1;
    for (unsigned i = 0; i < CPUS; i++) {
        machine[i].cpu = (struct cpu){.self = &machine[i].cpu, .index = i};
        machine[i].irq_on = true;
        atomic_store(&machine[i].cpu.online, true);
        cpus[i] = &machine[i].cpu;
    }
    me = &machine[0];
    return 0;
}

/* ---- One asks --------------------------------------------------------------------------------- */

static void only_online_cpus_are_asked(void **state) {
    (void)state;
    struct shootdown_stats before, after;
    vaddr_t page = 3 * PAGE_SIZE;
    atomic_store(&machine[1].cpu.online, false);
    atomic_store(&machine[2].cpu.stopped, true);
    cpus[3] = NULL;
    shootdown_stats(&before);
    shootdown(&page, 1);
    shootdown(&page, 0);
    shootdown_range(0, SHOOTDOWN_PAGES_MAX);
    shootdown_range(0, SHOOTDOWN_PAGES_MAX + 1);
    shootdown_stats(&after);
    assert_int_equal(after.ipis, before.ipis);
    assert_int_equal(after.requests, before.requests + 3);
    assert_int_equal(after.pages, before.pages + 1 + SHOOTDOWN_PAGES_MAX);
    assert_int_equal(after.full_flushes, before.full_flushes + 1);
    assert_int_equal(me->page_flushes, 1 + SHOOTDOWN_PAGES_MAX);
    assert_int_equal(me->full_flushes, 1);
    assert_true(me->irq_on);
}

static void a_cpu_that_does_not_answer_is_named(void **state) {
    (void)state;
    vaddr_t page = 0;
    atomic_store(&machine[1].cpu.online, false);
    atomic_store(&machine[3].cpu.online, false);
    clock_step = SHOOTDOWN_TIMEOUT_NS / 100;
    expect_assert_failure(shootdown(&page, 1));
    assert_string_equal(panic_text, "shootdown: CPU 2 does not answer");
}

static unsigned standstills;

/* The other CPU answers after the machine has stood still for longer than any limit. */
static void answer_late(struct machine_cpu *other) {
    if (++standstills < 3) {
        atomic_fetch_add(&clock_ns, 10 * SHOOTDOWN_TIMEOUT_NS);
    } else if (atomic_exchange(&other->pending, false)) {
        struct machine_cpu *asker = me;
        me = other;
        shootdown_isr();
        me = asker;
    }
}

static void a_machine_that_stood_still_does_not_accuse_its_cpus(void **state) {
    (void)state;
    vaddr_t page = 0;
    standstills = 0;
    atomic_store(&machine[2].cpu.online, false);
    atomic_store(&machine[3].cpu.online, false);
    on_relax = answer_late;
    shootdown(&page, 1);
    on_relax = NULL;
    assert_int_equal(standstills, 3);
    assert_int_equal(machine[1].page_flushes, 1);
}

/* ---- All ask ------------------------------------------------------------------------------------ */

/* Changes pages of its own, as the holder of a mapping does, and looks for old memories of them. */
static void change_pages(struct rand_state *random) {
    vaddr_t pages[SHOOTDOWN_PAGES_MAX];
    unsigned own = PAGES / CPUS, first = me->cpu.index * own;
    unsigned count = 1 + rand_below(random, own);
    uint64_t now[PAGES];
    for (unsigned i = 0; i < count; i++) {
        pages[i] = (vaddr_t)(first + i) * PAGE_SIZE;
        now[i] = atomic_fetch_add(&version[first + i], 1) + 1;
    }
    if (rand_below(random, 8) == 0)
        shootdown_range(first * (vaddr_t)PAGE_SIZE, SHOOTDOWN_PAGES_MAX + 9);
    else
        shootdown(pages, count);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        for (unsigned i = 0; i < count; i++) {
            uint64_t seen = atomic_load(&machine[cpu].tlb[first + i]);
            if (seen != 0 && seen < now[i])
                abort(); /* an assertion would jump out of another thread's test */
        }
    }
}

static void *one_cpu(void *arg) {
    me = arg;
    struct rand_state random = rand_seed(me->cpu.index + 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 8; i++) {
            unsigned page = rand_below(&random, PAGES);
            atomic_store(&me->tlb[page], atomic_load(&version[page]));
        }
        bool off = rand_below(&random, 2) == 0;
        bool irq = off ? arch_irq_disable() : true;
        change_pages(&random);
        if (off)
            arch_irq_restore(irq);
    }
    atomic_fetch_add(&finished, 1);
    while (atomic_load(&finished) != CPUS)
        arch_relax();
    return NULL;
}

static void nobody_keeps_an_old_translation_when_all_ask_at_once(void **state) {
    (void)state;
    pthread_t threads[CPUS];
    for (unsigned i = 0; i < CPUS; i++)
        pthread_create(&threads[i], NULL, one_cpu, &machine[i]);
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&waiting), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_online_cpus_are_asked, fresh),
        cmocka_unit_test_setup(a_cpu_that_does_not_answer_is_named, fresh),
        cmocka_unit_test_setup(a_machine_that_stood_still_does_not_accuse_its_cpus, fresh),
        cmocka_unit_test_setup(nobody_keeps_an_old_translation_when_all_ask_at_once, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
