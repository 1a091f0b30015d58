/* Test of the library: memory, heap, text and what is printed. */
#include "tests/user/lib/utest.h"

#include "lib/format.h"
#include "user/lib/memory.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"
#include "user/lib/thread.h"

#include <string.h>

#define READ_WRITE (GMK_PROT_READ | GMK_PROT_WRITE)

static void new_memory_is_zero_and_goes_back_to_the_budget(void) {
    gmk_unit_info_t before = {0}, used = {0}, after = {0};
    uint64_t at, size = 300 * 4096; /* more than one step */
    (void)sys_unit_info(GMK_SELF_UNIT, &before);
    EXPECT_EQ(memory_new(size, READ_WRITE, &at), GMK_OK);
    for (uint64_t i = 0; i < size; i += 512)
        EXPECT_EQ(*(uint64_t *)(at + i), 0);
    memset((void *)at, 0xff, size);
    (void)sys_unit_info(GMK_SELF_UNIT, &used);
    EXPECT(used.frames_used >= before.frames_used + 300);
    EXPECT_EQ(memory_free(at, size), GMK_OK);
    for (unsigned i = 0; i < 2000; i++) { /* the kernel frees much memory behind our back */
        (void)sys_unit_info(GMK_SELF_UNIT, &after);
        if (after.frames_used <= before.frames_used + 4) /* page tables stay */
            break;
        utest_pause();
    }
    utest_note("frames before %llu, used %llu, after %llu", (unsigned long long)before.frames_used,
               (unsigned long long)used.frames_used, (unsigned long long)after.frames_used);
    EXPECT(after.frames_used <= before.frames_used + 4);
    EXPECT_EQ(after.objects_used, before.objects_used);
    EXPECT_EQ(after.caps, before.caps);
}

static void memory_that_was_freed_is_gone(void) {
    uint64_t at;
    EXPECT_EQ(memory_new(8192, READ_WRITE, &at), GMK_OK);
    EXPECT_EQ(memory_free(at, 4096), GMK_OK);
    EXPECT_EQ(sys_unit_info(GMK_SELF_UNIT, (gmk_unit_info_t *)at), GMK_EFAULT);
    EXPECT_EQ(sys_unit_info(GMK_SELF_UNIT, (gmk_unit_info_t *)(at + 4096)), GMK_OK);
    EXPECT_EQ(memory_free(at, 8192), GMK_OK);
    EXPECT_EQ(sys_unit_info(GMK_SELF_UNIT, (gmk_unit_info_t *)(at + 4096)), GMK_EFAULT);
}

static void rights_can_be_taken_and_given_back(void) {
    uint64_t at, size = 200 * 4096;
    EXPECT_EQ(memory_new(size, READ_WRITE, &at), GMK_OK);
    memset((void *)at, 1, size);
    EXPECT_EQ(memory_protect(GMK_SELF_UNIT, at, size, GMK_PROT_READ), GMK_OK);
    uint64_t last = at + size - 4096;
    EXPECT_EQ(sys_unit_info(GMK_SELF_UNIT, (gmk_unit_info_t *)last), GMK_EFAULT);
    EXPECT_EQ(*(uint8_t *)last, 1);
    EXPECT_EQ(memory_protect(GMK_SELF_UNIT, at, size, READ_WRITE), GMK_OK);
    EXPECT_EQ(sys_unit_info(GMK_SELF_UNIT, (gmk_unit_info_t *)last), GMK_OK);
    EXPECT_EQ(memory_free(at, size), GMK_OK);
}

static void a_clone_keeps_what_was_there(void) {
    uint64_t size = 200 * 4096;
    gmk_handle_t memory, clone;
    EXPECT_GOOD(memory, sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, size));
    uint8_t *original, *copy;
    EXPECT_GOOD(original, memory_map_at(GMK_SELF_UNIT, memory, 0, 0, size, READ_WRITE));
    for (uint64_t i = 0; i < size; i += 4096)
        original[i] = (uint8_t)(i >> 12);
    EXPECT_GOOD(clone, memory_clone(memory, GMK_SELF_FACTORY, 0, size));
    EXPECT_GOOD(copy, memory_map_at(GMK_SELF_UNIT, clone, 0, 0, size, READ_WRITE));
    memset(original, 0xee, size);
    for (uint64_t i = 0; i < size; i += 4096)
        EXPECT_EQ(copy[i], (uint8_t)(i >> 12));
    copy[0] = 0x77;
    EXPECT_EQ(original[0], 0xee);
    EXPECT_EQ(memory_free((uintptr_t)original, size), GMK_OK);
    EXPECT_EQ(memory_free((uintptr_t)copy, size), GMK_OK);
    EXPECT_EQ(sys_cap_drop(memory), GMK_OK);
    EXPECT_EQ(sys_cap_drop(clone), GMK_OK);
}

/* ---- Heap ---------------------------------------------------------------------------------------- */

