/* Multiboot2: walks the tags of a boot information block. What for is told in multiboot2.h.
 *
 * Every tag is first cut out with its size checked against the block (next_tag), then read by a
 * function that knows how long that type must be. An impossible size ends the walk with a
 * complaint, what came before is kept. Chapter numbers are those of the specification. */
#include "boot/multiboot2.h"
#include "boot/roads.h"

enum tag_type {
    TAG_END = 0,
    TAG_CMDLINE = 1,     /* 3.6.1 */
    TAG_LOADER = 2,      /* 3.6.5 */
    TAG_MODULE = 3,      /* 3.6.6 */
    TAG_MEMORY_MAP = 6,  /* 3.6.8 */
    TAG_FRAMEBUFFER = 8, /* 3.6.12 */
    TAG_ACPI_OLD = 14,   /* 3.6.17: a copy of the RSDP of ACPI 1.0 */
    TAG_ACPI_NEW = 15,   /* 3.6.18: of ACPI 2.0 and later */
};

#define TAGS_MAX 4096u /* bounds the walk; GRUB sends about 20 */

struct tag {
    uint32_t type;
    uint64_t size;     /* bytes, this header of 8 included */
    const uint8_t *at; /* its first byte */
    uint64_t offset;   /* of that in the block */
};

/* Cuts out the tag at *offset and moves *offset behind it. */
static bool next_tag(struct boot_info *info, const uint8_t *block, uint64_t size, uint64_t *offset,
                     struct tag *tag) {
    if (*offset > size || size - *offset < 8) {
        road_complain(info, "multiboot2: the block ends without an end tag");
        return false;
    }
    tag->at = block + *offset;
    tag->offset = *offset;
    tag->type = bytes_le32(tag->at);
    tag->size = bytes_le32(tag->at + 4);
    if (tag->size < 8 || tag->size > size - *offset) {
        road_complain(info, "multiboot2: a tag is longer than the block: the rest is not read");
        return false;
    }
    *offset += (tag->size + 7) & ~7ull; /* 3.6: tags are padded to 8 bytes */
    return tag->type != TAG_END;
}

/* The text that fills the tag from `from` on; at least one byte, its terminator. */
static const char *tag_text(const struct tag *tag, uint64_t from, uint64_t *limit) {
    *limit = tag->size - from;
    return (const char *)tag->at + from;
}

static void read_memory_map(struct boot_info *info, const struct tag *tag) {
    uint64_t step = tag->size >= 16 ? bytes_le32(tag->at + 8) : 0;
    if (step < 24 || step % 8 != 0) { /* "guaranteed to be a multiple of 8" */
        road_complain(info, "multiboot2: the memory map's entries have an impossible size");
        return;
    }
    for (uint64_t at = 16; tag->size - at >= step; at += step) {
        const uint8_t *entry = tag->at + at;
        boot_add_range(info, bytes_le64(entry), bytes_le64(entry + 8),
                       road_range_kind(bytes_le32(entry + 16)));
    }
}

static void read_module(struct boot_info *info, const struct tag *tag) {
    uint64_t limit;
    if (tag->size < 17) {
        road_complain(info, "multiboot2: a module's tag is too short: skipped");
        return;
    }
    const char *name = tag_text(tag, 16, &limit);
    uint64_t start = bytes_le32(tag->at + 8), end = bytes_le32(tag->at + 12);
    if (end < start)
        road_complain(info, "multiboot2: a module ends before it starts: skipped");
    else
        boot_add_module(info, start, end - start, name, limit);
}

static void read_framebuffer(struct boot_info *info, const struct tag *tag) {
    if (tag->size < 32) {
        road_complain(info, "multiboot2: the framebuffer's tag is too short: no screen");
        return;
    }
    struct boot_framebuffer screen = {
        .base = bytes_le64(tag->at + 8),
        .pitch = bytes_le32(tag->at + 16),
        .width = bytes_le32(tag->at + 20),
        .height = bytes_le32(tag->at + 24),
        .bits_per_pixel = tag->at[28],
    };
    uint8_t type = tag->at[29]; /* 0: palette, 1: RGB, 2: text */
    if (type == 1 && tag->size >= 38) {
        screen.kind = BOOT_FB_RGB;
        screen.red_shift = tag->at[32], screen.red_bits = tag->at[33];
        screen.green_shift = tag->at[34], screen.green_bits = tag->at[35];
        screen.blue_shift = tag->at[36], screen.blue_bits = tag->at[37];
    } else if (type == 2) {
        screen.kind = BOOT_FB_TEXT;
    } else {
        road_complain(info, "multiboot2: the framebuffer is neither RGB nor text: no screen");
        return;
    }
    road_set_screen(info, &screen);
}

/* The tag holds a copy of the root pointer, and under UEFI there is no other place to find it.
 * So the copy is the one that is used, and its memory is kept like an ACPI table. The newer
 * one wins, whatever the order. */
static void read_rsdp(struct boot_info *info, const struct tag *tag, uint64_t block_pa) {
    uint64_t least = tag->type == TAG_ACPI_NEW ? 36 : 20; /* ACPI 6.5 5.2.5.3 */
    if (tag->size < 8 + least) {
        road_complain(info, "multiboot2: the copy of the ACPI root pointer is cut off");
    } else if (info->rsdp == 0 || tag->type == TAG_ACPI_NEW) {
        info->rsdp = block_pa + tag->offset + 8;
        boot_add_range(info, info->rsdp, least, BOOT_ACPI_RECLAIM);
    }
}

static void read_tag(struct boot_info *info, const struct tag *tag, uint64_t block_pa) {
    uint64_t limit;
    const char *text = tag_text(tag, 8, &limit);
    switch (tag->type) {
    case TAG_CMDLINE:
        boot_set_cmdline(info, text, limit);
        break;
    case TAG_LOADER:
        road_copy_text(info->loader, sizeof(info->loader), text, limit);
        break;
    case TAG_MODULE:
        read_module(info, tag);
        break;
    case TAG_MEMORY_MAP:
        read_memory_map(info, tag);
        break;
    case TAG_FRAMEBUFFER:
        read_framebuffer(info, tag);
        break;
    case TAG_ACPI_OLD:
    case TAG_ACPI_NEW:
        read_rsdp(info, tag, block_pa);
        break;
    default: /* of no use to us */
        break;
    }
}

void multiboot2_read(struct boot_info *info, const void *block, uint64_t block_pa, uint64_t limit) {
    const uint8_t *bytes = block;
    uint64_t size = limit >= 8 ? bytes_le32(bytes) : 0;
    if (size < 16 || size > limit) {
        road_complain(info, "multiboot2: the block's size is impossible: nothing was read");
        return;
    }
    boot_add_range(info, block_pa, size, BOOT_LOADER);
    uint64_t offset = 8; /* 3.6.1: total_size, reserved */
    struct tag tag;
    for (unsigned i = 0; i < TAGS_MAX && next_tag(info, bytes, size, &offset, &tag); i++) {
        read_tag(info, &tag, block_pa);
    }
}

void road_multiboot2(uint64_t magic, uint64_t block) {
    boot_info.road = "multiboot2";
    const void *at = boot_reach(&boot_info, block, 8);
    if (magic != MULTIBOOT2_MAGIC || at == NULL)
        road_complain(&boot_info, "multiboot2: entered by something else than a loader");
    else
        multiboot2_read(&boot_info, at, block, MULTIBOOT2_BLOCK_MAX);
}
