/* Test of the calls on threads: what may be asked of one in which state, registers of a stopped one, who
 * is told of its end, and ends in every wait. */
#include "tests/user/lib/utest.h"
#include "user/lib/memory.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#define SECOND UINT64_C(1000000000)
#define STACK  4096u

static gmk_handle_t notify;
static _Atomic uint32_t word, count;
static uint64_t stack;

static gmk_unit_info_t self_info(void) {
    gmk_unit_info_t info = {.state = 99};
    (void)sys_unit_info(GMK_SELF_UNIT, &info);
    return info;
}

static gmk_thread_info_t info_of(gmk_handle_t thread) {
    gmk_thread_info_t info = {.state = 99};
    (void)sys_thread_info(thread, &info);
    return info;
}

/* Threads without thread-local storage, made by the bare call. */
static _Noreturn void leave_with_arg(uint64_t arg) {
    sys_exit((int64_t)arg, false);
}
static _Noreturn void count_for_ever(uint64_t arg) {
    (void)arg;
    for (;;)
        count++;
}
static _Noreturn void wait_for_ever(uint64_t arg) {
    (void)arg;
    for (;;)
        (void)sys_word_wait(&word, 0, GMK_FOREVER);
}
static _Noreturn void end_itself(uint64_t arg) {
    (void)sys_thread_kill((gmk_handle_t)count, (int64_t)arg);
    word = 99; /* never seen */
    for (;;)
        ;
}

static gmk_thread_args_t usual(void (*entry)(uint64_t)) {
    return (gmk_thread_args_t){.name = "bare",
                               .entry = (uintptr_t)entry,
                               .stack = stack + STACK - 8,
                               .arg = 7,
                               .priority = GMK_PRIORITY_NORMAL};
}

static int64_t make(void (*entry)(uint64_t), unsigned flags) {
    gmk_thread_args_t args = usual(entry);
    args.flags = (uint16_t)flags;
    return sys_thread_create(GMK_SELF_UNIT, &args);
}

static bool reaches(gmk_handle_t thread, unsigned state) {
    for (unsigned i = 0; i < 1000000; i++) {
        if (info_of(thread).state == state)
            return true;
        (void)sys_yield();
    }
    return false;
}

/* ---- Making -------------------------------------------------------------------------------------- */

static void bad_arguments_make_no_thread(void) {
    gmk_unit_info_t before = self_info();
    gmk_thread_args_t args = usual(leave_with_arg);
    EXPECT_EQ(sys_thread_create(GMK_SELF_UNIT, NULL), GMK_EFAULT);
    args.reserved = 1;
    EXPECT_EQ(sys_thread_create(GMK_SELF_UNIT, &args), GMK_EINVAL);
    args = usual(leave_with_arg);
    args.flags = GMK_THREAD_DETACHED; /* nobody could start it */
    EXPECT_EQ(sys_thread_create(GMK_SELF_UNIT, &args), GMK_EINVAL);
    args.flags = 0x8000;
    EXPECT_EQ(sys_thread_create(GMK_SELF_UNIT, &args), GMK_EINVAL);
    args = usual(leave_with_arg);
    args.entry = GMK_USER_MAX;
    EXPECT_EQ(sys_thread_create(GMK_SELF_UNIT, &args), GMK_EINVAL);
    args = usual(leave_with_arg);
    args.tls = UINT64_C(0x8000000000000000);
    EXPECT_EQ(sys_thread_create(GMK_SELF_UNIT, &args), GMK_EINVAL);
    args = usual(leave_with_arg);
    args.priority = 255;
    EXPECT(sys_thread_create(GMK_SELF_UNIT, &args) < 0);
    gmk_unit_info_t now = self_info();
    EXPECT_EQ(now.objects_used, before.objects_used);
    EXPECT_EQ(now.threads, before.threads);
    EXPECT_EQ(now.caps, before.caps);
}

