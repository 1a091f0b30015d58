/* Test of shootdown: when it returns nobody holds an old translation, CPUs that ask at once with IF off
 * do not wait for each other forever, and one that does not answer is named. Of a space, only CPUs that
 * use it are asked; one that comes back to it later has missed nothing. A thread plays a CPU, an
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
    uint64_t flushes_seen[CPUS + 1]; /* by tag: struct space.flushes at the last load, plus 1 */
    uint16_t tag;                    /* of what is loaded */
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

/* ---- Spaces: each has a page of every CPU ---- */

static struct space spaces[CPUS];
static bool tagged; /* do CPUs keep what they remember of spaces that are not loaded? */

paddr_t vm_kernel_root(void) {
    return PAGE_SIZE;
}
/* Pages of the space with this tag: one in CPUS of all. */
static void forget_tag(unsigned tag) {
    for (unsigned i = 0; i < PAGES && tag != 0; i++)
        if (i % CPUS == tag - 1)
            atomic_store(&me->tlb[i], 0);
}
void arch_space_load(paddr_t root, uint16_t tag, bool keep) {
    assert_true((root == PAGE_SIZE) == (tag == 0));
    if (!tagged)
        for (unsigned i = 0; i < PAGES; i++)
            atomic_store(&me->tlb[i], 0);
    else if (!keep)
        forget_tag(tag);
    me->tag = tag;
}
/* What arch_user_switch() does. */
static void enter(struct space *space) {
    uint64_t *seen = &me->flushes_seen[space->tag];
    (void)atomic_exchange(&me->cpu.space, space);
    uint64_t flushes = atomic_load(&space->flushes) + 1;
    arch_space_load(space->root, space->tag, *seen == flushes);
    *seen = flushes;
}

