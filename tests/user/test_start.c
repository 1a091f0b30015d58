/* Test of start: what a program finds when it begins. */
#include "tests/user/lib/utest.h"

#include "lib/elf_stack.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <string.h>

static int argc_seen;
static char **argv_seen;
static unsigned constructed;
static _Thread_local uint64_t local = 0x1234567890abcdef;
static _Thread_local uint64_t local_zero;
static const char *const relocated[] = {"one", "two"};

__attribute__((constructor)) static void constructor(void) {
    constructed++;
}

static void it_has_its_arguments(void) {
    EXPECT_EQ(argc_seen, 1);
    EXPECT_EQ(strcmp(argv_seen[0], "test_start"), 0);
    EXPECT(argv_seen[1] == NULL);
    EXPECT_EQ(strcmp(start_name(), "test_start"), 0);
}

static void constructors_have_run_once(void) {
    EXPECT_EQ(constructed, 1);
}

static void thread_local_data_has_its_initial_values(void) {
    EXPECT_EQ(local, 0x1234567890abcdef);
    EXPECT_EQ(local_zero, 0);
}

static void pointers_in_data_are_relocated(void) {
    EXPECT_EQ(strcmp(relocated[0], "one"), 0);
    EXPECT_EQ(strcmp(relocated[1], "two"), 0);
}

static void capabilities_are_found_by_name(void) {
    EXPECT(handle_find("console") != 0);
    EXPECT_EQ(handle_find("nothing of that name"), 0);
    EXPECT_EQ(sys_cap_check(handle_find("console")), GMK_CAP_SYSTEM | GMK_RIGHT_WRITE << 8);
    EXPECT_EQ(sys_cap_check(handle_find("registry")), GMK_CAP_REGISTRY | GMK_RIGHTS_ALL << 8);
    EXPECT_EQ(sys_cap_check(handle_find("initrd")) & 0xff, GMK_CAP_MEMORY);
    EXPECT_EQ(sys_cap_check(GMK_SELF_UNIT) & 0xff, GMK_CAP_UNIT);
    EXPECT_EQ(sys_cap_check(GMK_SELF_FACTORY) & 0xff, GMK_CAP_FACTORY);
}

static void the_auxiliary_vector_is_whole(void) {
    EXPECT_EQ(start_aux(ELF_AUX_PAGESZ), 4096);
    EXPECT(start_aux(ELF_AUX_RANDOM) != 0);
    EXPECT(start_aux(ELF_AUX_PHDR) != 0);
    EXPECT(memcmp((const void *)(start_aux(ELF_AUX_PHDR) - 64), "\177ELF", 4) == 0);
    EXPECT_EQ(start_aux(12345), 0);
}

static void the_message_buffer_can_be_written(void) {
    gmk_msg_t *msg = ipc_buffer();
    EXPECT(msg != NULL);
    msg->words[31] = 7;
    EXPECT_EQ(msg->words[31], 7);
}

static const struct utest tests[] = {
    UTEST(it_has_its_arguments),
    UTEST(constructors_have_run_once),
    UTEST(thread_local_data_has_its_initial_values),
    UTEST(pointers_in_data_are_relocated),
    UTEST(capabilities_are_found_by_name),
    UTEST(the_auxiliary_vector_is_whole),
    UTEST(the_message_buffer_can_be_written),
};

int main(int argc, char **argv) {
    argc_seen = argc;
    argv_seen = argv;
    return UTEST_RUN(tests);
}
