/* Edge: the threads between a local channel and the kernel's. See edge.h. */
#include "user/edge/edge.h"

#include <stdatomic.h>
#include <string.h>

#include "hal/hal.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#define OPEN_TRIES    20000u   /* looks for a channel that its receiver has not made yet ... */
#define OPEN_PAUSE_NS 1000000u /* ... and the pause between two of them */
#define PAUSE_NS      500000u  /* until memory that is in use may have come back */

struct joint {
    gmk_waker_t waker; /* outgoing: something was sent */
    _Atomic uint32_t calls;
    _Atomic uint64_t passed; /* messages taken over */
    _Atomic uint32_t broken; /* 1: the other side does not take or send any more */
    gmk_kernel_t *kernel;
    struct thread *thread;
    gmk_handle_t remote;
    bool in;
    uint32_t local, sub, type;
    uint64_t slots, bytes;
    char name[GMK_NAME_MAX];
};

static struct joint joints[EDGE_MAX];
static unsigned joint_count;
static _Atomic uint32_t broken_count; /* joints that are */

static void pause_for(uint64_t ns) {
    _Atomic uint32_t never = 0;
    (void)hal_wait(&never, 0, ns);
}

static void break_off(struct joint *j, gmk_ctx_t *ctx, int64_t status) {
    if (status != GMK_ECLOSED) /* that is how pipelines end */
        print("edge: %s: %s\n", j->name, gmk_strerror((int)status));
    atomic_store_explicit(&j->broken, 1, memory_order_release);
    if (ctx != NULL)
        (void)gmk_chan_close(ctx, j->local);
    atomic_fetch_add_explicit(&broken_count, 1, memory_order_release);
    hal_wake(&broken_count, UINT32_MAX);
}

/* ---- Outgoing --------------------------------------------------------------------------------- */

static void call(gmk_waker_t *self) {
    struct joint *j = (struct joint *)self; /* its first member */
    atomic_fetch_add_explicit(&j->calls, 1, memory_order_release);
    hal_wake(&j->calls, UINT32_MAX);
}

/* The receiver makes the channel: it may not have come to that yet. */
static int64_t open_remote(const struct joint *j) {
    int64_t handle = GMK_ENOENT;
    for (unsigned i = 0; i < OPEN_TRIES && handle == GMK_ENOENT; i++) {
        handle = sys_chan_open(handle_find("registry"), GMK_SELF_FACTORY, j->name, strlen(j->name),
                               GMK_RIGHT_WRITE);
        if (handle == GMK_ENOENT)
            pause_for(OPEN_PAUSE_NS);
    }
    return handle;
}

static int64_t pass_out(struct joint *j, gmk_ctx_t *ctx, const gmk_task_t *task) {
    const gmk_chan_msg_t msg = {
        .type = task->type,
        .flags = task->flags & GMK_TASK_PRIO_MASK,
        .meta0 = task->meta0,
        .meta1 = task->meta1,
        .data = (uintptr_t)task->payload,
        .size = task->len,
    };
    int64_t status = sys_chan_send(j->remote, &msg, GMK_FOREVER);
    gmk_free(ctx, task->payload);
    return status;
}

static void out_main(void *arg) {
    struct joint *j = arg;
    gmk_ctx_t *ctx = gmk_attach(j->kernel);
    int64_t status = ctx == NULL ? GMK_ELIMIT : open_remote(j);
    j->remote = (gmk_handle_t)status;
    while (status >= 0) {
        gmk_task_t task;
        uint32_t seen = atomic_load_explicit(&j->calls, memory_order_acquire);
        status = gmk_chan_pull(ctx, j->local, j->sub, UINT32_MAX, &task);
        if (status == GMK_EAGAIN) {
            (void)hal_wait(&j->calls, seen, HAL_FOREVER);
            status = GMK_OK;
            continue;
        }
        if (status == GMK_OK)
            status = pass_out(j, ctx, &task);
        if (status == GMK_OK)
            atomic_fetch_add_explicit(&j->passed, 1, memory_order_release);
    }
    break_off(j, ctx, status);
}

/* ---- Incoming ---------------------------------------------------------------------------------- */

/* A block for a payload of this size: it comes back when messages in flight are done with. */
static void *block_of(gmk_ctx_t *ctx, uint64_t size) {
    void *block = gmk_alloc(ctx, (size_t)size);
    while (block == NULL) {
        pause_for(PAUSE_NS);
        block = gmk_alloc(ctx, (size_t)size);
    }
    return block;
}

/* The next message, with its payload in a block of the engine. The kernel says how large it has to be. */
static int64_t take_in(struct joint *j, gmk_ctx_t *ctx, gmk_task_t *task) {
    gmk_chan_msg_t msg = {.size = 0};
    int64_t status = sys_chan_recv(j->remote, &msg, GMK_FOREVER);
    void *block = NULL;
    if (status == GMK_ERANGE) {
        block = block_of(ctx, msg.size);
        msg.data = (uintptr_t)block;
        status = sys_chan_recv(j->remote, &msg, GMK_FOREVER);
    }
    *task = (gmk_task_t){
        .type = msg.type,
        .flags = (uint16_t)msg.flags,
        .payload = block,
        .len = block != NULL ? (uint32_t)msg.size : 0,
        .meta0 = msg.meta0,
        .meta1 = msg.meta1,
    };
    return status;
}

