/* IPC: messages by ports, with their first four words in registers.
 *
 *     struct ipc m = {.tag = GMK_TAG(LABEL, 8, 0), .w = {41}};
 *     int status = ipc_call(port, &m, GMK_FOREVER);     // the reply is in m
 *
 *     for (int status = ipc_recv(port, &m, GMK_FOREVER); status == GMK_OK;
 *          status = ipc_reply_recv(port, &m, GMK_FOREVER)) {
 *         m.w[0]++;                                     // m.badge tells who asked
 *         m.tag = GMK_TAG(0, 8, 0);
 *     }
 *
 * Everything is inline and `m` is usually a local variable, so its fields are the registers
 * themselves. Bytes beyond 32, and capabilities, lie in the thread's message buffer, ipc_buffer():
 * word i of a message is m.w[i] for i < 4, and ipc_buffer()->words[i] from there on.
 *
 * Statuses: GMK_OK or a negative code of ggmk/error.h. On an error of reply_recv's reply half see
 * ggmk/abi.h: a dead caller is passed over. */
#pragma once

#include "user/lib/syscall.h"

struct ipc {
    uint32_t tag;   /* GMK_TAG(label, bytes, capabilities): of what is sent, then of what came */
    uint32_t token; /* received by ipc_recv(): what a reply needs; 0: the sender does not wait */
    uint64_t badge; /* received by ipc_recv(): of the capability that the sender used */
    uint64_t w[GMK_MSG_WORDS_REG];
};

/* The calling thread's message buffer (thread.c). */
static inline gmk_msg_t *ipc_buffer(void);

#define IPC_STUB static inline __attribute__((always_inline)) int

/* NOLINTBEGIN(readability-non-const-parameter): the instruction writes *rdi. */

/* One `syscall` with the words of a message in their registers on both sides. */
SYSCALL_STUB ipc_syscall(uint64_t rax, uint64_t *rdi, uint64_t timeout_ns,
                         uint64_t w[GMK_MSG_WORDS_REG]) {
    register uint64_t r10 __asm__("r10") = w[1];
    register uint64_t r8 __asm__("r8") = w[2];
    register uint64_t r9 __asm__("r9") = w[3];
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(*rdi), "+S"(timeout_ns), "+d"(w[0]), "+r"(r10), "+r"(r8),
                       "+r"(r9)
                     :
                     : "rcx", "r11", "cc", "memory");
    w[1] = r10;
    w[2] = r8;
    w[3] = r9;
    return (int64_t)rax;
}

/* The same where no words go in: they need no registers loaded. */
SYSCALL_STUB ipc_syscall_receive(uint64_t rax, uint64_t *rdi, uint64_t timeout_ns,
                                 uint64_t w[GMK_MSG_WORDS_REG]) {
    register uint64_t r10 __asm__("r10");
    register uint64_t r8 __asm__("r8");
    register uint64_t r9 __asm__("r9");
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(*rdi), "+S"(timeout_ns), "=d"(w[0]), "=r"(r10), "=r"(r8),
                       "=r"(r9)
                     :
                     : "rcx", "r11", "cc", "memory");
    w[1] = r10;
    w[2] = r8;
    w[3] = r9;
    return (int64_t)rax;
}

/* NOLINTEND(readability-non-const-parameter) */

static inline __attribute__((always_inline)) int ipc_received(struct ipc *m, int64_t rax,
                                                              uint64_t rdi) {
    m->tag = (uint32_t)rax; /* on an error these mean nothing */
    m->token = GMK_TAG_TOKEN(rax);
    m->badge = rdi;
    if (GMK_UNLIKELY(rax < 0))
        return (int)rax;
    return GMK_OK;
}

/* Sends *m and waits for the reply, which *m holds afterwards (not token and badge). On an error the
 * words are lost. */
IPC_STUB ipc_call(gmk_handle_t port, struct ipc *m, uint64_t timeout_ns) {
    uint64_t rdi = port | (uint64_t)m->tag << 32;
    int64_t rax = ipc_syscall(SYSCALL_NUMBER(GMK_SYS_IPC_CALL), &rdi, timeout_ns, m->w);
    if (GMK_UNLIKELY(rax < 0))
        return (int)rax;
    m->tag = (uint32_t)rax;
    return GMK_OK;
}

/* Sends *m to whoever receives, and expects no reply. */
IPC_STUB ipc_send(gmk_handle_t port, struct ipc *m, uint64_t timeout_ns) {
    uint64_t rdi = port | (uint64_t)m->tag << 32;
    return (int)ipc_syscall(SYSCALL_NUMBER(GMK_SYS_IPC_SEND), &rdi, timeout_ns, m->w);
}

/* Waits for a message. */
IPC_STUB ipc_recv(gmk_handle_t port, struct ipc *m, uint64_t timeout_ns) {
    uint64_t rdi = port;
    int64_t rax = ipc_syscall_receive(SYSCALL_NUMBER(GMK_SYS_IPC_RECV), &rdi, timeout_ns, m->w);
    return ipc_received(m, rax, rdi);
}

/* Answers m->token with m->tag and m->w. */
IPC_STUB ipc_reply(const struct ipc *m) {
    uint64_t w[GMK_MSG_WORDS_REG] = {m->w[0], m->w[1], m->w[2], m->w[3]};
    uint64_t rdi = (uint64_t)m->tag << 32;
    return (int)ipc_syscall(SYSCALL_NUMBER(GMK_SYS_IPC_REPLY) | (uint64_t)m->token << 32, &rdi, 0,
                            w);
}

/* Answers m->token with *m, and waits for the next message, which *m holds afterwards. */
IPC_STUB ipc_reply_recv(gmk_handle_t port, struct ipc *m, uint64_t timeout_ns) {
    uint64_t rdi = port | (uint64_t)m->tag << 32;
    int64_t rax = ipc_syscall(SYSCALL_NUMBER(GMK_SYS_IPC_REPLY_RECV) | (uint64_t)m->token << 32,
                              &rdi, timeout_ns, m->w);
    return ipc_received(m, rax, rdi);
}

/* The calling thread now works for the caller of this token: it inherits its priority. */
IPC_STUB ipc_accept(uint32_t token) {
    return (int)syscall1(SYSCALL_NUMBER(GMK_SYS_IPC_ACCEPT), token);
}

/* Kept where the thread finds it without a call: thread.h. */
struct thread_local_block {
    gmk_msg_t *msg;
    uint32_t id; /* of the thread, in its unit and the whole system */
    struct thread *self;
};
extern _Thread_local struct thread_local_block thread_local_block;

static inline gmk_msg_t *ipc_buffer(void) {
    return thread_local_block.msg;
}
