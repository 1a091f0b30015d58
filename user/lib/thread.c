/* Thread: stack, struct thread and thread-local storage in one mapping, used again and again. */
#include "user/lib/thread.h"

#include "user/lib/internal.h"
#include "user/lib/memory.h"
#include "user/lib/mutex.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"

_Noreturn void thread_begin(void); /* start.S */
_Noreturn void thread_main(struct thread *thread, gmk_msg_t *msg, uint32_t id);

_Noreturn void thread_main(struct thread *thread, gmk_msg_t *msg, uint32_t id) {
    thread_local_block = (struct thread_local_block){.msg = msg, .id = id, .self = thread};
    thread->fn(thread->arg);
    thread_exit();
}

/* Stacks of threads that have ended, for the next ones: mapping and zeroing memory would cost more than
 * all the rest. Linked by struct thread.next. */
static struct {
    struct mutex mutex; /* guards the rest */
    struct thread *first;
    unsigned count;
} cache;
#define CACHE_MAX 8u

static struct thread *take_stack(void) {
    mutex_lock(&cache.mutex);
    struct thread *thread = cache.first;
    if (thread != NULL) {
        cache.first = thread->next;
        cache.count--;
    }
    mutex_unlock(&cache.mutex);
    return thread;
}

static void give_stack(struct thread *thread) {
    mutex_lock(&cache.mutex);
    bool keep = cache.count < CACHE_MAX;
    if (keep) {
        thread->next = cache.first;
        cache.first = thread;
        cache.count++;
    }
    mutex_unlock(&cache.mutex);
    if (!keep)
        (void)memory_free(thread->stack, thread->stack_size);
}

/* One mapping: the stack, above it the struct, above that thread-local storage. */
static int new_stack(struct thread **out) {
    uint64_t above = sizeof(struct thread) + 2 * TLS_ALIGN + tls_size();
    uint64_t size = (THREAD_STACK_SIZE + above + 4095) & ~UINT64_C(4095), stack;
    int status = memory_new(size, GMK_PROT_READ | GMK_PROT_WRITE | GMK_MAP_GUARD, &stack);
    if (status != GMK_OK)
        return status;
    uint64_t block = (stack + size - tls_size()) & ~(uint64_t)(TLS_ALIGN - 1);
    struct thread *thread =
        (struct thread *)((block - sizeof(struct thread)) & ~(uint64_t)(TLS_ALIGN - 1));
    *thread = (struct thread){.tls = block, .stack = stack, .stack_size = size};
    *out = thread;
    return GMK_OK;
}

int thread_start(struct thread **out, const char *name, unsigned priority, unsigned flags,
                 void (*fn)(void *arg), void *arg) {
    struct thread *thread = take_stack();
    int status = thread != NULL ? GMK_OK : new_stack(&thread);
    if (status != GMK_OK)
        return status;
    thread->fn = fn;
    thread->arg = arg;
    atomic_store_explicit(&thread->finished, 0, memory_order_relaxed); /* nobody else looks yet */
    *out = thread; /* the thread may look for itself there */
    gmk_thread_args_t args = {.entry = (uintptr_t)thread_begin,
                              .stack = (uintptr_t)thread,
                              .arg = (uintptr_t)thread,
                              .tls = tls_fill((void *)thread->tls),
                              .priority = (uint16_t)priority,
                              .flags = (uint16_t)(flags | GMK_THREAD_START)};
    text_copy(args.name, sizeof args.name, name);
    int64_t handle = sys_thread_create(GMK_SELF_UNIT, &args);
    if (handle < 0) {
        give_stack(thread);
        return (int)handle;
    }
    thread->handle = (gmk_handle_t)handle;
    return GMK_OK;
}

void thread_join(struct thread *thread) {
    /* Acquire pairs with the store in thread_exit(): what the thread did is seen. */
    while (atomic_load_explicit(&thread->finished, memory_order_acquire) == 0)
        (void)sys_word_wait(&thread->finished, 0, GMK_FOREVER);
    (void)sys_cap_drop(thread->handle);
    give_stack(thread);
}

/* From its store on, the joiner may unmap the stack: so the rest is registers only, the way out
 * included. The store is a release, as all are on x86; pairs with the load in thread_join(). */
_Noreturn void thread_exit(void) {
    struct thread *self = thread_local_block.self;
    if (self == NULL)
        sys_exit(0, false);
    __asm__ volatile(
        "movl $1, (%%rdi)\n\t"
        "syscall\n\t"
        "mov %[exit], %%eax\n\t"
        "xorl %%edi, %%edi\n\t"
        "xorl %%esi, %%esi\n\t"
        "syscall\n\t"
        "ud2"
        :
        : "D"(&self->finished), "S"(1),
          "a"(SYSCALL_NUMBER(GMK_SYS_WORD_WAKE)), [exit] "i"(SYSCALL_NUMBER(GMK_SYS_EXIT))
        : "memory");
    __builtin_unreachable();
}

uint32_t thread_id(void) {
    return thread_local_block.id;
}