static void a_new_thread_is_started_once(void) {
    gmk_handle_t t;
    EXPECT_GOOD(t, make(leave_with_arg, 0));
    EXPECT_EQ(info_of(t).state, GMK_THREAD_NEW);
    EXPECT_EQ(sys_thread_resume(t), GMK_OK); /* it was not suspended: nothing changes */
    EXPECT_EQ(info_of(t).state, GMK_THREAD_NEW);
    EXPECT_EQ(sys_thread_watch(t, notify, 1), GMK_OK);
    EXPECT_EQ(sys_thread_start(t), GMK_OK);
    EXPECT_EQ(sys_thread_start(t), GMK_ESTATE);
    uint64_t bits;
    EXPECT_EQ(sys_notify_wait(notify, 1, 20 * SECOND, &bits), GMK_OK);
    EXPECT_EQ(info_of(t).state, GMK_THREAD_EXITED);
    EXPECT_EQ(info_of(t).status, 7);
    EXPECT_EQ(sys_thread_watch(t, notify, 2), GMK_OK); /* over: at once */
    EXPECT_EQ(sys_notify_wait(notify, 2, 0, &bits), GMK_OK);
    EXPECT_EQ(sys_thread_suspend(t), GMK_ESTATE);
    EXPECT_EQ(sys_thread_kill(t, 8), GMK_OK);
    EXPECT_EQ(info_of(t).status, 7);
    EXPECT_EQ(sys_cap_drop(t), GMK_OK);
    EXPECT_EQ(sys_thread_info(t, NULL), GMK_EHANDLE);
}

static void a_detached_thread_leaves_nothing(void) {
    gmk_unit_info_t before = self_info(), now = before;
    for (unsigned i = 0; i < 100; i++) {
        int64_t made = make(leave_with_arg, GMK_THREAD_START | GMK_THREAD_DETACHED);
        EXPECT_EQ(made, 0);
        do { /* they share a stack */
            (void)sys_yield();
            now = self_info();
        } while (now.threads > before.threads);
    }
    for (unsigned i = 0; i < 1000000 && now.objects_used > before.objects_used; i++) {
        (void)sys_yield();
        now = self_info();
    }
    EXPECT_EQ(now.objects_used, before.objects_used);
    EXPECT_EQ(now.caps, before.caps);
}

/* ---- Stopping ------------------------------------------------------------------------------------- */

static void a_suspended_thread_stands_still_and_goes_on(void) {
    gmk_handle_t t;
    EXPECT_GOOD(t, make(count_for_ever, GMK_THREAD_START));
    for (unsigned i = 0; i < 20; i++) {
        uint32_t seen = count;
        while (count == seen)
            (void)sys_yield();
        EXPECT_EQ(sys_thread_suspend(t), GMK_OK);
        seen = count;
        for (unsigned k = 0; k < 50; k++)
            (void)sys_yield();
        EXPECT_EQ(count, seen);
        EXPECT_EQ(info_of(t).state, GMK_THREAD_STOPPED);
        EXPECT_EQ(sys_thread_resume(t), GMK_OK);
    }
    EXPECT_EQ(sys_thread_kill(t, 3), GMK_OK);
    EXPECT(reaches(t, GMK_THREAD_EXITED));
    EXPECT_EQ(info_of(t).status, 3);
    EXPECT_EQ(sys_cap_drop(t), GMK_OK);
}

static void registers_belong_to_stopped_threads(void) {
    gmk_handle_t t;
    gmk_regs_t regs;
    EXPECT_GOOD(t, make(count_for_ever, GMK_THREAD_START));
    EXPECT_EQ(sys_thread_regs_get(t, &regs), GMK_ESTATE);
    EXPECT_EQ(sys_thread_regs_set(t, &regs), GMK_ESTATE);
    EXPECT_EQ(sys_thread_suspend(t), GMK_OK);
    EXPECT_EQ(sys_thread_regs_get(t, NULL), GMK_EFAULT);
    EXPECT_EQ(sys_thread_regs_get(t, &regs), GMK_OK);
    EXPECT(regs.rip >= (uintptr_t)count_for_ever && regs.rip < (uintptr_t)count_for_ever + 64);
    gmk_regs_t bad = regs;
    bad.rip = UINT64_C(0x800000000000);
    EXPECT_EQ(sys_thread_regs_set(t, &bad), GMK_EINVAL);
    bad.rip = UINT64_C(0xffffffff80200000);
    EXPECT_EQ(sys_thread_regs_set(t, &bad), GMK_EINVAL);
    EXPECT_EQ(sys_thread_regs_set(t, NULL), GMK_EFAULT);
    regs.rip = (uintptr_t)leave_with_arg; /* it is somewhere else now */
    regs.rdi = 1234;
    regs.rsp = stack + STACK - 8;
    regs.rflags |= 0x3000 | 0x200; /* IOPL and IF are not the thread's to set */
    EXPECT_EQ(sys_thread_regs_set(t, &regs), GMK_OK);
    EXPECT_EQ(sys_thread_resume(t), GMK_OK);
    EXPECT(reaches(t, GMK_THREAD_EXITED));
    EXPECT_EQ(info_of(t).status, 1234);
    EXPECT_EQ(sys_thread_regs_get(t, &regs), GMK_ESTATE);
    EXPECT_EQ(sys_cap_drop(t), GMK_OK);
}

