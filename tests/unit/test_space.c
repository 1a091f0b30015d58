/* Test of spaces and memory objects: what programs read is what was written to the object behind it, in
 * every space and clone; rights are kept; budgets come back to the last frame; each missing frame
 * leaves everything as it was. Several CPUs, one after the other, with and without tagged TLBs, against a
 * model that knows every byte. */
#include "tests/fake_arch/space_machine.h"

#include "kernel/mem/space_change.c"
#include "kernel/mem/space_map.c"

#define SPACES  3u
#define OBJECTS 10u
#define PAGES   40u /* of an object at most */
#define WINDOW  UINT64_C(0x40000000)
#define SPOTS   96u /* pages of the window */
#define FAR     64u /* mappings at most that a space chose the place of */

#define RWX (GMK_PROT_READ | GMK_PROT_WRITE | GMK_PROT_EXEC)

/* ---- The model ------------------------------------------------------------------------------------ */

struct model_object {
    struct memory *memory; /* NULL: none */
    uint32_t serial;
    bool open; /* its capability is there */
    unsigned pages, ready, kind, maps;
    struct model_object *from; /* of a clone that is not ready */
    unsigned from_page;
    uint8_t bytes[PAGES][PAGE_SIZE];
};
struct model_page {
    struct model_object *object; /* NULL: not mapped */
    unsigned page;
    uint8_t prot, prot_max;
};
/* A range that a space chose the place of. */
struct model_far {
    uint64_t start;
    unsigned pages;
    struct model_page page[PAGES];
};
static struct model {
    struct space space;
    struct factory *factory;
    struct model_page window[SPOTS];
    struct model_far far[FAR];
} models[SPACES];
static struct model_object objects[OBJECTS];
static struct rand_state random_state;
static unsigned refused[64];

static unsigned below(unsigned n) {
    return rand_below(&random_state, n);
}

static struct model_page *page_of(struct model *model, uint64_t va) {
    if (va - WINDOW < SPOTS * (uint64_t)PAGE_SIZE)
        return &model->window[(va - WINDOW) / PAGE_SIZE];
    for (unsigned i = 0; i < FAR; i++) { /* a hole in one may be part of another */
        uint64_t page = (va - model->far[i].start) / PAGE_SIZE;
        if (page < model->far[i].pages && model->far[i].page[page].object != NULL)
            return &model->far[i].page[page];
    }
    return NULL;
}

/* The same steps as unit_create() and the reaper's. */
static void open_space(struct model *model, uint64_t frames) {
    int error;
    model->factory = factory_split(machine_factory, frames, 100, &error);
    assert_non_null(model->factory);
    assert_int_equal(space_init(&model->space, model->factory, rand_next(&random_state)), GMK_OK);
}

static void close_space(struct model *model) {
    unsigned steps = 0;
    while (!space_end_step(&model->space))
        assert_true(++steps < 10000);
    for (unsigned i = 0; i < MACHINE_CPUS; i++)
        assert_ptr_not_equal(atomic_load(&machine[i].cpu.space), &model->space);
    machine_reap();
}

static uint64_t frames_of(const struct factory *factory) {
    return factory->frames_max - atomic_load(&factory->frames_free);
}

static int64_t note(int64_t status) {
    if (status < 0)
        refused[-status]++;
    return status;
}

/* ---- Accesses ---------------------------------------------------------------------------------------- */

