/* Ring peers: the contestants of the ring contest, ours and other people's.
 *
 * DPDK's rings are used as a program without DPDK's environment layer would use them:
 * rte_ring_init on its own memory, the _elem calls with 48-byte elements. Concurrency Kit's
 * rings have no bulk calls, so its batches are loops. `cell` is written here: the plain
 * Vyukov queue with one 64-byte cell per line and try operations, as rigtorp::MPMCQueue and
 * others implement it, to stand for that family. */
#pragma once

#include <ck_ring.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "ring_contest.h"

/* ---- ours ------------------------------------------------------------------------ */

static void *gmk_spsc_make(uint32_t capacity) {
    struct ring_spsc *ring;
    size_t bytes = ring_spsc_bytes(capacity, sizeof(struct message));
    if (ring_spsc_init(&ring, contest_memory(bytes), bytes, capacity, sizeof(struct message)))
        abort();
    return ring;
}
RING_INLINE size_t gmk_spsc_push(void *r, const struct message *m) {
    return ring_push_spsc(r, m, sizeof *m);
}
RING_INLINE size_t gmk_spsc_pop(void *r, struct message *m) {
    return ring_pop_spsc(r, m, sizeof *m);
}
RING_INLINE size_t gmk_spsc_push_n(void *r, const struct message *m, size_t n) {
    return ring_push_n_spsc(r, m, n, sizeof *m);
}
RING_INLINE size_t gmk_spsc_pop_n(void *r, struct message *m, size_t n) {
    return ring_pop_n_spsc(r, m, n, sizeof *m);
}
RING_CONTEST(gmk_spsc, "ggmk", struct message, word[0]);

static void *gmk_mpmc_make(uint32_t capacity) {
    struct ring_mpmc *ring;
    size_t bytes = ring_mpmc_bytes(capacity);
    if (ring_mpmc_init(&ring, contest_memory(bytes), bytes, capacity))
        abort();
    return ring;
}
RING_INLINE size_t gmk_mpmc_push(void *r, const gmk_task_t *m) {
    return ring_push_mpmc(r, m);
}
RING_INLINE size_t gmk_mpmc_pop(void *r, gmk_task_t *m) {
    return ring_pop_mpmc(r, m);
}
RING_INLINE size_t gmk_mpmc_push_n(void *r, const gmk_task_t *m, size_t n) {
    return ring_push_n_mpmc(r, m, n);
}
RING_INLINE size_t gmk_mpmc_pop_n(void *r, gmk_task_t *m, size_t n) {
    return ring_pop_n_mpmc(r, m, n);
}
RING_CONTEST(gmk_mpmc, "ggmk", gmk_task_t, meta0);

/* ---- DPDK ------------------------------------------------------------------------ */

static void *dpdk_make(uint32_t capacity, unsigned flags) {
    size_t bytes = (size_t)rte_ring_get_memsize_elem(sizeof(struct message), capacity);
    struct rte_ring *ring = contest_memory(bytes);
    if (rte_ring_init(ring, "contest", capacity, flags) != 0)
        abort();
    return ring;
}
static void *dpdk_spsc_make(uint32_t capacity) {
    return dpdk_make(capacity, RING_F_SP_ENQ | RING_F_SC_DEQ);
}
RING_INLINE size_t dpdk_spsc_push_n(void *r, const struct message *m, size_t n) {
    return rte_ring_sp_enqueue_burst_elem(r, m, sizeof *m, (unsigned)n, NULL);
}
RING_INLINE size_t dpdk_spsc_pop_n(void *r, struct message *m, size_t n) {
    return rte_ring_sc_dequeue_burst_elem(r, m, sizeof *m, (unsigned)n, NULL);
}
RING_INLINE size_t dpdk_spsc_push(void *r, const struct message *m) {
    return rte_ring_sp_enqueue_elem(r, (void *)(uintptr_t)m, sizeof *m) == 0;
}
RING_INLINE size_t dpdk_spsc_pop(void *r, struct message *m) {
    return rte_ring_sc_dequeue_elem(r, m, sizeof *m) == 0;
}
RING_CONTEST(dpdk_spsc, "dpdk", struct message, word[0]);

static void *dpdk_mpmc_make(uint32_t capacity) {
    return dpdk_make(capacity, 0);
}
RING_INLINE size_t dpdk_mpmc_push_n(void *r, const struct message *m, size_t n) {
    return rte_ring_mp_enqueue_burst_elem(r, m, sizeof *m, (unsigned)n, NULL);
}
RING_INLINE size_t dpdk_mpmc_pop_n(void *r, struct message *m, size_t n) {
    return rte_ring_mc_dequeue_burst_elem(r, m, sizeof *m, (unsigned)n, NULL);
}
RING_INLINE size_t dpdk_mpmc_push(void *r, const struct message *m) {
    return rte_ring_mp_enqueue_elem(r, (void *)(uintptr_t)m, sizeof *m) == 0;
}
RING_INLINE size_t dpdk_mpmc_pop(void *r, struct message *m) {
    return rte_ring_mc_dequeue_elem(r, m, sizeof *m) == 0;
}
RING_CONTEST(dpdk_mpmc, "dpdk", struct message, word[0]);

/* ---- Concurrency Kit --------------------------------------------------------------- */

CK_RING_PROTOTYPE(contest, message)

