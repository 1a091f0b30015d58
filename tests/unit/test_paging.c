/* Test of paging: tables that are changed at random agree with a model of pages, and every refusal
 * changes nothing. The tables lie in an array of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arch/x86_64/paging.c"
#include "lib/rand.h"

#define TABLES 4096u
#define STEPS  200000u
#define ROOT   PAGE_SIZE
#define BASE   UINT64_C(0xffffd00000000000)
#define SLOTS  (8u * 512u) /* 4 KiB pages of the model: 16 MiB */

static char *memory;
static uint64_t tables_used, tables_max;

static paddr_t take_table(void) {
    return tables_used == tables_max ? 0 : ++tables_used * PAGE_SIZE;
}

static int fresh(void **state) {
    (void)state;
    if (memory == NULL)
        memory = malloc((TABLES + 1) * (size_t)PAGE_SIZE);
    memset(memory, 0xcc, (TABLES + 1) * (size_t)PAGE_SIZE);
    memset(memory + ROOT, 0, PAGE_SIZE);
    tables_used = 1;
    tables_max = TABLES;
    arch_page_window((uintptr_t)memory);
    return 0;
}

static int map4k(vaddr_t va, paddr_t pa, unsigned prot) {
    return arch_page_map(ROOT, va, pa, 0, prot, take_table);
}

static void a_page_reads_back_as_it_was_mapped(void **state) {
    (void)state;
    static const unsigned prots[] = {0,
                                     PAGE_WRITE,
                                     PAGE_EXEC,
                                     PAGE_USER | PAGE_WRITE,
                                     PAGE_GLOBAL,
                                     PAGE_DEVICE | PAGE_WRITE,
                                     PAGE_COMBINE | PAGE_WRITE};
    for (unsigned level = 0; level < PAGE_LEVELS; level++) {
        for (unsigned i = 0; i < sizeof prots / sizeof prots[0]; i++) {
            struct page_info info;
            vaddr_t va = BASE + ((uint64_t)(level * 8 + i + 1) << 30);
            paddr_t pa = UINT64_C(5) << 40;
            assert_int_equal(arch_page_map(ROOT, va, pa, level, prots[i], take_table), GMK_OK);
            assert_int_equal(arch_page_query(ROOT, va + 0xabc, &info), GMK_OK);
            assert_int_equal(info.pa, pa + 0xabc);
            assert_int_equal(info.level, level);
            assert_int_equal(info.prot, prots[i]);
            assert_false(info.accessed || info.dirty);
            assert_int_equal(arch_page_query(ROOT, va + size_of(level), &info), GMK_ENOENT);
        }
    }
}

static void what_is_refused_changes_nothing(void **state) {
    (void)state;
    struct page_info info;
    assert_int_equal(map4k(BASE, 0x1000, PAGE_WRITE | PAGE_EXEC), GMK_EINVAL);
    assert_int_equal(map4k(BASE, 0x1000, PAGE_DEVICE | PAGE_COMBINE), GMK_EINVAL);
    assert_int_equal(map4k(BASE + 1, 0x1000, 0), GMK_EINVAL);
    assert_int_equal(map4k(BASE, 0x1001, 0), GMK_EINVAL);
    assert_int_equal(map4k(UINT64_C(0x0000800000000000), 0x1000, 0), GMK_EINVAL);
    assert_int_equal(map4k(UINT64_C(0xffff7ffffffff000), 0x1000, 0), GMK_EINVAL);
    assert_int_equal(map4k(BASE, UINT64_C(1) << 52, 0), GMK_EINVAL);
    assert_int_equal(arch_page_map(ROOT, BASE + PAGE_SIZE, 0, 1, 0, take_table), GMK_EINVAL);
    assert_int_equal(arch_page_map(ROOT, BASE, PAGE_SIZE_2M, 2, 0, take_table), GMK_EINVAL);
    assert_int_equal(arch_page_map(ROOT, BASE, 0, 3, 0, take_table), GMK_EINVAL);
    assert_int_equal(tables_used, 1);
    assert_int_equal(map4k(BASE, 0x1000, PAGE_EXEC), GMK_OK);
    assert_int_equal(map4k(BASE, 0x2000, 0), GMK_EEXIST);
    assert_int_equal(arch_page_map(ROOT, BASE, 0, 1, 0, take_table), GMK_EEXIST);
    assert_int_equal(arch_page_protect(ROOT, BASE, PAGE_WRITE | PAGE_EXEC), GMK_EINVAL);
    assert_int_equal(arch_page_protect(ROOT, BASE + PAGE_SIZE, 0), GMK_ENOENT);
    assert_int_equal(arch_page_split(ROOT, BASE, take_table), GMK_EINVAL);
    assert_int_equal(arch_page_split(ROOT, BASE + PAGE_SIZE, take_table), GMK_ENOENT);
    assert_int_equal(arch_page_query(ROOT, BASE, &info), GMK_OK);
    assert_int_equal(info.pa, 0x1000);
    assert_int_equal(info.prot, PAGE_EXEC);
}

