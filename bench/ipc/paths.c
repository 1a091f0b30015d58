/* Paths: what each of the kernel's paths costs, seen from user mode. Our column of the IPC table.
 *
 * Started as the first program (init=bench/paths), so that it holds every capability. For partners in
 * another space it starts itself again with the word "echo", and gives that copy a port. What a sample
 * is stands in ipc_bench.h. Everything is on one CPU: the machine has one. */
#include "bench/ipc/ipc_bench.h"

#include "user/lib/ipc.h"
#include "user/lib/memory.h"
#include "user/lib/print.h"
#include "user/lib/spawn.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

static void print_line(const char *name, uint64_t p50, uint64_t worst) {
    print("bench %s p50 %llu worst %llu\n", name, (unsigned long long)p50,
          (unsigned long long)worst);
}

static void need(int64_t status, const char *what) {
    if (status < 0)
        program_die("%s: %s", what, gmk_strerror((int)status));
}

static gmk_handle_t handle(int64_t result, const char *what) {
    need(result, what);
    return (gmk_handle_t)result;
}

/* With the word "count" every job is announced and then repeated for a while, so that bench/ipc/costly
 * can watch single runs of it from outside. */
#define COUNT_NS UINT64_C(3000000000)
static bool counting;

static inline __attribute__((always_inline)) void measure(const char *name, unsigned per_run,
                                                          void (*job)(void *), void *arg) {
    if (!counting) {
        ipc_bench(name, per_run, job, arg, print_line);
        return;
    }
    print("ready %s\n", name);
    uint64_t end = (uint64_t)sys_time() + COUNT_NS;
    while ((uint64_t)sys_time() < end)
        for (unsigned i = 0; i < 64; i++)
            job(arg);
}

/* ---- One thread ------------------------------------------------------------------------------ */

static void job_null(void *arg) {
    (void)arg;
    (void)sys_nop();
}

static void job_signal(void *arg) {
    (void)sys_notify_signal(*(gmk_handle_t *)arg, 1);
}

static void job_fault(void *arg) {
    volatile char **at = arg;
    **at = 1;
    *at += 4096;
}

/* A thread whose priority feedback leaves alone: partners keep the place that the job gives them. */
static struct thread *start_fixed(const char *name, unsigned priority, void (*fn)(void *),
                                  void *arg) {
    struct thread *thread;
    gmk_sched_args_t fixed = {.priority = (uint16_t)priority, .flags = GMK_SCHED_FIXED};
    need(thread_start(&thread, name, priority, 0, fn, arg), name);
    need(sys_thread_sched(thread->handle, &fixed), name);
    return thread;
}

static void nothing(void *arg) {
    (void)arg;
}

static void job_thread(void *arg) {
    (void)arg;
    struct thread *thread;
    need(thread_start(&thread, "bench", GMK_PRIORITY_NORMAL, 0, nothing, NULL), "thread");
    thread_join(thread);
}

static void job_unit(void *arg) {
    int64_t status = spawn_run(arg);
    need(status, "unit");
}

/* ---- Calls ---------------------------------------------------------------------------------------- */

/* Answers every call with as many bytes as came. Label 1 ends it. */
static void serve(void *arg) {
    gmk_handle_t port = *(gmk_handle_t *)arg;
    struct ipc m = {0};
    int status = ipc_recv(port, &m, GMK_FOREVER);
    while (status == GMK_OK && GMK_TAG_LABEL(m.tag) == 0)
        status = ipc_reply_recv(port, &m, GMK_FOREVER);
    if (status == GMK_OK)
        (void)ipc_reply(&m);
}

/* What a caller of `bytes` has to do: writes its words, reads the answer's. Inline for each size. */
static inline __attribute__((always_inline)) void call(void *arg, unsigned bytes) {
    gmk_handle_t port = *(gmk_handle_t *)arg;
    struct ipc m = {.tag = GMK_TAG(0, bytes, 0)};
    for (unsigned i = 0; i < 4 && i < bytes / 8; i++)
        m.w[i] = i;
    for (unsigned i = 4; i < bytes / 8; i++)
        ((volatile gmk_msg_t *)ipc_buffer())->words[i] = i;
    if (GMK_UNLIKELY(ipc_call(port, &m, GMK_FOREVER) != GMK_OK))
        program_die("a call failed");
    for (unsigned i = 4; i < bytes / 8; i++)
        (void)((volatile gmk_msg_t *)ipc_buffer())->words[i];
}
static void job_call_0(void *arg) {
    call(arg, 0);
}
static void job_call_32(void *arg) {
    call(arg, 32);
}
static void job_call_80(void *arg) {
    call(arg, 80);
}
static void job_call_256(void *arg) {
    call(arg, 256);
}