static int fresh(void **state) {
    (void)state;
    memset(spaces, 0, sizeof spaces);
    for (unsigned i = 0; i < CPUS; i++)
        spaces[i] = (struct space){.root = (i + 2) * (paddr_t)PAGE_SIZE, .tag = (uint16_t)(i + 1)};
    tagged = false;
    memset(version, 0, sizeof version);
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

/* ---- Spaces --------------------------------------------------------------------------------------- */

static void answer_at_once(struct machine_cpu *other) {
    (void)other;
    struct machine_cpu *asker = me;
    for (unsigned i = 0; i < CPUS; i++) {
        me = &machine[i];
        if (atomic_exchange(&me->pending, false))
            shootdown_isr();
    }
    me = asker;
}

static void only_cpus_that_use_the_space_are_asked(void **state) {
    (void)state;
    struct shootdown_stats before, after;
    vaddr_t page = 3 * PAGE_SIZE;
    on_relax = answer_at_once;
    arch_irq_disable();
    shootdown_stats(&before);
    space_shootdown(&spaces[0], &page, 1); /* nobody */
    assert_int_equal(me->page_flushes, 0);
    enter(&spaces[0]);
    space_shootdown(&spaces[0], &page, 1); /* this CPU alone */
    assert_int_equal(me->page_flushes, 1);
    shootdown_stats(&after);
    assert_int_equal(after.ipis, before.ipis);
    atomic_store(&machine[2].cpu.space, &spaces[0]);
    atomic_store(&machine[3].cpu.space, &spaces[1]);
    space_shootdown(&spaces[0], &page, 1);
    space_shootdown(&spaces[0], NULL, SHOOTDOWN_PAGES_MAX + 1);
    shootdown_stats(&after);
    assert_int_equal(after.ipis, before.ipis + 2);
    assert_int_equal(machine[2].page_flushes, 1);
    assert_int_equal(machine[2].tag, 1); /* loaded anew */
    assert_int_equal(machine[1].page_flushes + machine[3].page_flushes, 0);
    assert_int_equal(atomic_load(&spaces[0].flushes), 4);
    on_relax = NULL;
}

static void who_has_a_dying_space_loaded_leaves_it(void **state) {
    (void)state;
    on_relax = answer_at_once;
    arch_irq_disable();
    enter(&spaces[0]);
    atomic_store(&machine[2].cpu.space, &spaces[0]);
    machine[2].tag = 1;
    atomic_store(&machine[3].cpu.space, &spaces[1]);
    machine[3].tag = 2;
    space_leave(&spaces[0]);
    assert_null(atomic_load(&machine[0].cpu.space));
    assert_null(atomic_load(&machine[2].cpu.space));
    assert_int_equal(machine[0].tag, 0);
    assert_int_equal(machine[2].tag, 0);
    assert_ptr_equal(atomic_load(&machine[3].cpu.space), &spaces[1]);
    assert_int_equal(machine[3].tag, 2);
    on_relax = NULL;
}

/* A program's access: remembers what is in the tables, but never what was there before a
 * change that is complete. */
static void touch(unsigned page) {
    uint64_t seen = atomic_load(&me->tlb[page]);
    if (seen == 0)
        atomic_store(&me->tlb[page], atomic_load(&version[page]));
}

/* version[] while it is being changed; `complete` once everybody has been told. */
static _Atomic uint64_t complete[PAGES];

static void look(unsigned page) {
    uint64_t must = atomic_load(&complete[page]);
    touch(page);
    if (atomic_load(&me->tlb[page]) < must)
        abort();
}

static void *one_cpu_in_spaces(void *arg) {
    me = arg;
    struct rand_state random = rand_seed(me->cpu.index + 77);
    for (unsigned round = 0; round < ROUNDS; round++) {
        bool irq = arch_irq_disable();
        if (rand_below(&random, 3) == 0)
            enter(&spaces[rand_below(&random, CPUS)]);
        struct space *mine = atomic_load(&me->cpu.space);
        for (unsigned i = 0; mine != NULL && i < 4; i++)
            look(rand_below(&random, PAGES / CPUS) * CPUS + mine->tag - 1u);
        /* A page that only this CPU changes, of any space, by its owner or from outside. */
        unsigned page = me->cpu.index * (PAGES / CPUS) + rand_below(&random, PAGES / CPUS);
        vaddr_t va = (vaddr_t)page * PAGE_SIZE;
        uint64_t now = atomic_fetch_add(&version[page], 1) + 1;
        bool all = rand_below(&random, 4) == 0;
        space_shootdown(&spaces[page % CPUS], &va, all ? SHOOTDOWN_PAGES_MAX + 1 : 1);
        atomic_store(&complete[page], now);
        arch_irq_restore(irq);
    }
    atomic_fetch_add(&finished, 1);
    while (atomic_load(&finished) != CPUS)
        arch_relax();
    return NULL;
}

static void run_in_spaces(bool with_tags) {
    pthread_t threads[CPUS];
    tagged = with_tags;
    for (unsigned i = 0; i < PAGES; i++) {
        atomic_store(&version[i], 1);
        atomic_store(&complete[i], 0);
    }
    for (unsigned i = 0; i < CPUS; i++)
        pthread_create(&threads[i], NULL, one_cpu_in_spaces, &machine[i]);
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&waiting), 0);
}

static void nobody_uses_an_old_translation_of_a_space(void **state) {
    (void)state;
    run_in_spaces(false);
}

static void nor_one_that_was_kept_under_a_tag(void **state) {
    (void)state;
    run_in_spaces(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_cpus_that_use_the_space_are_asked, fresh),
        cmocka_unit_test_setup(who_has_a_dying_space_loaded_leaves_it, fresh),
        cmocka_unit_test_setup(nobody_uses_an_old_translation_of_a_space, fresh),
        cmocka_unit_test_setup(nor_one_that_was_kept_under_a_tag, fresh),
        cmocka_unit_test_setup(only_online_cpus_are_asked, fresh),
        cmocka_unit_test_setup(a_cpu_that_does_not_answer_is_named, fresh),
        cmocka_unit_test_setup(a_machine_that_stood_still_does_not_accuse_its_cpus, fresh),
        cmocka_unit_test_setup(nobody_keeps_an_old_translation_when_all_ask_at_once, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
