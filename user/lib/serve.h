/* Serve: the loop of a server.
 *
 *     static bool answer(void *arg, struct ipc *m) {
 *         m->w[0]++;                       // *m is what came, and then the reply
 *         m->tag = GMK_TAG(GMK_OK, 8, 0);
 *         return true;
 *     }
 *     status = serve(port, answer, NULL);
 *
 * While it works for a caller, the server is as urgent as the most urgent one that waits for it; so an
 * answer should not wait for somebody unknown. Inline: a reply and the next message are one system
 * call, with the words in registers. */
#pragma once

#include "user/lib/ipc.h"

/* Makes the reply to *m out of *m. False: the loop ends, after this reply. */
typedef bool (*serve_fn)(void *arg, struct ipc *m);

/* Answers messages until `answer` says that it is enough (GMK_OK) or the port is gone (GMK_EHANDLE). A
 * message that expects no reply goes through `answer`, too. */
static inline __attribute__((always_inline)) int serve(gmk_handle_t port, serve_fn answer,
                                                       void *arg) {
    struct ipc m;
    int status = ipc_recv(port, &m, GMK_FOREVER);
    while (status == GMK_OK) {
        if (!answer(arg, &m))
            return m.token != 0 ? ipc_reply(&m) : GMK_OK;
        status =
            m.token != 0 ? ipc_reply_recv(port, &m, GMK_FOREVER) : ipc_recv(port, &m, GMK_FOREVER);
    }
    return status;
}