struct ck_both {
    struct ck_ring ring;
    struct message slots[];
};

static void *ck_spsc_make(uint32_t capacity) {
    struct ck_both *both = contest_memory(sizeof *both + capacity * sizeof(struct message));
    ck_ring_init(&both->ring, capacity);
    return both;
}
RING_INLINE size_t ck_spsc_push(void *r, const struct message *m) {
    struct ck_both *both = r;
    return ck_ring_enqueue_spsc_contest(&both->ring, both->slots, (void *)(uintptr_t)m);
}
RING_INLINE size_t ck_spsc_pop(void *r, struct message *m) {
    struct ck_both *both = r;
    return ck_ring_dequeue_spsc_contest(&both->ring, both->slots, m);
}
RING_INLINE size_t ck_spsc_push_n(void *r, const struct message *m, size_t n) {
    size_t done = 0;
    while (done < n && ck_spsc_push(r, m + done))
        done++;
    return done;
}
RING_INLINE size_t ck_spsc_pop_n(void *r, struct message *m, size_t n) {
    size_t done = 0;
    while (done < n && ck_spsc_pop(r, m + done))
        done++;
    return done;
}
RING_CONTEST(ck_spsc, "ck_ring", struct message, word[0]);

#define ck_mpmc_make ck_spsc_make
RING_INLINE size_t ck_mpmc_push(void *r, const struct message *m) {
    struct ck_both *both = r;
    return ck_ring_enqueue_mpmc_contest(&both->ring, both->slots, (void *)(uintptr_t)m);
}
RING_INLINE size_t ck_mpmc_pop(void *r, struct message *m) {
    struct ck_both *both = r;
    return ck_ring_dequeue_mpmc_contest(&both->ring, both->slots, m);
}
RING_INLINE size_t ck_mpmc_push_n(void *r, const struct message *m, size_t n) {
    size_t done = 0;
    while (done < n && ck_mpmc_push(r, m + done))
        done++;
    return done;
}
RING_INLINE size_t ck_mpmc_pop_n(void *r, struct message *m, size_t n) {
    size_t done = 0;
    while (done < n && ck_mpmc_pop(r, m + done))
        done++;
    return done;
}
RING_CONTEST(ck_mpmc, "ck_ring", struct message, word[0]);

/* ---- one cell per line, Vyukov ------------------------------------------------------- */

struct cell_slot {
    alignas(64) _Atomic uint64_t turn;
    struct message message;
};
struct cell_ring {
    alignas(128) struct cell_slot *slots;
    uint64_t mask;
    alignas(128) _Atomic uint64_t push_pos;
    alignas(128) _Atomic uint64_t pop_pos;
};

static void *cell_make(uint32_t capacity) {
    struct cell_ring *ring = contest_memory(sizeof *ring);
    ring->slots = contest_memory(capacity * sizeof(struct cell_slot));
    ring->mask = capacity - 1;
    for (uint32_t i = 0; i < capacity; i++)
        atomic_init(&ring->slots[i].turn, i);
    atomic_init(&ring->push_pos, 0);
    atomic_init(&ring->pop_pos, 0);
    return ring;
}
RING_INLINE size_t cell_push(void *r, const struct message *m) {
    struct cell_ring *ring = r;
    uint64_t pos = atomic_load_explicit(&ring->push_pos, memory_order_relaxed);
    for (;;) {
        struct cell_slot *slot = &ring->slots[pos & ring->mask];
        uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        if (turn == pos) {
            if (atomic_compare_exchange_weak_explicit(&ring->push_pos, &pos, pos + 1,
                                                      memory_order_relaxed, memory_order_relaxed)) {
                slot->message = *m;
                atomic_store_explicit(&slot->turn, pos + 1, memory_order_release);
                return 1;
            }
        } else if ((int64_t)(turn - pos) < 0) {
            return 0;
        } else {
            pos = atomic_load_explicit(&ring->push_pos, memory_order_relaxed);
        }
    }
}
RING_INLINE size_t cell_pop(void *r, struct message *m) {
    struct cell_ring *ring = r;
    uint64_t pos = atomic_load_explicit(&ring->pop_pos, memory_order_relaxed);
    for (;;) {
        struct cell_slot *slot = &ring->slots[pos & ring->mask];
        uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        if (turn == pos + 1) {
            if (atomic_compare_exchange_weak_explicit(&ring->pop_pos, &pos, pos + 1,
                                                      memory_order_relaxed, memory_order_relaxed)) {
                *m = slot->message;
                atomic_store_explicit(&slot->turn, pos + ring->mask + 1, memory_order_release);
                return 1;
            }
        } else if ((int64_t)(turn - pos - 1) < 0) {
            return 0;
        } else {
            pos = atomic_load_explicit(&ring->pop_pos, memory_order_relaxed);
        }
    }
}
RING_INLINE size_t cell_push_n(void *r, const struct message *m, size_t n) {
    size_t done = 0;
    while (done < n && cell_push(r, m + done))
        done++;
    return done;
}
RING_INLINE size_t cell_pop_n(void *r, struct message *m, size_t n) {
    size_t done = 0;
    while (done < n && cell_pop(r, m + done))
        done++;
    return done;
}
RING_CONTEST(cell, "cell_per_line", struct message, word[0]);
