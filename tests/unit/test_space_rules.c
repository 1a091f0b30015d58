/* Test of spaces and memory objects, rule by rule: who pays, who copies, what is bounded, what waits, and
 * what must not be. The random life of many is test_space.c. */
#include "tests/fake_arch/space_machine.h"

#include "kernel/mem/space_change.c"
#include "kernel/mem/space_map.c"

#define RW (GMK_PROT_READ | GMK_PROT_WRITE)

static struct space space, other;
static struct factory *payer; /* of both spaces and all objects */

static int fresh(void **state) {
    (void)state;
    int error;
    machine_start(false);
    memset(&space, 0, sizeof space);
    memset(&other, 0, sizeof other);
    payer = factory_split(machine_factory, 8000, 2000, &error);
    assert_int_equal(space_init(&space, payer, 0), GMK_OK);
    assert_int_equal(space_init(&other, payer, 0x123456789000), GMK_OK);
    machine_enter(&space);
    return 0;
}

static uint64_t used(void) {
    return payer->frames_max - atomic_load(&payer->frames_free);
}

static int all_is_back(void **state) {
    (void)state;
    while (!space_end_step(&space)) {}
    while (!space_end_step(&other)) {}
    machine_reap();
    assert_int_equal(used(), 0);
    assert_int_equal(machine_user_frames(), 0);
    assert_int_equal(memory_pool.used, 0);
    assert_int_equal(mapping_cache.used, 0);
    return 0;
}

static struct memory *object_of(uint64_t pages) {
    struct memory *memory;
    assert_int_equal(memory_create(payer, GMK_MEMORY_ANON, pages * PAGE_SIZE, &memory), GMK_OK);
    return memory;
}

static struct memory *clone_of(struct memory *source, uint64_t pages) {
    struct memory *clone;
    assert_int_equal(memory_clone(payer, pages * PAGE_SIZE, &clone), GMK_OK);
    int64_t ready = 0;
    while (ready < (int64_t)(pages * PAGE_SIZE)) {
        ready = memory_clone_step(source, source->object.serial, 0, clone, clone->object.serial);
        assert_true(ready > 0);
    }
    return clone;
}

static uint64_t map_all(struct space *in, struct memory *memory, unsigned prot) {
    int64_t at = space_map(in, memory, memory->object.serial, 0, 0, memory->pages * PAGE_SIZE, prot,
                           RW | GMK_PROT_EXEC);
    assert_true(at > 0);
    return (uint64_t)at;
}

static void end_object(struct memory *memory) {
    memory_end(memory, memory->object.serial);
}

static uint8_t *touch(uint64_t va, bool write) {
    int status = GMK_OK;
    uint8_t *at = machine_at(va, write, false, &status);
    assert_non_null(at);
    return at;
}

static int fault_at(uint64_t va, bool write) {
    int status = GMK_OK;
    return machine_at(va, write, false, &status) == NULL ? status : GMK_OK;
}

/* ---- Sharing ---------------------------------------------------------------------------------------- */

static void each_sharer_pays_and_no_copy_fails_for_the_budget(void **state) {
    (void)state;
    struct memory *source = object_of(40);
    uint64_t at = map_all(&space, source, RW);
    for (unsigned i = 0; i < 40; i++)
        *touch(at + i * PAGE_SIZE, true) = (uint8_t)i;
    uint64_t before = used();
    struct memory *clone = clone_of(source, 40);
    uint64_t copy = map_all(&space, clone, RW);
    (void)touch(copy, false); /* its tables */
    assert_int_equal(used(), before + 41);
    atomic_store(&payer->frames_free, 0); /* nothing is left to pay with */
    for (unsigned i = 0; i < 40; i++)
        *touch((i % 2 == 0 ? at : copy) + i * PAGE_SIZE, true) = 200;
    atomic_store(&payer->frames_free, payer->frames_max - before - 41);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(*touch((i % 2 == 0 ? copy : at) + i * PAGE_SIZE, false), i);
    end_object(source);
    end_object(clone);
}

