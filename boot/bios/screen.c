/* Screen: finds a linear framebuffer among the VESA modes, or falls back to VGA text.
 *
 * "VESA BIOS Extension Core Functions Standard 3.0": 4F00h tells the list of modes, 4F01h describes
 * one, 4F02h sets it. Wanted is a mode of direct colour, linear, with 32 bits per pixel, of the
 * size that the image asks for. A machine without a screen has neither, and boots as well. */
#include "boot/bios/loader.h"

#include <string.h>

#define MODES_MAX    512u
#define MODE_USABLE  0x99u /* supported, colour, graphics, linear framebuffer */
#define DIRECT_COLOR 6u
#define LINEAR       0x4000u
#define SUCCESS      0x004fu

static struct {
    char signature[4];
    uint16_t version;
    uint8_t before_modes[8];
    uint16_t modes_offset, modes_segment;
    uint8_t rest[494];
} vbe;

static struct {
    uint16_t attributes;
    uint8_t windows[14];
    uint16_t pitch, width, height;
    uint8_t char_size[2], planes, bits, banks, model, bank_size, pages, reserved;
    uint8_t red_bits, red_shift, green_bits, green_shift, blue_bits, blue_shift;
    uint8_t reserved_bits[3];
    uint32_t base;
    uint8_t rest[212];
} mode;

_Static_assert(sizeof(vbe) == 512, "as the BIOS writes it");
_Static_assert(offsetof(__typeof__(mode), base) == 40, "as the BIOS writes it");

static bool vbe_call(uint32_t function, uint32_t bx, uint32_t cx, void *to) {
    struct bios_regs regs = {.eax = function, .ebx = bx, .ecx = cx, .edi = (uint32_t)(uintptr_t)to};
    bios_call(0x10, &regs);
    return (regs.eax & 0xffff) == SUCCESS;
}

/* The number of the wanted mode, which `mode` then describes; 0xffff: there is none. */
static uint16_t find_mode(uint32_t width, uint32_t height) {
    memcpy(vbe.signature, "VBE2", 4);
    if (!vbe_call(0x4f00, 0, 0, &vbe) || vbe.version < 0x200)
        return 0xffff;
    uintptr_t list = (uintptr_t)vbe.modes_segment * 16 + vbe.modes_offset;
    for (unsigned i = 0; i < MODES_MAX; i++) {
        uint16_t number;
        memcpy(&number, (const void *)(list + i * 2), 2);
        if (number == 0xffff)
            break;
        if (vbe_call(0x4f01, 0, number, &mode) && (mode.attributes & MODE_USABLE) == MODE_USABLE &&
            mode.model == DIRECT_COLOR && mode.bits == 32 && mode.width == width &&
            mode.height == height)
            return number;
    }
    return 0xffff;
}

/* Mode 3: 80 by 25 characters. A machine without a screen does not say that it is set. */
static void set_text(struct bios_boot *boot) {
    struct bios_regs regs = {.eax = 0x0003};
    bios_call(0x10, &regs);
    regs = (struct bios_regs){.eax = 0x0f00};
    bios_call(0x10, &regs);
    if ((regs.eax & 0x7f) != 3)
        return;
    boot->screen = (struct boot_framebuffer){
        .base = 0xb8000, .kind = BOOT_FB_TEXT, .pitch = 160, .width = 80, .height = 25};
}

void screen_set(struct bios_boot *boot, uint32_t width, uint32_t height) {
    uint16_t number = width != 0 ? find_mode(width, height) : 0xffff;
    if (number == 0xffff || !vbe_call(0x4f02, number | LINEAR, 0, NULL)) {
        set_text(boot);
        return;
    }
    boot->screen = (struct boot_framebuffer){
        .base = mode.base,
        .kind = BOOT_FB_RGB,
        .pitch = mode.pitch,
        .width = mode.width,
        .height = mode.height,
        .bits_per_pixel = mode.bits,
        .red_shift = mode.red_shift,
        .red_bits = mode.red_bits,
        .green_shift = mode.green_shift,
        .green_bits = mode.green_bits,
        .blue_shift = mode.blue_shift,
        .blue_bits = mode.blue_bits,
    };
}
