/* Pairs: how the throughput of calls grows with CPUs: independent pairs of client and server, one pair
 * for each CPU asked for, each bound to its CPU.
 *
 * init=bench/pairs init-arg=PAIRS. Prints nanoseconds per call over all pairs: half as many with two
 * CPUs is twice the throughput. */
#include "user/lib/ipc.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#define PAIRS_MAX  16u
#define MEASURE_NS UINT64_C(1000000000)

static void need(int64_t status, const char *what) {
    if (status < 0)
        program_die("%s: %s", what, gmk_strerror((int)status));
}

struct pair {
    gmk_handle_t port;
    _Alignas(128) uint64_t calls;
    struct thread *client, *server;
};
static struct pair pairs[PAIRS_MAX];
static _Atomic bool ends;

static void serve(void *arg) {
    struct pair *pair = arg;
    struct ipc m = {0};
    int status = ipc_recv(pair->port, &m, GMK_FOREVER);
    while (status == GMK_OK && GMK_TAG_LABEL(m.tag) == 0)
        status = ipc_reply_recv(pair->port, &m, GMK_FOREVER);
    if (status == GMK_OK)
        (void)ipc_reply(&m);
}

static void ask(void *arg) {
    struct pair *pair = arg;
    struct ipc m = {0};
    while (!atomic_load_explicit(&ends, memory_order_relaxed)) {
        m.tag = 0;
        need(ipc_call(pair->port, &m, GMK_FOREVER), "call");
        pair->calls++;
    }
    m.tag = GMK_TAG(1, 0, 0);
    need(ipc_call(pair->port, &m, GMK_FOREVER), "call");
}

static void start(struct thread **thread, unsigned cpu, void (*fn)(void *), void *arg) {
    gmk_sched_args_t bound = {.priority = GMK_PRIORITY_NORMAL, .affinity = UINT64_C(1) << cpu};
    need(thread_start(thread, "pair", GMK_PRIORITY_NORMAL, 0, fn, arg), "thread");
    need(sys_thread_sched((*thread)->handle, &bound), "affinity");
}

int main(int argc, char **argv) {
    unsigned count = argc > 1 ? (unsigned)(argv[1][0] - '0') : 1;
    for (unsigned i = 0; i < count && i < PAIRS_MAX; i++) {
        int64_t port = sys_port_create(GMK_SELF_FACTORY);
        need(port, "port");
        pairs[i].port = (gmk_handle_t)port;
        start(&pairs[i].server, i, serve, &pairs[i]);
        start(&pairs[i].client, i, ask, &pairs[i]);
    }
    int64_t notify = sys_notify_create(GMK_SELF_FACTORY);
    need(notify, "notification");
    uint64_t from = (uint64_t)sys_time(), bits, calls = 0;
    (void)sys_notify_wait((gmk_handle_t)notify, 1, MEASURE_NS, &bits);
    atomic_store_explicit(&ends, true, memory_order_relaxed);
    uint64_t took = (uint64_t)sys_time() - from;
    for (unsigned i = 0; i < count; i++) {
        thread_join(pairs[i].client);
        thread_join(pairs[i].server);
        calls += pairs[i].calls;
    }
    uint64_t each = took * 1000 / (calls == 0 ? 1 : calls); /* in thousandths */
    print("bench pair-ps-per-call p50 %llu worst %llu\n", (unsigned long long)each,
          (unsigned long long)each);
    (void)sys_system_power(GMK_INIT_SYSTEM, false, 0);
    return 1;
}
