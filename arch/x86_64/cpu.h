/* CPU: what the processor itself keeps of each CPU: descriptors and the stacks of bad moments. */
#pragma once

/* Selectors. The order of the user's is what SYSRET wants (Intel SDM 3A 5.8.8). */
#define SELECTOR_KERNEL_CODE 0x08u
#define SELECTOR_KERNEL_DATA 0x10u
#define SELECTOR_USER_DATA   0x18u
#define SELECTOR_USER_CODE   0x20u
#define SELECTOR_TSS         0x28u

/* Interrupt stacks: a double fault's stack must be good when the thread's is not; NMIs and machine
 * checks may come where no stack is set up yet. */
enum { IST_DOUBLE_FAULT, IST_NMI, IST_MACHINE_CHECK, IST_STACKS };
#define IST_STACK_SIZE 8192u
