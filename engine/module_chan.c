/* Module channels: are the channel declarations of the modules possible and in agreement?
 *
 * A channel has no single owner: whoever comes first in boot order opens it. So two
 * modules that mean different things by one name must be told apart before either runs,
 * and a message type that nobody can handle must be a boot error, not a surprise. */
#include <string.h>

#include "engine/module.h"

#define CHAN_OPTIONS (GMK_CHAN_FANOUT | GMK_CHAN_LOSSY | GMK_CHAN_REPLAY)
#define SUB_OPTIONS  GMK_SUB_PARALLEL

/* Of the engine's table, id 0 means none and the system's channels take two places. */
#define CHANS_OPENED_MAX (GMK_CHANNELS_MAX - 3u)

bool module_chan_is_engines(const char *name) {
    return strcmp(name, "sys.dropped") == 0 || strcmp(name, "sys.error") == 0;
}

static bool is_reserved(const char *name) {
    return strlen(name) >= 4 && memcmp(name, "sys.", 4) == 0;
}

/* ---- One declaration by itself ------------------------------------------------------ */

static int check_values(const gmk_module_t *module, uint32_t index) {
    const gmk_chan_decl_t *decl = &module->channels[index];
    if (!module_name_fits(decl->name))
        return module_refuse(GMK_EINVAL,
                             "module \"%s\": channels[%u]: its name is NULL, empty or has %u bytes "
                             "or more",
                             module->name, index, GMK_NAME_MAX);
    if (decl->dir != GMK_IN && decl->dir != GMK_OUT)
        return module_refuse(GMK_EINVAL,
                             "module \"%s\", channel \"%s\": dir %u is neither GMK_IN nor GMK_OUT",
                             module->name, decl->name, decl->dir);
    if ((decl->options & ~CHAN_OPTIONS) != 0 || (decl->sub_options & ~SUB_OPTIONS) != 0)
        return module_refuse(
            GMK_EINVAL, "module \"%s\", channel \"%s\": unknown options 0x%x, sub_options 0x%x",
            module->name, decl->name, decl->options, decl->sub_options);
    if ((decl->options & GMK_CHAN_LOSSY) != 0 && (decl->options & GMK_CHAN_REPLAY) != 0)
        return module_refuse(GMK_EINVAL,
                             "module \"%s\", channel \"%s\": a replay channel cannot be lossy",
                             module->name, decl->name);
    if ((decl->slots & (decl->slots - 1u)) != 0)
        return module_refuse(GMK_EINVAL,
                             "module \"%s\", channel \"%s\": %u slots is not a power of two",
                             module->name, decl->name, decl->slots);
    return GMK_OK;
}

static int check_type(const gmk_module_t *module, const gmk_chan_decl_t *decl) {
    bool in_range = decl->type > 0 && decl->type < GMK_TYPES_MAX;
    if (!in_range && !module_chan_is_engines(decl->name))
        return module_refuse(GMK_EINVAL, "module \"%s\", channel \"%s\": type %u is not in 1 .. %u",
                             module->name, decl->name, decl->type, GMK_TYPES_MAX - 1);
    if (decl->dir == GMK_IN && decl->fn == NULL && module_handler(module, decl->type) == NULL)
        return module_refuse(GMK_EINVAL,
                             "module \"%s\", channel \"%s\": GMK_IN without fn, and the module has "
                             "no handler for type %u",
                             module->name, decl->name, decl->type);
    return GMK_OK;
}

static int check_privilege(const gmk_module_t *module, const gmk_chan_decl_t *decl) {
    if (!is_reserved(decl->name) || module->privilege == GMK_KERNEL)
        return GMK_OK;
    if (decl->dir == GMK_IN && module->privilege == GMK_DRIVER)
        return GMK_OK;
    return module_refuse(GMK_EPERM,
                         "module \"%s\", channel \"%s\": names with \"sys.\" are for GMK_KERNEL "
                         "modules; GMK_DRIVER may subscribe",
                         module->name, decl->name);
}

