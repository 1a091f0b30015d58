/* CPU: the table of CPUs, and the memory of each one's block. */
#include "kernel/core/cpu.h"

#include <string.h>

#include "ggmk/error.h"
#include "kernel/mem/frame.h"

struct cpu boot_cpu = {.self = &boot_cpu};

struct cpu *cpus[CPUS_MAX] = {&boot_cpu};
unsigned cpu_count = 1;

_Static_assert(offsetof(struct cpu, self) == 0, "read as gs:0");
_Static_assert(offsetof(struct cpu, local) == 8, "read as gs:8");
_Static_assert(sizeof(struct cpu) <= PAGE_SIZE, "cpu_new() takes one frame");

struct cpu *cpu_new(uint32_t index, uint32_t apic_id, uint32_t node) {
    paddr_t frame = frame_alloc_on(node, FRAME_OTHER);
    if (frame == 0)
        frame = frame_alloc(FRAME_OTHER); /* a node may have CPUs and no memory */
    if (frame == 0)
        return NULL;
    struct cpu *cpu = arch_phys(frame);
    memset(cpu, 0, sizeof *cpu);
    cpu->self = cpu;
    cpu->index = index;
    cpu->apic_id = apic_id;
    cpu->node = node;
    if (arch_cpu_prepare(cpu) != GMK_OK) {
        frame_free(frame);
        return NULL;
    }
    cpus[index] = cpu;
    return cpu;
}
