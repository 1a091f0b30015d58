/* Kernel: the start of everything, in order, and the engine that runs inside. */
#pragma once

#include "arch/arch.h"
#include "boot/boot_info.h"
#include "ggmk/kernel.h"

/* The entry of every road, on the boot CPU with IF off and boot_info filled:
 *   serial, config, CPU, memory, ACPI, NUMA, interrupts, time, heap, scheduler, CPUs, engine,
 *   modules, monitor. */
_Noreturn void kernel_main(void);

/* The entry of every other CPU, on its own stack, IF off, tables loaded. Never returns. */
_Noreturn void kernel_cpu_main(struct cpu *cpu);

/* The engine of the kernel: every CPU one worker. Its modules register with GMK_MODULE. */
extern gmk_kernel_t kernel_engine;
void engine_start(void);
int engine_stop(void); /* gmk_halt() of it; GMK_OK or what was left behind */

/* Runs fini of all modules in reverse order, stops CPUs, powers off. From a thread. */
_Noreturn void kernel_shutdown(int status);
/* The same, but starts the machine again. */
_Noreturn void kernel_restart(void);

/* What the image is for, when not to serve: the test and benchmark images define it, and it runs
 * on the boot thread once everything is up. NULL in the plain kernel. */
extern void kernel_payload(void) __attribute__((weak));
