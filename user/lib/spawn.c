/* Spawn: an empty unit, a program's pages in it, a stack with arguments, a thread. */
#include "user/lib/spawn.h"

#include "lib/cpio.h"
#include "lib/elf_load.h"
#include "lib/elf_stack.h"
#include "lib/rand.h"
#include "user/lib/memory.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"

#include <string.h>

/* Movable programs lie in [.., ..): above what fixed ones use, below what the kernel chooses. */
#define PROGRAM_LOW  UINT64_C(0x10000000000)
#define PROGRAM_HIGH UINT64_C(0x400000000000)
#define ARGS_MAX     UINT64_C(0x4000) /* of the stack: arguments, environment, handles */

/* The archive, mapped at its first use. A program has it at GMK_AT_INITRD, or as a capability. */
const void *initrd_get(size_t *size) {
    static uint64_t at, bytes;
    gmk_handle_t memory = handle_find("initrd");
    gmk_memory_info_t info = {0};
    if (at == 0) {
        at = start_aux(GMK_AT_INITRD);
        bytes = start_aux(GMK_AT_INITRD_SIZE);
    }
    if (at == 0 && memory != 0 && sys_memory_info(memory, &info) == GMK_OK) {
        int64_t mapped = memory_map_at(GMK_SELF_UNIT, memory, 0, 0, info.size, GMK_PROT_READ);
        at = mapped > 0 ? (uint64_t)mapped : 0;
        bytes = info.size;
    }
    *size = at != 0 ? bytes : 0;
    return (const void *)at;
}

int spawn_from_initrd(struct spawn *what, const char *path) {
    size_t size;
    const void *archive = initrd_get(&size);
    struct cpio_entry file;
    *what = (struct spawn){.name = path};
    for (const char *at = path; *at != '\0'; at++) {
        if (*at == '/')
            what->name = at + 1;
    }
    if (archive == NULL || !cpio_find(archive, size, path, &file))
        return GMK_ENOENT;
    what->image = file.data;
    what->size = file.size;
    return GMK_OK;
}

static gmk_handle_t factory_of(const struct spawn *what) {
    return what->factory != 0 ? what->factory : GMK_SELF_FACTORY;
}

/* Random numbers from the kernel, where this program may have them; else from its own start. */
static uint64_t random_number(const struct spawn *what) {
    static _Atomic uint64_t own;
    uint64_t seed = what->seed;
    if (seed != 0)
        return rand_splitmix(&seed);
    int64_t number = sys_system_random(handle_find("system"));
    if (number >= 0)
        return (uint64_t)number;
    const uint64_t *start = (const uint64_t *)start_aux(ELF_AUX_RANDOM);
    /* Relaxed: only that each caller gets another number. */
    uint64_t state = start[0] + atomic_fetch_add_explicit(&own, start[1] | 1, memory_order_relaxed);
    return rand_splitmix(&state);
}

/* For elf_place(): into this program's own mapping of the memory. */
static bool write_memory(void *arg, uint64_t offset, const void *bytes, size_t size) {
    memcpy((char *)arg + offset, bytes, size);
    return true;
}

/* Fills the memory, which nobody else sees yet. */
static int fill(const struct elf_plan *plan, uint64_t distance, gmk_handle_t memory) {
    uint64_t size = plan->high - plan->low;
    int64_t at = memory_map_at(GMK_SELF_UNIT, memory, 0, 0, size, GMK_PROT_READ | GMK_PROT_WRITE);
    if (at < 0)
        return (int)at;
    (void)elf_place(plan, distance, write_memory, (void *)at);
    return memory_free((uint64_t)at, size);
}

static int map_parts(const struct elf_plan *plan, uint64_t distance, gmk_handle_t memory,
                     gmk_handle_t unit) {
    for (unsigned i = 0; i < plan->part_count; i++) {
        const struct elf_part *part = &plan->parts[i];
        unsigned prot = GMK_MAP_FIXED | GMK_PROT_READ;
        if ((part->rights & ELF_WRITE) != 0)
            prot |= GMK_PROT_WRITE;
        if ((part->rights & ELF_EXEC) != 0)
            prot |= GMK_PROT_EXEC;
        int64_t at = memory_map_at(unit, memory, part->start + distance, part->start - plan->low,
                                   part->end - part->start, prot);
        if (at < 0)
            return (int)at;
    }
    return GMK_OK;
}

static int load_program(const struct spawn *what, const struct elf_plan *plan,
                        struct spawned *child) {
    uint64_t distance = elf_distance(plan, random_number(what), PROGRAM_LOW, PROGRAM_HIGH);
    int64_t memory = sys_memory_create(factory_of(what), GMK_MEMORY_ANON, plan->high - plan->low);
    if (memory < 0)
        return (int)memory;
    int status = fill(plan, distance, (gmk_handle_t)memory);
    if (status == GMK_OK)
        status = map_parts(plan, distance, (gmk_handle_t)memory, child->unit);
    /* From now on the child's mappings alone keep it. */
    (void)sys_cap_drop((gmk_handle_t)memory);
    child->entry = plan->entry + distance;
    child->table = plan->table != 0 ? plan->table + distance : 0;
    child->segments = plan->elf.segment_count;
    return status;
}

/* Where the kernel likes, which is random, too. */
static int make_stack(const struct spawn *what, struct spawned *child) {
    int64_t memory = sys_memory_create(factory_of(what), GMK_MEMORY_ANON, SPAWN_STACK_SIZE);
    if (memory < 0)
        return (int)memory;
    child->stack_memory = (gmk_handle_t)memory;
    int64_t at = memory_map_at(child->unit, child->stack_memory, 0, 0, SPAWN_STACK_SIZE,
                               GMK_PROT_READ | GMK_PROT_WRITE | GMK_MAP_GUARD);
    if (at < 0)
        return (int)at;
    child->stack_top = (uint64_t)at + SPAWN_STACK_SIZE;
    return GMK_OK;
}

