/* Tests of the counter: it counts every word of its range once, whatever is full meanwhile. */
#include "examples/loglens/modules/counter.c"
#include "examples/loglens/modules/table.c"

#include <stdio.h>

#include "tests/unit/loglens_box.h"

/* Counts the bytes [begin, end) of a text; gives the number of pauses it took. */
static unsigned count_text(struct box *box, const char *text, uint32_t begin, uint32_t end) {
    unsigned pauses;
    gmk_task_t task = {
        .type = LL_TEXT,
        .payload = box_block(box, text, strlen(text)),
        .len = (uint32_t)strlen(text),
        .meta0 = ll_range(begin, end),
    };
    assert_int_equal(box_run(box, count, &task, &pauses), GMK_OK);
    return pauses;
}

static unsigned ask_for_all(struct box *box) {
    unsigned pauses;
    gmk_task_t task = {.type = LL_FLUSH};
    assert_int_equal(box_run(box, flush, &task, &pauses), GMK_OK);
    return pauses;
}

/* What was sent: how often one word, how many words at all, and the announced totals. */
struct result {
    uint64_t of_word;
    uint64_t sum;
    uint64_t tables;
    uint64_t texts;
    uint64_t squeezes;
    bool totals_last;
    struct ll_totals totals;
};

static void add_table(struct result *result, const gmk_task_t *task, const char *word) {
    const struct ll_table *table = task->payload;
    uint32_t offset = 0;
    for (const struct ll_entry *entry; (entry = ll_table_at(table, task->len, offset)) != NULL;
         offset = ll_table_next(entry, offset)) {
        result->sum += entry->count;
        if (entry->length == strlen(word) &&
            memcmp(ll_entry_word(entry), word, entry->length) == 0) {
            result->of_word += entry->count;
        }
    }
    result->tables++;
}

static struct result result_of(struct box *box, const char *word) {
    struct result result = {.sum = 0};
    for (const gmk_sandbox_emit_t *emit; (emit = box_next(box)) != NULL;) {
        assert_int_equal(emit->channel, box->counts);
        result.totals_last = emit->task.meta1 == LL_COUNTS_TOTALS;
        switch (emit->task.meta1) {
        case LL_COUNTS_TEXT:
            result.texts++;
            break;
        case LL_COUNTS_SQUEEZE:
            result.squeezes++;
            break;
        case LL_COUNTS_TABLE:
            add_table(&result, &emit->task, word);
            break;
        case LL_COUNTS_TOTALS:
            result.totals = *(const struct ll_totals *)emit->task.payload;
            break;
        default:
            fail_msg("an unknown kind of message was sent");
        }
    }
    return result;
}

static void words_of_the_range_are_lowered_and_counted(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_counter);
    const char *text = "cut The THE\nthe don't cut";
    assert_int_equal(count_text(&box, text, 3, (uint32_t)strlen(text) - 3), 0);
    assert_int_equal(ask_for_all(&box), 0);
    struct result result = result_of(&box, "the");
    assert_int_equal(result.of_word, 3);
    assert_int_equal(result.sum, 5); /* the the the don t */
    assert_int_equal(result.texts, 1);
    assert_int_equal(result.totals.words, 5);
    assert_int_equal(result.totals.lines, 1);
    assert_int_equal(result.totals.tables, result.tables);
    assert_true(result.totals_last);
    assert_int_equal(gmk_sandbox_metric(box.sandbox, "loglens_words_total"), 5);
    assert_int_equal(gmk_sandbox_metric(box.sandbox, "loglens_lines_total"), 1);
    box_close(&box, &ll_counter);
}

static void bytes_outside_the_range_are_not_touched(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_counter);
    char *block = box_block(&box, "ABC DEF GHI", 11);
    assert_int_equal(gmk_retain(box.ctx, block), GMK_OK);
    gmk_task_t task = {.type = LL_TEXT, .payload = block, .len = 11, .meta0 = ll_range(4, 7)};
    assert_int_equal(gmk_sandbox_run(box.sandbox, count, &task, box.state), GMK_OK);
    assert_memory_equal(block, "ABC def GHI", 11);
    gmk_free(box.ctx, block);
    box_close(&box, &ll_counter);
}

