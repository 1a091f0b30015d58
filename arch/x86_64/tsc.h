/* TSC: what the rest of arch/x86_64 needs of the clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The counter, not read before earlier loads have their values. */
uint64_t tsc_read(void);
/* A number of its ticks in nanoseconds. */
uint64_t tsc_to_ns(uint64_t ticks);
/* Nanoseconds since boot as a value of this CPU's own TSC, rounded up. */
uint64_t tsc_from_ns(uint64_t ns);

/* Compares the clock with a second one and warns when they have drifted apart. Once, some time
 * after arch_time_init(). */
void tsc_check_drift(void);

/* Two CPUs compare their TSCs: the boot CPU calls tsc_ask(index) while CPU `index` is in
 * tsc_answer(). Where they differ by more than can be told apart, the clock of `index` gets an
 * offset. IF off on both. */
void tsc_ask(unsigned index);
void tsc_answer(void);
