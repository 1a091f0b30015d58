/* Module order: dependencies first, else the order given; a circle is named.
 *
 * Kahn's method on bit sets: place p of the boot order gets the first module, in the
 * order given, whose needs are all placed already. With at most GMK_MODULES_MAX modules a
 * search over all of them per place is cheap, and the result depends on nothing but the
 * input. When no module is ready, every module left needs another one that is left, so
 * following any such need from module to module must come back to one already seen: that
 * stretch of the path is a circle. */
#include <string.h>

#include "engine/module.h"
#include "lib/format.h"

#define SET_WORDS ((GMK_MODULES_MAX + 63u) / 64u)

/* Text of a circle; a longer one is shortened in the middle. Leaves room in a log line
 * for the time, the code and the sentence. */
#define CIRCLE_TEXT_MAX 176u

/* Index of the module of this name from index `from` on, or set->count. */
static uint32_t find_by_name(const struct module_set *set, uint32_t from, const char *name) {
    for (uint32_t i = from; i < set->count; i++) {
        if (strcmp(set->entries[i].module->name, name) == 0)
            return i;
    }
    return set->count;
}

/* ---- Who needs whom --------------------------------------------------------------- */

static int resolve_depend(struct module_set *set, const struct module_entry *entry,
                          const char *name) {
    uint32_t found = find_by_name(set, 0, name);
    if (found == set->count)
        return module_refuse(GMK_EDEPEND, "module \"%s\" depends on \"%s\", which is not there",
                             entry->module->name, name);
    const struct module_entry *other = &set->entries[found];
    if (other->privilege < entry->privilege)
        return module_refuse(GMK_EPERM, "module \"%s\" depends on \"%s\", which is less privileged",
                             entry->module->name, name);
    set->needs[entry->given][other->given / 64u] |= UINT64_C(1) << (other->given % 64u);
    return GMK_OK;
}

static int resolve_depends(struct module_set *set) {
    memset(set->needs, 0, sizeof set->needs);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct module_entry *entry = &set->entries[i];
        for (uint32_t d = 0; d < entry->module->n_depends; d++) {
            int status = resolve_depend(set, entry, entry->module->depends[d]);
            if (status != GMK_OK)
                return status;
        }
    }
    return GMK_OK;
}

/* ---- Circles ------------------------------------------------------------------------ */

/* The first module that `index` depends on and that has no place yet; those without a
 * place start at index `left`. */
static uint32_t next_unplaced(const struct module_set *set, uint32_t left, uint32_t index) {
    const gmk_module_t *module = set->entries[index].module;
    for (uint32_t d = 0; d < module->n_depends; d++) {
        uint32_t found = find_by_name(set, left, module->depends[d]);
        if (found < set->count)
            return found;
    }
    return left; /* not reached: a module without such a need would have been placed */
}

static uint32_t path_find(const uint32_t *path, uint32_t length, uint32_t index) {
    for (uint32_t i = 0; i < length; i++) {
        if (path[i] == index)
            return i;
    }
    return length;
}

/* "a -> b -> a" for the modules of `path`; names that do not fit are left out. */
static void circle_text(const struct module_set *set, const uint32_t *path, uint32_t length,
                        char *text) {
    const char *first = set->entries[path[0]].module->name;
    size_t used = format_string(text, CIRCLE_TEXT_MAX, "%s", first);
    /* What follows every name that is not the last: the rest, left out, and the end. */
    size_t tail = sizeof " -> (127 more) -> " + strlen(first);
    for (uint32_t i = 1; i < length; i++) {
        const char *name = set->entries[path[i]].module->name;
        if (used + strlen(" -> ") + strlen(name) + tail > CIRCLE_TEXT_MAX) {
            used += format_string(&text[used], CIRCLE_TEXT_MAX - used, " -> (%u more)", length - i);
            break;
        }
        used += format_string(&text[used], CIRCLE_TEXT_MAX - used, " -> %s", name);
    }
    format_string(&text[used], CIRCLE_TEXT_MAX - used, " -> %s", first);
}

static int refuse_circle(const struct module_set *set, uint32_t left) {
    uint32_t path[GMK_MODULES_MAX];
    uint32_t length = 0;
    uint32_t index = left;
    while (path_find(path, length, index) == length) {
        path[length++] = index;
        index = next_unplaced(set, left, index);
    }
    uint32_t start = path_find(path, length, index);
    char text[CIRCLE_TEXT_MAX];
    circle_text(set, &path[start], length - start, text);
    return module_refuse(GMK_ECYCLE, "modules depend in a circle: %s", text);
}

/* ---- The order ------------------------------------------------------------------------ */

static bool is_ready(const struct module_set *set, uint32_t index, const uint64_t *placed) {
    const uint64_t *needs = set->needs[set->entries[index].given];
    for (uint32_t w = 0; w < SET_WORDS; w++) {
        if ((needs[w] & ~placed[w]) != 0)
            return false;
    }
    return true;
}

/* Moves the entry at `from` forward to `to`; the ones between keep their order. */
static void move_forward(struct module_set *set, uint32_t from, uint32_t to) {
    struct module_entry moved = set->entries[from];
    for (uint32_t i = from; i > to; i--)
        set->entries[i] = set->entries[i - 1];
    set->entries[to] = moved;
}

int module_order(struct module_set *set) {
    int status = resolve_depends(set);
    if (status != GMK_OK)
        return status;
    uint64_t placed[SET_WORDS] = {0};
    for (uint32_t place = 0; place < set->count; place++) {
        uint32_t index = place;
        while (index < set->count && !is_ready(set, index, placed))
            index++;
        if (index == set->count)
            return refuse_circle(set, place);
        move_forward(set, index, place);
        uint16_t given = set->entries[place].given;
        placed[given / 64u] |= UINT64_C(1) << (given % 64u);
    }
    return GMK_OK;
}