static void the_last_sharer_writes_in_place(void **state) {
    (void)state;
    struct memory *source = object_of(3), *clone;
    uint64_t at = map_all(&space, source, RW);
    uint8_t *first = touch(at, true);
    clone = clone_of(source, 3);
    assert_ptr_equal(touch(at, false), first);
    assert_ptr_not_equal(touch(at, true), first); /* a copy: the clone has the old one */
    uint64_t copy = map_all(&space, clone, RW);
    assert_ptr_equal(touch(copy, true), first);
    end_object(clone);
    end_object(source);
    assert_int_equal(space_unmap_step(&space, at, 3 * PAGE_SIZE), 3 * PAGE_SIZE);
}

static void a_copy_leaves_every_space_that_shows_the_page(void **state) {
    (void)state;
    struct memory *source = object_of(1);
    uint64_t a = map_all(&space, source, RW), b = map_all(&other, source, GMK_PROT_READ);
    *touch(a, true) = 1;
    struct memory *clone = clone_of(source, 1);
    machine_be(1);
    machine_enter(&other);
    assert_int_equal(*touch(b, false), 1); /* now in the TLB of CPU 1 */
    machine_be(0);
    *touch(a, true) = 2;
    machine_be(1);
    assert_int_equal(*touch(b, false), 2);
    machine_be(0);
    end_object(clone);
    end_object(source);
}

static void a_cpu_that_remembers_too_little_faults_once(void **state) {
    (void)state;
    struct memory *memory = object_of(1);
    uint64_t at = map_all(&space, memory, RW);
    assert_int_equal(space_protect_step(&space, at, PAGE_SIZE, GMK_PROT_READ), PAGE_SIZE);
    machine_be(1);
    machine_enter(&space);
    (void)touch(at, false);
    assert_int_equal(fault_at(at, true), GMK_EFAULT);
    machine_be(0);
    assert_int_equal(space_protect_step(&space, at, PAGE_SIZE, RW), PAGE_SIZE);
    *touch(at, true) = 9;
    machine_be(1); /* still holds the narrow one: nobody told it */
    *touch(at, true) = 10;
    machine_be(0);
    end_object(memory);
}

/* ---- Steps -------------------------------------------------------------------------------------------- */

static void large_objects_are_freed_in_bounded_steps(void **state) {
    (void)state;
    struct memory *memory = object_of(600);
    uint64_t before = used();
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(memory_write(memory, i * PAGE_SIZE, "x", 1), GMK_OK);
    assert_int_equal(used(), before + 600 + 3); /* a root and two nodes */
    end_object(memory);
    assert_true(machine_reaps);
    unsigned steps = 0;
    for (uint64_t left = used(); !memory_reap_step(); left = used(), steps++)
        assert_true(left - used() <= MEMORY_FREE_STEP + 2);
    assert_true(steps >= 600 / MEMORY_FREE_STEP - 1);
    assert_int_equal(used(), before);
}

static void a_step_of_unmap_is_bounded_and_tells_how_far_it_came(void **state) {
    (void)state;
    struct memory *memory = object_of(300);
    uint64_t at = map_all(&space, memory, RW), done = 0;
    for (unsigned i = 0; i < 300; i++)
        (void)touch(at + i * PAGE_SIZE, true);
    for (unsigned steps = 0; done < 300 * PAGE_SIZE; steps++) {
        int64_t step = space_unmap_step(&space, at + done, 300 * PAGE_SIZE - done);
        assert_true(step > 0 && step <= (int64_t)(SPACE_STEP_PAGES * PAGE_SIZE));
        done += (uint64_t)step;
        assert_int_equal(fault_at(at + done - PAGE_SIZE, false), GMK_EFAULT);
        assert_int_equal(done < 300 * PAGE_SIZE ? fault_at(at + done, false) : 0, GMK_OK);
        assert_true(space.count <= 1);
        space_check(&space);
    }
    end_object(memory);
}

