/* Machine: console, CPU check, A20 gate and memory map of the BIOS loader. */
#include "boot/bios/loader.h"

#include <stdarg.h>
#include <string.h>

#define A20_POLLS_MAX   10000u
#define CPUID_LONG_MODE (1u << 29) /* leaf 0x80000001, edx */
#define FOUR_GIB        (1ull << 32)
#define FIRST_MIB       (1ull << 20)
#define PAGE            4096u

void *memcpy(void *to, const void *from, size_t size) {
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
    return start;
}

void *memset(void *to, int byte, size_t size) {
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    }
    return 0;
}

static void out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" ::"a"(value), "d"(port));
}

static uint8_t in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "d"(port));
    return value;
}

/* ---- Console --------------------------------------------------------------------------- */

/* 115200 baud, 8N1, no interrupts (16550 data sheet). */
void console_init(void) {
    static const uint8_t setup[][2] = {{1, 0}, {3, 0x80}, {0, 1}, {1, 0}, {3, 3}, {4, 3}};
    for (unsigned i = 0; i < sizeof(setup) / sizeof(setup[0]); i++)
        out8((uint16_t)(COM1 + setup[i][0]), setup[i][1]);
}

static void put(char c) {
    if (c == '\n')
        put('\r');
    struct bios_regs regs = {.eax = 0x0e00u | (uint8_t)c, .ebx = 7}; /* teletype */
    bios_call(0x10, &regs);
    for (unsigned i = 0; i < UART_POLLS_MAX && (in8(COM1 + 5) & 0x20) == 0; i++)
        ;
    out8(COM1, (uint8_t)c);
}

static void put_number(uint32_t value, uint32_t base) {
    char digits[12];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (count > 0)
        put(digits[--count]);
}

static void say_args(const char *format, va_list args) {
    for (const char *p = format; *p != '\0'; p++) {
        if (*p != '%') {
            put(*p);
        } else if (*++p == 's') {
            for (const char *s = va_arg(args, const char *); *s != '\0'; s++)
                put(*s);
        } else {
            put_number(va_arg(args, uint32_t), *p == 'x' ? 16 : 10);
        }
    }
}

void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_args(format, args);
    va_end(args);
}

void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say("GGMK loader: ");
    say_args(format, args);
    say(". Stopped.\n");
    va_end(args);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* ---- CPU and A20 --------------------------------------------------------------------------- */

static uint32_t cpuid(uint32_t leaf, uint32_t *edx) {
    uint32_t eax = leaf, ebx, ecx = 0;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(*edx));
    return eax;
}

void cpu_check(void) {
    uint32_t edx = 0;
    if (cpuid_exists() && cpuid(0x80000000u, &edx) >= 0x80000001u)
        cpuid(0x80000001u, &edx);
    else
        edx = 0;
    if ((edx & CPUID_LONG_MODE) == 0)
        die("this CPU has no long mode: GGMK needs a 64-bit CPU");
}

/* With the gate closed, address bit 20 is 0, and a byte 1 MiB higher is the same byte. */
static bool a20_is_open(void) {
    static volatile uint32_t probe;
    uintptr_t high = (uintptr_t)&probe + (uintptr_t)FIRST_MIB;
    __asm__("" : "+r"(high)); /* the compiler need not know what lies there */
    for (uint32_t i = 0; i < A20_POLLS_MAX; i++) {
        probe = i;
        *(volatile uint32_t *)high = ~i;
        if (probe == i)
            return true;
    }
    return false;
}

/* Waits until the keyboard controller (status port 0x64) takes a byte. */
static void keyboard_wait(void) {
    for (unsigned i = 0; i < A20_POLLS_MAX && (in8(0x64) & 2) != 0; i++)
        ;
}

void a20_open(void) {
    if (a20_is_open())
        return;
    struct bios_regs regs = {.eax = 0x2401}; /* INT 15h: enable the gate */
    bios_call(0x15, &regs);
    if (a20_is_open())
        return;
    keyboard_wait();
    out8(0x64, 0xd1); /* the next byte goes to the output port, whose bit 1 is the gate */
    keyboard_wait();
    out8(0x60, 0xdf);
    keyboard_wait();
    if (a20_is_open())
        return;
    out8(0x92, (uint8_t)((in8(0x92) | 2) & ~1)); /* system control port A; bit 0 would reset */
    if (!a20_is_open())
        die("the A20 gate does not open: memory above 1 MiB is out of reach");
}

