/* SMP: starting one more CPU by hand; arch_smp_start() does it for all. */
#pragma once

#include <stdint.h>

#define SMP_TIMEOUT_NS 1000000000ull /* from the start signal to the CPU's first words */

/* Starts the CPU that the hardware knows by this name. GMK_EEXIST: it runs already; GMK_ENOMEM;
 * GMK_ELIMIT: CPUS_MAX; GMK_ETIMEOUT: it did not come (the log names it). Boot, or a thread on CPU 0
 * while nobody else starts CPUs. */
int smp_start_one(uint32_t apic_id);
