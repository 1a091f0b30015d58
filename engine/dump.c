/* Dump: workers, queues, channels, groups and types, in plain lines. See ggmk/metrics.h.
 *
 * Takes no lock and stops nobody, because it is wanted most when a lock is held for ever:
 * every number is read as it is at that moment. Formats on the stack and writes line by
 * line, so it may run in a signal handler. */
#include "engine/dump.h"

#include <stdarg.h>

#include "engine/agent.h"
#include "engine/chan.h"
#include "engine/counts.h"
#include "engine/group.h"
#include "lib/format.h"

#define DUMP_LINE 200u

struct dump {
    struct engine *eng;
    gmk_write_fn write;
    void *arg;
    int status;
};

static void line(struct dump *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(struct dump *d, const char *fmt, ...) {
    char text[DUMP_LINE];
    va_list args;
    if (d->status != GMK_OK)
        return;
    va_start(args, fmt);
    size_t length = format_vstring(text, sizeof(text) - 1, fmt, args);
    va_end(args);
    length = length < sizeof(text) - 2 ? length : sizeof(text) - 2;
    text[length] = '\n';
    d->status = d->write(d->arg, text, length + 1);
}

static const char *state_name(uint32_t state) {
    static const char *const names[] = {"booting", "running", "halting", "stopped"};
    return state < 4 ? names[state] : "?";
}

static void dump_workers(struct dump *d) {
    struct engine *eng = d->eng;
    for (uint32_t i = 0; i < eng->n_workers; i++) {
        struct agent *a = eng->agents[i];
        uint32_t type = atomic_load_explicit(&a->running, memory_order_relaxed);
        const char *name = eng->types[engine_type_index(eng, type)].name;
        bool asleep = atomic_load_explicit(&a->asleep, memory_order_relaxed) != 0;
        line(d, "worker %u: %s%s, %llu handlers begun, %llu tasks queued here", i,
             asleep      ? "asleep"
             : type != 0 ? "runs "
                         : "looks for work",
             asleep || type == 0 ? "" : name,
             (unsigned long long)atomic_load_explicit(&a->beat, memory_order_relaxed),
             (unsigned long long)localq_count(a->local));
    }
}

static void dump_queues(struct dump *d) {
    struct engine *eng = d->eng;
    for (uint32_t p = 0; p < GMK_PRIORITIES; p++)
        line(d, "ready %u: %llu of %u", p, (unsigned long long)ring_count_mpmc(eng->ready[p]),
             eng->cfg.ready_slots);
    line(d, "overflow: %llu, timers: %u of %u", (unsigned long long)ring_count_mpmc(eng->overflow),
         atomic_load_explicit(&eng->timers.waiting, memory_order_relaxed), eng->cfg.max_timers);
}

static void dump_channels(struct dump *d) {
    for (uint32_t id = 1; id < GMK_CHANNELS_MAX; id++) {
        struct channel *ch = chan_at(d->eng, id);
        if (ch == NULL)
            continue;
        uint64_t tail = atomic_load_explicit(&ch->tail, memory_order_acquire);
        line(d, "channel %u \"%s\": type %u, %llu sent, %u subscriptions%s", id, ch->name, ch->type,
             (unsigned long long)(chan_pos(tail) - ch->base), chan_sub_count(tail),
             tail & CHAN_CLOSED ? ", closed" : "");
        CHAN_EACH_SUB(ch, sub) {
            static const char *const kinds[] = {
                "free",     "idle",  "queued", "running", "running, called", "waits for a retry",
                "parallel", "ending"};
            uint32_t kind = SUB_KIND(atomic_load_explicit(&sub->state, memory_order_relaxed));
            line(d, "  subscription %u: %s, %llu behind, %llu delivered, %llu dropped", sub->index,
                 kind < 8 ? kinds[kind] : "?",
                 (unsigned long long)(chan_pos(tail) -
                                      atomic_load_explicit(&sub->cursor, memory_order_relaxed)),
                 (unsigned long long)atomic_load_explicit(&sub->delivered, memory_order_relaxed),
                 (unsigned long long)atomic_load_explicit(&sub->dropped, memory_order_relaxed));
        }
    }
}

static void dump_types(struct dump *d) {
    struct engine *eng = d->eng;
    uint32_t n = atomic_load_explicit(&eng->n_types, memory_order_acquire);
    for (uint32_t i = 1; i < n; i++) {
        gmk_counts_t c;
        counts_sum(eng, i, &c);
        line(d, "type %u \"%s\": %llu in, %llu completed, %llu failed, %llu dropped, %llu inside%s",
             eng->types[i].type, eng->types[i].name, (unsigned long long)(c.submitted + c.emitted),
             (unsigned long long)c.completed, (unsigned long long)c.failed,
             (unsigned long long)c.dropped, (unsigned long long)c.queued,
             atomic_load_explicit(&eng->types[i].poisoned, memory_order_relaxed) ? ", POISONED"
                                                                                 : "");
    }
}

static void dump_groups(struct dump *d) {
    struct engine *eng = d->eng;
    for (uint32_t i = 1; i <= eng->cfg.max_groups; i++) {
        uint32_t handle = atomic_load_explicit(&eng->groups[i].handle, memory_order_relaxed);
        uint64_t pending = atomic_load_explicit(&eng->groups[i].pending, memory_order_relaxed);
        if (handle != 0)
            line(d, "group 0x%x: at most %llu pending%s", handle,
                 (unsigned long long)(pending & GROUP_COUNT),
                 pending & GROUP_WAITED ? ", waited for" : "");
    }
}

static int dump(struct engine *eng, gmk_write_fn write, void *arg) {
    struct dump d = {eng, write, arg, GMK_OK};
    line(&d, "ggmk engine, boot %llu, %s", (unsigned long long)eng->boot_id,
         state_name(atomic_load_explicit(&eng->state, memory_order_relaxed)));
    dump_workers(&d);
    dump_queues(&d);
    dump_channels(&d);
    dump_groups(&d);
    dump_types(&d);
    return d.status;
}

static int write_to_log(void *arg, const void *bytes, size_t size) {
    (void)arg;
    hal_log_write(bytes, size);
    return GMK_OK;
}

void dump_on_request(void *arg) {
    (void)dump(arg, write_to_log, NULL);
}

int gmk_dump(gmk_kernel_t *kernel, gmk_write_fn write, void *arg) {
    int status;
    if (write == NULL)
        return GMK_EINVAL;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    status = dump(a->eng, write, arg);
    agent_leave(a);
    return status;
}
