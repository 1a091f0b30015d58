/* Test of threads, mutexes and condition variables: what is guarded stays whole, nobody who waits is
 * forgotten, and a thread that has ended leaves nothing behind. */
#include "tests/user/lib/utest.h"

#include "user/lib/memory.h"
#include "user/lib/mutex.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#define THREADS 4u
#define ROUNDS  2000u

static _Thread_local uint64_t local = 5;

static int start(struct thread **out, void (*fn)(void *arg), void *arg) {
    return thread_start(out, "test", GMK_PRIORITY_NORMAL, 0, fn, arg);
}

/* ---- Threads ---------------------------------------------------------------------------------- */

struct seen {
    uint64_t local, local_after;
    gmk_msg_t *msg;
    uint32_t id;
    bool aligned;
};

static void look(void *arg) {
    struct seen *seen = arg;
    _Alignas(16) volatile char here[16] = {0};
    *seen = (struct seen){.local = local,
                          .msg = ipc_buffer(),
                          .id = thread_id(),
                          .aligned = ((uintptr_t)__builtin_frame_address(0) & 15) == 0};
    local = (uintptr_t)here;
    seen->msg->words[5] = 9;
    seen->local_after = local;
}

static void each_thread_has_its_own_storage_and_buffer(void) {
    struct thread *threads[THREADS];
    struct seen seen[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(start(&threads[i], look, &seen[i]), GMK_OK);
    for (unsigned i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    for (unsigned i = 0; i < THREADS; i++) {
        EXPECT_EQ(seen[i].local, 5);
        EXPECT(seen[i].aligned);
        EXPECT(seen[i].msg != NULL && seen[i].msg != ipc_buffer());
        EXPECT(seen[i].id != thread_id());
    }
    EXPECT_EQ(local, 5);
}

static void nothing(void *arg) {
    (void)arg;
}

static void leave(void *arg) {
    (void)arg;
    thread_exit();
}

static void many_threads_one_after_the_other_leave_nothing(void) {
    gmk_unit_info_t before = {0}, after = {0};
    struct thread *thread;
    EXPECT_EQ(start(&thread, nothing, NULL), GMK_OK); /* warms the cache of stacks */
    thread_join(thread);
    (void)sys_unit_info(GMK_SELF_UNIT, &before);
    for (unsigned i = 0; i < 500; i++) {
        EXPECT_EQ(start(&thread, i % 2 == 0 ? nothing : leave, NULL), GMK_OK);
        thread_join(thread);
    }
    for (unsigned i = 0; i < 1000; i++) { /* the last one may be on its way out on another CPU */
        (void)sys_unit_info(GMK_SELF_UNIT, &after);
        if (after.objects_used <= before.objects_used) /* the first may have been on its way then */
            break;
        utest_pause();
    }
    EXPECT(after.objects_used <= before.objects_used);
    EXPECT_EQ(after.caps, before.caps);
    EXPECT(after.frames_used <= before.frames_used + 4);
}

static _Atomic uint32_t gate;

static void stand(void *arg) {
    (void)arg;
    while (atomic_load_explicit(&gate, memory_order_relaxed) == 0)
        (void)sys_word_wait(&gate, 0, GMK_FOREVER);
}

/* Until the unit's limit, and all of them are woken and end. */
static void as_many_threads_as_a_unit_may_have_can_live(void) {
    static struct thread *threads[300];
    unsigned count = 0;
    int status = GMK_OK;
    gate = 0;
    while (count < 300 && (status = start(&threads[count], stand, NULL)) == GMK_OK)
        count++;
    gate = 1;
    while (sys_word_wake(&gate, UINT32_MAX) == GMK_WORD_WAKE_MAX)
        continue;
    for (unsigned i = 0; i < count; i++)
        thread_join(threads[i]);
    utest_note("%u threads, then %s", count, gmk_error_name(status));
    EXPECT(status == GMK_ELIMIT || status == GMK_EBUDGET);
    EXPECT(count >= 200);
}

/* ---- Mutexes -------------------------------------------------------------------------------------- */

static struct mutex mutex;
static uint64_t guarded, guarded_twin;
static _Atomic uint32_t torn;

static void count_up(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        mutex_lock(&mutex);
        if (guarded != guarded_twin)
            atomic_fetch_add_explicit(&torn, 1, memory_order_relaxed);
        guarded++;
        if (i % 64 == 0)
            (void)sys_yield(); /* with the mutex held */
        guarded_twin++;
        mutex_unlock(&mutex);
    }
}

static void a_mutex_lets_one_thread_in(void) {
    struct thread *threads[THREADS];
    guarded = guarded_twin = 0;
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(start(&threads[i], count_up, NULL), GMK_OK);
    for (unsigned i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    EXPECT_EQ(guarded, THREADS * ROUNDS);
    EXPECT_EQ(torn, 0);
    EXPECT_EQ(mutex.state, 0);
}

static void a_held_mutex_is_not_taken_by_trying(void) {
    EXPECT(mutex_try_lock(&mutex));
    EXPECT(!mutex_try_lock(&mutex));
    mutex_unlock(&mutex);
    EXPECT(mutex_try_lock(&mutex));
    mutex_unlock(&mutex);
}

/* ---- Condition variables --------------------------------------------------------------------------- */

/* A bounded buffer with one cell: every value is taken once, in order of its making. */
static struct cond filled, emptied;
static uint64_t cell, taken, taken_sum;

static void produce(void *arg) {
    (void)arg;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        mutex_lock(&mutex);
        while (cell != 0)
            (void)cond_wait(&emptied, &mutex, GMK_FOREVER);
        cell = i;
        cond_signal(&filled);
        mutex_unlock(&mutex);
    }
}

static void consume(void *arg) {
    (void)arg;
    for (;;) {
        mutex_lock(&mutex);
        while (cell == 0 && taken < (uint64_t)ROUNDS * 2)
            (void)cond_wait(&filled, &mutex, GMK_FOREVER);
        if (cell == 0) {
            mutex_unlock(&mutex);
            return;
        }
        taken_sum += cell;
        cell = 0;
        if (++taken == (uint64_t)ROUNDS * 2)
            cond_broadcast(&filled);
        cond_signal(&emptied);
        mutex_unlock(&mutex);
    }
}

static void everything_produced_is_consumed_once(void) {
    struct thread *threads[4];
    taken = taken_sum = cell = 0;
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(start(&threads[i], i < 2 ? consume : produce, NULL), GMK_OK);
    for (unsigned i = 0; i < 4; i++)
        thread_join(threads[i]);
    EXPECT_EQ(taken, ROUNDS * 2);
    EXPECT_EQ(taken_sum, (uint64_t)ROUNDS * (ROUNDS + 1));
}

static struct cond opened;
static bool is_open;
static unsigned inside;

static void pass_gate(void *arg) {
    (void)arg;
    mutex_lock(&mutex);
    while (!is_open)
        (void)cond_wait(&opened, &mutex, GMK_FOREVER);
    inside++;
    mutex_unlock(&mutex);
}

static void a_broadcast_wakes_everybody(void) {
    struct thread *threads[40]; /* more than one wake takes */
    unsigned count = 0;
    while (count < 40 && start(&threads[count], pass_gate, NULL) == GMK_OK)
        count++;
    for (unsigned i = 0; i < 10; i++)
        (void)sys_yield();
    mutex_lock(&mutex);
    is_open = true;
    cond_broadcast(&opened);
    mutex_unlock(&mutex);
    for (unsigned i = 0; i < count; i++)
        thread_join(threads[i]);
    EXPECT_EQ(count, 40);
    EXPECT_EQ(inside, 40);
}

static void a_wait_ends_with_its_time(void) {
    static struct cond never;
    int64_t before = sys_time();
    mutex_lock(&mutex);
    EXPECT(!cond_wait(&never, &mutex, 3000000));
    EXPECT_EQ(mutex.state != 0, true);
    mutex_unlock(&mutex);
    EXPECT(sys_time() - before >= 3000000);
}

static const struct utest tests[] = {
    UTEST(each_thread_has_its_own_storage_and_buffer),
    UTEST(many_threads_one_after_the_other_leave_nothing),
    UTEST(as_many_threads_as_a_unit_may_have_can_live),
    UTEST(a_mutex_lets_one_thread_in),
    UTEST(a_held_mutex_is_not_taken_by_trying),
    UTEST(everything_produced_is_consumed_once),
    UTEST(a_broadcast_wakes_everybody),
    UTEST(a_wait_ends_with_its_time),
};

int main(void) {
    return UTEST_RUN(tests);
}
