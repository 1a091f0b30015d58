/* Test of user threads: their registers, whoever interrupts, stops or moves them, and copies of their memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/error.h"
#include "kernel/time/patience.h"
#include "tests/kernel/lib/box.h"

/* ---- Registers of threads --------------------------------------------------------------------------- */

static void set_regs(struct thread *t, const gmk_regs_t *regs) {
    bool irq = arch_irq_disable();
    assert_int_equal(arch_regs_set(t, regs), GMK_OK);
    assert_int_equal(thread_user_resume(t, t->object.serial), GMK_OK);
    arch_irq_restore(irq);
}

static gmk_regs_t stop(struct thread *t) {
    gmk_regs_t regs;
    uint64_t until = arch_time_ns() + WAIT_NS;
    int status;
    do {
        bool irq = arch_irq_disable();
        status = thread_user_suspend(t, t->object.serial);
        arch_irq_restore(irq);
    } while (status == GMK_EAGAIN && arch_time_ns() < until);
    assert_int_equal(status, GMK_OK);
    bool irq = arch_irq_disable();
    arch_regs_get(t, &regs);
    arch_irq_restore(irq);
    return regs;
}

/* Both kinds of frame: a thread that computes, and one that is in and out of system calls. */
static void a_stopped_thread_goes_on_where_it_is_told_to(void **state) {
    (void)state;
    const char *const pieces[] = {ring3_count_up, ring3_spin_call};
    box_start_server(&box, false);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned turn = 0; turn < 20; turn++) {
            struct ring3_data *d = box.data;
            d->count = d->survived = 0;
            struct thread *t = box_start(pieces[i]);
            box_wait_counting(&d->count, 1 + turn);
            gmk_regs_t regs = stop(t), bad;
            assert_int_equal(i == 0 ? regs.rdi : regs.rbx, RING3_DATA);
            assert_true(regs.rip >= box_address(pieces[i]) &&
                        regs.rip < box_address(pieces[i]) + 48);
            uint64_t count = d->count;
            bad = regs;
            bad.rip = GMK_USER_MAX;
            bool irq = arch_irq_disable();
            assert_int_equal(arch_regs_set(t, &bad), GMK_EINVAL);
            arch_irq_restore(irq);
            assert_int_equal(d->count, count);
            regs.rip = box_address(ring3_jumped_to);
            regs.rdi = RING3_DATA;
            regs.r8 = 0x1000 + turn;
            regs.r12 = 0x2000 + turn;
            set_regs(t, &regs);
            box_wait_threads(&box, 1);
            assert_true(d->survived);
            assert_int_equal(d->results[1], 0x1000 + turn);
            assert_int_equal(d->results[2], 0x2000 + turn);
        }
}

/* What the kernel had on its stack is not in the places of results that have not come yet. */
static void who_waits_shows_only_the_registers_that_it_keeps(void **state) {
    (void)state;
    box_start_server(&box, false);
    struct thread *server = box.unit->threads;
    uint64_t until = arch_time_ns() + WAIT_NS;
    while (server->block.kind != BLOCK_RECV && arch_time_ns() < until)
        box_nap();
    gmk_regs_t regs = stop(server);
    assert_int_equal(server->block.kind, BLOCK_RECV);
    assert_int_equal(regs.rbx, RING3_DATA);
    assert_int_equal(regs.rbp, server->msg_user);
    const uint64_t lost[] = {regs.rax, regs.rcx, regs.rdx, regs.rsi, regs.rdi,
                             regs.r8,  regs.r9,  regs.r10, regs.r11};
    for (unsigned i = 0; i < sizeof lost / sizeof lost[0]; i++)
        assert_int_equal(lost[i], 0);
    bool irq = arch_irq_disable();
    assert_int_equal(thread_user_resume(server, server->object.serial), GMK_OK);
    arch_irq_restore(irq);
    box_run(ring3_ud2); /* it still serves */
    assert_int_equal(box.data->seen, 1);
}

