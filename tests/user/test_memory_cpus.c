/* Test of memory on several CPUs: a unit's threads write all the time, on every CPU, while its memory is
 * taken away, protected and cloned from outside. When such a call has returned no CPU may go by what
 * it remembers: the pages, which we map too, must not change any more.
 *
 * The writers (prog_memory.c) fault when they are stopped so; their messages come to our port, and a reply
 * lets them go on. */
#include "tests/user/lib/utest.h"
#include "tests/user/lib/utest_program.h"
#include "user/lib/ipc.h"
#include "user/lib/memory.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"

#include "lib/format.h"

#include <string.h>

#define PAGE     UINT64_C(4096)
#define RW       (GMK_PROT_READ | GMK_PROT_WRITE)
#define PLACE    UINT64_C(0x200000000) /* of the pages in the writers' unit */
#define WRITERS  6u
#define SIZE     (WRITERS * PAGE)
#define ROUNDS   25u
#define MS       UINT64_C(1000000)
#define LIMIT_NS UINT64_C(20000000000)

static gmk_handle_t port, object;
static volatile uint64_t *pages; /* our own view of them */
static struct spawned child;

static volatile uint64_t *page(unsigned i) {
    return pages + i * (PAGE / 8);
}

/* The unit that writes, its pages mapped, its faults coming here. */
static int64_t begin(void) {
    char hex[24], count[8];
    format_string(hex, sizeof hex, "0x%llx", (unsigned long long)PLACE);
    format_string(count, sizeof count, "%u", WRITERS);
    const char *const argv[] = {"writers", "write", count, hex, NULL};
    static struct spawn what;
    int64_t status = sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, SIZE);
    if (status < 0)
        return status;
    object = (gmk_handle_t)status;
    status = sys_memory_map(GMK_SELF_UNIT, object, 0, 0, SIZE, GMK_PROT_READ);
    pages = (volatile uint64_t *)(uintptr_t)status;
    if (status > 0)
        status = spawn_from_initrd(&what, "tests/prog_memory");
    what.argv = argv;
    if (status >= 0)
        status = spawn_prepare(&what, &child);
    if (status >= 0)
        status = sys_unit_ports(child.unit, port, 0);
    if (status >= 0)
        status = sys_memory_map(child.unit, object, PLACE, 0, SIZE, RW | GMK_MAP_FIXED);
    return status >= 0 ? spawn_start(&child) : status;
}

static void end(void) {
    spawn_end(&child);
    (void)memory_free((uintptr_t)pages, SIZE);
    (void)sys_cap_drop(object);
}

/* Every writer gets on. */
static bool all_write(void) {
    uint64_t before[WRITERS], limit = (uint64_t)sys_time() + LIMIT_NS;
    for (unsigned i = 0; i < WRITERS; i++)
        before[i] = page(i)[0];
    for (unsigned i = 0; i < WRITERS; i++)
        while (page(i)[0] == before[i]) {
            if ((uint64_t)sys_time() > limit)
                return false;
            utest_pause();
        }
    return true;
}

/* Nothing is written for a while in which every writer would write a lot. */
static bool none_writes(void) {
    uint64_t before[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++)
        before[i] = page(i)[0];
    uint64_t until = (uint64_t)sys_time() + MS;
    while ((uint64_t)sys_time() < until)
        utest_pause();
    for (unsigned i = 0; i < WRITERS; i++)
        if (page(i)[0] != before[i])
            return false;
    return true;
}

/* All writers have run into what was done; each asks once. */
static bool all_ask(struct ipc m[WRITERS]) {
    for (unsigned i = 0; i < WRITERS; i++) {
        int status = ipc_recv(port, &m[i], LIMIT_NS);
        if (status != GMK_OK || GMK_TAG_LABEL(m[i].tag) != GMK_LABEL_FAULT ||
            m[i].w[0] != GMK_FAULT_WRITE || m[i].w[1] - PLACE >= SIZE) {
            utest_note("writer %u: %s, kind %llu at %llx", i, gmk_error_name(status),
                       (unsigned long long)m[i].w[0], (unsigned long long)m[i].w[1]);
            return false;
        }
    }
    return true;
}

static bool all_go_on(struct ipc m[WRITERS]) {
    for (unsigned i = 0; i < WRITERS; i++) {
        m[i].tag = GMK_TAG(0, 0, 0);
        if (ipc_reply(&m[i]) != GMK_OK)
            return false;
    }
    return true;
}

