/* Test of mappings: rights, ranges, guards and limits of what a program maps. */
#include "tests/user/lib/utest_memory.h"
#include "tests/user/lib/utest_program.h"

#define MAPPINGS 520u /* more than a unit can have */

/* ---- Rights --------------------------------------------------------------------------------------- */

static void rights_of_the_capability_bound_the_mapping(void) {
    int64_t object, looks, place;
    EXPECT_GOOD(object, new_object(2));
    EXPECT_GOOD(looks, sys_cap_derive((gmk_handle_t)object, GMK_RIGHT_READ, 0));
    gmk_handle_t l = (gmk_handle_t)looks;
    EXPECT_EQ(sys_memory_map(SELF, l, 0, 0, PAGE, RW), GMK_ERIGHTS);
    EXPECT_EQ(sys_memory_map(SELF, l, 0, 0, PAGE, RX), GMK_ERIGHTS);
    EXPECT_GOOD(place, sys_memory_map(SELF, l, 0, 0, PAGE, GMK_PROT_READ));
    EXPECT(can_read((uint64_t)place));
    EXPECT(!can_write((uint64_t)place));
    EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)place, PAGE, RW), GMK_ERIGHTS);
    EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)place, PAGE, RX), GMK_ERIGHTS);
    EXPECT(!can_write((uint64_t)place));
    EXPECT_EQ(memory_free((uint64_t)place, PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)object), GMK_OK);
}

static void nothing_is_writable_and_executable_unless_both_are_meant(void) {
    int64_t object, place;
    EXPECT_GOOD(object, new_object(2));
    gmk_handle_t o = (gmk_handle_t)object;
    EXPECT_EQ(sys_memory_map(SELF, o, 0, 0, PAGE, RW | GMK_PROT_EXEC), GMK_EINVAL);
    EXPECT_GOOD(place, sys_memory_map(SELF, o, 0, 0, PAGE, RW));
    EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)place, PAGE, RW | GMK_PROT_EXEC), GMK_EINVAL);
    volatile uint8_t *code = (volatile uint8_t *)at((uint64_t)place);
    code[0] = 0xb8; /* mov eax, 42; ret */
    code[1] = 42;
    code[5] = 0xc3;
    EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)place, PAGE, RX), PAGE);
    EXPECT_EQ(((int (*)(void))(uintptr_t)code)(), 42);
    EXPECT(!can_write((uint64_t)place));
    EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)place, PAGE, RW | GMK_PROT_EXEC | GMK_MAP_WX),
              PAGE);
    code[1] = 43;
    EXPECT_EQ(((int (*)(void))(uintptr_t)code)(), 43);
    EXPECT_EQ(memory_free((uint64_t)place, PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop(o), GMK_OK);
}

static void what_no_page_can_be_is_refused(void) {
    static const unsigned bad[] = {GMK_PROT_WRITE, GMK_PROT_EXEC, RW | 0x80, RW | 0x80000000};
    int64_t object;
    EXPECT_GOOD(object, new_object(1));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT_EQ(sys_memory_map(SELF, (gmk_handle_t)object, 0, 0, PAGE, bad[i]), GMK_EINVAL);
    int64_t place;
    EXPECT_GOOD(place, sys_memory_map(SELF, (gmk_handle_t)object, 0, 0, PAGE, 0));
    EXPECT(!can_read((uint64_t)place));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)place, PAGE, bad[i]), GMK_EINVAL);
    EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)place, PAGE, RW), PAGE);
    EXPECT(can_write((uint64_t)place));
    EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)place, PAGE, 0), PAGE);
    EXPECT(!can_read((uint64_t)place));
    EXPECT_EQ(memory_free((uint64_t)place, PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)object), GMK_OK);
}

/* ---- Ranges ----------------------------------------------------------------------------------------- */

