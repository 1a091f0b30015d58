/* Test of memory: objects, clones and budgets, as a program uses them. */
#include "tests/user/lib/utest_memory.h"
#include "tests/user/lib/utest_program.h"
#include "user/lib/start.h"

#define SECOND UINT64_C(1000000000)

static uint64_t frames_used(void) {
    gmk_unit_info_t info;
    return sys_unit_info(SELF, &info) == GMK_OK ? info.frames_used : UINT64_MAX;
}

/* All but a few, for page tables of ours, which stay. */
static bool frames_return_below(uint64_t limit) {
    uint64_t end = (uint64_t)sys_time() + 20 * SECOND;
    while (frames_used() > limit && (uint64_t)sys_time() < end)
        utest_pause();
    return frames_used() <= limit;
}

/* Large objects are freed by a task of the kernel: waits for it. */
static bool frames_return_to(uint64_t used) {
    uint64_t end = (uint64_t)sys_time() + 20 * SECOND;
    while (frames_used() != used && (uint64_t)sys_time() < end)
        utest_pause();
    return frames_used() == used;
}

/* ---- Objects ------------------------------------------------------------------------------------ */

static void new_memory_is_zero_and_keeps_what_is_written(void) {
    uint64_t base, used = frames_used(), pages = 700;
    EXPECT_EQ(memory_new(pages * PAGE, RW, &base), GMK_OK);
    for (uint64_t i = 0; i < pages; i++) {
        EXPECT_EQ(at(base + i * PAGE)[i % 512], 0);
        at(base + i * PAGE)[i % 512] = i + 1;
    }
    for (uint64_t i = 0; i < pages; i++)
        EXPECT_EQ(at(base + i * PAGE)[i % 512], i + 1);
    EXPECT(frames_used() >= used + pages);
    EXPECT_EQ(memory_free(base, pages * PAGE), GMK_OK);
    EXPECT(!can_read(base));
    EXPECT_EQ(memory_new(pages * PAGE, RW, &base), GMK_OK); /* the same frames, most likely */
    for (uint64_t i = 0; i < pages * 512; i += 7)
        EXPECT_EQ(at(base)[i], 0);
    EXPECT_EQ(memory_free(base, pages * PAGE), GMK_OK);
    EXPECT(frames_return_below(used + 8));
}

static void one_object_in_two_places_is_the_same_memory(void) {
    int64_t object, one, two;
    EXPECT_GOOD(object, new_object(4));
    EXPECT_GOOD(one, sys_memory_map(SELF, (gmk_handle_t)object, 0, 0, 4 * PAGE, RW));
    EXPECT_GOOD(two, sys_memory_map(SELF, (gmk_handle_t)object, 0, PAGE, 2 * PAGE, RW));
    at((uint64_t)one + PAGE)[3] = 77;
    EXPECT_EQ(at((uint64_t)two)[3], 77);
    at((uint64_t)two + PAGE)[9] = 78;
    EXPECT_EQ(at((uint64_t)one + 2 * PAGE)[9], 78);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)object), GMK_OK); /* lives on in its mappings */
    EXPECT_EQ(at((uint64_t)one + PAGE)[3], 77);
    EXPECT_EQ(memory_free((uint64_t)one, 4 * PAGE), GMK_OK);
    EXPECT_EQ(at((uint64_t)two)[3], 77);
    EXPECT_EQ(memory_free((uint64_t)two, 2 * PAGE), GMK_OK);
}

static void wired_memory_is_all_there(void) {
    gmk_memory_info_t info;
    uint64_t size = 100 * PAGE, begin = frames_used();
    int64_t wired, place;
    EXPECT_GOOD(wired, memory_wired(FACTORY, GMK_MEMORY_WIRED, size));
    EXPECT_EQ(sys_memory_info((gmk_handle_t)wired, &info), GMK_OK);
    EXPECT_EQ(info.resident, size);
    EXPECT_EQ(info.physical, 0);
    EXPECT_GOOD(place, memory_map_at(SELF, (gmk_handle_t)wired, 0, 0, size, RW));
    EXPECT_EQ(memory_protect(SELF, (uint64_t)place, size, RW), GMK_OK); /* enters the rest */
    uint64_t used = frames_used();
    for (uint64_t i = 0; i < size / 8; i += 512)
        EXPECT_EQ(at((uint64_t)place)[i], 0);
    EXPECT_EQ(frames_used(), used); /* nothing came on touch */
    EXPECT_EQ(memory_free((uint64_t)place, size), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)wired), GMK_OK);
    EXPECT(frames_return_to(used - size / PAGE - 1) && used > begin); /* tables stay */
}

