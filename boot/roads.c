/* Roads: checks and copies that every boot road needs. The idea is told in roads.h. */
#include "boot/roads.h"

#define SCREEN_SIDE_MAX 16384u /* pixels; also keeps pitch * height far from overflow */

void road_complain(struct boot_info *info, const char *what) {
    if (info->complaint == NULL)
        info->complaint = what;
}

uint32_t road_range_kind(uint32_t type) {
    switch (type) {
    case 1:
        return BOOT_RAM;
    case 3:
        return BOOT_ACPI_RECLAIM;
    case 4:
        return BOOT_ACPI_NVS;
    case 5:
        return BOOT_BAD;
    default:
        return BOOT_RESERVED;
    }
}

void road_copy_text(char *out, uint64_t size, const char *text, uint64_t limit) {
    uint64_t length = 0;
    for (; length + 1 < size && length < limit && text[length] != '\0'; length++) {
        out[length] = text[length];
    }
    out[length] = '\0';
}

static bool colour_fits(unsigned shift, unsigned bits, unsigned pixel) {
    return bits >= 1 && bits <= 8 && shift + bits <= pixel;
}

static bool colours_fit(const struct boot_framebuffer *s) {
    unsigned pixel = s->bits_per_pixel;
    return (pixel == 16 || pixel == 24 || pixel == 32) &&
           colour_fits(s->red_shift, s->red_bits, pixel) &&
           colour_fits(s->green_shift, s->green_bits, pixel) &&
           colour_fits(s->blue_shift, s->blue_bits, pixel);
}

void road_set_screen(struct boot_info *info, const struct boot_framebuffer *s) {
    bool text = s->kind == BOOT_FB_TEXT;
    uint64_t line = text ? (uint64_t)s->width * 2 : (uint64_t)s->width * s->bits_per_pixel / 8;
    bool geometry = (text || s->kind == BOOT_FB_RGB) && s->base != 0 && s->width != 0 &&
                    s->height != 0 && s->width <= SCREEN_SIDE_MAX && s->height <= SCREEN_SIDE_MAX &&
                    s->pitch >= line && s->pitch <= SCREEN_SIDE_MAX * 8 &&
                    s->base <= UINT64_MAX - (uint64_t)s->pitch * s->height;
    if (!geometry) {
        road_complain(info, "the screen's size makes no sense: no screen");
    } else if (!text && !colours_fit(s)) {
        road_complain(info, "the screen's pixels are not 16, 24 or 32 bits of RGB: no screen");
    } else {
        info->framebuffer = *s;
    }
}