static void an_empty_text_is_done_at_once(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_counter);
    count_text(&box, "word", 2, 2);
    assert_int_equal(result_of(&box, "").texts, 1);
    ask_for_all(&box);
    struct result result = result_of(&box, "");
    assert_int_equal(result.totals.words, 0);
    assert_int_equal(result.tables, 0);
    box_close(&box, &ll_counter);
}

static void a_range_beyond_the_text_is_refused(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_counter);
    gmk_task_t task = {
        .type = LL_TEXT, .payload = box_block(&box, "word", 4), .len = 4, .meta0 = ll_range(0, 5)};
    assert_int_equal(gmk_sandbox_run(box.sandbox, count, &task, box.state), GMK_EINVAL);
    task = (gmk_task_t){.type = LL_TEXT, .meta0 = ll_range(0, 5)};
    assert_int_equal(gmk_sandbox_run(box.sandbox, count, &task, box.state), GMK_EINVAL);
    assert_int_equal(gmk_sandbox_emit_count(box.sandbox), 0);
    box_close(&box, &ll_counter);
}

/* A text of many words, one of them often. */
#define MANY 9000u
static char *many_words(void) {
    char *text = malloc(MANY * 7 + 1);
    assert_non_null(text);
    for (uint32_t i = 0; i < MANY; i++) {
        char word[8] = "the    ";
        for (uint32_t j = 0, n = i; i % 3 != 0 && j < 6; j++, n /= 26) {
            word[j] = (char)('a' + n % 26);
        }
        memcpy(text + i * 7, word, 7);
    }
    text[MANY * 7] = '\0';
    return text;
}

static void check_many(struct result result, unsigned texts) {
    assert_int_equal(result.of_word, (uint64_t)texts * MANY / 3);
    assert_int_equal(result.sum, (uint64_t)texts * MANY);
    assert_int_equal(result.totals.words, (uint64_t)texts * MANY);
    assert_int_equal(result.totals.tables, result.tables);
    assert_int_equal(result.texts, texts);
}

/* Fills all tables but for a few bytes, so that the next new words find them full. */
static void fill_tables(struct box *box) {
    struct counter *self = box->state;
    for (uint32_t i = 0; i < COUNTER_TABLES; i++) {
        struct ll_table *table = gmk_alloc(box->ctx, LL_TABLE_BYTES);
        assert_non_null(table);
        ll_table_init(table);
        self->tally[0].table[i] = table;
        char *word = malloc(LL_WORD_MAX);
        assert_non_null(word);
        memset(word, 'w', LL_WORD_MAX);
        assert_true(ll_table_add(table, word, LL_WORD_MAX - 200, 0, 0));
        free(word);
    }
}

static void full_tables_are_sent_and_replaced(void **state) {
    (void)state;
    struct box box;
    char *text = many_words();
    box_open(&box, &ll_counter);
    fill_tables(&box);
    assert_int_equal(count_text(&box, text, 0, MANY * 7), 0);
    ask_for_all(&box);
    struct result result = result_of(&box, "the");
    check_many(result, 1);
    assert_int_equal(result.tables, 2 * COUNTER_TABLES);
    box_close(&box, &ll_counter);
    free(text);
}

/* The channel to the reducer is full at the N-th message, for every N there is. */
static void a_full_channel_costs_a_pause_and_no_word(void **state) {
    (void)state;
    char *text = many_words();
    unsigned paused = 0;
    for (uint32_t nth = 1; nth <= 2 * COUNTER_TABLES + 4; nth++) {
        struct box box;
        box_open(&box, &ll_counter);
        fill_tables(&box);
        gmk_sandbox_fail_emit(box.sandbox, nth, GMK_EAGAIN);
        unsigned pauses = count_text(&box, text, 0, MANY * 7);
        pauses += ask_for_all(&box);
        assert_true(pauses <= 1);
        paused += pauses;
        check_many(result_of(&box, "the"), 1);
        box_close(&box, &ll_counter);
    }
    assert_int_equal(paused, 2 * COUNTER_TABLES + 2); /* every message once */
    free(text);
}

