/* Local APIC: what the rest of arch/x86_64 needs of it. */
#pragma once

#include "arch/x86_64/apic_logic.h"

uint32_t apic_read(enum apic_register reg);
void apic_write(enum apic_register reg, uint32_t value);

/* Every CPU, once: switches its APIC on, with all that could interrupt masked but for NMIs. */
void apic_cpu_init(void);
/* This CPU's name as its APIC says it. */
uint32_t apic_id(void);
/* Can this CPU's APIC send to that one? xAPIC has 8 bits for the name. */
bool apic_reaches(uint32_t apic_id);
/* Sends an interrupt command (Intel SDM 3A 11.6.1) to one CPU. Any context. */
void apic_send(uint32_t apic_id, uint32_t command);

/* arch_irq_init() calls these. */
void pic_disable(void);
void ioapic_init(void);
void ipi_init(void);
void apic_timer_begin(void);
