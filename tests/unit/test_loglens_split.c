/* Tests of the splitter: however a stream is cut into blocks, texts hold whole words only. */
#include "examples/loglens/modules/splitter.c"

#include <stdio.h>

#include "tests/unit/loglens_box.h"

/* Gives the splitter one block; NULL ends the input. */
static int feed(struct box *box, const char *bytes, size_t length) {
    gmk_task_t task = {.type = LL_BYTES};
    if (length > 0) {
        task.payload = box_block(box, bytes, length);
        task.len = (uint32_t)length;
    }
    return gmk_sandbox_run(box->sandbox, split, &task, box->state);
}

/* Writes down what was sent since the last look: T(text) P(piece) L(last piece), what
 * the end says: C(words in pieces) N(texts). */
static const char *sent(struct box *box) {
    static char log[4096];
    size_t used = 0;
    log[0] = '\0';
    for (const gmk_sandbox_emit_t *emit; (emit = box_next(box)) != NULL;) {
        const gmk_task_t *task = &emit->task;
        uint32_t begin = ll_range_begin(task->meta0);
        uint32_t end = ll_range_end(task->meta0);
        assert_true(end <= task->len || task->payload == NULL);
        if (emit->channel == box->counts) {
            assert_int_equal(task->meta1, LL_COUNTS_SPLIT);
            used += (size_t)snprintf(log + used, sizeof log - used, "N(%u)", (unsigned)task->meta0);
        } else if (task->meta1 == LL_WORDS_PIECES_END) {
            used += (size_t)snprintf(log + used, sizeof log - used, "C(%u)", (unsigned)task->meta0);
        } else {
            char kind = emit->channel == box->text           ? 'T'
                        : task->meta1 == LL_WORDS_PIECE_LAST ? 'L'
                                                             : 'P';
            used += (size_t)snprintf(log + used, sizeof log - used, "%c(%.*s)", kind,
                                     (int)(end - begin),
                                     end > begin ? (const char *)task->payload + begin : "");
        }
    }
    return log;
}

#define FEED(box, bytes) assert_int_equal(feed((box), (bytes), sizeof(bytes) - 1), GMK_OK)
#define END(box)         assert_int_equal(feed((box), NULL, 0), GMK_OK)

static void whole_words_are_one_text(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_splitter);
    FEED(&box, "two words.");
    assert_string_equal(sent(&box), "T(two words.)");
    END(&box);
    assert_string_equal(sent(&box), "C(0)N(1)");
    box_close(&box, &ll_splitter);
}

static void a_word_over_a_border_travels_in_pieces(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_splitter);
    FEED(&box, "a bor");
    assert_string_equal(sent(&box), "T(a )P(bor)");
    FEED(&box, "der and");
    assert_string_equal(sent(&box), "L(der)T( )P(and)");
    FEED(&box, " more ");
    assert_string_equal(sent(&box), "L()T( more )");
    END(&box);
    assert_string_equal(sent(&box), "C(2)N(3)");
    box_close(&box, &ll_splitter);
}

static void a_word_may_be_longer_than_blocks(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_splitter);
    FEED(&box, "ALL");
    FEED(&box, "letters");
    FEED(&box, "x");
    FEED(&box, "end.");
    assert_string_equal(sent(&box), "P(ALL)P(letters)P(x)L(end)T(.)");
    END(&box);
    assert_string_equal(sent(&box), "C(1)N(1)");
    box_close(&box, &ll_splitter);
}

static void the_end_of_the_input_ends_the_open_word(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_splitter);
    FEED(&box, "no newline");
    END(&box);
    assert_string_equal(sent(&box), "T(no )P(newline)L()C(1)N(1)");
    box_close(&box, &ll_splitter);
}

static void an_empty_input_is_announced_as_nothing(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_splitter);
    END(&box);
    assert_string_equal(sent(&box), "C(0)N(0)");
    box_close(&box, &ll_splitter);
}

