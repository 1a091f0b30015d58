/* Allocator benchmark: block caches and bump regions beside glibc, jemalloc and mimalloc.
 *
 * Method: every contestant runs the same loop, in turn, round by round, so that a change
 * of clock speed meets all of them; the two threads are pinned to two CPUs; the result is
 * the median of the rounds with the least and the greatest. The peers are opened with
 * RTLD_LOCAL and called through a pointer, as a program calls a shared library. Our
 * allocator appears twice: "ggmk-call" through the same kind of pointer and with its cache
 * in thread-local storage, as they keep theirs; "ggmk" inline, as the engine uses it.
 *
 * Jobs (M operations/s of all threads together, an operation is one alloc and its free):
 *     pair48_1t, pair48_2t     one block of 48 bytes at a time
 *     burst48_1t               64 blocks, then all of them back
 *     random_1t                256 slots, a random one is freed and refilled with 1..2048 bytes
 *     remote48                 one thread allocates, another frees; pointers through a ring, in batches
 *     remote48_touch           the same, each block written by one and read by the other
 *     bump32                   1024 pieces of 32 bytes, then a reset; beside a pointer moved by hand
 *     bump32_touch             the same, a word of each piece is written
 * Output: job,contestant,median,min,max,unit
 * Usage: alloc_bench [rounds] [milliseconds per run] [job prefix] */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engine/arena.h"

#define ROUNDS_MAX  101
#define RING_SLOTS  1024u
#define BATCH       64u
#define CHECK_EVERY 256u /* pairs between two looks at the clock */

enum kind { PEER, OURS_CALL, OURS_INLINE };

struct contestant {
    const char *name;
    enum kind kind;
    void *(*alloc)(size_t size);
    void (*free)(void *ptr);
    double rate[ROUNDS_MAX];
};

static struct arena arena;
static _Thread_local struct block_cache *my_cache;
static uint64_t run_ns;

static void *ours_alloc(size_t size) {
    return block_alloc(my_cache, size, 0);
}
static void ours_free(void *ptr) {
    block_free(my_cache, ptr);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The compiler must believe that somebody looks at the pointer and at memory. */
static inline void use(void *ptr) {
    __asm__ volatile("" : : "r"(ptr) : "memory");
}

static inline void *get(const struct contestant *c, enum kind kind, struct block_cache *cache,
                        size_t size) {
    return kind == OURS_INLINE ? block_alloc(cache, size, 0) : c->alloc(size);
}
static inline void put(const struct contestant *c, enum kind kind, struct block_cache *cache,
                       void *ptr) {
    if (kind == OURS_INLINE)
        block_free(cache, ptr);
    else
        c->free(ptr);
}

/* ---- One thread ------------------------------------------------------------------- */

static inline void pairs(const struct contestant *c, enum kind kind, struct block_cache *cache,
                         unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        void *ptr = get(c, kind, cache, 48);
        use(ptr);
        put(c, kind, cache, ptr);
    }
}
static inline void bursts(const struct contestant *c, enum kind kind, struct block_cache *cache,
                          unsigned count) {
    void *held[64];
    for (unsigned i = 0; i < count; i += 64) {
        for (unsigned k = 0; k < 64; k++) {
            held[k] = get(c, kind, cache, 48);
            use(held[k]);
        }
        for (unsigned k = 0; k < 64; k++)
            put(c, kind, cache, held[k]);
    }
}
static _Thread_local void *slots[256];
static _Thread_local uint32_t dice;
static inline void randoms(const struct contestant *c, enum kind kind, struct block_cache *cache,
                           unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        dice = dice * 1664525u + 1013904223u;
        void **slot = &slots[dice >> 24];
        if (*slot != NULL)
            put(c, kind, cache, *slot);
        *slot = get(c, kind, cache, 1 + ((dice >> 8) & 2047u));
        use(*slot);
    }
}
static inline void randoms_end(const struct contestant *c, enum kind kind,
                               struct block_cache *cache) {
    for (unsigned i = 0; i < 256; i++) {
        if (slots[i] != NULL)
            put(c, kind, cache, slots[i]);
        slots[i] = NULL;
    }
}

