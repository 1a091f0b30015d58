/* Test of the kernel's own modules and services: who finds what, and in which order they stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/ggmk.h"
#include "kernel/core/kernel.h"
#include "kernel/core/services.h"

/* Modules of this program, one of each privilege, that look the kernel's services up. */
static struct {
    const struct memory_service *memory;
    const struct irq_service *irq;
    const struct time_service *time;
    const void *newer, *unknown;
    int why_newer, why_unknown, why_user;
    const void *user;
} found;

static int driver_init(gmk_ctx_t *ctx) {
    found.memory =
        GMK_SERVICE_GET(ctx, struct memory_service, MEMORY_SERVICE, MEMORY_SERVICE_VERSION);
    found.irq = GMK_SERVICE_GET(ctx, struct irq_service, IRQ_SERVICE, IRQ_SERVICE_VERSION);
    found.time = GMK_SERVICE_GET(ctx, struct time_service, TIME_SERVICE, TIME_SERVICE_VERSION);
    found.newer = gmk_service_get(ctx, IRQ_SERVICE, GMK_VERSION(2, 0, 0), &found.why_newer);
    found.unknown = gmk_service_get(ctx, "kernel.disk", GMK_VERSION(1, 0, 0), &found.why_unknown);
    return GMK_OK;
}

static int user_init(gmk_ctx_t *ctx) {
    found.user = gmk_service_get(ctx, MEMORY_SERVICE, MEMORY_SERVICE_VERSION, &found.why_user);
    return GMK_OK;
}

static const char *const driver_needs[] = {"memory", "time", "irq"};
static gmk_module_t driver = {.name = "test driver",
                              .version = GMK_VERSION(1, 0, 0),
                              .privilege = GMK_DRIVER,
                              .depends = driver_needs,
                              .n_depends = 3,
                              .init = driver_init};
GMK_MODULE(driver)
/* It needs the driver only to come after everything else. */
static const char *const user_needs[] = {"test driver"};
static gmk_module_t user = {.name = "test user",
                            .version = GMK_VERSION(1, 0, 0),
                            .privilege = GMK_USER,
                            .depends = user_needs,
                            .n_depends = 1,
                            .init = user_init};
GMK_MODULE(user)

/* The kernel's engine starts anew, now with this program's modules in it. */
static int setup(void **state) {
    (void)state;
    memset(&found, 0, sizeof found);
    (void)engine_stop();
    engine_start();
    return 0;
}

static void a_driver_finds_memory_interrupts_and_time(void **state) {
    (void)state;
    assert_non_null(found.memory);
    assert_non_null(found.irq);
    assert_non_null(found.time);
    uint64_t before = found.time->now_ns();
    void *block = found.memory->alloc(100);
    assert_non_null(block);
    memset(block, 7, 100);
    found.memory->free(block);
    paddr_t run = found.memory->dma_alloc(4, 4 * PAGE_SIZE, 1ull << 32, FRAME_OTHER);
    assert_int_not_equal(run, 0);
    assert_int_equal(run % (4 * PAGE_SIZE), 0);
    found.memory->dma_free(run, 4);
    assert_int_equal(found.irq->detach(63), GMK_ENOENT); /* nobody attached it */
    assert_true(found.time->now_ns() > before);
}

static void another_version_and_an_unknown_name_give_nothing_and_say_why(void **state) {
    (void)state;
    assert_null(found.newer);
    assert_int_equal(found.why_newer, GMK_EVERSION);
    assert_null(found.unknown);
    assert_int_equal(found.why_unknown, GMK_ENOENT);
}

static void a_user_module_gets_none_of_them(void **state) {
    (void)state;
    assert_null(found.user);
    assert_int_equal(found.why_user, GMK_EPERM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_driver_finds_memory_interrupts_and_time),
        cmocka_unit_test(another_version_and_an_unknown_name_give_nothing_and_say_why),
        cmocka_unit_test(a_user_module_gets_none_of_them),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
