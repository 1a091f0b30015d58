/* Memory's partner: does what its first word says, for test_memory.c and test_memory_cpus.c.
 *
 *   where            its status tells where a mapping of its own came to lie
 *   eat              uses as much memory as it gets, in many ways, and ends
 *   write N ADDRESS  N threads count in the first word of pages at ADDRESS, one page each, until they
 *                    are ended from outside. Word 1 of each page is the count they have reached before */
#include "user/lib/memory.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"
#include "user/lib/thread.h"

#include <string.h>

#define PAGE UINT64_C(4096)
#define RW   (GMK_PROT_READ | GMK_PROT_WRITE)

static int where(void) {
    uint64_t address;
    if (memory_new(PAGE, RW, &address) != GMK_OK)
        return -1;
    return (int)(address / PAGE & 0x3fffffff);
}

static int eat(void) {
    uint64_t address;
    for (unsigned i = 0; i < 20; i++) {
        if (memory_new((i + 1) * PAGE, RW, &address) != GMK_OK)
            break;
        memset((void *)address, 1, PAGE * (i + 1) / 2 & ~(PAGE - 1)); // NOLINT
    }
    int64_t object = sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, UINT64_C(1) << 38);
    int64_t place =
        sys_memory_map(GMK_SELF_UNIT, (gmk_handle_t)object, 0, 0, UINT64_C(1) << 38, RW);
    for (unsigned i = 0; i < 8 && place > 0; i++) /* each needs nodes and tables of its own */
        *(volatile char *)((uint64_t)place + ((uint64_t)i << 31)) = 1; // NOLINT
    int64_t clone = memory_clone((gmk_handle_t)object, GMK_SELF_FACTORY, 0, 64 * PAGE);
    return object > 0 && place > 0 && clone > 0 ? 0 : 1;
}

static void count(void *arg) {
    volatile uint64_t *page = arg;
    for (uint64_t n = 1;; n++) {
        page[0] = n;
        page[1] = n;
    }
}

static int write_pages(uint64_t threads, uint64_t address) {
    for (uint64_t i = 1; i < threads; i++) {
        struct thread *thread;
        void *page = (void *)(address + i * PAGE); // NOLINT
        if (thread_start(&thread, "writer", GMK_PRIORITY_NORMAL, 0, count, page) != GMK_OK)
            return 1;
    }
    count((void *)address); // NOLINT
    return 0;
}

int main(int argc, char **argv) {
    uint64_t threads, address;
    if (argc == 2 && strcmp(argv[1], "where") == 0)
        return where();
    if (argc == 2 && strcmp(argv[1], "eat") == 0)
        return eat();
    if (argc == 4 && strcmp(argv[1], "write") == 0 && text_number(argv[2], &threads) &&
        text_number(argv[3], &address))
        return write_pages(threads, address);
    return 2;
}
