#!/usr/bin/env bash
# Matrix: the kernel's tests pass on every kind of machine, one short boot each.
#
#   tests/system/kernel-matrix.sh [--full]
#
# Each row changes one thing; --full (make matrix) combines them, and runs the engine's tests on
# some. What this host's QEMU cannot do is skipped, with the reason. Reads GMK_IMAGES (folder of
# the images); prints TAP, one line per test of each guest.
set -u
cd "$(dirname "$0")/../.." || exit 1
images=${GMK_IMAGES:-build}
full=${1:-}
failed=0

# boot NAME WORDS [QEMU OPTION...]: the kernel's tests on one machine; in the short form without
# those that mostly wait.
waiting='tests=-*takes_no_int*,-*limit_of_a_wait*,-*does_not_come*' limit=300 # silence ends a boot sooner
[[ $full != --full ]] || waiting='tests=-nothing'
boot() {
    local name=$1 words="$waiting $2"
    shift 2
    scripts/run-guest --name "$name" --words "$words" --limit "$limit" "$images/gmk_ktests.elf" -- \
        --memory 128 "$@" || failed=1
}

# engine NAME WORDS [QEMU OPTION...]: everything.
engine() {
    local name=$1 words=$2
    shift 2
    scripts/run-guest --name "$name" --words "$words" --limit 900 "$images/gmk_tests.elf" -- \
        --memory 1024 "$@" || failed=1
}

skip() { echo "ok - $1: # SKIP $2"; }

# ---- How many CPUs, how much memory -------------------------------------------------------------
boot "1 CPU" '' --cpus 1
boot "2 CPUs, one thread of the host" '' --accel tcg-single
boot "4 CPUs" '' --cpus 4
boot "4 CPUs, told to use 3" cpus=3 --cpus 4
waiting="$waiting,-ktest_unit" boot "16 MiB, but for tests that make many units" '' --cpus 1 --memory 16
boot "64 MiB" '' --memory 64
boot "2 GiB" '' --memory 2048
boot "5 GiB, above the 4 GiB border" '' --memory 5120
boot "2 NUMA nodes" '' --cpus 2 --numa 2 --memory 128
boot "3 NUMA nodes, 4 CPUs" '' --cpus 4 --numa 3 --memory 192

# ---- Which CPU -----------------------------------------------------------------------------------
boot "a plain CPU: no SMEP, SMAP, XSAVE, 1 GiB pages" '' --cpu qemu64
boot "no 1 GiB pages" '' --cpu max,-arch-capabilities,-pdpe1gb
boot "no SMEP and SMAP" '' --cpu max,-arch-capabilities,-smep,-smap,-umip
boot "no XSAVE" '' --cpu max,-arch-capabilities,-xsave,-avx
boot "an AMD CPU" '' --cpu EPYC
boot "xAPIC by the command line" x2apic=off

# ---- Which machine ---------------------------------------------------------------------------------
boot "pc" '' --machine pc
boot "microvm" '' --machine microvm
boot "microvm, 1 CPU" '' --machine microvm --cpus 1
boot "counted instructions" '' --accel icount --cpus 1

# `enforce` makes QEMU refuse a CPU that it cannot give; `quit` ends it at once where it can.
if timeout 10 "${QEMU:-qemu-system-x86_64}" -M q35 -accel tcg -cpu qemu64,+x2apic,enforce \
    -display none -S -nodefaults -monitor stdio <<<quit >/dev/null 2>&1; then
    boot "x2APIC" '' --cpu max,-arch-capabilities,+x2apic
else
    skip "x2APIC" "this QEMU has none under TCG (9 and later do)"
fi
read -r accel reason < <(scripts/qemu --probe)
if [[ $accel == kvm ]]; then
    boot "KVM" '' --accel kvm
    boot "KVM, 4 CPUs" '' --accel kvm --cpus 4
else
    skip "KVM" "$reason"
fi

# ---- The long form -----------------------------------------------------------------------------------
if [[ $full == --full ]]; then
    for machine in q35 pc microvm; do
        for cpus in 1 2 4; do
            for memory in 64 256 1024 2048; do
                boot "$machine, $cpus CPUs, $memory MiB" '' \
                    --machine $machine --cpus $cpus --memory $memory
            done
            for accel in tcg-single icount; do
                boot "$machine, $cpus CPUs, $accel" '' --machine $machine --cpus $cpus --accel $accel
            done
        done
    done
    for cpu in qemu64 kvm64 Nehalem Haswell-noTSX Skylake-Server EPYC max; do
        boot "-cpu $cpu" '' --cpu $cpu,-arch-capabilities
    done
    for nodes in 2 3 4 8; do
        boot "$nodes NUMA nodes" '' --cpus 8 --numa $nodes --memory 512
    done
    boot "8 CPUs" '' --cpus 8 --memory 256
    boot "8 GiB" '' --memory 8192
    boot "no 1 GiB pages by the command line" huge=off
    engine "everything, 1 CPU" '' --cpus 1
    engine "everything, 4 CPUs" '' --cpus 4
    engine "everything, one thread of the host" '' --cpus 2 --accel tcg-single
    engine "everything, microvm" '' --cpus 2 --machine microvm
fi
exit $failed
