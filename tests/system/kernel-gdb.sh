#!/usr/bin/env bash
# Debugger: gdb attaches to a waiting machine and shows symbols, source lines and data.
#
# Reads GMK_IMAGES (folder of the images); prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
image=${GMK_IMAGES:-build}/gmk_kernel.elf
work=$(mktemp -d)
port=$((20000 + RANDOM % 10000))

scripts/qemu --kernel "$image" --accel tcg-single --cpus 1 --serial file:"$work/serial" \
    --gdb "$port" >"$work/qemu" 2>&1 &
machine=$!
trap 'kill -9 $machine 2>/dev/null; rm -rf "$work"' EXIT

# The machine may need a moment until it listens.
for _ in {1..20}; do
    timeout 60 gdb -nx -batch -ex "target remote localhost:$port" -ex 'hbreak kernel_main' \
        -ex continue -ex 'info line' -ex 'break klog' -ex continue -ex backtrace \
        -ex 'print boot_info.road' -ex kill "$image" >"$work/gdb" 2>&1
    grep -q 'could not connect\|Connection refused\|timed out' "$work/gdb" || break
    sleep 0.5
done

number=0
failed=0
# expect PROMISE PATTERN: one test; gdb printed the pattern.
expect() {
    local verdict=ok
    number=$((number + 1))
    grep -q "$2" "$work/gdb" || verdict="not ok" failed=1
    echo "$verdict $number - $1"
    [[ $verdict == ok ]] || sed 's/^/#   /' "$work/gdb" "$work/qemu"
}
expect "a breakpoint at kernel_main is hit" 'Breakpoint 1, kernel_main ()'
expect "it has a source line" 'Line [0-9]* of "kernel/core/main.c" starts at address .*<kernel_main'
expect "a second one is hit, with its arguments" 'Breakpoint 2, klog (level='
expect "the stack leads back to the first instructions" 'in start64 () at arch/x86_64/entry.S:'
expect "variables have types and values" '= 0x[0-9a-f]* "pvh"'

# A fault in the middle of a panic's report: the debugger makes a function call nothing.
kill -9 $machine 2>/dev/null
port=$((port + 1))
scripts/qemu --kernel "$image" --accel tcg-single --cpus 1 --serial file:"$work/serial" \
    --append 'panic=exit exit=debug' --gdb "$port" >"$work/qemu" 2>&1 &
machine=$!
for _ in {1..20}; do
    # shellcheck disable=SC2016 # registers of gdb, not variables
    timeout 60 gdb -nx -batch -ex "target remote localhost:$port" -ex 'hbreak acpi_init' \
        -ex continue -ex 'break report_trace' -ex 'set $rip = (long)&ksyms_names' -ex continue \
        -ex 'set $rip = 0' -ex delete -ex continue "$image" >"$work/gdb" 2>&1
    grep -q 'could not connect\|Connection refused\|timed out' "$work/gdb" || break
    sleep 0.5
done
wait $machine
status=$?
cat "$work/serial" >>"$work/gdb"
echo "status $status" >>"$work/gdb"
expect "code that is data is refused, and named" 'PANIC: page fault: executing 0xffffffff'
expect "who jumped there is found on the stack" '#1 .* step_acpi+0x'
expect "a fault in the report is told in one line" '^panic inside the panic: page fault: executing 0x0'
expect "the machine still ends as the command line says" '^status 35$'
echo "1..$number"
exit $failed
