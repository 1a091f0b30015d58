/* Module sections: where GMK_MODULE left its pointers, in the program and its libraries.
 *
 * Each object file that registers modules brings a constructor; it tells where the
 * section of its program or shared library lies, and a destructor takes it back. All
 * constructors of one object name the same range, so a small set of distinct ranges is
 * enough. They run before main() or while a library is being loaded, on any thread: hence
 * the lock. */
#include "engine/module.h"
#include "hal/hal.h"

struct module_range {
    gmk_module_t *const *first;
    gmk_module_t *const *end;
};

static struct {
    struct hal_lock lock;
    /* Guarded by lock. */
    struct module_range ranges[MODULE_SECTIONS_MAX];
    uint32_t count;
    bool full; /* a range found no place: a boot that wants sections must say so */
} sections;

static void section_add_locked(gmk_module_t *const *first, gmk_module_t *const *end) {
    for (uint32_t i = 0; i < sections.count; i++) {
        if (sections.ranges[i].first == first && sections.ranges[i].end == end)
            return;
    }
    if (sections.count == MODULE_SECTIONS_MAX) {
        sections.full = true;
        return;
    }
    sections.ranges[sections.count++] = (struct module_range){first, end};
}

GMK_API void gmk_modules_section(gmk_module_t *const *first, gmk_module_t *const *end) {
    if (first == NULL || (uintptr_t)first >= (uintptr_t)end)
        return;
    hal_lock(&sections.lock);
    section_add_locked(first, end);
    hal_unlock(&sections.lock);
}

GMK_API void gmk_modules_section_gone(gmk_module_t *const *first, gmk_module_t *const *end) {
    hal_lock(&sections.lock);
    for (uint32_t i = 0; i < sections.count; i++) {
        if (sections.ranges[i].first == first && sections.ranges[i].end == end) {
            sections.ranges[i] = sections.ranges[--sections.count];
            break;
        }
    }
    hal_unlock(&sections.lock);
}

static int section_collect(struct module_set *set, const struct module_range *range) {
    for (gmk_module_t *const *slot = range->first; slot < range->end; slot++) {
        /* Linkers may pad between the parts of a section. */
        if (*slot == NULL)
            continue;
        int status = module_add(set, *slot, true);
        if (status != GMK_OK)
            return status;
    }
    return GMK_OK;
}

int module_collect_sections(struct module_set *set) {
    int status = GMK_OK;
    hal_lock(&sections.lock);
    if (sections.full)
        status = module_refuse(GMK_ELIMIT, "modules are registered in more than %u libraries",
                               MODULE_SECTIONS_MAX);
    for (uint32_t i = 0; i < sections.count && status == GMK_OK; i++)
        status = section_collect(set, &sections.ranges[i]);
    hal_unlock(&sections.lock);
    return status;
}
