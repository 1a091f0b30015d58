/* Test of the operation table: every system call, with every type of capability and every mask of rights
 * as its first and its second argument, is refused with the documented error or let through.
 *
 * What is right is written down here once more, by hand, and not taken from the list in abi.h: the two
 * must agree. Calls with an entry of their own (ports, notifications ..) are only looked up here; what
 * they refuse is tested in user mode by tests/user/test_sys_rights.c with the same table. */
#include "tests/fake_arch/cap_machine.h"

#include "arch_user.h"

/* Leaving the call to make it again ends in the test. */
static jmp_buf left;
static uint64_t again[4];
static inline void arch_user_again(struct thread *t, uint64_t rax, const uint64_t args[3]) {
    (void)t;
    memcpy(again, (const uint64_t[4]){rax, args[0], args[1], args[2]}, sizeof(again));
}
_Noreturn static inline void arch_user_leave(struct thread *t) {
    (void)t;
    longjmp(left, 1);
}

#include "kernel/sys/sys_table.c"
#include "tests/lib/sys_model.h"

/* ---- Handlers that say that they were reached ------------------------------------------------- */

#define REACHED 4711

static struct sys_call seen;
static unsigned reached;
static uint64_t answer_out;
static int64_t answer = REACHED;

static int64_t reach(struct sys_call *call) {
    seen = *call;
    reached++;
    call->out = answer_out;
    return answer;
}
#define FAKE_HANDLER(name, handler)          \
    int64_t handler(struct sys_call *call) { \
        return reach(call);                  \
    }
SYS_CHECKED_LIST(FAKE_HANDLER)

#define FAKE_ENTRY(name, entry)                                                                  \
    uint64_t entry(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, \
                   uint64_t rax) {                                                               \
        (void)a0, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)rax;                   \
        return 0;                                                                                \
    }
/* Arguments have names of their own in each. */
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
SYS_ENTRY_LIST(FAKE_ENTRY)

/* ---- One unit with a capability of every type and every mask ----------------------------------- */

static struct unit *unit;
static struct thread caller;
static struct arch_user_frame frame;
static struct object objects[GMK_CAP_TYPES];
static uint32_t stale;

/* Types share the table: 255 slots hold the masks of some types at a time. */
static uint32_t handles[GMK_CAP_TYPES][32];

static void put_type(unsigned type) {
    for (unsigned mask = 0; mask < 32; mask++) {
        int64_t handle = cap_insert(unit, &objects[type], mask, 0);
        assert_true(handle > 0);
        handles[type][mask] = (uint32_t)handle;
    }
}

/* Empties the slots, without an end of the object. */
static void take_type(unsigned type) {
    for (unsigned mask = 0; mask < 32; mask++) {
        struct content content;
        assert_int_equal(take_out(unit, handles[type][mask], 0, &content), GMK_OK);
        handles[type][mask] = 0;
    }
}

static void build(void) {
    machine_start(1);
    unit = machine_unit("test", 10, 10);
    caller.unit = unit;
    caller.stack_top = (uintptr_t)(&frame + 1);
    machine.cpu.current = &caller;
    for (unsigned type = 1; type < GMK_CAP_TYPES; type++)
        objects[type] = machine_object(type);
    put_type(1);
    stale = handles[1][31];
    take_type(1);
}

static void tear_down(void) {
    for (unsigned type = 1; type < GMK_CAP_TYPES; type++) {
        assert_int_equal(objects[type].holds, 0);
        if (handles[type][0] != 0)
            take_type(type);
    }
    machine.cpu.current = NULL;
    unit_end(unit, unit->object.serial);
    machine_reap();
}

static int64_t call(unsigned number, uint64_t a0, uint64_t a1) {
    reached = 0;
    return (int64_t)sys_checked(a0, a1, 2, 3, 4, 5, GMK_SYS_BASE | number);
}

/* ---- The table ------------------------------------------------------------------------------------- */

static void the_model_and_the_list_name_the_same_calls(void **state) {
    (void)state;
    unsigned named = 0;
    for (unsigned n = 0; n < GMK_SYSCALLS_MAX; n++) {
        const struct sys_model *model = sys_model(n);
        assert_true((sys_name(n) != NULL) == (model != NULL));
        assert_non_null(sys_entries[n]);
        if (model == NULL)
            continue;
        named++;
        assert_string_equal(sys_name(n), model->name);
        /* One way to do it: a handler behind sys_checked(), or an entry of its own. */
        assert_true((handlers[n] != NULL) == (sys_entries[n] == sys_checked));
    }
    assert_int_equal(named, SYS_MODEL_CALLS);
    assert_null(sys_name(GMK_SYSCALLS_MAX));
    assert_null(sys_name(UINT32_MAX));
}

