/* Memory: building it all at boot, in order. Called once each, by kernel_main(). */
#pragma once

#include "arch/arch.h"

struct boot_info;
struct cpu;

/* Cleans the memory map, makes the kernel's own page tables (direct map; image with code
 * read-only and executable, read-only data, data; recursive slot) and switches to them,
 * then sets up the frame allocator on one node. Afterwards boot_info's modules are reachable
 * through arch_phys(); low memory is not mapped any more but for what mem_low_page() gave. */
void mem_init(struct boot_info *info);

/* A 4 KiB frame below 1 MiB for the CPUs' start-up code; 0 if the map has none. */
paddr_t mem_low_page(void);

/* Maps physical memory at its own address, readable and executable: start-up code needs that
 * in the moment in which it turns paging on. It writes what it must through arch_phys() or before
 * paging is on. False: no memory for tables. Unmapped again on every CPU. */
bool mem_identity_map(paddr_t pa, size_t size);
void mem_identity_unmap(paddr_t pa, size_t size);

/* Once ACPI has been read: frames move to their nodes; distances become known. */
void mem_numa_init(void);

/* Heap, slabs, per-CPU caches: kernel allocation works afterwards. */
void mem_heap_init(void);

/* A CPU came up: its frame cache and its memory types. Called by that CPU itself; mem_init() and
 * mem_heap_init() have done it for the one that booted. */
void mem_cpu_init(struct cpu *cpu);

/* Is any of it memory, or the firmware's tables? As the map said at boot. */
bool mem_is_ram(paddr_t base, uint64_t size);

/* Gives back frames of boot loader data and says how much. After everything was copied. */
void mem_boot_release(struct boot_info *info);
