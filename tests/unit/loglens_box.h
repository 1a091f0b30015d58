/* Sandbox for loglens: one module's handlers, run without an engine; shared by its tests. */
#pragma once

#include "examples/loglens/modules/loglens.h"
#include "ggmk/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BOX_MEMORY (24u << 20)

struct box {
    void *memory;
    gmk_sandbox_t *sandbox;
    gmk_ctx_t *ctx;
    void *state; /* the module's, from its init */
    uint32_t text, counts, flush, words;
    uint32_t seen; /* recorded emits that a test has looked at */
};

static inline void box_open_empty(struct box *box) {
    memset(box, 0, sizeof *box);
    size_t size = gmk_sandbox_size() + BOX_MEMORY;
    box->memory = malloc(size);
    assert_non_null(box->memory);
    box->sandbox = gmk_sandbox_init(box->memory, size);
    assert_non_null(box->sandbox);
    box->ctx = gmk_sandbox_ctx(box->sandbox);
}

static inline void box_open(struct box *box, gmk_module_t *module) {
    box_open_empty(box);
    box->text = gmk_sandbox_channel(box->sandbox, LL_TEXT_CHANNEL, LL_TEXT);
    box->counts = gmk_sandbox_channel(box->sandbox, LL_COUNTS_CHANNEL, LL_COUNTS);
    box->flush = gmk_sandbox_channel(box->sandbox, LL_FLUSH_CHANNEL, LL_FLUSH);
    box->words = gmk_sandbox_channel(box->sandbox, LL_WORDS_CHANNEL, LL_WORDS);
    assert_int_equal(gmk_sandbox_run(box->sandbox, module->init, NULL, NULL), GMK_OK);
    box->state = box->ctx->state;
    assert_non_null(box->state);
}

/* Ends a test: the module gives everything back, and nothing went wrong with memory. */
static inline void box_close(struct box *box, gmk_module_t *module) {
    box->ctx->state = box->state;
    module->fini(box->ctx);
    assert_int_equal(gmk_sandbox_live_blocks(box->sandbox), 0);
    assert_null(gmk_sandbox_fault(box->sandbox));
    free(box->memory);
}

/* A block that holds a copy of these bytes; the next run of a task with it takes it over. */
static inline void *box_block(struct box *box, const void *bytes, size_t size) {
    void *block = gmk_alloc(box->ctx, size);
    assert_non_null(block);
    memcpy(block, bytes, size);
    return block;
}

/* Runs a handler until it no longer gives way; says how often it did. */
static inline int box_run(struct box *box, gmk_handler_fn fn, const gmk_task_t *task,
                          unsigned *pauses) {
    int status = gmk_sandbox_run(box->sandbox, fn, task, box->state);
    for (*pauses = 0; status == GMK_YIELDED; ++*pauses) {
        assert_true(*pauses < 1000);
        assert_true(gmk_sandbox_resume_ns(box->sandbox) > 0);
        status = gmk_sandbox_run(box->sandbox, fn, gmk_sandbox_task(box->sandbox), box->state);
    }
    return status;
}

/* The next emit that the test has not looked at; NULL: there is none. */
static inline const gmk_sandbox_emit_t *box_next(struct box *box) {
    const gmk_sandbox_emit_t *emit = gmk_sandbox_emit_at(box->sandbox, box->seen);
    box->seen += emit != NULL;
    return emit;
}

/* Whatever a module's init cannot get, it gives back what it had. */
static inline void box_init_rolls_back(gmk_module_t *module, unsigned channels_needed) {
    static const struct {
        const char *name;
        uint32_t type;
    } named[] = {
        {LL_TEXT_CHANNEL, LL_TEXT},
        {LL_COUNTS_CHANNEL, LL_COUNTS},
        {LL_FLUSH_CHANNEL, LL_FLUSH},
        {LL_WORDS_CHANNEL, LL_WORDS},
    };
    unsigned failures = 0;
    for (unsigned missing = 0; missing < 4; missing++) {
        struct box box;
        box_open_empty(&box);
        for (unsigned i = 0; i < 4; i++) {
            if (i != missing) {
                gmk_sandbox_channel(box.sandbox, named[i].name, named[i].type);
            }
        }
        int status = gmk_sandbox_run(box.sandbox, module->init, NULL, NULL);
        assert_true(status == GMK_OK || status == GMK_ENOENT);
        failures += status != GMK_OK;
        assert_int_equal(gmk_sandbox_live_blocks(box.sandbox), status == GMK_OK);
        free(box.memory);
    }
    assert_int_equal(failures, channels_needed);
    struct box box;
    box_open_empty(&box);
    gmk_sandbox_fail_alloc(box.sandbox, 1);
    assert_int_equal(gmk_sandbox_run(box.sandbox, module->init, NULL, NULL), GMK_ENOMEM);
    free(box.memory);
}