/* Some bytes at a page; the model says what must be there, or that it must not be. */
static void access_page(struct model *model, uint64_t va) {
    struct model_page *page = page_of(model, va);
    bool write = below(2) != 0, exec = !write && below(6) == 0;
    unsigned need = write ? GMK_PROT_WRITE : exec ? GMK_PROT_EXEC : GMK_PROT_READ;
    bool allowed = page != NULL && page->object != NULL && (page->prot & need) != 0;
    unsigned at = below(PAGE_SIZE - 8);
    int status = GMK_OK;
    machine_be(below(MACHINE_CPUS));
    if (atomic_load(&me->cpu.space) != &model->space)
        machine_enter(&model->space);
    uint8_t *bytes = machine_at(va + at, write, exec, &status);
    if (bytes == NULL) {
        note(status);
        assert_true(allowed ? status == GMK_ENOMEM || status == GMK_EBUDGET : status == GMK_EFAULT);
        return;
    }
    assert_true(allowed);
    uint8_t *known = &page->object->bytes[page->page][at];
    assert_memory_equal(bytes, known, 8);
    if (write) {
        uint64_t value = rand_next(&random_state);
        memcpy(bytes, &value, 8);
        memcpy(known, &value, 8);
    }
}

static uint64_t some_address(struct model *model) {
    struct model_far *range = &model->far[below(FAR)];
    if (range->pages != 0 && below(3) == 0)
        return range->start + below(range->pages) * PAGE_SIZE;
    return WINDOW + below(SPOTS) * PAGE_SIZE;
}

/* ---- Objects ------------------------------------------------------------------------------------------- */

static void forget_object(struct model_object *object) {
    if (!object->open && object->maps == 0)
        object->memory = NULL;
}

static void do_create(struct model_object *object, struct model *payer) {
    static const unsigned kinds[] = {GMK_MEMORY_ANON, GMK_MEMORY_ANON, GMK_MEMORY_ANON,
                                     GMK_MEMORY_WIRED, GMK_MEMORY_CONTIG};
    unsigned kind = kinds[below(5)], pages = 1 + below(PAGES);
    struct memory *memory;
    int64_t status =
        note(memory_create(payer->factory, kind, pages * (uint64_t)PAGE_SIZE, &memory));
    if (status != GMK_OK)
        return;
    *object = (struct model_object){.memory = memory,
                                    .serial = memory->object.serial,
                                    .open = true,
                                    .pages = pages,
                                    .ready = kind == GMK_MEMORY_ANON ? pages : 0,
                                    .kind = kind};
}

static void do_make(struct model_object *object) {
    int64_t ready = memory_make_step(object->memory, object->serial);
    bool can = object->kind != GMK_MEMORY_ANON && object->ready < object->pages;
    if (!can) {
        assert_int_equal(note(ready), GMK_ESTATE);
    } else if (note(ready) >= 0) {
        assert_true(ready / PAGE_SIZE > object->ready);
        object->ready = (unsigned)(ready / PAGE_SIZE);
    } else {
        object->ready = (unsigned)object->memory->ready; /* a part of the step may be done */
    }
}

static void begin_clone(struct model_object *object, struct model *payer) {
    struct model_object *from = &objects[below(OBJECTS)];
    if (from == object || from->memory == NULL || !from->open || from->ready < from->pages)
        return;
    unsigned first = below(from->pages), pages = 1 + below(from->pages - first);
    struct memory *memory;
    if (note(memory_clone(payer->factory, pages * (uint64_t)PAGE_SIZE, &memory)) != GMK_OK)
        return;
    *object = (struct model_object){.memory = memory,
                                    .serial = memory->object.serial,
                                    .open = true,
                                    .pages = pages,
                                    .kind = GMK_MEMORY_ANON,
                                    .from = from,
                                    .from_page = first};
}

static void do_clone(struct model_object *object) {
    struct model_object *from = object->from;
    int64_t ready =
        memory_clone_step(from->memory, from->serial, object->from_page * (uint64_t)PAGE_SIZE,
                          object->memory, object->serial);
    if (from->kind != GMK_MEMORY_ANON) {
        assert_int_equal(note(ready), GMK_EINVAL);
        return;
    }
    if (note(ready) < 0)
        assert_true(ready == GMK_ENOMEM || ready == GMK_EBUDGET);
    for (; object->ready < object->memory->ready; object->ready++)
        memcpy(object->bytes[object->ready], from->bytes[object->from_page + object->ready],
               PAGE_SIZE);
    assert_true(ready < 0 || ready == object->ready * (int64_t)PAGE_SIZE);
}

