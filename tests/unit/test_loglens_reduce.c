/* Tests of the reducer: it knows the end by counting, in any order, and loses no word. */
#include "examples/loglens/modules/reducer.c"
#include "examples/loglens/modules/table.c"

#include "tests/unit/loglens_box.h"

static unsigned run(struct box *box, uint64_t kind, uint64_t meta0, void *payload, size_t length) {
    unsigned pauses;
    gmk_task_t task = {.type = LL_COUNTS,
                       .payload = payload,
                       .len = (uint32_t)length,
                       .meta0 = meta0,
                       .meta1 = kind};
    assert_int_equal(box_run(box, reduce, &task, &pauses), GMK_OK);
    return pauses;
}

static unsigned split_is(struct box *box, uint64_t texts) {
    return run(box, LL_COUNTS_SPLIT, texts, NULL, 0);
}

static unsigned text_done(struct box *box) {
    return run(box, LL_COUNTS_TEXT, 0, NULL, 0);
}

static unsigned totals_are(struct box *box, struct ll_totals totals) {
    void *block = box_block(box, &totals, sizeof totals);
    return run(box, LL_COUNTS_TOTALS, 0, block, sizeof totals);
}

/* A table of `count` words that begin with this letter; each was seen `times` times. */
static struct ll_table *table_of(struct box *box, char letter, uint32_t count, uint64_t times) {
    struct ll_table *table = gmk_alloc(box->ctx, LL_TABLE_BYTES);
    assert_non_null(table);
    ll_table_init(table);
    for (uint32_t i = 0; i < count; i++) {
        char word[24] = "Xxxxxxxxxxxxxxxxxxxxxxx"; /* long, so that a few fill a table */
        word[0] = letter;
        for (uint32_t j = 1, n = i; j < 8; j++, n /= 26) {
            word[j] = (char)('a' + n % 26);
        }
        struct ll_hash hash = {.mixed = 0};
        for (uint32_t j = 0; j < 23; j++) {
            ll_hash_add(&hash, (uint8_t)word[j]);
        }
        assert_true(ll_table_add(table, word, 23, ll_hash_end(&hash), times));
    }
    return table;
}

static unsigned table_comes(struct box *box, struct ll_table *table) {
    return run(box, LL_COUNTS_TABLE, 0, table, ll_table_bytes(table));
}

/* What reached the sink since the last look. */
struct result {
    uint64_t sum;
    uint64_t entries;
    uint64_t tables;
    unsigned requests; /* to the counter */
    unsigned ends;
    bool end_last;
    struct ll_totals totals;
};

static void add_table(struct result *result, const gmk_task_t *task) {
    const struct ll_table *table = task->payload;
    uint32_t offset = (uint32_t)task->meta0;
    for (const struct ll_entry *entry; (entry = ll_table_at(table, task->len, offset)) != NULL;
         offset = ll_table_next(entry, offset)) {
        result->sum += entry->count;
        result->entries++;
    }
    result->tables++;
}

static struct result result_of(struct box *box) {
    struct result result = {.sum = 0};
    for (const gmk_sandbox_emit_t *emit; (emit = box_next(box)) != NULL;) {
        if (emit->channel == box->flush) {
            result.requests++;
            continue;
        }
        assert_int_equal(emit->channel, box->words);
        result.end_last = emit->task.meta1 == LL_WORDS_TOTALS;
        if (result.end_last) {
            result.ends++;
            result.totals = *(const struct ll_totals *)emit->task.payload;
        } else {
            assert_int_equal(emit->task.meta1, LL_WORDS_TABLE);
            add_table(&result, &emit->task);
        }
    }
    return result;
}

static void it_asks_for_the_tables_once_every_text_is_done(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    text_done(&box);
    text_done(&box);
    split_is(&box, 3); /* announced while the last one is still being counted */
    assert_int_equal(result_of(&box).requests, 0);
    text_done(&box);
    assert_int_equal(result_of(&box).requests, 1);
    table_comes(&box, table_of(&box, 'a', 1, 1));
    assert_int_equal(result_of(&box).requests, 0);
    box_close(&box, &ll_reducer);
}

static void an_input_without_text_ends_at_once(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    split_is(&box, 0);
    assert_int_equal(result_of(&box).requests, 1);
    totals_are(&box, (struct ll_totals){.tables = 0});
    struct result result = result_of(&box);
    assert_int_equal(result.ends, 1);
    assert_int_equal(result.totals.tables, 0);
    box_close(&box, &ll_reducer);
}

