/* Channel registry: names, ids and logs of the engine's channels. See chan.h. */
#include "engine/chan.h"

#include <string.h>

#include "engine/type.h"

static struct channel *find_locked(struct engine *eng, const char *name) {
    for (uint32_t id = 1; id < GMK_CHANNELS_MAX; id++) {
        struct channel *ch = chan_at(eng, id);
        if (ch != NULL && strcmp(ch->name, name) == 0)
            return ch;
    }
    return NULL;
}

int chan_find(struct engine *eng, const char *name, uint32_t *out_id, uint64_t *out_shape) {
    if (name == NULL || out_id == NULL)
        return GMK_EINVAL;
    hal_short_lock(&eng->channel_lock);
    struct channel *ch = find_locked(eng, name);
    if (ch != NULL)
        *out_id = ch->id;
    if (ch != NULL && out_shape != NULL)
        *out_shape = chan_shape(eng, ch->id);
    hal_short_unlock(&eng->channel_lock);
    return ch != NULL ? GMK_OK : GMK_ENOENT;
}

#define CHAN_OPTIONS (GMK_CHAN_FANOUT | GMK_CHAN_LOSSY | GMK_CHAN_REPLAY | GMK_CHAN_LOOSE)

static int check_open(struct engine *eng, const char *name, uint32_t type, uint32_t options,
                      uint32_t slots) {
    if (name == NULL || !module_name_fits(name))
        return GMK_EINVAL;
    bool system = module_chan_is_engines(name);
    if ((type == 0 && !system && !(options & GMK_CHAN_LOOSE)) || type >= GMK_TYPES_MAX)
        return GMK_EINVAL;
    if (options & ~(uint32_t)CHAN_OPTIONS)
        return GMK_EINVAL;
    if ((options & GMK_CHAN_LOSSY) && (options & GMK_CHAN_REPLAY))
        return GMK_EINVAL; /* what is kept until acknowledged cannot give way */
    if (slots < CHAN_SLOTS_MIN || slots > CHAN_SLOTS_MAX || (slots & (slots - 1)) != 0)
        return GMK_EINVAL;
    return find_locked(eng, name) != NULL ? GMK_EEXIST : GMK_OK;
}

/* A log whose cells say "not yet" for every position from `base` on. */
static union chan_cell *make_log(struct engine *eng, uint32_t slots, uint64_t base) {
    union chan_cell *cells = carve_take_log(&eng->arena.carve, slots * sizeof(*cells));
    for (uint64_t i = 0; cells != NULL && i < slots; i++) {
        union chan_cell *cell = &cells[(base + i) & (slots - 1)];
        atomic_store_explicit(&cell->half.turn, (uint32_t)(base + i), memory_order_relaxed);
    }
    return cells;
}

/* A text that never changes and never goes away, as traces and metrics need it: the name,
 * unless this id had another one before. */
static const char *label_of(struct channel *ch, const char *name) {
    if (ch->label[0] == '\0')
        memcpy(ch->label, name, strlen(name) + 1);
    return strcmp(ch->label, name) == 0 ? ch->label : "channel";
}

/* Everything but the shape, which opens it. */
static void fill(struct channel *ch, const char *name, uint32_t type, uint32_t options,
                 uint32_t slots, uint64_t bytes, uint64_t base) {
    ch->slots = slots;
    ch->bytes_max = bytes;
    ch->limit = shape_limit(shape_make(0, type, options, slots), false);
    ch->type = type;
    ch->options = options;
    ch->base = base;
    ch->delivered_before = 0;
    ch->dropped_before = 0;
    memcpy(ch->name, name, strlen(name) + 1);
    atomic_store_explicit(&ch->gate, base, memory_order_relaxed);
    atomic_store_explicit(&ch->urgent_end, base, memory_order_relaxed);
    atomic_store_explicit(&ch->refused, 0, memory_order_relaxed);
    atomic_store_explicit(&ch->bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&ch->room, NULL, memory_order_relaxed);
    atomic_store_explicit(&ch->tick, UINT64_MAX, memory_order_relaxed);
    /* Release pairs with claim(): who sees this tail does not see the last shape any more. */
    atomic_store_explicit(&ch->tail, base << CHAN_POS_SHIFT, memory_order_release);
}