int module_chan_check_alone(const gmk_module_t *module) {
    if (module->n_channels > 0 && module->channels == NULL)
        return module_refuse(GMK_EINVAL, "module \"%s\": n_channels is %u but channels is NULL",
                             module->name, module->n_channels);
    if (module->n_channels > MODULE_DECLS_MAX)
        return module_refuse(GMK_ELIMIT, "module \"%s\": %u channel declarations, at most %u",
                             module->name, module->n_channels, MODULE_DECLS_MAX);
    for (uint32_t i = 0; i < module->n_channels; i++) {
        int status = check_values(module, i);
        if (status == GMK_OK)
            status = check_type(module, &module->channels[i]);
        if (status == GMK_OK)
            status = check_privilege(module, &module->channels[i]);
        if (status != GMK_OK)
            return status;
    }
    return GMK_OK;
}

/* ---- All declarations of one name ---------------------------------------------------- */

/* The channel of this declaration, made now if this is the first; NULL: too many. */
static struct module_chan *chan_of(struct module_set *set, uint32_t module,
                                   const gmk_chan_decl_t *decl) {
    for (uint32_t i = 0; i < set->n_chans; i++) {
        if (strcmp(set->chans[i].decl->name, decl->name) == 0)
            return &set->chans[i];
    }
    if (!module_chan_is_engines(decl->name)) {
        if (set->n_opened == CHANS_OPENED_MAX)
            return NULL;
        set->n_opened++;
    }
    struct module_chan *chan = &set->chans[set->n_chans++];
    *chan = (struct module_chan){.decl = decl, .module = (uint16_t)module};
    return chan;
}

static int check_agreement(const struct module_set *set, const struct module_chan *chan,
                           const gmk_module_t *module, const gmk_chan_decl_t *decl) {
    const gmk_chan_decl_t *first = chan->decl;
    const char *first_name = set->entries[chan->module].module->name;
    if (first->type != decl->type)
        return module_refuse(GMK_ETYPE,
                             "channel \"%s\" carries type %u for module \"%s\" but type %u for "
                             "module \"%s\"",
                             decl->name, first->type, first_name, decl->type, module->name);
    if (first->options != decl->options)
        return module_refuse(
            GMK_EINVAL,
            "channel \"%s\" has options 0x%x for module \"%s\" but 0x%x for module "
            "\"%s\"",
            decl->name, first->options, first_name, decl->options, module->name);
    return GMK_OK;
}

static int check_input(const struct module_set *set, struct module_chan *chan, uint32_t module,
                       const gmk_chan_decl_t *decl) {
    const char *name = set->entries[module].module->name;
    bool fanout = (decl->options & GMK_CHAN_FANOUT) != 0 || module_chan_is_engines(decl->name);
    if (chan->inputs > 0 && !fanout)
        return module_refuse(
            GMK_EEXIST,
            "channel \"%s\" is point-to-point, but module \"%s\" and module \"%s\" "
            "both subscribe",
            decl->name, set->entries[chan->input_module].module->name, name);
    if (chan->inputs == GMK_SUBS_MAX)
        return module_refuse(GMK_ELIMIT,
                             "channel \"%s\": module \"%s\" is subscriber %u, at most %u",
                             decl->name, name, GMK_SUBS_MAX + 1, GMK_SUBS_MAX);
    chan->inputs++;
    chan->input_module = (uint16_t)module;
    return GMK_OK;
}

static int check_decl(struct module_set *set, uint32_t index, const gmk_chan_decl_t *decl) {
    const gmk_module_t *module = set->entries[index].module;
    struct module_chan *chan = chan_of(set, index, decl);
    if (chan == NULL)
        return module_refuse(GMK_ELIMIT, "module \"%s\", channel \"%s\": more than %u channels",
                             module->name, decl->name, CHANS_OPENED_MAX);
    int status = GMK_OK;
    /* The engine's own channels carry every type, and their options are known. */
    if (!module_chan_is_engines(decl->name))
        status = check_agreement(set, chan, module, decl);
    if (status == GMK_OK && decl->dir == GMK_IN)
        status = check_input(set, chan, index, decl);
    return status;
}

int module_chan_check_all(struct module_set *set) {
    set->n_chans = 0;
    set->n_opened = 0;
    for (uint32_t m = 0; m < set->count; m++) {
        const gmk_module_t *module = set->entries[m].module;
        for (uint32_t i = 0; i < module->n_channels; i++) {
            int status = check_decl(set, m, &module->channels[i]);
            if (status != GMK_OK)
                return status;
        }
    }
    return GMK_OK;
}
