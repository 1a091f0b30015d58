/* ABI: the one contract between the kernel and user space.
 *
 * System calls, capabilities and their rights, messages, and the structures that calls take.
 * The kernel, user space and host tools compile this same text; docs/abi.md is made from it.
 *
 * Calling. `syscall` with
 *
 *     rax  GMK_SYS_BASE | number; bits 32..62 carry the reply token where a call takes one
 *     rdi rsi rdx r10 r8 r9   arguments a0 .. a5
 *
 * and back comes rax: a result >= 0, or a negative GMK_E code of ggmk/error.h. rbx, rbp, rsp and
 * r12 .. r15 are kept. rcx and r11 are lost; the other registers hold what the call returns in
 * them, and zero otherwise. Vector registers are kept.
 *
 * Any other rax is a *foreign* system call: it goes to the unit's personality port as a message
 * (GMK_LABEL_FOREIGN), and its reply resumes the thread. Without such a port it returns GMK_ENOTSUP.
 *
 * Handles. 31 bits: a slot of the unit's table (the low 8) and the slot's generation, never 0. A
 * handle of a capability that is gone is refused with GMK_EHANDLE, wrong rights with GMK_ERIGHTS, a
 * wrong type with GMK_ECAPTYPE; which argument was wrong is the first in the order a0, a1.
 *
 * Pointers must lie wholly in the caller's half of the address space; what cannot be read or written
 * gives GMK_EFAULT, and nothing was done. Times are nanoseconds; a timeout is relative, GMK_FOREVER
 * never ends and 0 never waits (GMK_ETIMEOUT at once).
 *
 * Ranges. Long work is done in bounded steps. memory_unmap and memory_protect may do only the first part
 * of a range and return how many bytes that was: call again for the rest. memory_clone, and memory_create
 * of what is wired, return the new object's handle, and in rdi how many bytes of it are there; call
 * again with that handle until all are. Before that the object cannot be mapped (GMK_ESTATE), but
 * dropped. user/lib/memory.h does all that. */
#pragma once

#include "ggmk/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GMK_ABI_VERSION 1u
#define GMK_SYS_BASE    0x47470000u
#define GMK_FOREVER     UINT64_MAX

/* ---- Capabilities ----------------------------------------------------------------------- */

/* X(name, value, what it is) */
#define GMK_CAP_LIST(X)                                                              \
    X(NONE, 0, "an empty slot; as an operand: the call takes no capability there")   \
    X(UNIT, 1, "a unit: address space, capability table, threads, budget")           \
    X(THREAD, 2, "a thread")                                                         \
    X(PORT, 3, "a port: synchronous calls and replies")                              \
    X(CHANNEL, 4, "an end of a channel: asynchronous messages")                      \
    X(NOTIFY, 5, "a notification: a word of bits to wait for")                       \
    X(TIMER, 6, "a timer that signals a notification")                               \
    X(IRQ, 7, "an interrupt that signals a notification")                            \
    X(IOPORT, 8, "a range of I/O ports")                                             \
    X(MEMORY, 9, "a memory object")                                                  \
    X(FACTORY, 10, "a budget of frames and objects, from which objects are made")    \
    X(SYSTEM, 11, "the machine: log, power, interrupts, I/O ports, physical memory") \
    X(REGISTRY, 12, "names of channels that begin with a prefix")

enum gmk_cap_type {
#define GMK_CAP_ENUM(name, value, what) GMK_CAP_##name = (value),
    GMK_CAP_LIST(GMK_CAP_ENUM)
#undef GMK_CAP_ENUM
        GMK_CAP_TYPES
};

/* X(name, value, what it allows) */
#define GMK_RIGHT_LIST(X)                                                      \
    X(READ, 1, "look, receive, wait, map readable")                            \
    X(WRITE, 2, "send, signal, set, map writable")                             \
    X(GRANT, 4, "give a derived capability to another unit")                   \
    X(EXECUTE, 8, "run: start threads, map executable, make hardware objects") \
    X(MANAGE, 16, "end, bind, split: what its owner does")

enum gmk_right {
#define GMK_RIGHT_ENUM(name, value, what) GMK_RIGHT_##name = (value),
    GMK_RIGHT_LIST(GMK_RIGHT_ENUM)
#undef GMK_RIGHT_ENUM
        GMK_RIGHTS_ALL = 31
};

