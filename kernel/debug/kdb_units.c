/* Monitor, units: who runs in user mode, what each holds, what it maps, and how to end it.
 *
 * Everything is looked at while it changes. So nothing is followed that could go: units, threads, spaces
 * and objects are memory of one type for ever, what is shown is copied under a lock, or word by
 * word where a torn line does no harm; texts are cut and made printable. Every table is bounded, and
 * ctrl-C ends it. */
#include <string.h>

#include "ggmk/error.h"
#include "kernel/debug/kdb.h"
#include "kernel/ipc/port.h"
#include "kernel/sched/thread.h"

#define MS     1000000ull
#define RIGHTS 5u

struct name {
    char text[GMK_UNIT_NAME_MAX];
};

/* A name that may be changing: cut, and without control characters. */
static struct name printable(const char *from) {
    struct name name = {{0}};
    for (unsigned i = 0; i + 1u < sizeof name.text && from[i] != '\0'; i++)
        name.text[i] = (char)(from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?');
    return name;
}

static const char *type_name(unsigned type) {
    static const char *const names[GMK_CAP_TYPES] = {
#define NAME(name, value, what) [value] = #name,
        GMK_CAP_LIST(NAME)
#undef NAME
    };
    return type < GMK_CAP_TYPES ? names[type] : "?";
}

/* What a thread waits for, shortly: "RECV", "NOTIFY". */
static const char *wait_name(unsigned kind) {
    static const char *const names[BLOCK_KINDS] = {
#define NAME(name, waits) [name] = #name,
        BLOCK_LIST(NAME)
#undef NAME
    };
    return kind == BLOCK_NONE || kind >= BLOCK_KINDS ? "" : names[kind] + sizeof "BLOCK_" - 1u;
}

/* ---- Units ------------------------------------------------------------------------------- */

static const char *unit_state_name(unsigned state) {
    static const char *const names[] = {"new", "alive", "dying", "dead"};
    return state < sizeof names / sizeof names[0] ? names[state] : "?";
}

/* The unit of a number that the user typed; complains and returns NULL where there is none. */
static struct unit *unit_arg(const struct kdb_call *call, unsigned i) {
    uint64_t id;
    if (!kdb_arg(call, i, 10, UINT32_MAX, &id))
        return NULL;
    for (unsigned at = 0; at < UNITS_MAX; at++)
        if (units[at] != NULL && units[at]->object.serial != 0 && units[at]->id == id)
            return units[at];
    kdb_print("there is no unit %u: units lists them\n", (unsigned)id);
    return NULL;
}

static void show_unit(void *arg, struct unit *unit) {
    (void)arg;
    gmk_unit_info_t info;
    if (kdb_interrupted() || unit_info(unit, unit->object.serial, &info) != GMK_OK)
        return;
    kdb_print("%5u %-5s %4u %4u %8llu/%-8llu %6llu/%-6llu %8llu  %s\n", info.id,
              unit_state_name(info.state), info.threads, info.caps,
              (unsigned long long)info.frames_used * (PAGE_SIZE / 1024u),
              (unsigned long long)info.frames_max * (PAGE_SIZE / 1024u),
              (unsigned long long)info.objects_used, (unsigned long long)info.objects_max,
              (unsigned long long)(info.run_ns / MS), printable(info.name).text);
}

static void cmd_units(const struct kdb_call *call) {
    (void)call;
    kdb_print(" unit state thr. caps      KiB used/most     objects       ms  name\n");
    unit_each(show_unit, NULL);
}

/* ---- Threads ------------------------------------------------------------------------------- */

static void show_user_thread(void *arg, const struct thread *t) {
    (void)arg;
    if (t->unit == NULL || kdb_interrupted())
        return;
    kdb_print("%5u %5u %-7s %-9s %3u/%-3u cpu %2u %8llu ms %9llu  %s: %s\n", t->id, t->unit->id,
              kdb_thread_state(t->state), wait_name(t->block.kind), t->assigned, t->priority,
              t->cpu, (unsigned long long)(t->run_cycles / arch_cycles_khz()),
              (unsigned long long)t->switches, printable(t->unit->name).text,
              printable(t->name).text);
}

static void cmd_ps(const struct kdb_call *call) {
    (void)call;
    kdb_print("    id  unit state   waits     own/now         time     switches  name\n");
    thread_each(show_user_thread, NULL);
}

/* ---- Capabilities ------------------------------------------------------------------------------ */

static void cmd_caps(const struct kdb_call *call) {
    static const char letters[RIGHTS + 1] = "RWGEM"; /* in the order of their bits */
    struct unit *unit = unit_arg(call, 0);
    if (unit == NULL)
        return;
    kdb_print("slot handle   type     rights depth badge            object\n");
    for (unsigned slot = 1; slot < GMK_CAPS_MAX && !kdb_interrupted(); slot++) {
        const struct cap *cap = &unit->caps[slot];
        uint64_t head = atomic_load_explicit(&cap->head, memory_order_acquire);
        char rights[RIGHTS + 1];
        if ((uint8_t)head == GMK_CAP_NONE)
            continue;
        for (unsigned i = 0; i < RIGHTS; i++)
            rights[i] = (char)(head >> (8u + i) & 1u ? letters[i] : '-');
        rights[RIGHTS] = '\0';
        kdb_print("%4u %08x %-8s %-6s %5u %016llx %p.%u\n", slot, GMK_HANDLE(slot, head >> 32),
                  type_name((uint8_t)head), rights, (unsigned)(uint8_t)(head >> 16),
                  (unsigned long long)cap->badge, (void *)cap->object, cap->serial);
    }
    kdb_print("R read, W write, G grant, E execute, M manage\n");
}

/* ---- Ports -------------------------------------------------------------------------------------- */

struct port_seen {
    uint32_t waiting, receivers, server, caller;
    bool bound;
};

/* IF off only here: at most UNIT_THREADS_MAX receivers are counted. */
static bool look_at_port(struct port *port, uint32_t serial, struct port_seen *seen) {
    bool irq = arch_irq_disable();
    bool lives = object_enter(&port->object, serial);
    if (lives) {
        *seen = (struct port_seen){.waiting = port->waiting, .bound = port->bound.notify != NULL};
        struct thread *t = port->receivers;
        for (; t != NULL && seen->receivers < UNIT_THREADS_MAX; t = t->block.next)
            seen->receivers++;
        seen->server = port->server != NULL ? port->server->id : 0;
        seen->caller = port->callers != NULL ? port->callers->id : 0;
        object_leave(&port->object);
    }
    arch_irq_restore(irq);
    return lives;
}

/* Every port has a first capability, in some unit. */
static void show_ports(void *arg, struct unit *unit) {
    (void)arg;
    for (unsigned slot = 1; slot < GMK_CAPS_MAX && !kdb_interrupted(); slot++) {
        const struct cap *cap = &unit->caps[slot];
        uint64_t head = atomic_load_explicit(&cap->head, memory_order_acquire);
        struct object *object = cap->object;
        uint32_t serial = cap->serial;
        struct port_seen seen;
        /* Read whole? Then object and serial belong to this head. */
        if ((uint8_t)head != GMK_CAP_PORT || (uint8_t)(head >> 16) != 0 ||
            atomic_load_explicit(&cap->head, memory_order_acquire) != head ||
            !look_at_port((struct port *)object, serial, &seen))
            continue;
        kdb_print("%5u %4u %p %7u %9u %6u %5u %s %s\n", unit->id, slot, (void *)object,
                  seen.waiting, seen.receivers, seen.server, seen.caller,
                  seen.bound ? "yes" : "no ", printable(unit->name).text);
    }
}

static void cmd_ports(const struct kdb_call *call) {
    (void)call;
    kdb_print(" unit slot object           callers receivers server first bound  name\n");
    unit_each(show_ports, NULL);
}

/* ---- Mappings ---------------------------------------------------------------------------------- */

static void cmd_maps(const struct kdb_call *call) {
    static const char *const kinds[] = {"?", "anon", "wired", "contig", "device"};
    struct unit *unit = unit_arg(call, 0);
    struct mapping m;
    if (unit == NULL)
        return;
    for (unsigned i = 0; i < SPACE_MAPPINGS_MAX && !kdb_interrupted(); i++) {
        bool irq = arch_irq_disable();
        bool there = space_mapping(&unit->space, i, &m);
        /* A memory object's memory stays one: a wrong answer at worst. */
        unsigned kind = there ? m.memory->kind : 0;
        arch_irq_restore(irq);
        if (!there)
            break;
        kdb_print("%012llx-%012llx %9llu KiB %c%c%c%s %-6s %p+%llx\n", (unsigned long long)m.start,
                  (unsigned long long)m.end - 1u, (unsigned long long)(m.end - m.start) / 1024u,
                  m.prot & GMK_PROT_READ ? 'r' : '-', m.prot & GMK_PROT_WRITE ? 'w' : '-',
                  m.prot & GMK_PROT_EXEC ? 'x' : '-', m.flags & GMK_MAP_PRIVATE ? "p" : " ",
                  kind < sizeof kinds / sizeof kinds[0] ? kinds[kind] : "?", (void *)m.memory,
                  (unsigned long long)m.offset);
    }
}

/* ---- Ends ------------------------------------------------------------------------------------------ */

static void kill_thread(uint64_t id) {
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        struct thread *t = thread_users[i];
        if (t == NULL || t->id != id || t->state == THREAD_EXITED)
            continue;
        bool irq = arch_irq_disable();
        thread_user_kill(t, t->object.serial, GMK_EKILLED);
        arch_irq_restore(irq);
        return;
    }
    kdb_print("there is no user thread %u: ps lists them\n", (unsigned)id);
}

static void cmd_kill(const struct kdb_call *call) {
    uint64_t id;
    if (strcmp(call->argv[0], "unit") == 0) {
        struct unit *unit = unit_arg(call, 1);
        if (unit == NULL)
            return;
        bool irq = arch_irq_disable();
        unit_kill(unit, GMK_EKILLED);
        arch_irq_restore(irq);
    } else if (strcmp(call->argv[0], "thread") == 0) {
        if (kdb_arg(call, 1, 10, UINT32_MAX, &id))
            kill_thread(id);
    } else {
        kdb_print("kill %s: unit or thread, and its number\n", call->argv[0]);
    }
}

const struct kdb_command kdb_unit_commands[] = {
    {"units", "", "units, and what they use", 0, 0, false, cmd_units},
    {"ps", "", "user threads, and what they wait for", 0, 0, false, cmd_ps},
    {"caps", "UNIT", "the capabilities of a unit", 1, 1, false, cmd_caps},
    {"ports", "", "ports, and who waits there", 0, 0, false, cmd_ports},
    {"maps", "UNIT", "the memory of a unit", 1, 1, false, cmd_maps},
    {"kill", "unit|thread ID", "ends it", 2, 2, false, cmd_kill},
    {0},
};
