#!/usr/bin/env bash
# Faults: each mistake of a kernel ends in a report that names it and the function that made it.
#
# tests/kernel/faults makes one mistake per boot. Every report is checked for its reason, the
# registers where a fault had some, the names in the backtrace, and the exit status. Reads
# GMK_IMAGES (folder of the images); prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
image=${GMK_IMAGES:-build}/gmk_ktests.elf
failed=0

# report NAME LINE...: the guest's output has lines that match, in this order.
report() {
    local name=$1 expected=()
    shift
    for line in "$@"; do expected+=(--expect "$line"); done
    scripts/run-guest --name "fault: $name" --words "tests=fault:$name" --limit 60 \
        "${expected[@]}" "$image" -- --memory 64 --cpus 2 --machine microvm || failed=1
}

# fault NAME REASON LINE...: a panic for this reason, then what else its report must say.
fault() {
    local name=$1 reason=$2
    shift 2
    report "$name" "^PANIC: .*$reason" '^on CPU [0-9]+, thread (tests|none|gmk)' "$@" run_all
}

# broken NAME MESSAGE FUNCTION...: the same for an assertion, whose place the log names.
broken() {
    local name=$1 message=$2
    shift 2
    report "$name" "error assert: $message \\(.* is false at .*:[0-9]+\\)" "^PANIC: $message" "$@"
}
registers='^rip [0-9a-f]{16} .*'

fault guard-page "page fault: writing .*guard page" "$registers" touch_guard_page
fault divide "divide error" "$registers" divide_by_zero
fault protection "general protection" "$registers" use_crooked_address
fault null-read "page fault: reading .*NULL" "$registers" read_null
fault null-call "page fault: executing .*NULL" "$registers" call_null
fault write-code "page fault: writing .*does not allow" "$registers" write_code
fault write-constant "page fault: writing .*does not allow" "$registers" write_constant
fault run-data "page fault: executing .*does not allow" "$registers" run_data
fault nmi "non-maskable interrupt" "$registers" "send_nmi|apic_send"
report stack-overflow '^PANIC: double fault: the stack has overflowed' "$registers" recurse recurse
report smashed-stack '^PANIC: double fault' "$registers" fault_smash_stack

broken assert "zero is one" break_invariant run_all
broken task-assert "the task is the first" broken_handler worker_main
broken frame-twice "a frame is freed once" free_frame_twice run_all
fault lock-twice "LOCK_LEAF: this CPU holds it already" take_lock_twice
fault lock-order "LOCK_IRQ_TABLE wanted while LOCK_LEAF is held" take_locks_in_wrong_order
fault free-twice "0x[0-9a-f]+ .*(free|given)" free_twice
fault write-past "0x[0-9a-f]+ was written past its end" write_past_block
fault deaf-cpu "CPU [01] does not answer" wait_for_deaf_cpu

# The tests of the tests: a failure is counted, and the host names a test that hangs.
scripts/run-guest --name "a failing test is counted" --words tests=fault:failing-test --limit 60 \
    --expect '^# .*faults.c:[0-9]+: 0x1 != 0x0' --expect '^not ok 1 - fault: fails' \
    --expect '^ok 2 - fault: passes' --expect '^1 passed, 1 failed$' \
    "$image" -- --memory 64 --machine microvm || failed=1
said=$(scripts/run-guest --name hang --words tests=fault:hanging-test --silence 5 \
    "$image" -- --memory 64 --machine microvm 2>&1)
if grep -q '^not ok - hang: silent for 5.0 s, while fault: hangs was running' <<<"$said"; then
    echo "ok - a hanging test is ended and named"
else
    echo "not ok - a hanging test is ended and named"
    echo "# ${said//$'\n'/$'\n'# }"
    failed=1
fi
exit $failed
