/* Token guesser: tries to answer, and to take over, calls that it never received. Its status is how many of
 * its guesses were good. */
#include "user/lib/ipc.h"

#define SLOTS 1024u
#define CALLS 300u

int main(void) {
    int good = 0;
    for (uint32_t call = 0; call < CALLS; call++)
        for (uint32_t slot = 0; slot < SLOTS; slot += call < 8 ? 1 : 7) {
            const struct ipc m = {.token = call << 12 | slot};
            good += ipc_reply(&m) != GMK_ETOKEN;
            good += ipc_accept(m.token) != GMK_ETOKEN;
        }
    for (uint32_t bit = 0; bit < 32; bit++) {
        const struct ipc m = {.token = UINT32_MAX << bit};
        good += ipc_reply(&m) != GMK_ETOKEN;
        good += ipc_accept(m.token) != GMK_ETOKEN;
    }
    return good;
}
