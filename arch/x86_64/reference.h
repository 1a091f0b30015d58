/* References: the clocks of known rate that a PC may have. */
#pragma once

#include "arch/x86_64/calibrate.h"

/* Each starts its clock and returns it, or NULL where it is not there. They only ever poll;
 * interrupts of these devices stay masked. */
extern const struct reference apic_counter; /* its rate is known only to reference_apic() */
const struct reference *reference_pit(void);
const struct reference *reference_pm_timer(void);
const struct reference *reference_apic(void);
