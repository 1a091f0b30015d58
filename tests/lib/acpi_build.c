/* ACPI builder: see acpi_build.h. */
#include "tests/lib/acpi_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE 36u

static const void *map(void *arg, uint64_t pa, size_t size) {
    struct acpi_build *b = arg;
    free(b->mapped);
    b->mapped = NULL;
    b->map_max = size > b->map_max ? size : b->map_max;
    if (pa < b->base || pa - b->base > ACPI_BUILD_SIZE || size > ACPI_BUILD_SIZE - (pa - b->base)) {
        return NULL;
    }
    b->mapped = malloc(size);
    memcpy(b->mapped, acpi_build_at(b, pa), size);
    return b->mapped;
}

static void note(void *arg, const char signature[4], uint32_t length, const char *wrong) {
    struct acpi_build *b = arg;
    if (b->note_count < ACPI_BUILD_NOTES) {
        struct acpi_note *n = &b->notes[b->note_count++];
        memcpy(n->signature, signature, 4);
        n->length = length;
        n->wrong = wrong;
    }
}

void acpi_build_init(struct acpi_build *b, uint64_t base) {
    memset(b, 0, sizeof *b);
    b->base = base;
    b->reader = (struct acpi_reader){map, note, b};
}

void acpi_build_fini(struct acpi_build *b) {
    free(b->mapped);
    b->mapped = NULL;
}

uint8_t *acpi_build_at(struct acpi_build *b, uint64_t pa) {
    return b->bytes + (pa - b->base);
}

