/* Initrd: found among the loader's modules, checked once from end to end, then only read. */
#include "kernel/core/initrd.h"

#include "boot/boot_info.h"
#include "kernel/core/log.h"
#include "kernel/debug/readable.h"

#include <string.h>

/* The archive; size 0: there is none. Constant after initrd_init(). */
static struct {
    const void *bytes;
    size_t size;
} archive;

/* The module whose file is called "initrd..."; else the first one. */
static const struct boot_module *choose(const struct boot_info *info) {
    for (uint32_t i = 0; i < info->module_count; i++) {
        const char *name = info->modules[i].name;
        for (const char *at = name; *at != '\0'; at++) { /* at most BOOT_NAME_MAX */
            bool starts = at == name || at[-1] == '/';
            if (starts && strlen(at) >= 6 && memcmp(at, "initrd", 6) == 0)
                return &info->modules[i];
        }
    }
    return info->module_count > 0 ? &info->modules[0] : NULL;
}

void initrd_init(const struct boot_info *info) {
    const struct boot_module *module = choose(info);
    archive.size = 0;
    if (module == NULL) {
        klog_warn("initrd", "no archive came with the kernel");
        return;
    }
    const void *bytes = arch_phys(module->base);
    if (!debug_readable((vaddr_t)bytes, module->size, NULL)) {
        klog_warn("initrd", "%llu bytes at 0x%llx are not in memory: going on without",
                  (unsigned long long)module->size, (unsigned long long)module->base);
        return;
    }
    struct cpio cpio;
    struct cpio_entry entry;
    unsigned files = 0;
    cpio_open(&cpio, bytes, module->size);
    while (cpio_next(&cpio, &entry))
        files++;
    if (cpio.error != NULL) {
        klog_warn("initrd", "damaged at byte %zu of %zu: %s: going on without", cpio.at, cpio.size,
                  cpio.error);
        return;
    }
    archive.bytes = bytes;
    archive.size = module->size;
    klog_info("initrd", "%u entries in %zu bytes", files, archive.size);
}

bool initrd_find(const char *name, struct cpio_entry *entry) {
    return archive.size > 0 && cpio_find(archive.bytes, archive.size, name, entry);
}

const void *initrd_bytes(size_t *size) {
    *size = archive.size;
    return archive.bytes;
}