static void tables_are_merged(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    table_comes(&box, table_of(&box, 'a', 100, 1));
    table_comes(&box, table_of(&box, 'b', 50, 10));
    table_comes(&box, table_of(&box, 'a', 200, 100));
    assert_int_equal(result_of(&box).tables, 0);
    totals_are(&box, (struct ll_totals){.tables = 3, .words = 20600, .lines = 7});
    struct result result = result_of(&box);
    assert_int_equal(result.sum, 100 + 500 + 20000);
    assert_int_equal(result.entries, 250);
    assert_int_equal(result.ends, 1);
    assert_true(result.end_last);
    assert_int_equal(result.totals.words, 20600);
    assert_int_equal(result.totals.lines, 7);
    assert_int_equal(result.totals.tables, result.tables);
    box_close(&box, &ll_reducer);
}

static void the_announcement_may_arrive_before_the_tables(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    totals_are(&box, (struct ll_totals){.tables = 2});
    table_comes(&box, table_of(&box, 'a', 10, 1));
    assert_int_equal(result_of(&box).ends, 0);
    table_comes(&box, table_of(&box, 'b', 10, 1));
    struct result result = result_of(&box);
    assert_int_equal(result.ends, 1);
    assert_int_equal(result.sum, 20);
    box_close(&box, &ll_reducer);
}

/* Makes all words of a table belong into the same table of the reducer. */
static struct ll_table *in_one_table(struct ll_table *table) {
    uint32_t offset = 0;
    for (struct ll_entry *entry;
         (entry = (struct ll_entry *)ll_table_at(table, LL_TABLE_BYTES, offset)) != NULL;
         offset = ll_table_next(entry, offset)) {
        entry->hash &= (1u << REDUCER_TABLE_SHIFT) - 1u;
    }
    return table;
}

static void a_full_table_goes_to_the_sink(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    for (int letter = 'a'; letter <= 'c'; letter++) {
        table_comes(&box, in_one_table(table_of(&box, (char)letter, 2500, 1)));
    }
    struct result early = result_of(&box);
    assert_int_equal(early.tables, 2);
    totals_are(&box, (struct ll_totals){.tables = 3});
    struct result late = result_of(&box);
    assert_int_equal(early.sum + late.sum, 7500);
    assert_int_equal(late.totals.tables, 3);
    box_close(&box, &ll_reducer);
}

/* Sends everything of a small job with one thing failing; the result must not change.
 * `early`: what announces a number comes before what it counts, so that the end is reached
 * with a text and a table. */
static unsigned job(struct box *box, bool early) {
    struct ll_totals totals = {.tables = 2, .words = 600};
    unsigned pauses = early ? split_is(box, 1) : 0;
    pauses += text_done(box);
    pauses += early ? 0 : split_is(box, 1);
    pauses += table_comes(box, table_of(box, 'a', 300, 1));
    pauses += early ? totals_are(box, totals) : 0;
    pauses += table_comes(box, table_of(box, 'b', 300, 1));
    pauses += early ? 0 : totals_are(box, totals);
    return pauses;
}

static void check_job(struct box *box) {
    struct result result = result_of(box);
    assert_int_equal(result.requests, 1);
    assert_int_equal(result.ends, 1);
    assert_true(result.end_last);
    assert_int_equal(result.sum, 600);
    assert_int_equal(result.totals.words, 600);
    assert_int_equal(result.totals.tables, result.tables);
}

static void a_full_channel_costs_a_pause_and_no_word(void **state) {
    (void)state;
    for (int early = 0; early <= 1; early++) {
        unsigned paused = 0;
        uint32_t messages = 0;
        for (uint32_t nth = 1; nth == 1 || nth <= messages + 1; nth++) {
            struct box box;
            box_open(&box, &ll_reducer);
            gmk_sandbox_fail_emit(box.sandbox, nth, GMK_EAGAIN);
            paused += job(&box, early != 0);
            messages = gmk_sandbox_emit_count(box.sandbox);
            check_job(&box);
            box_close(&box, &ll_reducer);
        }
        assert_true(messages > 100);
        assert_int_equal(paused, messages);
    }
}

/* The channel is full in the middle of a table, when half of it is merged. */
static void a_pause_within_a_table_counts_no_word_twice(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    table_comes(&box, in_one_table(table_of(&box, 'a', 2000, 1)));
    gmk_sandbox_fail_emit(box.sandbox, 1, GMK_EAGAIN);
    assert_int_equal(table_comes(&box, in_one_table(table_of(&box, 'b', 2000, 1))), 1);
    totals_are(&box, (struct ll_totals){.tables = 2});
    assert_int_equal(result_of(&box).sum, 4000);
    box_close(&box, &ll_reducer);
}

