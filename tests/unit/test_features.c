/* Test of features: what is decoded from CPUID, for machines that are not at hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/features_decode.c"

/* A machine: rows of leaf, subleaf and the four registers. */
struct row {
    uint32_t leaf, subleaf, out[4];
};
#define ROWS_MAX 16
static struct row machine[ROWS_MAX];
static unsigned rows;

static void add(uint32_t leaf, uint32_t subleaf, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    assert_true(rows < ROWS_MAX);
    machine[rows++] = (struct row){leaf, subleaf, {a, b, c, d}};
}

/* As Intel's: a leaf above the highest answers with the data of the highest. */
static void fake_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    memset(out, 0, 4 * sizeof out[0]);
    uint32_t highest = 0;
    for (unsigned i = 0; i < rows; i++)
        if (machine[i].leaf == (leaf & 0x80000000u))
            highest = machine[i].out[0];
    if (leaf > highest)
        leaf = highest;
    for (unsigned i = 0; i < rows; i++)
        if (machine[i].leaf == leaf && machine[i].subleaf == subleaf)
            memcpy(out, machine[i].out, sizeof machine[i].out);
}

#define BIT(n)        (1u << (n))
#define NEEDED_1_EDX  (BIT(4) | BIT(9) | BIT(24) | BIT(26)) /* TSC, APIC, FXSR, SSE2 */
#define NEEDED_81_EDX BIT(20)                               /* NX */

/* The least that boots: leaves 0, 1 and 0x80000001. */
static int least_machine(void **state) {
    (void)state;
    rows = 0;
    add(0, 0, 1, 0x756e6547, 0x6c65746e, 0x49656e69); /* "GenuineIntel" is in ebx, edx, ecx */
    add(1, 0, 0x000306a9, 0, 0, NEEDED_1_EDX);
    add(0x80000000, 0, 0x80000001, 0, 0, 0);
    add(0x80000001, 0, 0, 0, 0, NEEDED_81_EDX);
    return 0;
}

static struct row *row_of(uint32_t leaf) {
    for (unsigned i = 0; i < rows; i++)
        if (machine[i].leaf == leaf)
            return &machine[i];
    return NULL;
}

static struct cpu_features decode(void) {
    struct cpu_features features;
    features_decode(&features, fake_cpuid);
    return features;
}

static void the_vendor_and_model_are_told(void **state) {
    (void)state;
    struct cpu_features f = decode();
    assert_string_equal(f.vendor, "GenuineIntel");
    assert_int_equal(f.family, 6);
    assert_int_equal(f.model, 0x3a);
    assert_int_equal(f.stepping, 9);
}

static void the_extended_family_counts_only_for_family_15(void **state) {
    (void)state;
    row_of(1)->out[0] = 0x00a20f12; /* an AMD of family 25, model 33 */
    struct cpu_features f = decode();
    assert_int_equal(f.family, 25);
    assert_int_equal(f.model, 0x21);
    row_of(1)->out[0] = 0x00a20512; /* family 5: nothing is extended */
    f = decode();
    assert_int_equal(f.family, 5);
    assert_int_equal(f.model, 1);
}

static void the_least_machine_lacks_nothing(void **state) {
    (void)state;
    struct cpu_features f = decode();
    assert_null(features_missing(&f));
    assert_int_equal(features_cr4(&f), BIT(5) | BIT(9) | BIT(10));
}

static void each_necessity_is_missed_by_name(void **state) {
    (void)state;
    static const struct {
        uint32_t leaf, bit;
        const char *name;
    } necessities[] = {
        {1, 4, "TSC"}, {1, 9, "APIC"}, {1, 24, "SSE2"}, {1, 26, "SSE2"}, {0x80000001, 20, "NX"}};
    for (unsigned i = 0; i < sizeof necessities / sizeof necessities[0]; i++) {
        least_machine(NULL);
        row_of(necessities[i].leaf)->out[3] &= ~BIT(necessities[i].bit);
        struct cpu_features f = decode();
        assert_non_null(features_missing(&f));
        assert_non_null(strstr(features_missing(&f), necessities[i].name));
    }
}

