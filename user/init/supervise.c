/* Supervise: one notification, a bit for each program. */
#include "user/init/supervise.h"

#include "user/lib/print.h"
#include "user/lib/spawn.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"

#include <string.h>

#define PAUSE_NS     UINT64_C(50000000)
#define PAUSE_NS_MAX UINT64_C(5000000000)

enum state { WAITING, RUNNING, PAUSED, DONE };

struct child {
    enum state state;
    struct spawned unit; /* RUNNING */
    bool started;        /* at least once */
    unsigned restarts;
    uint64_t pause_ns, until_ns; /* PAUSED */
};

static struct {
    const struct conf *conf;
    gmk_handle_t notify; /* bit i: program i has ended */
    gmk_handle_t objects[CONF_OBJECTS_MAX];
    struct child children[CONF_PROGRAMS_MAX];
    unsigned failed;
} all;

GMK_STATIC_ASSERT(CONF_PROGRAMS_MAX <= 64, "a bit for each");

/* ---- Capabilities --------------------------------------------------------------------------------- */

static void make_objects(void) {
    for (unsigned i = 0; i < all.conf->object_count; i++) {
        const struct conf_object *object = &all.conf->objects[i];
        int64_t handle = object->is_port ? sys_port_create(GMK_SELF_FACTORY)
                                         : sys_notify_create(GMK_SELF_FACTORY);
        all.objects[i] = handle > 0 ? (gmk_handle_t)handle : 0;
        if (handle < 0)
            print("line %u: %s cannot be made: %s\n", object->line, object->name,
                  gmk_strerror((int)handle));
    }
}

/* What the configuration made under this name, or what init itself was given. */
static gmk_handle_t find_handle(const char *name) {
    for (unsigned i = 0; i < all.conf->object_count; i++) {
        if (strcmp(all.conf->objects[i].name, name) == 0)
            return all.objects[i];
    }
    return handle_find(name);
}

/* A capability that cannot be given is told; the program starts without it. */
static void give(struct spawned *child, const struct conf_give *give) {
    gmk_handle_t handle = find_handle(give->name);
    if (handle == 0) {
        print("line %u: there is no %s to give\n", give->line, give->name);
        return;
    }
    int status = spawn_give(child, give->as, handle, give->rights, 0);
    if (status != GMK_OK)
        print("line %u: %s cannot be given: %s\n", give->line, give->name, gmk_strerror(status));
}

/* ---- One program ------------------------------------------------------------------------------------- */

static int start_unit(const struct conf_program *program, struct spawned *unit, uint64_t bit) {
    struct spawn what;
    const char *path = program->argv[0];
    int status = spawn_from_initrd(&what, path[0] == '/' ? path + 1 : path);
    what.name = program->name;
    what.argv = program->argv;
    what.frames = program->frames;
    what.objects = program->objects;
    what.cpu_permille = program->cpu_permille;
    what.priority = program->priority;
    what.priority_max = program->priority_max;
    what.flags = program->fpu ? GMK_THREAD_FPU : 0;
    if (status == GMK_OK)
        status = spawn_prepare(&what, unit);
    if (status != GMK_OK) {
        print("line %u: %s cannot be started: %s\n", program->line, path,
              what.error != NULL ? what.error : gmk_strerror(status));
        return status;
    }
    for (unsigned i = 0; i < program->give_count; i++)
        give(unit, &program->gives[i]);
    status = (int)sys_unit_watch(unit->unit, all.notify, bit);
    if (status == GMK_OK)
        status = spawn_start(unit);
    if (status != GMK_OK) {
        print("line %u: %s cannot be started: %s\n", program->line, path, gmk_strerror(status));
        spawn_end(unit);
    }
    return status;
}

static void start(unsigned i) {
    const struct conf_program *program = &all.conf->programs[i];
    struct child *child = &all.children[i];
    bool good =
        program->argv[0] != NULL && start_unit(program, &child->unit, UINT64_C(1) << i) == GMK_OK;
    child->state = good ? RUNNING : DONE;
    child->started = true;
    all.failed += !good;
}