static void write_number(uint8_t *at, uint64_t value, unsigned width) {
    for (unsigned i = 0; i < width; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

void acpi_build_put(struct acpi_build *b, uint64_t value, unsigned width) {
    if (width > ACPI_BUILD_SIZE - b->used) {
        fprintf(stderr, "acpi_build: no room\n");
        abort();
    }
    write_number(b->bytes + b->used, value, width);
    b->used += width;
}

void acpi_build_zeros(struct acpi_build *b, size_t count) {
    for (size_t i = 0; i < count; i++) {
        acpi_build_put(b, 0, 1);
    }
}

static void put_text(struct acpi_build *b, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        acpi_build_put(b, (uint8_t)text[i], 1);
    }
}

static uint8_t negative_sum(const uint8_t *bytes, size_t size) {
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return (uint8_t)-sum;
}

void acpi_build_begin(struct acpi_build *b, const char *signature, uint8_t revision) {
    b->used = (b->used + 15u) & ~(size_t)15u;
    b->table = b->used;
    put_text(b, signature, 4);
    acpi_build_put(b, 0, 4);
    acpi_build_put(b, revision, 1);
    acpi_build_put(b, 0, 1);
    put_text(b, "GGMK  TEST    ", 14);
    acpi_build_zeros(b, 12);
}

void acpi_build_seal(struct acpi_build *b, uint64_t table) {
    uint8_t *at = acpi_build_at(b, table);
    uint32_t size = 0;
    memcpy(&size, at + 4, sizeof size);
    at[9] = 0;
    at[9] = negative_sum(at, size);
}

uint64_t acpi_build_end(struct acpi_build *b, bool listed) {
    uint64_t pa = b->base + b->table;
    write_number(b->bytes + b->table + 4, b->used - b->table, 4);
    acpi_build_seal(b, pa);
    if (listed) {
        b->tables[b->table_count++] = pa;
    }
    return pa;
}

uint64_t acpi_build_root(struct acpi_build *b, uint8_t revision) {
    unsigned width = revision >= 2 ? 8 : 4;
    uint64_t xsdt = 0;
    if (revision >= 2) {
        acpi_build_begin(b, "XSDT", 1);
        for (unsigned i = 0; i < b->table_count; i++) {
            acpi_build_put(b, b->tables[i], width);
        }
        xsdt = acpi_build_end(b, false);
    }
    acpi_build_begin(b, "RSDT", 1);
    for (unsigned i = 0; i < b->table_count && revision < 2; i++) {
        acpi_build_put(b, b->tables[i], width);
    }
    uint64_t rsdt = acpi_build_end(b, false);
    b->used = (b->used + 15u) & ~(size_t)15u;
    uint8_t *at = b->bytes + b->used;
    put_text(b, "RSD PTR ", 8);
    acpi_build_put(b, 0, 1);
    put_text(b, "GGMK  ", 6);
    acpi_build_put(b, revision, 1);
    acpi_build_put(b, rsdt, 4);
    at[8] = negative_sum(at, 20);
    if (revision >= 2) {
        acpi_build_put(b, 36, 4);
        acpi_build_put(b, xsdt, 8);
        acpi_build_put(b, 0, 4);
        at[32] = negative_sum(at, 36);
    }
    return b->base + (uint64_t)(at - b->bytes);
}

void acpi_build_madt(struct acpi_build *b) {
    acpi_build_begin(b, "APIC", 3);
    acpi_build_put(b, 0xfee00000u, 4);
    acpi_build_put(b, 1, 4);
}

void acpi_build_cpu(struct acpi_build *b, uint8_t uid, uint8_t apic_id, uint32_t flags) {
    acpi_build_put(b, 0x0800, 2);
    acpi_build_put(b, uid, 1);
    acpi_build_put(b, apic_id, 1);
    acpi_build_put(b, flags, 4);
}

void acpi_build_x2apic(struct acpi_build *b, uint32_t uid, uint32_t apic_id, uint32_t flags) {
    acpi_build_put(b, 0x1009, 4);
    acpi_build_put(b, apic_id, 4);
    acpi_build_put(b, flags, 4);
    acpi_build_put(b, uid, 4);
}

void acpi_build_ioapic(struct acpi_build *b, uint8_t id, uint32_t base, uint32_t gsi_base) {
    acpi_build_put(b, 0x0c01, 2);
    acpi_build_put(b, id, 2);
    acpi_build_put(b, base, 4);
    acpi_build_put(b, gsi_base, 4);
}

void acpi_build_override(struct acpi_build *b, uint8_t isa, uint32_t gsi, uint16_t flags) {
    acpi_build_put(b, 0x0a02, 2);
    acpi_build_put(b, 0, 1);
    acpi_build_put(b, isa, 1);
    acpi_build_put(b, gsi, 4);
    acpi_build_put(b, flags, 2);
}

void acpi_build_nmi(struct acpi_build *b, uint8_t uid, uint8_t lint) {
    acpi_build_put(b, 0x0604, 2);
    acpi_build_put(b, uid, 1);
    acpi_build_put(b, 0, 2);
    acpi_build_put(b, lint, 1);
}

void acpi_build_srat(struct acpi_build *b, uint8_t revision) {
    acpi_build_begin(b, "SRAT", revision);
    acpi_build_put(b, 1, 4);
    acpi_build_put(b, 0, 8);
}

void acpi_build_srat_cpu(struct acpi_build *b, uint32_t domain, uint8_t apic_id, uint32_t flags) {
    acpi_build_put(b, 0x1000, 2);
    acpi_build_put(b, domain, 1);
    acpi_build_put(b, apic_id, 1);
    acpi_build_put(b, flags, 4);
    acpi_build_put(b, 0, 1);
    acpi_build_put(b, domain >> 8, 3);
    acpi_build_put(b, 0, 4);
}

void acpi_build_srat_x2apic(struct acpi_build *b, uint32_t domain, uint32_t apic_id) {
    acpi_build_put(b, 0x1802, 4);
    acpi_build_put(b, domain, 4);
    acpi_build_put(b, apic_id, 4);
    acpi_build_put(b, 1, 4);
    acpi_build_put(b, 0, 8);
}

void acpi_build_srat_memory(struct acpi_build *b, uint32_t domain, uint64_t base, uint64_t size,
                            uint32_t flags) {
    acpi_build_put(b, 0x2801, 2);
    acpi_build_put(b, domain, 4);
    acpi_build_put(b, 0, 2);
    acpi_build_put(b, base, 8);
    acpi_build_put(b, size, 8);
    acpi_build_put(b, 0, 4);
    acpi_build_put(b, flags, 4);
    acpi_build_put(b, 0, 8);
}

void acpi_build_slit(struct acpi_build *b, uint64_t count, const uint8_t *matrix) {
    acpi_build_begin(b, "SLIT", 1);
    acpi_build_put(b, count, 8);
    for (uint64_t i = 0; i < count * count; i++) {
        acpi_build_put(b, matrix[i], 1);
    }
}

void acpi_build_fadt(struct acpi_build *b, size_t size) {
    acpi_build_begin(b, "FACP", size > 116 ? 6 : 1);
    acpi_build_zeros(b, size - HEADER_SIZE);
    write_number(b->bytes + b->table + 40, b->dsdt, 4);
}

void acpi_build_mcfg(struct acpi_build *b, uint64_t base, uint16_t segment, uint8_t first,
                     uint8_t last) {
    acpi_build_put(b, base, 8);
    acpi_build_put(b, segment, 2);
    acpi_build_put(b, first, 1);
    acpi_build_put(b, last, 1);
    acpi_build_put(b, 0, 4);
}

static void build_numa(struct acpi_build *b) {
    static const uint8_t distances[] = {10, 21, 21, 10};
    acpi_build_srat(b, 1);
    for (uint8_t i = 0; i < 4; i++) {
        acpi_build_srat_cpu(b, i / 2u, i, 1);
    }
    acpi_build_srat_memory(b, 0, 0, 0xa0000, 1);
    acpi_build_srat_memory(b, 0, 0x100000, 0x7f00000, 1);
    acpi_build_srat_memory(b, 1, 0x8000000, 0x8000000, 1);
    acpi_build_srat_memory(b, 1, 0, 0, 0);
    (void)acpi_build_end(b, true);
    acpi_build_slit(b, 2, distances);
    (void)acpi_build_end(b, true);
}

static void build_power(struct acpi_build *b) {
    static const uint8_t s5[] = {0x08, '_', 'S', '5', '_', 0x12, 6, 4, 0x0a, 7, 1, 0, 0};
    acpi_build_begin(b, "DSDT", 2);
    acpi_build_zeros(b, 20);
    put_text(b, (const char *)s5, sizeof s5);
    b->dsdt = acpi_build_end(b, false);
    acpi_build_fadt(b, 244);
    uint8_t *fadt = b->bytes + b->table;
    write_number(fadt + 64, 0x604, 4);
    write_number(fadt + 76, 0x608, 4);
    write_number(fadt + 112, 1u << 10 | 1u << 8, 4); /* a reset register, a timer of 32 bits */
    fadt[116] = ACPI_IO;
    write_number(fadt + 120, 0xcf9, 8);
    fadt[128] = 0x0f;
    (void)acpi_build_end(b, true);
    acpi_build_begin(b, "MCFG", 1);
    acpi_build_zeros(b, 8);
    acpi_build_mcfg(b, 0xb0000000u, 0, 0, 255);
    (void)acpi_build_end(b, true);
}

uint64_t acpi_build_machine(struct acpi_build *b, uint8_t revision) {
    build_numa(b); /* before the MADT: the order must not matter */
    acpi_build_madt(b);
    for (uint8_t i = 0; i < 4; i++) {
        acpi_build_cpu(b, i, i, 1);
    }
    acpi_build_ioapic(b, 0, 0xfec00000u, 0);
    acpi_build_override(b, 0, 2, 0);
    acpi_build_override(b, 9, 9, 0xd);
    acpi_build_nmi(b, 0xff, 1);
    (void)acpi_build_end(b, true);
    build_power(b);
    return acpi_build_root(b, revision);
}

const char *acpi_build_wrong(const struct acpi_build *b, const char *signature) {
    for (unsigned i = b->note_count; i-- > 0;) {
        if (strcmp(b->notes[i].signature, signature) == 0) {
            return b->notes[i].wrong;
        }
    }
    fprintf(stderr, "acpi_build: nothing was said about %s\n", signature);
    abort();
}
