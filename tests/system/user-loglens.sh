#!/usr/bin/env bash
# Loglens on units: reader, counter and reducer, each in a unit of its own, find in the archive's text exactly
# what the hosted example finds in it, to the byte, on 1, 2 and 4 CPUs.
#
# Reads GMK_IMAGES (folder of the images and archives) and GMK_BUILD (folder of the examples); prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
images=${GMK_IMAGES:-build/checked}
host=${GMK_BUILD:-build}/examples/loglens
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

# The very text that travels in the archive, and what the hosted example says of it.
corpus=usr/share/corpus.txt
cpio -i --quiet --to-stdout "$corpus" <"$images/initrd.cpio" >"$work/corpus.txt" 2>"$work/errors" ||
    cpio -i --quiet --to-stdout "./$corpus" <"$images/initrd.cpio" >"$work/corpus.txt" || exit 1
"$host" --all "$work/corpus.txt" >"$work/host" || exit 1
words=$(wc -l <"$work/host")

for cpus in 1 2 4; do
    scripts/qemu --kernel "$images/gmk_kernel.elf" --initrd "$images/initrd.cpio" --cpus "$cpus" \
        --append "init=bin/loglens init-end=off exit=debug panic=exit kdb=off" 2>&1 |
        tr -d '\r' >"$work/log"
    status=${PIPESTATUS[0]}
    sed -n 's/^\[[^]]*\] info  loglens_reducer: //p' "$work/log" | grep -v '^#' >"$work/units"
    if [[ $words -gt 1000 && $status -eq 33 ]] && cmp -s "$work/host" "$work/units"; then
        echo "ok - loglens on units, $cpus CPUs: the same $words words as on the host"
    else
        echo "not ok - loglens on units, $cpus CPUs: status $status, $(wc -l <"$work/units") words of $words"
        diff "$work/host" "$work/units" | head -5 | sed 's/^/# /'
        tail -5 "$work/log" | sed 's/^/# /'
        failed=1
    fi
done
exit "$failed"
