/* I/O ports: reading and writing them, for those whom a capability allows it. */
#include "arch/arch.h"
#include "arch/x86_64/io.h"
#include "kernel/core/panic.h"

uint32_t arch_io_in(uint16_t port, unsigned bytes) {
    switch (bytes) {
    case 1:
        return in8(port);
    case 2:
        return in16(port);
    default:
        K_ASSERT(bytes == 4, "a port is read by 1, 2 or 4 bytes");
        return in32(port);
    }
}

void arch_io_out(uint16_t port, unsigned bytes, uint32_t value) {
    switch (bytes) {
    case 1:
        out8(port, (uint8_t)value);
        break;
    case 2:
        out16(port, (uint16_t)value);
        break;
    default:
        K_ASSERT(bytes == 4, "a port is written by 1, 2 or 4 bytes");
        out32(port, value);
    }
}

/* Ports that the running kernel uses: the 8259 pair, the debug serial line, PCI's reset register would stop
 * the machine but nothing in it. */
bool arch_io_reserved(unsigned first, unsigned count) {
    static const struct {
        uint16_t first, last;
    } used[] = {{0x20, 0x21}, {0xa0, 0xa1}, {0x3f8, 0x3ff}};
    for (unsigned i = 0; i < sizeof used / sizeof used[0]; i++)
        if (first <= used[i].last && first + count > used[i].first)
            return true;
    return false;
}
