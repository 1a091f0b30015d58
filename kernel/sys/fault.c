/* Faults: exceptions of user code that the kernel cannot resolve.
 *
 * They become a call to the unit's fault port, made by the kernel in the thread's name: the thread waits
 * at the boundary, its registers in a full frame, until the reply says how to go on. Without a port, or
 * when it is gone, the unit ends: nobody is there who could mend it. */
#include "ggmk/error.h"
#include "kernel/core/log.h"
#include "kernel/ipc/port.h"
#include "kernel/sys/sys.h"

#include <string.h>

#define MESSAGE_BYTES 192u /* four words and the registers */

_Static_assert(4 * sizeof(uint64_t) + sizeof(gmk_regs_t) == MESSAGE_BYTES, "abi.h");

struct port_ref unit_port(struct unit *unit, const struct port_ref *which) {
    spin_enter(&unit->object.lock);
    struct port_ref port = *which;
    spin_leave(&unit->object.lock);
    return port;
}

static const char *kind_name(unsigned kind) {
    static const char *const names[] = {
        [GMK_FAULT_READ] = "reading",
        [GMK_FAULT_WRITE] = "writing",
        [GMK_FAULT_EXEC] = "executing",
        [GMK_FAULT_MEMORY] = "no memory left for",
        [GMK_FAULT_FPU] = "vector registers, which the thread was made without",
        [GMK_FAULT_DIVIDE] = "division",
        [GMK_FAULT_INSTRUCTION] = "invalid instruction",
        [GMK_FAULT_DEBUG] = "breakpoint or single step",
        [GMK_FAULT_MATH] = "floating point",
        [GMK_FAULT_ALIGN] = "misaligned access",
        [GMK_FAULT_PROTECTION] = "protection",
    };
    return names[kind];
}

_Noreturn static void end_unit(struct thread *t, unsigned kind, uint64_t address, uint64_t rip) {
    klog_warn("fault", "%s/%s (thread %u): %s, address 0x%llx, at 0x%llx: the unit ends",
              t->unit->name, t->name, t->id, kind_name(kind), (unsigned long long)address,
              (unsigned long long)rip);
    unit_kill(t->unit, GMK_EFAULT);
    thread_user_exit(GMK_EFAULT, false);
}

void fault_user(struct arch_frame *frame, const struct arch_trap *trap) {
    struct thread *t = cpu_this()->current;
    bool access = trap->kind == ARCH_TRAP_FAULT && trap->user;
    unsigned kind =
        trap->status == GMK_EFAULT ? arch_fault_kind(frame, trap) : (unsigned)GMK_FAULT_MEMORY;
    gmk_regs_t regs;
    arch_frame_regs_get(frame, &regs);
    regs.fs_base = t->tls;
    struct port_ref port = unit_port(t->unit, &t->unit->fault_port);
    const uint64_t words[4] = {kind, access ? trap->address : 0, regs.rip, t->id};
    if (port.port != NULL) {
        arch_user_boundary_full(t, frame);
        /* Returns only when it could not be sent. */
        (void)ipc_call_kernel(&port, GMK_TAG(GMK_LABEL_FAULT, MESSAGE_BYTES, 0), words, &regs,
                              t->badge);
    }
    end_unit(t, kind, words[1], regs.rip);
}

/* The thread goes on with what it had, or with new registers, copied once since the buffer's owner may be
 * writing in it. Checked either way: some CPUs get as far as to an rip that is not canonical. */
static bool go_on(struct thread *t, const gmk_msg_t *msg, bool all) {
    gmk_regs_t regs;
    arch_regs_get(t, &regs);
    if (all)
        memcpy(&regs, &msg->words[4], sizeof regs);
    return arch_regs_set(t, &regs) == GMK_OK;
}

bool fault_reply(struct thread *t, uint32_t tag, const uint64_t words[4], const gmk_msg_t *msg) {
    struct arch_frame *frame = arch_user_full_frame(t);
    bool all = GMK_TAG_BYTES(tag) >= MESSAGE_BYTES;
    if (GMK_TAG_LABEL(tag) == GMK_LABEL_KILL)
        return false;
    if (!arch_frame_is_foreign(frame))
        return GMK_TAG_LABEL(tag) == 0 && go_on(t, msg, all);
    if (all)
        return go_on(t, msg, true);
    arch_frame_result(frame, words[0]);
    return true;
}
