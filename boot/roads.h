/* Roads: what the functions that translate a boot protocol have in common.
 *
 * A road reads what a loader wrote, so nothing here trusts a number: text has a limit, a screen
 * is checked before the kernel may draw on it, and the first thing found wrong is kept in
 * boot_info.complaint for the log. For boot/ only. */
#pragma once

#include "boot/boot_info.h"
#include "lib/bytes.h"

#include <stddef.h>

/* Keeps the first complaint. */
void road_complain(struct boot_info *info, const char *what);

/* What a type of the BIOS's memory map means (ACPI 6.5, 15.2); Multiboot2 took the numbers over. */
uint32_t road_range_kind(uint32_t type);

/* Copies text of at most `limit` bytes, which may lack a terminator; cut to fit, terminated. */
void road_copy_text(char *out, uint64_t size, const char *text, uint64_t limit);

/* Takes the screen, or complains and leaves none: geometry and colours must make sense. */
void road_set_screen(struct boot_info *info, const struct boot_framebuffer *screen);