#define GMK_CAPS_MAX      256u /* slots of a unit; slot 0 is never used */
#define GMK_CAP_DEPTH_MAX 8u   /* derivations from the first capability of an object */

typedef uint32_t gmk_handle_t;
#define GMK_HANDLE(slot, generation) ((uint32_t)(generation) << 8 | (uint32_t)(slot))
#define GMK_HANDLE_SLOT(handle)      ((uint32_t)(handle)&255u)

/* What a new unit finds in its table. */
#define GMK_SELF_UNIT    GMK_HANDLE(1, 1) /* itself: READ, WRITE, EXECUTE */
#define GMK_SELF_FACTORY GMK_HANDLE(2, 1) /* its budget: READ, WRITE, MANAGE */
/* init only: the machine and all channel names, with every right. */
#define GMK_INIT_SYSTEM   GMK_HANDLE(3, 1)
#define GMK_INIT_REGISTRY GMK_HANDLE(4, 1)

/* The life of objects. An object lives as long as its first capability, the one that its making
 * returned: dropping that one ends the object (memory: once nothing maps it). Derived capabilities
 * die with the one they come from, by revoke or drop. */

/* ---- Messages --------------------------------------------------------------------------------
 *
 * A message is a tag, up to 32 words and up to 4 capabilities. Words 0 .. 3 travel in rdx, r10, r8,
 * r9; words 4 .. 31 and the capabilities in the message buffers of the two threads, which the kernel
 * has wired: they never fault.
 *
 *   call, send, reply   a0 = handle | tag << 32, a1 = timeout, words; token in rax, bits 32..62
 *   back from recv      rax = tag | token << 32 (31 bits; 0: a send, nobody waits for a reply),
 *                       rdi = badge of the sender's capability, words
 *   back from call      rax = tag, words */

#define GMK_MSG_WORDS_MAX 32u
#define GMK_MSG_WORDS_REG 4u
#define GMK_MSG_CAPS_MAX  4u

/* Tag: label 16 bits | bytes 9 bits (0 .. 256) | capabilities 3 bits (0 .. 4); the rest is zero. */
#define GMK_TAG(label, bytes, caps) \
    (((uint32_t)(label)&0xffffu) | (uint32_t)(bytes) << 16 | (uint32_t)(caps) << 25)
#define GMK_TAG_LABEL(tag)    ((uint32_t)(tag)&0xffffu)
#define GMK_TAG_BYTES(tag)    ((uint32_t)(tag) >> 16 & 0x1ffu)
#define GMK_TAG_CAPS(tag)     ((uint32_t)(tag) >> 25 & 7u)
#define GMK_TAG_MASK          0x0fffffffu
#define GMK_TAG_TOKEN(result) ((uint32_t)((uint64_t)(result) >> 32))

/* A thread's message buffer, at an address of its unit that thread_create chooses. */
typedef struct gmk_msg {
    uint64_t words[GMK_MSG_WORDS_MAX]; /* 4 .. 31; 0 .. 3 are in registers */
    uint32_t caps[GMK_MSG_CAPS_MAX];   /* sending: what to grant; received: the new handles */
    uint32_t rights[GMK_MSG_CAPS_MAX]; /* sending: narrowed to these */
    uint64_t reserved[28];
} gmk_msg_t;
GMK_STATIC_ASSERT(sizeof(gmk_msg_t) == 512, "eight to a page");

/* Labels of messages that the kernel sends. User labels are below. */
enum {
    GMK_LABEL_KERNEL = 0xff00,
    /* To a unit's fault port. w0 = enum gmk_fault, w1 = address, w2 = instruction, w3 = thread id;
     * words 4 .. 23 = gmk_regs_t. Reply label 0: go on (the access is repeated; with 24 words or
     * more: with these registers); GMK_LABEL_KILL: end the thread. */
    GMK_LABEL_FAULT = 0xff01,
    /* To a unit's personality port. w0 = rax, w1 .. w3 = rdi, rsi, rdx; words 4 .. 23 = gmk_regs_t.
     * badge = the thread's badge. Reply: w0 = rax; with 24 words or more: all registers. */
    GMK_LABEL_FOREIGN = 0xff02,
    GMK_LABEL_KILL = 0xff03,
};

