/* Report: says its name and the time to the port "report", and ends with a status or a fault.
 *
 *     prog_report NAME [STATUS | fault] */
#include "user/lib/ipc.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"

#include <string.h>

int main(int argc, char **argv) {
    struct ipc m = {.tag = GMK_TAG(1, 24, 0)};
    if (argc < 2)
        return 100;
    char name[16] = {0};
    text_copy(name, sizeof name, argv[1]);
    memcpy(m.w, name, sizeof name);
    m.w[2] = (uint64_t)sys_time();
    int status = ipc_call(handle_find("report"), &m, GMK_FOREVER);
    if (status != GMK_OK)
        return 101;
    if (argc > 2 && strcmp(argv[2], "fault") == 0)
        *(volatile char *)(uintptr_t)0x1234 = 0;
    uint64_t value = 0;
    if (argc > 2)
        (void)text_number(argv[2], &value);
    return (int)value;
}
