/* PIC: the two 8259s, moved out of the way and silenced (Intel 8259A data sheet).
 *
 * They come up on vectors 8-15, where exceptions are. They are initialised even though they are
 * never used, because a masked PIC may still deliver its spurious interrupts 7 and 15: those
 * are counted as unexpected and need no acknowledgement. Ports without a PIC ignore all of it. */
#include "arch/x86_64/apic.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/vectors.h"

void pic_disable(void) {
    const uint16_t command[2] = {0x20, 0xa0};
    const uint8_t cascade[2] = {1u << 2, 2}; /* the second one hangs on line 2 of the first */
    for (unsigned i = 0; i < 2; i++) {
        uint16_t data = (uint16_t)(command[i] + 1u);
        out8(command[i], 0x11); /* ICW1: start, ICW4 follows */
        out8(data, (uint8_t)(VECTOR_PIC + 8u * i));
        out8(data, cascade[i]);
        out8(data, 0x01); /* ICW4: 8086 mode */
        out8(data, 0xff); /* all masked */
    }
}