static void without_tables_a_map_fails_cleanly_and_works_later(void **state) {
    (void)state;
    struct page_info info;
    for (tables_max = 1; tables_max < 4; tables_max++) {
        assert_int_equal(map4k(BASE, 0x1000, 0), GMK_ENOMEM);
        assert_int_equal(arch_page_query(ROOT, BASE, &info), GMK_ENOENT);
    }
    assert_int_equal(map4k(BASE, 0x1000, 0), GMK_OK);
    assert_int_equal(tables_used, 4);
}

static void a_hole_tells_its_size(void **state) {
    (void)state;
    struct page_info info;
    assert_int_equal(arch_page_query(ROOT, BASE, &info), GMK_ENOENT);
    assert_int_equal(info.level, 3);
    assert_int_equal(map4k(BASE, 0x1000, 0), GMK_OK);
    assert_int_equal(arch_page_query(ROOT, BASE + PAGE_SIZE, &info), GMK_ENOENT);
    assert_int_equal(info.level, 0);
    assert_int_equal(arch_page_query(ROOT, BASE + PAGE_SIZE_2M, &info), GMK_ENOENT);
    assert_int_equal(info.level, 1);
    assert_int_equal(arch_page_query(ROOT, BASE + PAGE_SIZE_1G, &info), GMK_ENOENT);
    assert_int_equal(info.level, 2);
}

static void marks_keep_guards_unmapped_and_give_way_where_lazy(void **state) {
    (void)state;
    assert_int_equal(arch_page_mark(ROOT, BASE), PAGE_MARK_NONE);
    assert_int_equal(arch_page_set_mark(ROOT, BASE, PAGE_MARK_GUARD, take_table), GMK_OK);
    assert_int_equal(arch_page_mark(ROOT, BASE + 7), PAGE_MARK_GUARD);
    assert_int_equal(arch_page_mark(ROOT, BASE + PAGE_SIZE), PAGE_MARK_NONE);
    assert_int_equal(map4k(BASE, 0x1000, 0), GMK_EEXIST);
    assert_int_equal(arch_page_set_mark(ROOT, BASE, PAGE_MARK_LAZY, take_table), GMK_OK);
    assert_int_equal(arch_page_mark(ROOT, BASE), PAGE_MARK_LAZY);
    assert_int_equal(map4k(BASE, 0x1000, 0), GMK_OK);
    assert_int_equal(arch_page_mark(ROOT, BASE), PAGE_MARK_NONE);
    assert_int_equal(arch_page_set_mark(ROOT, BASE, PAGE_MARK_GUARD, take_table), GMK_EEXIST);
}

static void a_split_page_maps_the_same_memory_with_the_same_rights(void **state) {
    (void)state;
    struct page_info info;
    assert_int_equal(arch_page_map(ROOT, BASE, PAGE_SIZE_1G, 2, PAGE_EXEC, take_table), GMK_OK);
    for (unsigned level = 2; level > 0; level--) {
        assert_int_equal(arch_page_split(ROOT, BASE + 5 * PAGE_SIZE_2M, take_table), GMK_OK);
        for (uint64_t at = 0; at < PAGE_SIZE_1G; at += 0x37000) {
            assert_int_equal(arch_page_query(ROOT, BASE + at, &info), GMK_OK);
            assert_int_equal(info.pa, PAGE_SIZE_1G + at);
            assert_int_equal(info.prot, PAGE_EXEC);
            bool small = level == 1 && at / PAGE_SIZE_2M == 5;
            assert_int_equal(info.level, small ? 0 : 1);
            unsigned end; /* the size bit means another memory type in a small page */
            assert_int_equal((*walk(ROOT, BASE + at, &end) & PTE_LARGE) != 0, !small);
        }
    }
}

