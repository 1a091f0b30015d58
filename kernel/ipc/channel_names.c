/* Channel names: registries, which say which names a unit can see.
 *
 * A registry is a prefix. Who has one can make and find the channels whose
 * names begin with it, and can make registries with longer prefixes for others.
 * Names are printable ASCII without blanks, so that logs and traces show what
 * was said; those that begin with "sys." are the engine's. */
#include "kernel/ipc/channel_end.h"

#include <string.h>

#define REGISTRIES_MAX 256u

static struct object_pool registries =
    OBJECT_POOL(GMK_CAP_REGISTRY, LOCK_OBJECT, sizeof(struct registry), REGISTRIES_MAX);

struct object *registry_root(void) {
    static struct registry every = {
        .object = {.lock = SPINLOCK_INIT(LOCK_OBJECT), .type = GMK_CAP_REGISTRY, .serial = 1}};
    return &every.object;
}

static bool is_printable(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) /* less than GMK_NAME_MAX */
        if (text[i] <= ' ' || text[i] >= 0x7f)
            return false;
    return true;
}

int registry_check(const struct object *object, const char *name, size_t length) {
    const struct registry *registry = (const struct registry *)object;
    if (length == 0 || length >= GMK_NAME_MAX || !is_printable(name, length))
        return GMK_EINVAL;
    size_t prefix = strlen(registry->prefix);
    if (length < prefix || memcmp(name, registry->prefix, prefix) != 0 ||
        (length >= 4 && memcmp(name, "sys.", 4) == 0))
        return GMK_EPERM;
    return GMK_OK;
}

struct object *registry_new(struct object *parent, uint32_t serial, struct factory *factory,
                            const char *prefix, int *error) {
    const struct registry *above = (const struct registry *)parent;
    size_t first = strlen(above->prefix), more = strlen(prefix);
    (void)serial; /* the caller holds it: its prefix stays as it is */
    *error = GMK_EINVAL;
    if (first + more >= GMK_NAME_MAX || !is_printable(prefix, more))
        return NULL;
    struct registry *registry = (struct registry *)object_new(&registries, factory, error);
    if (registry == NULL)
        return NULL;
    memcpy(registry->prefix, above->prefix, first);
    memcpy(registry->prefix + first, prefix, more + 1);
    return &registry->object;
}

void registry_end(struct object *object, uint32_t serial) {
    if (object == registry_root() || !object_enter(object, serial))
        return;
    object_end_locked(object);
    object_leave(object);
    object_free(&registries, object);
}
