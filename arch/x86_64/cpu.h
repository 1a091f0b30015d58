/* CPU: what the processor itself keeps of each CPU: descriptors and the stacks of bad moments. */
#pragma once

#include <stdint.h>

/* Selectors. The order of the user's is what SYSRET wants (Intel SDM 3A 5.8.8). */
#define SELECTOR_KERNEL_CODE 0x08u
#define SELECTOR_KERNEL_DATA 0x10u
#define SELECTOR_USER_DATA   0x18u
#define SELECTOR_USER_CODE   0x20u
#define SELECTOR_TSS         0x28u

/* Interrupt stacks: a double fault's stack must be good when the thread's is not; NMIs and machine
 * checks may come where no stack is set up yet. */
enum { IST_DOUBLE_FAULT, IST_NMI, IST_MACHINE_CHECK, IST_DEBUG, IST_STACKS };
#define IST_STACK_SIZE 8192u

#define SPACE_TAGS 257u /* struct space.tag: 1 .. 256 (mem/space.h) */

struct task_state {
    uint32_t reserved0;
    uint64_t rsp[3]; /* [0] is where interrupts of user code push */
    uint64_t reserved1;
    uint64_t ist[7]; /* [0] is what gates call 1 */
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
} __attribute__((packed));
_Static_assert(sizeof(struct task_state) == 104, "Intel SDM 3A, figure 7-11");

struct arch_cpu_data {
    uint64_t gdt[7];
    uint32_t align; /* so that rsp[0], which every switch writes, is aligned */
    struct task_state tss;
    uint64_t tls; /* FS base that this CPU has loaded, unless user code has made it 0 */
    uint64_t
        flushes_seen[SPACE_TAGS]; /* struct space.flushes when its tag was loaded last, plus 1 */
};
