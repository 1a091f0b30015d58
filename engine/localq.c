/* Local queue: stealing, refilling and first state; the owner's hot paths are inline. */
#include "engine/localq.h"

size_t localq_bytes(uint32_t capacity) {
    if (capacity < LOCALQ_CAPACITY_MIN || capacity > LOCALQ_CAPACITY_MAX)
        return 0;
    if ((capacity & (capacity - 1)) != 0)
        return 0;
    /* Both terms are far below SIZE_MAX, and multiples of GMK_FALSE_SHARING. */
    return sizeof(struct localq) + (size_t)capacity * sizeof(gmk_task_t);
}

int localq_init_at(struct localq **out, void *memory, size_t bytes, uint32_t capacity,
                   uint64_t start) {
    size_t need = localq_bytes(capacity);

    if (out == NULL || memory == NULL || need == 0)
        return GMK_EINVAL;
    if ((uintptr_t)memory % GMK_FALSE_SHARING != 0)
        return GMK_EINVAL;
    if (bytes < need)
        return GMK_ENOMEM;

    struct localq *q = (struct localq *)memory;
    memset(q, 0, sizeof *q);
    q->slots = (gmk_task_t *)(void *)((unsigned char *)memory + sizeof *q);
    q->capacity = capacity;
    atomic_init(&q->head, localq_head_pack(start, 0));
    atomic_init(&q->tail, start & LOCALQ_POS_MASK);
    atomic_init(&q->newest_state, LOCALQ_NEWEST_NONE);
    *out = q;
    return GMK_OK;
}

int localq_init(struct localq **out, void *memory, size_t bytes, uint32_t capacity) {
    return localq_init_at(out, memory, bytes, capacity, 0);
}

/* How many to take of `available`, when `space` more than one fit: half, rounded up. */
static uint64_t steal_size(uint64_t available, uint64_t space) {
    uint64_t count = available - available / 2;

    if (count > LOCALQ_STEAL_MAX)
        count = LOCALQ_STEAL_MAX;
    return count > space + 1 ? space + 1 : count;
}

/* Claims tasks at the old end: *from is the first one's position. Returns how many. */
static uint64_t steal_claim(struct localq *victim, uint64_t space, uint64_t *from) {
    /* L4 pairs with L3: sees the owner's and former thieves' claims. Before L5, so that a
     * successful swap proves that everything up to that tail is still there. */
    uint64_t head = atomic_load_explicit(&victim->head, memory_order_acquire);

    for (;;) { /* repeats only when the owner popped meanwhile, at most once per task */
        if (localq_head_lag(head) != 0)
            return 0;
        /* L5 pairs with L2 in localq_push_n(): what tail admits has been written. */
        uint64_t tail = atomic_load_explicit(&victim->tail, memory_order_acquire);
        uint64_t real = localq_head_real(head);
        uint64_t available = (tail - real) & LOCALQ_POS_MASK;
        if (available == 0 || available > victim->capacity)
            return 0; /* empty, or head is outdated by more than a lap */
        uint64_t count = steal_size(available, space);
        /* L6 pairs with L3: each task is claimed by one swap. Failure reloads as L4. */
        if (atomic_compare_exchange_weak_explicit(&victim->head, &head,
                                                  localq_head_pack(real + count, count),
                                                  memory_order_acq_rel, memory_order_acquire)) {
            *from = real;
            return count;
        }
    }
}

size_t localq_steal(struct localq *victim, struct localq *into, gmk_task_t *first) {
    uint64_t from;
    uint64_t count = steal_claim(victim, localq_space(into), &from);

    if (count == 0)
        return 0;
    uint64_t tail = atomic_load_explicit(&into->tail, memory_order_relaxed); /* our own */
    *first = victim->slots[from & (victim->capacity - 1)];
    for (uint64_t i = 0; i + 1 < count; i++)
        into->slots[(tail + i) & (into->capacity - 1)] =
            victim->slots[(from + 1 + i) & (victim->capacity - 1)];

    uint64_t head = atomic_load_explicit(&victim->head, memory_order_relaxed);
    /* L7 pairs with L1 in localq_space(): the slots are read before they are given back. The
     * loop repeats only when the owner popped meanwhile, and then there is one task less. */
    while (!atomic_compare_exchange_weak_explicit(&victim->head, &head,
                                                  localq_head_pack(localq_head_real(head), 0),
                                                  memory_order_acq_rel, memory_order_relaxed)) {}
    /* L2, as in localq_push_n(). */
    atomic_store_explicit(&into->tail, (tail + count - 1) & LOCALQ_POS_MASK, memory_order_release);
    return (size_t)count;
}

size_t localq_refill(struct localq *q, struct ring_mpmc *ring, size_t max) {
    uint64_t space = localq_space(q);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed); /* our own */
    uint64_t index = tail & (q->capacity - 1);
    size_t want = space < max ? (size_t)space : max;
    size_t first = q->capacity - index < want ? (size_t)(q->capacity - index) : want;
    size_t got = ring_pop_n_mpmc(ring, &q->slots[index], first);

    if (got == first && first < want)
        got += ring_pop_n_mpmc(ring, q->slots, want - first);
    /* L2, as in localq_push_n(). */
    atomic_store_explicit(&q->tail, (tail + got) & LOCALQ_POS_MASK, memory_order_release);
    return got;
}
