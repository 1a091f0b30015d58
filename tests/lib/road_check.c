/* Road check: see road_check.h. */
#include "tests/lib/road_check.h"

#include <string.h>

static bool screen_is_drawable(const struct boot_framebuffer *s) {
    uint64_t bytes = (uint64_t)s->pitch * s->height;
    unsigned cell = s->kind == BOOT_FB_TEXT ? 2 : s->bits_per_pixel / 8u;
    return s->base != 0 && s->width > 0 && s->height > 0 && s->base <= UINT64_MAX - bytes &&
           (uint64_t)s->width * cell <= s->pitch && bytes < 1ull << 32 &&
           (s->kind == BOOT_FB_TEXT ||
            (cell >= 2 && cell <= 4 && s->bits_per_pixel % 8 == 0 && s->red_bits <= 8 &&
             s->green_bits <= 8 && s->blue_bits <= 8 &&
             s->red_shift + s->red_bits <= s->bits_per_pixel &&
             s->green_shift + s->green_bits <= s->bits_per_pixel &&
             s->blue_shift + s->blue_bits <= s->bits_per_pixel));
}

static const char *check_lists(const struct boot_info *info) {
    if (info->range_count > BOOT_RANGES_MAX || info->module_count > BOOT_MODULES_MAX ||
        info->cpu_count > BOOT_CPUS_MAX) {
        return "a list is longer than its table";
    }
    for (uint32_t i = 0; i < info->range_count; i++) {
        if (info->ranges[i].kind < BOOT_RAM || info->ranges[i].kind > BOOT_BAD) {
            return "a range has no kind";
        }
    }
    for (uint32_t i = 0; i < info->module_count; i++) {
        if (memchr(info->modules[i].name, '\0', BOOT_NAME_MAX) == NULL) {
            return "a module's name has no end";
        }
    }
    return NULL;
}

const char *road_check(const struct boot_info *info) {
    const char *end = memchr(info->cmdline, '\0', BOOT_CMDLINE_MAX);
    if (end == NULL || memchr(info->loader, '\0', BOOT_NAME_MAX) == NULL) {
        return "a text has no end";
    }
    uint64_t kept = (uint64_t)(end - info->cmdline);
    bool cut = info->cmdline_length >= BOOT_CMDLINE_MAX;
    if (cut ? kept != BOOT_CMDLINE_MAX - 1 : kept != info->cmdline_length) {
        return "the command line's length does not fit to what was kept of it";
    }
    if (info->framebuffer.kind > BOOT_FB_RGB) {
        return "a screen of no kind";
    }
    if (info->framebuffer.kind != BOOT_FB_NONE && !screen_is_drawable(&info->framebuffer)) {
        return "a screen that cannot be drawn on";
    }
    return check_lists(info);
}
