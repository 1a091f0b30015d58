/* Attacks: reading, writing and running what is not one's own, and every instruction that is the
 * kernel's alone. Each is done by a unit of its own (prog_attack.c), and each refusal is observed: the
 * unit's fault port must get the message that names just this, and the attacker must end. */
#include "tests/user/lib/utest.h"
#include "tests/user/lib/utest_program.h"

#include "lib/format.h"
#include "user/lib/ipc.h"
#include "user/lib/sys.h"

#define LIMIT_NS UINT64_C(20000000000)

struct refusal {
    const char *attack;
    unsigned kind;    /* enum gmk_fault */
    uint64_t address; /* memory faults: where; ANY: not looked at */
};
#define ANY UINT64_C(1)

static gmk_handle_t fault_port;

/* Starts the attacker with its faults coming here; its fault message in *m. */
static int attack(const char *name, uint64_t target, struct spawned *child, struct ipc *m) {
    char hex[24];
    format_string(hex, sizeof hex, "0x%llx", (unsigned long long)target);
    const char *const argv[] = {"attack", name, hex, NULL};
    static struct spawn what;
    int status = spawn_from_initrd(&what, "tests/prog_attack");
    what.argv = argv;
    if (status == GMK_OK)
        status = spawn_prepare(&what, child);
    if (status == GMK_OK)
        status = (int)sys_unit_ports(child->unit, fault_port, 0);
    if (status == GMK_OK)
        status = spawn_start(child);
    return status == GMK_OK ? ipc_recv(fault_port, m, LIMIT_NS) : status;
}

/* The attacker is told to die, and is seen dead. */
static int64_t finish(struct spawned *child, struct ipc *m) {
    m->tag = GMK_TAG(GMK_LABEL_KILL, 0, 0);
    int status = ipc_reply(m);
    return status == GMK_OK ? spawn_wait(child) : status;
}

static bool refused(const struct refusal *r, uint64_t target) {
    struct spawned child;
    struct ipc m = {0};
    int status = attack(r->attack, target, &child, &m);
    if (status != GMK_OK) {
        utest_note("%s: no fault message: %s", r->attack, gmk_error_name(status));
        spawn_end(&child);
        return false;
    }
    bool right = GMK_TAG_LABEL(m.tag) == GMK_LABEL_FAULT && m.w[0] == r->kind &&
                 (r->address == ANY || m.w[1] == (r->address == 0 ? target : r->address));
    if (!right)
        utest_note("%s: label %x kind %llu address %llx, expected kind %u", r->attack,
                   GMK_TAG_LABEL(m.tag), (unsigned long long)m.w[0], (unsigned long long)m.w[1],
                   r->kind);
    int64_t end = finish(&child, &m);
    if (end >= 0)
        utest_note("%s: it ended by itself, status %lld", r->attack, (long long)end);
    return right && end < 0;
}

static void memory_of_the_kernel_cannot_be_read_written_or_run(void) {
    static const uint64_t places[] = {
        UINT64_C(0xffffffff80200000), /* its code */
        UINT64_C(0xffff800000100000), /* all memory */
        UINT64_C(0xffffc00000000000), /* its heap */
        UINT64_C(0xffffe00000000000), /* frame descriptors */
        UINT64_C(0xffffff7fbfdfe000), /* page tables through themselves */
    };
    static const struct refusal ways[] = {
        {"read", GMK_FAULT_READ, 0}, {"write", GMK_FAULT_WRITE, 0}, {"run", GMK_FAULT_EXEC, 0}};
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++)
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++)
            EXPECT(refused(&ways[w], places[p]));
}

static volatile char secret[4096] = {42};

/* What lies at an address here is not what another unit has there: nothing. */
static void memory_of_another_unit_cannot_be_reached(void) {
    static const struct refusal ways[] = {
        {"read", GMK_FAULT_READ, 0}, {"write", GMK_FAULT_WRITE, 0}, {"run", GMK_FAULT_EXEC, 0}};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++)
        EXPECT(refused(&ways[w], (uintptr_t)secret));
    EXPECT_EQ(secret[0], 42);
}

