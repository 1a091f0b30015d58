/* Faults: mistakes made on purpose, one for each boot, to see what the kernel says about them. */
#pragma once

/* Makes the mistake of this name, and so ends in a panic. Returns if there is no such name, or
 * the machine lacks what it needs. */
void fault_provoke(const char *name);

/* provoke.S: what C cannot do. */
void fault_smash_stack(void);