static void do_end(struct model_object *object) {
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i].memory != NULL && objects[i].from == object &&
            objects[i].ready < objects[i].pages)
            return; /* is being cloned */
    memory_end(object->memory, object->serial);
    memory_end(object->memory, object->serial); /* once is enough */
    object->open = false;
    forget_object(object);
}

static void object_step(void) {
    struct model_object *object = &objects[below(OBJECTS)];
    struct model *payer = &models[below(SPACES)];
    if (object->memory == NULL && below(3) == 0)
        begin_clone(object, payer);
    else if (object->memory == NULL)
        do_create(object, payer);
    else if (object->open && object->from != NULL && object->ready < object->pages)
        do_clone(object);
    else if (object->open && object->ready < object->pages)
        do_make(object);
    else if (object->open && below(4) == 0)
        do_end(object);
}

/* ---- Mapping ------------------------------------------------------------------------------------------ */

static unsigned some_prot(void) {
    static const unsigned prots[] = {GMK_PROT_READ,
                                     GMK_PROT_READ | GMK_PROT_WRITE,
                                     GMK_PROT_READ | GMK_PROT_WRITE,
                                     GMK_PROT_READ | GMK_PROT_EXEC,
                                     RWX | GMK_MAP_WX,
                                     0};
    return prots[below(6)];
}

static bool window_free(const struct model *model, unsigned first, unsigned pages) {
    for (unsigned i = first; i < first + pages; i++)
        if (i >= SPOTS || model->window[i].object != NULL)
            return false;
    return true;
}

static void fill_model(struct model_page *page, struct model_object *object, unsigned first,
                       unsigned pages, unsigned prot, unsigned prot_max) {
    for (unsigned i = 0; i < pages; i++)
        page[i] = (struct model_page){object, first + i, (uint8_t)prot, (uint8_t)prot_max};
    object->maps += pages;
}

static void map_fixed(struct model *model, struct model_object *object, unsigned first,
                      unsigned pages, unsigned prot, unsigned prot_max) {
    unsigned spot = below(SPOTS - pages + 1);
    bool is_free = window_free(model, spot, pages);
    int64_t at = space_map(&model->space, object->memory, object->serial, WINDOW + spot * PAGE_SIZE,
                           first * (uint64_t)PAGE_SIZE, pages * (uint64_t)PAGE_SIZE,
                           prot | GMK_MAP_FIXED, prot_max);
    if (note(at) == GMK_ENOMEM || at == GMK_EBUDGET || at == GMK_ELIMIT)
        return;
    if (object->ready < object->pages && is_free) {
        assert_int_equal(at, GMK_ESTATE);
        return;
    }
    assert_int_equal(at, is_free ? (int64_t)(WINDOW + spot * PAGE_SIZE) : GMK_EEXIST);
    if (is_free)
        fill_model(&model->window[spot], object, first, pages, prot & RWX, prot_max);
}

static void map_anywhere(struct model *model, struct model_object *object, unsigned first,
                         unsigned pages, unsigned prot, unsigned prot_max) {
    struct model_far *range = &model->far[below(FAR)];
    if (range->pages != 0)
        return;
    unsigned guard = below(2) != 0 ? GMK_MAP_GUARD : 0;
    int64_t at =
        space_map(&model->space, object->memory, object->serial, 0, first * (uint64_t)PAGE_SIZE,
                  pages * (uint64_t)PAGE_SIZE, prot | guard, prot_max);
    if (note(at) == GMK_ENOMEM || at == GMK_EBUDGET || at == GMK_ELIMIT)
        return;
    if (object->ready < object->pages) {
        assert_int_equal(at, GMK_ESTATE);
        return;
    }
    assert_true(at > 0);
    for (unsigned i = 0; i < pages; i++)
        assert_null(page_of(model, (uint64_t)at + i * PAGE_SIZE));
    *range = (struct model_far){.start = (uint64_t)at, .pages = pages};
    fill_model(range->page, object, first, pages, prot & RWX, prot_max);
}

