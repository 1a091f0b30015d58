/* Test of spaces under fire: CPUs write, clone, map, unmap and protect the same objects at once. No write is
 * lost, no clone changes after it was made, nobody reaches another's copy, and in the end every frame
 * is back. A thread plays a CPU, with a TLB that forgets only what it is told to forget. */
#include "tests/fake_arch/space_machine.h"

#include "kernel/mem/space_change.c"
#include "kernel/mem/space_map.c"

#define PAGES  12u
#define ROUNDS 2500u
#define PLACE  UINT64_C(0x40000000)
#define OTHERS 100u /* word that is written in clones alone */
#define RW     (GMK_PROT_READ | GMK_PROT_WRITE)

/* Two spaces that show one object at the same place. Word n of a page is CPU n's alone. */
static struct space spaces[2];
static struct memory *object;
static uint32_t serial;
static _Atomic unsigned finished;
static _Atomic uint64_t written, refused, cloned;

static void die(const char *what) {
    fprintf(stderr, "CPU %u: %s\n", me->cpu.index, what);
    abort();
}

struct cpu_state {
    struct rand_state random;
    uint64_t last[PAGES]; /* what this CPU's words hold */
};

static unsigned below(struct cpu_state *s, unsigned n) {
    return rand_below(&s->random, n);
}

static volatile uint64_t *word_at(uint64_t place, unsigned page, unsigned word, bool write) {
    int status = GMK_OK;
    uint8_t *byte =
        machine_at(place + page * (uint64_t)PAGE_SIZE + word * 8ull, write, false, &status);
    if (byte == NULL && status != GMK_EFAULT)
        die("a fault failed for another reason than that it is not allowed");
    return (volatile uint64_t *)(void *)byte;
}

/* IF is off between two lines that use a TLB and the memory behind it, as within an instruction. */
static void use_words(struct cpu_state *s) {
    struct space *space = &spaces[below(s, 2)];
    bool irq = arch_irq_disable();
    if (atomic_load(&me->cpu.space) != space)
        machine_enter(space);
    for (unsigned i = 0; i < 6; i++) {
        unsigned page = below(s, PAGES);
        volatile uint64_t *word = word_at(PLACE, page, me->cpu.index, false);
        if (word != NULL && *word != s->last[page])
            die("what was written is not there");
        word = word_at(PLACE, page, OTHERS, false);
        if (word != NULL && *word != 0)
            die("what was written to a clone is in its source");
        word = word_at(PLACE, page, me->cpu.index, true);
        atomic_fetch_add(word != NULL ? &written : &refused, 1);
        if (word != NULL)
            *word = ++s->last[page];
    }
    arch_irq_restore(irq);
}

/* The words of all CPUs in a clone that this CPU has mapped. */
static void see_clone(uint64_t place, uint64_t words[PAGES][MACHINE_CPUS], bool again) {
    for (unsigned page = 0; page < PAGES; page++)
        for (unsigned cpu = 0; cpu < MACHINE_CPUS; cpu++) {
            volatile uint64_t *word = word_at(place, page, cpu, false);
            if (word == NULL)
                die("a mapping of one's own is gone");
            if (again && *word != words[page][cpu])
                die("a clone has changed");
            words[page][cpu] = *word;
        }
}

static struct memory *make_clone(void) {
    struct memory *clone = NULL;
    if (memory_clone(machine_factory, PAGES * (uint64_t)PAGE_SIZE, &clone) != GMK_OK)
        die("no memory for a clone");
    uint32_t life = clone->object.serial;
    int64_t ready = 0;
    while (ready < (int64_t)(PAGES * PAGE_SIZE)) {
        ready = memory_clone_step(object, serial, 0, clone, life);
        if (ready < 0)
            die("a clone's step fails");
    }
    return clone;
}

static void use_clone(struct cpu_state *s) {
    static _Thread_local uint64_t words[PAGES][MACHINE_CPUS];
    struct space *space = &spaces[below(s, 2)];
    bool irq = arch_irq_disable();
    struct memory *clone = make_clone();
    uint32_t life = clone->object.serial;
    machine_enter(space);
    int64_t place =
        space_map(space, clone, life, 0, 0, PAGES * (uint64_t)PAGE_SIZE, RW | GMK_MAP_GUARD, RW);
    if (place < 0)
        die("a clone cannot be mapped");
    memory_end(clone, life);
    see_clone((uint64_t)place, words, false);
    for (unsigned page = 0; page < PAGES; page++)
        if (words[page][me->cpu.index] != s->last[page])
            die("a clone lacks what was written before");
    arch_irq_restore(irq);
    sched_yield();
    use_words(s); /* others write meanwhile, and so do we, to the source */
    arch_irq_disable();
    machine_enter(space);
    see_clone((uint64_t)place, words, true);
    for (unsigned i = 0; i < 8; i++)
        *word_at((uint64_t)place, below(s, PAGES), OTHERS, true) = 1 + me->cpu.index;
    if (space_unmap_step(space, (uint64_t)place, PAGES * (uint64_t)PAGE_SIZE) !=
        (int64_t)(PAGES * PAGE_SIZE))
        die("a clone cannot be unmapped");
    atomic_fetch_add(&cloned, 1);
    arch_irq_restore(irq);
}

