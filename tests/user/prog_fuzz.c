/* Fuzzed: threads that make random system calls with hostile arguments, until their share is done or
 * their unit has killed itself. fuzz_sys.c watches from outside.
 *
 * Arguments are drawn from what is most likely to hurt: handles that exist, existed and never did;
 * good pointers, pointers to nothing, to the kernel, across the end; small, page-sized and absurd
 * lengths. Everything comes from one seed (argument 1) and the thread's number. */
#include "tests/user/fuzz_sys.h"

#include "lib/rand.h"
#include "user/lib/memory.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"
#include "user/lib/thread.h"

#include <stdatomic.h>

static struct fuzz_page *page;
static uint64_t seed;
static _Alignas(
    4096) uint64_t scratch[1024]; /* what pointers point at: filled with more of the same */

static const uint16_t numbers[] = {
#define FUZZ_NUMBER(name, number, t0, r0, t1, r1, args, what) number,
    GMK_SYSCALL_LIST(FUZZ_NUMBER)
#undef FUZZ_NUMBER
};
#define NUMBERS (sizeof numbers / sizeof numbers[0])

static uint64_t random_handle(struct rand_state *r) {
    switch (rand_next(r) % 16) {
    case 0:
        return rand_next(r);
    case 1:
        return 0;
    case 2:
    case 3:
    case 4:
        return GMK_HANDLE(rand_next(r) % 64, 1 + rand_next(r) % 4);
    default: /* most likely there */
        return GMK_HANDLE(1 + rand_next(r) % 24, 1);
    }
}

static uint64_t random_pointer(struct rand_state *r) {
    static const uint64_t bad[] = {0,
                                   8,
                                   UINT64_C(0xffffffff80200000),
                                   UINT64_C(0xffff800000000000),
                                   UINT64_C(0x800000000000),
                                   GMK_USER_MAX - 8,
                                   GMK_USER_MAX,
                                   UINT64_MAX - 7,
                                   UINT64_C(0x7ffffff00000)};
    if (rand_next(r) % 3 == 0)
        return bad[rand_next(r) % (sizeof bad / sizeof bad[0])];
    return (uintptr_t)scratch + rand_next(r) % sizeof scratch;
}

static uint64_t random_number(struct rand_state *r) {
    static const uint64_t some[] = {0,
                                    1,
                                    2,
                                    3,
                                    4,
                                    7,
                                    8,
                                    4095,
                                    4096,
                                    4097,
                                    65536,
                                    1u << 20,
                                    UINT64_C(1) << 32,
                                    UINT64_C(1) << 47,
                                    INT64_MAX,
                                    UINT64_MAX,
                                    UINT64_MAX - 4095};
    uint64_t kind = rand_next(r) % 4;
    if (kind == 0)
        return rand_next(r) % 64;
    if (kind == 1)
        return (rand_next(r) % 64) << 12;
    return some[rand_next(r) % (sizeof some / sizeof some[0])];
}

static uint64_t random_argument(struct rand_state *r, unsigned place) {
    if (place == 0)
        return random_handle(r) | (rand_next(r) % 4 == 0 ? rand_next(r) << 32 : 0);
    switch (rand_next(r) % 3) {
    case 0:
        return random_handle(r);
    case 1:
        return random_pointer(r);
    default:
        return random_number(r);
    }
}

/* Waits shall end: no random timeout is longer than this. */
#define TIMEOUT_MAX_NS UINT64_C(200000)
static void bound_timeout(unsigned number, uint64_t a[6], struct rand_state *r) {
    uint64_t timeout = rand_next(r) % TIMEOUT_MAX_NS;
    switch (number) {
    case GMK_SYS_IPC_SEND:
    case GMK_SYS_IPC_RECV:
    case GMK_SYS_IPC_CALL:
    case GMK_SYS_IPC_REPLY_RECV:
        a[1] = timeout;
        break;
    case GMK_SYS_WORD_WAIT:
    case GMK_SYS_NOTIFY_WAIT:
    case GMK_SYS_CHAN_SEND:
    case GMK_SYS_CHAN_RECV:
        a[2] = timeout;
        break;
    case GMK_SYS_NOTIFY_SIGNAL_WAIT:
        a[4] = timeout;
        break;
    default:
        break;
    }
}

static void fuzz(void *arg) {
    struct rand_state r = rand_seed(seed * 64 + (uintptr_t)arg);
    for (unsigned i = 0; i < FUZZ_ROUND_CALLS / FUZZ_THREADS; i++) {
        unsigned number = numbers[rand_next(&r) % NUMBERS];
        uint64_t a[6];
        for (unsigned n = 0; n < 6; n++)
            a[n] = random_argument(&r, n);
        for (unsigned n = 0; n < 4; n++)
            scratch[rand_next(&r) % 1024] = random_argument(&r, n);
        /* The end of a life is worth a try, but not the usual thing. */
        bool ends = number == GMK_SYS_EXIT || number == GMK_SYS_UNIT_KILL ||
                    number == GMK_SYS_THREAD_KILL || number == GMK_SYS_MEMORY_UNMAP;
        if (ends && rand_next(&r) % 512 != 0)
            continue;
        bound_timeout(number, a, &r);
        uint64_t token = rand_next(&r) % 8 == 0 ? rand_next(&r) << 32 : 0;
        int64_t result = syscall6(SYSCALL_NUMBER(number) | (token & INT64_MAX), a[0], a[1], a[2],
                                  a[3], a[4], a[5]);
        atomic_fetch_add_explicit(&page->calls, 1, memory_order_relaxed);
        if (result >= 0)
            atomic_fetch_add_explicit(&page->passed, 1, memory_order_relaxed);
    }
}

/* One of each kind to begin with; the calls make more. */
static void make_objects(void) {
    int64_t notify = sys_notify_create(GMK_SELF_FACTORY);
    (void)sys_port_create(GMK_SELF_FACTORY);
    (void)sys_timer_create(GMK_SELF_FACTORY, (gmk_handle_t)notify, 1);
    (void)sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, 16 * 4096);
    (void)sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_WIRED, 2 * 4096);
    (void)sys_factory_split(GMK_SELF_FACTORY, 16, 8);
    gmk_chan_args_t args = {.name = "fuzz", .type = 1, .slots = 16};
    (void)sys_chan_create(handle_find("registry"), GMK_SELF_FACTORY, &args);
    (void)sys_chan_open(handle_find("registry"), GMK_SELF_FACTORY, "fuzz", 4, GMK_RIGHT_READ);
}

int main(int argc, char **argv) {
    int64_t at = memory_map_at(GMK_SELF_UNIT, handle_find("page"), 0, 0, 4096,
                               GMK_PROT_READ | GMK_PROT_WRITE);
    if (argc < 2 || at < 0 || !text_number(argv[1], &seed))
        return 1;
    page = (struct fuzz_page *)at;
    make_objects();
    struct thread *threads[FUZZ_THREADS];
    for (uintptr_t i = 1; i < FUZZ_THREADS; i++)
        if (thread_start(&threads[i], "fuzz", GMK_PRIORITY_NORMAL, 0, fuzz, (void *)i) != GMK_OK)
            return 2;
    fuzz(NULL);
    return 0; /* and with it the others */
}
