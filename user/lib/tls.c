/* TLS: thread-local storage, a block for each thread.
 *
 * The linker lays thread-local variables out below the FS base (System V ABI x86-64, "Thread-Local
 * Storage", variant II): the segment's end, rounded up to its alignment, is where FS points, and there
 * lies that address itself. The program reads its own ELF header to find the segment. */
#include "user/lib/internal.h"

#include "lib/elf.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"

#include <string.h>

_Thread_local struct thread_local_block thread_local_block;

/* The program's first bytes, and what its symbols are relative to: by the linker. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
#define EHDR_SIZE_MAX 4096u /* the linker puts header and segment table into the first page */

/* The segment; constant after tls_find(). */
static struct {
    const void *image;
    size_t file_size, size; /* size: rounded up to its alignment */
} tls;

void tls_find(void) {
    struct elf elf;
    struct elf_segment segment;
    uint64_t base = 0;
    (void)elf_open(&elf, __ehdr_start, EHDR_SIZE_MAX);
    for (unsigned i = 0; elf_segment_raw(&elf, i, &segment); i++) {
        if (segment.type == ELF_LOAD && segment.offset == 0)
            base = (uintptr_t)__ehdr_start - segment.vaddr;
        if (segment.type != ELF_TLS)
            continue;
        size_t mask = segment.align > 1 ? segment.align - 1 : 0; /* a power of two: by the linker */
        tls.image = (const void *)(base + segment.vaddr);
        tls.file_size = segment.file_size;
        tls.size = (segment.mem_size + mask) & ~mask;
    }
}

static size_t rounded(void) {
    return (tls.size + TLS_ALIGN - 1) & ~(size_t)(TLS_ALIGN - 1);
}

size_t tls_size(void) {
    return rounded() + TLS_ALIGN;
}

uint64_t tls_fill(void *block) {
    char *base = (char *)block + rounded();
    memset(block, 0, tls_size());
    memcpy(base - tls.size, tls.image, tls.file_size);
    *(void **)(void *)base = base;
    return (uintptr_t)base;
}