static void end_server(gmk_handle_t port) {
    struct ipc m = {.tag = GMK_TAG(1, 0, 0)};
    need(ipc_call(port, &m, GMK_FOREVER), "end of the server");
}

static void calls(void) {
    gmk_handle_t port = handle(sys_port_create(GMK_SELF_FACTORY), "port");
    struct thread *server = start_fixed("server", GMK_PRIORITY_NORMAL, serve, &port);
    measure("call-same", 1, job_call_0, &port);
    measure("call-same-32", 1, job_call_32, &port);
    measure("call-same-80", 1, job_call_80, &port);
    measure("call-same-256", 1, job_call_256, &port);
    end_server(port);
    thread_join(server);
    need(sys_cap_drop(port), "drop");
}

static void calls_across(struct spawn *program) {
    gmk_handle_t port = handle(sys_port_create(GMK_SELF_FACTORY), "port");
    struct spawned partner;
    const char *const argv[] = {"paths", "echo", NULL};
    program->argv = argv;
    need(spawn_prepare(program, &partner), "partner");
    need(spawn_give(&partner, "port", port, GMK_RIGHT_READ, 0), "partner's port");
    need(spawn_start(&partner), "partner");
    measure("call-cross", 1, job_call_0, &port);
    measure("call-cross-32", 1, job_call_32, &port);
    measure("call-cross-80", 1, job_call_80, &port);
    measure("call-cross-256", 1, job_call_256, &port);
    end_server(port);
    need(spawn_wait(&partner), "partner's end");
    need(sys_cap_drop(port), "drop");
}

/* ---- Signals ------------------------------------------------------------------------------------------ */

struct notifies {
    gmk_handle_t there, back;
};

/* Bit 1 is the ball, bit 2 the end. */
static void return_signals(void *arg) {
    struct notifies *n = arg;
    uint64_t bits;
    while (sys_notify_wait(n->there, 3, GMK_FOREVER, &bits) == GMK_OK && bits == 1)
        (void)sys_notify_signal(n->back, 1);
}

static void return_signals_at_once(void *arg) {
    struct notifies *n = arg;
    uint64_t bits;
    int64_t status = sys_notify_wait(n->there, 3, GMK_FOREVER, &bits);
    while (status == GMK_OK && bits == 1)
        status = sys_notify_signal_wait(n->back, n->there, 1, 3, GMK_FOREVER, &bits);
}

static void job_signals(void *arg) {
    struct notifies *n = arg;
    uint64_t bits;
    (void)sys_notify_signal(n->there, 1);
    (void)sys_notify_wait(n->back, 1, GMK_FOREVER, &bits);
}

static void job_signals_at_once(void *arg) {
    struct notifies *n = arg;
    uint64_t bits;
    (void)sys_notify_signal_wait(n->there, n->back, 1, 1, GMK_FOREVER, &bits);
}

static void signal_pair(const char *name, void (*partner)(void *), void (*job)(void *)) {
    struct notifies n = {handle(sys_notify_create(GMK_SELF_FACTORY), "notification"),
                         handle(sys_notify_create(GMK_SELF_FACTORY), "notification")};
    struct thread *thread = start_fixed("partner", GMK_PRIORITY_HIGH, partner, &n);
    measure(name, 1, job, &n);
    need(sys_notify_signal(n.there, 2), "end");
    thread_join(thread);
    need(sys_cap_drop(n.there) | sys_cap_drop(n.back), "drop");
}

/* ---- Taking turns ---------------------------------------------------------------------------------------- */

static _Atomic bool yield_ends;
static void yield_partner(void *arg) {
    (void)arg;
    while (!atomic_load_explicit(&yield_ends, memory_order_relaxed))
        (void)sys_yield();
}
static void job_yield(void *arg) {
    (void)arg;
    (void)sys_yield();
}