/* A loop for each way to call, so that the choice is made once and not per operation. */
#define DEFINE_RUN(name, body, end)                                               \
    static uint64_t name(const struct contestant *c, struct block_cache *cache) { \
        uint64_t done = 0;                                                        \
        uint64_t stop = now_ns() + run_ns;                                        \
        while (now_ns() < stop) {                                                 \
            for (unsigned k = 0; k < 16; k++, done += CHECK_EVERY) {              \
                if (c->kind == OURS_INLINE)                                       \
                    body(c, OURS_INLINE, cache, CHECK_EVERY);                     \
                else                                                              \
                    body(c, PEER, cache, CHECK_EVERY);                            \
            }                                                                     \
        }                                                                         \
        end;                                                                      \
        return done;                                                              \
    }
DEFINE_RUN(run_pairs, pairs, (void)0)
DEFINE_RUN(run_bursts, bursts, (void)0)
DEFINE_RUN(run_randoms, randoms, randoms_end(c, c->kind, cache))

/* ---- Two threads -------------------------------------------------------------------- */

struct ring {
    _Alignas(128) _Atomic uint32_t head; /* written by the producer */
    _Alignas(128) _Atomic uint32_t tail; /* written by the consumer */
    _Alignas(128) void *slot[RING_SLOTS];
};
static struct ring ring;
static _Atomic int stopped;
static bool touching;

static inline void produce(const struct contestant *c, enum kind kind, struct block_cache *cache) {
    uint32_t head = 0;
    uint32_t seen = 0;
    while (!atomic_load_explicit(&stopped, memory_order_relaxed)) {
        while (head - seen > RING_SLOTS - BATCH) {
            seen = atomic_load_explicit(&ring.tail, memory_order_acquire);
            if (atomic_load_explicit(&stopped, memory_order_relaxed))
                break;
        }
        if (head - seen > RING_SLOTS - BATCH)
            break;
        for (unsigned i = 0; i < BATCH; i++) {
            uint64_t *ptr = get(c, kind, cache, 48);
            if (ptr == NULL)
                abort();
            if (touching)
                *ptr = head + i;
            ring.slot[(head + i) % RING_SLOTS] = ptr;
        }
        head += BATCH;
        atomic_store_explicit(&ring.head, head, memory_order_release);
    }
    atomic_store_explicit(&stopped, 2, memory_order_release);
}

static inline uint64_t consume(const struct contestant *c, enum kind kind,
                               struct block_cache *cache) {
    uint32_t tail = 0;
    uint64_t done = 0;
    for (;;) {
        int over = atomic_load_explicit(&stopped, memory_order_acquire);
        uint32_t head = atomic_load_explicit(&ring.head, memory_order_acquire);
        if (head == tail) {
            if (over == 2)
                return done;
            continue;
        }
        for (; tail != head; tail++) {
            uint64_t *ptr = ring.slot[tail % RING_SLOTS];
            if (touching && *ptr != tail)
                abort();
            put(c, kind, cache, ptr);
            done++;
            if (tail % BATCH == BATCH - 1)
                atomic_store_explicit(&ring.tail, tail + 1, memory_order_release);
        }
    }
}

struct thread_job {
    const struct contestant *c;
    int cpu;
    bool remote;
    uint64_t done;
    pthread_barrier_t *start;
};

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static void *second_thread(void *arg) {
    struct thread_job *job = arg;
    pin(job->cpu);
    my_cache = arena_block_cache(&arena, 1);
    pthread_barrier_wait(job->start);
    if (!job->remote)
        job->done = run_pairs(job->c, my_cache);
    else if (job->c->kind == OURS_INLINE)
        job->done = consume(job->c, OURS_INLINE, my_cache);
    else
        job->done = consume(job->c, PEER, my_cache);
    block_cache_flush(my_cache);
    return NULL;
}

static void *stopper(void *arg) {
    (void)arg;
    struct timespec pause = {.tv_sec = (time_t)(run_ns / 1000000000u),
                             .tv_nsec = (long)(run_ns % 1000000000u)};
    nanosleep(&pause, NULL);
    int running = 0;
    atomic_compare_exchange_strong(&stopped, &running, 1);
    return NULL;
}

static double two_threads(const struct contestant *c, bool remote) {
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    struct thread_job job = {.c = c, .cpu = 1, .remote = remote, .start = &start};
    pthread_t thread;
    pthread_t clock;
    atomic_store(&stopped, 0);
    atomic_store(&ring.head, 0);
    atomic_store(&ring.tail, 0);
    if (pthread_create(&thread, NULL, second_thread, &job) != 0)
        abort();
    pthread_barrier_wait(&start);
    uint64_t begin = now_ns();
    uint64_t done = 0;
    if (remote) {
        if (pthread_create(&clock, NULL, stopper, NULL) != 0)
            abort();
        if (c->kind == OURS_INLINE)
            produce(c, OURS_INLINE, my_cache);
        else
            produce(c, PEER, my_cache);
        pthread_join(clock, NULL);
    } else {
        done = run_pairs(c, my_cache);
    }
    pthread_join(thread, NULL);
    uint64_t spent = now_ns() - begin;
    pthread_barrier_destroy(&start);
    return (double)(done + job.done) * 1e3 / (double)spent;
}