/* Lets the others run while something is taken away. */
static void pause_changed(bool irq) {
    arch_irq_restore(irq);
    sched_yield();
    arch_irq_disable();
}

/* Takes a part of the object away, or its rights, and gives it back. */
static void change_space(struct cpu_state *s) {
    struct space *space = &spaces[below(s, 2)];
    unsigned first = below(s, PAGES), pages = 1 + below(s, PAGES - first);
    uint64_t va = PLACE + first * (uint64_t)PAGE_SIZE, size = pages * (uint64_t)PAGE_SIZE;
    bool irq = arch_irq_disable();
    if (below(s, 2) == 0) {
        if (space_protect_step(space, va, size, below(s, 2) != 0 ? GMK_PROT_READ : 0) < 0)
            die("protect fails");
        pause_changed(irq);
        if (space_protect_step(space, va, size, RW) < 0)
            die("protect fails");
    } else {
        if (space_unmap_step(space, va, size) < 0)
            die("unmap fails");
        pause_changed(irq);
        for (uint64_t at = va; at < va + size; at += PAGE_SIZE) { /* unless another one did */
            int64_t status =
                space_map(space, object, serial, at, at - PLACE, PAGE_SIZE, RW | GMK_MAP_FIXED, RW);
            if (status != (int64_t)at && status != GMK_EEXIST)
                die("map fails");
        }
    }
    arch_irq_restore(irq);
}

static void *one_cpu(void *arg) {
    me = arg;
    struct cpu_state s = {.random = rand_seed(me->cpu.index + 1)};
    me->irq_on = true;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned what = below(&s, 16);
        if (what == 0)
            use_clone(&s);
        else if (what <= 2)
            change_space(&s);
        else
            use_words(&s);
        bool irq = arch_irq_disable();
        (void)memory_reap_step();
        arch_irq_restore(irq);
    }
    bool irq = arch_irq_disable();
    machine_enter(NULL);
    arch_irq_restore(irq);
    atomic_fetch_add(&finished, 1);
    while (atomic_load(&finished) != MACHINE_CPUS) {
        machine_interrupts();
        sched_yield();
    }
    return NULL;
}

static void all_at_once(bool tags) {
    int error;
    machine_start(tags);
    finished = 0;
    written = refused = cloned = 0;
    memset(spaces, 0, sizeof spaces);
    struct factory *payer = factory_split(machine_factory, 4000, 100, &error);
    assert_non_null(payer);
    assert_int_equal(memory_create(payer, GMK_MEMORY_ANON, PAGES * PAGE_SIZE, &object), GMK_OK);
    serial = object->object.serial;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(space_init(&spaces[i], payer, i * 0x1234567), GMK_OK);
        assert_int_equal(space_map(&spaces[i], object, serial, PLACE, 0, PAGES * PAGE_SIZE,
                                   RW | GMK_MAP_FIXED, RW),
                         PLACE);
    }
    machine_threads = true;
    pthread_t threads[MACHINE_CPUS];
    for (unsigned i = 0; i < MACHINE_CPUS; i++)
        pthread_create(&threads[i], NULL, one_cpu, &machine[i]);
    for (unsigned i = 0; i < MACHINE_CPUS; i++)
        pthread_join(threads[i], NULL);
    machine_threads = false;
    assert_true(written > 1000 && refused > 0 && cloned > 100);
    for (unsigned i = 0; i < 2; i++)
        space_check(&spaces[i]);
    memory_check(object);
    memory_end(object, serial);
    for (unsigned i = 0; i < 2; i++)
        while (!space_end_step(&spaces[i])) {}
    machine_reap();
    assert_int_equal(atomic_load(&payer->frames_free), payer->frames_max);
    assert_int_equal(machine_user_frames(), 0);
    assert_int_equal(memory_pool.used, 0);
    assert_int_equal(mapping_cache.used, 0);
}

static void cpus_that_do_everything_at_once_lose_nothing(void **state) {
    (void)state;
    all_at_once(false);
}

static void nor_do_those_with_tagged_tlbs(void **state) {
    (void)state;
    all_at_once(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpus_that_do_everything_at_once_lose_nothing),
        cmocka_unit_test(nor_do_those_with_tagged_tlbs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
