/* User test: starts programs with what tests hold. */
#include "tests/user/lib/utest_program.h"

#include "lib/format.h"
#include "user/lib/start.h"

int utest_give(struct spawned *child) {
    static const struct {
        const char *name, *from;
        unsigned rights;
    } all[] = {
        {"console", "system", GMK_RIGHT_WRITE},
        {"system", "system", GMK_RIGHTS_ALL & ~(unsigned)GMK_RIGHT_MANAGE},
        {"registry", "registry", GMK_RIGHTS_ALL},
        {"initrd", "initrd", GMK_RIGHT_READ | GMK_RIGHT_GRANT},
    };
    int status = GMK_OK;
    for (unsigned i = 0; i < sizeof all / sizeof all[0] && status == GMK_OK; i++)
        status = spawn_give(child, all[i].name, handle_find(all[i].from), all[i].rights, 0);
    return status;
}

int64_t utest_program(const char *name, const char *const *argv) {
    char path[64];
    struct spawn what;
    struct spawned child;
    (void)format_string(path, sizeof path, "tests/%s", name);
    int status = spawn_from_initrd(&what, path);
    what.argv = argv;
    if (status == GMK_OK)
        status = spawn_prepare(&what, &child);
    if (status != GMK_OK)
        return status;
    status = utest_give(&child);
    if (status == GMK_OK)
        status = spawn_start(&child);
    if (status == GMK_OK)
        return spawn_wait(&child);
    spawn_end(&child);
    return status;
}
