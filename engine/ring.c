/* Ring: sizes and first state of both rings; everything hot is inline in the headers. */
#include "engine/ring_mpmc.h"
#include "engine/ring_spsc.h"

static bool capacity_is_good(uint64_t capacity, uint64_t least) {
    return capacity >= least && capacity <= RING_CAPACITY_MAX && (capacity & (capacity - 1)) == 0;
}

static size_t round_up(size_t bytes) {
    return (bytes + GMK_FALSE_SHARING - 1) & ~(size_t)(GMK_FALSE_SHARING - 1);
}

/* Is this a place for `need` bytes? need == 0 means that the shape was refused. */
static int check_memory(const void *out, const void *memory, size_t bytes, size_t need) {
    if (out == NULL || memory == NULL || need == 0)
        return GMK_EINVAL;
    if ((uintptr_t)memory % GMK_FALSE_SHARING != 0)
        return GMK_EINVAL;
    return bytes < need ? GMK_ENOMEM : GMK_OK;
}

size_t ring_spsc_bytes(uint64_t capacity, size_t elem_size) {
    const size_t header = sizeof(struct ring_spsc);

    if (!capacity_is_good(capacity, 1) || elem_size == 0 || elem_size > RING_ELEM_SIZE_MAX)
        return 0;
    /* Would the product, or the rounding after it, pass the end of size_t? */
    if (capacity > (SIZE_MAX - header - GMK_FALSE_SHARING) / elem_size)
        return 0;
    return round_up(header + (size_t)capacity * elem_size);
}

int ring_spsc_init_at(struct ring_spsc **out, void *memory, size_t bytes, uint64_t capacity,
                      size_t elem_size, uint64_t start) {
    int status = check_memory(out, memory, bytes, ring_spsc_bytes(capacity, elem_size));
    if (status != GMK_OK)
        return status;

    struct ring_spsc *ring = (struct ring_spsc *)memory;
    ring->push_slots = ring->pop_slots = (unsigned char *)memory + sizeof *ring;
    ring->push_capacity = ring->pop_capacity = capacity;
    ring->tail_seen = ring->head_seen = start;
    atomic_init(&ring->head, start);
    atomic_init(&ring->tail, start);
    *out = ring;
    return GMK_OK;
}

int ring_spsc_init(struct ring_spsc **out, void *memory, size_t bytes, uint64_t capacity,
                   size_t elem_size) {
    return ring_spsc_init_at(out, memory, bytes, capacity, elem_size, 0);
}

size_t ring_mpmc_bytes(uint64_t capacity) {
    const size_t header = sizeof(struct ring_mpmc);
    const size_t each = sizeof(union ring_cell) + sizeof(uint32_t);

    if (!capacity_is_good(capacity, RING_MPMC_CAPACITY_MIN))
        return 0;
    if (capacity > (SIZE_MAX - header - GMK_FALSE_SHARING) / each)
        return 0;
    return round_up(header + (size_t)capacity * each);
}

int ring_mpmc_init_at(struct ring_mpmc **out, void *memory, size_t bytes, uint64_t capacity,
                      uint64_t start) {
    int status = check_memory(out, memory, bytes, ring_mpmc_bytes(capacity));
    if (status != GMK_OK)
        return status;

    struct ring_mpmc *ring = (struct ring_mpmc *)memory;
    ring->cells = (union ring_cell *)(void *)((unsigned char *)memory + sizeof *ring);
    ring->freed = (_Atomic uint32_t *)(void *)(ring->cells + capacity);
    ring->capacity = capacity;
    for (uint64_t i = 0; i < capacity; i++) {
        uint64_t pos = start + i; /* the first position that this cell will serve */
        uint64_t index = pos & (capacity - 1);
        memset(&ring->cells[index], 0, sizeof ring->cells[index]);
        atomic_init(&ring->cells[index].turn, (uint32_t)(pos + 1 - capacity));
        atomic_init(&ring->freed[index], (uint32_t)pos);
    }
    atomic_init(&ring->push_pos, start);
    atomic_init(&ring->free_until, start);
    atomic_init(&ring->pop_pos, start);
    *out = ring;
    return GMK_OK;
}

int ring_mpmc_init(struct ring_mpmc **out, void *memory, size_t bytes, uint64_t capacity) {
    return ring_mpmc_init_at(out, memory, bytes, capacity, 0);
}
