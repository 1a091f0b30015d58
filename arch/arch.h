/* Arch: what a processor architecture must give the kernel. This page is the porting guide.
 *
 * One folder per architecture (arch/x86_64), with the same file names in each. The generic
 * kernel calls nothing else of the machine, and contains no #ifdef for one. Cheap duties are
 * static inline in the folder's arch_inline.h, found by search path.
 *
 * Words used here. IF: "interrupts are on". A *frame* is what entry code saved of the
 * interrupted registers (struct arch_frame, opaque to the generic kernel). CPUs have indexes
 * 0 .. cpu_count-1; 0 is the one that booted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t paddr_t;  /* physical address */
typedef uintptr_t vaddr_t; /* virtual address */

struct arch_frame; /* saved registers of an interrupt, exception or fault */
struct boot_info;
struct cpu;

/* ---- Interrupt state, inline ------------------------------------------------------
 *   bool arch_irq_disable(void)        turns IF off, returns whether it was on
 *   void arch_irq_restore(bool on)     back to what arch_irq_disable() returned
 *   void arch_irq_enable(void)
 *   bool arch_irq_enabled(void)
 *   void arch_idle(void)               entry: IF off. Sleeps until an interrupt, which is taken
 *                                      before it returns; return: IF off. The race it excludes:
 *                                      an interrupt between the caller's last look at its run
 *                                      queue and the sleep still ends the sleep (sti; hlt).
 *   void arch_relax(void)              the CPU spins
 *   struct cpu *arch_cpu(void)         this CPU's block (kernel/core/cpu.h). Stable only while
 *                                      IF is off or the thread is pinned.
 *   void *arch_phys(paddr_t)           the direct map's address of RAM (layout.h)
 *   void arch_page_clear(void *page)   a whole page of RAM; with a second one:
 *   void arch_page_copy(void *to, const void *from)
 *   uint64_t arch_cycles(void)         raw counter, constant rate; not ordered with memory
 *   void arch_halt_forever(void)       IF off, sleeps until reset
 */
#include "arch_inline.h"

/* ---- First steps, in the order in which kernel_main() calls them ---------------------- */

/* Gives a CPU that will be started its descriptor tables and interrupt stacks. GMK_ENOMEM. Boot
 * or thread context; not for the boot CPU, whose tables are static. */
int arch_cpu_prepare(struct cpu *cpu);
/* On the CPU itself, IF off: per-CPU block, descriptor tables, vectors. After it exceptions are
 * reported. */
void arch_cpu_init(struct cpu *cpu);
/* Boot CPU, once the kernel has its own page tables: a guard page below the boot stack. */
void arch_boot_stack_guard(void);

/* Features: reads what the CPU has, turns on what protects the kernel (NX, WP, SMEP, SMAP,
 * UMIP) and what threads will use (FPU, SSE, AVX). Every CPU, once. Panics with the name of
 * a feature that the kernel cannot do without. */
void arch_features_init(void);
/* One line for the log and kdb: vendor, family, model, the features in use. */
size_t arch_features_text(char *out, size_t size);

/* Interrupt controllers and IPIs, masked. Boot CPU; ACPI has been read. */
void arch_irq_init(void);

/* ---- Debug serial line ------------------------------------------------------------------ */

/* Usable from the first instruction on, in any context, also in an NMI: polls, no lock. */
void arch_serial_init(void);
void arch_serial_write(const char *text, size_t length);
/* A byte if one has arrived, else -1. */
int arch_serial_read(void);
/* Calls `on_input` (IF off, must be short) from the line's interrupt when bytes arrive. */
int arch_serial_on_input(void (*on_input)(void *arg), void *arg);

/* ---- Page tables --------------------------------------------------------------------------
 * Sizes are chosen by level: 0 = 4 KiB, 1 = 2 MiB, 2 = 1 GiB. Tables are frames that the
 * callback gives (zeroed by the callee). None of these flushes a TLB; the caller does
 * (kernel/mem/vm.c, shootdown.c) after changing or removing what was present. The caller holds
 * the lock of the space. Return GMK_OK or a GMK_E code. */

