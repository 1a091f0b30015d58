/* Box: a unit with the pieces of tests/kernel/faults/ring3.S in it, made and run by the tests of user mode. */
#include "tests/kernel/lib/box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/error.h"
#include "kernel/ipc/port.h"

static struct factory *root;
struct box box;

/* Sleeps: who only yields leaves less urgent threads hardly any time. */
void box_nap(void) {
    static _Atomic uint32_t nobody;
    (void)wait_block(&nobody, 0, 200000);
}

/* ---- Making boxes ------------------------------------------------------------------------------ */

/* The kernel's view of a page of an object. */
static void *page_of(struct memory *memory, uint64_t page) {
    paddr_t frame = 0;
    bool writable;
    spin_enter(&memory->object.lock);
    int status = memory_page_locked(memory, page, true, &frame, &writable);
    spin_leave(&memory->object.lock);
    assert_int_equal(status, GMK_OK);
    return arch_phys(page_down(frame));
}

struct memory *box_map(struct unit *unit, unsigned kind, uint64_t at, uint64_t size,
                       unsigned prot) {
    struct memory *memory = NULL;
    assert_int_equal(memory_create(unit->factory, kind, size, &memory), GMK_OK);
    int64_t where = space_map(&unit->space, memory, memory->object.serial, at, 0, size,
                              prot | GMK_MAP_FIXED, prot);
    assert_int_equal(where, at);
    return memory;
}

struct box box_make(const char *name) {
    struct box b = {0};
    gmk_unit_args_t args = {.frames = 200, .objects = 50, .priority_max = GMK_PRIORITY_MAX};
    memcpy(args.name, name, strlen(name));
    bool irq = arch_irq_disable();
    assert_int_equal(unit_create(root, &args, GMK_PRIORITY_MAX, &b.unit), GMK_OK);
    b.serial = b.unit->object.serial;
    uint64_t size = page_up((uint64_t)(ring3_end - ring3_start));
    struct memory *code =
        box_map(b.unit, GMK_MEMORY_ANON, RING3_CODE, size, GMK_PROT_READ | GMK_PROT_EXEC);
    assert_int_equal(memory_write(code, 0, ring3_start, (size_t)(ring3_end - ring3_start)), GMK_OK);
    struct memory *data = box_map(b.unit, GMK_MEMORY_ANON, RING3_DATA, BOX_DATA_PAGES * PAGE_SIZE,
                                  GMK_PROT_READ | GMK_PROT_WRITE);
    b.data = page_of(data, 0);
    memory_end(code, code->object.serial);
    memory_end(data, data->object.serial);
    arch_irq_restore(irq);
    return b;
}

static bool box_gone(const struct box *b) {
    return b->unit->object.serial != b->serial || b->unit->state == GMK_UNIT_DEAD;
}

void box_end(struct box *b) {
    bool irq = arch_irq_disable();
    unit_end(b->unit, b->serial);
    arch_irq_restore(irq);
    uint64_t until = arch_time_ns() + WAIT_NS;
    while (!box_gone(b) && arch_time_ns() < until)
        box_nap();
    assert_true(box_gone(b));
}

int box_make_root(void **state) {
    (void)state;
    bool irq = arch_irq_disable();
    root = factory_root(1024);
    arch_irq_restore(irq);
    return root == NULL;
}

int box_end_root(void **state) {
    (void)state;
    bool irq = arch_irq_disable();
    factory_end(root, root->object.serial);
    arch_irq_restore(irq);
    return 0;
}

int box_setup(void **state) {
    (void)state;
    box = box_make("ring3");
    return 0;
}

int box_teardown(void **state) {
    (void)state;
    box_end(&box);
    return 0;
}

/* ---- Running pieces ------------------------------------------------------------------------------- */

uint64_t box_address(const char *piece) {
    return RING3_CODE + (uint64_t)(piece - ring3_start);
}

struct thread *box_thread(struct box *b, const char *piece, unsigned flags, uint64_t tls) {
    gmk_thread_args_t args = {
        .name = "piece",
        .entry = box_address(piece),
        .arg = RING3_DATA,
        .tls = tls,
        .badge = 0xbad6e,
        .priority = GMK_PRIORITY_NORMAL,
        .flags = (uint16_t)flags,
    };
    struct thread *t = NULL;
    bool irq = arch_irq_disable();
    assert_int_equal(thread_user_new(b->unit, &args, &t), GMK_OK);
    arch_irq_restore(irq);
    return t;
}

void box_go(struct box *b, struct thread *t) {
    bool irq = arch_irq_disable();
    unit_started(b->unit);
    assert_int_equal(thread_user_start(t, t->object.serial), GMK_OK);
    arch_irq_restore(irq);
}

struct thread *box_start_with(struct box *b, const char *piece, unsigned flags, uint64_t tls) {
    struct thread *t = box_thread(b, piece, flags | GMK_THREAD_DETACHED, tls);
    box_go(b, t);
    return t;
}

struct thread *box_start(const char *piece) {
    return box_start_with(&box, piece, 0, 0);
}

/* Waits until the unit has so many threads, or is ending. */
void box_wait_threads(const struct box *b, unsigned count) {
    uint64_t until = arch_time_ns() + WAIT_NS;
    while (b->unit->thread_count != count && arch_time_ns() < until)
        box_nap();
    if (b->unit->thread_count != count) {
        const struct thread *t = b->unit->threads;
        for (unsigned i = 0; i < b->unit->thread_count; i++, t = t->unit_next)
            print_message("# thread %u: state %u, waits in %u, special %x\n", t->id, t->state,
                          t->block.kind, t->special);
        fail_msg("%u threads instead of %u; %u messages seen, the last %x", b->unit->thread_count,
                 count, (unsigned)b->data->seen, (unsigned)b->data->tag);
    }
}

void box_wait_counting(volatile uint64_t *word, uint64_t least) {
    uint64_t until = arch_time_ns() + WAIT_NS;
    while (*word < least && arch_time_ns() < until)
        box_nap();
    assert_true(*word >= least);
}

/* A thread that keeps the unit alive, receives its faults and foreign calls, and replies as data says. */
void box_start_server(struct box *b, bool personality) {
    int error;
    bool irq = arch_irq_disable();
    struct object *port = port_new(b->unit->factory, &error);
    assert_non_null(port);
    int64_t handle = cap_insert(b->unit, port, GMK_RIGHTS_ALL, 0);
    assert_true(handle > 0);
    struct port_ref ref = {(struct port *)port, port->serial, 0}, none = {0};
    assert_int_equal(unit_ports(b->unit, b->serial, &ref, personality ? &ref : &none), GMK_OK);
    arch_irq_restore(irq);
    b->data->port = (uint64_t)handle;
    b->data->reply_tag = GMK_TAG(GMK_LABEL_KILL, 0, 0);
    (void)box_start_with(b, ring3_server, 0, 0);
}

/* Runs a piece beside the server to its end, whichever. */
void box_run(const char *piece) {
    uint64_t seen = box.data->seen;
    box.data->survived = 0;
    (void)box_start(piece);
    box_wait_threads(&box, 1);
    if (!box.data->survived)
        assert_int_equal(box.data->seen, seen + 1);
}

uint64_t *box_call(uint64_t rax, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3) {
    const uint64_t args[7] = {rax, a0, a1, a2, a3, 0, 0};
    memcpy(box.data->call, args, sizeof args);
    box_run(ring3_call);
    assert_true(box.data->survived);
    return box.data->results;
}