static void code_cannot_be_written_and_data_not_run(void) {
    static const struct refusal ways[] = {{"write_code", GMK_FAULT_WRITE, ANY},
                                          {"run_data", GMK_FAULT_EXEC, ANY},
                                          {"run_stack", GMK_FAULT_EXEC, ANY}};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++)
        EXPECT(refused(&ways[w], 0));
}

static void null_and_addresses_that_no_machine_has_fault(void) {
    static const struct refusal null[] = {{"read", GMK_FAULT_READ, ANY},
                                          {"run", GMK_FAULT_EXEC, ANY}};
    for (size_t w = 0; w < 2; w++)
        EXPECT(refused(&null[w], 8));
    static const struct refusal holes[] = {{"read", GMK_FAULT_PROTECTION, ANY},
                                           {"write", GMK_FAULT_PROTECTION, ANY},
                                           {"jump_hole", GMK_FAULT_PROTECTION, ANY},
                                           {"push_hole", GMK_FAULT_PROTECTION, ANY},
                                           {"syscall_hole", GMK_FAULT_PROTECTION, ANY}};
    for (size_t w = 0; w < 5; w++)
        EXPECT(refused(&holes[w], UINT64_C(0x800000000000)));
}

static void instructions_of_the_kernel_are_refused(void) {
    static const char *const names[] = {"cli",       "sti",
                                        "hlt",       "in",
                                        "out",       "cr0",
                                        "cr3",       "cr4",
                                        "dr7",       "rdmsr",
                                        "wrmsr",     "invlpg",
                                        "clts",      "swapgs",
                                        "wbinvd",    "lgdt",
                                        "lidt",      "ltr",
                                        "selector",  "far_return",
                                        "iret",      "int_page_fault",
                                        "int_timer", "int_double_fault",
                                        "int_nmi",   "int_128",
                                        "sysret"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct refusal r = {names[i], GMK_FAULT_PROTECTION, ANY};
        EXPECT(refused(&r, 0));
    }
    static const char *const invalid[] = {"wrgsbase", "wrfsbase", "ud2"};
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        struct refusal r = {invalid[i], GMK_FAULT_INSTRUCTION, ANY};
        EXPECT(refused(&r, 0));
    }
}

static void what_a_thread_does_wrong_is_told_by_its_kind(void) {
    static const struct refusal ways[] = {{"int3", GMK_FAULT_DEBUG, ANY},
                                          {"step", GMK_FAULT_DEBUG, ANY},
                                          {"divide", GMK_FAULT_DIVIDE, ANY},
                                          {"fpu", GMK_FAULT_FPU, ANY},
                                          {"sse", GMK_FAULT_FPU, ANY}};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++)
        EXPECT(refused(&ways[w], 0));
}

/* Without a fault port the unit simply ends, with the status that says so. */
static void an_attacker_without_a_fault_port_ends(void) {
    static const char *const argv[] = {"attack", "write", "0xffffffff80200000", NULL};
    EXPECT_EQ(utest_program("prog_attack", argv), GMK_EFAULT);
}

int main(void) {
    static const struct utest tests[] = {
        UTEST(memory_of_the_kernel_cannot_be_read_written_or_run),
        UTEST(memory_of_another_unit_cannot_be_reached),
        UTEST(code_cannot_be_written_and_data_not_run),
        UTEST(null_and_addresses_that_no_machine_has_fault),
        UTEST(instructions_of_the_kernel_are_refused),
        UTEST(what_a_thread_does_wrong_is_told_by_its_kind),
        UTEST(an_attacker_without_a_fault_port_ends),
    };
    int64_t port = sys_port_create(GMK_SELF_FACTORY);
    if (port < 0)
        return 1;
    fault_port = (gmk_handle_t)port;
    return UTEST_RUN(tests);
}
