/* Load: how late a Realtime thread runs after its timer, while every CPU is kept busy by everything
 * that takes the kernel long: memory that is mapped, touched, cloned and unmapped; calls and signals;
 * threads and units that come and go; capabilities that are derived, granted and revoked.
 *
 * init=bench/load init-arg=SECONDS. Prints the latency from the timer's time to the thread's first reading of
 * the clock in user mode, in nanoseconds of guest time; bench/ipc/run turns them into instructions. */
#include "bench/ipc/ipc_bench.h"

#include "user/lib/ipc.h"
#include "user/lib/memory.h"
#include "user/lib/print.h"
#include "user/lib/spawn.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#define PERIOD_NS UINT64_C(1000000)

static void need(int64_t status, const char *what) {
    if (status < 0)
        program_die("%s: %s", what, gmk_strerror((int)status));
}

static void print_line(const char *name, uint64_t p50, uint64_t worst) {
    print("bench %s p50 %llu worst %llu\n", name, (unsigned long long)p50,
          (unsigned long long)worst);
}

static _Atomic uint64_t rounds[8]; /* of each load, to show that it did run */

static void count(unsigned load) {
    atomic_fetch_add_explicit(&rounds[load], 1, memory_order_relaxed);
}

static void load_memory(void *arg) {
    (void)arg;
    for (;;) {
        uint64_t at;
        need(memory_new(256 * 4096, GMK_PROT_READ | GMK_PROT_WRITE, &at), "memory");
        for (unsigned i = 0; i < 256; i++)
            *(volatile char *)(at + i * 4096u) = 1; // NOLINT(performance-no-int-to-ptr)
        need(memory_protect(GMK_SELF_UNIT, at, 256 * 4096, GMK_PROT_READ), "protect");
        need(memory_free(at, 256 * 4096), "unmap");
        count(0);
    }
}

static void load_clones(void *arg) {
    (void)arg;
    int64_t source = sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, 64 * 4096);
    need(source, "memory");
    int64_t at = memory_map_at(GMK_SELF_UNIT, (gmk_handle_t)source, 0, 0, 64 * 4096,
                               GMK_PROT_READ | GMK_PROT_WRITE);
    need(at, "map");
    for (;;) {
        for (unsigned i = 0; i < 64; i++)
            *(volatile char *)(at + i * 4096u) = 1; // NOLINT(performance-no-int-to-ptr)
        int64_t clone = memory_clone((gmk_handle_t)source, GMK_SELF_FACTORY, 0, 64 * 4096);
        need(clone, "clone");
        need(sys_cap_drop((gmk_handle_t)clone), "drop");
        count(1);
    }
}

static void serve(void *arg) {
    struct ipc m = {0};
    int status = ipc_recv(*(gmk_handle_t *)arg, &m, GMK_FOREVER);
    while (status == GMK_OK)
        status = ipc_reply_recv(*(gmk_handle_t *)arg, &m, GMK_FOREVER);
}

static void load_calls(void *arg) {
    for (;;) {
        struct ipc m = {.tag = GMK_TAG(0, 256, 0)};
        need(ipc_call(*(gmk_handle_t *)arg, &m, GMK_FOREVER), "call");
        count(2);
    }
}

static void nothing(void *arg) {
    (void)arg;
}

static void load_threads(void *arg) {
    (void)arg;
    for (;;) {
        struct thread *thread;
        need(thread_start(&thread, "short", GMK_PRIORITY_NORMAL, 0, nothing, NULL), "thread");
        thread_join(thread);
        count(3);
    }
}

static void load_units(void *arg) {
    for (;;) {
        need(spawn_run(arg), "unit");
        count(4);
    }
}

static void load_caps(void *arg) {
    gmk_handle_t root = *(gmk_handle_t *)arg;
    for (;;) {
        int64_t parent = root;
        for (unsigned depth = 0; depth < 6 && parent > 0; depth++)
            parent = sys_cap_derive((gmk_handle_t)parent, GMK_RIGHTS_ALL, 0);
        need(parent, "derive");
        need(sys_cap_revoke(root), "revoke");
        count(5);
    }
}

/* A thread that computes, on each CPU. */
static void load_hog(void *arg) {
    (void)arg;
    for (volatile uint64_t n = 0;; n++) {}
}

static void start(const char *name, void (*fn)(void *), void *arg) {
    struct thread *thread;
    need(thread_start(&thread, name, GMK_PRIORITY_NORMAL, 0, fn, arg), name);
}

static void start_loads(unsigned cpus) {
    static gmk_handle_t port, token;
    static struct spawn tiny;
    port = (gmk_handle_t)sys_port_create(GMK_SELF_FACTORY);
    token = (gmk_handle_t)sys_notify_create(GMK_SELF_FACTORY);
    need(spawn_from_initrd(&tiny, "bench/tiny"), "bench/tiny");
    for (unsigned i = 0; i < cpus; i++) {
        start("hog", load_hog, NULL);
        start("memory", load_memory, NULL);
    }
    start("clones", load_clones, NULL);
    start("server", serve, &port);
    start("calls", load_calls, &port);
    start("threads", load_threads, NULL);
    start("units", load_units, &tiny);
    start("caps", load_caps, &token);
}

/* The first reading of the clock is the first thing that the thread does. */
static void measure(void *arg) {
    uint64_t seconds = *(uint64_t *)arg, bits;
    struct rt_histogram late = {0};
    int64_t notify = sys_notify_create(GMK_SELF_FACTORY);
    need(notify, "notification");
    int64_t timer = sys_timer_create(GMK_SELF_FACTORY, (gmk_handle_t)notify, 1);
    need(timer, "timer");
    uint64_t at = (uint64_t)sys_time() + PERIOD_NS;
    need(sys_timer_set((gmk_handle_t)timer, at, PERIOD_NS), "timer");
    for (uint64_t n = 0; n < seconds * 1000; n++, at += PERIOD_NS) {
        need(sys_notify_wait((gmk_handle_t)notify, 1, GMK_FOREVER, &bits), "wait");
        uint64_t now = (uint64_t)sys_time();
        rt_add(&late, now - at);
        while (at + PERIOD_NS <= now) /* its signals became one */
            at += PERIOD_NS;
    }
    for (unsigned i = 0; i < 6; i++) {
        static const char *const names[6] = {"memory",  "clones", "calls",
                                             "threads", "units",  "caps"};
        print("load %s: %llu rounds\n", names[i], (unsigned long long)rounds[i]);
    }
    rt_print(&late, "timer-loaded", print_line);
}

int main(int argc, char **argv) {
    uint64_t seconds = 0;
    for (const char *c = argc > 1 ? argv[1] : "10"; *c >= '0' && *c <= '9'; c++)
        seconds = seconds * 10 + (uint64_t)(*c - '0');
    gmk_system_info_t info;
    need(sys_system_info(handle_find("system"), &info), "system");
    start_loads(info.cpus);
    struct thread *thread;
    need(thread_start(&thread, "urgent", GMK_PRIORITY_REALTIME, 0, measure, &seconds), "urgent");
    thread_join(thread);
    (void)sys_system_power(GMK_INIT_SYSTEM, false, 0);
    return 1;
}
