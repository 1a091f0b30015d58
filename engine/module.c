/* Module set: collects the modules of a boot and checks each, and all of them together.
 *
 * The order of the checks makes the log line useful: first every module by itself, then
 * names, dependencies and their order, then what modules share (types, channels), in
 * boot order, so that "the first declaration" means the same here and when channels are
 * opened. See engine/module.h for what holds afterwards. */
#include "engine/module.h"

#include <stdarg.h>
#include <string.h>

#include "engine/log.h"
#include "lib/format.h"

int module_refuse(int status, const char *fmt, ...) {
    char text[GMK_LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    format_vstring(text, sizeof text, fmt, ap);
    va_end(ap);
    log_line(GMK_LOG_ERROR, "boot", "%s: %s", gmk_error_name(status), text);
    return status;
}

bool module_name_fits(const char *name) {
    if (name == NULL || name[0] == '\0')
        return false;
    for (size_t i = 1; i < GMK_NAME_MAX; i++) {
        if (name[i] == '\0')
            return true;
    }
    return false;
}

const gmk_handler_reg_t *module_handler(const gmk_module_t *module, uint32_t type) {
    for (uint32_t i = 0; i < module->n_handlers; i++) {
        if (module->handlers[i].type == type)
            return &module->handlers[i];
    }
    return NULL;
}

/* ---- Collecting ----------------------------------------------------------------- */

/* Adds a module; one that is there already is passed over, or refused. */
int module_add(struct module_set *set, gmk_module_t *module, bool known_is_fine) {
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->entries[i].module != module)
            continue;
        if (known_is_fine)
            return GMK_OK;
        return module_refuse(GMK_EEXIST, "module \"%.48s\" is in the array twice",
                             module->name != NULL ? module->name : "(no name)");
    }
    if (set->count == GMK_MODULES_MAX)
        return module_refuse(GMK_ELIMIT, "more than %u modules", GMK_MODULES_MAX);
    set->entries[set->count] = (struct module_entry){
        .module = module,
        .given = (uint16_t)set->count,
        .privilege = (uint8_t)module->privilege,
    };
    set->count++;
    return GMK_OK;
}

int module_collect(struct module_set *set, gmk_module_t *const *mods, uint32_t n_mods,
                   bool use_sections) {
    memset(set, 0, sizeof *set);
    if (n_mods > 0 && mods == NULL)
        return module_refuse(GMK_EINVAL, "n_mods is %u but mods is NULL", n_mods);
    for (uint32_t i = 0; i < n_mods; i++) {
        if (mods[i] == NULL)
            return module_refuse(GMK_EINVAL, "mods[%u] is NULL", i);
        int status = module_add(set, mods[i], false);
        if (status != GMK_OK)
            return status;
    }
    return use_sections ? module_collect_sections(set) : GMK_OK;
}

/* ---- Each module by itself -------------------------------------------------------- */

static int check_handler(const gmk_module_t *module, uint32_t index) {
    const gmk_handler_reg_t *reg = &module->handlers[index];
    if (reg->type == 0 || reg->type >= GMK_TYPES_MAX)
        return module_refuse(GMK_EINVAL, "module \"%s\": handlers[%u]: type %u is not in 1 .. %u",
                             module->name, index, reg->type, GMK_TYPES_MAX - 1);
    if (reg->fn == NULL)
        return module_refuse(GMK_EINVAL, "module \"%s\": handlers[%u] (type %u): fn is NULL",
                             module->name, index, reg->type);
    if (reg->name != NULL && !module_name_fits(reg->name))
        return module_refuse(GMK_EINVAL,
                             "module \"%s\": handlers[%u] (type %u): its name is empty or has "
                             "%u bytes or more",
                             module->name, index, reg->type, GMK_NAME_MAX);
    return GMK_OK;
}

static int check_handlers(const gmk_module_t *module) {
    if (module->n_handlers > 0 && module->handlers == NULL)
        return module_refuse(GMK_EINVAL, "module \"%s\": n_handlers is %u but handlers is NULL",
                             module->name, module->n_handlers);
    if (module->n_handlers >= GMK_TYPES_MAX)
        return module_refuse(GMK_ELIMIT, "module \"%s\": %u handlers, but there are %u types",
                             module->name, module->n_handlers, GMK_TYPES_MAX - 1);
    for (uint32_t i = 0; i < module->n_handlers; i++) {
        int status = check_handler(module, i);
        if (status != GMK_OK)
            return status;
    }
    return GMK_OK;
}

