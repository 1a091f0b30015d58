/* Gather: the one way out of the run queues: which task does this worker run next?
 *
 * In this order:
 *   1. priority 0, always, whatever else waits;
 *   2. the overflow bucket (tasks that came again and found every queue full), every
 *      second time, so that it drains first but cannot starve the rest;
 *   3. classes 1, 2, 3 in the proportion 4:2:1 (GATHER_WEIGHTS); class 2 is the worker's
 *      own queue, newest task first for a few in a row, then FIFO, then the shared ring;
 *   4. due timers, straight from the timed queue, in the order of their times;
 *   5. half of another worker's queue.
 * Every GATHER_AGE-th look starts with the lowest class, and every GATHER_QUANTUM-th own
 * task lets the shared ring or a due timer go first, so that nothing that waits is passed
 * over for ever.
 *
 * One word, engine.special, counts the tasks outside of class 2, so the common case looks
 * at nothing but that word and the own queue. */
#pragma once

#include "engine/engine.h"

#define GATHER_QUANTUM    16u /* own tasks between two looks at the shared ring and the clock */
#define GATHER_AGE        64u /* looks between two that start with the lowest class */
#define GATHER_BATCH      32u /* tasks taken from the shared ring at once */
#define GATHER_NEWEST_MAX 3u  /* newest-first tasks in a row */

/* Takes the next task; false when there is none in sight. Workers only. */
bool gather(struct agent *a, gmk_task_t *out);

/* Is there a task in sight, for this worker or to be stolen? Reads only. _ready: what a
 * spinning worker polls, cheap for those who push; may miss a push under way. _visible: the
 * last look before parking, which may not. */
bool gather_ready(struct agent *a);
bool gather_visible(struct agent *a);

/* Takes a task of priority 0, if one waits: gmk_spawn() lets it go first. */
bool gather_urgent(struct agent *a, gmk_task_t *out);
