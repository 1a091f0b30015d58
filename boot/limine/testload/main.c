/* Main: takes what Multiboot 1 gives, and gives the kernel what Limine would.
 *
 * Structures are those of boot/limine.h; the magic numbers of the requests are proved against the
 * protocol's text by tests/unit/test_boot_limine.c. */
#include "boot/limine/testload/testload.h"
#include "lib/acpi.h"
#include "lib/elf.h"

#include <string.h>

#define KEEP_SIZE (4u << 20)
#define COM1      0x3f8

struct multiboot { /* Multiboot Specification 0.6.96, 3.3, as far as it is read */
    uint32_t flags, memory[2], boot_device, cmdline, module_count, modules, symbols[4];
    uint32_t map_length, map;
};
struct multiboot_module {
    uint32_t start, end, text, reserved;
};
struct multiboot_range {
    uint32_t size; /* of what follows */
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));

static _Alignas(4096) uint8_t kept[KEEP_SIZE];
static size_t kept_size;

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

void say(const char *text) {
    for (; *text != '\0'; text++)
        __asm__ volatile("outb %0, %1" ::"a"(*text), "d"((uint16_t)COM1));
}

void die(const char *why) {
    say("testload: ");
    say(why);
    say("\r\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

void *keep(size_t size) {
    size_t align = size >= 4096 ? 4096 : 16;
    size_t at = (kept_size + align - 1) & ~(align - 1);
    if (size > KEEP_SIZE || at > KEEP_SIZE - size)
        die("its own memory is used up");
    kept_size = at + size;
    return kept + at;
}

static void read_memory(const struct multiboot *boot) {
    for (uint32_t at = 0; at < boot->map_length;) {
        const struct multiboot_range *range = (void *)(uintptr_t)(boot->map + at);
        /* E820: 1 RAM, 3 ACPI tables, 4 ACPI NVS, 5 bad. Limine: 0, 2, 3, 4; 1 is reserved. */
        uint32_t type = range->type;
        memory_add(range->base, range->length,
                   type == 1                ? 0
                   : type >= 3 && type <= 5 ? type - 1
                                            : 1);
        at += range->size + 4;
    }
}

/* Loads the segments for KERNEL_PHYS and maps them with the rights that they ask for. */
static uint64_t load_kernel(const struct multiboot_module *file, uint64_t *base, uint64_t *size) {
    struct elf elf;
    struct elf_segment segment;
    uint64_t end = 0;
    *base = UINT64_MAX;
    if (!elf_open(&elf, (const void *)(uintptr_t)file->start, file->end - file->start))
        die(elf.error);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < elf.segment_count; i++) {
            if (!elf_segment(&elf, i, &segment))
                die(elf.error);
            if (segment.type != ELF_LOAD)
                continue;
            if (pass == 0) {
                *base = segment.vaddr < *base ? segment.vaddr : *base;
                end =
                    segment.vaddr + segment.mem_size > end ? segment.vaddr + segment.mem_size : end;
                continue;
            }
            uint64_t at = segment.vaddr - *base + KERNEL_PHYS;
            memset((void *)at, 0, segment.mem_size);
            memcpy((void *)at, elf.bytes + segment.offset, segment.file_size);
            map(segment.vaddr, at, segment.mem_size,
                ((segment.flags & 2) != 0 ? MAP_WRITE : 0) |
                    ((segment.flags & 1) != 0 ? MAP_EXEC : 0));
        }
    }
    *size = end - *base;
    return elf.entry;
}

/* By the start marker ("Requests Delimiters"); the kernel has all requests in one structure. */
static struct limine_requests *find_requests(uint64_t size) {
    static const uint64_t start[4] = LIMINE_START;
    for (uint64_t at = 0; at + sizeof(struct limine_requests) <= size; at += 8) {
        if (memcmp((void *)(KERNEL_PHYS + at), start, sizeof(start)) == 0)
            return (void *)(KERNEL_PHYS + at);
    }
    die("the kernel has no Limine requests");
}

