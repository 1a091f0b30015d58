/* Init: the first program. It reads what is to run, starts it, and looks after it.
 *
 * The kernel gives it the machine, all channel names, all budget and the archive of files (ggmk/abi.h);
 * what others get of that is said in etc/init.conf, or the file that the first argument names
 * (conf.h tells the format). When all programs have ended it ends, too: with 0 if every line could be
 * used and no program failed. It can be started by others, for a part of the system of their own:
 * it gives what it was given. */
#include "lib/cpio.h"
#include "user/init/conf.h"
#include "user/init/supervise.h"
#include "user/lib/memory.h"
#include "user/lib/print.h"
#include "user/lib/spawn.h"
#include "user/lib/start.h"

#include <string.h>

#define CONF_PATH "etc/init.conf"

static void complain(void *arg, unsigned line, const char *word, const char *why) {
    print("%s, line %u: '%s' %s\n", (const char *)arg, line, word, why);
}

int main(int argc, char **argv) {
    static struct conf conf; /* large */
    char *path = argc > 1 ? argv[1] : CONF_PATH;
    size_t size;
    const void *archive = initrd_get(&size);
    struct cpio_entry file;
    if (archive == NULL || !cpio_find(archive, size, path, &file))
        program_die("there is no %s", path);
    char *text = heap_alloc(file.size + 1);
    if (text == NULL) {
        print("no memory for %s\n", path);
        return 1;
    }
    memcpy(text, file.data, file.size);
    conf_parse(&conf, text, file.size, complain, path);
    unsigned failed = supervise(&conf);
    return failed > 0 || conf.complaints > 0 ? 1 : 0;
}
