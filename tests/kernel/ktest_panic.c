/* Test of what a panic is made of: names, backtraces of good and of damaged stacks, and the checks
 * that keep a report from faulting. Whole panics are in tests/system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/arch.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/debug/readable.h"
#include "kernel/debug/report.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/vm.h"
#include "lib/format.h"

static void functions_have_names(void **state) {
    (void)state;
    char text[64];
    symbol_format((uintptr_t)&symbol_format, text, sizeof text);
    assert_string_equal(text, "symbol_format+0x0");
    symbol_format((uintptr_t)&klog_write + 3u, text, sizeof text);
    assert_string_equal(text, "klog_write+0x3");
    symbol_format((uintptr_t)text, text, sizeof text);
    assert_string_equal(text, "?");
}

/* ---- Backtraces --------------------------------------------------------------------------- */

static char trace[4096];
static size_t trace_used;

static void collect(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    trace_used += format_vstring(trace + trace_used, sizeof trace - trace_used, fmt, args);
    va_end(args);
    assert_true(trace_used < sizeof trace);
}

/* Each returns something of its own, so that no call becomes a jump. */
__attribute__((noinline)) static int innermost_of_three(void) {
    report_backtrace(NULL, collect);
    return (int)trace_used;
}
__attribute__((noinline)) static int middle_of_three(void) {
    return innermost_of_three() + 1;
}
__attribute__((noinline)) static int outermost_of_three(void) {
    return middle_of_three() + 1;
}

static void a_backtrace_names_the_callers_in_order(void **state) {
    (void)state;
    trace_used = 0;
    assert_true(outermost_of_three() > 2);
    const char *inner = strstr(trace, " innermost_of_three+0x");
    assert_non_null(inner);
    const char *middle = strstr(inner, " middle_of_three+0x");
    assert_non_null(middle);
    assert_non_null(strstr(middle, " outermost_of_three+0x"));
    assert_null(strstr(trace, "damaged"));
}

static unsigned steps;
static void count_step(void *arg, uintptr_t address) {
    (void)arg, (void)address;
    steps++;
}

/* A context as a switch leaves it: five registers, then pairs of frame pointer and return. */
static uintptr_t fake[16];
static const char *walk_fake(unsigned max) {
    struct arch_context context = {(uintptr_t)fake};
    steps = 0;
    return arch_backtrace_context(&context, max, count_step, NULL);
}
static void fake_pair(unsigned at, uintptr_t next, uintptr_t address) {
    fake[at] = next;
    fake[at + 1u] = address;
}
#define CODE ((uintptr_t)&klog_write + 5u)

static void a_stack_that_ends_properly_is_not_called_damaged(void **state) {
    (void)state;
    fake_pair(5, (uintptr_t)&fake[8], CODE);
    fake_pair(8, (uintptr_t)&fake[12], CODE);
    fake_pair(12, 0, 0);
    assert_null(walk_fake(32));
    assert_int_equal(steps, 2);
    assert_null(walk_fake(1)); /* no more than asked for */
    assert_int_equal(steps, 1);
}

/* At the entry from user mode rbp is still the user's: nothing of the kernel's is behind it. */
static void a_walk_ends_where_user_mode_began(void **state) {
    (void)state;
    fake_pair(5, 0x1000, CODE);
    assert_null(walk_fake(32));
    fake_pair(5, 0x4141414141414140, CODE);
    assert_null(walk_fake(32));
}

static void a_damaged_stack_is_not_followed_and_the_reason_is_told(void **state) {
    (void)state;
    const struct {
        uintptr_t next, address;
        const char *why;
    } cases[] = {
        {(uintptr_t)&fake[5], CODE, "the frame pointers run in a circle"},
        {(uintptr_t)&fake[8] + 3u, CODE, "a frame pointer is not aligned"},
        {LAYOUT_HEAP + LAYOUT_HEAP_SIZE - 16u, CODE,
         "a frame pointer leads to memory that is not mapped"},
        {UINTPTR_MAX - 7u, CODE, "a frame pointer leads to memory that is not mapped"},
        {(uintptr_t)&fake[8], 0x4141414141414141, "a return address is not in the code"},
        {(uintptr_t)&fake[8], (uintptr_t)fake, "a return address is not in the code"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_pair(5, cases[i].next, cases[i].address);
        fake_pair(8, 0, 0);
        const char *damage = walk_fake(32);
        assert_non_null(damage);
        assert_non_null(strstr(damage, cases[i].why));
    }
}

/* ---- Reading ------------------------------------------------------------------------------- */

static void what_can_be_read_and_what_cannot(void **state) {
    (void)state;
    const char *why;
    assert_true(debug_readable((vaddr_t)fake, sizeof fake, &why));
    assert_null(why);
    assert_true(debug_readable((vaddr_t)&klog_write, 1, NULL));
    assert_false(debug_readable(0, 8, &why));
    assert_string_equal(why, "not in the kernel's half");
    assert_false(debug_readable(0x0000800000000000, 8, NULL)); /* not canonical */
    assert_false(debug_readable(0xffff7fffffffffff, 1, NULL));
    assert_false(debug_readable(UINTPTR_MAX - 3u, 8, &why));
    assert_string_equal(why, "beyond the end of the address space");
    char *stack = vm_stack_alloc(PAGE_SIZE);
    assert_non_null(stack);
    assert_true(debug_readable((vaddr_t)stack, PAGE_SIZE, NULL));
    assert_false(debug_readable((vaddr_t)stack, PAGE_SIZE + 1u, &why)); /* the guard page */
    assert_string_equal(why, "not mapped");
    assert_false(debug_readable((vaddr_t)stack - 1u, 2, NULL));
    vm_stack_free(stack, PAGE_SIZE);
}

static void the_next_mapped_page_is_found(void **state) {
    (void)state;
    paddr_t root = vm_kernel_root();
    struct page_info info;
    vaddr_t image = arch_page_next(root, LAYOUT_IMAGE);
    assert_int_equal(image & (PAGE_SIZE - 1u), 0);
    assert_int_equal(arch_page_query(root, image, &info), 0);
    char *stack = vm_stack_alloc(PAGE_SIZE);
    assert_non_null(stack);
    assert_int_equal(arch_page_next(root, (vaddr_t)stack - PAGE_SIZE), (vaddr_t)stack);
    assert_int_equal(arch_page_next(root, (vaddr_t)stack), (vaddr_t)stack);
    vm_stack_free(stack, PAGE_SIZE);
    /* Nothing is mapped between the image and the end of the address space's last but one page. */
    unsigned count = 0;
    for (vaddr_t va = image; va != 0 && count < 100000; va = arch_page_next(root, va)) {
        assert_int_equal(arch_page_query(root, va, &info), 0);
        va += (vaddr_t)PAGE_SIZE << (9u * info.level);
        count++;
    }
    assert_true(count > 10 && count < 100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_have_names),
        cmocka_unit_test(a_backtrace_names_the_callers_in_order),
        cmocka_unit_test(a_stack_that_ends_properly_is_not_called_damaged),
        cmocka_unit_test(a_damaged_stack_is_not_followed_and_the_reason_is_told),
        cmocka_unit_test(a_walk_ends_where_user_mode_began),
        cmocka_unit_test(what_can_be_read_and_what_cannot),
        cmocka_unit_test(the_next_mapped_page_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
