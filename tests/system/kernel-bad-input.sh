#!/usr/bin/env bash
# Bad input: whatever comes along with the kernel may be missing or damaged; it says so and goes on.
#
# Reads GMK_IMAGES (folder of the images); prints TAP. bad_input.py has the promises.
set -u
cd "$(dirname "$0")/../.." || exit 1
exec python3 tests/system/bad_input.py "${GMK_IMAGES:-build}/gmk_kernel.elf" build/initrd.cpio