/* A thread that has a capability of itself: makes this call with it, once. */
static struct thread *call_on_itself(unsigned number, uint32_t *own) {
    struct thread *t = box_thread(&box, ring3_call, 0, 0);
    bool irq = arch_irq_disable();
    int64_t handle = cap_insert(box.unit, &t->object, GMK_RIGHTS_ALL, 0);
    arch_irq_restore(irq);
    assert_true(handle > 0);
    *own = (uint32_t)handle;
    const uint64_t args[7] = {GMK_SYS_BASE | number, (uint64_t)handle, 0x99, 3, 4, 5, 6};
    memcpy(box.data->call, args, sizeof args);
    box.data->survived = 0;
    box_go(&box, t);
    return t;
}

static void drop(uint32_t handle) {
    bool irq = arch_irq_disable();
    assert_int_equal(cap_drop(box.unit, handle), GMK_OK);
    arch_irq_restore(irq);
}

static void who_kills_itself_does_not_come_back(void **state) {
    (void)state;
    box_start_server(&box, false);
    for (unsigned i = 0; i < 50; i++) {
        uint32_t own;
        (void)call_on_itself(GMK_SYS_THREAD_KILL, &own);
        box_wait_threads(&box, 1);
        drop(own);
        assert_false(box.data->survived);
    }
}

static void who_suspends_itself_comes_back_with_its_result(void **state) {
    (void)state;
    box_start_server(&box, false);
    for (unsigned i = 0; i < 20; i++) {
        uint32_t own;
        struct thread *t = call_on_itself(GMK_SYS_THREAD_SUSPEND, &own);
        uint64_t until = arch_time_ns() + WAIT_NS;
        while (t->state != THREAD_STOPPED && arch_time_ns() < until)
            box_nap();
        assert_int_equal(t->state, THREAD_STOPPED);
        assert_false(box.data->survived);
        gmk_regs_t regs;
        arch_regs_get(t, &regs);
        assert_int_equal(regs.rax, 0);
        assert_int_equal(regs.rsp, 0x1212);
        assert_int_equal(regs.r15, 0x1616);
        bool irq = arch_irq_disable();
        assert_int_equal(thread_user_resume(t, t->object.serial), GMK_OK);
        arch_irq_restore(irq);
        box_wait_threads(&box, 1);
        drop(own);
        assert_true(box.data->survived);
        for (unsigned j = 0; j < 7; j++)
            assert_int_equal(box.data->results[j], 0);
        assert_int_equal(box.data->results[11], 0x1212);
        assert_int_equal(box.data->results[15], 0x1616);
    }
}

static void interrupts_change_no_register(void **state) {
    (void)state;
    box_start_server(&box, false);
    struct ring3_data *d = box.data;
    d->count = d->go = d->survived = 0;
    (void)box_start(ring3_kept);
    (void)box_start(ring3_count_up); /* so that slices end */
    box_wait_counting(&d->count, 1000);
    uint64_t until = arch_time_ns() + 50000000;
    while (arch_time_ns() < until)
        box_nap();
    d->go = 1;
    box_wait_counting(&d->survived, 1);
}

/* ---- Vector registers --------------------------------------------------------------------------------- */

/* So many threads that compute; they end with d->go. */
static void start_vectors(struct thread *threads[], unsigned count) {
    struct ring3_data *d = box.data;
    box_start_server(&box, false);
    d->call[0] = d->survived = d->go = 0;
    memset((void *)d->turns, 0, sizeof d->turns);
    for (unsigned i = 0; i < count; i++) {
        threads[i] = box_start_with(&box, ring3_vector, GMK_THREAD_FPU, 0);
        box_wait_counting(&d->call[0], i + 1);
    }
}

static void end_vectors(unsigned count) {
    box.data->go = 1;
    box_wait_threads(&box, 1);
    assert_int_equal(box.data->survived, count);
}

