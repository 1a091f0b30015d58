/* Kernel monitor: input, the prompt, and finding the command. See kdb.h.
 *
 * The interrupt handler owns the head of the ring and the task its tail. `state` says whether a
 * task is under way, so that there is one at most, and none is lost:
 *
 *     IDLE --on_input(), submits--> QUEUED --input_handler()--> IDLE
 *
 * The task takes bytes until the ring is empty, says IDLE, and looks once more: a byte that came
 * between is seen either by that look or by an interrupt that found IDLE. */
#include "kernel/debug/kdb.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include "ggmk/error.h"
#include "ggmk/kernel.h"
#include "kernel/core/config.h"
#include "kernel/core/console.h"
#include "kernel/core/kernel.h"
#include "kernel/core/log.h"
#include "kernel/debug/kdb_line.h"
#include "kernel/irq/irq.h"
#include "lib/format.h"

#define KDB_PROMPT    "gmk> "
#define KDB_RING      256u /* bytes typed ahead */
#define KDB_PRINT_MAX 512u
#define HELP_COLUMN   33 /* where the explanations begin */

static const struct kdb_command *const tables[] = {kdb_machine_commands, kdb_memory_commands,
                                                   kdb_engine_commands,  kdb_trace_commands,
                                                   kdb_unit_commands,    kdb_sched_commands};

/* ---- Output --------------------------------------------------------------------------- */

void kdb_print(const char *fmt, ...) {
    char text[KDB_PRINT_MAX];
    va_list args;
    va_start(args, fmt);
    size_t length = format_vstring(text, sizeof text, fmt, args);
    va_end(args);
    console_write(text, length < sizeof text ? length : sizeof text - 1u);
}

bool kdb_arg(const struct kdb_call *call, unsigned i, unsigned base, uint64_t most, uint64_t *out) {
    if (!kdb_number(call->argv[i], base, out)) {
        kdb_print("'%s' is not a%s number\n", call->argv[i], base == 16 ? " hexadecimal" : "");
        return false;
    }
    if (*out > most) {
        kdb_print("'%s' is too large: at most %llu\n", call->argv[i], (unsigned long long)most);
        return false;
    }
    return true;
}

/* ---- Commands --------------------------------------------------------------------------- */

static void help(bool post_mortem) {
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const struct kdb_command *c = tables[t]; c->name != NULL; c++) {
            int left = HELP_COLUMN - (int)strlen(c->name);
            if (post_mortem && !c->post_mortem)
                continue;
            kdb_print("  %s %-*s %s\n", c->name, left, c->args, c->help);
        }
    kdb_print("ctrl-C ends what takes long, ctrl-U forgets the line, arrow up brings one back\n");
}

static const struct kdb_command *find(const char *name) {
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const struct kdb_command *c = tables[t]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0)
                return c;
    return NULL;
}

/* `text` is cut into words. `ctx`: NULL after a panic. */
static void execute(char *text, gmk_ctx_t *ctx) {
    char *words[KDB_WORDS_MAX];
    unsigned count = kdb_words(text, words);
    if (count == 0)
        return;
    if (count > KDB_WORDS_MAX) {
        kdb_print("too many words: at most %u\n", KDB_WORDS_MAX);
        return;
    }
    if (strcmp(words[0], "help") == 0) {
        help(ctx == NULL);
        return;
    }
    const struct kdb_command *c = find(words[0]);
    struct kdb_call call = {count - 1u, &words[1], ctx};
    if (c == NULL)
        kdb_print("no command '%s': help lists them\n", words[0]);
    else if (call.argc < c->least || call.argc > c->most)
        kdb_print("%s words for %s: %s %s\n", call.argc < c->least ? "too few" : "too many",
                  c->name, c->name, c->args);
    else if (ctx == NULL && !c->post_mortem)
        kdb_print("%s needs a running kernel\n", c->name);
    else
        c->fn(&call);
}

/* ---- Input ------------------------------------------------------------------------------- */

enum { IDLE, QUEUED };

static struct {
    uint8_t ring[KDB_RING];
    _Atomic uint32_t head; /* bytes put in; written by the interrupt handler */
    _Atomic uint32_t tail; /* bytes taken out; written by the task */
    _Atomic uint32_t state;
    _Atomic bool interrupted;
    struct kdb_line line; /* the task's, as long as it is QUEUED */
} input;

bool kdb_interrupted(void) {
    return atomic_load_explicit(&input.interrupted, memory_order_relaxed);
}