static void in_main(void *arg) {
    struct joint *j = arg;
    gmk_ctx_t *ctx = gmk_attach(j->kernel);
    int64_t status = ctx == NULL ? GMK_ELIMIT : GMK_OK;
    while (status == GMK_OK) {
        gmk_task_t task = {.payload = NULL};
        status = take_in(j, ctx, &task);
        if (status == GMK_OK)
            status = gmk_chan_send(ctx, j->local, &task, UINT64_MAX);
        if (status != GMK_OK)
            gmk_free(ctx, task.payload);
        else
            atomic_fetch_add_explicit(&j->passed, 1, memory_order_release);
    }
    break_off(j, ctx, status);
}

static int64_t make_remote(const struct joint *j) {
    gmk_chan_args_t args = {.type = j->type, .slots = (uint32_t)j->slots, .bytes = j->bytes};
    memcpy(args.name, j->name, strlen(j->name) + 1);
    return sys_chan_create(handle_find("registry"), GMK_SELF_FACTORY, &args);
}

/* ---- Words ---------------------------------------------------------------------------------------- */

/* ",NUMBER": moves *text behind it. False: something else, or too large. */
static bool read_number(const char **text, uint64_t *value) {
    const char *at = *text;
    if (*at == '\0')
        return true;
    if (*at++ != ',' || *at < '0' || *at > '9')
        return false;
    for (*value = 0; *at >= '0' && *at <= '9'; at++) {
        if (*value > UINT32_MAX)
            return false;
        *value = *value * 10 + (uint64_t)(*at - '0');
    }
    *text = at;
    return true;
}

static int read_word(struct joint *j, const char *word) {
    const char *end = word;
    while (*end != '\0' && *end != ',')
        end++;
    size_t length = (size_t)(end - word);
    if (length == 0 || length >= sizeof j->name)
        return GMK_EINVAL;
    memcpy(j->name, word, length);
    if (!read_number(&end, &j->slots) || !read_number(&end, &j->bytes) || *end != '\0')
        return GMK_EINVAL;
    return j->slots <= UINT32_MAX ? GMK_OK : GMK_EINVAL;
}

static int64_t start_one(struct joint *j, gmk_ctx_t *ctx) {
    gmk_chan_stats_t stats;
    int64_t status = gmk_chan_find(ctx, j->name, &j->local);
    if (status == GMK_OK)
        status = gmk_chan_stats(ctx, j->local, &stats);
    if (status != GMK_OK)
        return status;
    j->type = stats.type;
    j->waker.wake = call;
    if (j->in) {
        status = make_remote(j);
        j->remote = (gmk_handle_t)status;
    } else {
        status = gmk_chan_sub_pull(ctx, j->local, &j->waker, &j->sub);
    }
    return status < 0 ? status
                      : thread_start(&j->thread, j->name, GMK_PRIORITY_NORMAL, 0,
                                     j->in ? in_main : out_main, j);
}

static int64_t add(gmk_kernel_t *kernel, gmk_ctx_t *ctx, bool in, const char *word) {
    if (joint_count == EDGE_MAX)
        return GMK_ELIMIT;
    struct joint *j = &joints[joint_count];
    j->kernel = kernel;
    j->in = in;
    int64_t status = read_word(j, word);
    if (status == GMK_OK)
        status = start_one(j, ctx);
    joint_count += status == GMK_OK;
    return status;
}

int edge_start(gmk_kernel_t *kernel, int argc, char **argv) {
    gmk_ctx_t *ctx = gmk_attach(kernel);
    int64_t status = ctx != NULL ? GMK_OK : GMK_ELIMIT;
    for (int i = 1; i < argc && status == GMK_OK; i++) {
        bool in = strncmp(argv[i], "in=", 3) == 0;
        if (in || strncmp(argv[i], "out=", 4) == 0)
            status = add(kernel, ctx, in, argv[i] + (in ? 3 : 4));
        if (status != GMK_OK)
            print("edge: %s: %s\n", argv[i], gmk_strerror((int)status));
    }
    return (int)status;
}

/* Has everything that was sent been taken over? */
static int flushed(const struct joint *j, gmk_ctx_t *ctx) {
    gmk_chan_stats_t stats;
    if (atomic_load_explicit(&j->broken, memory_order_acquire) != 0)
        return GMK_ECLOSED;
    if (gmk_chan_stats(ctx, j->local, &stats) != GMK_OK)
        return GMK_ECLOSED;
    return atomic_load_explicit(&j->passed, memory_order_acquire) >= stats.sent ? GMK_OK
                                                                                : GMK_EAGAIN;
}

int edge_flush(gmk_kernel_t *kernel) {
    gmk_ctx_t *ctx = gmk_attach(kernel);
    int status = ctx != NULL ? GMK_OK : GMK_ELIMIT;
    for (unsigned i = 0; i < joint_count && status == GMK_OK; i++) {
        if (joints[i].in)
            continue;
        while ((status = flushed(&joints[i], ctx)) == GMK_EAGAIN)
            pause_for(PAUSE_NS);
    }
    return status;
}

void edge_wait(void) {
    while (atomic_load_explicit(&broken_count, memory_order_acquire) == 0)
        (void)hal_wait(&broken_count, 0, HAL_FOREVER);
}
