/* Consoles: one door for text, to the serial line and to the screen.
 *
 * Problem: every CPU writes lines at any time, NMIs included, and a line must stay whole.
 * Idea: one flag guards all consoles, taken for one text at a time with IF off, and waiting for
 * it is bounded: whoever has waited long enough (its own CPU holds it and an NMI came, or the
 * holder is dead) writes to the serial line without it. A text may be mixed with another then,
 * but it is never lost and nobody hangs.
 *
 * The serial line is polled byte by byte with IF off: about 87 us per byte at 115200 baud on real
 * hardware, 22 ms for the longest line. Buffering by interrupts would cost the promise that a line
 * is out when the call returns, which is what a log is for when the next instruction faults. */
#include "kernel/core/console.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "arch/arch.h"
#include "kernel/core/config.h"
#include "kernel/core/screen.h"

/* Spins before writing without the flag: beyond the longest line at 115200 baud. */
#define CONSOLE_TRIES (1u << 22)

static atomic_flag held = ATOMIC_FLAG_INIT;
static _Atomic bool alone; /* panic: no other CPU runs */
static bool serial_off;    /* zero until the command line is known: early lines are shown */

static bool console_take(void) {
    if (atomic_load_explicit(&alone, memory_order_relaxed))
        return true;
    for (unsigned i = 0; i < CONSOLE_TRIES; i++) {
        /* Acquire pairs with the release in console_give(): the screen is as they left it. */
        if (!atomic_flag_test_and_set_explicit(&held, memory_order_acquire))
            return true;
        arch_relax();
    }
    return false;
}

static void console_give(bool taken) {
    if (taken)
        atomic_flag_clear_explicit(&held, memory_order_release);
}

static void write_to(const char *text, size_t length, bool screen) {
    bool irq = arch_irq_disable();
    bool taken = console_take();
    if (!serial_off)
        arch_serial_write(text, length);
    if (screen && taken)
        screen_write(text, length);
    console_give(taken);
    arch_irq_restore(irq);
}

void console_write(const char *text, size_t length) {
    write_to(text, length, true);
}

void console_write_serial(const char *text, size_t length) {
    write_to(text, length, false);
}

void console_panic(void) {
    atomic_store_explicit(&alone, true, memory_order_relaxed);
}

void console_screen_init(const struct boot_info *info) {
    serial_off = !kernel_config.serial;
    if (kernel_config.screen)
        screen_init(info);
}