static void what_comes_after_the_end_does_not_end_it_again(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    job(&box, false);
    check_job(&box);
    run(&box, LL_COUNTS_SQUEEZE, 0, NULL, 0);
    assert_null(box_next(&box));
    box_close(&box, &ll_reducer);
}

/* The tables that come, and the totals, are allocated by the test: those must not fail. So
 * each allocation within one handler is made to fail in turn. */
static void without_memory_a_table_is_passed_on(void **state) {
    (void)state;
    uint64_t passed_on = 0;
    for (uint32_t nth = 1; nth <= 200; nth++) {
        struct box box;
        box_open(&box, &ll_reducer);
        text_done(&box);
        split_is(&box, 1);
        struct ll_table *first = table_of(&box, 'a', 300, 1);
        struct ll_table *second = table_of(&box, 'b', 300, 1);
        gmk_sandbox_fail_alloc(box.sandbox, nth);
        table_comes(&box, first);
        table_comes(&box, second);
        struct result early = result_of(&box);
        passed_on += early.tables;
        gmk_sandbox_fail_alloc(box.sandbox, 0);
        totals_are(&box, (struct ll_totals){.tables = 2, .words = 600});
        struct result late = result_of(&box);
        assert_int_equal(early.sum + late.sum, 600);
        assert_int_equal(late.totals.tables, early.tables + late.tables);
        box_close(&box, &ll_reducer);
    }
    assert_true(passed_on >= 100); /* about as many tables as there are */
    assert_true(passed_on <= REDUCER_TABLES);
}

static void a_squeeze_sends_every_table_on(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    table_comes(&box, table_of(&box, 'a', 300, 1));
    uint32_t held = gmk_sandbox_live_blocks(box.sandbox);
    assert_true(held > 100);
    run(&box, LL_COUNTS_SQUEEZE, 0, NULL, 0);
    assert_int_equal(gmk_sandbox_live_blocks(box.sandbox), 1); /* the module's state */
    table_comes(&box, table_of(&box, 'a', 300, 1));
    totals_are(&box, (struct ll_totals){.tables = 2, .words = 600});
    struct result result = result_of(&box);
    assert_int_equal(result.sum, 600);
    assert_int_equal(result.totals.tables, result.tables);
    box_close(&box, &ll_reducer);
}

static void no_memory_for_the_totals_costs_a_pause(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    struct ll_totals totals = {.tables = 0};
    void *block = box_block(&box, &totals, sizeof totals);
    gmk_sandbox_fail_alloc(box.sandbox, 1);
    assert_int_equal(run(&box, LL_COUNTS_TOTALS, 0, block, sizeof totals), 1);
    assert_int_equal(result_of(&box).ends, 1);
    box_close(&box, &ll_reducer);
}

static void a_message_of_unknown_kind_is_refused(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_reducer);
    gmk_task_t task = {.type = LL_COUNTS, .meta1 = 99};
    assert_int_equal(gmk_sandbox_run(box.sandbox, reduce, &task, box.state), GMK_EINVAL);
    assert_int_equal(gmk_sandbox_emit_count(box.sandbox), 0);
    box_close(&box, &ll_reducer);
}

static void init_rolls_back(void **state) {
    (void)state;
    box_init_rolls_back(&ll_reducer, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_for_the_tables_once_every_text_is_done),
        cmocka_unit_test(an_input_without_text_ends_at_once),
        cmocka_unit_test(tables_are_merged),
        cmocka_unit_test(the_announcement_may_arrive_before_the_tables),
        cmocka_unit_test(a_full_table_goes_to_the_sink),
        cmocka_unit_test(a_full_channel_costs_a_pause_and_no_word),
        cmocka_unit_test(a_pause_within_a_table_counts_no_word_twice),
        cmocka_unit_test(what_comes_after_the_end_does_not_end_it_again),
        cmocka_unit_test(without_memory_a_table_is_passed_on),
        cmocka_unit_test(a_squeeze_sends_every_table_on),
        cmocka_unit_test(no_memory_for_the_totals_costs_a_pause),
        cmocka_unit_test(a_message_of_unknown_kind_is_refused),
        cmocka_unit_test(init_rolls_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