static void contiguous_memory_tells_where_it_is_once_it_is_clean(void) {
    gmk_memory_info_t info;
    uint64_t done = 0, size = 40 * PAGE;
    int64_t object, place;
    EXPECT_GOOD(object, sys_memory_make(FACTORY, GMK_MEMORY_CONTIG, size, 0, &done));
    EXPECT(done > 0 && done < size);
    EXPECT_EQ(sys_memory_info((gmk_handle_t)object, &info), GMK_OK);
    EXPECT_EQ(info.physical, 0);
    EXPECT_EQ(sys_memory_map(SELF, (gmk_handle_t)object, 0, 0, size, RW), GMK_ESTATE);
    while (done < size)
        EXPECT_EQ(sys_memory_make(FACTORY, GMK_MEMORY_CONTIG, size, (gmk_handle_t)object, &done),
                  object);
    EXPECT_EQ(sys_memory_make(FACTORY, GMK_MEMORY_CONTIG, size, (gmk_handle_t)object, &done),
              GMK_ESTATE);
    EXPECT_EQ(sys_memory_info((gmk_handle_t)object, &info), GMK_OK);
    EXPECT(info.physical != 0 && info.physical % PAGE == 0);
    EXPECT_GOOD(place, sys_memory_map(SELF, (gmk_handle_t)object, 0, 0, size, RW));
    for (uint64_t i = 0; i < size / 8; i += 64)
        EXPECT_EQ(at((uint64_t)place)[i], 0);
    EXPECT_EQ(memory_free((uint64_t)place, size), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)object), GMK_OK);
}

static void wrong_objects_are_refused(void) {
    static const struct {
        unsigned kind;
        uint64_t size;
        int status;
    } bad[] = {{GMK_MEMORY_ANON, 0, GMK_EINVAL},
               {GMK_MEMORY_ANON, 1, GMK_EINVAL},
               {GMK_MEMORY_ANON, 4097, GMK_EINVAL},
               {GMK_MEMORY_ANON, UINT64_MAX, GMK_EINVAL},
               {GMK_MEMORY_ANON, UINT64_MAX & ~(PAGE - 1), GMK_EINVAL},
               {GMK_MEMORY_ANON, (UINT64_C(1) << 39) + PAGE, GMK_EINVAL},
               {GMK_MEMORY_WIRED, 1025 * PAGE, GMK_ERANGE},
               {GMK_MEMORY_CONTIG, 257 * PAGE, GMK_ERANGE},
               {GMK_MEMORY_PHYS, PAGE, GMK_EINVAL},
               {0, PAGE, GMK_EINVAL},
               {77, PAGE, GMK_EINVAL}};
    uint64_t used = frames_used();
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT_EQ(sys_memory_create(FACTORY, bad[i].kind, bad[i].size), bad[i].status);
    EXPECT_EQ(frames_used(), used);
}

static void ram_cannot_be_had_as_a_device(void) {
    gmk_handle_t system = handle_find("system");
    static const uint64_t places[] = {0x100000, 0x200000, 0x1000000, 0x7000000, 0x0ff00000};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++)
        EXPECT_EQ(sys_memory_physical(system, FACTORY, places[i], PAGE), GMK_EINVAL);
    EXPECT_EQ(sys_memory_physical(system, FACTORY, 0, PAGE), GMK_EINVAL);
    EXPECT_EQ(sys_memory_physical(system, FACTORY, 0xb8001, PAGE), GMK_EINVAL);
    EXPECT_EQ(sys_memory_physical(system, FACTORY, 0xb8000, UINT64_MAX & ~(PAGE - 1)), GMK_EINVAL);
    EXPECT_EQ(sys_memory_physical(system, FACTORY, UINT64_MAX & ~(PAGE - 1), PAGE), GMK_EINVAL);
    EXPECT_EQ(sys_memory_physical(system, FACTORY, 0xb8000, 0x10000000), GMK_EINVAL);
    int64_t screen, place;
    EXPECT_GOOD(screen, sys_memory_physical(system, FACTORY, 0xb8000, 2 * PAGE));
    EXPECT_GOOD(place, sys_memory_map(SELF, (gmk_handle_t)screen, 0, 0, 2 * PAGE, RW));
    EXPECT_EQ(sys_memory_map(SELF, (gmk_handle_t)screen, 0, 0, PAGE, RX), GMK_ERIGHTS);
    (void)*at((uint64_t)place);
    EXPECT_EQ(memory_free((uint64_t)place, 2 * PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)screen), GMK_OK);
}