/* Takes what has arrived; when the ring is full, bytes are lost as on any slow terminal. */
static void read_line(void) {
    uint32_t head = atomic_load_explicit(&input.head, memory_order_relaxed);
    /* Bounded by the ring: a line that never stops sending must not hold the CPU here. */
    for (uint32_t i = 0; i < KDB_RING; i++) {
        int byte = arch_serial_read();
        if (byte < 0)
            break;
        if (byte == 0x03)
            atomic_store_explicit(&input.interrupted, true, memory_order_relaxed);
        /* A1 pairs with R1 in take(): the task has read the slot that we reuse. */
        if (head - atomic_load_explicit(&input.tail, memory_order_acquire) < KDB_RING)
            input.ring[head++ % KDB_RING] = (uint8_t)byte;
    }
    /* R2 pairs with A2 in take(): the bytes are there when they are counted. Sequentially
     * consistent, as all that has to do with `state`: see the top. */
    atomic_store_explicit(&input.head, head, memory_order_seq_cst);
}

static void queue_task(void) {
    gmk_task_t task = {.type = KDB_TYPE_INPUT, .flags = GMK_PRIO(0)};
    if (atomic_exchange_explicit(&input.state, QUEUED, memory_order_seq_cst) == IDLE &&
        irq_submit(&task) != GMK_OK)
        atomic_store_explicit(&input.state, IDLE, memory_order_seq_cst); /* the next byte tries */
}

static void on_input(void *arg) {
    (void)arg;
    read_line();
    queue_task();
}

static int take(void) {
    uint32_t tail = atomic_load_explicit(&input.tail, memory_order_relaxed);
    /* A2 pairs with R2 in read_line(). */
    if (atomic_load_explicit(&input.head, memory_order_seq_cst) == tail)
        return -1;
    uint8_t byte = input.ring[tail % KDB_RING];
    /* R1 pairs with A1 in read_line(). */
    atomic_store_explicit(&input.tail, tail + 1u, memory_order_release);
    return byte;
}

static void take_byte(uint8_t byte, gmk_ctx_t *ctx) {
    if (!kdb_line_byte(&input.line, byte, console_write))
        return;
    atomic_store_explicit(&input.interrupted, false, memory_order_relaxed);
    char text[KDB_LINE_MAX];
    memcpy(text, input.line.text, sizeof text);
    kdb_line_next(&input.line);
    execute(text, ctx);
    console_write(KDB_PROMPT, sizeof KDB_PROMPT - 1u);
}

static int input_handler(gmk_ctx_t *ctx) {
    for (int byte = take(); byte >= 0; byte = take())
        take_byte((uint8_t)byte, ctx);
    atomic_store_explicit(&input.state, IDLE, memory_order_seq_cst);
    if (atomic_load_explicit(&input.head, memory_order_seq_cst) !=
        atomic_load_explicit(&input.tail, memory_order_relaxed))
        queue_task();
    return GMK_OK;
}

/* ---- Life -------------------------------------------------------------------------------- */

static bool wanted(void) {
    return kernel_config.kdb && kernel_config.serial;
}

void kdb_start(void) {
    if (wanted() && arch_serial_on_input(on_input, NULL) != GMK_OK)
        klog_warn("kdb", "the monitor cannot run: no interrupt of the serial line");
}

void kdb_greet(void) {
    if (wanted())
        console_write(KDB_PROMPT, sizeof KDB_PROMPT - 1u);
}

static const gmk_handler_reg_t handlers[] = {{KDB_TYPE_INPUT, input_handler, "kdb input"},
                                             {KDB_TYPE_LOAD, kdb_load_handler, "kdb load"}};
static const char *const needs[] = {"irq"};
static gmk_module_t kdb_module = {.name = "kdb",
                                  .version = GMK_VERSION(1, 0, 0),
                                  .depends = needs,
                                  .n_depends = sizeof needs / sizeof needs[0],
                                  .handlers = handlers,
                                  .n_handlers = sizeof handlers / sizeof handlers[0],
                                  .privilege = GMK_KERNEL};
GMK_MODULE(kdb_module)

void kdb_post_mortem(void) {
    kdb_print("the monitor still answers: help\n" KDB_PROMPT);
    memset(&input.line, 0, sizeof input.line);
    for (;;) { /* until somebody resets the machine */
        int byte = arch_serial_read();
        if (byte >= 0)
            take_byte((uint8_t)byte, NULL);
        else
            arch_relax();
    }
}