static void a_new_thread_can_be_sent_elsewhere(void) {
    gmk_handle_t t;
    gmk_regs_t regs;
    EXPECT_GOOD(t, make(count_for_ever, 0));
    EXPECT_EQ(sys_thread_regs_get(t, &regs), GMK_OK);
    EXPECT_EQ(regs.rip, (uintptr_t)count_for_ever);
    EXPECT_EQ(regs.rdi, 7);
    regs.rip = (uintptr_t)leave_with_arg;
    regs.rdi = 55;
    EXPECT_EQ(sys_thread_regs_set(t, &regs), GMK_OK);
    EXPECT_EQ(sys_thread_start(t), GMK_OK);
    EXPECT(reaches(t, GMK_THREAD_EXITED));
    EXPECT_EQ(info_of(t).status, 55);
    EXPECT_EQ(sys_cap_drop(t), GMK_OK);
}

static void one_that_waits_can_be_looked_at_but_not_changed(void) {
    gmk_handle_t t;
    gmk_regs_t regs;
    EXPECT_GOOD(t, make(wait_for_ever, GMK_THREAD_START));
    EXPECT(reaches(t, GMK_THREAD_BLOCKED));
    EXPECT_EQ(sys_thread_regs_get(t, &regs), GMK_ESTATE);
    EXPECT_EQ(sys_thread_suspend(t), GMK_OK);
    EXPECT_EQ(sys_thread_regs_get(t, &regs), GMK_OK);
    EXPECT(regs.rip >= (uintptr_t)wait_for_ever && regs.rip < (uintptr_t)wait_for_ever + 64);
    EXPECT_EQ(sys_thread_regs_set(t, &regs), GMK_ESTATE);
    EXPECT_EQ(sys_thread_kill(t, 1), GMK_OK);
    EXPECT(reaches(t, GMK_THREAD_EXITED));
    EXPECT_EQ(sys_cap_drop(t), GMK_OK);
}

/* ---- Ending ----------------------------------------------------------------------------------------- */

static void a_thread_can_end_itself_by_its_capability(void) {
    gmk_handle_t t;
    word = 0;
    EXPECT_GOOD(t, make(end_itself, 0));
    count = t;
    EXPECT_EQ(sys_thread_start(t), GMK_OK);
    EXPECT(reaches(t, GMK_THREAD_EXITED));
    EXPECT_EQ(info_of(t).status, 7);
    EXPECT_EQ(word, 0);
    EXPECT_EQ(sys_cap_drop(t), GMK_OK);
}

/* In any state it may be caught in. */
static void dropping_a_thread_ends_it(void) {
    static void (*const entries[])(uint64_t) = {leave_with_arg, count_for_ever, wait_for_ever};
    gmk_unit_info_t before = self_info(), now;
    for (unsigned round = 0; round < 60; round++) {
        gmk_handle_t t;
        EXPECT_GOOD(t, make(entries[round % 3], round % 2 != 0 ? GMK_THREAD_START : 0));
        for (unsigned i = 0; i < round / 6; i++)
            (void)sys_yield();
        if (round % 4 == 3)
            (void)sys_thread_suspend(t);
        EXPECT_EQ(sys_cap_drop(t), GMK_OK);
        for (unsigned i = 0; i < 1000000; i++) {
            now = self_info();
            if (now.threads == before.threads && now.objects_used == before.objects_used)
                break;
            (void)sys_yield();
        }
        EXPECT_EQ(now.threads, before.threads);
        EXPECT_EQ(now.objects_used, before.objects_used);
    }
}

static const struct utest tests[] = {
    UTEST(bad_arguments_make_no_thread),
    UTEST(a_new_thread_is_started_once),
    UTEST(a_detached_thread_leaves_nothing),
    UTEST(a_suspended_thread_stands_still_and_goes_on),
    UTEST(registers_belong_to_stopped_threads),
    UTEST(a_new_thread_can_be_sent_elsewhere),
    UTEST(one_that_waits_can_be_looked_at_but_not_changed),
    UTEST(a_thread_can_end_itself_by_its_capability),
    UTEST(dropping_a_thread_ends_it),
};

int main(void) {
    notify = (gmk_handle_t)sys_notify_create(GMK_SELF_FACTORY);
    if (memory_new(STACK, GMK_PROT_READ | GMK_PROT_WRITE, &stack) != GMK_OK)
        return 1;
    return UTEST_RUN(tests);
}
