/* Font: the built-in one, and reading of PSF files.
 *
 * PSF, the format of Linux console fonts (kbd, psf.h): a header, bitmaps of equal size, and
 * often a map that lists for each glyph the characters it shows, as 16-bit words (PSF1, ends
 * 0xffff) or UTF-8 (PSF2, ends 0xff); sequences (behind 0xfffe, 0xfe) are of no use here. The
 * file is untrusted: sizes are checked before anything is believed. Pure but for *font. */
#include "kernel/core/font.h"

#include <string.h>

#include "lib/utf8.h"

enum { PSF1_MAP = 0x02 | 0x04, PSF1_512 = 0x01, PSF2_MAP = 0x01 };

struct psf2_header { /* little-endian, as every machine that the kernel runs on */
    uint32_t magic, version, header_size, flags, count, glyph_size, height, width;
};
#define PSF1_MAGIC 0x0436u
#define PSF2_MAGIC 0x864ab572u

/* What a map holds beside characters. */
#define MAP_END      0xffffffffu /* of one glyph's list */
#define MAP_SEQUENCE 0xfffffffeu /* until its end: characters that must stand together */

uint32_t font_character(const char *text, size_t length) {
    uint32_t character = (uint8_t)text[0] & (length == 1 ? 0x7fu : 0x7fu >> length);
    for (size_t i = 1; i < length; i++)
        character = character << 6 | ((uint8_t)text[i] & 0x3fu);
    return character;
}

/* Takes the next entry of the map. */
static uint32_t map_next(const struct font *font, const uint8_t **at) {
    const uint8_t *p = *at;
    if (!font->map_is_utf8) {
        *at += 2;
        uint32_t word = (uint32_t)p[0] | (uint32_t)p[1] << 8;
        return word >= 0xfffeu ? word | 0xffff0000u : word;
    }
    size_t length = utf8_char((const char *)p, (size_t)(font->map_end - p));
    *at += length == 0 ? 1u : length;
    if (length == 0) /* a mark; a damaged byte counts as a sequence */
        return p[0] == 0xff ? MAP_END : MAP_SEQUENCE;
    return font_character((const char *)p, length);
}

/* The glyph that the map has for a character; font->count when none. Bounded by the map. */
static uint32_t map_find(const struct font *font, uint32_t character) {
    const uint8_t *at = font->map;
    ptrdiff_t step = font->map_is_utf8 ? 1 : 2;
    bool alone = true;
    for (uint32_t glyph = 0; glyph < font->count && font->map_end - at >= step;) {
        uint32_t entry = map_next(font, &at);
        if (entry == character && alone)
            return glyph;
        alone = entry == MAP_END || (alone && entry != MAP_SEQUENCE);
        glyph += entry == MAP_END;
    }
    return font->count;
}

static uint32_t glyph_find(const struct font *font, uint32_t character) {
    if (font->glyphs == font_data[0]) /* the last glyph is the box */
        return character - FONT_DATA_FIRST < FONT_DATA_COUNT - 1u ? character - FONT_DATA_FIRST
                                                                  : FONT_DATA_COUNT - 1u;
    uint32_t glyph = font->map != NULL ? map_find(font, character) : character;
    return glyph < font->count ? glyph : font->count > '?' ? '?' : 0;
}

uint32_t font_glyph(const struct font *font, uint32_t character) {
    return character < 128u ? font->ascii[character] : glyph_find(font, character);
}

static void ascii_fill(struct font *font) {
    for (uint32_t c = 0; c < 128u; c++)
        font->ascii[c] = (uint16_t)glyph_find(font, c);
}

void font_builtin(struct font *font) {
    *font =
        (struct font){.glyphs = font_data[0], .count = FONT_DATA_COUNT, .width = 8, .height = 16};
    ascii_fill(font);
}

static const char *psf_header(const uint8_t *bytes, size_t size, struct psf2_header *header) {
    uint32_t magic = 0;
    if (size < 4u)
        return "it is too short";
    memcpy(&magic, bytes, sizeof magic);
    if ((magic & 0xffffu) == PSF1_MAGIC) {
        uint32_t height = bytes[3];
        *header = (struct psf2_header){.header_size = 4u,
                                       .flags = bytes[2] & PSF1_MAP ? PSF2_MAP : 0,
                                       .count = bytes[2] & PSF1_512 ? 512u : 256u,
                                       .glyph_size = height,
                                       .height = height,
                                       .width = 8u};
        return NULL;
    }
    if (magic != PSF2_MAGIC)
        return "it is no PSF file";
    if (size < sizeof *header)
        return "it is too short";
    memcpy(header, bytes, sizeof *header);
    return NULL;
}

const char *font_open_psf(struct font *font, const void *file, size_t size) {
    const uint8_t *bytes = file;
    struct psf2_header h;
    const char *wrong = psf_header(bytes, size, &h);
    if (wrong != NULL)
        return wrong;
    if (h.width == 0 || h.width > FONT_WIDTH_MAX || h.height == 0 || h.height > FONT_HEIGHT_MAX)
        return "its characters are too large";
    if (h.glyph_size != h.height * ((h.width + 7u) / 8u) || h.count == 0 || h.count > 0xffffu)
        return "its sizes contradict each other";
    if (h.header_size > size || (size - h.header_size) / h.glyph_size < h.count)
        return "it ends before its last character";
    const uint8_t *map = bytes + h.header_size + (size_t)h.count * h.glyph_size;
    *font = (struct font){.glyphs = bytes + h.header_size,
                          .count = h.count,
                          .width = h.width,
                          .height = h.height,
                          .map = h.flags & PSF2_MAP ? map : NULL,
                          .map_end = bytes + size,
                          .map_is_utf8 = bytes[0] != (PSF1_MAGIC & 0xffu)};
    ascii_fill(font);
    return NULL;
}