static double one_thread(const struct contestant *c,
                         uint64_t (*run)(const struct contestant *, struct block_cache *)) {
    uint64_t begin = now_ns();
    uint64_t done = run(c, my_cache);
    return (double)done * 1e3 / (double)(now_ns() - begin);
}

static double job_pair_1t(const struct contestant *c) {
    return one_thread(c, run_pairs);
}
static double job_pair_2t(const struct contestant *c) {
    return two_threads(c, false);
}
static double job_burst(const struct contestant *c) {
    return one_thread(c, run_bursts);
}
static double job_random(const struct contestant *c) {
    return one_thread(c, run_randoms);
}
static double job_remote(const struct contestant *c) {
    touching = false;
    return two_threads(c, true);
}
static double job_remote_touch(const struct contestant *c) {
    touching = true;
    return two_threads(c, true);
}

/* ---- Bump ----------------------------------------------------------------------------- */

#define BUMP_PER_TICK 1024u
#define BUMP_PIECE    32u

/* What one writes by hand: a pointer that moves, no check, no counter; and the same with
 * rounding and a limit. */
struct bare {
    char *at;
    char *base;
    char *limit;
};
static struct bare bare;

static inline void *bare_alloc(struct bare *b, size_t size) {
    char *piece = b->at;
    b->at = piece + size;
    return piece;
}

static inline void *plain_alloc(struct bare *b, size_t size, size_t align) {
    char *piece = (char *)(((uintptr_t)b->at + (align - 1)) & ~(uintptr_t)(align - 1));
    if (size > (size_t)(b->limit - piece))
        return NULL;
    b->at = piece + size;
    return piece;
}

static inline void use_piece(void *piece, bool touch) {
    if (touch)
        *(uint64_t *)piece = 1;
    use(piece);
}

/* Ticks of BUMP_PER_TICK allocations until the time is over; the rate in M/s. */
#define DEFINE_BUMP(name, touch, alloc, reset)                         \
    static double name(const struct contestant *c) {                   \
        struct bump *bump = arena_bump(&arena, 0);                     \
        uint64_t begin = now_ns();                                     \
        uint64_t done = 0;                                             \
        (void)c;                                                       \
        bare.base = bump_base(bump);                                   \
        bare.limit = bare.base + (size_t)BUMP_PER_TICK * BUMP_PIECE;   \
        for (uint64_t stop = begin + run_ns; now_ns() < stop;) {       \
            for (unsigned k = 0; k < 16; k++, done += BUMP_PER_TICK) { \
                for (unsigned i = 0; i < BUMP_PER_TICK; i++)           \
                    use_piece(alloc, touch);                           \
                (reset);                                               \
            }                                                          \
        }                                                              \
        return (double)done * 1e3 / (double)(now_ns() - begin);        \
    }
#define DEFINE_BUMPS(alloc, name, reset)   \
    DEFINE_BUMP(name, false, alloc, reset) \
    DEFINE_BUMP(name##_touch, true, alloc, reset)
DEFINE_BUMPS(bump_alloc(bump, BUMP_PIECE, 16), bump_ours, bump_reset(bump))
DEFINE_BUMPS(plain_alloc(&bare, BUMP_PIECE, 16), bump_plain, bare.at = bare.base)
DEFINE_BUMPS(bare_alloc(&bare, BUMP_PIECE), bump_bare, bare.at = bare.base)

/* ---- Running and printing ---------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(const char *job, struct contestant *c, int rounds) {
    qsort(c->rate, (size_t)rounds, sizeof c->rate[0], by_value);
    printf("%s,%s,%.1f,%.1f,%.1f,M/s\n", job, c->name, c->rate[rounds / 2], c->rate[0],
           c->rate[rounds - 1]);
    fflush(stdout);
}

static bool add_peer(struct contestant *c, const char *name, const char *package,
                     const char *library) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        printf("# skipped: %s (alloc_bench): %s\n", package, dlerror());
        return false;
    }
    /* POSIX says that a symbol's address may be a function; ISO C lacks the cast. */
    *(void **)(void *)&c->alloc = dlsym(handle, "malloc");
    *(void **)(void *)&c->free = dlsym(handle, "free");
    c->name = name;
    c->kind = PEER;
    return c->alloc != NULL && c->free != NULL;
}

