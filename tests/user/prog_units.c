/* Units' child: fills itself with threads that wait in every way there is, and then ends, or is ended,
 * as its first word says. For test_units.c. */
#include "user/lib/memory.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <string.h>

static gmk_handle_t port, silent, notify;
static _Atomic uint32_t word, begun, turns;

/* ---- Threads that wait ------------------------------------------------------------------------ */

static void in_receive(void *arg) {
    struct ipc m;
    (void)arg, (void)ipc_recv(silent, &m, GMK_FOREVER);
}
static void in_call(void *arg) { /* nobody receives */
    struct ipc m = {0};
    (void)arg, (void)ipc_call(port, &m, GMK_FOREVER);
}
static void in_send(void *arg) {
    struct ipc m = {0};
    (void)arg, (void)ipc_send(port, &m, GMK_FOREVER);
}
static void in_reply(void *arg) { /* received by the next one, which never answers */
    struct ipc m = {0};
    (void)arg, (void)ipc_call(*(gmk_handle_t *)arg, &m, GMK_FOREVER);
}
static void in_own_loop(void *arg) {
    struct ipc m;
    (void)ipc_recv(*(gmk_handle_t *)arg, &m, GMK_FOREVER);
    for (;;) /* computes: a loop of yields would keep out whom the scheduler has moved down */
        turns++;
}
static void in_notify(void *arg) {
    uint64_t bits;
    (void)arg, (void)sys_notify_wait(notify, 1, GMK_FOREVER, &bits);
}
static void in_timed_notify(void *arg) {
    uint64_t bits;
    (void)arg, (void)sys_notify_wait(notify, 2, UINT64_C(3600000000000), &bits);
}
static void in_word(void *arg) {
    (void)arg, (void)sys_word_wait(&word, 0, GMK_FOREVER);
}
static void in_suspension(void *arg) {
    (void)arg;
    for (;;)
        begun++;
}
static void in_foreign_call(void *arg) {
    (void)arg, (void)syscall0(39); /* to the personality port, which nobody receives from */
}

static bool start(void (*fn)(void *arg), void *arg, struct thread **out) {
    struct thread *thread;
    bool good = thread_start(&thread, "waits", GMK_PRIORITY_NORMAL, 0, fn, arg) == GMK_OK;
    if (out != NULL && good)
        *out = thread;
    return good;
}

static bool start_all(void) {
    static gmk_handle_t served;
    static void (*const ways[])(void *) = {in_receive,      in_call, in_send,        in_notify,
                                           in_timed_notify, in_word, in_foreign_call};
    struct thread *suspended;
    port = (gmk_handle_t)sys_port_create(GMK_SELF_FACTORY);
    silent = (gmk_handle_t)sys_port_create(GMK_SELF_FACTORY);
    served = (gmk_handle_t)sys_port_create(GMK_SELF_FACTORY);
    notify = (gmk_handle_t)sys_notify_create(GMK_SELF_FACTORY);
    for (unsigned i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (!start(ways[i], NULL, NULL))
            return false;
    if (!start(in_own_loop, &served, NULL) || !start(in_reply, &served, NULL) ||
        !start(in_suspension, NULL, &suspended))
        return false;
    while (begun == 0)
        (void)sys_yield();
    return sys_thread_suspend(suspended->handle) == GMK_OK;
}

/* ---- Using everything up ------------------------------------------------------------------------- */

static void stay(void *arg) {
    (void)arg, (void)sys_word_wait(&word, 0, GMK_FOREVER);
}

/* Threads until they are refused; then the status tells by what. */
static int64_t bomb(void) {
    for (;;) {
        struct thread *thread;
        int status = thread_start(&thread, "bomb", GMK_PRIORITY_NORMAL, 0, stay, NULL);
        if (status != GMK_OK)
            return status;
    }
}

static int64_t use_up_objects(void) {
    int64_t made;
    while ((made = sys_port_create(GMK_SELF_FACTORY)) > 0)
        continue;
    return made;
}

/* Touches more than the budget has: ends by the fault, without a fault port. */
static int64_t use_up_frames(void) {
    uint64_t at, size = UINT64_C(64) << 20;
    int status = memory_new(size, GMK_PROT_READ | GMK_PROT_WRITE, &at);
    if (status != GMK_OK)
        return status;
    for (uint64_t i = 0; i < size; i += 4096)
        *(volatile char *)(at + i) = 1;
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "bomb") == 0)
        sys_exit(bomb(), true);
    if (strcmp(what, "objects") == 0)
        sys_exit(use_up_objects(), true);
    if (strcmp(what, "frames") == 0)
        sys_exit(use_up_frames(), true);
    if (strcmp(what, "nothing") == 0)
        sys_exit(5, false);
    if (!start_all())
        sys_exit(1, true);
    if (strcmp(what, "exit") == 0)
        sys_exit(42, true);
    if (strcmp(what, "fault") == 0)
        *(volatile char *)(uintptr_t)0x1234 = 0;
    if (strcmp(what, "strip") == 0) { /* drops all it holds, and goes on a little */
        for (unsigned slot = 1; slot < GMK_CAPS_MAX; slot++)
            for (unsigned generation = 1; generation < 3; generation++)
                (void)sys_cap_drop(GMK_HANDLE(slot, generation));
        sys_exit(43, true);
    }
    if (strcmp(what, "kill") == 0) { /* by a capability to itself that its maker gave it */
        (void)sys_unit_kill(handle_find("me"), 44);
        sys_exit(1, true);
    }
    (void)sys_notify_signal(handle_find("ready"), 1);
    for (;;)
        (void)sys_word_wait(&word, 0, GMK_FOREVER);
}
