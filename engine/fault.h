/* Fault: types that fail too often, or never end, are stopped until somebody resets them.
 *
 * A type is poisoned by `poison_failures` failures within `poison_window_ns`, or by a task
 * that gives way more than `max_yields` times. From then on its tasks are refused at submit
 * and emit (EPOISONED), and dead-lettered when already queued. Only failures touch this
 * state, so healthy types pay one load per task. */
#pragma once

#include "engine/engine.h"

/* A handler of this type returned the failure `status`. */
void fault_note(struct agent *a, uint32_t type, int status);

/* Stops the type now; the log says why. Once per poisoning. */
void fault_poison(struct agent *a, uint32_t type, const char *why);

/* Lifts it. ENOENT: no such type. */
int fault_reset(struct engine *eng, uint32_t type);