static void steps_of_protect_leave_no_trail_of_mappings(void **state) {
    (void)state;
    struct memory *memory = object_of(1000);
    uint64_t at = map_all(&space, memory, RW), done = 0;
    for (unsigned i = 0; i < 1000; i++)
        (void)touch(at + i * PAGE_SIZE, true);
    while (done < 1000 * PAGE_SIZE) {
        int64_t step =
            space_protect_step(&space, at + done, 1000 * PAGE_SIZE - done, GMK_PROT_READ);
        assert_true(step > 0);
        done += (uint64_t)step;
        assert_true(space.count <= 2);
    }
    assert_int_equal(space.count, 1);
    end_object(memory);
}

static void an_object_lives_until_its_last_mapping_goes(void **state) {
    (void)state;
    struct memory *memory = object_of(2);
    uint32_t serial = memory->object.serial;
    uint64_t at = map_all(&space, memory, RW);
    *touch(at, true) = 3;
    end_object(memory);
    assert_int_equal(space_map(&space, memory, serial, 0, 0, PAGE_SIZE, RW, RW), GMK_EHANDLE);
    assert_int_equal(*touch(at, false), 3);
    assert_int_equal(*touch(at + PAGE_SIZE, true), 0);
    assert_int_equal(memory_pool.used, 1);
    assert_int_equal(space_unmap_step(&space, at, PAGE_SIZE), PAGE_SIZE);
    assert_int_equal(memory_pool.used, 1);
    assert_int_equal(space_unmap_step(&space, at + PAGE_SIZE, PAGE_SIZE), PAGE_SIZE);
    assert_int_equal(memory_pool.used, 0);
}

/* ---- Limits -------------------------------------------------------------------------------------------- */

static void what_is_mapped_can_be_unmapped_when_no_mapping_is_left(void **state) {
    (void)state;
    struct memory *memory = object_of(200);
    uint64_t large = map_all(&space, memory, GMK_PROT_READ);
    int64_t status = 0;
    while (status >= 0)
        status = space_map(&space, memory, memory->object.serial, 0, 0, 3 * PAGE_SIZE,
                           GMK_PROT_READ | GMK_MAP_GUARD, GMK_PROT_READ);
    assert_int_equal(status, GMK_ELIMIT);
    assert_int_equal(space.count, SPACE_MAPPINGS_MAX);
    for (unsigned i = 0; i < 200; i++)
        (void)touch(large + i * PAGE_SIZE, false);
    /* A hole would make one more; an end does not, though it is cut off in between. */
    assert_int_equal(space_unmap_step(&space, large + PAGE_SIZE, PAGE_SIZE), GMK_ELIMIT);
    assert_int_equal(space_protect_step(&space, large, PAGE_SIZE, 0), GMK_ELIMIT);
    assert_int_equal(space_unmap_step(&space, large, 200 * PAGE_SIZE),
                     SPACE_STEP_PAGES * PAGE_SIZE);
    assert_int_equal(space.count, SPACE_MAPPINGS_MAX);
    space_check(&space);
    end_object(memory);
}

/* The array grows at SPACE_FEW; a step that ends early leaves a piece more than the range says. */
static void cuts_that_end_early_have_room_too(void **state) {
    (void)state;
    struct memory *small = object_of(1), *large = object_of(300);
    for (unsigned i = 0; i < SPACE_FEW - 1; i++)
        (void)map_all(&space, small, GMK_PROT_READ | GMK_MAP_GUARD);
    uint64_t at = map_all(&space, large, RW);
    for (unsigned i = 0; i < 300; i++)
        (void)touch(at + i * PAGE_SIZE, true);
    assert_int_equal(space.count, SPACE_FEW);
    assert_ptr_equal(space.mappings, space.few);
    uint64_t left = atomic_load(&payer->frames_free);
    atomic_store(&payer->frames_free, 0); /* nor for the array */
    assert_int_equal(space_unmap_step(&space, at + PAGE_SIZE, 299 * PAGE_SIZE), GMK_EBUDGET);
    assert_int_equal(space_protect_step(&space, at, 300 * PAGE_SIZE, GMK_PROT_READ), GMK_EBUDGET);
    assert_int_equal(space_unmap_step(&space, at, 300 * PAGE_SIZE), SPACE_STEP_PAGES * PAGE_SIZE);
    assert_int_equal(space.count, SPACE_FEW);
    atomic_store(&payer->frames_free, left);
    at += 100 * PAGE_SIZE;
    assert_int_equal(space_unmap_step(&space, at, 200 * PAGE_SIZE), SPACE_STEP_PAGES * PAGE_SIZE);
    assert_int_equal(space.count, SPACE_FEW + 1);
    assert_ptr_not_equal(space.mappings, space.few);
    space_check(&space);
    end_object(small);
    end_object(large);
}

