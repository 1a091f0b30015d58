/* Frames at boot: builds the spans, and cuts them when the NUMA nodes become known.
 *
 * The descriptors are the truth: a span's bitmap is made from the owners that they name, at
 * boot and once more when a span is cut. Runs on the boot CPU, IF off, before others exist. */
#include "kernel/mem/frame_span.h"
#include "ggmk/log.h"

size_t frame_span_bytes(uint64_t count) {
    return bitmap_words(count) * sizeof(uint64_t);
}

/* Sets the bits of free frames, run by run. */
static void span_fill(struct frame_span *span) {
    span->free = 0;
    for (uint64_t i = 0; i < span->count; i++) {
        uint64_t first = i;
        while (i < span->count && frame_at(span->first + i)->owner == FRAME_FREE)
            i++;
        if (i != first) {
            bitmap_set_range(&span->map, first, i);
            span->free += i - first;
        }
    }
}

void frame_span_add(uint64_t first, uint64_t count, void *bitmap) {
    K_ASSERT(frame_span_count < FRAME_SPANS_MAX, "spans fit: mem_init() counted them");
    if (frame_span_count == 0) {
        for (unsigned i = 0; i < FRAME_NODES_MAX; i++) {
            spin_init(&frame_nodes[i].lock, LOCK_FRAMES);
            frame_nodes[i].order_count = 1; /* node 0 */
        }
    }
    struct frame_span *span = &frame_spans[frame_span_count++];
    *span = (struct frame_span){.first = first, .count = count};
    bitmap_init(&span->map, bitmap, count);
    span_fill(span);
    atomic_fetch_add_explicit(&frame_unclaimed, (int64_t)span->free, memory_order_relaxed);
}

/* Before spans exist the owner is only noted; the accounts start with it. */
void frame_boot_owner(paddr_t base, paddr_t end, enum frame_owner owner) {
    for (paddr_t at = base; at < end; at += PAGE_SIZE)
        frame_at(at >> PAGE_SHIFT)->owner = (uint8_t)owner;
    frame_account(owner, (int64_t)((end - base) >> PAGE_SHIFT));
}

uint64_t frame_boot_release(paddr_t base, paddr_t end) {
    uint64_t count = 0;
    for (paddr_t at = base; at < end; at += PAGE_SIZE) {
        struct frame *frame = frame_of(at);
        if (frame == NULL || frame->owner != FRAME_RESERVED)
            continue;
        frame_account(FRAME_RESERVED, -1);
        frame_account(FRAME_OTHER, 1);
        frame->owner = FRAME_OTHER;
        frame_free_run(at, 1);
        count++;
    }
    return count;
}

/* ---- NUMA -------------------------------------------------------------------------------- */

/* The node of a frame, and in *end where the next part may begin. Unclaimed memory is node 0's. */
static uint32_t node_of(const struct frame_part *parts, unsigned count, uint64_t number,
                        uint64_t *end) {
    uint64_t stop = UINT64_MAX;
    for (unsigned i = 0; i < count; i++) {
        uint64_t base = parts[i].base >> PAGE_SHIFT, last = parts[i].end >> PAGE_SHIFT;
        if (number >= base && number < last) {
            *end = last;
            return parts[i].node;
        }
        if (base > number && base < stop)
            stop = base;
    }
    *end = stop;
    return 0;
}

/* Cuts all spans into *out; returns how many there are, 0 when they do not fit. */
static unsigned cut(const struct frame_part *parts, unsigned count, struct frame_span *out,
                    size_t *bytes) {
    unsigned made = 0;
    *bytes = 0;
    for (unsigned i = 0; i < frame_span_count; i++) {
        uint64_t at = frame_spans[i].first, end = at + frame_spans[i].count;
        while (at < end) {
            uint64_t stop;
            uint32_t node = node_of(parts, count, at, &stop);
            if (stop > end)
                stop = end;
            if (made == FRAME_SPANS_MAX)
                return 0;
            out[made++] = (struct frame_span){.first = at, .count = stop - at, .node = node};
            *bytes += frame_span_bytes(stop - at);
            at = stop;
        }
    }
    return made;
}

/* The bitmaps that mem_init() made are not freed: they lie in its own memory, and a first call is
 * the last. */
bool frame_numa_split(const struct frame_part *parts, unsigned count) {
    static struct frame_span made[FRAME_SPANS_MAX];
    size_t bytes;
    unsigned spans = cut(parts, count, made, &bytes);
    if (spans == 0)
        return false;
    size_t frames = (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
    paddr_t run = frame_alloc_run(frames, PAGE_SIZE, 0, FRAME_META); /* empties the cache first */
    if (run == 0)
        return false;
    uint64_t *memory = arch_phys(run);
    for (unsigned i = 0; i < spans; i++) {
        struct frame_span *span = &made[i];
        bitmap_init(&span->map, memory, span->count);
        memory += bitmap_words(span->count);
        for (uint64_t n = 0; n < span->count; n++)
            frame_at(span->first + n)->node = (uint8_t)span->node;
        span_fill(span);
    }
    memcpy(frame_spans, made, spans * sizeof made[0]);
    frame_span_count = spans;
    return true;
}

void frame_numa_order(unsigned node, const uint8_t *distance, unsigned nodes) {
    struct frame_node *home = &frame_nodes[node];
    home->order_count = 0;
    for (unsigned i = 0; i < nodes; i++) { /* insertion by (distance, not itself, number) */
        unsigned at = home->order_count++;
        for (; at > 0; at--) {
            unsigned before = home->order[at - 1];
            if (before == node || (i != node && distance[before] <= distance[i]))
                break;
            home->order[at] = (uint8_t)before;
        }
        home->order[at] = (uint8_t)i;
    }
}
