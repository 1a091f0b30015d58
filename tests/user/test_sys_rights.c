/* Test of rights: every system call that takes a capability, with one of every type and every mask of
 * rights, is refused with the documented error or let through. The real calls, from user mode, against
 * the table written by hand in tests/lib/sys_model.h.
 *
 * What is let through gets arguments that do little: null pointers, sizes of nothing, no waiting. Its
 * own errors are its own tests' business; here it must not say that the capability was wrong. */
#include "tests/lib/sys_model.h"
#include "tests/user/lib/utest.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"

#define MASKS 32u

static gmk_handle_t whole[GMK_CAP_TYPES]; /* one of each type, with every right that tests get */
static gmk_handle_t masked[MASKS];        /* of one type; 0 where the mask cannot be had */
static gmk_handle_t stale;

/* ---- One of each ------------------------------------------------------------------------------ */

static int64_t new_thread(gmk_handle_t unit) {
    const gmk_thread_args_t args = {.name = "still",
                                    .entry = GMK_USER_MIN,
                                    .stack = GMK_USER_MIN,
                                    .priority = GMK_PRIORITY_LOW};
    return sys_thread_create(unit, &args);
}

static int64_t new_channel(void) {
    const gmk_chan_args_t args = {.name = "test.rights", .slots = 4};
    return sys_chan_create(handle_find("registry"), GMK_SELF_FACTORY, &args);
}

static int64_t new_unit(void) {
    const gmk_unit_args_t args = {
        .name = "still", .frames = 16, .objects = 16, .priority_max = GMK_PRIORITY_LOW};
    return sys_unit_create(GMK_SELF_FACTORY, &args);
}

