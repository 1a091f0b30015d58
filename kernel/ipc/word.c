/* Word: threads of a unit that sleep until a 32-bit word of its memory changes.
 *
 * Problem: a lock in user space costs no system call while nobody contends; who loses must sleep
 * without missing the wake-up that may come between its last look and its sleep.
 * Idea: the waiter enters the queue first and looks at the word then, for the last time. The waker changes
 * the word first and looks at the queue then. So one of the two sees the other (Dekker; the bucket's
 * lock is the barrier). A look that finds another value takes the waiter out again. So the word
 * is never read under a lock, and may be absent memory that a page fault brings in.
 *
 * A waker that comes between the two takes the thread out and makes it "ready" while it still runs;
 * sched_block_user() knows that and returns to user mode at once.
 *
 * A unit's words are its own: each unit has its buckets, so that no queue holds more than its own
 * threads (UNIT_THREADS_MAX: the bound of each walk here), and no unit can lengthen another's.
 *
 * Invariants, under a bucket's lock: its list holds threads of one unit with block.kind == BLOCK_WORD,
 * block.object == the bucket and the address in block.words[0]; first come first.
 *
 * Lock: LOCK_WORDS, one at a time. */
#include "arch_user.h"
#include "ggmk/error.h"
#include "kernel/ipc/notify.h"
#include "kernel/sched/runq.h"

#define WORD_BUCKETS 4u /* of a unit */

struct bucket {
    struct spinlock lock;
    struct thread *head; /* guarded by lock; circular, by block.next and prev */
};

static struct bucket buckets[UNITS_MAX * WORD_BUCKETS] = {
    [0 ... UNITS_MAX * WORD_BUCKETS - 1] = {.lock = SPINLOCK_INIT(LOCK_WORDS)},
};

/* Words of one cache line share a bucket. */
static struct bucket *bucket_of(const struct unit *unit, uint64_t address) {
    return &buckets[unit->index * WORD_BUCKETS + address / GMK_CACHE_LINE % WORD_BUCKETS];
}

/* GMK_OK: a word could lie there. */
static int check(uint64_t address) {
    if (address % sizeof(uint32_t) != 0)
        return GMK_EINVAL;
    return address >= GMK_USER_MIN && address < GMK_USER_MAX ? GMK_OK : GMK_EFAULT;
}

/* ---- The list, under the lock ------------------------------------------------------------- */

static void list_add(struct bucket *b, struct thread *t) {
    if (b->head == NULL) {
        b->head = t->block.next = t->block.prev = t;
        return;
    }
    t->block.next = b->head;
    t->block.prev = b->head->block.prev;
    b->head->block.prev->block.next = t;
    b->head->block.prev = t;
}

static void list_remove(struct bucket *b, struct thread *t) {
    block_over(t);
    if (t->block.next == t)
        b->head = NULL;
    else if (b->head == t)
        b->head = t->block.next;
    t->block.prev->block.next = t->block.next;
    t->block.next->block.prev = t->block.prev;
}

bool word_block_remove(struct thread *thread, void *object, uint32_t sequence) {
    struct bucket *b = object;
    spin_enter(&b->lock);
    bool waits = block_is(thread, BLOCK_WORD, b, sequence);
    if (waits)
        list_remove(b, thread);
    spin_leave(&b->lock);
    return waits;
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static bool enter(struct bucket *b, struct thread *self, uint64_t address, uint64_t timeout) {
    spin_enter(&b->lock);
    bool prepared = block_prepare(self, BLOCK_WORD, b, timeout);
    if (prepared) {
        self->block.words[0] = address;
        list_add(b, self);
    }
    spin_leave(&b->lock);
    return prepared;
}

uint64_t word_sys_wait(uint64_t address, uint64_t expected, uint64_t timeout, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t rax) {
    (void)a3, (void)a4, (void)a5, (void)rax;
    struct thread *self = cpu_this()->current;
    int status = check(address);
    if (status != GMK_OK)
        return (uint64_t)(int64_t)status;
    struct bucket *b = bucket_of(self->unit, address);
    bool entered = timeout != 0;
    if (entered && !enter(b, self, address, timeout))
        return (uint64_t)GMK_ELIMIT;
    uint32_t value;
    status = arch_load_user32(address, &value);
    if (status == GMK_OK)
        status = value != (uint32_t)expected ? GMK_EAGAIN : GMK_ETIMEOUT;
    if (!entered)
        return (uint64_t)(int64_t)status;
    /* Taken out already? Then it was woken, or ended, and its result stands in its frame. */
    if (status == GMK_ETIMEOUT || !word_block_remove(self, b, UINT32_MAX))
        sched_block_user();
    return (uint64_t)(int64_t)status;
}

/* ---- Waking ----------------------------------------------------------------------------------- */

uint64_t word_sys_wake(uint64_t address, uint64_t count, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t rax) {
    (void)a2, (void)a3, (void)a4, (void)a5, (void)rax;
    int status = check(address);
    if (status != GMK_OK)
        return (uint64_t)(int64_t)status;
    struct bucket *b = bucket_of(cpu_this()->current->unit, address);
    uint64_t most = count < GMK_WORD_WAKE_MAX ? count : GMK_WORD_WAKE_MAX, woken = 0;
    struct thread *first = NULL, **last = &first;
    spin_enter(&b->lock);
    struct thread *t = b->head, *end = t != NULL ? t->block.prev : NULL;
    while (t != NULL && woken < most) {
        struct thread *next = t != end ? t->block.next : NULL;
        if (t->block.words[0] == address) {
            list_remove(b, t);
            arch_user_status(t, GMK_OK);
            *last = t; /* nobody else finds it now: its link is ours */
            last = &t->block.next;
            woken++;
        }
        t = next;
    }
    *last = NULL;
    spin_leave(&b->lock);
    while (first != NULL) {
        t = first;
        first = t->block.next;
        sched_ready_irq(t, false);
    }
    return woken;
}