/* A cell of the page's table. */
static void format_cell(char *out, size_t size, const struct sys_model *m, unsigned i) {
    static const char *const types[] = {
#define TYPE_NAME(name, value, what) #name,
        GMK_CAP_LIST(TYPE_NAME)
#undef TYPE_NAME
    };
    const char *right = "by `prot`";
#define RIGHT_NAME(name, value, what) \
    if (m->rights[i] == (value))      \
        right = #name;
    GMK_RIGHT_LIST(RIGHT_NAME)
#undef RIGHT_NAME
    if (m->type[i] == GMK_CAP_NONE)
        snprintf(out, size, "-");
    else
        snprintf(out, size, "%s, %s", types[m->type[i]], right);
}

static void the_documented_table_is_this_one(void **state) {
    (void)state;
    static char page[65536];
    FILE *file = fopen("docs/capabilities.md", "r");
    assert_non_null(file);
    page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
    fclose(file);
    for (unsigned n = 0; n < GMK_SYSCALLS_MAX; n++) {
        const struct sys_model *m = sys_model(n);
        char cells[2][40], row[160];
        if (m == NULL)
            continue;
        format_cell(cells[0], sizeof(cells[0]), m, 0);
        format_cell(cells[1], sizeof(cells[1]), m, 1);
        snprintf(row, sizeof(row), "\n| %u | `%s` | %s | %s |\n", n, m->name, cells[0], cells[1]);
        if (strstr(page, row) == NULL)
            fail_msg("docs/capabilities.md has no row%s", row);
    }
}

static void numbers_without_a_call_say_so(void **state) {
    (void)state;
    build();
    for (unsigned n = 0; n < 2 * GMK_SYSCALLS_MAX; n++)
        if (n >= GMK_SYSCALLS_MAX || sys_model(n) == NULL)
            assert_int_equal(call(n, GMK_SELF_UNIT, GMK_SELF_FACTORY), GMK_ENOSYS);
    assert_int_equal(sys_checked(0, 0, 0, 0, 0, 0, GMK_SYS_BASE - 1), (uint64_t)GMK_ENOSYS);
    assert_int_equal(reached, 0);
    tear_down();
}

/* Calls once, and compares with the model. */
static void expect(const struct sys_model *m, unsigned type0, unsigned mask0, unsigned type1,
                   unsigned mask1) {
    /* The upper half belongs to the call (a tag), not to the handle. */
    uint64_t a0 = type0 == 0 ? stale : handles[type0][mask0] | UINT64_C(0xabcd) << 32;
    uint64_t a1 = type1 == 0 ? stale : handles[type1][mask1] | UINT64_C(0x1234) << 32;
    int want = sys_model_check(m, 0, type0, mask0);
    if (want == GMK_OK)
        want = sys_model_check(m, 1, type1, mask1);
    int64_t got = call(m->number, a0, a1);
    assert_int_equal(got, want == GMK_OK ? REACHED : want);
    assert_int_equal(reached, want == GMK_OK);
    if (want != GMK_OK)
        return;
    assert_int_equal(seen.a[0], a0);
    assert_int_equal(seen.a[1], a1);
    assert_int_equal(seen.a[5], 5);
    assert_ptr_equal(seen.unit, unit);
    if (m->type[0] != GMK_CAP_NONE) {
        assert_ptr_equal(seen.cap[0].object, &objects[type0]);
        assert_int_equal(seen.cap[0].rights, mask0);
    }
    if (m->type[1] != GMK_CAP_NONE)
        assert_ptr_equal(seen.cap[1].object, &objects[type1]);
}

/* All masks of the second argument's types, for one first argument. */
static void expect_second(const struct sys_model *m, unsigned type0, unsigned mask0) {
    expect(m, type0, mask0, 0, 0);
    if (m->type[1] == GMK_CAP_NONE)
        return;
    for (unsigned type1 = 1; type1 < GMK_CAP_TYPES; type1++)
        for (unsigned mask1 = 0; mask1 < 32 && handles[type1][0] != 0; mask1++)
            expect(m, type0, mask0, type1, mask1);
}

static void every_call_type_and_mask_is_refused_or_let_through(void **state) {
    (void)state;
    build();
    /* Two types at a time are in the table, so that each pair meets. */
    for (unsigned first = 1; first < GMK_CAP_TYPES; first++) {
        put_type(first);
        for (unsigned second = first; second < GMK_CAP_TYPES; second++) {
            if (second != first)
                put_type(second);
            for (unsigned n = 0; n < GMK_SYSCALLS_MAX; n++) {
                const struct sys_model *m = sys_model(n);
                if (m == NULL || sys_entries[n] != sys_checked)
                    continue;
                expect_second(m, 0, 0);
                for (unsigned mask = 0; mask < 32; mask++) {
                    expect_second(m, first, mask);
                    expect_second(m, second, mask);
                }
            }
            if (second != first)
                take_type(second);
        }
        take_type(first);
    }
    tear_down();
}