static int check_depends(const gmk_module_t *module) {
    if (module->n_depends > 0 && module->depends == NULL)
        return module_refuse(GMK_EINVAL, "module \"%s\": n_depends is %u but depends is NULL",
                             module->name, module->n_depends);
    if (module->n_depends > GMK_MODULES_MAX)
        return module_refuse(GMK_ELIMIT, "module \"%s\": %u dependencies, at most %u", module->name,
                             module->n_depends, GMK_MODULES_MAX);
    for (uint32_t i = 0; i < module->n_depends; i++) {
        if (!module_name_fits(module->depends[i]))
            return module_refuse(
                GMK_EINVAL, "module \"%s\": depends[%u] is NULL, empty or has %u bytes or more",
                module->name, i, GMK_NAME_MAX);
    }
    return GMK_OK;
}

static int check_alone(const struct module_entry *entry) {
    const gmk_module_t *module = entry->module;
    if (!module_name_fits(module->name))
        return module_refuse(
            GMK_EINVAL, "modules[%u]: its name is NULL, empty or has %u bytes or more: %.20s",
            entry->given, GMK_NAME_MAX, module->name != NULL ? module->name : "NULL");
    if ((unsigned)module->privilege > GMK_KERNEL)
        return module_refuse(GMK_EINVAL, "module \"%s\": there is no privilege %u", module->name,
                             (unsigned)module->privilege);
    if (module->early_init != NULL && module->privilege != GMK_KERNEL)
        return module_refuse(GMK_EPERM, "module \"%s\": early_init is for GMK_KERNEL modules only",
                             module->name);
    int status = check_handlers(module);
    if (status == GMK_OK)
        status = check_depends(module);
    if (status == GMK_OK)
        status = module_chan_check_alone(module);
    return status;
}

/* ---- All together ------------------------------------------------------------------ */

static int check_names(const struct module_set *set) {
    for (uint32_t i = 0; i < set->count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(set->entries[i].module->name, set->entries[k].module->name) == 0)
                return module_refuse(GMK_EEXIST,
                                     "modules[%u] and modules[%u] are both named \"%s\"", k, i,
                                     set->entries[i].module->name);
        }
    }
    return GMK_OK;
}

static const char *handler_name(const gmk_module_t *module, const gmk_handler_reg_t *reg) {
    return reg->name != NULL ? reg->name : module->name;
}

static int type_taken(const struct module_set *set, const gmk_module_t *module,
                      const gmk_handler_reg_t *reg) {
    const gmk_module_t *owner = set->entries[set->type_owner[reg->type]].module;
    const gmk_handler_reg_t *first = module_handler(owner, reg->type);
    return module_refuse(GMK_EEXIST,
                         "type %u has two handlers: \"%s\" of module \"%s\" and \"%s\" of module "
                         "\"%s\"",
                         reg->type, handler_name(owner, first), owner->name,
                         handler_name(module, reg), module->name);
}

static int check_types(struct module_set *set) {
    for (uint32_t type = 0; type < GMK_TYPES_MAX; type++)
        set->type_owner[type] = MODULE_NONE;
    for (uint32_t m = 0; m < set->count; m++) {
        const gmk_module_t *module = set->entries[m].module;
        for (uint32_t i = 0; i < module->n_handlers; i++) {
            const gmk_handler_reg_t *reg = &module->handlers[i];
            if (set->type_owner[reg->type] != MODULE_NONE)
                return type_taken(set, module, reg);
            set->type_owner[reg->type] = (uint16_t)m;
        }
    }
    return GMK_OK;
}

int module_check(struct module_set *set) {
    int status = GMK_OK;
    for (uint32_t i = 0; i < set->count && status == GMK_OK; i++)
        status = check_alone(&set->entries[i]);
    if (status == GMK_OK)
        status = check_names(set);
    if (status == GMK_OK)
        status = module_order(set);
    if (status == GMK_OK)
        status = check_types(set);
    if (status == GMK_OK)
        status = module_chan_check_all(set);
    return status;
}