static void hardware_bits_survive_a_change_of_rights(void **state) {
    (void)state;
    struct page_info info;
    unsigned level;
    assert_int_equal(map4k(BASE, 0x1000, PAGE_WRITE), GMK_OK);
    *walk(ROOT, BASE, &level) |= PTE_ACCESSED | PTE_DIRTY;
    assert_int_equal(arch_page_protect(ROOT, BASE, PAGE_EXEC), GMK_OK);
    assert_int_equal(arch_page_query(ROOT, BASE, &info), GMK_OK);
    assert_int_equal(info.prot, PAGE_EXEC);
    assert_true(info.accessed && info.dirty);
}

static void only_the_lower_half_gives_users_a_way_down(void **state) {
    (void)state;
    assert_int_equal(map4k(BASE, 0x1000, 0), GMK_OK);
    assert_int_equal(map4k(0x400000, 0x1000, PAGE_USER), GMK_OK);
    assert_int_equal(table_at(ROOT)[index_of(BASE, TOP)] & PTE_USER, 0);
    assert_int_not_equal(table_at(ROOT)[index_of(0x400000, TOP)] & PTE_USER, 0);
}

/* ---- Recursive view --------------------------------------------------------------------------- */

/* What the hardware does, with the view's address: the physical address of the entry it names. */
static paddr_t translate(vaddr_t va) {
    struct page_info info;
    uint64_t table = ROOT;
    for (unsigned n = TOP; n > 0; n--)
        table = table_at(table)[index_of(va, n)] & PTE_ADDRESS;
    info.pa = (table_at(table)[index_of(va, 0)] & PTE_ADDRESS) | (va & (PAGE_SIZE - 1));
    return info.pa;
}

static void the_recursive_view_names_the_entries_that_the_walk_uses(void **state) {
    (void)state;
    struct rand_state random = rand_seed(3);
    arch_page_make_recursive(ROOT);
    for (unsigned i = 0; i < 200; i++) {
        vaddr_t va = BASE + (rand_next(&random) % (UINT64_C(1) << 39) & ~UINT64_C(0xfff));
        if (map4k(va, (paddr_t)i << 12, 0) != GMK_OK)
            continue;
        pte_t *entry = &table_at(ROOT)[index_of(va, TOP)];
        for (unsigned n = TOP;; n--) {
            assert_int_equal(translate(recursive_entry(va, n)), (char *)entry - memory);
            if (n == 0)
                break;
            entry = &table_at(*entry & PTE_ADDRESS)[index_of(va, n - 1)];
        }
    }
}

/* ---- Random steps ------------------------------------------------------------------------------- */

struct slot {
    paddr_t pa;
    unsigned prot, level;
    bool mapped;
};
static struct slot model[SLOTS];
static bool has_table[SLOTS / 512];

static void check_slot(size_t i) {
    struct page_info info;
    int status = arch_page_query(ROOT, BASE + i * PAGE_SIZE, &info);
    assert_int_equal(status, model[i].mapped ? GMK_OK : GMK_ENOENT);
    if (model[i].mapped) {
        assert_int_equal(info.pa, model[i].pa);
        assert_int_equal(info.prot, model[i].prot);
        assert_int_equal(info.level, model[i].level);
    }
}

static void model_map(size_t i, paddr_t pa, unsigned level, unsigned prot) {
    size_t count = level == 0 ? 1 : 512;
    bool free = level == 0 || !has_table[i / 512];
    for (size_t n = 0; n < count; n++)
        free = free && !model[i + n].mapped;
    int status = arch_page_map(ROOT, BASE + i * PAGE_SIZE, pa, level, prot, take_table);
    assert_int_equal(status, free ? GMK_OK : GMK_EEXIST);
    for (size_t n = 0; n < count && free; n++)
        model[i + n] = (struct slot){pa + n * PAGE_SIZE, prot, level, true};
    has_table[i / 512] |= level == 0 && !(model[i].mapped && model[i].level == 1);
}

