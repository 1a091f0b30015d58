/* Standard library for tests in the guest: memory over the kernel's heap, sorting, numbers. */
#include <stdlib.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>

#include "kernel/core/panic.h"
#include "kernel/mem/heap.h"
#include "lib/checked.h"
#include "tests/kernel/lib/runner.h"

/* ---- Memory -------------------------------------------------------------------------------------
 * In front of each block stands what free() and realloc() must know. Large blocks have sizes of
 * powers of two, and one of each size is kept when it is freed, as a C library does: to give its
 * pages back takes an answer of every CPU, and on a busy host an emulated CPU takes long to answer. */

struct header {
    void *whole; /* what kmalloc() gave */
    size_t size; /* bytes that the caller may use */
};
#define LEAST_ALIGN 16u
_Static_assert(sizeof(struct header) == LEAST_ALIGN, "the block after it keeps its alignment");

#define KEPT_LEAST 4096u         /* smaller blocks are not kept */
static _Atomic(void *) kept[64]; /* by the logarithm of kmalloc_size() */

static _Atomic(void *) *kept_place(size_t whole_size) {
    return &kept[63 - __builtin_clzll(whole_size)];
}

static void *take_whole(size_t size) {
    if (size < KEPT_LEAST)
        return kmalloc(size);
    size = (size_t)1 << (64 - __builtin_clzll(size - 1));
    void *whole = atomic_exchange(kept_place(size), NULL);
    return whole != NULL ? whole : kmalloc(size);
}

static void give_whole(void *whole) {
    size_t size = kmalloc_size(whole);
    kfree(size < KEPT_LEAST ? whole : atomic_exchange(kept_place(size), whole));
}

void stdlib_trim(void) {
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        kfree(atomic_exchange(&kept[i], NULL));
}

void *aligned_alloc(size_t align, size_t size) {
    size_t whole_size;
    align = align < LEAST_ALIGN ? LEAST_ALIGN : align;
    if (!checked_add(size, align + sizeof(struct header), &whole_size) || whole_size > SIZE_MAX / 2)
        return NULL;
    char *whole = take_whole(whole_size);
    if (whole == NULL)
        return NULL;
    uintptr_t block = ((uintptr_t)whole + sizeof(struct header) + align - 1) & ~(align - 1);
    ((struct header *)block)[-1] = (struct header){.whole = whole, .size = size};
    return (void *)block;
}

void *malloc(size_t size) {
    return aligned_alloc(LEAST_ALIGN, size);
}

void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (!checked_mul(count, size, &bytes))
        return NULL;
    void *block = malloc(bytes);
    return block == NULL ? NULL : memset(block, 0, bytes);
}

void free(void *block) {
    if (block != NULL)
        give_whole(((struct header *)block)[-1].whole);
}

void *realloc(void *block, size_t size) {
    void *larger = malloc(size);
    if (larger == NULL || block == NULL)
        return larger;
    size_t old = ((struct header *)block)[-1].size;
    memcpy(larger, block, old < size ? old : size);
    free(block);
    return larger;
}

/* ---- Sorting ----------------------------------------------------------------------------------- */

static void swap_bytes(char *a, char *b, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char byte = a[i];
        a[i] = b[i];
        b[i] = byte;
    }
}

typedef int (*compare_fn)(const void *a, const void *b);

/* Lets the item at `at` sink to its place among `count`: below no smaller one. */
static void sink_down(char *items, size_t at, size_t count, size_t size, compare_fn compare) {
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && compare(items + child * size, items + (child + 1) * size) < 0)
            child++;
        if (compare(items + at * size, items + child * size) >= 0)
            return;
        swap_bytes(items + at * size, items + child * size, size);
    }
}

/* Heap sort: no recursion, no memory, n log n always. */
void qsort(void *base, size_t count, size_t size, compare_fn compare) {
    char *items = base;
    for (size_t i = count / 2; i-- > 0;)
        sink_down(items, i, count, size, compare);
    for (size_t end = count; end-- > 1;) {
        swap_bytes(items, items + end * size, size);
        sink_down(items, 0, end, size, compare);
    }
}

void *bsearch(const void *key, const void *base, size_t count, size_t size, compare_fn compare) {
    const char *items = base;
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(key, items + middle * size);
        if (order == 0)
            return (void *)(uintptr_t)(items + middle * size);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- Numbers and ends ---------------------------------------------------------------------------- */

/* Digits of base 10; *at moves behind them. */
static uint64_t digits(const char **at) {
    uint64_t value = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++)
        value = value * 10 + (uint64_t)(**at - '0');
    return value;
}

unsigned long long strtoull(const char *text, char **end, int base) {
    const char *at = text;
    K_ASSERT(base == 10, "tests read decimal numbers only");
    uint64_t value = digits(&at);
    if (end != NULL)
        *end = (char *)(uintptr_t)at;
    return value;
}

double strtod(const char *text, char **end) {
    bool minus = *text == '-';
    const char *first = text + minus, *at = first;
    uint64_t whole = digits(&at);
    size_t seen = (size_t)(at - first);
    if (*at == '.') {
        const char *fraction = ++at;
        whole += digits(&at) != 0;
        seen += (size_t)(at - fraction);
    }
    if (seen != 0 && *at == 'e') {
        at += at[1] == '+' || at[1] == '-' ? 2 : 1;
        (void)digits(&at);
    }
    *end = (char *)(uintptr_t)(seen != 0 ? at : text);
    return minus ? -(int64_t)whole : (int64_t)whole;
}

char *getenv(const char *name) {
    (void)name;
    return NULL;
}

void abort(void) {
    panic("a test called abort()");
}

void exit(int status) {
    fail_msg("the program called exit(%d)", status);
}

/* Compilers divide numbers of 128 bits by calling this. One bit of the result per turn. */
__uint128_t __udivti3(__uint128_t a, __uint128_t b);
__uint128_t __udivti3(__uint128_t a, __uint128_t b) {
    __uint128_t rest = 0;
    for (unsigned i = 0; i < 128; i++) {
        rest = rest << 1 | a >> 127;
        a <<= 1;
        if (rest >= b) {
            rest -= b;
            a |= 1;
        }
    }
    return a;
}