/* ---- Clones ---------------------------------------------------------------------------------------- */

static void a_clone_and_its_source_never_see_each_other(void) {
    uint64_t pages = 150, used = frames_used();
    int64_t source, clone, second, a, b, c;
    EXPECT_GOOD(source, new_object(pages));
    EXPECT_GOOD(a, sys_memory_map(SELF, (gmk_handle_t)source, 0, 0, pages * PAGE, RW));
    for (uint64_t i = 0; i < pages; i += 2)
        *at((uint64_t)a + i * PAGE) = i;
    EXPECT_GOOD(clone, memory_clone((gmk_handle_t)source, FACTORY, 0, pages * PAGE));
    EXPECT_GOOD(second, memory_clone((gmk_handle_t)clone, FACTORY, 10 * PAGE, 100 * PAGE));
    EXPECT_GOOD(b, sys_memory_map(SELF, (gmk_handle_t)clone, 0, 0, pages * PAGE, RW));
    EXPECT_GOOD(c, sys_memory_map(SELF, (gmk_handle_t)second, 0, 0, 100 * PAGE, RW));
    for (uint64_t i = 0; i < pages; i++)
        *at((uint64_t)a + i * PAGE) += 1000;
    for (uint64_t i = 0; i < pages; i++)
        EXPECT_EQ(*at((uint64_t)b + i * PAGE), i % 2 == 0 ? i : 0);
    for (uint64_t i = 0; i < 100; i++)
        *at((uint64_t)c + i * PAGE) += 5000;
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t was = i % 2 == 0 ? i : 0;
        EXPECT_EQ(*at((uint64_t)a + i * PAGE), was + 1000);
        EXPECT_EQ(*at((uint64_t)b + i * PAGE), was);
        if (i >= 10 && i < 110)
            EXPECT_EQ(*at((uint64_t)c + (i - 10) * PAGE), was + 5000);
    }
    EXPECT_EQ(memory_free((uint64_t)a, pages * PAGE), GMK_OK);
    EXPECT_EQ(memory_free((uint64_t)b, pages * PAGE), GMK_OK);
    EXPECT_EQ(memory_free((uint64_t)c, 100 * PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)source), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)clone), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)second), GMK_OK);
    EXPECT(frames_return_below(used + 8));
}

static void what_is_written_to_a_private_mapping_stays_there(void) {
    int64_t source, a, b;
    EXPECT_GOOD(source, new_object(80));
    EXPECT_GOOD(a, sys_memory_map(SELF, (gmk_handle_t)source, 0, 0, 80 * PAGE, RW));
    *at((uint64_t)a + PAGE) = 5;
    int64_t looks;
    EXPECT_GOOD(looks, sys_cap_derive((gmk_handle_t)source, GMK_RIGHT_READ, 0));
    EXPECT_GOOD(
        b, sys_memory_map(SELF, (gmk_handle_t)looks, 0, PAGE, 16 * PAGE, RW | GMK_MAP_PRIVATE));
    EXPECT_EQ(*at((uint64_t)b), 5);
    *at((uint64_t)b) = 6;
    EXPECT_EQ(*at((uint64_t)a + PAGE), 5);
    *at((uint64_t)a + PAGE) = 7;
    EXPECT_EQ(*at((uint64_t)b), 6);
    EXPECT_EQ(sys_memory_map(SELF, (gmk_handle_t)looks, 0, 0, 17 * PAGE, RW | GMK_MAP_PRIVATE),
              GMK_ERANGE);
    EXPECT_EQ(memory_free((uint64_t)a, 80 * PAGE), GMK_OK);
    EXPECT_EQ(memory_free((uint64_t)b, 16 * PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)source), GMK_OK);
}

