/* Memory: the map that is told to the kernel, and its page tables. */
#include "boot/limine/testload/testload.h"

#define RANGES_MAX 64u
#define PAGE       4096ull
#define LARGE      0x200000ull
#define ADDRESS    0x000ffffffffff000ull

static struct limine_range ranges[RANGES_MAX];
static unsigned range_count;

void memory_add(uint64_t base, uint64_t length, uint64_t type) {
    if (range_count == RANGES_MAX)
        die("too many ranges of memory");
    if (type == 0) { /* usable: whole pages */
        uint64_t end = (base + length) & ~(PAGE - 1);
        base = (base + PAGE - 1) & ~(PAGE - 1);
        if (end <= base)
            return;
        length = end - base;
    }
    ranges[range_count++] = (struct limine_range){base, length, type};
}

void memory_carve(uint64_t base, uint64_t length, uint64_t type) {
    uint64_t end = (base + length + PAGE - 1) & ~(PAGE - 1);
    base &= ~(PAGE - 1);
    unsigned count = range_count;
    for (unsigned i = 0; i < count; i++) {
        struct limine_range *range = &ranges[i];
        uint64_t range_end = range->base + range->length;
        if (range->type != 0 || range->base >= end || range_end <= base)
            continue;
        range->length = range->base < base ? base - range->base : 0;
        if (range_end > end)
            memory_add(end, range_end - end, 0);
    }
    memory_add(base, end - base, type);
}

struct limine_memmap *memory_answer(void) {
    for (unsigned i = 1; i < range_count; i++) {
        for (unsigned j = i; j > 0 && ranges[j].base < ranges[j - 1].base; j--) {
            struct limine_range swap = ranges[j];
            ranges[j] = ranges[j - 1];
            ranges[j - 1] = swap;
        }
    }
    struct limine_memmap *answer = keep(sizeof(*answer));
    struct limine_range **list = keep(RANGES_MAX * sizeof(*list));
    for (unsigned i = 0; i < range_count; i++) {
        struct limine_range *entry = keep(sizeof(*entry));
        *entry = ranges[i];
        if (entry->length != 0)
            list[answer->count++] = (void *)((uint64_t)entry + HHDM);
    }
    answer->entries = (void *)((uint64_t)list + HHDM);
    return answer;
}

/* The entry of `virtual` at a level (0: 4 KiB pages), tables made on the way. */
static uint64_t *entry_of(uint64_t virtual, unsigned level) {
    if (final_tables == 0)
        final_tables = (uint64_t)keep(PAGE);
    uint64_t *table = (void *)final_tables;
    for (unsigned at = 3;; at--) {
        uint64_t *entry = &table[virtual >> (12 + 9 * at) & 511];
        if (at == level)
            return entry;
        if (*entry == 0)
            *entry = (uint64_t)keep(PAGE) | 3;
        table = (void *)(*entry & ADDRESS);
    }
}

void map(uint64_t virtual, uint64_t physical, uint64_t size, unsigned rights) {
    uint64_t bits =
        1 | ((rights & MAP_WRITE) != 0 ? 2u : 0) | ((rights & MAP_EXEC) != 0 ? 0 : 1ull << 63);
    uint64_t end = (physical + size + PAGE - 1) & ~(PAGE - 1);
    virtual &= ~(PAGE - 1);
    physical &= ~(PAGE - 1);
    while (physical < end) {
        bool large = ((virtual | physical) & (LARGE - 1)) == 0 && end - physical >= LARGE;
        *entry_of(virtual, large ? 1 : 0) = physical | bits | (large ? 0x80 : 0);
        virtual += large ? LARGE : PAGE;
        physical += large ? LARGE : PAGE;
    }
}

/* "Base Revision 3": usable, bootloader reclaimable, executable and modules, framebuffer. */
void map_direct(void) {
    for (unsigned i = 0; i < range_count; i++) {
        const struct limine_range *range = &ranges[i];
        if (range->type == 0 || range->type == 5 || range->type == 6)
            map(HHDM + range->base, range->base, range->length, MAP_WRITE | MAP_EXEC);
    }
}
