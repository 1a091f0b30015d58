/* Heap: a bounded priority queue of tasks by due time, for the timed queue.
 *
 * The smallest (due_ns, order) is always first. `order` is a number that the caller counts
 * up, so tasks due at the same time come out in the order they went in. Both are compared
 * in all their 64 bits: a short or wrapping order once let late tasks overtake.
 *
 * The idea. Sifting moves elements around, and a task is 64 bytes. So the heap holds small
 * nodes (24 bytes: the two keys and an index), and the tasks stay where they were put. It is
 * four-ary: half the depth of a binary heap, and the four children share a cache line or two.
 *
 * Invariants (heap_check() asserts them):
 *   1. nodes[(i-1)/4] is not greater than nodes[i], for 0 < i < count.
 *   2. nodes[0 .. capacity-1].task are the numbers 0 .. capacity-1 in some order: those below
 *      `count` are in use, the rest are free. So there is no free list to keep.
 *
 * Push and pop take at most log4(capacity) steps: 10 for a million. No allocation: the caller
 * gives memory. Not thread-safe: one owner, or the caller's lock. Cancelling one element in
 * the middle is not offered; a handler can find its task pointless when it fires. */
#pragma once

#include "ggmk/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t due_ns;
    uint64_t order;
    uint32_t task; /* index into tasks[] */
};

struct heap {
    struct heap_node *nodes;
    gmk_task_t *tasks;
    uint32_t count;
    uint32_t capacity; /* constant after heap_init() */
};

/* Bytes of memory that a heap of `capacity` needs; SIZE_MAX if that is not a size. */
size_t heap_bytes(uint32_t capacity);

/* Makes an empty heap in `memory`: heap_bytes(capacity) bytes, aligned to GMK_CACHE_LINE.
 * With a capacity of 0 it is always both empty and full. */
void heap_init(struct heap *heap, void *memory, uint32_t capacity);

/* Puts a copy of *task in. False when full: nothing changed. */
bool heap_push(struct heap *heap, uint64_t due_ns, uint64_t order, const gmk_task_t *task);

/* Due time of the first task. False when empty. */
bool heap_peek_due(const struct heap *heap, uint64_t *due_ns);

/* Copies the first task and leaves it in. False when empty: *task is untouched. */
bool heap_peek(const struct heap *heap, gmk_task_t *task);

/* Takes the first task out. False when empty: *task is untouched. */
bool heap_pop(struct heap *heap, gmk_task_t *task);

/* Takes out every task for which `fn(task, arg)` returns true; the order of the calls is
 * undefined, fn may change its copy and must not use the heap. */
void heap_remove_if(struct heap *heap, bool (*fn)(gmk_task_t *task, void *arg), void *arg);

static inline uint32_t heap_count(const struct heap *heap) {
    return heap->count;
}

/* True while the invariants hold. Slow (capacity squared / 2 in the worst case): for tests. */
bool heap_check(const struct heap *heap);