static void vector_registers_survive_switches(void **state) {
    (void)state;
    struct thread *threads[6];
    start_vectors(threads, 6);
    for (unsigned i = 0; i < 6; i++)
        box_wait_counting(&box.data->turns[i], 500);
    end_vectors(6);
}

/* What a CPU has kept of a thread that computed elsewhere meanwhile must not come back. */
static void vector_registers_follow_their_thread_to_other_cpus(void **state) {
    (void)state;
    struct thread *alone;
    start_vectors(&alone, 1);
    for (unsigned i = 0; i < 60; i++) {
        uint64_t cpu = i % cpu_count, turns = box.data->turns[0];
        const gmk_sched_args_t args = {.priority = GMK_PRIORITY_NORMAL, .affinity = 1ull << cpu};
        bool irq = arch_irq_disable();
        assert_int_equal(thread_user_sched(alone, alone->object.serial, &args), GMK_OK);
        arch_irq_restore(irq);
        box_wait_counting(&box.data->turns[0], turns + 5);
    }
    end_vectors(1);
}

static void a_thread_without_vector_registers_cannot_touch_anothers(void **state) {
    (void)state;
    struct thread *threads[4];
    start_vectors(threads, 4);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t seen = box.data->seen;
        (void)box_start(i % 2 == 0 ? ring3_no_fpu : ring3_no_x87);
        box_wait_threads(&box, 5);
        assert_int_equal(box.data->seen, seen + 1);
        assert_int_equal(box.data->words[0], GMK_FAULT_FPU);
    }
    end_vectors(4);
}

/* ---- TLS -------------------------------------------------------------------------------------------- */

static void each_thread_has_its_own_tls_base(void **state) {
    (void)state;
    box_start_server(&box, false);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t at = RING3_DATA + PAGE_SIZE + 64 * i;
        *(uint64_t *)((char *)box.data + 2048 + 8 * i) = 0x7000 + i;
        at = RING3_DATA + 2048 + 8 * i;
        box.data->survived = 0;
        (void)box_start_with(&box, ring3_tls, 0, at);
        box_wait_threads(&box, 1);
        assert_int_equal(box.data->results[0], 0x7000 + i);
    }
}

/* A unit that has the same base and makes the register 0 must not harm another. */
static void a_unit_cannot_take_away_anothers_tls_base(void **state) {
    (void)state;
    struct box other = box_make("other");
    box_start_server(&box, false);
    other.data->go = 0;
    uint64_t tls = RING3_DATA + 2048;
    *(uint64_t *)((char *)box.data + 2048) = 0x5a5a;
    for (unsigned i = 0; i < 2 * cpu_count; i++)
        (void)box_start_with(&other, ring3_null_fs, 0, tls);
    box_wait_counting(&other.data->count, 100);
    for (unsigned i = 0; i < 50; i++) {
        box.data->results[0] = box.data->survived = 0;
        (void)box_start_with(&box, ring3_tls, 0, tls);
        box_wait_threads(&box, 1);
        assert_true(box.data->survived);
        assert_int_equal(box.data->results[0], 0x5a5a);
    }
    other.data->go = 1;
    box_end(&other);
}

/* ---- Copies ------------------------------------------------------------------------------------------ */

