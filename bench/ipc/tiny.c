/* Tiny: a program that ends at once: what starting and ending a unit costs at least. */
#include "user/lib/start.h"

int main(int argc, char **argv) {
    (void)argc, (void)argv;
    return 0;
}
