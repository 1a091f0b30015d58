/* Screen: the grid of characters and the cursor, whatever shows them.
 *
 * Reading back from a screen is slow, and from a write-combining framebuffer very slow. So the
 * grid lies in memory too, and scrolling draws only the cells whose character changes: of a log
 * with short lines, a small part.
 *
 * The caller has the consoles' flag (console.c); nothing here blocks or allocates. Not here: colours, escape sequences, the hardware's own cursor. */
#include "kernel/core/screen.h"

#include "kernel/core/font.h"
#include "lib/utf8.h"

#define SCREEN_TAB 8u

static struct screen_driver screen;
static uint16_t *cells; /* columns * rows glyphs; NULL: no screen */
static uint32_t column, row;

static void show(uint32_t c, uint32_t r, bool inverted) {
    screen.draw(c, r, cells[r * screen.columns + c], inverted);
}

static void set(uint32_t c, uint32_t r, uint16_t glyph) {
    uint16_t *cell = &cells[r * screen.columns + c];
    if (*cell == glyph)
        return;
    *cell = glyph;
    show(c, r, false);
}

static void scroll(void) {
    uint16_t blank = (uint16_t)screen.glyph(' ');
    for (uint32_t r = 0; r < screen.rows; r++)
        for (uint32_t c = 0; c < screen.columns; c++)
            set(c, r, r + 1u < screen.rows ? cells[(r + 1u) * screen.columns + c] : blank);
}

static void line_feed(void) {
    column = 0;
    if (row + 1u < screen.rows)
        row++;
    else
        scroll();
}

static void put(uint32_t character) {
    switch (character) {
    case '\n':
        line_feed();
        return;
    case '\r':
        column = 0;
        return;
    case '\b':
        column -= column > 0;
        return;
    case '\t':
        column = (column / SCREEN_TAB + 1u) * SCREEN_TAB;
        if (column >= screen.columns)
            line_feed();
        return;
    default:
        if (character < 0x20u || character == 0x7fu)
            return;
        set(column, row, (uint16_t)screen.glyph(character));
        if (++column == screen.columns)
            line_feed();
    }
}

void screen_write(const char *text, size_t length) {
    if (cells == NULL)
        return;
    show(column, row, false);
    for (size_t at = 0; at < length;) {
        size_t step = utf8_char(text + at, length - at);
        put(step == 0 ? 0xfffdu : font_character(text + at, step)); /* "replacement character" */
        at += step == 0 ? 1u : step;
    }
    show(column, row, true);
}

void screen_attach(const struct screen_driver *driver, uint16_t *grid) {
    screen = *driver;
    column = row = 0;
    for (uint32_t i = 0; i < screen.columns * screen.rows; i++)
        grid[i] = (uint16_t)screen.glyph(' ');
    cells = grid;
    if (grid != NULL)
        screen.clear();
}
