#!/usr/bin/env bash
# Tests in the guest: the engine's own tests and the kernel's pass inside the kernel.
#
# One boot of gmk_tests.elf on two CPUs, which runs everything. Reads GMK_IMAGES (folder of the
# images); prints TAP, one line per test of the guest.
set -u
cd "$(dirname "$0")/../.." || exit 1

exec scripts/run-guest --name guest --limit 600 "${GMK_IMAGES:-build}/gmk_tests.elf" -- \
    --cpus 2 --memory 1024
