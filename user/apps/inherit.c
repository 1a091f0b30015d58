/* Inherit: a scene with three threads on one CPU that would stand still without priority inheritance.
 *
 *     low      calls a server that is as unimportant as itself; the server is at work for it
 *     middle   comes, is more important than both, and spins
 *     high     comes, is the most important, and needs the server, too
 *
 * Now the server must not wait for `middle`, since the most important thread waits for it. The kernel
 * lends it the priority of its most urgent caller for as long as it works: it finishes for `low`, serves
 * `high`, and only then `middle` goes on. The whole scene tells how long `high` waited. */
#include "user/lib/ipc.h"
#include "user/lib/print.h"
#include "user/lib/serve.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#define WORK_NS 5000000 /* of the server, for each call */
#define SPIN_NS \
    1000000000 /* of `middle`, until `high` has its answer: without inheritance, all of it */

static gmk_handle_t port;
static _Atomic uint32_t served;   /* `high` has its answer */
static _Atomic uint32_t on_stage; /* the server is at work, `middle` spins: as many have come */
static bool gave_up;              /* `middle`: it has not come */
static int64_t waited_ns;

static void come(void) {
    (void)atomic_fetch_add_explicit(&on_stage, 1, memory_order_relaxed);
    (void)sys_word_wake(&on_stage, 1);
}

static void wait_for(uint32_t count) {
    uint32_t seen;
    while ((seen = atomic_load_explicit(&on_stage, memory_order_relaxed)) < count)
        (void)sys_word_wait(&on_stage, seen, GMK_FOREVER);
}

static void spin(int64_t time_ns) {
    int64_t start = sys_time();
    /* Relaxed: only to stop. */
    while (sys_time() - start < time_ns && atomic_load_explicit(&served, memory_order_relaxed) == 0)
        continue;
}

static bool work(void *arg, struct ipc *m) {
    (void)arg;
    come();
    spin(WORK_NS);
    m->tag = 0;
    return true;
}

static void server(void *arg) {
    (void)serve(port, work, arg);
}

static void low(void *arg) {
    (void)arg;
    struct ipc m = {0};
    (void)ipc_call(port, &m, GMK_FOREVER);
}

static void middle(void *arg) {
    (void)arg;
    come();
    spin(SPIN_NS);
    gave_up = atomic_load_explicit(&served, memory_order_relaxed) == 0;
}

static void high(void *arg) {
    (void)arg;
    struct ipc m = {0};
    int64_t start = sys_time();
    (void)ipc_call(port, &m, GMK_FOREVER);
    waited_ns = sys_time() - start;
    atomic_store_explicit(&served, 1, memory_order_relaxed);
}

/* Starts a thread of this priority on CPU 0. */
static struct thread *enter(const char *name, unsigned priority, void (*fn)(void *arg)) {
    struct thread *thread;
    int status = thread_start(&thread, name, priority, 0, fn, NULL);
    if (status != GMK_OK)
        program_die("%s: %s", name, gmk_strerror(status));
    gmk_sched_args_t args = {
        .priority = (uint16_t)priority, .flags = GMK_SCHED_FIXED, .affinity = 1};
    (void)sys_thread_sched(thread->handle, &args);
    return thread;
}

int main(void) {
    int64_t made = sys_port_create(GMK_SELF_FACTORY);
    if (made < 0)
        program_die("no port: %s", gmk_strerror((int)made));
    port = (gmk_handle_t)made;
    struct thread *all[4];
    all[0] = enter("server", GMK_PRIORITY_LOW, server);
    all[1] = enter("low", GMK_PRIORITY_LOW, low);
    wait_for(1);
    all[2] = enter("middle", GMK_PRIORITY_NORMAL, middle);
    wait_for(2);
    all[3] = enter("high", GMK_PRIORITY_HIGH, high);
    thread_join(all[3]);
    (void)sys_cap_drop(port); /* ends the server */
    for (unsigned i = 0; i < 3; i++)
        thread_join(all[i]);
    print("high waited %lld us for a server below middle, which spun: %s\n",
          (long long)(waited_ns / 1000), gave_up ? "NOT inherited" : "inherited");
    return gave_up ? 1 : 0;
}