/* The least machine's highest leaf is 1, whose bits would look like SMEP and SMAP. */
static void leaves_that_do_not_exist_are_not_believed(void **state) {
    (void)state;
    row_of(1)->out[1] = BIT(7) | BIT(20) | BIT(0);
    struct cpu_features f = decode();
    assert_false(f.smep);
    assert_false(f.smap);
    assert_false(f.fsgsbase);
}

static void what_is_there_is_turned_on(void **state) {
    (void)state;
    static const struct {
        uint32_t leaf, reg, bit, cr4_bit;
    } protections[] = {{1, 3, 7, 6},   {1, 3, 13, 7}, {7, 2, 2, 11},
                       {1, 2, 17, 17}, {7, 1, 7, 20}, {7, 1, 20, 21}};
    for (unsigned i = 0; i < sizeof protections / sizeof protections[0]; i++) {
        least_machine(NULL);
        row_of(0)->out[0] = 7;
        add(7, 0, 0, 0, 0, 0);
        row_of(protections[i].leaf)->out[protections[i].reg] |= BIT(protections[i].bit);
        struct cpu_features f = decode();
        assert_int_equal(features_cr4(&f), BIT(5) | BIT(9) | BIT(10) | BIT(protections[i].cr4_bit));
    }
}

/* User code must not change the bases that the kernel compares. */
static void fsgsbase_stays_off(void **state) {
    (void)state;
    row_of(0)->out[0] = 7;
    add(7, 0, 0, BIT(0), 0, 0);
    struct cpu_features f = decode();
    assert_true(f.fsgsbase);
    assert_int_equal(features_cr4(&f), BIT(5) | BIT(9) | BIT(10));
}

static void with_xsave(uint32_t parts) {
    least_machine(NULL);
    row_of(0)->out[0] = 0xd;
    row_of(1)->out[2] |= BIT(26);
    add(0xd, 0, parts, 0, 0, 0);
    add(0xd, 1, BIT(0), 0, 0, 0);
}

static void avx512_is_on_together_or_not_at_all(void **state) {
    (void)state;
    static const struct {
        uint32_t can, use;
    } cases[] = {{0x3, 0x3},  {0x7, 0x7},    {0xe7, 0xe7}, {0x67, 0x7},
                 {0xe3, 0x3}, {0x2e7, 0xe7}, {0x1f, 0x7}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        with_xsave(cases[i].can);
        struct cpu_features f = decode();
        assert_int_equal(f.xcr0, cases[i].use);
        assert_true(f.xsaveopt);
        assert_true(features_cr4(&f) & BIT(18));
    }
}

static void without_xsave_its_leaf_says_nothing(void **state) {
    (void)state;
    with_xsave(0xe7);
    row_of(1)->out[2] = 0;
    struct cpu_features f = decode();
    assert_int_equal(f.xcr0, 0);
    assert_false(f.xsaveopt);
    assert_false(features_cr4(&f) & BIT(18));
}

static void the_text_names_what_is_there_and_fits(void **state) {
    (void)state;
    struct cpu_features f = decode();
    char text[256];
    size_t length = features_text(&f, text, sizeof text);
    assert_string_equal(text, "GenuineIntel 6.58.9: tsc apic fxsr sse2 nx");
    assert_int_equal(length, strlen(text));
    for (size_t size = 1; size <= length; size++) {
        memset(text, '#', sizeof text);
        assert_int_equal(features_text(&f, text, size), size - 1);
        assert_int_equal(strlen(text), size - 1);
        assert_int_equal(text[size], '#');
    }
}

int main(void) {
#define PROMISE(name) cmocka_unit_test_setup(name, least_machine)
    const struct CMUnitTest tests[] = {
        PROMISE(the_vendor_and_model_are_told),
        PROMISE(the_extended_family_counts_only_for_family_15),
        PROMISE(the_least_machine_lacks_nothing),
        PROMISE(each_necessity_is_missed_by_name),
        PROMISE(leaves_that_do_not_exist_are_not_believed),
        PROMISE(what_is_there_is_turned_on),
        PROMISE(fsgsbase_stays_off),
        PROMISE(avx512_is_on_together_or_not_at_all),
        PROMISE(without_xsave_its_leaf_says_nothing),
        PROMISE(the_text_names_what_is_there_and_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