static void yields(void) {
    struct thread *thread = start_fixed("partner", GMK_PRIORITY_NORMAL, yield_partner, NULL);
    measure("yield", 2, job_yield, NULL); /* there and back */
    atomic_store(&yield_ends, true);
    thread_join(thread);
}

/* ---- Channels ------------------------------------------------------------------------------------------------ */

struct channels {
    gmk_handle_t there_send, there_recv, back_send, back_recv;
};

static void open_channel(gmk_handle_t registry, const char *name, gmk_handle_t *send,
                         gmk_handle_t *recv) {
    gmk_chan_args_t args = {.type = 1, .slots = 16};
    for (size_t i = 0; name[i] != '\0'; i++)
        args.name[i] = name[i];
    *send = handle(sys_chan_create(registry, GMK_SELF_FACTORY, &args), "channel");
    size_t length = 0;
    while (name[length] != '\0')
        length++;
    *recv = handle(sys_chan_open(registry, GMK_SELF_FACTORY, name, length, GMK_RIGHT_READ), "end");
}

static void return_messages(void *arg) {
    struct channels *c = arg;
    gmk_chan_msg_t msg = {0};
    while (sys_chan_recv(c->there_recv, &msg, GMK_FOREVER) == GMK_OK && msg.meta0 == 1)
        (void)sys_chan_send(c->back_send, &msg, GMK_FOREVER);
}

static void job_channel(void *arg) {
    struct channels *c = arg;
    gmk_chan_msg_t msg = {.type = 1, .meta0 = 1};
    (void)sys_chan_send(c->there_send, &msg, GMK_FOREVER);
    (void)sys_chan_recv(c->back_recv, &msg, GMK_FOREVER);
}

static void channels(void) {
    gmk_handle_t registry = handle_find("registry");
    struct channels c;
    open_channel(registry, "bench.there", &c.there_send, &c.there_recv);
    open_channel(registry, "bench.back", &c.back_send, &c.back_recv);
    struct thread *thread = start_fixed("partner", GMK_PRIORITY_HIGH, return_messages, &c);
    measure("channel", 1, job_channel, &c);
    gmk_chan_msg_t last = {.type = 1, .meta0 = 2};
    need(sys_chan_send(c.there_send, &last, GMK_FOREVER), "end");
    thread_join(thread);
}

/* ---- All ------------------------------------------------------------------------------------------------------- */

static void faults(void) {
    uint64_t pages = (IPC_SAMPLES + IPC_WARM) * (uint64_t)IPC_BATCH, address;
    need(memory_new(pages * 4096, GMK_PROT_READ | GMK_PROT_WRITE, &address), "memory");
    volatile char *at = (volatile char *)address; // NOLINT(performance-no-int-to-ptr)
    measure("fault", 1, job_fault, (void *)&at);
    need(memory_free(address, pages * 4096), "memory");
}

static void run_all(void *arg) {
    (void)arg;
    gmk_handle_t idle = handle(sys_notify_create(GMK_SELF_FACTORY), "notification");
    measure("null", 1, job_null, NULL);
    measure("signal-nobody", 1, job_signal, &idle);
    calls();
    signal_pair("signal-round", return_signals, job_signals);
    signal_pair("signal-round-at-once", return_signals_at_once, job_signals_at_once);
    yields();
    channels();
    measure("thread", 1, job_thread, NULL);
    if (!counting)
        faults();
    struct spawn self, tiny;
    need(spawn_from_initrd(&self, "bench/paths"), "bench/paths");
    calls_across(&self);
    need(spawn_from_initrd(&tiny, "bench/tiny"), "bench/tiny");
    measure("unit", 1, job_unit, &tiny);
}

int main(int argc, char **argv) {
    if (argc > 1 && argv[1][0] == 'e') {
        gmk_handle_t port = handle_find("port");
        serve(&port);
        return 0;
    }
    counting = argc > 1 && argv[1][0] == 'c';
    thread_join(start_fixed("bench", GMK_PRIORITY_NORMAL, run_all, NULL));
    (void)sys_system_power(GMK_INIT_SYSTEM, false, 0);
    return 1;
}
