/* Test of init's configuration: it is read as written; a bad line is told by its number, and stops no
 * other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/abi.h"
/* Programs of user mode are in no library of the host. */
#include "user/init/conf.c"
#include "user/lib/text.c"

static struct conf conf;
static char *text;
static char told[4096]; /* "LINE WORD WHY;" for each complaint */

static int stop(void **state) {
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

static void hear(void *arg, unsigned line, const char *word, const char *why) {
    (void)arg;
    size_t used = strlen(told);
    (void)snprintf(told + used, sizeof told - used, "%u %s %s;", line, word, why);
}

/* An exact copy on the heap, so that a sanitizer sees a byte too many. */
static void parse_bytes(const char *bytes, size_t size) {
    free(text);
    text = malloc(size + 1);
    memcpy(text, bytes, size);
    told[0] = '\0';
    conf_parse(&conf, text, size, hear, NULL);
}

static void parse(const char *source) {
    parse_bytes(source, strlen(source));
}

static const char everything[] =
    "# a comment\n"
    "port bell\n"
    "notify done   # another\n"
    "\n"
    "program one\n"
    "\trun bin/one a b#c\r\n"
    "  give console\n"
    "  give initrd as files\n"
    "  give bell read+grant as door\n"
    "  give system read+write+execute+manage\n"
    "  frames 0x100\n  objects 32\n  cpu 250\n"
    "  priority high\n  priority-max 240\n  fpu\n"
    "  restart always 7\n"
    "  after two ended\n"
    "program two\n"
    "  run bin/two\n  restart failed\n  after one\n  priority realtime";

static void everything_that_can_be_said_is_read(void **state) {
    (void)state;
    parse(everything);
    assert_string_equal(told, "");
    assert_int_equal(conf.complaints, 0);
    assert_int_equal(conf.object_count, 2);
    assert_string_equal(conf.objects[0].name, "bell");
    assert_true(conf.objects[0].is_port);
    assert_false(conf.objects[1].is_port);
    assert_int_equal(conf.program_count, 2);
    const struct conf_program *one = &conf.programs[0];
    assert_ptr_equal(conf_find(&conf, "one"), one);
    assert_string_equal(one->argv[0], "bin/one");
    assert_string_equal(one->argv[1], "a");
    assert_string_equal(one->argv[2], "b#c");
    assert_null(one->argv[3]);
    assert_int_equal(one->give_count, 4);
    assert_int_equal(one->gives[0].rights, GMK_RIGHT_WRITE);
    assert_string_equal(one->gives[0].as, "console");
    assert_int_equal(one->gives[1].rights, GMK_RIGHT_READ);
    assert_string_equal(one->gives[1].as, "files");
    assert_int_equal(one->gives[2].rights, GMK_RIGHT_READ | GMK_RIGHT_GRANT);
    assert_string_equal(one->gives[2].as, "door");
    assert_string_equal(one->gives[2].name, "bell");
    assert_int_equal(one->gives[2].line, 9);
    assert_int_equal(one->gives[3].rights, GMK_RIGHTS_ALL & ~GMK_RIGHT_GRANT);
}

static void budgets_and_policies_are_read(void **state) {
    (void)state;
    parse(everything);
    const struct conf_program *one = &conf.programs[0];
    assert_int_equal(one->frames, 256);
    assert_int_equal(one->objects, 32);
    assert_int_equal(one->cpu_permille, 250);
    assert_int_equal(one->priority, GMK_PRIORITY_HIGH);
    assert_int_equal(one->priority_max, 240);
    assert_true(one->fpu && one->after_end);
    assert_int_equal(one->restart, CONF_ALWAYS);
    assert_int_equal(one->restarts_max, 7);
    assert_string_equal(one->after, "two");
    const struct conf_program *two = &conf.programs[1];
    assert_int_equal(two->restart, CONF_FAILED);
    assert_int_equal(two->restarts_max, CONF_RESTARTS);
    assert_int_equal(two->priority, GMK_PRIORITY_REALTIME);
    assert_false(two->after_end || two->fpu);
}

static void what_stands_below_a_wait_waits_for_all_above(void **state) {
    (void)state;
    parse("program a\nrun x\nprogram b\nrun x\nwait\nprogram c\nrun x\nwait\nprogram d\nrun x\n");
    assert_string_equal(told, "");
    static const unsigned waits[] = {0, 0, 2, 3};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(conf.programs[i].waits, waits[i]);
    parse("program a\nrun x\nwait\nframes 3\n");
    assert_string_equal(told, "4 frames belongs to a program: begin with `program NAME`;");
}

/* One bad line between two good programs: the complaint is exactly this, the rest is there. */
static void bad_line(const char *line, const char *complaint) {
    char source[512];
    (void)snprintf(source, sizeof source,
                   "program a\nrun bin/a\n%s\nprogram b\nrun bin/b\npriority low\n", line);
    parse(source);
    assert_string_equal(told, complaint);
    assert_int_equal(conf.complaints, 1);
    const struct conf_program *b = conf_find(&conf, "b");
    assert_non_null(b);
    assert_string_equal(b->argv[0], "bin/b");
    assert_int_equal(b->priority, GMK_PRIORITY_LOW);
    assert_string_equal(conf_find(&conf, "a")->argv[0], "bin/a");
}

static void a_bad_line_is_told_by_number_and_stops_no_other(void **state) {
    (void)state;
    bad_line("frobnicate", "3 frobnicate is unknown;");
    bad_line("frames", "3 frames needs a word behind it;");
    bad_line("frames 1 2", "3 2 is one word too many;");
    bad_line("frames 0", "3 0 has to be a number above 0 that makes sense here;");
    bad_line("objects many", "3 many has to be a number above 0 that makes sense here;");
    bad_line("objects 18446744073709551616",
             "3 18446744073709551616 has to be a number above 0 that makes sense here;");
    bad_line("priority 248", "3 248 has to be a number above 0 that makes sense here;");
    bad_line("give system", "3 system is given with which rights?;");
    bad_line("give system root",
             "3 root is not read, write, grant, execute, manage, or some with + between;");
    bad_line("give system read+",
             "3 read+ is not read, write, grant, execute, manage, or some with + between;");
}

static void rights_are_read_exactly(void **state) {
    (void)state;
    bad_line("give system readwrite",
             "3 readwrite is not read, write, grant, execute, manage, or some with + between;");
    bad_line("give system read as", "3 as is one word too many: give NAME RIGHTS as NAME;");
    bad_line("give system read to x", "3 to is one word too many: give NAME RIGHTS as NAME;");
    bad_line("restart sometimes", "3 sometimes is not never, failed or always;");
    bad_line("restart failed 0", "3 0 has to be a number above 0 that makes sense here;");
    bad_line("after b later", "3 later is not started or ended;");
    bad_line("after nobody", "1 nobody is no program to start after;");
    bad_line("fpu yes", "3 yes is one word too many;");
}

static void a_bad_program_takes_its_lines_with_it(void **state) {
    (void)state;
    parse("program a\nrun bin/a\nprogram a\nrun bin/other\nframes 5\nprogram c\nrun bin/c\n");
    assert_string_equal(told, "3 a is a program already: this one is left out;");
    assert_int_equal(conf.program_count, 2);
    assert_string_equal(conf.programs[0].argv[0], "bin/a");
    assert_int_equal(conf.programs[0].frames, 0);
    parse("program a_name_that_is_longer_than_a_unit_may_have\nrun bin/a\n");
    assert_string_equal(told,
                        "1 a_name_that_is_longer_than_a_unit_may_have is too long for a name;");
    assert_int_equal(conf.program_count, 0);
}

static void lines_before_a_program_are_told(void **state) {
    (void)state;
    parse("run bin/a\nprogram b\n");
    assert_string_equal(told, "1 run belongs to a program: begin with `program NAME`;"
                              "2 b has no `run`: it will not be started;");
}

static void tables_that_are_full_are_told(void **state) {
    (void)state;
    static char source[8192];
    size_t used = 0;
    for (unsigned i = 0; i <= CONF_PROGRAMS_MAX; i++)
        used += (size_t)snprintf(source + used, sizeof source - used, "program p%u\nrun x\n", i);
    parse(source);
    assert_string_equal(told, "97 p48 is one program too many;");
    used = 0;
    for (unsigned i = 0; i <= CONF_OBJECTS_MAX; i++)
        used += (size_t)snprintf(source + used, sizeof source - used, "port p%u\n", i);
    parse(source);
    assert_string_equal(told, "33 p32 is one object too many;");
    used = (size_t)snprintf(source, sizeof source, "program a\nrun x\n");
    for (unsigned i = 0; i <= CONF_GIVES_MAX; i++)
        used += (size_t)snprintf(source + used, sizeof source - used, "give console as c%u\n", i);
    parse(source);
    assert_string_equal(told, "19 console is one capability too many;");
    parse("port p\nnotify p\n");
    assert_string_equal(told, "2 p exists already;");
    parse("program a\nrun 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
    assert_string_equal(told, "");
    assert_string_equal(conf.programs[0].argv[15], "16");
    assert_null(conf.programs[0].argv[16]);
    parse("program a\nrun 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\nrun y\n");
    assert_string_equal(told, "2 17 18 is one word too many;");
}

static void any_bytes_are_survived(void **state) {
    (void)state;
    static const char *const pieces[] = {
        "program ", "run ", "give ",  "a",     "\n",    " ",    "#", "\t",       "restart ",
        "always",   "\0",   "after ", "read+", "port ", "\xff", "9", "priority "};
    uint64_t seed = 1;
    for (unsigned round = 0; round < 20000; round++) {
        char bytes[128];
        size_t used = 0;
        while (used < sizeof bytes - 16) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            const char *piece = pieces[(seed >> 33) % (sizeof pieces / sizeof pieces[0])];
            size_t length = strlen(piece) + (*piece == '\0');
            memcpy(bytes + used, piece, length);
            used += length;
        }
        parse_bytes(bytes, used);
        assert_true(conf.program_count <= CONF_PROGRAMS_MAX);
    }
    parse("");
    assert_int_equal(conf.program_count, 0);
}

int main(void) {
#define TEST(f) cmocka_unit_test_teardown(f, stop)
    const struct CMUnitTest tests[] = {
        TEST(everything_that_can_be_said_is_read),
        TEST(budgets_and_policies_are_read),
        TEST(what_stands_below_a_wait_waits_for_all_above),
        TEST(a_bad_line_is_told_by_number_and_stops_no_other),
        TEST(rights_are_read_exactly),
        TEST(a_bad_program_takes_its_lines_with_it),
        TEST(lines_before_a_program_are_told),
        TEST(tables_that_are_full_are_told),
        TEST(any_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