static void there_is_a_capability_of_every_type(void) {
    EXPECT_GOOD(whole[GMK_CAP_UNIT], new_unit());
    EXPECT_GOOD(whole[GMK_CAP_THREAD], new_thread(whole[GMK_CAP_UNIT]));
    EXPECT_GOOD(whole[GMK_CAP_PORT], sys_port_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(whole[GMK_CAP_CHANNEL], new_channel());
    EXPECT_GOOD(whole[GMK_CAP_NOTIFY], sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(whole[GMK_CAP_TIMER], sys_timer_create(GMK_SELF_FACTORY, whole[GMK_CAP_NOTIFY], 1));
    EXPECT_GOOD(whole[GMK_CAP_IRQ],
                sys_irq_create(handle_find("system"), whole[GMK_CAP_NOTIFY], 1, 8, 4));
    EXPECT_GOOD(whole[GMK_CAP_IOPORT], sys_ioport_create(handle_find("system"), 0x80, 1));
    EXPECT_GOOD(whole[GMK_CAP_MEMORY], sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, 4096));
    EXPECT_GOOD(whole[GMK_CAP_FACTORY], sys_factory_split(GMK_SELF_FACTORY, 4, 4));
    whole[GMK_CAP_SYSTEM] = handle_find("system");
    whole[GMK_CAP_REGISTRY] = handle_find("registry");
    for (unsigned type = 1; type < GMK_CAP_TYPES; type++)
        EXPECT_EQ(sys_cap_check(whole[type]) & 0xff, type);
    EXPECT_GOOD(stale, sys_cap_derive(whole[GMK_CAP_PORT], 0, 0));
    EXPECT_EQ(sys_cap_drop(stale), GMK_OK);
}

static bool derive_masks(unsigned type) {
    unsigned have = (unsigned)sys_cap_check(whole[type]) >> 8;
    for (unsigned mask = 0; mask < MASKS; mask++) {
        masked[mask] = 0;
        if ((mask & ~have) != 0)
            continue;
        int64_t made = sys_cap_derive(whole[type], mask, 0);
        if (!utest_true(made > 0, "a capability is derived", __FILE__, __LINE__))
            return false;
        masked[mask] = (gmk_handle_t)made;
    }
    return true;
}

static void drop_masks(void) {
    for (unsigned mask = 0; mask < MASKS; mask++)
        if (masked[mask] != 0)
            (void)sys_cap_drop(masked[mask]);
}

/* ---- Calls ---------------------------------------------------------------------------------------- */

static bool is_refusal(int64_t result) {
    return result == GMK_EHANDLE || result == GMK_ECAPTYPE || result == GMK_ERIGHTS;
}

static bool makes_something(unsigned number) {
    static const uint8_t makers[] = {
        GMK_SYS_UNIT_CREATE,     GMK_SYS_THREAD_CREATE, GMK_SYS_PORT_CREATE,
        GMK_SYS_NOTIFY_CREATE,   GMK_SYS_TIMER_CREATE,  GMK_SYS_IRQ_CREATE,
        GMK_SYS_IOPORT_CREATE,   GMK_SYS_MEMORY_CREATE, GMK_SYS_MEMORY_CLONE,
        GMK_SYS_MEMORY_PHYSICAL, GMK_SYS_CHAN_CREATE,   GMK_SYS_CHAN_OPEN,
        GMK_SYS_REGISTRY_CREATE, GMK_SYS_FACTORY_SPLIT};
    for (unsigned i = 0; i < sizeof makers; i++)
        if (makers[i] == number)
            return true;
    return false;
}

/* a1 of calls whose first capability alone is checked before they run. */
static gmk_handle_t second_of(unsigned number) {
    if (number == GMK_SYS_CAP_GRANT || number == GMK_SYS_CAP_MOVE)
        return (gmk_handle_t)sys_cap_derive(whole[GMK_CAP_PORT], GMK_RIGHT_GRANT, 0);
    return 0;
}

static int64_t call(const struct sys_model *m, gmk_handle_t a0, gmk_handle_t a1) {
    bool own = m->type[1] == GMK_CAP_NONE;
    gmk_handle_t second = own ? second_of(m->number) : a1;
    int64_t result = syscall6(SYSCALL_NUMBER(m->number), a0, second, 0, 0, 0, 0);
    if (own && second != 0)
        (void)sys_cap_drop(second);
    if (result > 0 && makes_something(m->number))
        (void)sys_cap_drop((gmk_handle_t)result);
    return result;
}

static bool expect(const struct sys_model *m, int want, gmk_handle_t a0, gmk_handle_t a1,
                   unsigned type, unsigned mask) {
    int64_t got = call(m, a0, a1);
    bool good = want == GMK_OK ? !is_refusal(got) : got == want;
    if (!utest_true(good, "the call does what the table says", __FILE__, __LINE__))
        utest_note("%s, type %u, rights %u: %lld, not %s", m->name, type, mask, (long long)got,
                   gmk_error_name(want));
    return good;
}

/* The end of what the others are tested with comes last; and nobody here can turn the machine off. */
static bool is_for_later(unsigned number) {
    return number == GMK_SYS_UNIT_KILL || number == GMK_SYS_THREAD_KILL ||
           number == GMK_SYS_CHAN_CLOSE || number == GMK_SYS_THREAD_START;
}

/* A second argument that is right, where the call takes one. */
static gmk_handle_t good_second(const struct sys_model *m) {
    return m->type[1] == GMK_CAP_NONE ? 0 : whole[m->type[1]];
}

static unsigned each_first(bool later) {
    unsigned calls = 0;
    for (unsigned type = 1; type < GMK_CAP_TYPES; type++) {
        if (!derive_masks(type))
            return 0;
        for (unsigned n = 0; n < GMK_SYSCALLS_MAX; n++) {
            const struct sys_model *m = sys_model(n);
            if (m == NULL || m->type[0] == GMK_CAP_NONE || is_for_later(n) != later)
                continue;
            for (unsigned mask = 0; mask < MASKS; mask++, calls++)
                if (masked[mask] != 0 && !expect(m, sys_model_check(m, 0, type, mask), masked[mask],
                                                 good_second(m), type, mask))
                    return 0;
        }
        drop_masks();
    }
    return calls;
}

static void every_call_judges_its_first_capability_by_type_and_rights(void) {
    EXPECT(each_first(false) > 12 * 32 * 40);
}

static void every_call_judges_its_second_capability_too(void) {
    for (unsigned type = 1; type < GMK_CAP_TYPES; type++) {
        EXPECT(derive_masks(type));
        for (unsigned n = 0; n < GMK_SYSCALLS_MAX; n++) {
            const struct sys_model *m = sys_model(n);
            if (m == NULL || m->type[1] == GMK_CAP_NONE)
                continue;
            for (unsigned mask = 0; mask < MASKS; mask++)
                EXPECT(masked[mask] == 0 || expect(m, sys_model_check(m, 1, type, mask),
                                                   whole[m->type[0]], masked[mask], type, mask));
        }
        drop_masks();
    }
}

static void the_first_wrong_capability_decides(void) {
    for (unsigned n = 0; n < GMK_SYSCALLS_MAX; n++) {
        const struct sys_model *m = sys_model(n);
        if (m == NULL || m->type[1] == GMK_CAP_NONE)
            continue;
        gmk_handle_t wrong = whole[GMK_CAP_IOPORT], weak; /* no call takes this as one of two */
        EXPECT_GOOD(weak, sys_cap_derive(whole[m->type[0]], 0, 0));
        EXPECT_EQ(call(m, stale, wrong), GMK_EHANDLE);
        EXPECT_EQ(call(m, wrong, stale), GMK_ECAPTYPE);
        EXPECT_EQ(call(m, weak, stale), GMK_ERIGHTS);
        EXPECT_EQ(call(m, whole[m->type[0]], stale), GMK_EHANDLE);
        EXPECT_EQ(call(m, whole[m->type[0]], wrong), GMK_ECAPTYPE);
        EXPECT_EQ(sys_cap_drop(weak), GMK_OK);
    }
}

static void forged_handles_name_nothing(void) {
    for (unsigned n = 0; n < GMK_SYSCALLS_MAX; n++) {
        const struct sys_model *m = sys_model(n);
        if (m == NULL || m->type[0] == GMK_CAP_NONE)
            continue;
        gmk_handle_t good = whole[m->type[0]];
        const gmk_handle_t forged[] = {0,           stale,           good + 256, good - 256,
                                       good ^ 0x80, good | 1u << 31, UINT32_MAX, GMK_HANDLE(0, 1)};
        for (unsigned i = 0; i < sizeof forged / sizeof forged[0]; i++)
            if (sys_cap_check(forged[i]) < 0)
                EXPECT(expect(m, GMK_EHANDLE, forged[i], good_second(m), 0, i));
    }
}

static void calls_that_end_things_judge_as_well(void) {
    EXPECT(each_first(true) > 12 * 32 * 3);
}

static void numbers_without_a_call_say_so(void) {
    for (unsigned n = 0; n < GMK_SYSCALLS_MAX; n++)
        if (sys_model(n) == NULL)
            EXPECT_EQ(syscall6(SYSCALL_NUMBER(n), GMK_SELF_UNIT, 0, 0, 0, 0, 0), GMK_ENOSYS);
}

static const struct utest tests[] = {
    UTEST(there_is_a_capability_of_every_type),
    UTEST(every_call_judges_its_first_capability_by_type_and_rights),
    UTEST(every_call_judges_its_second_capability_too),
    UTEST(the_first_wrong_capability_decides),
    UTEST(forged_handles_name_nothing),
    UTEST(calls_that_end_things_judge_as_well),
    UTEST(numbers_without_a_call_say_so),
};

int main(void) {
    return UTEST_RUN(tests);
}