enum gmk_fault {
    GMK_FAULT_READ = 1, /* an address that the thread's space does not allow */
    GMK_FAULT_WRITE = 2,
    GMK_FAULT_EXEC = 3,
    GMK_FAULT_MEMORY = 4, /* allowed, but the budget or the machine has no frame left */
    GMK_FAULT_FPU = 5,    /* the thread was made without one */
    GMK_FAULT_DIVIDE = 6,
    GMK_FAULT_INSTRUCTION = 7, /* invalid */
    GMK_FAULT_DEBUG = 8,       /* breakpoint, single step */
    GMK_FAULT_MATH = 9,        /* floating point */
    GMK_FAULT_ALIGN = 10,
    GMK_FAULT_PROTECTION = 11, /* privileged instructions, non-canonical addresses, segments */
};

/* Registers of a thread, x86_64. Selectors are the kernel's; of rflags only the arithmetic flags,
 * DF, TF, AC and ID are taken. rip must be canonical and in the lower half. */
typedef struct gmk_regs {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags, fs_base, gs_base;
} gmk_regs_t;
GMK_STATIC_ASSERT(sizeof(gmk_regs_t) == 160, "20 words of a message");

/* ---- Bounds of calls ----------------------------------------------------------------------------- */

#define GMK_WORD_WAKE_MAX       32u /* threads that one word_wake wakes; more: call again */
#define GMK_TIMER_PERIOD_MIN_NS 100000u

/* ---- Structures of calls ------------------------------------------------------------------------ */

#define GMK_UNIT_NAME_MAX 24u

typedef struct gmk_unit_args {
    char name[GMK_UNIT_NAME_MAX]; /* for people; terminated */
    uint64_t frames;       /* taken out of the factory's budget: physical pages, page tables too */
    uint64_t objects;      /* likewise: units, threads, ports .. made by it */
    uint32_t cpu_permille; /* of one CPU in every 100 ms; 0: no limit */
    uint16_t priority_max; /* of its threads; not above the caller's own unit's */
    uint16_t flags;        /* 0 */
} gmk_unit_args_t;
GMK_STATIC_ASSERT(sizeof(gmk_unit_args_t) == 48, "the same in every compiler");

enum gmk_unit_state { GMK_UNIT_NEW, GMK_UNIT_ALIVE, GMK_UNIT_DYING, GMK_UNIT_DEAD };
typedef struct gmk_unit_info {
    char name[GMK_UNIT_NAME_MAX];
    uint32_t id, state;               /* enum gmk_unit_state */
    int64_t status;                   /* of exit; GMK_EKILLED or GMK_EFAULT when it was ended */
    uint64_t frames_used, frames_max; /* its factory's */
    uint64_t objects_used, objects_max;
    uint64_t run_ns;
    uint32_t threads, caps;
} gmk_unit_info_t;
GMK_STATIC_ASSERT(sizeof(gmk_unit_info_t) == 88, "the same in every compiler");

#define GMK_THREAD_FPU      0x1u /* may use the vector registers */
#define GMK_THREAD_START    0x2u /* runs at once; else thread_start */
#define GMK_THREAD_DETACHED 0x4u /* returns 0 and no handle: gone when it exits */
typedef struct gmk_thread_args {
    char name[GMK_UNIT_NAME_MAX];
    uint64_t entry, stack; /* first instruction; stack pointer, taken as it is */
    uint64_t arg;          /* in rdi; rsi holds the address of its message buffer, rdx its id */
    uint64_t tls;          /* FS base */
    uint64_t badge;        /* of its foreign calls and faults */
    uint16_t priority;
    uint16_t flags;
    uint32_t reserved;
} gmk_thread_args_t;
GMK_STATIC_ASSERT(sizeof(gmk_thread_args_t) == 72, "the same in every compiler");

enum gmk_thread_state {
    GMK_THREAD_NEW,
    GMK_THREAD_READY,
    GMK_THREAD_RUNNING,
    GMK_THREAD_BLOCKED,
    GMK_THREAD_STOPPED, /* suspended */
    GMK_THREAD_EXITED,
};
typedef struct gmk_thread_info {
    char name[GMK_UNIT_NAME_MAX];
    uint32_t id, state; /* enum gmk_thread_state */
    int64_t status;     /* of exit */
    uint64_t run_ns, switches;
    uint64_t msg;                 /* address of its message buffer */
    uint16_t priority, effective; /* its own; with what it inherits */
    uint32_t cpu;
} gmk_thread_info_t;
GMK_STATIC_ASSERT(sizeof(gmk_thread_info_t) == 72, "the same in every compiler");