/* The N-th allocation fails, for every N there is. */
static void no_memory_costs_a_pause_and_no_word(void **state) {
    (void)state;
    char *text = many_words();
    unsigned paused = 0;
    uint64_t squeezes = 0;
    for (uint32_t nth = 1; nth <= COUNTER_TABLES + 2; nth++) {
        struct box box;
        box_open(&box, &ll_counter);
        void *block = box_block(&box, text, MANY * 7);
        gmk_task_t task = {
            .type = LL_TEXT, .payload = block, .len = MANY * 7, .meta0 = ll_range(0, MANY * 7)};
        gmk_sandbox_fail_alloc(box.sandbox, nth);
        unsigned pauses;
        assert_int_equal(box_run(&box, count, &task, &pauses), GMK_OK);
        pauses += ask_for_all(&box);
        paused += pauses;
        struct result result = result_of(&box, "the");
        check_many(result, 1);
        squeezes += result.squeezes;
        box_close(&box, &ll_counter);
    }
    assert_int_equal(paused, COUNTER_TABLES + 1); /* each table once, and the totals */
    assert_int_equal(squeezes, COUNTER_TABLES);   /* the reducer hears of each */
    free(text);
}

static void any_other_refusal_fails_the_task(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_counter);
    gmk_sandbox_fail_emit(box.sandbox, 1, GMK_ECLOSED);
    gmk_task_t task = {
        .type = LL_TEXT, .payload = box_block(&box, "word", 4), .len = 4, .meta0 = ll_range(0, 4)};
    assert_int_equal(gmk_sandbox_run(box.sandbox, count, &task, box.state), GMK_ECLOSED);
    gmk_sandbox_fail_emit(box.sandbox, 2, GMK_ECLOSED); /* the first is the table */
    assert_int_equal(
        gmk_sandbox_run(box.sandbox, flush, &(gmk_task_t){.type = LL_FLUSH}, box.state),
        GMK_ECLOSED);
    box_close(&box, &ll_counter);
}

static void flush_sends_the_tables_of_every_worker(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_counter);
    struct counter *self = box.state;
    for (uint32_t worker = 0; worker <= GMK_WORKERS_MAX; worker += 8) {
        struct ll_table *table = gmk_alloc(box.ctx, LL_TABLE_BYTES);
        assert_non_null(table);
        ll_table_init(table);
        assert_true(ll_table_add(table, "word", 4, 1, worker + 1));
        self->tally[worker].table[worker % COUNTER_TABLES] = table;
        self->tally[worker].words = worker + 1;
        self->tally[worker].lines = 1;
    }
    ask_for_all(&box);
    struct result result = result_of(&box, "word");
    assert_int_equal(result.of_word, 1 + 9 + 17 + 25 + 33 + 41 + 49 + 57 + 65);
    assert_int_equal(result.totals.words, result.of_word);
    assert_int_equal(result.totals.lines, 9);
    assert_int_equal(result.totals.tables, 9);
    box_close(&box, &ll_counter);
}

static void a_squeeze_sends_the_tables_and_the_counting_goes_on(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_counter);
    count_text(&box, "word word", 0, 9);
    unsigned pauses;
    gmk_task_t task = {.type = LL_FLUSH, .meta0 = LL_FLUSH_SQUEEZE};
    assert_int_equal(box_run(&box, flush, &task, &pauses), GMK_OK);
    struct result early = result_of(&box, "word");
    assert_int_equal(early.of_word, 2);
    assert_int_equal(early.squeezes, 1);
    assert_false(early.totals_last);
    count_text(&box, "word", 0, 4);
    ask_for_all(&box);
    struct result late = result_of(&box, "word");
    assert_int_equal(late.of_word, 1);
    assert_int_equal(late.totals.words, 3);
    assert_int_equal(late.totals.tables, 2);
    box_close(&box, &ll_counter);
}

static void init_rolls_back(void **state) {
    (void)state;
    box_init_rolls_back(&ll_counter, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_the_range_are_lowered_and_counted),
        cmocka_unit_test(bytes_outside_the_range_are_not_touched),
        cmocka_unit_test(an_empty_text_is_done_at_once),
        cmocka_unit_test(a_range_beyond_the_text_is_refused),
        cmocka_unit_test(full_tables_are_sent_and_replaced),
        cmocka_unit_test(a_full_channel_costs_a_pause_and_no_word),
        cmocka_unit_test(no_memory_costs_a_pause_and_no_word),
        cmocka_unit_test(any_other_refusal_fails_the_task),
        cmocka_unit_test(flush_sends_the_tables_of_every_worker),
        cmocka_unit_test(a_squeeze_sends_the_tables_and_the_counting_goes_on),
        cmocka_unit_test(init_rolls_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
