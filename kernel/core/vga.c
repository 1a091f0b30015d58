/* VGA text: characters as pairs of code and attribute in the video memory of a PC. */
#include "boot/boot_info.h"
#include "kernel/core/screen.h"
#include "kernel/mem/vm.h"

enum { VGA_LIGHT_ON_BLACK = 0x07, VGA_BLACK_ON_LIGHT = 0x70, VGA_BOX = 0xfe };

static volatile uint16_t *memory;
static uint32_t stride, rows; /* stride: cells from one row to the next */

/* The adapter's own font follows code page 437, which is ASCII in its lower half. */
static uint32_t vga_glyph(uint32_t character) {
    return character >= 0x20u && character < 0x7fu ? character : VGA_BOX;
}

static void vga_draw(uint32_t column, uint32_t row, uint32_t glyph, bool inverted) {
    uint32_t attribute = inverted ? VGA_BLACK_ON_LIGHT : VGA_LIGHT_ON_BLACK;
    memory[row * stride + column] = (uint16_t)(attribute << 8 | glyph);
}

static void vga_clear(void) {
    for (uint32_t i = 0; i < stride * rows; i++)
        memory[i] = VGA_LIGHT_ON_BLACK << 8 | ' ';
}

const char *vga_open(struct screen_driver *driver, const struct boot_framebuffer *fb) {
    stride = fb->pitch != 0 ? fb->pitch / 2u : fb->width;
    if (fb->width == 0 || fb->height == 0 || fb->width > 512u || fb->height > 256u ||
        stride < fb->width || stride > 4096u)
        return "its size makes no sense";
    memory = vm_map_phys(fb->base, (size_t)stride * 2u * fb->height, PAGE_WRITE | PAGE_DEVICE);
    if (memory == NULL)
        return "its memory cannot be mapped";
    rows = fb->height;
    *driver = (struct screen_driver){fb->width, rows, vga_glyph, vga_clear, vga_draw};
    return NULL;
}
