/* Lin: the checker; see lin.h for what is checked and why that is enough. */
#include "tests/lib/lin.h"

#include <stdlib.h>
#include <string.h>

#define NEVER UINT64_MAX

_Atomic uint64_t lin_clock;

/* Everything known about one value. */
struct item {
    uint64_t value;
    uint64_t push_begin, push_end;
    uint64_t pop_begin, pop_end; /* NEVER while it was not popped */
    uint64_t inside_from;        /* certainly inside from here to pop_begin */
    uint64_t room_from;          /* its room certainly free from here on */
};

struct span {
    uint64_t from, to;
};

struct history {
    struct item *items;
    size_t n_items;
    struct span *scratch; /* n_items of them */
    const struct lin_log *logs;
    size_t n_logs;
    struct lin_rules rules;
};

bool lin_add(struct lin_log *log, enum lin_kind kind, uint64_t begin, uint64_t end,
             uint64_t value) {
    if (log->count == log->capacity)
        return false;
    log->ops[log->count++] = (struct lin_op){begin, end, value, kind};
    return true;
}

#define DEFINE_COMPARE(name, type, key)                        \
    static int name(const void *a, const void *b) {            \
        const type *x = (const type *)a, *y = (const type *)b; \
        return (x->key > y->key) - (x->key < y->key);          \
    }
DEFINE_COMPARE(by_value, struct item, value)
DEFINE_COMPARE(by_push_begin, struct item, push_begin)
DEFINE_COMPARE(by_from, struct span, from)

static struct lin_verdict fault(const char *sentence, uint64_t value) {
    return (struct lin_verdict){sentence, value};
}

static const struct lin_verdict PASS = {NULL, 0};

static size_t count_kind(const struct history *h, enum lin_kind kind) {
    size_t count = 0;
    for (size_t l = 0; l < h->n_logs; l++)
        for (size_t i = 0; i < h->logs[l].count; i++)
            count += h->logs[l].ops[i].kind == kind;
    return count;
}

static void collect_pushes(struct history *h) {
    for (size_t l = 0; l < h->n_logs; l++)
        for (size_t i = 0; i < h->logs[l].count; i++) {
            const struct lin_op *op = &h->logs[l].ops[i];
            if (op->kind == LIN_PUSH)
                h->items[h->n_items++] =
                    (struct item){op->value, op->begin, op->end, NEVER, NEVER, 0, NEVER};
        }
    qsort(h->items, h->n_items, sizeof *h->items, by_value);
}

/* Patterns "fresh" and "repeat", while pops find their pushes. */
static struct lin_verdict match_pops(struct history *h) {
    for (size_t i = 1; i < h->n_items; i++)
        if (h->items[i].value == h->items[i - 1].value)
            return fault("the test pushed a value twice", h->items[i].value);
    for (size_t l = 0; l < h->n_logs; l++)
        for (size_t i = 0; i < h->logs[l].count; i++) {
            const struct lin_op *op = &h->logs[l].ops[i];
            if (op->kind != LIN_POP)
                continue;
            struct item key = {.value = op->value};
            struct item *item =
                h->n_items == 0 ? NULL : bsearch(&key, h->items, h->n_items, sizeof key, by_value);
            if (item == NULL)
                return fault("fresh: a value was popped that nobody pushed", op->value);
            if (item->pop_begin != NEVER)
                return fault("repeat: a value was popped twice", op->value);
            if (op->end < item->push_begin)
                return fault("fresh: a value was popped before its push began", op->value);
            item->pop_begin = op->begin;
            item->pop_end = op->end;
        }
    return PASS;
}

/* Pattern "order". For each b in the order of its push's begin, all a whose push had ended
 * by then are known by the latest begin of their pops. */
static struct lin_verdict check_order(struct history *h) {
    struct span *pushed = h->scratch; /* from: push ended; to: pop began */
    uint64_t latest_pop = 0;
    size_t next = 0;

    for (size_t i = 0; i < h->n_items; i++)
        pushed[i] = (struct span){h->items[i].push_end, h->items[i].pop_begin};
    qsort(pushed, h->n_items, sizeof *pushed, by_from);
    for (size_t i = 0; i < h->n_items; i++) { /* items are sorted by push_begin */
        const struct item *b = &h->items[i];
        for (; next < h->n_items && pushed[next].from < b->push_begin; next++)
            if (pushed[next].to > latest_pop)
                latest_pop = pushed[next].to;
        if (b->pop_end != NEVER && latest_pop > b->pop_end)
            return fault("order: a value overtook one that was pushed before it", b->value);
    }
    return PASS;
}

/* For each item the latest end among all operations that began before its own ended; that is
 * a running maximum over operations in the order of their begin. */
static void weaken(struct history *h, bool pushes) {
    struct span *ops = h->scratch;
    size_t n = 0;

    for (size_t i = 0; i < h->n_items; i++) {
        const struct item *item = &h->items[i];
        if (pushes)
            ops[n++] = (struct span){item->push_begin, item->push_end};
        else if (item->pop_end != NEVER)
            ops[n++] = (struct span){item->pop_begin, item->pop_end};
    }
    qsort(ops, n, sizeof *ops, by_from);
    for (size_t i = 1; i < n; i++)
        if (ops[i].to < ops[i - 1].to)
            ops[i].to = ops[i - 1].to;
    for (size_t i = 0; i < h->n_items; i++) {
        struct item *item = &h->items[i];
        uint64_t end = pushes ? item->push_end : item->pop_end;
        if (end == NEVER)
            continue;
        size_t low = 0, high = n; /* the first operation that began after `end` */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (ops[middle].from <= end)
                low = middle + 1;
            else
                high = middle;
        }
        if (pushes)
            item->inside_from = ops[low - 1].to; /* low >= 1: its own operation is there */
        else
            item->room_from = ops[low - 1].to;
    }
}