static int open_locked(struct agent *a, const char *name, uint32_t type, uint32_t options,
                       uint32_t slots, uint64_t bytes, uint32_t *out_id) {
    struct engine *eng = a->eng;
    int status = check_open(eng, name, type, options, slots);
    if (bytes != 0 && (options & GMK_CHAN_REPLAY))
        status = GMK_EINVAL; /* what is taken stays: there the slots are the bound */
    if (status != GMK_OK)
        return status;
    uint32_t id = 1;
    while (id < GMK_CHANNELS_MAX && chan_at(eng, id) != NULL)
        id++;
    if (id == GMK_CHANNELS_MAX)
        return GMK_ELIMIT;

    struct channel *ch = &eng->channels[id];
    K_ASSERT(ch != NULL, "boot made the registry");
    /* Positions go on where the id's last channel ended, one lap further, so that a sender
     * that slept through its closing fails its claim. */
    uint64_t last = chan_pos(atomic_load_explicit(&ch->tail, memory_order_relaxed));
    uint64_t base = last != 0 || ch->opening != 0 ? last + slots : 0;
    ch->cells = make_log(eng, slots, base);
    if (ch->cells == NULL)
        return GMK_ENOMEM;
    if (type != 0 && !(options & GMK_CHAN_LOOSE))
        status = type_add(eng, type, NULL, label_of(ch, name), a->ctx->module);
    if (status != GMK_OK) {
        carve_give_log(&eng->arena.carve, ch->cells, slots * sizeof(*ch->cells));
        return status;
    }
    if (ch->opening == 0)
        ch->id = (uint16_t)id;
    fill(ch, name, type, options, slots, bytes, base);
    atomic_store_explicit(&ch->shape, shape_make(++ch->opening, type, options, slots),
                          memory_order_release);
    *out_id = id;
    trace_event(&a->trace, TRACE_OPEN, id);
    return GMK_OK;
}

int chan_open(struct agent *a, const char *name, uint32_t type, uint32_t options, uint32_t slots,
              uint64_t bytes, uint32_t *out_id) {
    struct engine *eng = a->eng;
    if (out_id == NULL)
        return GMK_EINVAL;
    hal_short_lock(&eng->channel_lock);
    int status = open_locked(a, name, type, options, slots != 0 ? slots : eng->cfg.channel_slots,
                             bytes, out_id);
    hal_short_unlock(&eng->channel_lock);
    return status;
}

void chan_release_if_done(struct engine *eng, struct channel *ch) {
    if (!chan_is_closed(ch) || atomic_load_explicit(&ch->live, memory_order_acquire) != 0 ||
        atomic_load_explicit(&ch->shape, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&ch->shape, 0, memory_order_release);
    carve_give_log(&eng->arena.carve, ch->cells, ch->slots * sizeof(*ch->cells));
}

int chan_close(struct agent *a, uint32_t id, uint64_t shape) {
    struct engine *eng = a->eng;
    hal_short_lock(&eng->channel_lock);
    struct channel *ch = shape == 0 || chan_shape(eng, id) == shape ? chan_at(eng, id) : NULL;
    int status = ch == NULL ? GMK_ENOENT : GMK_OK;
    if (ch != NULL) {
        /* C4: a subscription that goes idle sees it, or is seen idle by chan_nudge() below. */
        uint64_t before = atomic_fetch_or_explicit(&ch->tail, CHAN_CLOSED, memory_order_seq_cst);
        if (before & CHAN_CLOSED)
            status = GMK_ECLOSED;
        else
            chan_release_if_done(eng, ch);
    }
    hal_short_unlock(&eng->channel_lock);
    if (status != GMK_OK)
        return status;
    trace_event(&a->trace, TRACE_CLOSE, id);
    chan_nudge(a, ch);
    return GMK_OK;
}

/* Messages from `at` to the end of the log. */
static uint64_t distance(const struct channel *ch, uint64_t at) {
    uint64_t end = chan_end(ch);
    return end > at ? end - at : 0;
}

int chan_stats(struct engine *eng, uint32_t id, gmk_chan_stats_t *out) {
    int status = out == NULL ? GMK_EINVAL : GMK_ENOENT;
    hal_short_lock(&eng->channel_lock);
    struct channel *ch = out != NULL ? chan_at(eng, id) : NULL;
    if (ch != NULL) {
        uint64_t tail = atomic_load_explicit(&ch->tail, memory_order_acquire);
        *out = (gmk_chan_stats_t){
            .sent = chan_pos(tail) - ch->base,
            .delivered = ch->delivered_before,
            .dropped = ch->dropped_before,
            .refused = atomic_load_explicit(&ch->refused, memory_order_relaxed),
            .slots = ch->slots,
            .n_subs = chan_sub_count(tail),
            .type = ch->type,
            .name = ch->name,
        };
        CHAN_EACH_SUB(ch, sub) {
            uint64_t depth = distance(
                ch, atomic_load_explicit(ch->options & GMK_CHAN_REPLAY ? &sub->acked : &sub->cursor,
                                         memory_order_relaxed));
            out->delivered += atomic_load_explicit(&sub->delivered, memory_order_relaxed);
            out->dropped += atomic_load_explicit(&sub->dropped, memory_order_relaxed);
            out->depth = depth > out->depth ? depth : out->depth;
        }
        status = GMK_OK;
    }
    hal_short_unlock(&eng->channel_lock);
    return status;
}