enum page_prot { /* a page is always readable; W and X together is refused (GMK_EINVAL) without WX */
                 PAGE_WRITE = 1u << 0,
                 PAGE_EXEC = 1u << 1,
                 PAGE_USER = 1u << 2,
                 PAGE_GLOBAL = 1u << 3,
                 PAGE_DEVICE = 1u << 4, /* uncached */
                 PAGE_COMBINE =
                     1u << 5, /* write-combining, for framebuffers; DEVICE where there is none */
                 PAGE_WX = 1u << 6, /* both is meant: a unit's program that makes code */
};

#define PAGE_SIZE    4096u
#define PAGE_SHIFT   12u
#define PAGE_LEVELS  3u /* leaf sizes: 4 KiB, 2 MiB, 1 GiB */
#define PAGE_SIZE_2M (1ull << 21)
#define PAGE_SIZE_1G (1ull << 30)

static inline uint64_t page_down(uint64_t address) {
    return address & ~(uint64_t)(PAGE_SIZE - 1);
}
static inline uint64_t page_up(uint64_t address) {
    return page_down(address + PAGE_SIZE - 1);
}

typedef paddr_t (*page_table_alloc_fn)(void); /* 0: none left */

/* Highest leaf level that this CPU can map: 1 or 2. */
unsigned arch_page_level_max(void);
/* Physical addresses of this CPU end here. */
uint64_t arch_page_phys_max(void);
/* Memory types (write-combining). Every CPU, once, before it uses PAGE_COMBINE. */
void arch_page_cpu_init(void);
/* From now on tables are reached at `offset` + physical: the road's early mapping first, then
 * LAYOUT_DIRECT. Boot, by mem_init() alone. */
void arch_page_window(uintptr_t offset);
/* GMK_EEXIST: something is mapped there; GMK_ENOMEM: no table; GMK_EINVAL: alignment, W+X. */
int arch_page_map(paddr_t root, vaddr_t va, paddr_t pa, unsigned level, unsigned prot,
                  page_table_alloc_fn alloc);
/* Removes the leaf that maps `va` and tells what it was. GMK_ENOENT. Tables stay. */
int arch_page_unmap(paddr_t root, vaddr_t va, paddr_t *pa, unsigned *level);
/* Changes the rights of the leaf that maps `va`. GMK_ENOENT, GMK_EINVAL. */
int arch_page_protect(paddr_t root, vaddr_t va, unsigned prot);
/* Splits a large leaf into 512 of the next smaller size. GMK_ENOENT, GMK_EINVAL (a 4 KiB one). */
int arch_page_split(paddr_t root, vaddr_t va, page_table_alloc_fn alloc);
/* Takes from every 4 KiB leaf in [va, end) the rights that `keep` (PAGE_WRITE, PAGE_EXEC) lacks, or
 * with PAGE_GONE the leaf itself; as far as the visits go. Returns where it stopped: at `end`
 * at the latest. */
#define PAGE_GONE        UINT32_MAX
#define PAGE_BATCH_PAGES 32u
struct page_batch {
    unsigned visits; /* leaves and holes that may still be looked at */
    unsigned count;  /* leaves changed; of the first ones the addresses, to be flushed */
    vaddr_t pages[PAGE_BATCH_PAGES];
};
vaddr_t arch_page_narrow(paddr_t root, vaddr_t va, vaddr_t end, unsigned keep,
                         struct page_batch *batch);
struct page_info {
    paddr_t pa; /* of the byte asked for */
    unsigned level;
    unsigned prot;
    bool accessed, dirty;
};
/* GMK_ENOENT: not mapped; info->level then tells the size of the hole. Takes no lock. */
int arch_page_query(paddr_t root, vaddr_t va, struct page_info *info);
/* The same for this CPU's root, read through the recursive slot and not by physical addresses. */
int arch_page_query_view(vaddr_t va, struct page_info *info);

/* What a 4 KiB page that is not mapped is for. */
enum page_mark {
    PAGE_MARK_NONE,
    PAGE_MARK_GUARD, /* a guard: nothing can be mapped there */
    PAGE_MARK_LAZY,  /* gets its frame on first touch; map() replaces the mark */
};
/* Tables are made for it. GMK_EEXIST: mapped; GMK_ENOMEM. */
int arch_page_set_mark(paddr_t root, vaddr_t va, enum page_mark mark, page_table_alloc_fn alloc);
enum page_mark arch_page_mark(paddr_t root, vaddr_t va); /* any context, no lock */

