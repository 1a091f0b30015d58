/* Test of capabilities as programs see them: granting, moving, revoking across units, what a dying unit
 * takes with it, and budgets that split and come back. */
#include "tests/user/lib/utest.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#define ALL GMK_RIGHTS_ALL

static gmk_unit_info_t info_of(gmk_handle_t unit) {
    gmk_unit_info_t info = {.state = 99};
    (void)sys_unit_info(unit, &info);
    return info;
}

static int64_t new_unit(uint64_t frames, uint64_t objects) {
    const gmk_unit_args_t args = {.name = "other", .frames = frames, .objects = objects};
    return sys_unit_create(GMK_SELF_FACTORY, &args);
}

/* Kills it, waits until it is dead, and drops it. */
static bool end_unit(gmk_handle_t unit) {
    (void)sys_unit_kill(unit, 0);
    while (info_of(unit).state != GMK_UNIT_DEAD)
        (void)sys_yield();
    return sys_cap_drop(unit) == GMK_OK;
}

static void information_is_what_was_given(void) {
    gmk_handle_t port, badged;
    gmk_cap_info_t a, b;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_EQ(sys_cap_check(port), GMK_CAP_PORT | ALL << 8);
    EXPECT_GOOD(badged, sys_cap_derive(port, GMK_RIGHT_WRITE, 0x1122334455667788));
    EXPECT_EQ(sys_cap_info(port, &a), GMK_OK);
    EXPECT_EQ(sys_cap_info(badged, &b), GMK_OK);
    EXPECT_EQ(a.type, GMK_CAP_PORT);
    EXPECT_EQ(a.depth, 0);
    EXPECT_EQ(a.badge, 0);
    EXPECT_EQ(a.slot, GMK_HANDLE_SLOT(port));
    EXPECT_EQ(b.depth, 1);
    EXPECT_EQ(b.rights, GMK_RIGHT_WRITE);
    EXPECT_EQ(b.badge, 0x1122334455667788);
    EXPECT_EQ(a.object, b.object);
    EXPECT_EQ(sys_cap_info(GMK_SELF_UNIT, &b), GMK_OK);
    EXPECT(a.object != b.object);
    EXPECT_EQ(sys_cap_info(port, NULL), GMK_EFAULT);
    EXPECT_EQ(sys_cap_info(port, (gmk_cap_info_t *)(UINT64_MAX / 2 + 1)), GMK_EFAULT);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
    EXPECT_EQ(sys_cap_check(badged), GMK_EHANDLE);
}

