/* Test of user mode: pieces of user code run in ring 3 and try everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/error.h"
#include "tests/kernel/lib/box.h"

#define LAST_PAGE (UNIT_MSG_BASE - PAGE_SIZE) /* above are message buffers, which nobody executes */

/* ---- Results -------------------------------------------------------------------------------------- */

static void a_call_keeps_what_it_promises_and_shows_nothing(void **state) {
    (void)state;
    box_start_server(&box, false);
    const uint64_t *r = box_call(GMK_SYS_BASE | GMK_SYS_NOP, 1, 2, 3, 4);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(r[i], 0);
    assert_true(r[7] > box_address(ring3_call) && r[7] < box_address(ring3_server)); /* rcx: rip */
    assert_int_equal(r[8] & ~0x8d5ull, 0x202); /* r11: rflags */
    assert_int_equal(r[9], RING3_DATA);
    assert_int_equal(r[10], 0x1234567812345678);
    assert_int_equal(r[11], 0x1212);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(r[12 + i], 0x1313 + 0x101 * i);
}

static void a_number_that_is_not_there_is_an_error_and_shows_nothing(void **state) {
    (void)state;
    box_start_server(&box, false);
    const uint64_t numbers[] = {GMK_SYS_BASE | 127, GMK_SYS_BASE | 128, GMK_SYS_BASE | 0xffff};
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t *r = box_call(numbers[i], 1, 2, 3, 4);
        assert_int_equal((int64_t)r[0], GMK_ENOSYS);
        for (unsigned j = 1; j < 7; j++)
            assert_int_equal(r[j], 0);
    }
}

/* ---- Attacks --------------------------------------------------------------------------------------- */

static void each_attack_ends_in_its_fault(void **state) {
    (void)state;
    static const struct {
        const char *name, *piece;
        unsigned kinds;
        uint64_t address;
    } attacks[] = {
#define RING3_ROW(name, kinds, address) {#name, ring3_##name, kinds, address},
        RING3_ATTACK_LIST(RING3_ROW)
#undef RING3_ROW
    };
    box_start_server(&box, false);
    for (unsigned i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        box_run(attacks[i].piece);
        const struct ring3_data *d = box.data;
        if (d->survived || GMK_TAG_LABEL(d->tag) != GMK_LABEL_FAULT ||
            (attacks[i].kinds >> d->words[0] & 1u) == 0)
            fail_msg("%s: survived %u, tag %x, kind %u at 0x%llx", attacks[i].name,
                     (unsigned)d->survived, (unsigned)d->tag, (unsigned)d->words[0],
                     (unsigned long long)d->words[1]);
        assert_int_equal(d->words[1], attacks[i].address);
        assert_int_equal(d->words[2], d->regs.rip);
        if ((attacks[i].kinds & R3_EXEC) == 0)
            assert_true(d->regs.rip >= box_address(attacks[i].piece) &&
                        d->regs.rip < box_address(attacks[i].piece) + 64);
        assert_int_equal(d->regs.rbx, RING3_DATA);
        assert_int_equal(d->badge, 0xbad6e);
    }
}

static void no_vector_can_be_called_but_the_breakpoint(void **state) {
    (void)state;
    box_start_server(&box, false);
    for (unsigned vector = 0; vector < 256; vector++) {
        box_run(ring3_vectors + 4ul * vector);
        assert_false(box.data->survived);
        assert_int_equal(box.data->words[0], vector == 3 ? GMK_FAULT_DEBUG : GMK_FAULT_PROTECTION);
    }
}

static void what_is_strange_and_harmless_goes_on(void **state) {
    (void)state;
    static const struct {
        const char *name, *piece;
    } pieces[] = {
#define RING3_ROW(name) {#name, ring3_##name},
        RING3_HARMLESS_LIST(RING3_ROW)
#undef RING3_ROW
    };
    box_start_server(&box, false);
    for (unsigned i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        box_run(pieces[i].piece);
        if (!box.data->survived)
            fail_msg("%s: kind %u at 0x%llx", pieces[i].name, (unsigned)box.data->words[0],
                     (unsigned long long)box.data->words[2]);
    }
}

static void flags_come_back_from_a_call_as_they_went(void **state) {
    (void)state;
    box_start_server(&box, false);
    box_run(ring3_flags_all);
    assert_true(box.data->survived);
    assert_int_equal(box.data->results[0] & 0x244cd5, 0x244cd5);
    box_run(ring3_rsp_crooked);
    assert_int_equal(box.data->results[0], 0x8000000000000000);
}

static void a_call_at_the_last_page_faults_behind_it_and_not_in_the_kernel(void **state) {
    (void)state;
    box_start_server(&box, false);
    bool irq = arch_irq_disable();
    struct memory *m =
        box_map(box.unit, GMK_MEMORY_ANON, LAST_PAGE, PAGE_SIZE, GMK_PROT_READ | GMK_PROT_EXEC);
    const uint8_t code[] = {0xb8, 0,    0,   0x47,
                            0x47, 0x0f, 0x05}; /* mov $GMK_SYS_BASE, %eax; syscall */
    assert_int_equal(memory_write(m, PAGE_SIZE - sizeof code, code, sizeof code), GMK_OK);
    memory_end(m, m->object.serial);
    arch_irq_restore(irq);
    box_run(ring3_start + (UNIT_MSG_BASE - sizeof code - RING3_CODE));
    assert_false(box.data->survived);
    assert_int_equal(box.data->words[0], GMK_FAULT_EXEC);
    assert_int_equal(box.data->words[2], UNIT_MSG_BASE);
}