/* Classes of priorities (docs/scheduling.md). Feedback moves threads of LOW .. HIGH within their own
 * class: down when they use up slices, up when they wait. */
#define GMK_PRIORITY_IDLE     8u   /* 0 .. 15 */
#define GMK_PRIORITY_LOW      48u  /* 16 .. 79 */
#define GMK_PRIORITY_NORMAL   112u /* 80 .. 143 */
#define GMK_PRIORITY_HIGH     176u /* 144 .. 207 */
#define GMK_PRIORITY_REALTIME 224u /* 208 .. 247 */
#define GMK_PRIORITY_DEADLINE 250u /* earliest deadline first; only by thread_sched */
#define GMK_PRIORITY_MAX      247u

typedef struct gmk_sched_args {
    uint16_t priority;
    uint16_t flags;     /* GMK_SCHED_... */
    uint32_t slice_us;  /* 0: 5000 */
    uint64_t affinity;  /* bit per CPU; 0: all */
    uint64_t budget_ns; /* CPU time per period; 0: no limit. DEADLINE: what it needs */
    uint64_t period_ns;
    uint64_t deadline_ns; /* DEADLINE: after the start of a period; 0: its end */
} gmk_sched_args_t;
#define GMK_SCHED_DEADLINE 0x1u /* priority is ignored; refused (GMK_ELIMIT) when CPUs are full */
#define GMK_SCHED_FIXED    0x2u /* no feedback */
GMK_STATIC_ASSERT(sizeof(gmk_sched_args_t) == 40, "the same in every compiler");

enum gmk_memory_kind {
    GMK_MEMORY_ANON = 1, /* zero on first touch */
    GMK_MEMORY_WIRED,    /* zeroed, all there at once */
    GMK_MEMORY_CONTIG,   /* wired, one run of frames: for DMA */
    GMK_MEMORY_PHYS,     /* a device's range: memory_physical */
};
#define GMK_PROT_READ  0x01u
#define GMK_PROT_WRITE 0x02u
#define GMK_PROT_EXEC  0x04u /* with WRITE only where GMK_MAP_WX says so too */
#define GMK_MAP_WX     0x08u
#define GMK_MAP_FIXED  0x10u /* at this address, which must be free (GMK_EEXIST) */
#define GMK_MAP_PRIVATE \
    0x20u /* copy on write: what is written stays in this mapping's own copy; at most
                                 64 KiB of an ANON object: clone more yourself, and map that */
#define GMK_MAP_GUARD 0x40u /* an unmapped page before it and after it */
typedef struct gmk_memory_info {
    uint64_t size, resident; /* bytes */
    uint64_t physical;       /* CONTIG and PHYS: its address; else 0 */
    uint32_t kind, mappings;
} gmk_memory_info_t;

typedef struct gmk_cap_info {
    uint32_t type, rights, depth, slot;
    uint64_t badge;
    uint64_t object; /* the same number for the same object; means nothing else */
} gmk_cap_info_t;

/* Channel messages, as the engine's tasks. */
#define GMK_CHAN_BYTES_MAX 131064u /* the largest block of an engine, in every profile */
typedef struct gmk_chan_msg {
    uint32_t type;  /* task type: 1 .. */
    uint32_t flags; /* priority: GMK_PRIO(n) of ggmk/task.h */
    uint64_t meta0, meta1;
    uint64_t seq;  /* received: position in the channel */
    uint64_t lost; /* received: messages that a lossy channel dropped before this one */
    uint64_t data; /* address of the payload, or of the room for it */
    uint64_t size; /* bytes of it; recv: room, on return what came. GMK_ERANGE: too little room,
                        nothing was taken, and size says how much is needed */
} gmk_chan_msg_t;
typedef struct gmk_chan_args {
    char name[GMK_NAME_MAX];
    uint32_t type;    /* of its messages; 0: any */
    uint32_t options; /* GMK_CHAN_... of ggmk/chan.h */
    uint32_t slots;   /* a power of two; 0: 64 */
    uint32_t reserved;
    uint64_t bytes; /* of payloads in flight, each counted as a power of two and at least 64, once
                        per receiving end; 0: slots * 1024. Beyond it: as a full channel */
} gmk_chan_args_t;
GMK_STATIC_ASSERT(sizeof(gmk_chan_args_t) == 72, "the same in every compiler");