static void a_clone_is_whole_before_it_can_be_used(void) {
    uint64_t pages = 200, done = 0;
    int64_t source, a, clone;
    EXPECT_GOOD(source, new_object(pages));
    EXPECT_GOOD(a, sys_memory_map(SELF, (gmk_handle_t)source, 0, 0, pages * PAGE, RW));
    for (uint64_t i = 0; i < pages; i++)
        *at((uint64_t)a + i * PAGE) = i;
    gmk_handle_t s = (gmk_handle_t)source;
    EXPECT_GOOD(clone, sys_memory_clone(s, FACTORY, 0, pages * PAGE, 0, &done));
    EXPECT(done > 0 && done < pages * PAGE);
    gmk_handle_t c = (gmk_handle_t)clone;
    EXPECT_EQ(sys_memory_map(SELF, c, 0, 0, PAGE, RW), GMK_ESTATE);
    EXPECT_EQ(sys_memory_clone(c, FACTORY, 0, PAGE, 0, &done), GMK_EINVAL);
    EXPECT_EQ(sys_memory_clone(c, FACTORY, 0, pages * PAGE, c, &done), GMK_EINVAL);
    EXPECT_EQ(sys_memory_clone(s, FACTORY, 0, 3 * PAGE, c, &done), GMK_EINVAL);
    EXPECT_EQ(sys_memory_clone(s, FACTORY, pages * PAGE, pages * PAGE, c, &done), GMK_ERANGE);
    EXPECT_EQ(sys_memory_clone(s, FACTORY, 0, pages * PAGE, 0x12345678, &done), GMK_EHANDLE);
    EXPECT_EQ(sys_memory_clone(s, FACTORY, 0, pages * PAGE, s, &done), GMK_ESTATE);
    EXPECT_EQ(sys_memory_clone(s, FACTORY, PAGE, pages * PAGE, 0, &done), GMK_ERANGE);
    EXPECT_EQ(sys_memory_clone(s, FACTORY, UINT64_MAX & ~(PAGE - 1), PAGE, 0, &done), GMK_ERANGE);
    EXPECT_EQ(sys_memory_clone(s, FACTORY, 1, PAGE, 0, &done), GMK_EINVAL);
    EXPECT_EQ(sys_cap_drop(c), GMK_OK); /* in the middle */
    EXPECT_EQ(*at((uint64_t)a + 5 * PAGE), 5);
    EXPECT_EQ(memory_free((uint64_t)a, pages * PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop(s), GMK_OK);
}

/* ---- Limits ------------------------------------------------------------------------------------------ */

static void a_budget_that_is_used_up_is_told_and_comes_back(void) {
    uint64_t used = frames_used();
    int64_t purse, object, place;
    EXPECT_GOOD(purse, sys_factory_split(FACTORY, 20, 4));
    EXPECT_GOOD(object, sys_memory_create((gmk_handle_t)purse, GMK_MEMORY_ANON, 64 * PAGE));
    EXPECT_EQ(sys_memory_create((gmk_handle_t)purse, GMK_MEMORY_CONTIG, 21 * PAGE), GMK_EBUDGET);
    EXPECT_GOOD(place, sys_memory_map(SELF, (gmk_handle_t)object, 0, 0, 64 * PAGE, RW));
    unsigned pages = 0;
    while (pages < 64 && can_write((uint64_t)place + pages * PAGE))
        pages++;
    EXPECT_EQ(pages, 19); /* and a node of the tree */
    EXPECT(!can_read((uint64_t)place + 19 * PAGE));
    EXPECT(can_write((uint64_t)place)); /* what is there stays */
    uint64_t done = 0;
    EXPECT_EQ(sys_memory_clone((gmk_handle_t)object, (gmk_handle_t)purse, 0, 64 * PAGE, 0, &done),
              GMK_EBUDGET);
    EXPECT_EQ(memory_free((uint64_t)place, 64 * PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)object), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)purse), GMK_OK);
    EXPECT(frames_return_below(used + 4));
}

static void memory_of_dead_units_comes_back_exactly(void) {
    static const char *const argv[] = {"prog_memory", "eat", NULL};
    uint64_t used = frames_used();
    EXPECT_EQ(utest_program("prog_memory", argv), 0); /* what our own tables need is there now */
    EXPECT(frames_return_below(used + SPAWN_FRAMES / 2));
    used = frames_used();
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(utest_program("prog_memory", argv), 0);
        if (!frames_return_to(used))
            utest_note("round %u: %llu frames before, %llu after", i, (unsigned long long)used,
                       (unsigned long long)frames_used());
        EXPECT_EQ(frames_used(), used);
    }
}

static const struct utest tests[] = {
    UTEST(new_memory_is_zero_and_keeps_what_is_written),
    UTEST(one_object_in_two_places_is_the_same_memory),
    UTEST(wired_memory_is_all_there),
    UTEST(contiguous_memory_tells_where_it_is_once_it_is_clean),
    UTEST(wrong_objects_are_refused),
    UTEST(ram_cannot_be_had_as_a_device),
    UTEST(a_clone_and_its_source_never_see_each_other),
    UTEST(what_is_written_to_a_private_mapping_stays_there),
    UTEST(a_clone_is_whole_before_it_can_be_used),
    UTEST(a_budget_that_is_used_up_is_told_and_comes_back),
    UTEST(memory_of_dead_units_comes_back_exactly),
};

int main(void) {
    return UTEST_RUN(tests);
}
