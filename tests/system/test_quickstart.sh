#!/usr/bin/env bash
# Quick Start: the two programs that everybody reads first compile and run as they are printed.
#
# Compiles examples/quickstart_*.c as a user would, against an installed tree, through
# pkg-config, with the archive and with the shared object, in C and with C++ headers.
# Reads CC; prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
cc=${CC:-gcc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

number=0
failed=0
# expect PROMISE COMMAND...: one test; the command must succeed.
expect() {
    local promise=$1 verdict=ok
    shift
    number=$((number + 1))
    "$@" >"$work/output" 2>&1 || verdict="not ok" failed=1
    echo "$verdict $number - $promise"
    [[ $verdict == ok ]] || sed 's/^/#   /' "$work/output"
}

stage=$work/stage
prefix=/opt/gmk
expect "make install fills an empty folder" \
    env -u MAKEFLAGS -u MAKELEVEL make -s install DESTDIR="$stage" PREFIX=$prefix

pc() {
    PKG_CONFIG_PATH=$stage$prefix/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage \
        pkg-config "$@" libgmk_cpu
}

# build NAME SOURCE shared|archive: compiles and links one program against the tree.
# Its flags are what a careful user has, less the one about a value that is never used.
build() {
    local flags=(-std=c11 -Wall -Wextra -Werror -Wno-unused)
    # shellcheck disable=SC2046
    if [[ $3 == archive ]]; then
        $cc "${flags[@]}" -o "$1" "$2" $(pc --cflags) "$stage$prefix/lib/libgmk_cpu.a" -pthread
    else
        $cc "${flags[@]}" -o "$1" "$2" $(pc --cflags --libs)
    fi
}

# runs PROGRAM: exits with 0, says nothing, and does so within ten seconds.
runs() {
    local said
    said=$(LD_LIBRARY_PATH=$stage$prefix/lib timeout 10 "$1" 2>&1)
    local status=$?
    echo "exit status $status, output: $said"
    [[ $status == 0 && -z $said ]]
}

# The handler with a statement in the place of its comment, to see that it was run.
told() {
    sed -e 's|// \.\.\. process task \.\.\.|printf("value %d\\n", (int)value);|' \
        -e 's|^#include "g|#include <stdio.h>\n&|' "$1" >"$work/told.c"
    build "$work/told" "$work/told.c" "$2" &&
        LD_LIBRARY_PATH=$stage$prefix/lib timeout 10 "$work/told" >"$work/said"
    local status=$?
    echo "exit status $status, output: $(cat "$work/said")"
    [[ $status == 0 && $(cat "$work/said") == "value 42" ]]
}

linked_to() { # PROGRAM shared|archive
    local needs
    needs=$(readelf -d "$1" | grep -c 'libgmk_cpu.so')
    echo "$1 names the shared object $needs times"
    [[ $needs == $([[ $2 == shared ]] && echo 1 || echo 0) ]]
}

for spelling in ggmk gmk; do
    source=examples/quickstart_$spelling.c
    for kind in shared archive; do
        program=$work/$spelling-$kind
        expect "\"$spelling/$spelling.h\": compiles with the $kind library, warnings on" \
            build "$program" "$source" $kind
        expect "\"$spelling/$spelling.h\": is linked to the $kind library" linked_to "$program" $kind
        expect "\"$spelling/$spelling.h\": runs to the end and says nothing ($kind)" runs "$program"
        expect "\"$spelling/$spelling.h\": the handler gets the 42 before halt returns ($kind)" \
            told "$source" $kind
    done
done

same_program() {
    diff <(sed '1,/^#include/d' examples/quickstart_ggmk.c) \
        <(sed '1,/^#include/d' examples/quickstart_gmk.c)
}
expect "both spellings are the same program" same_program

headers_are_cxx() {
    local header
    for header in ggmk/ggmk.h gmk/gmk.h ggmk/sandbox.h; do
        printf '#include "%s"\nint main() { gmk_task_t t{}; return t.type ? 1 : GMK_OK; }\n' \
            "$header" >"$work/user.cc"
        # shellcheck disable=SC2046
        g++ -std=c++17 -Wall -Wextra -Werror -o "$work/user" "$work/user.cc" \
            $(pc --cflags --libs) && LD_LIBRARY_PATH=$stage$prefix/lib "$work/user" || return 1
    done
}
expect "the installed headers compile as C++17" headers_are_cxx

exit $failed