typedef struct gmk_system_info {
    uint32_t abi, cpus;
    uint64_t time_ns;
    uint64_t frames_total, frames_free;
    uint64_t initrd_size;
    char version[32];
    char machine[64];
} gmk_system_info_t;

/* The first thread of a program begins as every thread does: its message buffer's address is in rsi, its
 * id in rdx. On its stack it finds, as the System V ABI (x86-64, 3.4.1) lays it out, argc, argv, envp
 * and an auxiliary vector. Beyond the usual entries: */
enum {
    GMK_AT_HANDLES = 0x47470002, /* address of gmk_named_handle_t[], ended by handle 0 */
    GMK_AT_INITRD =
        0x47470003, /* address of the archive of initial files, mapped read-only; init only */
    GMK_AT_INITRD_SIZE = 0x47470004,
};
typedef struct gmk_named_handle {
    char name[28];
    gmk_handle_t handle;
} gmk_named_handle_t;

/* ---- System calls ----------------------------------------------------------------------------------
 *
 * X(NAME, number, type of a0, rights on a0, type of a1, rights on a1, "arguments", "what it does")
 *
 * Types and rights are checked in one place before the call itself runs. R, W, E, M below are the
 * rights READ, WRITE, EXECUTE and MANAGE. Numbers are part of the interface: append, never renumber. */
