/* Foreign calls: a system call that is not ours goes to the unit's personality port as a message, with all
 * registers; its reply resumes the thread (fault.c). Without such a port it is an error. */
#include "ggmk/error.h"
#include "kernel/ipc/port.h"
#include "kernel/sys/sys.h"

_Static_assert(sizeof(gmk_regs_t) == 20 * sizeof(uint64_t), "words 4 .. 23 of the message");

void sys_foreign(struct arch_frame *frame) {
    struct thread *t = cpu_this()->current;
    gmk_regs_t regs;
    arch_frame_regs_get(frame, &regs);
    regs.fs_base = t->tls;
    struct port_ref port = unit_port(t->unit, &t->unit->personality_port);
    int status = GMK_ENOTSUP;
    if (port.port != NULL) {
        const uint64_t words[4] = {regs.rax, regs.rdi, regs.rsi, regs.rdx};
        arch_user_boundary_full(t, frame);
        /* Returns only when it could not be sent. */
        status = ipc_call_kernel(&port, GMK_TAG(GMK_LABEL_FOREIGN, 192, 0), words, &regs, t->badge);
    }
    arch_frame_result(frame, (uint64_t)(int64_t)status);
}
