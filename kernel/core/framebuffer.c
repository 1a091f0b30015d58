/* Framebuffer: draws characters as pixels into linear video memory of 16, 24 or 32 bits.
 *
 * The memory is mapped write-combining and never read: each row of a glyph is built on the stack
 * and copied out in one piece. */
#include <string.h>

#include "boot/boot_info.h"
#include "kernel/core/font.h"
#include "kernel/core/initrd.h"
#include "kernel/core/log.h"
#include "kernel/core/screen.h"
#include "kernel/mem/vm.h"

#define SIDE_MAX  16384u /* pixels */
#define LIGHT     0xd0u  /* of each colour */
#define FONT_FILE "etc/font.psf"

static uint8_t *memory;
static uint32_t pitch, height, pixel_bytes, ink; /* ink: the pixel of a lit point */
static struct font font;

static uint32_t fb_glyph(uint32_t character) {
    return font_glyph(&font, character);
}

static void fb_draw(uint32_t column, uint32_t row, uint32_t glyph, bool inverted) {
    uint32_t row_bytes = font_row_bytes(&font);
    const uint8_t *bits = font.glyphs + (size_t)glyph * row_bytes * font.height;
    uint8_t *to =
        memory + (size_t)row * font.height * pitch + (size_t)column * font.width * pixel_bytes;
    uint8_t line[FONT_WIDTH_MAX * 4u] = {0};
    for (uint32_t y = 0; y < font.height; y++, bits += row_bytes, to += pitch) {
        for (uint32_t x = 0; x < font.width; x++) {
            bool lit = ((unsigned)bits[x / 8u] >> (7u - x % 8u) & 1u) != 0;
            uint32_t pixel = lit != inverted ? ink : 0;
            memcpy(&line[(size_t)x * pixel_bytes], &pixel, pixel_bytes); /* little-endian */
        }
        memcpy(to, line, (size_t)font.width * pixel_bytes);
    }
}

static void fb_clear(void) {
    memset(memory, 0, (size_t)pitch * height);
}

/* The part of one colour in the pixel of a lit point. */
static uint32_t ink_of(uint8_t shift, uint8_t bits) {
    uint32_t value = bits <= 8u ? LIGHT >> (8u - bits) : LIGHT << (bits - 8u);
    return value << shift;
}

static const char *check(const struct boot_framebuffer *fb) {
    if (fb->bits_per_pixel != 16 && fb->bits_per_pixel != 24 && fb->bits_per_pixel != 32)
        return "its pixels do not have 16, 24 or 32 bits";
    if (fb->width == 0 || fb->width > SIDE_MAX || fb->height == 0 || fb->height > SIDE_MAX ||
        fb->pitch < fb->width * (fb->bits_per_pixel / 8u) || fb->pitch > SIDE_MAX * 8u)
        return "its size makes no sense";
    const uint8_t colours[][2] = {{fb->red_shift, fb->red_bits},
                                  {fb->green_shift, fb->green_bits},
                                  {fb->blue_shift, fb->blue_bits}};
    for (unsigned i = 0; i < 3; i++)
        if (colours[i][1] > 16u || colours[i][0] + colours[i][1] > fb->bits_per_pixel)
            return "its colours are not inside a pixel";
    return NULL;
}

static void font_choose(void) {
    struct cpio_entry file;
    font_builtin(&font);
    if (!initrd_find(FONT_FILE, &file))
        return;
    const char *wrong = font_open_psf(&font, file.data, file.size);
    if (wrong != NULL)
        klog_warn("screen", "%s is not used: %s", FONT_FILE, wrong);
}

const char *framebuffer_open(struct screen_driver *driver, const struct boot_framebuffer *fb) {
    const char *wrong = check(fb);
    if (wrong != NULL)
        return wrong;
    memory = vm_map_phys(fb->base, (size_t)fb->pitch * fb->height, PAGE_WRITE | PAGE_COMBINE);
    if (memory == NULL)
        return "its memory cannot be mapped";
    pitch = fb->pitch;
    height = fb->height;
    pixel_bytes = fb->bits_per_pixel / 8u;
    ink = ink_of(fb->red_shift, fb->red_bits) | ink_of(fb->green_shift, fb->green_bits) |
          ink_of(fb->blue_shift, fb->blue_bits);
    font_choose();
    *driver = (struct screen_driver){fb->width / font.width, fb->height / font.height, fb_glyph,
                                     fb_clear, fb_draw};
    return NULL;
}