static void ranges_that_wrap_or_leave_the_users_half_are_refused(void) {
    static const struct {
        uint64_t address, offset, size;
        int status;
    } bad[] = {
        {0, 0, 0, GMK_EINVAL},
        {0, 0, 100, GMK_EINVAL},
        {0, 1, PAGE, GMK_EINVAL},
        {0, UINT64_MAX & ~(PAGE - 1), PAGE, GMK_EINVAL},
        {0, 0, UINT64_MAX & ~(PAGE - 1), GMK_EINVAL},
        {0, 0, UINT64_C(1) << 39, GMK_ERANGE},
        {0, 4 * PAGE, PAGE, GMK_ERANGE},
        {0, 2 * PAGE, 3 * PAGE, GMK_ERANGE},
        {1, 0, PAGE, GMK_EINVAL},
        {PAGE, 0, PAGE, GMK_EINVAL},
        {GMK_USER_MIN - PAGE, 0, PAGE, GMK_EINVAL},
        {GMK_USER_MAX, 0, PAGE, GMK_EINVAL},
        {GMK_USER_MAX - PAGE, 0, PAGE, GMK_EINVAL},
        {UINT64_C(0x7ffffff00000), 0, PAGE, GMK_EINVAL}, /* message buffers */
        {UINT64_C(0x7ffffff00000) - PAGE, 0, 2 * PAGE, GMK_EINVAL},
        {UINT64_C(0x800000000000), 0, PAGE, GMK_EINVAL},
        {UINT64_C(0xffff800000000000), 0, PAGE, GMK_EINVAL},
        {UINT64_MAX & ~(PAGE - 1), 0, PAGE, GMK_EINVAL},
    };
    int64_t object;
    EXPECT_GOOD(object, new_object(4));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unsigned fixed = bad[i].address != 0 ? GMK_MAP_FIXED : 0;
        int64_t status = sys_memory_map(SELF, (gmk_handle_t)object, bad[i].address, bad[i].offset,
                                        bad[i].size, GMK_PROT_READ | fixed);
        if (status != bad[i].status)
            utest_note("row %u", i);
        EXPECT_EQ(status, bad[i].status);
    }
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)object), GMK_OK);
    static const uint64_t wrong[][2] = {{1, PAGE},
                                        {PAGE, 1},
                                        {PAGE, 0},
                                        {UINT64_MAX & ~(PAGE - 1), PAGE},
                                        {PAGE, UINT64_MAX & ~(PAGE - 1)},
                                        {UINT64_C(0xffff800000000000), PAGE},
                                        {GMK_USER_MAX, PAGE}};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        EXPECT_EQ(sys_memory_unmap(SELF, wrong[i][0], wrong[i][1]), GMK_EINVAL);
        EXPECT_EQ(sys_memory_protect(SELF, wrong[i][0], wrong[i][1], RW), GMK_EINVAL);
    }
}

/* Holes are passed by as large as the tables know them. */
static void a_huge_empty_range_is_done_in_few_steps(void) {
    int64_t object, place;
    uint64_t size = UINT64_C(1) << 39, done = 0;
    unsigned steps = 0;
    EXPECT_GOOD(object, sys_memory_create(FACTORY, GMK_MEMORY_ANON, size));
    EXPECT_GOOD(place, sys_memory_map(SELF, (gmk_handle_t)object, 0, 0, size, RW));
    for (; done < size; steps++) {
        int64_t step;
        EXPECT_GOOD(step,
                    sys_memory_protect(SELF, (uint64_t)place + done, size - done, GMK_PROT_READ));
        done += (uint64_t)step;
    }
    EXPECT(steps < 200); /* three tables of 512 holes, 16 to a step */
    EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)place, size, RW), size); /* no page is looked at */
    *at((uint64_t)place + size / 2) = 1;
    EXPECT_EQ(memory_unmap(SELF, (uint64_t)place, size), GMK_OK);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)object), GMK_OK);
}

