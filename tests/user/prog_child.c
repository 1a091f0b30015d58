/* Child: does what its first word says, for tests that start it. */
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"
#include "user/lib/thread.h"

#include <string.h>

static int64_t number(const char *word) {
    uint64_t value = 0;
    (void)text_number(word, &value);
    return (int64_t)value;
}

static void end_later(void *arg) {
    static _Atomic uint32_t never;
    (void)arg;
    (void)sys_word_wait(&never, 0, 20000000);
    program_exit(7);
}

/* The first thread ends, and another one goes on. */
static int leave_to_another(void) {
    struct thread *thread;
    if (thread_start(&thread, "other", GMK_PRIORITY_NORMAL, 0, end_later, NULL) != GMK_OK)
        return 1;
    thread_exit();
}

int main(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "exit") == 0)
        program_exit(number(argv[2]));
    if (strcmp(word, "fault") == 0)
        *(volatile char *)(uintptr_t)0x1234 = 0;
    if (strcmp(word, "words") == 0)
        return argc == 4 && strcmp(argv[2], "") == 0 && strcmp(argv[3], "a b") == 0 &&
                       argv[4] == NULL && strcmp(start_env("COLOUR"), "blue") == 0 &&
                       start_env("COLOU") == NULL
                   ? 0
                   : 1;
    if (strcmp(word, "where") == 0)
        program_exit((int64_t)((uintptr_t)main >> 12));
    if (strcmp(word, "stack") == 0)
        program_exit((int64_t)((uintptr_t)argv >> 12));
    if (strcmp(word, "has") == 0)
        program_exit(sys_cap_check(handle_find(argv[2])));
    if (strcmp(word, "leave") == 0)
        return leave_to_another();
    if (strcmp(word, "wait") == 0)
        for (;;)
            (void)sys_yield();
    return 99;
}
