/* Ping and pong: two programs, one asks and one answers, as fast as they can.
 *
 *     pingpong pong    answers what comes by the port "table" (READ)
 *     pingpong ping    calls it (WRITE), ROUNDS times, and tells how long that took */
#include "user/lib/ipc.h"
#include "user/lib/print.h"
#include "user/lib/serve.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"

#include <string.h>

#define ROUNDS 5000u
enum { LABEL_BALL, LABEL_END };

static bool answer(void *arg, struct ipc *m) {
    (void)arg;
    m->w[0]++;
    return GMK_TAG_LABEL(m->tag) == LABEL_BALL;
}

static int pong(gmk_handle_t table) {
    return serve(table, answer, NULL);
}

static int ping(gmk_handle_t table) {
    struct ipc m = {.tag = GMK_TAG(LABEL_BALL, 8, 0)};
    int status = ipc_call(table, &m, GMK_FOREVER); /* the partner is up, its pages are there */
    int64_t start = sys_time();
    for (unsigned i = 0; i < ROUNDS && status == GMK_OK; i++)
        status = ipc_call(table, &m, GMK_FOREVER);
    int64_t time_ns = sys_time() - start;
    if (status != GMK_OK || m.w[0] != ROUNDS + 1)
        program_die("after %llu round trips: %s", (unsigned long long)m.w[0], gmk_strerror(status));
    print("%u round trips, %lld ns each, %lld in a second\n", ROUNDS, (long long)(time_ns / ROUNDS),
          (long long)(ROUNDS * INT64_C(1000000000) / (time_ns + 1)));
    m.tag = GMK_TAG(LABEL_END, 0, 0);
    return ipc_call(table, &m, GMK_FOREVER);
}

int main(int argc, char **argv) {
    gmk_handle_t table = handle_find("table");
    if (argc != 2 || table == 0)
        program_die("wants a word, ping or pong, and a port, table");
    return strcmp(argv[1], "pong") == 0 ? pong(table) : ping(table);
}
