/* Memory: the steps of the kernel's calls on ranges, repeated. */
#include "user/lib/memory.h"

#include "user/lib/sys.h"

int64_t memory_map_at(gmk_handle_t unit, gmk_handle_t memory, uint64_t address, uint64_t offset,
                      uint64_t size, unsigned prot) {
    return sys_memory_map(unit, memory, address, offset, size, prot);
}

int memory_unmap(gmk_handle_t unit, uint64_t address, uint64_t size) {
    while (size > 0) {
        int64_t done = sys_memory_unmap(unit, address, size);
        if (done < 0)
            return (int)done;
        address += (uint64_t)done;
        size -= (uint64_t)done;
    }
    return GMK_OK;
}

int memory_protect(gmk_handle_t unit, uint64_t address, uint64_t size, unsigned prot) {
    while (size > 0) {
        int64_t done = sys_memory_protect(unit, address, size, prot);
        if (done < 0)
            return (int)done;
        address += (uint64_t)done;
        size -= (uint64_t)done;
    }
    return GMK_OK;
}

int64_t memory_clone(gmk_handle_t memory, gmk_handle_t factory, uint64_t offset, uint64_t size) {
    uint64_t done = 0;
    int64_t clone = 0;
    while (done < size) {
        int64_t next = sys_memory_clone(memory, factory, offset, size, (gmk_handle_t)clone, &done);
        if (next < 0) {
            if (clone != 0)
                (void)sys_cap_drop((gmk_handle_t)clone);
            return next;
        }
        clone = next;
    }
    return clone;
}

int64_t memory_wired(gmk_handle_t factory, unsigned kind, uint64_t size) {
    uint64_t done = 0;
    int64_t memory = 0;
    do {
        int64_t next = sys_memory_make(factory, kind, size, (gmk_handle_t)memory, &done);
        if (next < 0) {
            if (memory != 0)
                (void)sys_cap_drop((gmk_handle_t)memory);
            return next;
        }
        memory = next;
    } while (done < size);
    return memory;
}

int memory_new(uint64_t size, unsigned prot, uint64_t *address) {
    int64_t memory = sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, size);
    if (memory < 0)
        return (int)memory;
    int64_t at = sys_memory_map(GMK_SELF_UNIT, (gmk_handle_t)memory, 0, 0, size, prot);
    /* The mapping keeps the object alive, and its end ends it. */
    (void)sys_cap_drop((gmk_handle_t)memory);
    if (at < 0)
        return (int)at;
    *address = (uint64_t)at;
    return GMK_OK;
}

int memory_free(uint64_t address, uint64_t size) {
    return memory_unmap(GMK_SELF_UNIT, address, size);
}
