/* Font: pictures of characters for the framebuffer, built in or from a PSF file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FONT_WIDTH_MAX  32u
#define FONT_HEIGHT_MAX 64u

struct font {
    const uint8_t *glyphs; /* each `height` rows of (width + 7) / 8 bytes, highest bit leftmost */
    uint32_t count, width, height;
    const uint8_t *map, *map_end; /* PSF: which characters each glyph shows; NULL: none */
    bool map_is_utf8;             /* PSF2; else 16-bit words */
    uint16_t ascii[128];          /* glyphs of the usual characters, looked up once */
};

/* The one that is part of the kernel: 8 x 16, ASCII, and a box for all else. */
void font_builtin(struct font *font);
/* A PSF1 or PSF2 file, which must live as long as the font. NULL, or what is wrong with it:
 * static text, and *font is as before. */
const char *font_open_psf(struct font *font, const void *file, size_t size);
/* The glyph of a character; of one that the font lacks, a box or '?'. */
uint32_t font_glyph(const struct font *font, uint32_t character);

/* The number (code point) of a well-formed UTF-8 character of `length` bytes, 1 to 4. */
uint32_t font_character(const char *text, size_t length);

static inline uint32_t font_row_bytes(const struct font *font) {
    return (font->width + 7u) / 8u;
}

#define FONT_DATA_FIRST 0x20u /* the built-in glyphs: ' ' to '~', then the box */
#define FONT_DATA_COUNT 96u
extern const uint8_t font_data[FONT_DATA_COUNT][16];