/* Puts the words of texts and pieces one after the other, each followed by a bar. */
static void words_sent(struct box *box, char *out) {
    for (const gmk_sandbox_emit_t *emit; (emit = box_next(box)) != NULL;) {
        if (emit->channel == box->counts || emit->task.meta1 == LL_WORDS_PIECES_END) {
            continue;
        }
        const uint8_t *bytes = emit->task.payload;
        bool text = emit->channel == box->text;
        bool open = false;
        for (uint32_t i = ll_range_begin(emit->task.meta0); i < ll_range_end(emit->task.meta0);
             i++) {
            uint8_t letter = ll_letter(bytes[i]);
            assert_true(text || letter != 0); /* pieces hold nothing but letters */
            if (letter != 0) {
                *out++ = (char)letter;
                open = true;
            } else if (open) {
                *out++ = '|';
                open = false;
            }
        }
        if ((text && open) || emit->task.meta1 == LL_WORDS_PIECE_LAST) {
            *out++ = '|';
        }
    }
    *out = '\0';
}

static void every_cut_of_a_stream_gives_the_same_words(void **state) {
    (void)state;
    static const char stream[] = "It's a\nlong-ish  STREAM1of2words, \xc3\xa9it";
    static const char wanted[] = "it|s|a|long|ish|stream|of|words|it|";
    const size_t length = sizeof stream - 1;
    for (size_t i = 1; i < length; i++) {
        for (size_t j = i + 1; j < length; j++) {
            struct box box;
            char words[128];
            box_open(&box, &ll_splitter);
            assert_int_equal(feed(&box, stream, i), GMK_OK);
            assert_int_equal(feed(&box, stream + i, j - i), GMK_OK);
            assert_int_equal(feed(&box, stream + j, length - j), GMK_OK);
            END(&box);
            words_sent(&box, words);
            assert_string_equal(words, wanted);
            box_close(&box, &ll_splitter);
        }
    }
}

/* The splitter waits in gmk_chan_send(), so what it gets back is final: it fails, and no
 * reference of the block stays behind. */
static void a_refused_message_fails_and_leaks_nothing(void **state) {
    (void)state;
    for (uint32_t nth = 1; nth <= 6; nth++) {
        struct box box;
        box_open(&box, &ll_splitter);
        FEED(&box, "op");
        gmk_sandbox_fail_emit(box.sandbox, nth, GMK_ECLOSED);
        int first = feed(&box, "en text la", 10); /* three messages */
        int last = feed(&box, NULL, 0);           /* three more */
        assert_int_equal(first, nth <= 3 ? GMK_ECLOSED : GMK_OK);
        assert_int_equal(last, nth > 3 ? GMK_ECLOSED : GMK_OK);
        if (nth == 2) {
            assert_string_equal(sent(&box),
                                "P(op)L(en)C(1)N(0)"); /* what was not sent is not counted */
        }
        box_close(&box, &ll_splitter);
    }
}

/* The source has no memory: the counter is asked to send on what it has, the word goes on. */
static void a_squeeze_is_passed_to_the_counter_and_changes_no_word(void **state) {
    (void)state;
    struct box box;
    box_open(&box, &ll_splitter);
    FEED(&box, "one wo");
    assert_string_equal(sent(&box), "T(one )P(wo)");
    gmk_task_t squeeze_it = {.type = LL_BYTES, .meta0 = LL_BYTES_SQUEEZE};
    assert_int_equal(gmk_sandbox_run(box.sandbox, split, &squeeze_it, box.state), GMK_OK);
    const gmk_sandbox_emit_t *emit = box_next(&box);
    assert_non_null(emit);
    assert_int_equal(emit->channel, box.flush);
    assert_int_equal(emit->task.meta0, LL_FLUSH_SQUEEZE);
    FEED(&box, "rd.");
    END(&box);
    assert_string_equal(sent(&box), "L(rd)T(.)C(1)N(2)");
    box_close(&box, &ll_splitter);
}

static void init_rolls_back(void **state) {
    (void)state;
    box_init_rolls_back(&ll_splitter, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_words_are_one_text),
        cmocka_unit_test(a_word_over_a_border_travels_in_pieces),
        cmocka_unit_test(a_word_may_be_longer_than_blocks),
        cmocka_unit_test(the_end_of_the_input_ends_the_open_word),
        cmocka_unit_test(an_empty_input_is_announced_as_nothing),
        cmocka_unit_test(every_cut_of_a_stream_gives_the_same_words),
        cmocka_unit_test(a_refused_message_fails_and_leaks_nothing),
        cmocka_unit_test(a_squeeze_is_passed_to_the_counter_and_changes_no_word),
        cmocka_unit_test(init_rolls_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
