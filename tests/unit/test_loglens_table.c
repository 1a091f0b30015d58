/* Tests of the word table: counts are exact, a full table refuses, a damaged one is not followed. */
#include "examples/loglens/modules/table.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct ll_table *new_table(void) {
    struct ll_table *table = malloc(LL_TABLE_BYTES);
    assert_non_null(table);
    ll_table_init(table);
    return table;
}

static uint32_t hash_of(const char *word, uint32_t length) {
    struct ll_hash hash = {.mixed = 0};
    for (uint32_t i = 0; i < length; i++) {
        ll_hash_add(&hash, (uint8_t)word[i]);
    }
    return ll_hash_end(&hash);
}

static bool add(struct ll_table *table, const char *word, uint64_t count) {
    uint32_t length = (uint32_t)strlen(word);
    return ll_table_add(table, word, length, hash_of(word, length), count);
}

/* The count of a word, 0 when the table does not have it. */
static uint64_t find(const struct ll_table *table, const char *word) {
    uint32_t offset = 0;
    const struct ll_entry *entry;
    while ((entry = ll_table_at(table, ll_table_bytes(table), offset)) != NULL) {
        if (entry->length == strlen(word) &&
            memcmp(ll_entry_word(entry), word, entry->length) == 0) {
            return entry->count;
        }
        offset = ll_table_next(entry, offset);
    }
    return 0;
}

static void equal_words_share_an_entry(void **state) {
    (void)state;
    struct ll_table *table = new_table();
    assert_true(add(table, "word", 1));
    assert_true(add(table, "words", 1));
    assert_true(add(table, "word", 41));
    assert_int_equal(table->entries, 2);
    assert_int_equal(find(table, "word"), 42);
    assert_int_equal(find(table, "words"), 1);
    assert_int_equal(find(table, "wor"), 0);
    free(table);
}

static void counts_are_wider_than_32_bits(void **state) {
    (void)state;
    struct ll_table *table = new_table();
    assert_true(add(table, "many", UINT32_MAX));
    assert_true(add(table, "many", UINT32_MAX));
    assert_int_equal(find(table, "many"), 2 * (uint64_t)UINT32_MAX);
    free(table);
}

static void words_with_the_same_hash_stay_apart(void **state) {
    (void)state;
    struct ll_table *table = new_table();
    for (uint64_t i = 0; i < 3; i++) {
        assert_true(ll_table_add(table, "aa", 2, 7, 1));
        assert_true(ll_table_add(table, "ab", 2, 7, 10));
        assert_true(ll_table_add(table, "a", 1, 7, 10000)); /* begins like the others */
        assert_true(ll_table_add(table, "abcdefghi", 9, UINT32_MAX, 100)); /* wraps around */
        assert_true(ll_table_add(table, "z", 1, LL_TABLE_SLOTS - 1, 1000));
    }
    assert_int_equal(table->entries, 5);
    assert_int_equal(find(table, "aa"), 3);
    assert_int_equal(find(table, "ab"), 30);
    assert_int_equal(find(table, "abcdefghi"), 300);
    assert_int_equal(find(table, "z"), 3000);
    assert_int_equal(find(table, "a"), 30000);
    free(table);
}

/* Words of every length up to 40, so that the last entry meets the end in different ways. */
static void a_full_table_refuses_new_words_and_counts_old_ones(void **state) {
    (void)state;
    for (uint32_t length = 5; length < 40; length++) {
        struct ll_table *table = new_table();
        char word[64];
        uint64_t added = 0;
        do {
            snprintf(word, sizeof word, "%0*llu", (int)length, (unsigned long long)added++);
        } while (add(table, word, added));
        added--; /* the one that was refused */
        assert_int_equal(table->entries, added);
        assert_true(ll_table_bytes(table) <= LL_TABLE_BYTES);
        assert_true(LL_TABLE_BYTES - ll_table_bytes(table) < sizeof(struct ll_entry) + 48);
        assert_int_equal(find(table, word), 0);
        for (uint64_t i = 0; i < added; i += 97) {
            snprintf(word, sizeof word, "%0*llu", (int)length, (unsigned long long)i);
            assert_true(add(table, word, 1));
            assert_int_equal(find(table, word), i + 2);
        }
        free(table);
    }
}

