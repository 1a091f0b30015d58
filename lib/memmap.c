/* Memory map: a sorted list of disjoint ranges, onto which each new one is painted. */
#include "lib/memmap.h"

#include <string.h>

static uint64_t lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Puts a range at place i. False, and counted: the table is full. */
static bool insert(struct memmap *map, uint32_t i, struct memmap_range range) {
    if (map->count == MEMMAP_MAX) {
        map->dropped++;
        return false;
    }
    memmove(&map->at[i + 1], &map->at[i], (map->count - i) * sizeof map->at[0]);
    map->at[i] = range;
    map->count++;
    return true;
}

/* Cuts entry i in two at `where`, which is inside it. False: no room, it stays whole. */
static bool split(struct memmap *map, uint32_t i, uint64_t where) {
    struct memmap_range lower = map->at[i];
    lower.end = where;
    if (!insert(map, i, lower))
        return false;
    map->at[i + 1].base = where;
    return true;
}

/* Gives the part [base, end) of entry i the new kind; returns the place of that part. */
static uint32_t repaint(struct memmap *map, uint32_t i, uint64_t base, uint64_t end,
                        uint32_t kind) {
    if (map->at[i].base < base && split(map, i, base))
        i++;
    if (end < map->at[i].end)
        (void)split(map, i, end);
    struct memmap_range *range = &map->at[i];
    bool exact = range->base == base && range->end == end;
    if (exact || range->kind < kind)
        range->kind = kind;
    return i;
}

/* Joins neighbours of one kind, drops what is empty. */
static void merge(struct memmap *map) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < map->count; i++) {
        struct memmap_range range = map->at[i];
        struct memmap_range *last = kept == 0 ? NULL : &map->at[kept - 1];
        if (range.base >= range.end)
            continue;
        if (last != NULL && last->end == range.base && last->kind == range.kind)
            last->end = range.end;
        else
            map->at[kept++] = range;
    }
    map->count = kept;
}

/* Walks from `base` to `end`, over gaps, which are filled, and entries, which take the new kind
 * where `replace` is set or it is stronger. Each turn leaves one gap or entry behind. */
static void paint(struct memmap *map, uint64_t base, uint64_t end, uint32_t kind, bool replace) {
    uint32_t i = 0;
    while (i < map->count && map->at[i].end <= base)
        i++;
    bool overlaps = false;
    for (uint64_t at = base, stop; at < end; at = stop) {
        if (i == map->count || at < map->at[i].base) {
            stop = i == map->count ? end : lesser(end, map->at[i].base);
            bool doubtful = kind == MEMMAP_RAM && map->dropped > 0;
            if (!doubtful && insert(map, i, (struct memmap_range){at, stop, kind}))
                i++;
            continue;
        }
        overlaps = true;
        stop = lesser(end, map->at[i].end);
        if (replace ? map->at[i].kind != kind : map->at[i].kind < kind)
            i = repaint(map, i, at, stop, kind);
        i++;
    }
    map->overlaps += overlaps && !replace;
    merge(map);
}

/* The end of a range; one past 2^64 is cut to the last byte that a 64-bit end can name. */
static uint64_t end_of(struct memmap *map, uint64_t base, uint64_t size) {
    uint64_t room = UINT64_MAX - base;
    map->empties += size == 0;
    map->wrapped += size > 0 && size - 1 > room;
    return base + lesser(size, room);
}

void memmap_add(struct memmap *map, uint64_t base, uint64_t size, uint32_t kind) {
    paint(map, base, end_of(map, base, size), kind, false);
}

void memmap_claim(struct memmap *map, uint64_t base, uint64_t size, uint32_t kind) {
    paint(map, base, end_of(map, base, size), kind, true);
}

void memmap_finish(struct memmap *map) {
    for (uint32_t i = 0; i < map->count; i++) {
        struct memmap_range *range = &map->at[i];
        if (range->kind == MEMMAP_RAM) {
            uint64_t over = range->base % MEMMAP_FRAME;
            uint64_t up = over == 0 ? 0 : MEMMAP_FRAME - over;
            range->base += lesser(up, range->end - range->base);
            range->end -= lesser(range->end % MEMMAP_FRAME, range->end - range->base);
        }
    }
    merge(map);
}
