/* Free bits: the lock-free heart under the block and slab caches.
 *
 * Problem: threads exchange free blocks with a shared pool, in batches, without a lock
 * and without the ABA trouble of linked free lists.
 * Idea: a free block is a set bit in a 64-bit word. Taking up to 64 blocks is one atomic
 * AND, giving up to 64 back is one atomic OR. There is no link to go stale, and a thread
 * that stops in the middle holds up nobody.
 * On top lies a summary ("set"): one bit per word or per group of words says "may have
 * free bits". It is a hint that must never be wrong in one direction: if a free bit
 * stays, its summary bit must be set. Giver and taker therefore meet crosswise:
 *     giver:  OR into word   (G1)   then look at summary  (G2)
 *     taker:  clear summary  (T1)   then look at word     (T2)
 * All four are seq_cst: either the giver sees the summary cleared and sets it again, or
 * the taker sees the new free bit and sets it again. A plain release/acquire pair would
 * allow both to look too early, and the block would be forgotten.
 * Any thread may call anything here. Each operation is one atomic instruction (or a
 * compare-and-swap loop that repeats only when another thread changed the same word).
 *
 * GNU extension: __builtin_ctzll, one instruction on every target, for "lowest set bit". */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BITS_PER_WORD 64u

static inline unsigned bits_lowest(uint64_t word) {
    return (unsigned)__builtin_ctzll(word);
}

/* The lowest `want` set bits of `word`, or all if there are not so many. */
static inline uint64_t bits_first(uint64_t word, unsigned want) {
    uint64_t rest = word;
    if (want >= BITS_PER_WORD)
        return word;
    for (; want != 0 && rest != 0; want--)
        rest &= rest - 1;
    return word ^ rest;
}

static inline unsigned bits_count(uint64_t word) {
    unsigned count = 0;
    for (; word != 0; word &= word - 1)
        count++;
    return count;
}

/* Takes at most `want` set bits and returns those it got: they are now the caller's. */
static inline uint64_t bits_take(_Atomic uint64_t *word, unsigned want) {
    uint64_t mask = bits_first(atomic_load_explicit(word, memory_order_relaxed), want);
    if (mask == 0)
        return 0;
    /* Pairs with G1: what the giver did to the block happened before we own it. */
    return atomic_fetch_and_explicit(word, ~mask, memory_order_acquire) & mask;
}

/* Gives bits back and makes the summary show them. */
static inline void bits_give(_Atomic uint64_t *word, uint64_t mask, _Atomic uint64_t *summary,
                             uint64_t summary_bit) {
    /* G1 pairs with bits_take() (contents) and with T2 (the summary is never lost). */
    atomic_fetch_or_explicit(word, mask, memory_order_seq_cst);
    /* G2 pairs with T1. */
    if ((atomic_load_explicit(summary, memory_order_seq_cst) & summary_bit) == 0)
        atomic_fetch_or_explicit(summary, summary_bit, memory_order_seq_cst);
}

/* A taker found nothing under this summary bit: hides it. bits_recall() must follow. */
static inline void bits_hide(_Atomic uint64_t *summary, uint64_t summary_bit) {
    /* T1 pairs with G2. */
    atomic_fetch_and_explicit(summary, ~summary_bit, memory_order_seq_cst);
}

/* Shows the summary bit again if a giver was faster than bits_hide(). */
static inline void bits_recall(_Atomic uint64_t *words, unsigned count, _Atomic uint64_t *summary,
                               uint64_t summary_bit) {
    for (unsigned i = 0; i < count; i++) {
        /* T2 pairs with G1. */
        if (atomic_load_explicit(&words[i], memory_order_seq_cst) == 0)
            continue;
        atomic_fetch_or_explicit(summary, summary_bit, memory_order_seq_cst);
        return;
    }
}