/* The first mapped address at or above `va`, which is canonical; 0: none. Bounded by the entries
 * of the tables in the way. For the monitor. */
vaddr_t arch_page_next(paddr_t root, vaddr_t va);
/* Enters the root in its own recursive slot (x86_64: 510). */
void arch_page_make_recursive(paddr_t root);
paddr_t arch_page_root(void);         /* of this CPU */
void arch_page_switch(paddr_t root);  /* this CPU; flushes what is not global */
void arch_tlb_flush_page(vaddr_t va); /* this CPU */
void arch_tlb_flush_all(void);        /* this CPU, global ones too */

/* ---- Contexts -------------------------------------------------------------------------------- */

struct arch_context {
    uintptr_t stack; /* stack pointer; everything else is saved on the stack */
};

/* Prepares a context that will call entry(arg) with IF off, as every switch continues, on the
 * stack that ends (top, exclusive, 16-byte aligned) at `stack_top`. `entry` never returns. */
void arch_context_init(struct arch_context *context, void *stack_top, void (*entry)(void *arg),
                       void *arg);
/* Saves the callee-saved registers in *from and continues *to. IF off on both sides. */
void arch_context_switch(struct arch_context *from, const struct arch_context *to);

/* ---- User mode ----------------------------------------------------------------------------------
 *
 * A user thread's kernel stack ends at thread->stack_top. While the thread is in the kernel there is a
 * *user frame* right below that:
 *   - of a system call: struct arch_user_frame (arch_user.h): the callee-saved registers, the return
 *     address into user mode, and places for the results;
 *   - of an interrupt, exception or foreign call: a whole struct arch_frame (a *full* frame).
 * A thread *at the boundary* has a context that, when it is switched to, goes on from that frame: the
 * frame is laid out so that its lower part is what arch_context_switch() leaves. Entry code calls
 * with IF off; kernel code of a user thread keeps it off.
 *
 * Inline, in the folder's arch_user.h (which sees struct thread and struct cpu):
 *   struct arch_user_frame *arch_user_frame(struct thread *t)
 *   void arch_user_result(struct thread *t, uint64_t rax, uint64_t rdi, const uint64_t w[4])
 *                                      what a system call of t returns; all result places are written
 *   void arch_user_status(struct thread *t, int64_t rax)     the same, the others zero
 *   _Noreturn void arch_user_leave(struct thread *t)         the current system call goes back with what
 *                                      is in its frame; special bits are honoured. No lock held.
 *   void arch_user_boundary(struct thread *t)                t's context = its system call's frame
 *   void arch_user_again(struct thread *t, uint64_t rax, const uint64_t args[3])
 *                                      t, at the boundary of its system call, makes it once more, with
 *                                      these first arguments
 *   bool arch_user_is_full(const struct thread *t)           of one that does not run: which frame it has
 *   void arch_user_tls(uint64_t base)  the current thread's FS base, from now on
 *   void arch_user_switch(struct cpu *cpu, struct thread *from, struct thread *to)
 *                                      what a switch changes besides the stack: address space (only if
 *                                      it differs), kernel stack of the next entry, TLS base (only if
 *                                      it differs), vector registers (only between their users).
 *                                      Either may be a thread of the kernel.
 *   _Noreturn void arch_user_hand_over(struct thread *to, struct spinlock *a, struct spinlock *b)
 *                                      leaves the current stack for good, then releases the locks (b
 *                                      may be NULL), then goes on in user mode as `to`, which is at
 *                                      the boundary of a system call and is cpu->current already. */

struct thread;
struct space;
struct gmk_regs;
struct arch_trap;

/* Every CPU, once, by arch_features_init(): where system calls enter, what they clear. */
void arch_user_init(void);
/* Makes the context of a new thread: it begins in user mode at entry, with a clean register set but
 * rdi = arg, rsi = msg, rdx = id. */
void arch_user_start(struct thread *thread, uint64_t entry, uint64_t stack, uint64_t arg,
                     uint64_t msg, uint64_t id);