static void do_map(struct model *model) {
    struct model_object *object = &objects[below(OBJECTS)];
    if (object->memory == NULL || !object->open)
        return;
    unsigned first = below(object->pages), most = object->pages - first;
    unsigned pages = 1 + below(most < 24 ? most : 24);
    unsigned prot = some_prot(), prot_max = below(3) != 0 ? RWX : prot & RWX;
    if (below(3) == 0)
        map_anywhere(model, object, first, pages, prot, prot_max);
    else
        map_fixed(model, object, first, pages, prot, prot_max);
}

static void unmap_model(struct model *model, uint64_t va, int64_t bytes) {
    for (int64_t done = 0; done < bytes; done += PAGE_SIZE) {
        struct model_page *page = page_of(model, va + (uint64_t)done);
        if (page == NULL || page->object == NULL)
            continue;
        struct model_object *object = page->object;
        page->object = NULL;
        object->maps--;
        forget_object(object);
    }
}

static void forget_far(struct model *model) {
    for (unsigned i = 0; i < FAR; i++) {
        bool used = false;
        for (unsigned n = 0; n < model->far[i].pages; n++)
            used = used || model->far[i].page[n].object != NULL;
        if (!used)
            model->far[i].pages = 0;
    }
}

static void some_range(struct model *model, uint64_t *va, uint64_t *size) {
    struct model_far *range = &model->far[below(FAR)];
    if (range->pages != 0 && below(2) == 0) {
        unsigned first = below(range->pages);
        *va = range->start + first * PAGE_SIZE;
        *size = (1 + below(range->pages - first)) * (uint64_t)PAGE_SIZE;
        return;
    }
    unsigned first = below(SPOTS);
    *va = WINDOW + first * PAGE_SIZE;
    *size = (1 + below(SPOTS - first)) * (uint64_t)PAGE_SIZE;
    if (below(8) == 0)
        *size = GMK_USER_MAX - *va; /* all that is above */
}

static void do_unmap(struct model *model) {
    uint64_t va, size;
    some_range(model, &va, &size);
    int64_t done = space_unmap_step(&model->space, va, size);
    if (note(done) < 0) {
        assert_true(done == GMK_ENOMEM || done == GMK_ELIMIT || done == GMK_EBUDGET);
        return;
    }
    assert_true(done > 0 && (uint64_t)done <= size);
    unmap_model(model, va, done < (int64_t)(SPOTS * PAGE_SIZE) ? done : SPOTS * PAGE_SIZE);
    for (unsigned i = 0; i < FAR; i++) { /* those above, when all of it was asked for */
        struct model_far *range = &model->far[i];
        for (unsigned n = 0; n < range->pages; n++)
            if (range->start + n * PAGE_SIZE - va < (uint64_t)done)
                unmap_model(model, range->start + n * PAGE_SIZE, PAGE_SIZE);
    }
    forget_far(model);
}

static void protect_model(struct model *model, uint64_t va, int64_t bytes, unsigned prot) {
    for (int64_t done = 0; done < bytes && done < (int64_t)(SPOTS * PAGE_SIZE); done += PAGE_SIZE) {
        struct model_page *page = page_of(model, va + (uint64_t)done);
        if (page == NULL || page->object == NULL)
            continue;
        assert_int_equal(prot & RWX & ~page->prot_max, 0);
        page->prot = (uint8_t)(prot & RWX);
    }
}

