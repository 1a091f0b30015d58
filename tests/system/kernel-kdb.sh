#!/usr/bin/env bash
# Monitor: every command of kdb answers over the serial line as its user expects.
#
# Reads GMK_IMAGES (folder of the images) and CC; prints TAP. kdb.py has the promises.
set -u
cd "$(dirname "$0")/../.." || exit 1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
${CC:-gcc} -std=c11 -O2 -Iinclude -I. -o "$work/fxtcheck" \
    tests/system/fxtcheck.c tests/lib/fxt_reader.c lib/utf8.c || exit 1
python3 tests/system/kdb.py "${GMK_IMAGES:-build}/gmk_kernel.elf" build/initrd.cpio "$work/fxtcheck" build/checked/initrd-tests.cpio
