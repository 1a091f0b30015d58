/* Guard: what functions compare when they are compiled with stack protectors (PROFILE=HARDENED).
 *
 * Each such function keeps a copy of one random word between its arrays and its return address, and looks
 * at it before it returns. */
#include "user/lib/internal.h"
#include "user/lib/start.h"

uintptr_t __stack_chk_guard; /* set by start_program(), which never returns and so never compares */

_Noreturn void __stack_chk_fail(void);

_Noreturn void __stack_chk_fail(void) {
    program_die("a function wrote over its stack");
}
