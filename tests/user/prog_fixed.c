/* Fixed: a program that is linked for fixed addresses, and says whether it lies there. */
#include <stdint.h>

int main(void) {
    /* The linker's usual place for such programs. */
    return (uintptr_t)main >= 0x400000 && (uintptr_t)main < 0x500000 ? 11 : 1;
}
