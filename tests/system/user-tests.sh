#!/usr/bin/env bash
# User mode: every test program passes on 1, 2 and 4 CPUs, the default boot shows what it should, and a
# first program that cannot be started is told.
#
# tests/user/runner.c is the first program of the test boots: one boot runs all of tests/user. Reads
# GMK_IMAGES (folder of the images and archives); prints TAP, one line per test of the guest.
set -u
cd "$(dirname "$0")/../.." || exit 1
images=${GMK_IMAGES:-build/checked}
failed=0

for cpus in 1 2 4; do
    scripts/run-guest --name "user, $cpus CPUs" --words init=tests/runner --limit 600 \
        "$images/gmk_kernel.elf" -- --initrd "$images/initrd-tests.cpio" --cpus "$cpus" \
        --memory 512 || failed=1
done

# boot NAME STATUS WORDS LINE...: the kernel's log has lines that match, in this order.
boot() {
    local name=$1 status=$2 words=$3 expected=()
    shift 3
    for line in "$@"; do expected+=(--expect "$line"); done
    scripts/run-guest --name "$name" --status "$status" --words "init-end=off $words" --limit 120 \
        "${expected[@]}" "$images/gmk_kernel.elf" -- --initrd "$images/initrd.cpio" --cpus 2 ||
        failed=1
}

boot "the default boot" 33 "" 'hello/1: hello from one, turn 1 of 3' \
    'ping: 5000 round trips' 'inherit: .* inherited$' 'attacker: .* 0 got something' \
    'init: has ended$'
boot "a first program that is none" 35 "init=etc/init.conf" \
    'init: etc/init.conf cannot be started: no ELF magic number'
boot "a first program that is not there" 35 "init=no/such" 'no no/such in the archive'
boot "a first program without its file" 35 "init-arg=no/such" \
    'init: sbin/init: there is no no/such' 'init: has ended with status 1'

exit "$failed"