/* Blocks of many sizes, filled each with its own byte; freed and made again in a random order. */
static void churn(void *arg) {
    enum { BLOCKS = 64 };
    static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 1000, 4080, 4096, 16368, 16369, 70000};
    uint8_t *blocks[BLOCKS] = {NULL};
    size_t filled[BLOCKS] = {0};
    uint64_t seed = 1 + *(uint64_t *)arg;
    *(uint64_t *)arg = 0;
    for (unsigned round = 0; round < 300; round++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        unsigned i = (unsigned)(seed >> 40) % BLOCKS;
        for (size_t b = 0; b < filled[i]; b++) {
            if (blocks[i][b] != (uint8_t)i)
                return; /* not 1: seen below */
        }
        heap_free(blocks[i]);
        filled[i] = sizes[(seed >> 50) % (sizeof sizes / sizeof sizes[0])];
        blocks[i] = heap_alloc(filled[i]);
        if (blocks[i] == NULL || ((uintptr_t)blocks[i] & 15) != 0)
            return;
        memset(blocks[i], (int)i, filled[i]);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        heap_free(blocks[i]);
    *(uint64_t *)arg = 1;
}

static void blocks_of_any_size_never_meet(void) {
    struct thread *threads[3];
    uint64_t results[3] = {11, 22, 33};
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(thread_start(&threads[i], "churn", GMK_PRIORITY_NORMAL, 0, churn, &results[i]),
                  GMK_OK);
    for (unsigned i = 0; i < 3; i++)
        thread_join(threads[i]);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(results[i], 1);
}

static void what_cannot_be_had_is_null(void) {
    EXPECT(heap_alloc(SIZE_MAX) == NULL);
    EXPECT(heap_alloc(SIZE_MAX - 100) == NULL);
    heap_free(NULL);
    uint8_t *zeroed = heap_alloc(64);
    EXPECT(zeroed != NULL);
    memset(zeroed, 0xff, 64);
    heap_free(zeroed);
    zeroed = heap_alloc_zeroed(64);
    EXPECT(zeroed != NULL && zeroed[0] == 0 && zeroed[63] == 0);
    heap_free(zeroed);
}

/* ---- Text ----------------------------------------------------------------------------------------- */

static bool reads(const char *text, uint64_t expected) {
    uint64_t value = 0;
    return text_number(text, &value) && value == expected;
}

static void numbers_are_read_exactly(void) {
    EXPECT(reads("0", 0));
    EXPECT(reads("18446744073709551615", UINT64_MAX));
    EXPECT(reads("0xffffffffFFFFFFFF", UINT64_MAX));
    uint64_t value;
    static const char *const wrong[] = {"",   "x",  "-1", "1 ", "18446744073709551616",
                                        "0x", "1a", "+1", " 1", "0x10000000000000000"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        EXPECT(!text_number(wrong[i], &value));
}

static void names_are_cut_and_terminated(void) {
    char name[5];
    text_copy(name, sizeof name, "abcdefg");
    EXPECT_EQ(strcmp(name, "abcd"), 0);
    text_copy(name, sizeof name, "");
    EXPECT_EQ(strcmp(name, ""), 0);
    EXPECT(text_begins("abc", "ab") && text_begins("abc", "") && !text_begins("ab", "abc"));
}

static void memory_functions_do_what_c_says(void) {
    static uint8_t a[64], b[64], before[64];
    for (unsigned at = 0; at < 16; at++) {
        for (unsigned size = 0; size < 40; size++) {
            for (unsigned i = 0; i < sizeof a; i++)
                a[i] = b[i] = (uint8_t)(i * 7);
            memmove(a + at, a + 8, size);
            for (unsigned i = 0; i < size; i++)
                EXPECT_EQ(a[at + i], b[8 + i]);
            EXPECT_EQ(memcmp(a + at, b + 8, size), 0);
            for (unsigned i = 0; i < sizeof a; i++)
                before[i] = a[i];
            memset(a + at, 0x5a, size);
            for (unsigned i = 0; i < sizeof a; i++)
                EXPECT_EQ(a[i], i >= at && i < at + size ? 0x5a : before[i]);
        }
    }
}

static void time_goes_on(void) {
    int64_t last = sys_time();
    for (unsigned i = 0; i < 10000; i++) {
        int64_t now = sys_time();
        EXPECT(now >= last);
        last = now;
    }
}

static const struct utest tests[] = {
    UTEST(new_memory_is_zero_and_goes_back_to_the_budget),
    UTEST(memory_that_was_freed_is_gone),
    UTEST(rights_can_be_taken_and_given_back),
    UTEST(a_clone_keeps_what_was_there),
    UTEST(blocks_of_any_size_never_meet),
    UTEST(what_cannot_be_had_is_null),
    UTEST(numbers_are_read_exactly),
    UTEST(names_are_cut_and_terminated),
    UTEST(memory_functions_do_what_c_says),
    UTEST(time_goes_on),
};

int main(void) {
    return UTEST_RUN(tests);
}