static void pages_that_were_protected_do_not_change(void) {
    struct ipc m[WRITERS] = {0};
    EXPECT_EQ(begin(), GMK_OK);
    for (unsigned i = 0; i < ROUNDS; i++) {
        EXPECT(all_write());
        EXPECT_EQ(memory_protect(child.unit, PLACE, SIZE, GMK_PROT_READ), GMK_OK);
        EXPECT(none_writes());
        EXPECT(all_ask(m));
        EXPECT_EQ(memory_protect(child.unit, PLACE, SIZE, RW), GMK_OK);
        EXPECT(all_go_on(m));
    }
    EXPECT(all_write());
    end();
}

static void pages_that_were_unmapped_do_not_change(void) {
    struct ipc m[WRITERS] = {0};
    EXPECT_EQ(begin(), GMK_OK);
    for (unsigned i = 0; i < ROUNDS; i++) {
        EXPECT(all_write());
        EXPECT_EQ(memory_unmap(child.unit, PLACE, SIZE), GMK_OK);
        EXPECT(none_writes());
        EXPECT(all_ask(m));
        EXPECT_EQ(sys_memory_map(child.unit, object, PLACE, 0, SIZE, RW | GMK_MAP_FIXED), PLACE);
        EXPECT(all_go_on(m));
    }
    EXPECT(all_write());
    end();
}

/* A page of a clone, word 0 and word 1: what the writer had written at one moment. */
static bool clone_is_still(const volatile uint64_t *at, uint64_t seen[WRITERS]) {
    for (unsigned i = 0; i < WRITERS; i++) {
        uint64_t first = at[i * (PAGE / 8)], second = at[i * (PAGE / 8) + 1];
        if (first != second && first != second + 1)
            return false;
        if (seen[i] != 0 && first != seen[i])
            return false;
        seen[i] = first;
    }
    return true;
}

static void a_clone_keeps_the_moment_it_was_made_in(void) {
    EXPECT_EQ(begin(), GMK_OK);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t seen[WRITERS] = {0};
        int64_t clone, place;
        EXPECT(all_write());
        EXPECT_GOOD(clone, memory_clone(object, GMK_SELF_FACTORY, 0, SIZE));
        EXPECT_GOOD(place, sys_memory_map(GMK_SELF_UNIT, (gmk_handle_t)clone, 0, 0, SIZE, RW));
        volatile uint64_t *at = (volatile uint64_t *)(uintptr_t)place;
        EXPECT(clone_is_still(at, seen));
        EXPECT(all_write());
        EXPECT(clone_is_still(at, seen));
        for (unsigned n = 0; n < WRITERS; n++) /* what we write there nobody else sees */
            at[n * (PAGE / 8) + 7] = 99;
        EXPECT(all_write());
        for (unsigned n = 0; n < WRITERS; n++)
            EXPECT_EQ(page(n)[7], 0);
        EXPECT(clone_is_still(at, seen));
        EXPECT_EQ(memory_free((uint64_t)place, SIZE), GMK_OK);
        EXPECT_EQ(sys_cap_drop((gmk_handle_t)clone), GMK_OK);
    }
    end();
}

/* Frames of the writers come back while they write: the unit ends under them. */
static void memory_of_a_unit_that_is_ended_while_it_writes_comes_back(void) {
    gmk_unit_info_t info;
    EXPECT_EQ(begin(), GMK_OK);
    end();
    EXPECT_EQ(sys_unit_info(GMK_SELF_UNIT, &info), GMK_OK);
    uint64_t used = UINT64_MAX;
    for (unsigned i = 0; i < 10; i++) {
        EXPECT_EQ(begin(), GMK_OK);
        EXPECT(all_write());
        end();
        uint64_t limit = (uint64_t)sys_time() + LIMIT_NS;
        do {
            utest_pause();
            EXPECT_EQ(sys_unit_info(GMK_SELF_UNIT, &info), GMK_OK);
        } while (info.frames_used >= SPAWN_FRAMES && (uint64_t)sys_time() < limit);
        if (i > 1)
            EXPECT_EQ(info.frames_used, used);
        used = info.frames_used;
    }
}

static const struct utest tests[] = {
    UTEST(pages_that_were_protected_do_not_change),
    UTEST(pages_that_were_unmapped_do_not_change),
    UTEST(a_clone_keeps_the_moment_it_was_made_in),
    UTEST(memory_of_a_unit_that_is_ended_while_it_writes_comes_back),
};

int main(void) {
    int64_t made = sys_port_create(GMK_SELF_FACTORY);
    if (made < 0)
        program_die("no port");
    port = (gmk_handle_t)made;
    return UTEST_RUN(tests);
}
