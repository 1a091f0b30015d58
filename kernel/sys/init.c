/* Init: the first unit, which gets everything there is.
 *
 * The kernel starts one program, a file of the archive that came with it. It is loaded as any loader
 * does it (lib/elf_load.h), with memory objects that its own budget pays for, and it finds in its
 * table the machine, all channel names and the archive. All others it starts itself.
 *
 * Runs on the boot thread, IF on; what wants IF off gets it in short stretches, a page at a time. What
 * goes wrong here is told in the log: then there is no user space, and the monitor is. */
#include "ggmk/abi.h"
#include "kernel/core/config.h"
#include "kernel/core/initrd.h"
#include "kernel/core/kernel.h"
#include "kernel/core/log.h"
#include "kernel/debug/kdb.h"
#include "kernel/ipc/channel.h"
#include "kernel/mem/memory.h"
#include "kernel/sys/sys.h"
#include "lib/elf_load.h"
#include "lib/elf_stack.h"

#include <string.h>

#define INIT_PATH       "sbin/init"
#define INIT_STACK      UINT64_C(0x20000)
#define INIT_PROGRAM    UINT64_C(0x10000000000) /* movable programs lie in [.., ..) */
#define INIT_PROGRAM_TO UINT64_C(0x400000000000)
#define RESERVE_FRAMES  64u /* of the machine's: what no budget of a unit ever gets */
#define RESERVE_OBJECTS 8u
#define ARCHIVE_SLOT    5u

/* What is being made; static because a plan is large. Boot thread only. */
static struct {
    struct unit *unit;
    struct elf_plan plan;
    uint64_t distance, stack_top, archive;
    const char *failed; /* which step did not work, */
    int status;         /* and why */
} init;
static uint32_t init_id; /* of the unit; 0: none was started */

static bool fails(const char *step, int status) {
    init.failed = step;
    init.status = status;
    return false;
}

/* An object of whole pages, paid by init. NULL: init.status says why. */
static struct memory *new_memory(uint64_t size) {
    struct memory *memory = NULL;
    bool irq = arch_irq_disable();
    init.status = memory_create(init.unit->factory, GMK_MEMORY_ANON, page_up(size), &memory);
    arch_irq_restore(irq);
    return init.status == GMK_OK ? memory : NULL;
}

/* For elf_place(): copies a page at a time. */
static bool write_memory(void *arg, uint64_t offset, const void *bytes, size_t size) {
    for (size_t done = 0; done < size && init.status == GMK_OK;) {
        size_t step = size - done < PAGE_SIZE ? size - done : PAGE_SIZE;
        bool irq = arch_irq_disable();
        init.status = memory_write(arg, offset + done, (const char *)bytes + done, step);
        arch_irq_restore(irq);
        done += step;
    }
    return init.status == GMK_OK;
}

/* Maps a part; *address gets where. */
static bool map(struct memory *memory, uint64_t *address, uint64_t offset, uint64_t size,
                unsigned prot) {
    bool irq = arch_irq_disable();
    int64_t at =
        space_map(&init.unit->space, memory, memory->object.serial, *address, offset, page_up(size),
                  prot, prot & (GMK_PROT_READ | GMK_PROT_WRITE | GMK_PROT_EXEC));
    arch_irq_restore(irq);
    if (at < 0)
        init.status = (int)at;
    else
        *address = (uint64_t)at;
    return at >= 0;
}

/* From now on its mappings alone keep it. */
static void let_go(struct memory *memory) {
    bool irq = arch_irq_disable();
    memory_end(memory, memory->object.serial);
    arch_irq_restore(irq);
}

static unsigned part_prot(const struct elf_part *part) {
    return GMK_PROT_READ | ((part->rights & ELF_WRITE) != 0 ? GMK_PROT_WRITE : 0) |
           ((part->rights & ELF_EXEC) != 0 ? GMK_PROT_EXEC : 0) | GMK_MAP_FIXED;
}

static bool load_image(const struct cpio_entry *file) {
    struct elf_plan *plan = &init.plan;
    if (!elf_plan(plan, file->data, file->size, GMK_USER_MIN, INIT_PROGRAM_TO))
        return fails(plan->error, GMK_EINVAL);
    init.distance = elf_distance(plan, arch_random(), INIT_PROGRAM, INIT_PROGRAM_TO);
    struct memory *memory = new_memory(plan->high - plan->low);
    if (memory == NULL)
        return fails("making the program's memory", init.status);
    bool good = elf_place(plan, init.distance, write_memory, memory);
    for (unsigned i = 0; i < plan->part_count && good; i++) {
        const struct elf_part *part = &plan->parts[i];
        uint64_t address = part->start + init.distance;
        good = map(memory, &address, part->start - plan->low, part->end - part->start,
                   part_prot(part));
    }
    let_go(memory);
    return good || fails("mapping the program", init.status);
}

/* A copy, so that the archive's pages are objects like all others. */
static bool load_archive(void) {
    size_t size;
    const void *bytes = initrd_bytes(&size);
    struct memory *memory = new_memory(size);
    if (memory == NULL)
        return fails("making memory for the archive", init.status);
    init.archive = 0;
    if (!write_memory(memory, 0, bytes, size) ||
        !map(memory, &init.archive, 0, size, GMK_PROT_READ)) {
        let_go(memory);
        return fails("mapping the archive", init.status);
    }
    bool irq = arch_irq_disable();
    cap_insert_at(init.unit, ARCHIVE_SLOT, &memory->object, GMK_RIGHT_READ | GMK_RIGHT_GRANT, 0);
    arch_irq_restore(irq);
    return true;
}

