/* Panic: the end, told as fully as possible.
 *
 * Stops every other CPU (NMI, bounded wait), then prints: the reason; CPU and thread; registers;
 * a backtrace with symbols; the last trace events of this CPU. Then powers off with status 1
 * where the command line asked for it (panic=exit), reboots (panic=reboot), or halts (panic=halt:
 * on the serial line a few commands of the monitor still answer, kdb=on).
 * A panic inside a panic prints one line and halts. Any context. */
#pragma once

#include "arch/arch.h"
#include "ggmk/log.h" /* K_ASSERT ends here */

_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void panic_frame(const struct arch_frame *frame, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The NMI handler calls this first: while another CPU panics it parks this one for good;
 * otherwise it returns and the NMI is something else. */
void panic_stop_here(void);

/* "name+0x12" of the function that contains `address`; "?" where there is none. Any context. */
size_t symbol_format(uintptr_t address, char *out, size_t size);
