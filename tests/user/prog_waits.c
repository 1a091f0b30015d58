/* Helper: a unit whose threads wait in each way, and one that computes; for tests of the monitor. */
#include "user/lib/ipc.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

static gmk_handle_t notify, served, silent;
static _Atomic uint32_t word;

static void wait_for_bits(void *arg) {
    uint64_t bits;
    (void)arg;
    (void)sys_notify_wait(notify, 1, GMK_FOREVER, &bits);
}
static void wait_for_word(void *arg) {
    (void)arg;
    (void)sys_word_wait(&word, 0, GMK_FOREVER);
}
static void receive(void *arg) {
    struct ipc m = {0};
    (void)arg;
    (void)ipc_recv(served, &m, GMK_FOREVER);
}
static void call(void *arg) {
    struct ipc m = {0};
    (void)arg;
    (void)ipc_call(silent, &m, GMK_FOREVER);
}
static void compute(void *arg) {
    (void)arg;
    for (volatile uint64_t n = 0;; n++) {}
}

int main(int argc, char **argv) {
    (void)argc, (void)argv;
    notify = (gmk_handle_t)sys_notify_create(GMK_SELF_FACTORY);
    served = (gmk_handle_t)sys_port_create(GMK_SELF_FACTORY);
    silent = (gmk_handle_t)sys_port_create(GMK_SELF_FACTORY);
    static const struct {
        const char *name;
        void (*fn)(void *arg);
    } threads[] = {{"bits", wait_for_bits},
                   {"word", wait_for_word},
                   {"receiver", receive},
                   {"caller", call},
                   {"computes", compute}};
    for (unsigned i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
        struct thread *thread;
        if (thread_start(&thread, threads[i].name, GMK_PRIORITY_NORMAL, 0, threads[i].fn, NULL) !=
            GMK_OK)
            return 1;
    }
    wait_for_bits(NULL);
    return 0;
}
