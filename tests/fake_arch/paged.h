/* Paged machine: one process plays a CPU with page tables, for tests of the kernel's memory.
 *
 * RAM is a file in memory that is mapped where its physical addresses say, so arch_phys() is the
 * identity. The kernel's mapped ranges start out inaccessible. A touch faults; the handler walks
 * the tables that the kernel's own code made, as hardware does, and shows the page's RAM at that
 * address too: that is the TLB. What was shown stays shown until arch_tlb_flush_page(), so a
 * forgotten flush is seen as stale memory. What the tables do not map goes to vm_fault(), and
 * when that refuses, to the test: `paged_expect_fault`.
 *
 * Panics and failed assertions end in cmocka: expect_assert_failure() catches them.
 * Included by one test program, before the kernel's sources. */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ggmk/log.h"
#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame_boot.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/vm.h"
#include "lib/rand.h"

#define PAGED_RAM_MAX  (UINT64_C(1) << 28) /* physical addresses end here */
#define PAGED_RAM_BASE UINT64_C(0x10000)   /* a process cannot have the addresses near 0 */

static int paged_file = -1;
static uint64_t paged_flushes, paged_misses;
static volatile bool paged_expect_fault;
static sigjmp_buf paged_fault_jump;
static bool paged_irq = true;

/* ---- One CPU ---------------------------------------------------------------------------- */

static struct cpu paged_cpu;
struct cpu *cpus[CPUS_MAX] = {&paged_cpu};
unsigned cpu_count = 1;

struct cpu *arch_cpu(void) {
    return &paged_cpu;
}
bool arch_irq_disable(void) {
    bool on = paged_irq;
    paged_irq = false;
    return on;
}
void arch_irq_restore(bool on) {
    paged_irq = on;
}
bool arch_irq_enabled(void) {
    return paged_irq;
}
void arch_relax(void) {}
uint64_t arch_cycles(void) {
    static uint64_t cycles;
    return ++cycles;
}
uint64_t arch_time_ns(void) {
    return arch_cycles();
}
void arch_ipi_send(unsigned cpu, enum arch_ipi ipi) {
    (void)cpu, (void)ipi;
    fail_msg("there is no other CPU");
}
void arch_space_load(paddr_t root, uint16_t tag, bool keep) {
    (void)root, (void)tag, (void)keep;
    fail_msg("there is no unit");
}

/* ---- Ends --------------------------------------------------------------------------------- */

void gmk_assert_failed(const char *expr, const char *file, int line, const char *message) {
    paged_irq = true;
    (void)expr;
    mock_assert(0, message, file, line);
    abort();
}

void panic(const char *fmt, ...) {
    static char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    paged_irq = true;
    mock_assert(0, text, "panic", 0);
    abort();
}

static char paged_log[4096];
void klog(enum gmk_log_level level, const char *module, const char *fmt, ...) {
    size_t used = strlen(paged_log);
    va_list args;
    (void)level, (void)module;
    va_start(args, fmt);
    vsnprintf(paged_log + used, sizeof paged_log - used, fmt, args);
    va_end(args);
}

/* ---- Translations ----------------------------------------------------------------------------- */

static inline bool paged_in_window(vaddr_t va) {
    return va >= LAYOUT_FRAMES && va < LAYOUT_MAP + LAYOUT_MAP_SIZE;
}

static inline void paged_forget(vaddr_t va, size_t size) {
    void *at = mmap((void *)va, size, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    assert_ptr_equal(at, (void *)va);
}

/* Which 2 MiB were shown as one page: the TLB then holds one translation, flushed as a whole. */
static bool paged_large[(LAYOUT_MAP + LAYOUT_MAP_SIZE) / PAGE_SIZE_2M];

static inline bool paged_show(vaddr_t va) {
    struct page_info info;
    if (vm_kernel_root() == 0 || arch_page_query(vm_kernel_root(), va, &info) != 0)
        return false;
    paged_large[va / PAGE_SIZE_2M] |= info.level > 0;
    int prot = PROT_READ | ((info.prot & PAGE_WRITE) != 0 ? PROT_WRITE : 0);
    void *at = mmap((void *)page_down(va), PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, paged_file,
                    (off_t)page_down(info.pa));
    return at == (void *)page_down(va);
}

void arch_tlb_flush_page(vaddr_t va) {
    paged_flushes++;
    if (!paged_in_window(va))
        return;
    uint64_t size = paged_large[va / PAGE_SIZE_2M] ? PAGE_SIZE_2M : PAGE_SIZE;
    paged_large[va / PAGE_SIZE_2M] = false;
    paged_forget(va & ~(size - 1), size);
}

void arch_tlb_flush_all(void) {
    paged_flushes++;
    paged_forget(LAYOUT_HEAP, LAYOUT_MAP + LAYOUT_MAP_SIZE - LAYOUT_HEAP); /* no descriptor moves */
    memset(paged_large, 0, sizeof paged_large);
}

static inline void paged_on_fault(int signal_number, siginfo_t *info, void *context) {
    vaddr_t va = (vaddr_t)info->si_addr;
    (void)signal_number, (void)context;
    if (paged_in_window(va)) {
        paged_misses++;
        if (paged_show(va))
            return;
        bool irq = arch_irq_disable();
        bool resolved = vm_fault(va, true, false, false);
        arch_irq_restore(irq);
        if (resolved && paged_show(va))
            return;
    }
    if (paged_expect_fault)
        siglongjmp(paged_fault_jump, 1);
    fprintf(stderr, "a fault at %p that nobody resolves\n", (void *)va);
    _exit(99);
}

/* True when touching the address ends in a fault that the kernel does not resolve. */
static inline bool paged_faults(const volatile void *at) {
    volatile bool faulted = true;
    paged_expect_fault = true;
    if (sigsetjmp(paged_fault_jump, 1) == 0) {
        (void)*(const volatile char *)at;
        faulted = false;
    }
    paged_expect_fault = false;
    return faulted;
}

/* ---- Building ----------------------------------------------------------------------------------- */

/* RAM of `size` bytes from PAGED_RAM_BASE on, filled with rubbish, and nothing else. */
static inline void paged_reset(uint64_t size) {
    if (paged_file >= 0)
        close(paged_file);
    paged_file = memfd_create("ram", 0);
    assert_int_equal(ftruncate(paged_file, (off_t)(PAGED_RAM_BASE + size)), 0);
    void *ram = mmap((void *)PAGED_RAM_BASE, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                     paged_file, (off_t)PAGED_RAM_BASE);
    assert_ptr_equal(ram, (void *)PAGED_RAM_BASE);
    memset(ram, 0xcc, size);
    memset(paged_large, 0, sizeof paged_large);
    paged_forget(LAYOUT_FRAMES, LAYOUT_MAP + LAYOUT_MAP_SIZE - LAYOUT_FRAMES);
    struct sigaction action = {.sa_sigaction = paged_on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    paged_log[0] = '\0';
    paged_irq = true;
    paged_cpu = (struct cpu){.self = &paged_cpu};
    atomic_store(&paged_cpu.online, true);
}

static inline uint64_t paged_seed(void) {
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (unsigned)getpid();
    printf("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}