static void the_longest_word_fits_exactly_and_a_longer_one_never(void **state) {
    (void)state;
    struct ll_table *table = new_table();
    char *word = malloc(LL_WORD_MAX + 1);
    assert_non_null(word);
    memset(word, 'w', LL_WORD_MAX + 1);
    assert_false(ll_table_add(table, word, LL_WORD_MAX + 1, 1, 1));
    assert_false(ll_table_add(table, word, UINT32_MAX, 1, 1));
    assert_int_equal(table->entries, 0);
    assert_true(ll_table_add(table, word, LL_WORD_MAX, 1, 1));
    assert_int_equal(ll_table_bytes(table), LL_TABLE_BYTES);
    assert_false(ll_table_add(table, "a", 1, 2, 1));
    free(word);
    free(table);
}

/* A table comes from another module: what it claims to hold must lie in its message. */
static void entries_outside_the_message_are_not_given_out(void **state) {
    (void)state;
    struct ll_table *table = new_table();
    assert_true(add(table, "inside", 1));
    uint32_t bytes = ll_table_bytes(table);
    assert_non_null(ll_table_at(table, bytes, 0));
    assert_null(ll_table_at(table, bytes - 3, 0)); /* the padding is not missed */
    assert_null(ll_table_at(table, bytes, 1));
    assert_null(ll_table_at(table, bytes, table->used));
    assert_null(ll_table_at(table, bytes, UINT32_MAX));
    assert_null(ll_table_at(table, 0, 0));
    assert_null(ll_table_at(table, sizeof *table - 1, 0));
    table->used = UINT32_MAX;
    assert_null(ll_table_at(table, bytes, bytes));
    struct ll_entry *entry = (struct ll_entry *)(table + 1);
    entry->length = UINT32_MAX;
    assert_null(ll_table_at(table, bytes, 0));
    free(table);
}

/* A table is sent as it lies: bytes that were in the block before must not go with it. */
static void nothing_old_is_left_between_entries(void **state) {
    (void)state;
    struct ll_table *table = malloc(LL_TABLE_BYTES);
    assert_non_null(table);
    memset(table, 0xee, LL_TABLE_BYTES);
    ll_table_init(table);
    const char *words[] = {"a", "ab", "abcdefgh", "abcdefghi"};
    for (size_t i = 0; i < 4; i++) {
        assert_true(ll_table_add(table, words[i], (uint32_t)strlen(words[i]), 0, 0));
    }
    const uint8_t *bytes = (const uint8_t *)(table + 1);
    for (uint32_t i = 0; i < table->used; i++) {
        assert_int_not_equal(bytes[i], 0xee);
    }
    free(table);
}

static void a_hash_depends_on_every_letter_and_on_the_length(void **state) {
    (void)state;
    char word[20] = "aaaaaaaaaaaaaaaaaaa";
    for (uint32_t length = 1; length < 19; length++) {
        uint32_t plain = hash_of(word, length);
        assert_int_not_equal(plain, hash_of(word, length + 1));
        for (uint32_t i = 0; i < length; i++) {
            word[i] = 'b';
            assert_int_not_equal(plain, hash_of(word, length));
            word[i] = 'a';
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_words_share_an_entry),
        cmocka_unit_test(counts_are_wider_than_32_bits),
        cmocka_unit_test(words_with_the_same_hash_stay_apart),
        cmocka_unit_test(a_full_table_refuses_new_words_and_counts_old_ones),
        cmocka_unit_test(the_longest_word_fits_exactly_and_a_longer_one_never),
        cmocka_unit_test(entries_outside_the_message_are_not_given_out),
        cmocka_unit_test(nothing_old_is_left_between_entries),
        cmocka_unit_test(a_hash_depends_on_every_letter_and_on_the_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
