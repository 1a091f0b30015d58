/* CPUs on Linux: what thread.c needs of the CPU table. */
#pragma once

#include <pthread.h>

/* Makes threads created with `attr` run on CPU `number` (the engine's numbering) only.
 * Returns 0 or a positive error number: EINVAL when there is no such CPU. */
int cpus_pin_attr(pthread_attr_t *attr, unsigned number);
