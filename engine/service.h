/* Service: the table of interfaces that modules publish for each other.
 *
 * A service is a name, a version and a pointer to a structure of functions. Looking one
 * up happens in a module's init, not per task, so one lock guards the whole table.
 *
 * Invariants, while the lock is free:
 *   - an entry is either empty (name[0] == 0) or complete;
 *   - no two entries have the same name;
 *   - an interface that was withdrawn is not in the table, so no later lookup finds it.
 *
 * Not here: what keeps the interface's code and data alive. Its publisher promised that
 * until it withdraws; who looked it up earlier has to stop using it by then. */
#pragma once

#include <stdint.h>

#include "ggmk/module.h"
#include "hal/hal.h"

struct service {
    char name[GMK_NAME_MAX]; /* copied: the publisher's string may go */
    const void *interface;
    uint32_t version;
    uint16_t owner; /* module that published it */
    uint8_t level;  /* enum gmk_privilege: least privilege of who may look it up */
};

/* All zero is an empty table. */
struct service_table {
    struct hal_lock lock;
    struct service entries[GMK_SERVICES_MAX]; /* guarded by lock */
};

/* EINVAL: name NULL, empty or too long, interface NULL, or no such level. EEXIST: the
 * name is taken. ELIMIT: GMK_SERVICES_MAX are published. */
int service_publish(struct service_table *table, uint16_t owner, const char *name, uint32_t version,
                    const void *interface, enum gmk_privilege level);

/* The interface for a caller of `privilege`, or NULL and the reason in *why (may be
 * NULL): ENOENT, EPERM or EVERSION, asked in this order, so that who may not use a
 * service does not learn its version. *why is GMK_OK on success. */
const void *service_get(struct service_table *table, enum gmk_privilege privilege, const char *name,
                        uint32_t version, int *why);

/* ENOENT; EPERM when another module published it. */
int service_withdraw(struct service_table *table, uint16_t owner, const char *name);

/* Takes back everything `owner` published, because it went away. Returns how many. */
uint32_t service_withdraw_all(struct service_table *table, uint16_t owner);

/* Does a service of version `have` satisfy a request for `want`? Same major version,
 * and at least its minor and patch. */
static inline bool service_version_fits(uint32_t have, uint32_t want) {
    return GMK_VERSION_MAJOR(have) == GMK_VERSION_MAJOR(want) && have >= want;
}