/* The current thread, in a full frame's handler: its context = that frame, at the boundary. */
void arch_user_boundary_full(struct thread *thread, struct arch_frame *frame);
/* Registers of a thread that does not run; of a system call's frame those that it keeps. Setting
 * makes the frame a full one, and the wait that it was in is over: for stopped threads at no
 * wait. GMK_EINVAL: rip not canonical or not in the user half. */
void arch_regs_get(const struct thread *thread, struct gmk_regs *regs);
int arch_regs_set(struct thread *thread, const struct gmk_regs *regs);
/* The same for a full frame itself. */
void arch_frame_regs_get(const struct arch_frame *frame, struct gmk_regs *regs);
int arch_frame_regs_set(struct arch_frame *frame, const struct gmk_regs *regs);
bool arch_frame_is_user(const struct arch_frame *frame);
/* Was it a foreign system call? */
bool arch_frame_is_foreign(const struct arch_frame *frame);
/* What a foreign call returns: rax, when nothing else of the registers is set. */
void arch_frame_result(struct arch_frame *frame, uint64_t rax);
/* The full frame of a thread that does not run and has one. */
struct arch_frame *arch_user_full_frame(const struct thread *thread);
/* enum gmk_fault of an exception of user code; 0: none of these. */
unsigned arch_fault_kind(const struct arch_frame *frame, const struct arch_trap *trap);

/* Copies between the kernel and the current thread's user half, page faults resolved on the way.
 * GMK_EFAULT: not wholly in the user half, or a page that cannot be had; then some bytes may have been
 * copied. No lock held but such as space_fault() may come after; IF off. */
int arch_copy_in(void *to, uint64_t user, size_t size);
int arch_copy_out(uint64_t user, const void *from, size_t size);
/* Compares a user word, as one access: for waits. */
int arch_load_user32(uint64_t user, uint32_t *value);
/* An exception of the kernel: was it in one of these copies? If so, arch_copy_fixup() makes *frame go on at
 * its fix-up. By trap_handle(), which asks space_fault() in between. */
bool arch_copy_active(const struct arch_frame *frame);
bool arch_copy_fixup(struct arch_frame *frame);

/* Boot CPU, once, as soon as the kernel has its own page tables: before any root is made. */
void arch_space_init(void);
/* A root whose kernel half is the kernel's; its user half is empty. 0: no frame. */
paddr_t arch_space_new(page_table_alloc_fn alloc);
/* Tags are below this; 1: CPUs know none. */
unsigned arch_space_tags(void);
/* Loads a root with its tag; keep: what is remembered under the tag is still right. */
void arch_space_load(paddr_t root, uint16_t tag, bool keep);
/* Vector registers. */
size_t arch_fpu_size(void); /* of thread->fpu, 64-byte aligned */
void arch_fpu_reset(void *block);
void arch_fpu_forget(
    struct thread *thread); /* it ends: no CPU holds its registers for it any more */
/* I/O ports; 1, 2 or 4 bytes. */
uint32_t arch_io_in(uint16_t port, unsigned bytes);
void arch_io_out(uint16_t port, unsigned bytes, uint32_t value);
/* Does the range meet a port that the running kernel uses itself: its interrupt controller, its debug
 * serial line? */
bool arch_io_reserved(unsigned first, unsigned count);
/* 64 bits, as random as this CPU can: RDRAND, else mixed from its counters. */
uint64_t arch_random(void);

/* ---- Interrupts --------------------------------------------------------------------------------- */

/* Entry code calls these with IF off on the interrupted thread's stack; they never nest. */
void irq_dispatch(unsigned vector, struct arch_frame *frame); /* kernel/irq/irq.c */
void trap_handle(unsigned vector, struct arch_frame *frame);  /* kernel/core/trap.c */

/* Routes a global interrupt (x86_64: an IOAPIC pin, after ACPI overrides) to a vector of a
 * CPU, masked. */
