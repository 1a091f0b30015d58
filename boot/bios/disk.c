/* Disk: reads the image through the BIOS, and checks what it read.
 *
 * The extended read of INT 13h (AH=42h) takes 64-bit sector numbers and a real-mode address. So
 * sectors go to a buffer below 1 MiB and from there to their place; the buffer lies on a 64 KiB
 * boundary, which old DMA controllers cannot cross. */
#include "boot/bios/loader.h"

#include <string.h>

struct packet { /* "BIOS Enhanced Disk Drive Specification", disk address packet */
    uint8_t size, zero;
    uint16_t count, offset, segment;
    uint64_t lba;
};

static uint32_t boot_drive;
static struct packet packet;
static struct disk_header header;
static uint32_t crc_table[256];

void disk_open(uint32_t drive) {
    boot_drive = drive;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
        crc_table[i] = crc;
    }
}

static uint32_t crc32(const uint8_t *bytes, uint32_t size) {
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < size; i++)
        crc = crc >> 8 ^ crc_table[(crc ^ bytes[i]) & 255];
    return ~crc;
}

/* At most BOUNCE_SECTORS, to the buffer. */
static void read_chunk(uint32_t lba, uint32_t count) {
    uint32_t status = 0;
    for (unsigned i = 0; i < DISK_TRIES; i++) {
        packet = (struct packet){
            .size = 16, .count = (uint16_t)count, .segment = BOUNCE_AT >> 4, .lba = lba};
        struct bios_regs regs = {
            .eax = 0x4200, .edx = boot_drive, .esi = (uint32_t)(uintptr_t)&packet};
        bios_call(0x13, &regs);
        if ((regs.flags & BIOS_CARRY) == 0)
            return;
        status = regs.eax >> 8 & 255;
        regs = (struct bios_regs){.edx = boot_drive}; /* AH=0: reset */
        bios_call(0x13, &regs);
    }
    die("disk error: sectors %u to %u cannot be read, BIOS status %x", lba, lba + count - 1,
        status);
}

static void read_bytes(uint32_t lba, uint8_t *to, uint32_t size) {
    while (size > 0) {
        uint32_t bytes = size < BOUNCE_SECTORS * SECTOR_SIZE ? size : BOUNCE_SECTORS * SECTOR_SIZE;
        uint32_t sectors = (bytes + SECTOR_SIZE - 1) / SECTOR_SIZE;
        read_chunk(lba, sectors);
        memcpy(to, (const void *)BOUNCE_AT, bytes);
        to += bytes;
        lba += sectors;
        size -= bytes;
    }
}

const struct disk_header *disk_header_read(void) {
    read_bytes(HEADER_LBA, (uint8_t *)&header, sizeof(header));
    uint32_t crc = header.crc;
    header.crc = 0;
    if (memcmp(header.magic, "GGMKDISK", 8) != 0)
        die("image damaged: no header in sector %u", HEADER_LBA);
    if (crc32((const uint8_t *)&header, sizeof(header)) != crc)
        die("image damaged: checksum of the header");
    if (header.version != HEADER_VERSION)
        die("the image has version %u, this loader knows %u", header.version, HEADER_VERSION);
    header.cmdline[sizeof(header.cmdline) - 1] = '\0';
    return &header;
}

uint8_t *disk_load(const struct bios_boot *boot, const struct disk_file *file, const char *name) {
    uint8_t *to = memory_take(boot, file->size, name);
    read_bytes(file->lba, to, file->size);
    if (crc32(to, file->size) != file->crc)
        die("image damaged: checksum of the %s", name);
    return to;
}