static uint64_t find_rsdp(void) {
    size_t at = acpi_find_rsdp((const void *)0xe0000, 0x20000);
    if (at == SIZE_MAX)
        die("no RSDP in the BIOS area");
    return 0xe0000 + at;
}

static const char *kept_text(const char *text) {
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    return (const char *)memcpy(keep(length + 1), text, length + 1) + HHDM;
}

/* QEMU puts the file's name before what -append gives. */
static const char *without_name(const char *cmdline) {
    while (*cmdline != '\0' && *cmdline != ' ')
        cmdline++;
    return *cmdline == ' ' ? cmdline + 1 : cmdline;
}

static struct limine_module *modules_answer(const struct multiboot *boot) {
    const struct multiboot_module *from = (void *)(uintptr_t)boot->modules;
    struct limine_module *answer = keep(sizeof(*answer));
    struct limine_file **list = keep(boot->module_count * sizeof(*list));
    for (uint32_t i = 1; i < boot->module_count; i++) {
        struct limine_file *file = keep(sizeof(*file));
        file->address = from[i].start + HHDM;
        file->size = from[i].end - from[i].start;
        file->path = kept_text("/boot/initrd.cpio");
        file->text = kept_text("");
        list[answer->count++] = (void *)((uint64_t)file + HHDM);
    }
    answer->files = (void *)((uint64_t)list + HHDM);
    return answer;
}

#define ANSWER(request, value) ((request).response = (void *)((uint64_t)(value) + HHDM))

static void answer(struct limine_requests *r, const struct multiboot *boot, uint64_t virtual) {
    struct limine_bootloader_info *info = keep(sizeof(*info));
    info->name = kept_text("testload");
    info->version = kept_text("1");
    ANSWER(r->bootloader_info, info);

    struct limine_executable_file *executable = keep(sizeof(*executable));
    struct limine_file *file = keep(sizeof(*file));
    file->text = kept_text(without_name((const char *)(uintptr_t)boot->cmdline));
    executable->file = (void *)((uint64_t)file + HHDM);
    ANSWER(r->executable_file, executable);

    struct limine_hhdm *hhdm = keep(sizeof(*hhdm));
    hhdm->offset = HHDM;
    ANSWER(r->hhdm, hhdm);

    struct limine_rsdp *rsdp = keep(sizeof(*rsdp));
    rsdp->address = find_rsdp(); /* physical in base revision 3 */
    ANSWER(r->rsdp, rsdp);

    struct limine_executable_address *address = keep(sizeof(*address));
    address->physical = KERNEL_PHYS;
    address->virtual = virtual;
    ANSWER(r->executable_address, address);

    ANSWER(r->module, modules_answer(boot));
    ANSWER(r->mp, mp_answer(rsdp->address));
    ANSWER(r->memmap, memory_answer());
    r->base_revision[1] = LIMINE_BASE_REVISION;
    r->base_revision[2] = 0;
}

_Noreturn void testload_main(const struct multiboot *boot);

void testload_main(const struct multiboot *boot) {
    const struct multiboot_module *modules = (void *)(uintptr_t)boot->modules;
    uint64_t virtual, size;
    if (boot->module_count == 0)
        die("the kernel must come as the first module: -initrd \"gmk_kernel.elf,initrd.cpio\"");
    read_memory(boot);
    memory_carve(TRAMPOLINE, 4096, 5);
    memory_carve((uint64_t)image_begin, (uint64_t)image_end - (uint64_t)image_begin, 5);
    memory_carve(modules[0].start, modules[0].end - modules[0].start, 5);
    for (uint32_t i = 1; i < boot->module_count; i++)
        memory_carve(modules[i].start, modules[i].end - modules[i].start, 6);
    uint64_t entry = load_kernel(&modules[0], &virtual, &size);
    memory_carve(KERNEL_PHYS, size, 6);
    map_direct();
    struct limine_requests *requests = find_requests(size);
    answer(requests, boot, virtual);
    say("testload: the kernel lies at 0x2003000\r\n");
    enter(entry, (uint64_t)keep(STACK_SIZE) + STACK_SIZE + HHDM);
}
