/* Limine: translates the responses of a Limine loader into boot_info. See limine.h.
 *
 * The responses are structures of the loader behind pointers, so unlike the blocks of other
 * roads they cannot be bounded as bytes; what is bounded are counts and texts, and every
 * response may be missing. Where the kernel is and where its memory can be reached must be
 * known; if not, nothing else is read. */
#include "boot/limine.h"
#include "boot/roads.h"

#include <string.h>

#define ENTRIES_MAX 4096u /* of any list of the loader's */
#define TEXT_MAX    65536u

#define REQUEST_INIT(name, id2, id3) .name = {.id = {LIMINE_MAGIC0, LIMINE_MAGIC1, id2, id3}},

/* The loader finds it by its magic numbers, and writes into it: so it is data, and not static. */
__attribute__((section(".limine_requests"), used)) struct limine_requests limine_requests = {
    .start = LIMINE_START,
    .base_revision = {LIMINE_BASE_MAGIC0, LIMINE_BASE_MAGIC1, LIMINE_BASE_REVISION},
    LIMINE_FEATURES(REQUEST_INIT).end = LIMINE_END,
};

static uint64_t bounded(struct boot_info *info, uint64_t count) {
    if (count <= ENTRIES_MAX)
        return count;
    road_complain(info, "limine: a list is absurdly long: only its start was read");
    return ENTRIES_MAX;
}

static uint32_t range_kind(uint64_t type) {
    switch (type) { /* "Memory Map Feature" */
    case 0:         /* usable */
    case 6:         /* executable and modules: RAM; what is in use there is known from elsewhere */
        return BOOT_RAM;
    case 2:
        return BOOT_ACPI_RECLAIM;
    case 3:
        return BOOT_ACPI_NVS;
    case 4:
        return BOOT_BAD;
    case 5: /* bootloader reclaimable: the responses, page tables, stacks */
        return BOOT_LOADER;
    default: /* reserved, framebuffer, and what later revisions add */
        return BOOT_RESERVED;
    }
}

static void read_memory(struct boot_info *info, const struct limine_memmap *map) {
    if (map == NULL) {
        road_complain(info, "limine: no memory map");
        return;
    }
    uint64_t count = bounded(info, map->count);
    for (uint64_t i = 0; i < count; i++) {
        const struct limine_range *range = map->entries[i];
        boot_add_range(info, range->base, range->length, range_kind(range->type));
    }
}

static void read_modules(struct boot_info *info, const struct limine_module *modules) {
    uint64_t count = modules != NULL ? bounded(info, modules->count) : 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct limine_file *file = modules->files[i];
        bool named = file->text != NULL && file->text[0] != '\0';
        boot_add_module(info, file->address - info->early_offset, file->size,
                        named ? file->text : file->path, BOOT_NAME_MAX);
    }
}

static void read_screen(struct boot_info *info, const struct limine_framebuffer *list) {
    if (list == NULL || list->count == 0)
        return;
    const struct limine_screen *s = list->screens[0];
    if (s->memory_model != 1 || s->width > UINT16_MAX || s->height > UINT16_MAX ||
        s->pitch > UINT32_MAX || s->bits_per_pixel > 32) {
        road_complain(info, "limine: the screen is not one of RGB pixels: no screen");
        return;
    }
    struct boot_framebuffer screen = {
        .base = s->address - info->early_offset,
        .kind = BOOT_FB_RGB,
        .pitch = (uint32_t)s->pitch,
        .width = (uint32_t)s->width,
        .height = (uint32_t)s->height,
        .bits_per_pixel = (uint8_t)s->bits_per_pixel,
        .red_shift = s->red_shift,
        .red_bits = s->red_bits,
        .green_shift = s->green_shift,
        .green_bits = s->green_bits,
        .blue_shift = s->blue_shift,
        .blue_bits = s->blue_bits,
    };
    road_set_screen(info, &screen);
}

/* CPUs that wait for an address, without the one that runs this. */
static void read_cpus(struct boot_info *info, const struct limine_mp *mp) {
    uint64_t count = mp != NULL ? bounded(info, mp->count) : 0;
    for (uint64_t i = 0; i < count; i++) {
        struct limine_cpu *cpu = mp->cpus[i];
        if (cpu->apic_id == mp->boot_apic_id)
            continue;
        if (info->cpu_count == BOOT_CPUS_MAX) {
            road_complain(info, "limine: more CPUs than the kernel has room for");
            return;
        }
        info->cpus[info->cpu_count++] = (struct boot_cpu){
            .apic_id = cpu->apic_id,
            .goto_address = (uint64_t)(uintptr_t)&cpu->goto_address,
            .argument = (uint64_t)(uintptr_t)&cpu->argument,
        };
    }
}

static void read_texts(struct boot_info *info, const struct limine_requests *r) {
    if (r->bootloader_info.response != NULL) {
        const struct limine_bootloader_info *loader = r->bootloader_info.response;
        road_copy_text(info->loader, sizeof(info->loader), loader->name, TEXT_MAX);
        size_t length = strlen(info->loader);
        if (length + 2 < sizeof(info->loader)) {
            info->loader[length++] = ' ';
            road_copy_text(info->loader + length, sizeof(info->loader) - length, loader->version,
                           TEXT_MAX);
        }
    }
    if (r->executable_file.response != NULL)
        boot_set_cmdline(info, r->executable_file.response->file->text, TEXT_MAX);
}

void limine_read(struct boot_info *info, const struct limine_requests *r, uint64_t image,
                 uint64_t image_size) {
    const struct limine_executable_address *at = r->executable_address.response;
    read_texts(info, r);
    if (r->base_revision[2] != 0)
        road_complain(info, "limine: the loader does not speak base revision 3");
    if (r->hhdm.response == NULL || at == NULL || at->virtual != image) {
        road_complain(info, "limine: where the kernel and its direct map are is unknown");
        return; /* without a memory map the kernel stops and says so */
    }
    info->early_offset = r->hhdm.response->offset;
    info->kernel_base = at->physical;
    info->kernel_size = image_size;

    /* Physical in the base revision that we ask for; a loader of another one hands out an
     * address of its direct map, which no physical address can be. */
    if (r->rsdp.response != NULL) {
        uint64_t rsdp = r->rsdp.response->address;
        info->rsdp = rsdp >= info->early_offset ? rsdp - info->early_offset : rsdp;
    }
    read_memory(info, r->memmap.response);
    read_modules(info, r->module.response);
    read_screen(info, r->framebuffer.response);
    read_cpus(info, r->mp.response);
}

void road_limine(uint64_t image_start, uint64_t image_end) {
    boot_info.road = "limine";
    limine_read(&boot_info, &limine_requests, image_start, image_end - image_start);
}
