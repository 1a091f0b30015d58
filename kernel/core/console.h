/* Consoles: where text goes. Serial, VGA text, framebuffer; each optional. */
#pragma once

#include <stddef.h>

struct boot_info;

/* Serial works before this. Screen: after mem_init(), since it maps it. Heeds serial= and
 * screen= of the command line, so after config_parse(). */
void console_screen_init(const struct boot_info *info);
/* To every console. Any context; a text stays whole between CPUs. What cannot have the consoles
 * soon (in an NMI, or because their holder is stuck) goes to the serial line alone. */
void console_write(const char *text, size_t length);
/* The same, serial line only: bulk data that nobody wants to see on a screen. */
void console_write_serial(const char *text, size_t length);
/* From here on one CPU is left (panic): nobody is waited for any more. */
void console_panic(void);