static bool runs_again(const struct conf_program *program, struct child *child, int64_t status) {
    if (program->restart == CONF_NEVER || (program->restart == CONF_FAILED && status == 0))
        return false;
    if (child->restarts < program->restarts_max)
        return true;
    print("%s is not started again: %u times were enough\n", program->name, child->restarts);
    return false;
}

static void ended(unsigned i) {
    const struct conf_program *program = &all.conf->programs[i];
    struct child *child = &all.children[i];
    gmk_unit_info_t info = {0};
    if (child->state != RUNNING || sys_unit_info(child->unit.unit, &info) != GMK_OK ||
        info.state != GMK_UNIT_DEAD)
        return;
    spawn_end(&child->unit);
    if (info.status < 0)
        print("%s has ended: %s\n", program->name, gmk_strerror((int)info.status));
    else if (info.status > 0)
        print("%s has ended with status %lld\n", program->name, (long long)info.status);
    if (!runs_again(program, child, info.status)) {
        child->state = DONE;
        all.failed += info.status != 0;
        return;
    }
    child->restarts++;
    child->pause_ns = child->pause_ns == 0 ? PAUSE_NS : child->pause_ns * 2;
    if (child->pause_ns > PAUSE_NS_MAX)
        child->pause_ns = PAUSE_NS_MAX;
    child->until_ns = (uint64_t)sys_time() + child->pause_ns;
    child->state = PAUSED;
}

/* ---- All of them --------------------------------------------------------------------------------------- */

/* May the program start, which has not yet? */
static bool may_start(unsigned i) {
    const struct conf_program *program = &all.conf->programs[i];
    for (unsigned j = 0; j < program->waits; j++) {
        if (all.children[j].state != DONE)
            return false;
    }
    const struct conf_program *after =
        program->after != NULL ? conf_find(all.conf, program->after) : NULL;
    if (after == NULL)
        return true;
    const struct child *other = &all.children[after - all.conf->programs];
    return program->after_end ? other->state == DONE : other->started;
}

/* Starts whatever may start, which may let others start. True: something was. */
static bool start_some(uint64_t now_ns) {
    bool any = false;
    for (unsigned i = 0; i < all.conf->program_count; i++) {
        struct child *child = &all.children[i];
        if ((child->state == WAITING && may_start(i)) ||
            (child->state == PAUSED && now_ns >= child->until_ns)) {
            start(i);
            any = true;
        }
    }
    return any;
}

/* How long to sleep at most. 0: nothing runs or pauses. */
static uint64_t patience(uint64_t now_ns) {
    uint64_t least = 0;
    for (unsigned i = 0; i < all.conf->program_count; i++) {
        const struct child *child = &all.children[i];
        uint64_t wait = GMK_FOREVER;
        if (child->state == PAUSED) /* later than now_ns: else it would have been started */
            wait = child->until_ns - now_ns;
        else if (child->state != RUNNING)
            continue;
        if (least == 0 || wait < least)
            least = wait;
    }
    return least;
}

/* Nothing runs any more, and nothing can start: those left wait for each other. */
static void give_up(void) {
    for (unsigned i = 0; i < all.conf->program_count; i++) {
        const struct conf_program *program = &all.conf->programs[i];
        if (all.children[i].state == DONE)
            continue;
        print("line %u: %s waits in vain: those before it or after whom it starts wait for it\n",
              program->line, program->name);
        all.failed++;
    }
}

unsigned supervise(const struct conf *conf) {
    all.conf = conf;
    int64_t notify = sys_notify_create(GMK_SELF_FACTORY);
    if (notify < 0)
        program_die("no notification: %s", gmk_strerror((int)notify));
    all.notify = (gmk_handle_t)notify;
    make_objects();
    for (;;) {
        uint64_t now_ns = (uint64_t)sys_time(), bits = 0;
        if (start_some(now_ns))
            continue;
        uint64_t timeout_ns = patience(now_ns);
        if (timeout_ns == 0)
            break;
        if (sys_notify_wait(all.notify, UINT64_MAX, timeout_ns, &bits) != GMK_OK)
            continue; /* a pause is over */
        for (unsigned i = 0; i < conf->program_count; i++) {
            if ((bits >> i & 1) != 0)
                ended(i);
        }
    }
    give_up();
    return all.failed;
}