static unsigned contestants(struct contestant *list) {
    unsigned n = 0;
    list[n++] = (struct contestant){.name = "glibc", .kind = PEER, .alloc = malloc, .free = free};
    n += add_peer(&list[n], "jemalloc", "libjemalloc2", "libjemalloc.so.2");
    n += add_peer(&list[n], "mimalloc", "libmimalloc2.0", "libmimalloc.so.2");
    list[n++] = (struct contestant){
        .name = "ggmk-call", .kind = OURS_CALL, .alloc = ours_alloc, .free = ours_free};
    list[n++] = (struct contestant){
        .name = "ggmk", .kind = OURS_INLINE, .alloc = ours_alloc, .free = ours_free};
    return n;
}

static void on_corruption(const char *what, void *block) {
    fprintf(stderr, "alloc_bench: %s (%p)\n", what, block);
    abort();
}

static void make_arena(void) {
    size_t size = ARENA_SIZE_DEFAULT;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct arena_cfg cfg = {
        .n_bumps = 2, .n_caches = 4, .zeroed = true, .on_corruption = on_corruption};
    if (memory == MAP_FAILED || arena_init(&arena, memory, size, &cfg) != GMK_OK) {
        fprintf(stderr, "alloc_bench: no arena of %zu bytes\n", size);
        exit(1);
    }
}

static void run_job(const char *name, const char *only, double (*job)(const struct contestant *),
                    struct contestant *list, unsigned n, int rounds) {
    if (strncmp(name, only, strlen(only)) != 0)
        return;
    for (int round = -1; round < rounds; round++) /* the first round warms up and is not counted */
        for (unsigned i = 0; i < n; i++) {
            double rate = job(&list[i]);
            if (round >= 0)
                list[i].rate[round] = rate;
        }
    for (unsigned i = 0; i < n; i++)
        print_result(name, &list[i], rounds);
}

static void run_bump(const char *name, const char *only, bool touch, int rounds) {
    static struct contestant list[] = {
        {.name = "private, no check"}, {.name = "private, checked"}, {.name = "ggmk"}};
    static double (*const jobs[2][3])(const struct contestant *) = {
        {bump_bare, bump_plain, bump_ours}, {bump_bare_touch, bump_plain_touch, bump_ours_touch}};
    if (strncmp(name, only, strlen(only)) != 0)
        return;
    for (int round = -1; round < rounds; round++)
        for (unsigned i = 0; i < 3; i++) {
            double rate = jobs[touch][i](&list[i]);
            if (round >= 0)
                list[i].rate[round] = rate;
        }
    for (unsigned i = 0; i < 3; i++)
        print_result(name, &list[i], rounds);
}

/* jemalloc's thread-local block must fit beside ours: the loader reads how much room to leave
 * only at start, so start once more with the wish set. */
static void make_room_for_tls(char **argv) {
    if (getenv("GLIBC_TUNABLES") != NULL)
        return;
    setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 1);
    execv("/proc/self/exe", argv);
    perror("alloc_bench: cannot start again, jemalloc may be left out");
}

int main(int argc, char **argv) {
    make_room_for_tls(argv);
    static struct contestant list[5];
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 9;
    int ms = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 30;
    const char *only = argc > 3 ? argv[3] : "";
    if (rounds < 1 || rounds > ROUNDS_MAX || ms < 1) {
        fprintf(stderr, "usage: alloc_bench [rounds 1..%d] [milliseconds] [job prefix]\n",
                ROUNDS_MAX);
        return 2;
    }
    run_ns = (uint64_t)ms * 1000000u;
    pin(0);
    make_arena();
    my_cache = arena_block_cache(&arena, 0);
    unsigned n = contestants(list);
    run_job("pair48_1t", only, job_pair_1t, list, n, rounds);
    run_job("pair48_2t", only, job_pair_2t, list, n, rounds);
    run_job("burst48_1t", only, job_burst, list, n, rounds);
    run_job("random_1t", only, job_random, list, n, rounds);
    run_job("remote48", only, job_remote, list, n, rounds);
    run_job("remote48_touch", only, job_remote_touch, list, n, rounds);
    run_bump("bump32", only, false, rounds);
    run_bump("bump32_touch", only, true, rounds);
    return 0;
}
