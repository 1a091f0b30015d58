/* Port messages: what travels from thread to thread, and how a wait ends when nothing came.
 *
 * Words 0 .. 3 of a message are in the sender's registers and, while it waits, in its block; the others
 * stay in its message buffer until they are copied into the receiver's. A fault or a foreign call has
 * its words 4 .. 23, the registers, in its frame.
 *
 * Capabilities are derived under the port's lock, before anything else is changed: when one cannot be,
 * those before it are dropped again, the sender learns why, and the receiver goes on waiting. A
 * thread of the receiving unit that guesses handles may see one of those for a moment: it names
 * something that the sender wanted to give. */
#include "kernel/ipc/port_queue.h"
#include "kernel/sys/sys.h"

/* Derives one capability; the new handle or an error. */
static int64_t cap_give(struct unit *from, struct unit *to, uint32_t handle, uint32_t rights) {
    struct cap_view view;
    int error = cap_get(from, from->caps, handle, GMK_CAP_NONE, GMK_RIGHT_GRANT, &view);
    return error != GMK_OK ? error : cap_derive(from, handle, to, view.rights & rights, 0);
}

int message_caps(struct thread *from, struct thread *to) {
    unsigned count = GMK_TAG_CAPS(from->block.tag);
    uint32_t handles[GMK_MSG_CAPS_MAX];
    for (unsigned i = 0; i < count; i++) {
        /* Relaxed, and once: the sender's unit may write there meanwhile. */
        uint32_t handle = __atomic_load_n(&from->msg->caps[i], __ATOMIC_RELAXED);
        uint32_t rights = __atomic_load_n(&from->msg->rights[i], __ATOMIC_RELAXED);
        int64_t new = cap_give(from->unit, to->unit, handle, rights);
        if (new < 0) {
            while (i-- > 0)
                (void)cap_drop(to->unit, handles[i]);
            return (int)new;
        }
        handles[i] = (uint32_t) new;
    }
    for (unsigned i = 0; i < count; i++)
        to->msg->caps[i] = handles[i];
    return GMK_OK;
}

void message_deliver(struct thread *from, struct thread *to, bool call) {
    if (from->block.kind == BLOCK_KERNEL)
        arch_regs_get(from, (gmk_regs_t *)(void *)&to->msg->words[GMK_MSG_WORDS_REG]);
    else
        message_copy(from->msg, to->msg, tag_words(from->block.tag));
    uint64_t token = call ? (uint64_t)from->block.call << 31 : 0;
    arch_user_result(to, token | from->block.tag, from->block.badge, from->block.words);
}

void call_received(struct thread *server, struct thread *caller) {
    /* The same wait goes on, its limit too. Release: as in block_begin(). */
    if (caller->block.kind == BLOCK_KERNEL)
        caller->block.call |= TOKEN_KERNEL;
    else
        atomic_store_explicit(&caller->block.kind, BLOCK_REPLY, memory_order_release);
    donor_add(server, caller);
}

struct thread *call_over(struct thread *caller) {
    caller->block.call = (caller->block.call & ~TOKEN_KERNEL) + TOKEN_NEXT;
    return donor_remove(caller);
}

/* A fault that nobody answers ends its thread; a foreign call returns the error. */
static bool kernel_fail(struct thread *thread, int64_t status) {
    uint64_t words[GMK_MSG_WORDS_REG] = {(uint64_t)status};
    bool fault = GMK_TAG_LABEL(thread->block.tag) == GMK_LABEL_FAULT;
    uint32_t tag = fault ? GMK_TAG(GMK_LABEL_KILL, 0, 0) : GMK_TAG(0, 8, 0);
    return fault_reply(thread, tag, words, thread->msg);
}

void wait_end(struct thread *thread, bool kernel, int64_t status) {
    if (!kernel)
        arch_user_status(thread, status);
    else if (!kernel_fail(thread, status))
        thread_user_kill(thread, thread->object.serial, GMK_EFAULT);
    sched_ready_irq(thread, false);
}
