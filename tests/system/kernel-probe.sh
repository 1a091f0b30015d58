#!/usr/bin/env bash
# Probe: hardware virtualisation is taken only where it behaves like hardware, and soon decided.
#
# The probe kernel runs here under TCG, which does behave; and scripts/qemu is shown emulators that
# hang, reset and refuse. Prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
number=0
emulator=''

# expect PROMISE COMMAND...: one test; the command must succeed.
expect() {
    local promise=$1 verdict=ok
    shift
    number=$((number + 1))
    "$@" >"$work/output" 2>&1 || verdict="not ok" failed=1
    echo "$verdict $number - $promise"
    [[ $verdict == ok ]] || sed 's/^/#   /' "$work/output"
}

scripts/qemu --probe >"$work/answer"
says_why() { [[ $(wc -l <"$work/answer") == 1 ]] && grep -qE '^(kvm|tcg) .{10,}' "$work/answer"; }
expect "the answer is one line with its reason: $(cat "$work/answer")" says_why

gcc -nostdlib -static -no-pie -o "$work/probe" boot/probe/probe.S \
    -Wl,-Ttext-segment=0x100000,-e,probe_start,--build-id=none,-z,noexecstack
# ends_with STATUS [OPTION...]: the probe kernel on an emulated CPU.
ends_with() {
    local wanted=$1 status=0
    shift
    timeout 20 scripts/qemu --kernel "$work/probe" --cpus 1 --accel tcg-single "$@" || status=$?
    echo "status $status"
    [[ $status == "$wanted" ]]
}
expect "the probe kernel passes where an emulator is right" ends_with 33 --machine microvm
expect "the probe kernel passes without SMAP" ends_with 33 --cpu qemu64
expect "the probe kernel says that there is no long mode" ends_with 37 --cpu qemu32

# pretend COMMAND: an emulator that does this when scripts/qemu asks it.
pretend() {
    emulator=$work/emulator$number
    printf '#!/bin/bash\n%s\n' "$1" >"$emulator"
    chmod +x "$emulator"
}
# answers PATTERN: in time, and with this reason.
answers() {
    local start=$EPOCHREALTIME answer
    answer=$(QEMU=$emulator scripts/qemu --probe)
    echo "$answer"
    grep -qE "$1" <<<"$answer" && awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { exit !(b - a < 3) }'
}
if [[ -r /dev/kvm && -w /dev/kvm ]]; then
    pretend 'sleep 60'
    expect "an emulator that hangs is killed after a second" answers '^tcg .*within a second'
    pretend 'exit 0 # reset'
    expect "a reset is no proof" answers '^tcg .*status 0'
    pretend 'exit 139 # stage 5'
    expect "a broken SYSCALL is no proof" answers '^tcg .*SYSCALL'
    pretend 'exit 33 # right'
    expect "the right answer is taken" answers '^kvm '
else
    echo "ok - emulators that misbehave: # SKIP without /dev/kvm the probe asks none"
fi
exit $failed