static void copies_survive_every_bad_address(void **state) {
    (void)state;
    static const uint64_t bad[] = {
        0,
        8,
        GMK_USER_MIN - 8,
        GMK_USER_MIN,
        RING3_CODE,
        RING3_CODE + 1,
        RING3_DATA - 8,
        RING3_DATA + BOX_DATA_PAGES * PAGE_SIZE - 8,
        RING3_DATA + BOX_DATA_PAGES * PAGE_SIZE,
        GMK_USER_MAX - 8,
        GMK_USER_MAX,
        0x7ffffffffff8,
        0x800000000000,
        0x8000000000000000,
        0xffff800000000000,
        0xffffffff80200000,
        UINT64_MAX - 7,
        UINT64_MAX,
    };
    box_start_server(&box, false);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const uint64_t *r = box_call(GMK_SYS_BASE | GMK_SYS_CAP_INFO, GMK_SELF_UNIT, bad[i], 0, 0);
        if ((int64_t)r[0] != GMK_EFAULT)
            fail_msg("writing to 0x%llx: %lld", (unsigned long long)bad[i], (long long)r[0]);
        if (bad[i] == RING3_CODE || bad[i] == RING3_CODE + 1)
            continue; /* readable */
        r = box_call(GMK_SYS_BASE | GMK_SYS_THREAD_CREATE, GMK_SELF_UNIT, bad[i], 0, 0);
        if ((int64_t)r[0] != GMK_EFAULT)
            fail_msg("reading from 0x%llx: %lld", (unsigned long long)bad[i], (long long)r[0]);
    }
    const uint64_t *r =
        box_call(GMK_SYS_BASE | GMK_SYS_CAP_INFO, GMK_SELF_UNIT, RING3_DATA + 2048 + 1, 0, 0);
    assert_int_equal(r[0], 0);
    gmk_cap_info_t info;
    memcpy(&info, (const char *)box.data + 2048 + 1, sizeof info);
    assert_int_equal(info.type, GMK_CAP_UNIT);
}

/* A page that nobody has touched yet is had on the way. */
static void copies_get_the_pages_that_they_need(void **state) {
    (void)state;
    box_start_server(&box, false);
    uint64_t at = RING3_DATA + 3 * PAGE_SIZE - 4; /* across the end of one, into another */
    const uint64_t *r = box_call(GMK_SYS_BASE | GMK_SYS_CAP_INFO, GMK_SELF_UNIT, at, 0, 0);
    assert_int_equal(r[0], 0);
    r = box_call(GMK_SYS_BASE | GMK_SYS_THREAD_CREATE, GMK_SELF_UNIT, RING3_DATA + PAGE_SIZE, 0, 0);
    assert_int_equal((int64_t)r[0], GMK_EINVAL); /* zeros were read: no entry */
}

/* A thread of the kernel has no user half: nothing of the space that its CPU still has loaded is touched. */
static void the_kernels_own_threads_copy_nothing(void **state) {
    (void)state;
    char byte = 1;
    bool irq = arch_irq_disable();
    assert_int_equal(arch_copy_in(&byte, 0xffffffff80200000, 1), GMK_EFAULT);
    assert_int_equal(arch_copy_out(0xffffffff80200000, &byte, 1), GMK_EFAULT);
    uint32_t word;
    assert_int_equal(arch_load_user32(GMK_USER_MAX - 2, &word), GMK_EFAULT);
    assert_int_equal(arch_copy_in(&byte, 0x12345678000, 1), GMK_EFAULT);
    assert_int_equal(arch_copy_in(&byte, 0, 0), GMK_OK);
    arch_irq_restore(irq);
}

int main(void) {
#define PROMISE(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
    const struct CMUnitTest tests[] = {
        PROMISE(a_stopped_thread_goes_on_where_it_is_told_to),
        PROMISE(who_waits_shows_only_the_registers_that_it_keeps),
        PROMISE(who_kills_itself_does_not_come_back),
        PROMISE(who_suspends_itself_comes_back_with_its_result),
        PROMISE(interrupts_change_no_register),
        PROMISE(vector_registers_survive_switches),
        PROMISE(vector_registers_follow_their_thread_to_other_cpus),
        PROMISE(a_thread_without_vector_registers_cannot_touch_anothers),
        PROMISE(each_thread_has_its_own_tls_base),
        PROMISE(a_unit_cannot_take_away_anothers_tls_base),
        PROMISE(copies_survive_every_bad_address),
        PROMISE(copies_get_the_pages_that_they_need),
        PROMISE(the_kernels_own_threads_copy_nothing),
    };
    return cmocka_run_group_tests(tests, box_make_root, box_end_root);
}