/* ---- What the handler finds ------------------------------------------------------------------------- */

static unsigned held[2];
static int64_t look_at_holds(struct sys_call *c) {
    for (unsigned i = 0; i < 2; i++)
        held[i] = c->cap[i].object != NULL ? c->cap[i].object->holds : 99;
    return 0;
}

static void objects_are_held_while_the_call_lasts(void **state) {
    (void)state;
    build();
    put_type(GMK_CAP_UNIT);
    put_type(GMK_CAP_MEMORY);
    put_type(GMK_CAP_THREAD);
    (void)call(GMK_SYS_MEMORY_MAP, handles[GMK_CAP_UNIT][31], handles[GMK_CAP_MEMORY][31]);
    (void)look_at_holds(&seen); /* over by now */
    assert_int_equal(held[0], 0);
    assert_int_equal(held[1], 0);
    struct sys_call c = {.unit = unit,
                         .a = {handles[GMK_CAP_UNIT][31], handles[GMK_CAP_MEMORY][31]}};
    assert_int_equal(check(&c, &rows[GMK_SYS_MEMORY_MAP], 0), GMK_OK);
    assert_int_equal(check(&c, &rows[GMK_SYS_MEMORY_MAP], 1), GMK_OK);
    (void)look_at_holds(&c);
    assert_int_equal(held[0], 1);
    assert_int_equal(held[1], 1);
    release(&c, &rows[GMK_SYS_MEMORY_MAP], 0);
    release(&c, &rows[GMK_SYS_MEMORY_MAP], 1);
    c.a[0] = handles[GMK_CAP_THREAD][31];
    assert_int_equal(check(&c, &rows[GMK_SYS_THREAD_KILL], 0), GMK_OK);
    assert_int_equal(objects[GMK_CAP_THREAD].holds, 0);
    tear_down();
}

static void an_object_that_has_ended_is_a_handle_of_nothing(void **state) {
    (void)state;
    build();
    put_type(GMK_CAP_MEMORY);
    objects[GMK_CAP_MEMORY].serial++; /* its next life */
    assert_int_equal(call(GMK_SYS_MEMORY_INFO, handles[GMK_CAP_MEMORY][31], 0), GMK_EHANDLE);
    assert_int_equal(reached, 0);
    put_type(GMK_CAP_UNIT);
    assert_int_equal(
        call(GMK_SYS_MEMORY_MAP, handles[GMK_CAP_UNIT][31], handles[GMK_CAP_MEMORY][31]),
        GMK_EHANDLE);
    assert_int_equal(objects[GMK_CAP_UNIT].holds, 0);
    tear_down();
}

static void a_second_result_goes_back_in_rdi(void **state) {
    (void)state;
    build();
    frame.rdi = 1;
    answer_out = 0;
    (void)call(GMK_SYS_CAP_CHECK, 0, 0);
    assert_int_equal(frame.rdi, 1); /* the entry code's zero stays */
    answer_out = 77;
    (void)call(GMK_SYS_CAP_CHECK, 0, 0);
    assert_int_equal(frame.rdi, 77);
    answer_out = 0;
    tear_down();
}

static void a_call_that_is_made_again_holds_nothing_meanwhile(void **state) {
    (void)state;
    build();
    put_type(GMK_CAP_UNIT);
    put_type(GMK_CAP_MEMORY);
    answer = SYS_AGAIN;
    if (setjmp(left) == 0) {
        (void)call(GMK_SYS_MEMORY_MAP, handles[GMK_CAP_UNIT][31], handles[GMK_CAP_MEMORY][31]);
        fail();
    }
    answer = REACHED;
    assert_int_equal(reached, 1);
    assert_int_equal(again[0], GMK_SYS_BASE | GMK_SYS_MEMORY_MAP);
    assert_int_equal(again[1], handles[GMK_CAP_UNIT][31]);
    assert_int_equal(again[2], handles[GMK_CAP_MEMORY][31]);
    assert_int_equal(again[3], 2);
    assert_int_equal(objects[GMK_CAP_UNIT].holds, 0);
    assert_int_equal(objects[GMK_CAP_MEMORY].holds, 0);
    tear_down();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_and_the_list_name_the_same_calls),
        cmocka_unit_test(the_documented_table_is_this_one),
        cmocka_unit_test(numbers_without_a_call_say_so),
        cmocka_unit_test(every_call_type_and_mask_is_refused_or_let_through),
        cmocka_unit_test(objects_are_held_while_the_call_lasts),
        cmocka_unit_test(an_object_that_has_ended_is_a_handle_of_nothing),
        cmocka_unit_test(a_call_that_is_made_again_holds_nothing_meanwhile),
        cmocka_unit_test(a_second_result_goes_back_in_rdi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