int spawn_prepare(struct spawn *what, struct spawned *child) {
    uint16_t priority = what->priority != 0 ? what->priority : GMK_PRIORITY_NORMAL;
    gmk_unit_args_t args = {
        .frames = what->frames != 0 ? what->frames : SPAWN_FRAMES,
        .objects = what->objects != 0 ? what->objects : SPAWN_OBJECTS,
        .cpu_permille = what->cpu_permille,
        .priority_max = what->priority_max > priority ? what->priority_max : priority,
    };
    const char *name = what->name != NULL ? what->name : what->argv[0];
    text_copy(args.name, sizeof args.name, name);
    *child = (struct spawned){.what = what};
    struct elf_plan plan;
    (void)elf_plan(&plan, what->image, what->size, GMK_USER_MIN, PROGRAM_HIGH);
    what->error = plan.error;
    if (plan.error != NULL)
        return GMK_EINVAL;
    int64_t unit = sys_unit_create(factory_of(what), &args);
    if (unit < 0)
        return (int)unit;
    child->unit = (gmk_handle_t)unit;
    int status = load_program(what, &plan, child);
    if (status == GMK_OK)
        status = make_stack(what, child);
    if (status != GMK_OK)
        spawn_end(child);
    return status;
}

int spawn_give(struct spawned *child, const char *name, gmk_handle_t handle, unsigned rights,
               uint64_t badge) {
    if (child->given == SPAWN_HANDLES_MAX)
        return GMK_ELIMIT;
    int64_t given = sys_cap_grant(child->unit, handle, rights, badge);
    if (given < 0)
        return (int)given;
    gmk_named_handle_t *slot = &child->handles[child->given++];
    text_copy(slot->name, sizeof slot->name, name);
    slot->handle = (gmk_handle_t)given;
    return GMK_OK;
}

/* Writes arguments and handles to the upper end of the stack; returns the stack pointer. */
static int64_t write_stack(const struct spawn *what, const struct spawned *child) {
    static const char *const none[] = {NULL};
    const char *const just_name[] = {what->name, NULL};
    const struct elf_aux aux[] = {
        {ELF_AUX_PHDR, child->table},     {ELF_AUX_PHENT, ELF_SEGMENT_SIZE},
        {ELF_AUX_PHNUM, child->segments}, {ELF_AUX_PAGESZ, 4096},
        {ELF_AUX_ENTRY, child->entry},    {ELF_AUX_NULL, 0},
    };
    const struct elf_stack stack = {
        .argv = what->argv != NULL ? what->argv : just_name,
        .env = what->env != NULL ? what->env : none,
        .aux = aux,
        .handles = child->handles,
        .random = {random_number(what), random_number(what)},
    };
    int64_t at = memory_map_at(GMK_SELF_UNIT, child->stack_memory, 0, SPAWN_STACK_SIZE - ARGS_MAX,
                               ARGS_MAX, GMK_PROT_READ | GMK_PROT_WRITE);
    if (at < 0)
        return at;
    uint64_t pointer = elf_stack_build(&stack, child->stack_top, (void *)at, ARGS_MAX);
    (void)memory_free((uint64_t)at, ARGS_MAX);
    return pointer != 0 ? (int64_t)pointer : GMK_ERANGE;
}

int spawn_start(struct spawned *child) {
    const struct spawn *what = child->what;
    int64_t stack = write_stack(what, child);
    if (stack < 0)
        return (int)stack;
    gmk_thread_args_t args = {
        .name = "main",
        .entry = child->entry,
        .stack = (uint64_t)stack,
        .priority = what->priority != 0 ? what->priority : GMK_PRIORITY_NORMAL,
        .flags = (uint16_t)(GMK_THREAD_START | GMK_THREAD_DETACHED | what->flags),
    };
    int64_t status = sys_thread_create(child->unit, &args);
    if (status == GMK_OK) {
        (void)sys_cap_drop(child->stack_memory); /* the child's mapping keeps it */
        child->stack_memory = 0;
    }
    return (int)status;
}

int64_t spawn_wait(struct spawned *child) {
    uint64_t bits;
    gmk_unit_info_t info = {0};
    int64_t notify = sys_notify_create(GMK_SELF_FACTORY);
    if (notify < 0)
        return notify;
    int64_t status = sys_unit_watch(child->unit, (gmk_handle_t)notify, 1);
    if (status == GMK_OK)
        status = sys_notify_wait((gmk_handle_t)notify, 1, GMK_FOREVER, &bits);
    if (status == GMK_OK)
        status = sys_unit_info(child->unit, &info);
    (void)sys_cap_drop((gmk_handle_t)notify);
    spawn_end(child);
    return status == GMK_OK ? info.status : status;
}

void spawn_end(struct spawned *child) {
    if (child->stack_memory != 0)
        (void)sys_cap_drop(child->stack_memory);
    (void)sys_cap_drop(child->unit);
    child->stack_memory = 0;
}

int64_t spawn_run(struct spawn *what) {
    struct spawned child;
    int status = spawn_prepare(what, &child);
    if (status != GMK_OK)
        return status;
    status = spawn_start(&child);
    if (status == GMK_OK)
        return spawn_wait(&child);
    spawn_end(&child);
    return status;
}