int arch_irq_route(unsigned gsi, unsigned vector, unsigned cpu, bool level, bool active_low);
/* Translates a legacy ISA number (serial: 4) to its global one. */
unsigned arch_irq_isa_to_gsi(unsigned isa, bool *level, bool *active_low);
void arch_irq_mask(unsigned gsi);
void arch_irq_unmask(unsigned gsi);
void arch_irq_end(unsigned vector); /* tells the controller that the CPU is done with it */
/* Vector of the i-th device interrupt, i < IRQ_DEVICES_MAX. */
unsigned arch_irq_vector(unsigned device);

enum arch_ipi {
    ARCH_IPI_RESCHED,   /* look at your run queue */
    ARCH_IPI_SHOOTDOWN, /* kernel/mem/shootdown.c */
    ARCH_IPI_CALL,      /* kernel/irq/ipi.c */
    ARCH_IPI_STOP,      /* panic: a non-maskable one */
};
void arch_ipi_send(unsigned cpu, enum arch_ipi ipi);
void arch_ipi_send_others(enum arch_ipi ipi);

/* ---- Time ------------------------------------------------------------------------------------------- */

/* Finds a clock and its rate, by the best source present. Boot CPU, IF off, once. */
void arch_time_init(void);
uint64_t arch_time_ns(void); /* since boot, monotonic on and across CPUs; any context, NMI too */
uint64_t arch_cycles_khz(void);
const char *arch_time_source(void); /* for the log: "cpuid 15h", "hypervisor", "pit" ... */
/* One-shot timer of this CPU: an interrupt at or soon after `deadline_ns`, once; a past one
 * means at once. UINT64_MAX stops it. IF off. */
void arch_timer_set(uint64_t deadline_ns);
void arch_timer_init(void); /* every CPU, once */

/* ---- More CPUs ---------------------------------------------------------------------------------------- */

/* Starts every CPU that ACPI names and `limit` allows. Each runs kernel_cpu_main(cpu) in the
 * end. Returns when each is ready or has run out of its time (named in the log). */
void arch_smp_start(unsigned limit);

/* ---- Last things ----------------------------------------------------------------------------------------- */

/* Maps what the two below need. Boot CPU, once; ACPI has been read. */
void arch_machine_init(void);
_Noreturn void arch_reboot(void);
/* Turns the machine off; `status` goes to the emulator's exit device where there is one
 * (isa-debug-exit at 0xf4, only when the command line asked for it: exit=debug). */
_Noreturn void arch_poweroff(int status);

/* Walks the stack of a frame, or of the caller when NULL: calls `fn` with each return address
 * (of a frame: the interrupted instruction first), at most `max`. Reads only mapped kernel
 * memory. Returns NULL at the proper end or at `max`, else what is wrong with the stack: static
 * text. Any context. */
const char *arch_backtrace(const struct arch_frame *frame, unsigned max,
                           void (*fn)(void *arg, uintptr_t address), void *arg);
/* The same for a context that does not run. */
const char *arch_backtrace_context(const struct arch_context *context, unsigned max,
                                   void (*fn)(void *arg, uintptr_t address), void *arg);
/* Prints the registers of a frame through `print`, a line at a time. */
void arch_frame_print(const struct arch_frame *frame, void (*print)(const char *fmt, ...));
/* What interrupted code was doing. */
uintptr_t arch_frame_pc(const struct arch_frame *frame);

/* An exception in words of every architecture. */
enum arch_trap_kind {
    ARCH_TRAP_FAULT,  /* access to an address that the page tables do not allow */
    ARCH_TRAP_DOUBLE, /* an exception could not be delivered */
    ARCH_TRAP_URGENT, /* not maskable: ARCH_IPI_STOP, or hardware */
    ARCH_TRAP_OTHER,
};
struct arch_trap {
    enum arch_trap_kind kind;
    vaddr_t stack;   /* stack pointer of the interrupted code */
    vaddr_t address; /* FAULT, and DOUBLE where one led to it: the address touched */
    bool write, exec, present, user; /* FAULT */
    int status;                      /* FAULT of user code: why space_fault() refused */
};
void arch_trap_decode(const struct arch_frame *frame, struct arch_trap *trap);
/* "divide error", "general protection, selector 0x18 of the GDT"; ARCH_TRAP_NAME_MAX is enough. */
#define ARCH_TRAP_NAME_MAX 72u
void arch_trap_name(const struct arch_frame *frame, char *out, size_t size);