static void a_fixed_place_must_be_free(void) {
    int64_t object, place;
    EXPECT_GOOD(object, new_object(8));
    gmk_handle_t o = (gmk_handle_t)object;
    EXPECT_GOOD(place, sys_memory_map(SELF, o, 0, 0, 8 * PAGE, RW));
    EXPECT_EQ(memory_unmap(SELF, (uint64_t)place + 2 * PAGE, 2 * PAGE), GMK_OK);
    EXPECT(can_read((uint64_t)place + PAGE));
    EXPECT(!can_read((uint64_t)place + 2 * PAGE));
    EXPECT(!can_read((uint64_t)place + 3 * PAGE));
    EXPECT(can_read((uint64_t)place + 4 * PAGE));
    uint64_t hole = (uint64_t)place + 2 * PAGE;
    EXPECT_EQ(sys_memory_map(SELF, o, hole - PAGE, 0, PAGE, RW | GMK_MAP_FIXED), GMK_EEXIST);
    EXPECT_EQ(sys_memory_map(SELF, o, hole, 0, 3 * PAGE, RW | GMK_MAP_FIXED), GMK_EEXIST);
    EXPECT_EQ(sys_memory_map(SELF, o, hole, 0, PAGE, RW | GMK_MAP_FIXED | GMK_MAP_GUARD),
              GMK_EEXIST);
    EXPECT_EQ(sys_memory_map(SELF, o, hole, 0, 2 * PAGE, RW | GMK_MAP_FIXED), hole);
    EXPECT_EQ(memory_unmap(SELF, (uint64_t)place, 8 * PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop(o), GMK_OK);
}

static void guards_stay_free(void) {
    int64_t object, place, next;
    EXPECT_GOOD(object, new_object(2));
    gmk_handle_t o = (gmk_handle_t)object;
    EXPECT_GOOD(place, sys_memory_map(SELF, o, 0, 0, 2 * PAGE, RW | GMK_MAP_GUARD));
    uint64_t low = (uint64_t)place - PAGE, high = (uint64_t)place + 2 * PAGE;
    EXPECT(!can_read(low) && !can_write(low) && !can_read(high) && !can_write(high));
    EXPECT_EQ(sys_memory_map(SELF, o, low, 0, PAGE, RW | GMK_MAP_FIXED), GMK_EEXIST);
    EXPECT_EQ(sys_memory_map(SELF, o, high, 0, PAGE, RW | GMK_MAP_FIXED), GMK_EEXIST);
    for (unsigned i = 0; i < 8; i++) { /* nor are they chosen */
        EXPECT_GOOD(next, sys_memory_map(SELF, o, 0, 0, PAGE, RW));
        EXPECT((uint64_t)next + PAGE <= low || (uint64_t)next > high);
        EXPECT(!can_read(low) && !can_read(high));
    }
    EXPECT_EQ(sys_memory_unmap(SELF, (uint64_t)place, 2 * PAGE), 2 * PAGE);
    EXPECT_EQ(sys_memory_map(SELF, o, low, 0, PAGE, RW | GMK_MAP_FIXED), low);
    EXPECT_EQ(memory_unmap(SELF, low, 16 * PAGE), GMK_OK);
    EXPECT_EQ(sys_cap_drop(o), GMK_OK);
}

static void addresses_are_chosen_anew_for_each_program(void) {
    /* Both see their own choice: the first of a mapping made by the program itself. */
    static const char *const argv[] = {"prog_memory", "where", NULL};
    int64_t one = utest_program("prog_memory", argv), two = utest_program("prog_memory", argv);
    EXPECT(one > 0 && two > 0);
    EXPECT(one != two);
}

static void too_many_mappings_are_refused_and_can_all_be_undone(void) {
    static int64_t places[MAPPINGS];
    int64_t object, status = 0;
    unsigned count = 0;
    EXPECT_GOOD(object, new_object(1));
    for (; count < MAPPINGS; count++) {
        status =
            sys_memory_map(SELF, (gmk_handle_t)object, 0, 0, PAGE, GMK_PROT_READ | GMK_MAP_GUARD);
        if (status < 0)
            break;
        places[count] = status;
    }
    EXPECT_EQ(status, GMK_ELIMIT);
    EXPECT(count > 450);
    EXPECT(can_read((uint64_t)places[0]) && can_read((uint64_t)places[count - 1]));
    /* One writer among so many would make copies too long. */
    EXPECT_EQ(sys_memory_protect(SELF, (uint64_t)places[0], PAGE, RW), GMK_ELIMIT);
    for (unsigned i = 0; i < count; i++)
        EXPECT_EQ(sys_memory_unmap(SELF, (uint64_t)places[i], PAGE), PAGE);
    EXPECT_EQ(sys_cap_drop((gmk_handle_t)object), GMK_OK);
}

static const struct utest tests[] = {
    UTEST(rights_of_the_capability_bound_the_mapping),
    UTEST(nothing_is_writable_and_executable_unless_both_are_meant),
    UTEST(what_no_page_can_be_is_refused),
    UTEST(ranges_that_wrap_or_leave_the_users_half_are_refused),
    UTEST(a_huge_empty_range_is_done_in_few_steps),
    UTEST(a_fixed_place_must_be_free),
    UTEST(guards_stay_free),
    UTEST(addresses_are_chosen_anew_for_each_program),
    UTEST(too_many_mappings_are_refused_and_can_all_be_undone),
};

int main(void) {
    return UTEST_RUN(tests);
}
