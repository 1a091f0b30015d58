/* Task bench: what one task costs from submit to done, on one worker, in instructions.
 *
 * The same source runs inside the kernel and in a Linux process of a Linux guest, both with
 * the engine compiled with the same flags, under QEMU's counting clock, where one instruction
 * is one tick of the time-stamp counter. Only the platform below the engine differs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Told the median and worst batch's mean, in instructions per task. */
typedef void (*task_bench_report)(const char *name, uint64_t p50, uint64_t worst);

/* Boots an engine of its own with one worker, measures, halts it. Thread context. */
void task_bench(task_bench_report report);
