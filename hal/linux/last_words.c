/* Last words on Linux: bytes to stderr, and the end of the process.
 *
 * Only async-signal-safe calls, and errno is left as it was: a dump is written from inside a
 * signal handler. A terminal or pipe that takes no more bytes loses the rest of the text. */
#include "hal/hal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void hal_log_write(const char *text, size_t length) {
    int saved = errno;
    while (length > 0) {
        ssize_t n = write(STDERR_FILENO, text, length);
        if (n > 0) {
            text += n;
            length -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            break; /* closed, full and non-blocking, or worse: nobody left to tell */
        }
    }
    errno = saved;
}

_Noreturn void hal_panic(const char *message) {
    static const char prefix[] = "gmk: panic: ";
    hal_log_write(prefix, sizeof prefix - 1);
    hal_log_write(message, strlen(message));
    hal_log_write("\n", 1);
    abort();
}