static void an_object_with_a_writer_has_few_mappings(void **state) {
    (void)state;
    struct memory *memory = object_of(1);
    uint64_t at = map_all(&space, memory, RW);
    for (unsigned i = 1; i < MEMORY_SHARED_MAX; i++)
        (void)map_all(&space, memory, GMK_PROT_READ);
    assert_int_equal(space_map(&other, memory, memory->object.serial, 0, 0, PAGE_SIZE,
                               GMK_PROT_READ, GMK_PROT_READ),
                     GMK_ELIMIT);
    assert_int_equal(space_protect_step(&space, at, PAGE_SIZE, GMK_PROT_READ), PAGE_SIZE);
    (void)map_all(&other, memory, GMK_PROT_READ);
    assert_int_equal(space_protect_step(&space, at, PAGE_SIZE, RW), GMK_ELIMIT);
    memory_check(memory);
    end_object(memory);
}

static void devices_are_never_ram_and_cost_no_frame(void **state) {
    (void)state;
    struct memory *memory = NULL;
    uint64_t before = used();
    assert_int_equal(memory_physical(payer, MACHINE_BASE, PAGE_SIZE, &memory), GMK_EINVAL);
    assert_int_equal(memory_physical(payer, MACHINE_BASE - PAGE_SIZE, 2 * PAGE_SIZE, &memory),
                     GMK_EINVAL);
    assert_int_equal(memory_physical(payer, MACHINE_DEVICE + 1, PAGE_SIZE, &memory), GMK_EINVAL);
    assert_int_equal(memory_physical(payer, MACHINE_DEVICE, UINT64_MAX, &memory), GMK_EINVAL);
    assert_int_equal(memory_physical(payer, 0, PAGE_SIZE, &memory), GMK_EINVAL);
    assert_int_equal(memory_physical(payer, MACHINE_DEVICE, 20 * PAGE_SIZE, &memory), GMK_OK);
    assert_int_equal(used(), before);
    uint64_t at = map_all(&space, memory, RW);
    struct page_info info;
    assert_int_equal(arch_page_query(space.root, at + 5 * PAGE_SIZE, &info), GMK_OK); /* wired */
    assert_int_equal(info.pa, MACHINE_DEVICE + 5 * PAGE_SIZE);
    assert_int_equal(info.prot, PAGE_USER | PAGE_WRITE | PAGE_DEVICE);
    space_check(&space);
    end_object(memory);
}

static void pages_of_the_kernel_lie_above_what_units_map(void **state) {
    (void)state;
    paddr_t frame;
    uint64_t before = used();
    assert_int_equal(space_page_add(&space, SPACE_MAP_END - PAGE_SIZE, &frame), GMK_EINVAL);
    assert_int_equal(space_page_add(&space, SPACE_MAP_END + SPACE_KERNEL_PAGES * PAGE_SIZE, &frame),
                     GMK_EINVAL);
    assert_int_equal(space_page_add(&space, SPACE_MAP_END + 1, &frame), GMK_EINVAL);
    for (uint32_t n = 1; n <= 3; n++) { /* the first table; the second; with all three, the page */
        frame_fail_after(n);
        assert_int_equal(space_page_add(&space, SPACE_MAP_END, &frame), GMK_ENOMEM);
    }
    frame_fail_after(0);
    assert_int_equal(used(), before + 3); /* the tables */
    assert_int_equal(space_page_add(&space, SPACE_MAP_END, &frame), GMK_OK);
    assert_int_equal(space_page_add(&space, SPACE_MAP_END, &frame), GMK_EEXIST);
    assert_int_equal(used(), before + 4);
    *touch(SPACE_MAP_END + 100, true) = 7;
    assert_int_equal(((uint8_t *)arch_phys(frame))[100], 7);
    assert_int_equal(space_unmap_step(&space, SPACE_MAP_END, PAGE_SIZE), PAGE_SIZE);
    assert_int_equal(*touch(SPACE_MAP_END + 100, false), 7); /* not a unit's to unmap */
    assert_int_equal(fault_at(SPACE_MAP_END + PAGE_SIZE, false), GMK_EFAULT);
}