static void rights_beyond_the_five_are_no_subset(void) {
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_EQ(sys_cap_derive(port, 32, 0), GMK_ERIGHTS);
    EXPECT_EQ(syscall3(SYSCALL_NUMBER(GMK_SYS_CAP_DERIVE), port, UINT64_C(1) << 32, 0),
              GMK_ERIGHTS);
    EXPECT_EQ(syscall3(SYSCALL_NUMBER(GMK_SYS_CAP_DERIVE), port, UINT64_MAX, 0), GMK_ERIGHTS);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void what_is_granted_is_counted_there_and_revoked_from_here(void) {
    gmk_handle_t unit, port, there;
    EXPECT_GOOD(unit, new_unit(8, 8));
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_EQ(info_of(unit).caps, 2);
    EXPECT_GOOD(there, sys_cap_grant(unit, port, GMK_RIGHT_WRITE, 5));
    EXPECT_EQ(info_of(unit).caps, 3);
    EXPECT(there > 0);
    for (unsigned i = 3; i < GMK_CAPS_MAX - 1; i++)
        EXPECT(sys_cap_grant(unit, port, 0, 0) > 0);
    EXPECT_EQ(sys_cap_grant(unit, port, 0, 0), GMK_ELIMIT);
    EXPECT_EQ(sys_cap_revoke(port), GMK_OK);
    EXPECT(sys_cap_grant(unit, port, 0, 0) > 0); /* a revoked slot is as good as a free one */
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
    EXPECT(end_unit(unit));
}

static void a_capability_without_grant_stays_here(void) {
    gmk_handle_t unit, port, mine;
    EXPECT_GOOD(unit, new_unit(8, 8));
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(mine, sys_cap_derive(port, ALL & ~(unsigned)GMK_RIGHT_GRANT, 0));
    EXPECT_EQ(sys_cap_grant(unit, mine, GMK_RIGHT_WRITE, 0), GMK_ERIGHTS);
    EXPECT_EQ(sys_cap_move(unit, mine), GMK_ERIGHTS);
    EXPECT_EQ(sys_cap_grant(unit, GMK_SELF_UNIT, 0, 0), GMK_ERIGHTS);
    EXPECT_EQ(sys_cap_grant(GMK_SELF_UNIT, port, 0, 0), GMK_ERIGHTS); /* not MANAGE */
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
    EXPECT(end_unit(unit));
}

static void a_moved_object_lives_and_dies_where_it_went(void) {
    gmk_handle_t unit, port, mine;
    gmk_cap_info_t info;
    EXPECT_GOOD(unit, new_unit(8, 8));
    uint64_t objects = info_of(GMK_SELF_UNIT).objects_used;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(mine, sys_cap_derive(port, ALL, 0));
    EXPECT(sys_cap_move(unit, port) > 0);
    EXPECT_EQ(sys_cap_info(port, &info), GMK_EHANDLE);
    EXPECT_EQ(sys_cap_info(mine, &info), GMK_EHANDLE);
    EXPECT_EQ(info_of(GMK_SELF_UNIT).objects_used, objects + 1); /* who made it pays for it */
    EXPECT(end_unit(unit));
    EXPECT_EQ(info_of(GMK_SELF_UNIT).objects_used, objects - 10); /* and the unit, and its budget */
}

static void a_dying_unit_is_given_nothing(void) {
    gmk_handle_t unit, port;
    EXPECT_GOOD(unit, new_unit(8, 8));
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_EQ(sys_unit_kill(unit, 7), GMK_OK);
    EXPECT_EQ(sys_cap_grant(unit, port, 0, 0), GMK_ESTATE);
    EXPECT_EQ(sys_cap_move(unit, port), GMK_ESTATE);
    EXPECT_EQ(sys_cap_check(port), GMK_CAP_PORT | ALL << 8);
    EXPECT(end_unit(unit));
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void a_full_table_refuses_new_objects_and_charges_nothing(void) {
    gmk_handle_t port, held[GMK_CAPS_MAX];
    unsigned count = 0;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    uint64_t objects = info_of(GMK_SELF_UNIT).objects_used;
    int64_t made;
    while ((made = sys_cap_derive(port, 0, 0)) > 0)
        held[count++] = (gmk_handle_t)made;
    EXPECT_EQ(made, GMK_ELIMIT);
    EXPECT_EQ(info_of(GMK_SELF_UNIT).caps, GMK_CAPS_MAX - 1);
    EXPECT_EQ(sys_port_create(GMK_SELF_FACTORY), GMK_ELIMIT);
    EXPECT_EQ(sys_notify_create(GMK_SELF_FACTORY), GMK_ELIMIT);
    EXPECT_EQ(sys_factory_split(GMK_SELF_FACTORY, 1, 1), GMK_ELIMIT);
    EXPECT_EQ(sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, 4096), GMK_ELIMIT);
    EXPECT_EQ(new_unit(8, 8), GMK_ELIMIT);
    while (info_of(GMK_SELF_UNIT).objects_used != objects) /* that unit ends in steps */
        (void)sys_yield();
    for (unsigned i = 0; i < count; i++)
        EXPECT_EQ(sys_cap_drop(held[i]), GMK_OK);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

/* ---- Budgets ------------------------------------------------------------------------------------- */

static void a_factory_gives_what_it_has_and_gets_it_back(void) {
    gmk_unit_info_t before = info_of(GMK_SELF_UNIT), now;
    gmk_handle_t factory, ports[3], memory;
    EXPECT_GOOD(factory, sys_factory_split(GMK_SELF_FACTORY, 4, 3));
    now = info_of(GMK_SELF_UNIT);
    EXPECT_EQ(now.frames_used, before.frames_used + 4);
    EXPECT_EQ(now.objects_used, before.objects_used + 4);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_GOOD(ports[i], sys_port_create(factory));
    EXPECT_EQ(sys_port_create(factory), GMK_EBUDGET);
    EXPECT_EQ(sys_factory_split(factory, 0, 0), GMK_EBUDGET);
    EXPECT_EQ(sys_cap_drop(ports[0]), GMK_OK);
    EXPECT_EQ(sys_factory_split(factory, 5, 0), GMK_EBUDGET);
    EXPECT_EQ(sys_factory_split(factory, UINT64_MAX, UINT64_MAX), GMK_EBUDGET);
    EXPECT_GOOD(memory, sys_memory_create(factory, GMK_MEMORY_ANON, UINT64_C(1) << 20));
    EXPECT_EQ(sys_cap_drop(factory), GMK_OK);
    EXPECT_EQ(sys_port_create(factory), GMK_EHANDLE);
    now = info_of(GMK_SELF_UNIT);
    EXPECT_EQ(now.objects_used, before.objects_used + 4); /* two ports and memory are still there */
    EXPECT_EQ(sys_cap_drop(memory), GMK_OK);
    EXPECT_EQ(sys_cap_drop(ports[1]), GMK_OK);
    EXPECT_EQ(info_of(GMK_SELF_UNIT).objects_used, before.objects_used + 4);
    EXPECT_EQ(sys_cap_drop(ports[2]), GMK_OK);
    now = info_of(GMK_SELF_UNIT);
    EXPECT_EQ(now.objects_used, before.objects_used);
    EXPECT_EQ(now.frames_used, before.frames_used);
}

/* ---- Several CPUs in one table ------------------------------------------------------------------------ */

#define STORM_ROUNDS  2000u
#define STORM_THREADS 4u

static gmk_handle_t storm_root;
static _Atomic uint32_t storm_bad;

/* Everybody derives from one capability, and one of them revokes it all the time. What is mine may be
 * gone at any moment, but is never anything else. */
static void storm(void *arg) {
    unsigned own = *(unsigned *)arg;
    for (unsigned i = 0; i < STORM_ROUNDS; i++) {
        int64_t mine = sys_cap_derive(storm_root, GMK_RIGHT_READ | GMK_RIGHT_GRANT, own);
        if (mine < 0) {
            storm_bad += mine != GMK_EHANDLE;
            continue;
        }
        gmk_cap_info_t info;
        int64_t status = sys_cap_info((gmk_handle_t)mine, &info);
        storm_bad += status != GMK_EHANDLE &&
                     (status != GMK_OK || info.badge != own || info.rights != 5 || info.depth != 1);
        if (own == 1 && i % 4 == 0)
            storm_bad += sys_cap_revoke(storm_root) != GMK_OK;
        status = sys_cap_drop((gmk_handle_t)mine);
        storm_bad += status != GMK_OK && status != GMK_EHANDLE;
    }
}

static void a_storm_in_one_table_leaves_it_as_it_was(void) {
    struct thread *threads[STORM_THREADS];
    unsigned numbers[STORM_THREADS];
    EXPECT_GOOD(storm_root, sys_port_create(GMK_SELF_FACTORY));
    uint32_t caps = info_of(GMK_SELF_UNIT).caps;
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        numbers[i] = i + 1;
        EXPECT_EQ(thread_start(&threads[i], "storm", GMK_PRIORITY_NORMAL, 0, storm, &numbers[i]),
                  GMK_OK);
    }
    for (unsigned i = 0; i < STORM_THREADS; i++)
        thread_join(threads[i]);
    EXPECT_EQ(storm_bad, 0);
    EXPECT_EQ(info_of(GMK_SELF_UNIT).caps, caps);
    EXPECT_EQ(sys_cap_drop(storm_root), GMK_OK);
}

static const struct utest tests[] = {
    UTEST(information_is_what_was_given),
    UTEST(rights_beyond_the_five_are_no_subset),
    UTEST(what_is_granted_is_counted_there_and_revoked_from_here),
    UTEST(a_capability_without_grant_stays_here),
    UTEST(a_moved_object_lives_and_dies_where_it_went),
    UTEST(a_dying_unit_is_given_nothing),
    UTEST(a_full_table_refuses_new_objects_and_charges_nothing),
    UTEST(a_factory_gives_what_it_has_and_gets_it_back),
    UTEST(a_storm_in_one_table_leaves_it_as_it_was),
};

int main(void) {
    return UTEST_RUN(tests);
}