#define GMK_SYSCALL_LIST(X)                                                                        \
    X(NOP, 0, NONE, 0, NONE, 0, "", "does nothing")                                                \
    X(YIELD, 1, NONE, 0, NONE, 0, "", "lets the next thread of the same priority run")             \
    X(EXIT, 2, NONE, 0, NONE, 0, "status, whole", "ends the thread; with whole != 0 its unit")     \
    X(DEBUG_PRINT, 3, SYSTEM, W, NONE, 0, "system, text, bytes",                                   \
      "writes the first line of it to the kernel's log: bytes taken, at most 120")                 \
    X(TIME, 4, NONE, 0, NONE, 0, "", "nanoseconds since boot")                                     \
    X(TLS, 5, NONE, 0, NONE, 0, "fs base", "sets the calling thread's TLS base")                   \
    X(WORD_WAIT, 6, NONE, 0, NONE, 0, "address, expected, timeout",                                \
      "sleeps while the aligned 32-bit word is `expected`; GMK_EAGAIN when it is not")             \
    X(WORD_WAKE, 7, NONE, 0, NONE, 0, "address, count",                                            \
      "wakes up to count, at most GMK_WORD_WAKE_MAX; returns how many")                            \
    X(IPC_SEND, 10, PORT, W, NONE, 0, "port|tag, timeout, w0..w3", "a message without a reply")    \
    X(IPC_RECV, 11, PORT, R, NONE, 0, "port, timeout", "waits for a message")                      \
    X(IPC_CALL, 12, PORT, W, NONE, 0, "port|tag, timeout, w0..w3", "a message and its reply")      \
    X(CAP_CHECK, 13, NONE, 0, NONE, 0, "handle", "type | rights << 8 of a capability")             \
    X(CAP_GRANT, 14, UNIT, M, NONE, 0, "unit, handle, rights, badge",                              \
      "derives into the unit's table; needs the right GRANT; returns the handle there")            \
    X(IPC_REPLY, 15, NONE, 0, NONE, 0, "0|tag, -, w0..w3; token", "answers a call")                \
    X(IPC_REPLY_RECV, 16, PORT, R, NONE, 0, "port|tag, timeout, w0..w3; token",                    \
      "answers a call and waits for the next; a dead token is passed over")                        \
    X(IPC_ACCEPT, 17, NONE, 0, NONE, 0, "token", "the calling thread now works for that caller")   \
    X(CAP_DERIVE, 20, NONE, 0, NONE, 0, "handle, rights, badge",                                   \
      "a narrower capability, same table")                                                         \
    X(CAP_REVOKE, 21, NONE, 0, NONE, 0, "handle", "takes back all that was derived from it")       \
    X(CAP_DROP, 22, NONE, 0, NONE, 0, "handle", "revokes, and empties the slot")                   \
    X(CAP_INFO, 23, NONE, 0, NONE, 0, "handle, gmk_cap_info_t *", "what it is")                    \
    X(CAP_MOVE, 24, UNIT, M, NONE, 0, "unit, handle",                                              \
      "moves it into the unit's table; what was derived from it is taken back; needs GRANT")       \
    X(UNIT_CREATE, 30, FACTORY, W, NONE, 0, "factory, gmk_unit_args_t *",                          \
      "an empty unit: its handle")                                                                 \
    X(UNIT_PORTS, 31, UNIT, M, NONE, 0, "unit, fault port or 0, personality port or 0",            \
      "sets where faults and foreign calls go; port capabilities with WRITE")                      \
    X(UNIT_WATCH, 32, UNIT, R, NOTIFY, W, "unit, notification, bits", "signals when it has ended") \
    X(UNIT_KILL, 33, UNIT, M, NONE, 0, "unit, status", "ends it; everything it had goes back")     \
    X(UNIT_INFO, 34, UNIT, R, NONE, 0, "unit, gmk_unit_info_t *", "its state and budget")          \
    X(THREAD_CREATE, 40, UNIT, E, NONE, 0, "unit, gmk_thread_args_t *", "a thread: its handle")    \
    X(THREAD_START, 41, THREAD, E, NONE, 0, "thread", "lets a new one run")                        \
    X(THREAD_SUSPEND, 42, THREAD, E, NONE, 0, "thread", "stops it, wherever it is")                \
    X(THREAD_RESUME, 43, THREAD, E, NONE, 0, "thread", "undoes suspend")                           \
    X(THREAD_KILL, 44, THREAD, M, NONE, 0, "thread, status", "ends it")                            \
    X(THREAD_REGS_GET, 45, THREAD, R, NONE, 0, "thread, gmk_regs_t *", "of a stopped thread")      \
    X(THREAD_REGS_SET, 46, THREAD, W, NONE, 0, "thread, gmk_regs_t *", "of a stopped thread")      \
    X(THREAD_SCHED, 47, THREAD, W, NONE, 0, "thread, gmk_sched_args_t *", "priority and all that") \
    X(THREAD_INFO, 48, THREAD, R, NONE, 0, "thread, gmk_thread_info_t *", "state and time")        \
    X(THREAD_WATCH, 49, THREAD, R, NOTIFY, W, "thread, notification, bits",                        \
      "signals when it ended")                                                                     \
    X(PORT_CREATE, 50, FACTORY, W, NONE, 0, "factory", "a port")                                   \
    X(PORT_BIND, 51, PORT, M, NOTIFY, W, "port, notification, bits",                               \
      "signals when a message waits and nobody receives")                                          \
    X(NOTIFY_CREATE, 55, FACTORY, W, NONE, 0, "factory", "a notification")                         \
    X(NOTIFY_SIGNAL, 56, NOTIFY, W, NONE, 0, "notification, bits", "sets bits, wakes who waits")   \
    X(NOTIFY_WAIT, 57, NOTIFY, R, NONE, 0, "notification, mask, timeout",                          \
      "waits for any bit of the mask; returns those in rdi, and clears them")                      \
    X(NOTIFY_SIGNAL_WAIT, 58, NOTIFY, W, NOTIFY, R, "to signal, to wait on, bits, mask, timeout",  \
      "both in one call")                                                                          \
    X(TIMER_CREATE, 60, FACTORY, W, NOTIFY, W, "factory, notification, bits", "a timer")           \
    X(TIMER_SET, 61, TIMER, W, NONE, 0, "timer, at, period",                                       \
      "signals at this time since boot, and every period after; at 0: stops it")                   \
    X(IRQ_CREATE, 65, SYSTEM, E, NOTIFY, W, "system, notification, bits, number, flags",           \
      "an interrupt, masked until irq_ack; flags 1 level, 2 active low, 4 ISA number")             \
    X(IRQ_ACK, 66, IRQ, W, NONE, 0, "irq", "unmasks it: the next one may come")                    \
    X(IOPORT_CREATE, 70, SYSTEM, E, NONE, 0, "system, first, count", "a range of I/O ports")       \
    X(IOPORT_IN, 71, IOPORT, R, NONE, 0, "range, port, bytes 1 2 4", "reads it")                   \
    X(IOPORT_OUT, 72, IOPORT, W, NONE, 0, "range, port, bytes 1 2 4, value", "writes it")          \
    X(MEMORY_CREATE, 80, FACTORY, W, NONE, 0, "factory, kind, size, begun or 0",                   \
      "a memory object; WIRED, CONTIG: rdi = bytes made, go on with the handle until all are")     \
    X(MEMORY_CLONE, 81, MEMORY, R, FACTORY, W, "memory, factory, offset, size, begun or 0",        \
      "an anonymous object with these contents, copied on write; rdi = bytes shared, go on until " \
      "all")                                                                                       \
    X(MEMORY_MAP, 82, UNIT, W, MEMORY, 0, "unit, memory, address or 0, offset, size, prot|flags",  \
      "maps it: its address. Rights on the memory as prot asks for; WRITE, EXEC only with READ")   \
    X(MEMORY_UNMAP, 83, UNIT, W, NONE, 0, "unit, address, size", "bytes done")                     \
    X(MEMORY_PROTECT, 84, UNIT, W, NONE, 0, "unit, address, size, prot|flags",                     \
      "bytes done; never more than the mapping was made with rights for")                          \
    X(MEMORY_INFO, 85, MEMORY, R, NONE, 0, "memory, gmk_memory_info_t *", "its size")              \
    X(MEMORY_PHYSICAL, 86, SYSTEM, E, FACTORY, W, "system, factory, address, size",                \
      "a device's memory: never RAM")                                                              \
    X(CHAN_CREATE, 90, REGISTRY, W, FACTORY, W, "registry, factory, gmk_chan_args_t *",            \
      "a channel: a capability to send and receive")                                               \
    X(CHAN_OPEN, 91, REGISTRY, R, FACTORY, W, "registry, factory, name, bytes, rights",            \
      "an end of a channel that exists; READ subscribes")                                          \
    X(CHAN_SEND, 92, CHANNEL, W, NONE, 0, "channel, gmk_chan_msg_t *, timeout", "sends")           \
    X(CHAN_RECV, 93, CHANNEL, R, NONE, 0, "channel, gmk_chan_msg_t *, timeout", "receives")        \
    X(CHAN_CLOSE, 94, CHANNEL, M, NONE, 0, "channel", "ends it once what was sent is received")    \
    X(CHAN_BIND, 95, CHANNEL, R, NOTIFY, W, "channel, notification, bits",                         \
      "signals when one waits")                                                                    \
    X(REGISTRY_CREATE, 96, REGISTRY, M, FACTORY, W, "registry, factory, prefix, bytes",            \
      "names that begin with the registry's own prefix and this one")                              \
    X(FACTORY_SPLIT, 100, FACTORY, M, NONE, 0, "factory, frames, objects", "a factory of its own") \
    X(SYSTEM_INFO, 110, SYSTEM, R, NONE, 0, "system, gmk_system_info_t *", "the machine")          \
    X(SYSTEM_POWER, 111, SYSTEM, M, NONE, 0, "system, 0 off or 1 restart, status",                 \
      "does not return")                                                                           \
    X(SYSTEM_RANDOM, 112, SYSTEM, R, NONE, 0, "system", "63 random bits, for address layouts")

enum gmk_syscall {
#define GMK_SYSCALL_ENUM(name, number, t0, r0, t1, r1, args, what) GMK_SYS_##name = (number),
    GMK_SYSCALL_LIST(GMK_SYSCALL_ENUM)
#undef GMK_SYSCALL_ENUM
        GMK_SYSCALLS_MAX = 128
};

/* Letters for the list's rights. */
#define GMK_SYSCALL_RIGHT_R GMK_RIGHT_READ
#define GMK_SYSCALL_RIGHT_W GMK_RIGHT_WRITE
#define GMK_SYSCALL_RIGHT_E GMK_RIGHT_EXECUTE
#define GMK_SYSCALL_RIGHT_M GMK_RIGHT_MANAGE
#define GMK_SYSCALL_RIGHT_0 0

/* Where programs may be: [GMK_USER_MIN, GMK_USER_MAX). The last page below the hole of addresses is
 * never mapped: a `syscall` at its end would return to an address that is not canonical. */
#define GMK_USER_MIN UINT64_C(0x10000)
#define GMK_USER_MAX UINT64_C(0x7fffffff0000)

#ifdef __cplusplus
}
#endif
