/* Service: publish, look up and withdraw, each under the table's lock. */
#include "engine/service.h"

#include <string.h>

#include "engine/module.h"

/* Finds the entry of this name; NULL when there is none. */
static struct service *service_find_locked(struct service_table *table, const char *name) {
    for (uint32_t i = 0; i < GMK_SERVICES_MAX; i++) {
        if (table->entries[i].name[0] != '\0' && strcmp(table->entries[i].name, name) == 0)
            return &table->entries[i];
    }
    return NULL;
}

static struct service *service_empty_locked(struct service_table *table) {
    for (uint32_t i = 0; i < GMK_SERVICES_MAX; i++) {
        if (table->entries[i].name[0] == '\0')
            return &table->entries[i];
    }
    return NULL;
}

static int service_add_locked(struct service_table *table, const struct service *service) {
    if (service_find_locked(table, service->name) != NULL)
        return GMK_EEXIST;
    struct service *entry = service_empty_locked(table);
    if (entry == NULL)
        return GMK_ELIMIT;
    *entry = *service;
    return GMK_OK;
}

int service_publish(struct service_table *table, uint16_t owner, const char *name, uint32_t version,
                    const void *interface, enum gmk_privilege level) {
    if (!module_name_fits(name) || interface == NULL)
        return GMK_EINVAL;
    if ((unsigned)level > GMK_KERNEL)
        return GMK_EINVAL;
    struct service service = {
        .interface = interface, .version = version, .owner = owner, .level = (uint8_t)level};
    memcpy(service.name, name, strlen(name) + 1);

    hal_lock(&table->lock);
    int status = service_add_locked(table, &service);
    hal_unlock(&table->lock);
    return status;
}

static int service_check(const struct service *service, enum gmk_privilege privilege,
                         uint32_t version) {
    if (service == NULL)
        return GMK_ENOENT;
    if ((unsigned)privilege < service->level)
        return GMK_EPERM;
    return service_version_fits(service->version, version) ? GMK_OK : GMK_EVERSION;
}

const void *service_get(struct service_table *table, enum gmk_privilege privilege, const char *name,
                        uint32_t version, int *why) {
    int status = GMK_ENOENT;
    const void *interface = NULL;
    if (module_name_fits(name)) {
        hal_lock(&table->lock);
        const struct service *service = service_find_locked(table, name);
        status = service_check(service, privilege, version);
        if (status == GMK_OK)
            interface = service->interface;
        hal_unlock(&table->lock);
    }
    if (why != NULL)
        *why = status;
    return interface;
}

int service_withdraw(struct service_table *table, uint16_t owner, const char *name) {
    if (!module_name_fits(name))
        return GMK_ENOENT;
    hal_lock(&table->lock);
    struct service *service = service_find_locked(table, name);
    int status = service == NULL ? GMK_ENOENT : service->owner != owner ? GMK_EPERM : GMK_OK;
    if (status == GMK_OK)
        memset(service, 0, sizeof *service);
    hal_unlock(&table->lock);
    return status;
}

uint32_t service_withdraw_all(struct service_table *table, uint16_t owner) {
    uint32_t taken = 0;
    hal_lock(&table->lock);
    for (uint32_t i = 0; i < GMK_SERVICES_MAX; i++) {
        struct service *service = &table->entries[i];
        if (service->name[0] == '\0' || service->owner != owner)
            continue;
        memset(service, 0, sizeof *service);
        taken++;
    }
    hal_unlock(&table->lock);
    return taken;
}
