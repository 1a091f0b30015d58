/* Screen: a grid of characters, shown as VGA text or drawn into a framebuffer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_info;
struct boot_framebuffer;

/* What shows the grid. Cells hold what glyph() made of characters. */
struct screen_driver {
    uint32_t columns, rows;
    uint32_t (*glyph)(uint32_t character);
    void (*clear)(void); /* every cell shows a blank */
    void (*draw)(uint32_t column, uint32_t row, uint32_t glyph, bool inverted);
};

/* From here on screen_write() writes there. `grid`: columns * rows cells, kept;
 * NULL with an empty driver: no screen. */
void screen_attach(const struct screen_driver *driver, uint16_t *grid);
/* Finds out what boot_info offers and shows the end of the log so far. Once, boot CPU; without a
 * screen, or memory for it, says so and screen_write() does nothing. */
void screen_init(const struct boot_info *info);
/* Writes UTF-8 text; "\n", "\r", "\b" and "\t" move. The caller has the consoles' flag. */
void screen_write(const char *text, size_t length);

/* The drivers: fill *driver, or return what is wrong: static text. */
const char *vga_open(struct screen_driver *driver, const struct boot_framebuffer *fb);
const char *framebuffer_open(struct screen_driver *driver, const struct boot_framebuffer *fb);