static void give_capabilities(void) {
    bool irq = arch_irq_disable();
    cap_insert_at(init.unit, GMK_HANDLE_SLOT(GMK_INIT_SYSTEM), system_root(), GMK_RIGHTS_ALL, 0);
    cap_insert_at(init.unit, GMK_HANDLE_SLOT(GMK_INIT_REGISTRY), registry_root(), GMK_RIGHTS_ALL,
                  0);
    arch_irq_restore(irq);
}

static bool make_unit(void) {
    static struct factory *root;
    if (root == NULL)
        root = factory_root(RESERVE_FRAMES);
    gmk_unit_args_t args = {
        .name = "init",
        .frames = root->frames_free,
        .objects = root->objects_free - RESERVE_OBJECTS,
        .priority_max = GMK_PRIORITY_MAX,
    };
    bool irq = arch_irq_disable();
    int status = unit_create(root, &args, GMK_PRIORITY_MAX, &init.unit);
    arch_irq_restore(irq);
    return status == GMK_OK || fails("making the unit", status);
}

/* What init finds on its stack; returns the stack pointer, 0: too little room. */
static uint64_t build_stack(const char *path, void *buffer, size_t size) {
    const struct elf_plan *plan = &init.plan;
    size_t archive_size;
    (void)initrd_bytes(&archive_size);
    const char *const argv[] = {
        path, kernel_config.init_arg[0] != '\0' ? kernel_config.init_arg : NULL, NULL};
    const struct elf_aux aux[] = {
        {ELF_AUX_PHDR, plan->table != 0 ? plan->table + init.distance : 0},
        {ELF_AUX_PHENT, ELF_SEGMENT_SIZE},
        {ELF_AUX_PHNUM, plan->elf.segment_count},
        {ELF_AUX_PAGESZ, PAGE_SIZE},
        {ELF_AUX_ENTRY, plan->entry + init.distance},
        {GMK_AT_INITRD, init.archive},
        {GMK_AT_INITRD_SIZE, archive_size},
        {ELF_AUX_NULL, 0},
    };
    static const gmk_named_handle_t handles[] = {
        {"system", GMK_INIT_SYSTEM},
        {"console", GMK_INIT_SYSTEM},
        {"registry", GMK_INIT_REGISTRY},
        {"initrd", GMK_HANDLE(ARCHIVE_SLOT, 1)},
        {"", 0},
    };
    const struct elf_stack stack = {argv, argv + 2, aux, handles, {arch_random(), arch_random()}};
    return elf_stack_build(&stack, init.stack_top, buffer, size);
}

static bool make_stack(const char *path, uint64_t *pointer) {
    static _Alignas(16) char image[PAGE_SIZE];
    struct memory *memory = new_memory(INIT_STACK);
    uint64_t address = 0;
    if (memory == NULL)
        return fails("making memory for the stack", init.status);
    bool good =
        map(memory, &address, 0, INIT_STACK, GMK_PROT_READ | GMK_PROT_WRITE | GMK_MAP_GUARD);
    init.stack_top = address + INIT_STACK;
    *pointer = build_stack(path, image, sizeof image);
    if (good)
        good = write_memory(memory, INIT_STACK - sizeof image, image, sizeof image);
    let_go(memory);
    return good || fails("making the stack", init.status);
}

static bool start_thread(uint64_t stack) {
    gmk_thread_args_t args = {
        .name = "main",
        .entry = init.plan.entry + init.distance,
        .stack = stack,
        .priority = GMK_PRIORITY_HIGH, /* it looks after all others */
        .flags = GMK_THREAD_DETACHED,
    };
    struct thread *thread = NULL;
    bool irq = arch_irq_disable();
    init_id = init.unit->id;
    int status = thread_user_new(init.unit, &args, &thread);
    if (status == GMK_OK)
        status = thread_user_start(thread, thread->object.serial);
    arch_irq_restore(irq);
    return status == GMK_OK || fails("starting its thread", status);
}

/* The engine cannot be halted from one of its own tasks. */
static void power_off(void *arg) {
    (void)arg;
    kernel_shutdown(init.status == 0 ? 0 : 1);
}

/* There is no user space, or none any more: true when the machine goes on without. */
static bool goes_on(void) {
    if (kernel_config.init_end == CONFIG_INIT_END_STAY)
        return true;
    if (thread_start("poweroff", 0, THREAD_PRIORITY_NORMAL, -1, power_off, NULL) == NULL)
        klog_error("init", "no thread can be started to switch off");
    return false;
}

bool init_start(void) {
    const char *path = kernel_config.init[0] != '\0' ? kernel_config.init : INIT_PATH;
    struct cpio_entry file;
    if (strcmp(path, "none") == 0)
        return false;
    if (!initrd_find(path, &file)) {
        klog_info("init", "no %s in the archive: no user space", path);
        init.status = GMK_ENOENT;
        (void)goes_on();
        return false;
    }
    uint64_t stack;
    bool good = make_unit() && load_image(&file) && load_archive() && make_stack(path, &stack);
    if (good) {
        give_capabilities();
        good = start_thread(stack);
    }
    if (good)
        return true;
    klog_error("init", "%s cannot be started: %s (%s)", path, init.failed,
               gmk_error_name(init.status));
    if (init.unit != NULL) {
        bool irq = arch_irq_disable();
        init_id = 0; /* its end is no news */
        unit_kill(init.unit, init.status);
        arch_irq_restore(irq);
    }
    (void)goes_on();
    return false;
}

void init_ended(const struct unit *unit) {
    if (unit->id != init_id)
        return;
    init.status = (int)unit->status;
    if (unit->status == 0)
        klog_info("init", "has ended");
    else
        klog_error("init", "has ended with status %lld%s%s", (long long)unit->status,
                   unit->status < 0 ? ": " : "", unit->status < 0 ? gmk_strerror(init.status) : "");
    if (goes_on())
        kdb_greet();
}