static void a_space_that_dies_takes_nothing_in(void **state) {
    (void)state;
    paddr_t frame;
    struct memory *memory = object_of(1);
    (void)map_all(&space, memory, RW);
    assert_ptr_equal(atomic_load(&me->cpu.space), &space);
    while (!space_end_step(&space))
        assert_null(atomic_load(&me->cpu.space)); /* whoever had it loaded has left it */
    assert_int_equal(space_map(&space, memory, memory->object.serial, 0, 0, PAGE_SIZE, RW, RW),
                     GMK_ESTATE);
    assert_int_equal(space_unmap_step(&space, PAGE_SIZE, PAGE_SIZE), GMK_ESTATE);
    assert_int_equal(space_protect_step(&space, PAGE_SIZE, PAGE_SIZE, RW), GMK_ESTATE);
    assert_int_equal(space_page_add(&space, SPACE_MAP_END, &frame), GMK_ESTATE);
    assert_int_equal(space_fault(&space, 0x10000, true, false), GMK_EFAULT);
    uint64_t flushes = atomic_load(&space.flushes);
    assert_int_equal(space_init(&space, payer, 0), GMK_OK); /* another life of the same memory */
    assert_true(atomic_load(&space.flushes) > flushes);
    end_object(memory);
}

static void places_differ_with_the_random_number(void **state) {
    (void)state;
    struct memory *memory = object_of(1);
    struct rand_state random = rand_seed(5);
    uint64_t lowest = UINT64_MAX, highest = 0;
    for (unsigned i = 0; i < 100; i++) {
        struct space some = {0};
        assert_int_equal(space_init(&some, payer, rand_next(&random)), GMK_OK);
        uint64_t at = map_all(&some, memory, RW);
        assert_true(at >= GMK_USER_MIN && at < SPACE_MAP_END);
        lowest = at < lowest ? at : lowest;
        highest = at > highest ? at : highest;
        while (!space_end_step(&some)) {}
    }
    assert_true(highest - lowest > UINT64_C(1) << 44); /* 32 bits of pages apart */
    end_object(memory);
}

int main(void) {
#define RULE(test) cmocka_unit_test_setup_teardown(test, fresh, all_is_back)
    const struct CMUnitTest tests[] = {
        RULE(each_sharer_pays_and_no_copy_fails_for_the_budget),
        RULE(the_last_sharer_writes_in_place),
        RULE(a_copy_leaves_every_space_that_shows_the_page),
        RULE(a_cpu_that_remembers_too_little_faults_once),
        RULE(large_objects_are_freed_in_bounded_steps),
        RULE(a_step_of_unmap_is_bounded_and_tells_how_far_it_came),
        RULE(steps_of_protect_leave_no_trail_of_mappings),
        RULE(an_object_lives_until_its_last_mapping_goes),
        RULE(what_is_mapped_can_be_unmapped_when_no_mapping_is_left),
        RULE(cuts_that_end_early_have_room_too),
        RULE(an_object_with_a_writer_has_few_mappings),
        RULE(devices_are_never_ram_and_cost_no_frame),
        RULE(pages_of_the_kernel_lie_above_what_units_map),
        RULE(a_space_that_dies_takes_nothing_in),
        RULE(places_differ_with_the_random_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