static void without_a_fault_port_the_unit_ends(void **state) {
    (void)state;
    (void)box_start(ring3_ud2);
    uint64_t until = arch_time_ns() + WAIT_NS;
    while (box.unit->state != GMK_UNIT_DEAD && arch_time_ns() < until)
        box_nap();
    assert_int_equal(box.unit->state, GMK_UNIT_DEAD);
    assert_int_equal(box.unit->status, GMK_EFAULT);
}

/* ---- Replies to faults and foreign calls ------------------------------------------------------------- */

static void a_fault_can_be_answered_with_registers(void **state) {
    (void)state;
    box_start_server(&box, false);
    struct ring3_data *d = box.data;
    box_run(ring3_ud2); /* so that regs holds a thread's */
    d->reply_regs = (gmk_regs_t){.rdi = RING3_DATA,
                                 .r8 = 0x8888,
                                 .r12 = 0xcccc,
                                 .rip = box_address(ring3_jumped_to),
                                 .rflags = UINT64_MAX & ~0x100ull};
    d->reply_tag = GMK_TAG(0, 192, 0);
    d->survived = 0;
    (void)box_start(ring3_hlt);
    box_wait_threads(&box, 1);
    assert_true(d->survived);
    assert_int_equal(d->results[1], 0x8888);
    assert_int_equal(d->results[2], 0xcccc);
}

static void who_jumped_nowhere_cannot_just_go_on(void **state) {
    (void)state;
    box_start_server(&box, false);
    box.data->reply_tag = 0;
    box_run(ring3_jump_crooked);
    assert_false(box.data->survived);
}

static void registers_that_no_user_code_can_have_end_the_thread(void **state) {
    (void)state;
    box_start_server(&box, false);
    struct ring3_data *d = box.data;
    const uint64_t rips[] = {GMK_USER_MAX, 0x800000000000, 0xffffffff80200000, UINT64_MAX};
    d->reply_tag = GMK_TAG(0, 192, 0);
    for (unsigned i = 0; i < 4; i++) {
        d->reply_regs = (gmk_regs_t){.rip = rips[i]};
        box_run(ring3_hlt);
        assert_false(d->survived);
    }
    d->reply_regs = (gmk_regs_t){.rip = box_address(ring3_jumped_to), .fs_base = 1ull << 63};
    box_run(ring3_hlt);
    assert_false(d->survived);
}

static void a_foreign_call_is_an_error_or_the_personalitys(void **state) {
    (void)state;
    box_start_server(&box, true);
    struct ring3_data *d = box.data;
    d->reply_tag = 0;
    d->reply_w0 = 0x77;
    const uint64_t *r = box_call(39, 1, 2, 3, 4);
    assert_int_equal(GMK_TAG_LABEL(d->tag), GMK_LABEL_FOREIGN);
    assert_int_equal(d->words[0], 39);
    assert_int_equal(d->words[1], 1);
    assert_int_equal(d->words[2], 2);
    assert_int_equal(d->words[3], 3);
    assert_int_equal(d->regs.r10, 4);
    assert_int_equal(d->regs.rbp, 0x1234567812345678);
    assert_int_equal(d->badge, 0xbad6e);
    assert_int_equal(r[0], 0x77); /* and no other register has changed */
    for (unsigned i = 1; i < 5; i++)
        assert_int_equal(r[i], i);
    assert_int_equal(r[10], 0x1234567812345678);
    assert_int_equal(r[15], 0x1616);
    d->reply_tag = GMK_TAG(0, 192, 0);
    d->reply_regs = (gmk_regs_t){.rdi = RING3_DATA, .r8 = 5, .rip = box_address(ring3_jumped_to)};
    box_run(ring3_call);
    assert_int_equal(d->results[1], 5);
}

static void a_foreign_call_without_a_personality_is_an_error(void **state) {
    (void)state;
    box_start_server(&box, false);
    const uint64_t *r = box_call(39, 1, 2, 3, 4);
    assert_int_equal((int64_t)r[0], GMK_ENOTSUP);
    assert_int_equal(r[1], 1);
    assert_int_equal(r[4], 4);
}

/* ---- Figures -------------------------------------------------------------------------------------------- */

static void a_null_call_is_short(void **state) {
    (void)state;
    box_start_server(&box, false);
    box.data->count = 1000;
    box_run(ring3_null_calls);
    assert_true(box.data->survived);
    print_message("# null call: %llu cycles of the counter in the mean\n",
                  (unsigned long long)box.data->results[0] / 1000);
    assert_true(box.data->results[0] > 0);
}

int main(void) {
#define PROMISE(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
    const struct CMUnitTest tests[] = {
        PROMISE(a_call_keeps_what_it_promises_and_shows_nothing),
        PROMISE(a_number_that_is_not_there_is_an_error_and_shows_nothing),
        PROMISE(each_attack_ends_in_its_fault),
        PROMISE(no_vector_can_be_called_but_the_breakpoint),
        PROMISE(what_is_strange_and_harmless_goes_on),
        PROMISE(flags_come_back_from_a_call_as_they_went),
        PROMISE(a_call_at_the_last_page_faults_behind_it_and_not_in_the_kernel),
        PROMISE(without_a_fault_port_the_unit_ends),
        PROMISE(a_fault_can_be_answered_with_registers),
        PROMISE(who_jumped_nowhere_cannot_just_go_on),
        PROMISE(registers_that_no_user_code_can_have_end_the_thread),
        PROMISE(a_foreign_call_is_an_error_or_the_personalitys),
        PROMISE(a_foreign_call_without_a_personality_is_an_error),
        PROMISE(a_null_call_is_short),
    };
    return cmocka_run_group_tests(tests, box_make_root, box_end_root);
}
