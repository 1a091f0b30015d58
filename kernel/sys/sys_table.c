/* Table: what each system call takes, and the one place where that is checked.
 *
 * Rows come from GMK_SYSCALL_LIST, handlers from sys_handlers.h: for each number either an entry of its
 * own, which the entry code calls at once, or sys_checked() and a handler. The compiler refuses a
 * number with two; tests/unit/test_sys_table.c refuses one with none.
 *
 * The order of refusals: GMK_ENOSYS; a0: GMK_EHANDLE, GMK_ECAPTYPE, GMK_ERIGHTS; a1: the same; then the
 * handler's own. Of a handle the low 32 bits count. */
#include "kernel/sys/sys.h"

#include "arch_user.h"
#include "kernel/ipc/channel.h"
#include "kernel/ipc/notify.h"
#include "kernel/ipc/port.h"
#include "kernel/sched/runq.h"
#include "kernel/sys/sys_handlers.h"

struct row {
    uint8_t type[2], rights[2]; /* of a0 and a1 */
    const char *name;
};

static const struct row rows[GMK_SYSCALLS_MAX] = {
#define SYS_ROW(name, number, t0, r0, t1, r1, args, what) \
    [number] = {                                          \
        {GMK_CAP_##t0, GMK_CAP_##t1}, {GMK_SYSCALL_RIGHT_##r0, GMK_SYSCALL_RIGHT_##r1}, #name},
    GMK_SYSCALL_LIST(SYS_ROW)
#undef SYS_ROW
};

static const sys_fn handlers[GMK_SYSCALLS_MAX] = {
#define SYS_HANDLER(name, handler) [GMK_SYS_##name] = (handler),
    SYS_CHECKED_LIST(SYS_HANDLER)
#undef SYS_HANDLER
};

const sys_entry_fn sys_entries[GMK_SYSCALLS_MAX] = {
#define SYS_ENTRY(name, entry) [GMK_SYS_##name] = (entry),
    SYS_ENTRY_LIST(SYS_ENTRY)
#undef SYS_ENTRY
#define SYS_VIA_CHECKED(name, handler) [GMK_SYS_##name] = sys_checked,
        SYS_CHECKED_LIST(SYS_VIA_CHECKED)
#undef SYS_VIA_CHECKED
            /* Numbers without a call: GMK_ENOSYS. A new call takes its number out of here. */
            [8 ... 9] = sys_checked,
    [18 ... 19] = sys_checked,
    [25 ... 29] = sys_checked,
    [35 ... 39] = sys_checked,
    [52 ... 54] = sys_checked,
    [59] = sys_checked,
    [62 ... 64] = sys_checked,
    [67 ... 69] = sys_checked,
    [73 ... 79] = sys_checked,
    [87 ... 89] = sys_checked,
    [97 ... 99] = sys_checked,
    [101 ... 109] = sys_checked,
    [113 ... 127] = sys_checked,
};

const char *sys_name(unsigned number) {
    return number < GMK_SYSCALLS_MAX ? rows[number].name : NULL;
}

/* Is the i-th capability there, and does it allow this? Then its object is held. */
static int check(struct sys_call *call, const struct row *row, unsigned i) {
    if (row->type[i] == GMK_CAP_NONE)
        return GMK_OK;
    struct cap_view *view = &call->cap[i];
    int status = cap_get(call->unit, call->unit->caps, (uint32_t)call->a[i], row->type[i],
                         row->rights[i], view);
    if (status == GMK_OK && row->type[i] != GMK_CAP_THREAD &&
        !object_hold(view->object, view->serial))
        status = GMK_EHANDLE;
    return status;
}

static void release(const struct sys_call *call, const struct row *row, unsigned i) {
    if (row->type[i] != GMK_CAP_NONE && row->type[i] != GMK_CAP_THREAD)
        object_release(call->cap[i].object);
}

uint64_t sys_checked(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                     uint64_t rax) {
    unsigned number = (uint32_t)rax - GMK_SYS_BASE;
    if (number >= GMK_SYSCALLS_MAX || handlers[number] == NULL)
        return (uint64_t)GMK_ENOSYS;
    const struct row *row = &rows[number];
    struct thread *thread = cpu_this()->current;
    struct sys_call call; /* the rest of cap[] is set where the row asks for it */
    call.cap[0].object = call.cap[1].object = NULL;
    call.thread = thread;
    call.unit = thread->unit;
    call.a[0] = a0, call.a[1] = a1, call.a[2] = a2;
    call.a[3] = a3, call.a[4] = a4, call.a[5] = a5;
    call.out = 0;
    int status = check(&call, row, 0);
    if (status != GMK_OK)
        return (uint64_t)status;
    int64_t result = check(&call, row, 1);
    if (result == GMK_OK) {
        result = handlers[number](&call);
        release(&call, row, 1);
    }
    release(&call, row, 0);
    if (GMK_UNLIKELY(result == SYS_AGAIN)) {
        arch_user_again(thread, rax, call.a);
        arch_user_leave(thread);
    }
    if (call.out != 0)
        arch_user_frame(thread)->rdi = call.out;
    return (uint64_t)result;
}
