#!/usr/bin/env bash
# Library: what is built and installed is what a user of a library expects of one.
#
# Reads GMK_BUILD (folder of libgmk_cpu.a and .so) and CC; prints TAP.
set -u
cd "$(dirname "$0")/../.."
build=$(realpath "${GMK_BUILD:-build}")
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

# Prints the defined global symbols of a library that do not begin with gmk_; fails if any.
only_gmk_symbols() { ! "$@" | awk 'NF == 3 { print $3 }' | grep -v '^gmk_'; }
expect "the archive defines only gmk_ names" \
    only_gmk_symbols nm -g --defined-only "$build/libgmk_cpu.a"
expect "the shared object exports only gmk_ names" \
    only_gmk_symbols nm -D --defined-only "$build/libgmk_cpu.so"

same_symbols() {
    diff <(nm -g --defined-only "$build/libgmk_cpu.a" | awk 'NF == 3 { print $3 }' | sort) \
        <(nm -D --defined-only "$build/libgmk_cpu.so" | awk 'NF == 3 { print $3 }' | sort)
}
expect "archive and shared object offer the same names" same_symbols

# Every function declared in the public headers is there.
all_declared() {
    local missing=0 name
    for name in $(cat include/ggmk/*.h | grep -v '^ \*' | tr '\n' ' ' |
        grep -oE 'GMK_API [^;{]*\(' | grep -oE 'gmk_[a-z0-9_]+ ?\(' | tr -d ' (' | sort -u); do
        nm -D --defined-only "$build/libgmk_cpu.so" | grep -q " $name\$" ||
            { echo "$name() is declared and not defined"; missing=1; }
    done
    return $missing
}
expect "every function that the headers declare is defined" all_declared

soname_is() { readelf -d "$build/libgmk_cpu.so" | grep -q 'soname: \[libgmk_cpu.so.0\]'; }
expect "the shared object carries its SONAME" soname_is

# The stack must not be executable, nor any code relocated at run time.
hardened() {
    ! readelf -d "$build/libgmk_cpu.so" | grep -q TEXTREL &&
        ! readelf -lW "$build/libgmk_cpu.so" | grep 'GNU_STACK' | grep -q RWE
}
expect "the shared object needs no executable stack and no text relocation" hardened

stage=$work/stage
expect "make install fills DESTDIR" \
    env -u MAKEFLAGS -u MAKELEVEL make -s install DESTDIR="$stage" PREFIX=/opt/gmk
cat >"$work/user.c" <<'END'
#include <ggmk/ggmk.h>
#include <string.h>
/* Names that the library uses inside are free for its users. */
int ring_push(void);
int ring_push(void) { return 0; }
int main(void) { return strcmp(gmk_error_name(GMK_EINVAL), "GMK_EINVAL") + ring_push(); }
END
pc() {
    PKG_CONFIG_PATH=$stage/opt/gmk/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage \
        pkg-config "$@" libgmk_cpu
}
shared_user() {
    # shellcheck disable=SC2046
    $cc -std=c11 -o "$work/shared" "$work/user.c" $(pc --cflags --libs) &&
        LD_LIBRARY_PATH=$stage/opt/gmk/lib "$work/shared" &&
        readelf -d "$work/shared" | grep -q 'libgmk_cpu.so.0'
}
expect "a program builds against the installed shared object through pkg-config" shared_user
static_user() {
    # shellcheck disable=SC2046
    $cc -std=c11 -static -o "$work/static" "$work/user.c" $(pc --static --cflags --libs) &&
        "$work/static"
}
expect "a program builds statically against the installed archive through pkg-config" static_user

cxx_user() {
    g++ -std=c++17 -x c++ "$work/user.c" -x none -Iinclude -o "$work/cxx" \
        "$build/libgmk_cpu.a" -pthread && "$work/cxx"
}
expect "a C++ program builds against the archive" cxx_user

uninstalled() {
    env -u MAKEFLAGS -u MAKELEVEL make -s uninstall DESTDIR="$stage" PREFIX=/opt/gmk &&
        ! find "$stage" -type f -o -type l | grep .
}
expect "make uninstall takes back everything that make install put there" uninstalled

exit $failed