/* Pattern "empty": the operation lies wholly within a stretch without an empty instant. */
static struct lin_verdict check_empty(struct history *h) {
    struct span *full = h->scratch;
    size_t n = 0, stretches = 0;

    for (size_t i = 0; i < h->n_items; i++)
        if (h->items[i].inside_from < h->items[i].pop_begin)
            full[n++] = (struct span){h->items[i].inside_from, h->items[i].pop_begin};
    qsort(full, n, sizeof *full, by_from);
    for (size_t i = 0; i < n; i++) /* merge overlapping stretches in place */
        if (stretches > 0 && full[i].from < full[stretches - 1].to) {
            if (full[i].to > full[stretches - 1].to)
                full[stretches - 1].to = full[i].to;
        } else {
            full[stretches++] = full[i];
        }
    for (size_t l = 0; l < h->n_logs; l++)
        for (size_t i = 0; i < h->logs[l].count; i++) {
            const struct lin_op *op = &h->logs[l].ops[i];
            if (op->kind != LIN_EMPTY)
                continue;
            size_t low = 0, high = stretches; /* the first stretch that begins after it */
            while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (full[middle].from < op->begin)
                    low = middle + 1;
                else
                    high = middle;
            }
            if (low > 0 && full[low - 1].to > op->end)
                return fault("empty: a pop found nothing while values were inside (time)",
                             op->begin);
        }
    return PASS;
}

/* The fifth pattern: values that can have been inside are those whose push has begun, less
 * those whose room is certainly free. The number is largest at a push's begin or at the
 * operation's own begin; both events are swept in the order of time. */
struct event {
    uint64_t time;
    int change; /* +1 a push begins, -1 room is free, 0 a failed push begins or ends */
    size_t full;
};
DEFINE_COMPARE(by_time, struct event, time)

static size_t collect_events(const struct history *h, struct event *events) {
    size_t n = 0, full = 0;

    for (size_t i = 0; i < h->n_items; i++) {
        events[n++] = (struct event){h->items[i].push_begin, 1, 0};
        if (h->items[i].room_from != NEVER)
            events[n++] = (struct event){h->items[i].room_from, -1, 0};
    }
    for (size_t l = 0; l < h->n_logs; l++)
        for (size_t i = 0; i < h->logs[l].count; i++)
            if (h->logs[l].ops[i].kind == LIN_FULL) {
                events[n++] = (struct event){h->logs[l].ops[i].begin, 0, full};
                events[n++] = (struct event){h->logs[l].ops[i].end, 0, full++};
            }
    qsort(events, n, sizeof *events, by_time);
    return n;
}

/* Sweeps with the list of failed pushes under way; at most one per thread. */
static struct lin_verdict check_full(struct history *h) {
    size_t fulls = count_kind(h, LIN_FULL);
    struct event *events = calloc(2 * (h->n_items + fulls) + 1, sizeof *events);
    size_t *open = calloc(h->n_logs + 1, sizeof *open);
    bool *seen = calloc(fulls + 1, sizeof *seen);
    struct lin_verdict verdict = PASS;
    size_t n_open = 0;
    uint64_t inside = 0;

    if (events == NULL || open == NULL || seen == NULL)
        abort();
    size_t n = collect_events(h, events);
    for (size_t i = 0; i < n && verdict.fault == NULL; i++) {
        size_t at = 0;
        if (events[i].change == 0) {
            while (at < n_open && open[at] != events[i].full)
                at++;
            if (at == n_open) { /* begins */
                open[n_open++] = events[i].full;
            } else { /* ends */
                open[at] = open[--n_open];
                if (!seen[events[i].full])
                    verdict = fault("full: a push was refused while there was room (time)",
                                    events[i].time);
            }
        } else {
            inside += events[i].change > 0 ? 1 : UINT64_MAX;
        }
        for (size_t k = 0; k < n_open && inside >= h->rules.capacity; k++)
            seen[open[k]] = true;
    }
    free(events);
    free(open);
    free(seen);
    return verdict;
}

static struct lin_verdict check_all(struct history *h) {
    struct lin_verdict verdict = match_pops(h);

    if (verdict.fault != NULL)
        return verdict;
    qsort(h->items, h->n_items, sizeof *h->items, by_push_begin);
    verdict = check_order(h);
    if (verdict.fault != NULL)
        return verdict;
    for (size_t i = 0; i < h->n_items; i++) {
        h->items[i].inside_from = h->items[i].push_end;
        h->items[i].room_from = h->items[i].pop_end;
    }
    if (h->rules.weak) {
        weaken(h, true);
        weaken(h, false);
    }
    verdict = check_empty(h);
    if (verdict.fault != NULL || h->rules.capacity == 0)
        return verdict;
    return check_full(h);
}

struct lin_verdict lin_check_fifo(const struct lin_log *logs, size_t n, struct lin_rules rules) {
    struct history h = {.logs = logs, .n_logs = n, .rules = rules};
    size_t pushes = count_kind(&h, LIN_PUSH);

    h.items = calloc(pushes + 1, sizeof *h.items);
    h.scratch = calloc(pushes + 1, sizeof *h.scratch);
    if (h.items == NULL || h.scratch == NULL)
        abort();
    collect_pushes(&h);
    struct lin_verdict verdict = check_all(&h);
    free(h.items);
    free(h.scratch);
    return verdict;
}
