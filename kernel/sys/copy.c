/* Copy: structures of system calls, from and to the caller's memory. Copied once, checked, then used: what
 * user code writes meanwhile does not matter. */
#include "kernel/sys/sys.h"

int sys_copy_in(void *to, uint64_t user, size_t size) {
    return arch_copy_in(to, user, size);
}

int sys_copy_out(uint64_t user, const void *from, size_t size) {
    return arch_copy_out(user, from, size);
}
