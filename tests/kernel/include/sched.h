/* Scheduling inside the kernel: sched_yield() is the kernel's own (kernel/sched/sched.c). */
#pragma once

void sched_yield(void);