/* ---- Memory ---------------------------------------------------------------------------------- */

void memory_read(struct bios_boot *boot) {
    static struct bios_range range;
    struct bios_regs regs = {0};
    do {
        range.attributes = 1; /* stays where the BIOS writes 20 bytes only */
        regs = (struct bios_regs){.eax = 0xe820,
                                  .ebx = regs.ebx,
                                  .ecx = sizeof(range),
                                  .edx = 0x534d4150, /* "SMAP" */
                                  .edi = (uint32_t)(uintptr_t)&range};
        bios_call(0x15, &regs);
        if ((regs.flags & BIOS_CARRY) != 0 || regs.eax != 0x534d4150)
            break;
        if (regs.ecx < 24)
            range.attributes = 1;
        if (boot->range_count < BIOS_RANGES_MAX)
            boot->ranges[boot->range_count++] = range;
        else
            boot->ranges_dropped++;
    } while (regs.ebx != 0 && boot->ranges_dropped < BIOS_RANGES_MAX);
    if (boot->range_count == 0)
        die("the BIOS has no memory map (INT 15h E820)");
}

static bool is_ram(const struct bios_range *range) {
    return range->type == 1 && (range->attributes & 1) != 0;
}

#define TAKEN_MAX 4u
static struct { uint64_t base, size; } taken[TAKEN_MAX];
static unsigned taken_count;

/* The highest place of `size` bytes that ends at or below `end`, starts at or above `low` and
 * meets nothing that is not free; 0 if there is none. Every obstacle moves it down, so it looks
 * at most once per obstacle. */
static uint64_t place_below(const struct bios_boot *boot, uint64_t low, uint64_t end,
                            uint64_t size) {
    for (unsigned tries = 0; tries <= BIOS_RANGES_MAX + TAKEN_MAX; tries++) {
        if (end < size || ((end - size) & ~(uint64_t)(PAGE - 1)) < low)
            return 0;
        uint64_t base = (end - size) & ~(uint64_t)(PAGE - 1), before = end;
        for (uint32_t i = 0; i < boot->range_count; i++) {
            const struct bios_range *range = &boot->ranges[i];
            if (!is_ram(range) && range->base < base + size && base < range->base + range->size)
                end = range->base;
        }
        for (unsigned i = 0; i < taken_count; i++) {
            if (taken[i].base < base + size && base < taken[i].base + taken[i].size)
                end = taken[i].base;
        }
        if (end == before)
            return base;
    }
    return 0;
}

uint8_t *memory_take(const struct bios_boot *boot, uint32_t size, const char *what) {
    uint64_t best = 0;
    for (uint32_t i = 0; i < boot->range_count; i++) {
        const struct bios_range *range = &boot->ranges[i];
        uint64_t end = range->base + range->size;
        uint64_t low = range->base < FIRST_MIB ? FIRST_MIB : range->base;
        uint64_t at =
            is_ram(range) ? place_below(boot, low, end < FOUR_GIB ? end : FOUR_GIB, size) : 0;
        best = at > best ? at : best;
    }
    if (best == 0 || taken_count == TAKEN_MAX)
        die("not enough memory below 4 GiB for %s (%u bytes)", what, size);
    taken[taken_count].base = best;
    taken[taken_count++].size = (size + (uint64_t)PAGE - 1) & ~(uint64_t)(PAGE - 1);
    return (uint8_t *)(uintptr_t)best;
}

bool memory_is_free(const struct bios_boot *boot, uint64_t base, uint64_t size) {
    if (size > FOUR_GIB || base < FIRST_MIB || base > FOUR_GIB - size)
        return false;
    for (uint32_t i = 0; i < boot->range_count; i++) {
        const struct bios_range *range = &boot->ranges[i];
        if (is_ram(range) && range->base <= base && base + size <= range->base + range->size)
            return place_below(boot, base, base + size, size) == base;
    }
    return false;
}
