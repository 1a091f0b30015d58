/* Heap: sifting in a four-ary heap of small nodes. See heap.h. */
#include "lib/heap.h"

#define WAYS ((size_t)4)

size_t heap_bytes(uint32_t capacity) {
    size_t each = sizeof(gmk_task_t) + sizeof(struct heap_node);
    return capacity > SIZE_MAX / each ? SIZE_MAX : capacity * each;
}

/* Tasks first: they need the alignment, and their size keeps the nodes aligned. */
void heap_init(struct heap *heap, void *memory, uint32_t capacity) {
    heap->tasks = memory;
    heap->nodes = (struct heap_node *)(void *)(heap->tasks + capacity);
    heap->count = 0;
    heap->capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++) {
        heap->nodes[i].task = i;
    }
}

static inline bool before(const struct heap_node *a, const struct heap_node *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

/* Moves the hole at `at` up until `node` fits into it. */
static void sift_up(struct heap_node *nodes, size_t at, struct heap_node node) {
    while (at > 0) {
        size_t parent = (at - 1) / WAYS;
        if (!before(&node, &nodes[parent])) {
            break;
        }
        nodes[at] = nodes[parent];
        at = parent;
    }
    nodes[at] = node;
}

/* The smallest of the children first .. end-1; there is at least one. */
static size_t smallest_child(const struct heap_node *nodes, size_t first, size_t end) {
    size_t best = first;
    for (size_t i = first + 1; i < end; i++) {
        if (before(&nodes[i], &nodes[best])) {
            best = i;
        }
    }
    return best;
}

/* Moves the hole at the top down until `node` fits into it; `count` nodes are in use. */
static void sift_down(struct heap_node *nodes, size_t count, struct heap_node node) {
    size_t at = 0;
    for (size_t first = 1; first < count; first = at * WAYS + 1) {
        size_t end = first + WAYS < count ? first + WAYS : count;
        size_t child = smallest_child(nodes, first, end);
        if (!before(&nodes[child], &node)) {
            break;
        }
        nodes[at] = nodes[child];
        at = child;
    }
    nodes[at] = node;
}

bool heap_push(struct heap *heap, uint64_t due_ns, uint64_t order, const gmk_task_t *task) {
    if (heap->count == heap->capacity) {
        return false;
    }
    struct heap_node node = {
        .due_ns = due_ns, .order = order, .task = heap->nodes[heap->count].task};
    heap->tasks[node.task] = *task;
    sift_up(heap->nodes, heap->count, node);
    heap->count++;
    return true;
}

bool heap_peek_due(const struct heap *heap, uint64_t *due_ns) {
    if (heap->count == 0) {
        return false;
    }
    *due_ns = heap->nodes[0].due_ns;
    return true;
}

bool heap_pop(struct heap *heap, gmk_task_t *task) {
    if (heap->count == 0) {
        return false;
    }
    uint32_t freed = heap->nodes[0].task;
    *task = heap->tasks[freed];
    heap->count--;
    struct heap_node last = heap->nodes[heap->count];
    if (heap->count > 0) {
        sift_down(heap->nodes, heap->count, last);
    }
    heap->nodes[heap->count].task = freed; /* the free part begins here now */
    return true;
}

static bool each_task_once(const struct heap *heap) {
    for (uint32_t i = 0; i < heap->capacity; i++) {
        uint32_t task = heap->nodes[i].task;
        if (task >= heap->capacity) {
            return false;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (heap->nodes[j].task == task) {
                return false;
            }
        }
    }
    return true;
}

bool heap_check(const struct heap *heap) {
    if (heap->count > heap->capacity) {
        return false;
    }
    for (size_t i = 1; i < heap->count; i++) {
        if (before(&heap->nodes[i], &heap->nodes[(i - 1) / WAYS])) {
            return false;
        }
    }
    return each_task_once(heap);
}

bool heap_peek(const struct heap *heap, gmk_task_t *task) {
    if (heap->count == 0) {
        return false;
    }
    *task = heap->tasks[heap->nodes[0].task];
    return true;
}

void heap_remove_if(struct heap *heap, bool (*fn)(gmk_task_t *task, void *arg), void *arg) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < heap->count; i++) {
        struct heap_node node = heap->nodes[i];
        gmk_task_t task = heap->tasks[node.task];
        if (fn(&task, arg)) {
            continue;
        }
        /* The kept one moves down, the removed one's index up: every index stays in use once. */
        heap->nodes[i] = heap->nodes[kept];
        heap->nodes[kept] = node;
        kept++;
    }
    heap->count = kept;
    for (uint32_t i = 1; i < kept; i++) {
        sift_up(heap->nodes, i, heap->nodes[i]);
    }
}