static void do_protect(struct model *model) {
    uint64_t va, size;
    unsigned prot = some_prot();
    some_range(model, &va, &size);
    if (size > SPOTS * PAGE_SIZE)
        return;
    int64_t done = space_protect_step(&model->space, va, size, prot);
    if (note(done) == GMK_ERIGHTS) {
        bool found = false;
        for (uint64_t at = va; at < va + size; at += PAGE_SIZE) {
            struct model_page *page = page_of(model, at);
            found = found ||
                    (page != NULL && page->object != NULL && (prot & RWX & ~page->prot_max) != 0);
        }
        assert_true(found);
    }
    if (done < 0) {
        assert_true(done == GMK_ENOMEM || done == GMK_ELIMIT || done == GMK_EBUDGET ||
                    done == GMK_ERIGHTS);
        return;
    }
    assert_true(done > 0 && (uint64_t)done <= size);
    protect_model(model, va, done, prot);
}

/* ---- Random life ------------------------------------------------------------------------------------------ */

static void check_all(void) {
    for (unsigned i = 0; i < SPACES; i++)
        space_check(&models[i].space);
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i].memory != NULL)
            memory_check(objects[i].memory);
}

static void one_step(bool faults) {
    struct model *model = &models[below(SPACES)];
    machine_be(below(MACHINE_CPUS));
    if (faults && below(2) == 0)
        frame_fail_after(1 + below(3));
    switch (below(8)) {
    case 0:
        object_step();
        break;
    case 1:
        do_map(model);
        break;
    case 2:
        if (below(3) == 0)
            do_unmap(model);
        break;
    case 3:
        do_protect(model);
        break;
    default:
        for (unsigned i = 0; i < 8; i++)
            access_page(model, some_address(model));
    }
    frame_fail_after(0);
}

static void random_life(uint64_t seed, bool tags, bool faults, uint64_t frames, unsigned steps) {
    memset(models, 0, sizeof models);
    memset(objects, 0, sizeof objects);
    machine_start(tags);
    random_state = rand_seed(seed);
    arch_irq_disable();
    for (unsigned i = 0; i < MACHINE_CPUS; i++)
        machine[i].irq_on = false;
    for (unsigned i = 0; i < SPACES; i++)
        open_space(&models[i], frames);
    for (unsigned i = 0; i < steps; i++) {
        one_step(faults);
        if (i % 16 == 0)
            check_all();
        machine_reap();
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i].memory != NULL && objects[i].open)
            memory_end(objects[i].memory, objects[i].serial);
    for (unsigned i = 0; i < SPACES; i++)
        close_space(&models[i]);
    for (unsigned i = 0; i < SPACES; i++)
        assert_int_equal(frames_of(models[i].factory), 0);
    assert_int_equal(machine_user_frames(), 0);
    assert_int_equal(memory_pool.used, 0);
    assert_int_equal(mapping_cache.used, 0);
}

static void random_programs_see_what_the_model_says(void **state) {
    (void)state;
    uint64_t seed = machine_seed();
    memset(refused, 0, sizeof refused);
    for (unsigned i = 0; i < 6; i++)
        random_life(seed + i, i % 2 != 0, false, 1500, 6000);
    assert_int_equal(refused[-GMK_ENOMEM] + refused[-GMK_EBUDGET], 0);
    assert_true(refused[-GMK_EFAULT] > 100 && refused[-GMK_EEXIST] > 10);
}

static void missing_frames_leave_everything_as_it_was(void **state) {
    (void)state;
    uint64_t seed = machine_seed();
    memset(refused, 0, sizeof refused);
    for (unsigned i = 0; i < 6; i++)
        random_life(seed + i, i % 2 != 0, true, 1500, 6000);
    printf("%u without memory\n", refused[-GMK_ENOMEM]);
    assert_true(refused[-GMK_ENOMEM] > 100);
}

static void budgets_that_are_used_up_harm_nobody(void **state) {
    (void)state;
    uint64_t seed = machine_seed();
    memset(refused, 0, sizeof refused);
    for (unsigned i = 0; i < 6; i++)
        random_life(seed + i, i % 2 != 0, false, 20 + 20 * i, 4000);
    assert_true(refused[-GMK_EBUDGET] > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_see_what_the_model_says),
        cmocka_unit_test(missing_frames_leave_everything_as_it_was),
        cmocka_unit_test(budgets_that_are_used_up_harm_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
