/* Serial: the debug line, a 16550 UART at the first PC port, polled for output.
 *
 * Registers and bits: National Semiconductor PC16550D, 8.0. A machine without one (the scratch
 * register does not hold what is written) loses nothing but the text. Every wait is bounded. */
#include "arch/arch.h"
#include "arch/x86_64/io.h"
#include "kernel/irq/irq.h"

#define UART          0x3f8u
#define UART_ISA_IRQ  4u
#define UART_WAIT_MAX 100000u /* polls until the transmitter counts as stuck */

enum { DATA, INTERRUPTS, FIFO, LINE, MODEM, LINE_STATUS, MODEM_STATUS, SCRATCH };

static struct {
    bool present;
    void (*on_input)(void *arg);
    void *arg;
} serial;

static void set(unsigned reg, uint8_t value) {
    out8((uint16_t)(UART + reg), value);
}

static uint8_t get(unsigned reg) {
    return in8((uint16_t)(UART + reg));
}

void arch_serial_init(void) {
    set(SCRATCH, 0x5a);
    serial.present = get(SCRATCH) == 0x5a;
    if (!serial.present)
        return;
    set(INTERRUPTS, 0);
    set(LINE, 0x80); /* the divisor's registers take the place of the first two */
    set(DATA, 1);    /* 115200 baud */
    set(INTERRUPTS, 0);
    set(LINE, 0x03);  /* 8 bits, no parity, 1 stop bit */
    set(FIFO, 0x07);  /* on, emptied, an interrupt for each byte */
    set(MODEM, 0x0b); /* DTR, RTS, OUT2: the last one lets interrupts out */
}

/* False when the line is stuck; then it is given up until somebody initialises it again. */
static bool put(char byte) {
    for (unsigned i = 0; i < UART_WAIT_MAX; i++) {
        if ((get(LINE_STATUS) & 0x20) != 0) {
            set(DATA, (uint8_t)byte);
            return true;
        }
        arch_relax();
    }
    serial.present = false;
    return false;
}

void arch_serial_write(const char *text, size_t length) {
    for (size_t i = 0; i < length && serial.present; i++) {
        if (text[i] == '\n' && !put('\r'))
            return;
        put(text[i]);
    }
}

int arch_serial_read(void) {
    if (!serial.present || (get(LINE_STATUS) & 0x01) == 0)
        return -1;
    return get(DATA);
}

static void serial_isr(void *arg) {
    (void)arg;
    serial.on_input(serial.arg);
}

int arch_serial_on_input(void (*on_input)(void *arg), void *arg) {
    bool level = false, active_low = false;
    unsigned gsi = arch_irq_isa_to_gsi(UART_ISA_IRQ, &level, &active_low);
    serial.on_input = on_input;
    serial.arg = arg;
    int status = irq_attach(gsi, level, active_low, serial_isr, NULL, "serial");
    if (status == 0 && serial.present)
        set(INTERRUPTS, 0x01); /* a byte has arrived */
    return status;
}
