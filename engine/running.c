/* Running: the process-wide list of engines. See running.h. */
#include "engine/running.h"

static struct hal_lock lock;
static struct engine *first;
static uint64_t boots; /* guarded by lock: numbers every boot of the process */

void running_lock(void) {
    hal_lock(&lock);
}

void running_unlock(void) {
    hal_unlock(&lock);
}

struct engine *running_find(uint64_t boot_id) {
    struct engine *eng = first;
    while (eng != NULL && eng->boot_id != boot_id)
        eng = eng->next;
    return eng;
}

bool running_add(struct engine *eng) {
    for (struct engine *e = first; e != NULL; e = e->next)
        if (e->kernel == eng->kernel)
            return false;
    eng->boot_id = ++boots;
    eng->next = first;
    first = eng;
    return true;
}

bool running_remove(gmk_kernel_t *kernel, struct engine **out) {
    for (struct engine **at = &first; *at != NULL; at = &(*at)->next) {
        if ((*at)->kernel == kernel) {
            *out = *at;
            *at = (*at)->next;
            return true;
        }
    }
    return false;
}