static void model_unmap(size_t i) {
    paddr_t pa;
    unsigned level;
    int status = arch_page_unmap(ROOT, BASE + i * PAGE_SIZE, &pa, &level);
    assert_int_equal(status, model[i].mapped ? GMK_OK : GMK_ENOENT);
    if (status != GMK_OK)
        return;
    assert_int_equal(level, model[i].level);
    size_t first = level == 0 ? i : i / 512 * 512;
    assert_int_equal(pa, model[first].pa);
    for (size_t n = 0; n < (level == 0 ? 1u : 512u); n++)
        model[first + n].mapped = false;
}

static void model_protect(size_t i, unsigned prot) {
    int status = arch_page_protect(ROOT, BASE + i * PAGE_SIZE, prot);
    assert_int_equal(status, model[i].mapped ? GMK_OK : GMK_ENOENT);
    bool large = model[i].mapped && model[i].level == 1;
    size_t first = large ? i / 512 * 512 : i;
    for (size_t n = 0; n < (large ? 512u : 1u); n++)
        model[first + n].prot = prot;
}

static void model_split(size_t i) {
    bool large = model[i].mapped && model[i].level == 1;
    int status = arch_page_split(ROOT, BASE + i * PAGE_SIZE, take_table);
    assert_int_equal(status, large ? GMK_OK : model[i].mapped ? GMK_EINVAL : GMK_ENOENT);
    for (size_t n = 0; n < 512 && large; n++)
        model[i / 512 * 512 + n].level = 0;
    has_table[i / 512] |= large;
}

static void random_changes_agree_with_a_model(void **state) {
    (void)state;
    static const unsigned prots[] = {0, PAGE_WRITE, PAGE_EXEC, PAGE_GLOBAL | PAGE_WRITE};
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 7;
    struct rand_state random = rand_seed(seed);
    printf("SEED=%llu\n", (unsigned long long)seed);
    memset(model, 0, sizeof model);
    memset(has_table, 0, sizeof has_table);
    for (unsigned step = 0; step < STEPS; step++) {
        size_t i = rand_below(&random, SLOTS);
        unsigned prot = prots[rand_below(&random, 4)];
        switch (rand_below(&random, 8)) {
        case 0:
            model_map(i / 512 * 512, PAGE_SIZE_2M * (1 + rand_below(&random, 99)), 1, prot);
            break;
        case 1:
        case 2:
            model_map(i, (paddr_t)PAGE_SIZE * (1 + rand_below(&random, 9999)), 0, prot);
            break;
        case 3:
        case 4:
            model_unmap(i);
            break;
        case 5:
            model_protect(i, prot);
            break;
        case 6:
            if (rand_below(&random, 50) == 0)
                model_split(i);
            break;
        default:
            check_slot(i);
        }
    }
    for (size_t i = 0; i < SLOTS; i++)
        check_slot(i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_page_reads_back_as_it_was_mapped, fresh),
        cmocka_unit_test_setup(what_is_refused_changes_nothing, fresh),
        cmocka_unit_test_setup(without_tables_a_map_fails_cleanly_and_works_later, fresh),
        cmocka_unit_test_setup(a_hole_tells_its_size, fresh),
        cmocka_unit_test_setup(marks_keep_guards_unmapped_and_give_way_where_lazy, fresh),
        cmocka_unit_test_setup(a_split_page_maps_the_same_memory_with_the_same_rights, fresh),
        cmocka_unit_test_setup(hardware_bits_survive_a_change_of_rights, fresh),
        cmocka_unit_test_setup(only_the_lower_half_gives_users_a_way_down, fresh),
        cmocka_unit_test_setup(the_recursive_view_names_the_entries_that_the_walk_uses, fresh),
        cmocka_unit_test_setup(random_changes_agree_with_a_model, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
