/* Sys model: what each system call asks of its capabilities, written down by hand.
 *
 * Not made from GMK_SYSCALL_LIST on purpose: tests compare the kernel with this. For tests on the host
 * and in user mode. */
#pragma once

#include <stddef.h>

#include "ggmk/abi.h"

struct sys_model {
    unsigned number;
    const char *name;
    unsigned type[2], rights[2];
};

enum { SYS_MODEL_R = 1, SYS_MODEL_W = 2, SYS_MODEL_E = 8, SYS_MODEL_M = 16 };
#define SYS_MODEL_CALLS 67u

#define R        SYS_MODEL_R
#define W        SYS_MODEL_W
#define E        SYS_MODEL_E
#define M        SYS_MODEL_M
#define UNIT     1
#define THREAD   2
#define PORT     3
#define CHANNEL  4
#define NOTIFY   5
#define TIMER    6
#define IRQ      7
#define IOPORT   8
#define MEMORY   9
#define FACTORY  10
#define SYSTEM   11
#define REGISTRY 12
static const struct sys_model sys_model_calls[SYS_MODEL_CALLS] = {
    {0, "NOP", {0, 0}, {0, 0}},
    {1, "YIELD", {0, 0}, {0, 0}},
    {2, "EXIT", {0, 0}, {0, 0}},
    {3, "DEBUG_PRINT", {SYSTEM, 0}, {W, 0}},
    {4, "TIME", {0, 0}, {0, 0}},
    {5, "TLS", {0, 0}, {0, 0}},
    {6, "WORD_WAIT", {0, 0}, {0, 0}},
    {7, "WORD_WAKE", {0, 0}, {0, 0}},
    {10, "IPC_SEND", {PORT, 0}, {W, 0}},
    {11, "IPC_RECV", {PORT, 0}, {R, 0}},
    {12, "IPC_CALL", {PORT, 0}, {W, 0}},
    {13, "CAP_CHECK", {0, 0}, {0, 0}},
    {14, "CAP_GRANT", {UNIT, 0}, {M, 0}},
    {15, "IPC_REPLY", {0, 0}, {0, 0}},
    {16, "IPC_REPLY_RECV", {PORT, 0}, {R, 0}},
    {17, "IPC_ACCEPT", {0, 0}, {0, 0}},
    {20, "CAP_DERIVE", {0, 0}, {0, 0}},
    {21, "CAP_REVOKE", {0, 0}, {0, 0}},
    {22, "CAP_DROP", {0, 0}, {0, 0}},
    {23, "CAP_INFO", {0, 0}, {0, 0}},
    {24, "CAP_MOVE", {UNIT, 0}, {M, 0}},
    {30, "UNIT_CREATE", {FACTORY, 0}, {W, 0}},
    {31, "UNIT_PORTS", {UNIT, 0}, {M, 0}},
    {32, "UNIT_WATCH", {UNIT, NOTIFY}, {R, W}},
    {33, "UNIT_KILL", {UNIT, 0}, {M, 0}},
    {34, "UNIT_INFO", {UNIT, 0}, {R, 0}},
    {40, "THREAD_CREATE", {UNIT, 0}, {E, 0}},
    {41, "THREAD_START", {THREAD, 0}, {E, 0}},
    {42, "THREAD_SUSPEND", {THREAD, 0}, {E, 0}},
    {43, "THREAD_RESUME", {THREAD, 0}, {E, 0}},
    {44, "THREAD_KILL", {THREAD, 0}, {M, 0}},
    {45, "THREAD_REGS_GET", {THREAD, 0}, {R, 0}},
    {46, "THREAD_REGS_SET", {THREAD, 0}, {W, 0}},
    {47, "THREAD_SCHED", {THREAD, 0}, {W, 0}},
    {48, "THREAD_INFO", {THREAD, 0}, {R, 0}},
    {49, "THREAD_WATCH", {THREAD, NOTIFY}, {R, W}},
    {50, "PORT_CREATE", {FACTORY, 0}, {W, 0}},
    {51, "PORT_BIND", {PORT, NOTIFY}, {M, W}},
    {55, "NOTIFY_CREATE", {FACTORY, 0}, {W, 0}},
    {56, "NOTIFY_SIGNAL", {NOTIFY, 0}, {W, 0}},
    {57, "NOTIFY_WAIT", {NOTIFY, 0}, {R, 0}},
    {58, "NOTIFY_SIGNAL_WAIT", {NOTIFY, NOTIFY}, {W, R}},
    {60, "TIMER_CREATE", {FACTORY, NOTIFY}, {W, W}},
    {61, "TIMER_SET", {TIMER, 0}, {W, 0}},
    {65, "IRQ_CREATE", {SYSTEM, NOTIFY}, {E, W}},
    {66, "IRQ_ACK", {IRQ, 0}, {W, 0}},
    {70, "IOPORT_CREATE", {SYSTEM, 0}, {E, 0}},
    {71, "IOPORT_IN", {IOPORT, 0}, {R, 0}},
    {72, "IOPORT_OUT", {IOPORT, 0}, {W, 0}},
    {80, "MEMORY_CREATE", {FACTORY, 0}, {W, 0}},
    {81, "MEMORY_CLONE", {MEMORY, FACTORY}, {R, W}},
    {82, "MEMORY_MAP", {UNIT, MEMORY}, {W, 0}},
    {83, "MEMORY_UNMAP", {UNIT, 0}, {W, 0}},
    {84, "MEMORY_PROTECT", {UNIT, 0}, {W, 0}},
    {85, "MEMORY_INFO", {MEMORY, 0}, {R, 0}},
    {86, "MEMORY_PHYSICAL", {SYSTEM, FACTORY}, {E, W}},
    {90, "CHAN_CREATE", {REGISTRY, FACTORY}, {W, W}},
    {91, "CHAN_OPEN", {REGISTRY, FACTORY}, {R, W}},
    {92, "CHAN_SEND", {CHANNEL, 0}, {W, 0}},
    {93, "CHAN_RECV", {CHANNEL, 0}, {R, 0}},
    {94, "CHAN_CLOSE", {CHANNEL, 0}, {M, 0}},
    {95, "CHAN_BIND", {CHANNEL, NOTIFY}, {R, W}},
    {96, "REGISTRY_CREATE", {REGISTRY, FACTORY}, {M, W}},
    {100, "FACTORY_SPLIT", {FACTORY, 0}, {M, 0}},
    {110, "SYSTEM_INFO", {SYSTEM, 0}, {R, 0}},
    {111, "SYSTEM_POWER", {SYSTEM, 0}, {M, 0}},
    {112, "SYSTEM_RANDOM", {SYSTEM, 0}, {R, 0}},
};
#undef R
#undef W
#undef E
#undef M
#undef UNIT
#undef THREAD
#undef PORT
#undef CHANNEL
#undef NOTIFY
#undef TIMER
#undef IRQ
#undef IOPORT
#undef MEMORY
#undef FACTORY
#undef SYSTEM
#undef REGISTRY

static inline const struct sys_model *sys_model(unsigned number) {
    for (unsigned i = 0; i < SYS_MODEL_CALLS; i++)
        if (sys_model_calls[i].number == number)
            return &sys_model_calls[i];
    return NULL;
}

/* What the i-th capability must give when it is of this type with these rights; type 0: a handle of
 * nothing. GMK_OK: let through. */
static inline int sys_model_check(const struct sys_model *m, unsigned i, unsigned type,
                                  unsigned mask) {
    if (m->type[i] == GMK_CAP_NONE)
        return GMK_OK;
    if (type == 0)
        return GMK_EHANDLE;
    if (type != m->type[i])
        return GMK_ECAPTYPE;
    return (m->rights[i] & ~mask) != 0 ? GMK_ERIGHTS : GMK_OK;
}
