/* Backtrace: the way back through the frame pointers of a stack.
 *
 * Every function begins with `push rbp; mov rbp, rsp` (-fno-omit-frame-pointer), so rbp points at
 * the caller's rbp, with the return address above it (System V ABI x86-64, 3.2.2). The stack may be
 * what a bug has smashed, so each pair is looked up in the page tables before it is read and each
 * address must lie in code. A pair may lie lower than the one before only on another stack, as when
 * the stack of an NMI leads to that of a thread. */
#include "arch/arch.h"
#include "arch/x86_64/frame.h"
#include "kernel/debug/readable.h"

extern const char text_start[], text_end[]; /* kernel.lds */

#define STACK_SPAN 0x4000u /* pairs so near to each other are on one stack */

static bool is_code(uintptr_t address) {
    return address >= (uintptr_t)text_start && address <= (uintptr_t)text_end;
}

/* Follows the pairs from `fp` on, `max` of them at most. */
static const char *walk(uintptr_t fp, unsigned max, void (*fn)(void *arg, uintptr_t address),
                        void *arg) {
    for (unsigned i = 0; i < max && fp != 0; i++) {
        if ((intptr_t)fp > 0)
            return NULL; /* user code's own: the entry has left it in rbp */
        if (fp % sizeof(uintptr_t) != 0)
            return "stack damaged: a frame pointer is not aligned";
        if (!debug_readable(fp, 2u * sizeof(uintptr_t), NULL))
            return "stack damaged: a frame pointer leads to memory that is not mapped";
        const uintptr_t *pair = (const uintptr_t *)fp;
        if (pair[1] == 0)
            return NULL; /* the first function of a thread */
        if (!is_code(pair[1]))
            return "stack damaged: a return address is not in the code";
        fn(arg, pair[1]);
        if (pair[0] != 0 && pair[0] <= fp && fp - pair[0] < STACK_SPAN)
            return "stack damaged: the frame pointers run in a circle";
        fp = pair[0];
    }
    return NULL;
}

const char *arch_backtrace(const struct arch_frame *frame, unsigned max,
                           void (*fn)(void *arg, uintptr_t address), void *arg) {
    if (frame == NULL)
        return walk((uintptr_t)__builtin_frame_address(0), max, fn, arg);
    fn(arg, frame->rip);
    if (arch_frame_is_user(frame))
        return NULL;
    /* A jump to nowhere has not made a pair yet: who made it is on top of the stack. */
    if (!is_code(frame->rip) && debug_readable(frame->rsp, sizeof(uintptr_t), NULL) &&
        is_code(*(const uintptr_t *)frame->rsp))
        fn(arg, *(const uintptr_t *)frame->rsp);
    return walk(frame->rbp, max - 1u, fn, arg);
}

const char *arch_backtrace_context(const struct arch_context *context, unsigned max,
                                   void (*fn)(void *arg, uintptr_t address), void *arg) {
    /* Five registers lie below rbp and the return address: context.S. */
    return walk(context->stack + 5u * sizeof(uintptr_t), max, fn, arg);
}
