#!/usr/bin/env bash
# Roads: the kernel boots by every road that a user may come, and a damaged medium says so.
#
# Builds its own media from GMK_IMAGES (folder of the images) with GRUB and with our loader, and
# boots them under SeaBIOS and OVMF. The Limine road runs on the loader in boot/limine/testload;
# where LIMINE_DIR names a build of Limine it runs on that one too. Prints TAP. The promises are in
# image_tool.py and boot_roads.py. GMK_ROADS=PATTERN runs only the boots whose names match.
set -u
cd "$(dirname "$0")/../.." || exit 1
images=${GMK_IMAGES:-build}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build() {
    MAKEFLAGS='' MAKELEVEL=1 make -s IMAGE_KERNEL="$images/gmk_kernel.elf" IMAGE_OUT="$work/image" \
        ISO="$work/gmk.iso" DISK="$work/gmk.img" "$@" >"$work/make.log" 2>&1 ||
        { cat "$work/make.log" && exit 1; }
}
failed=0
build image-parts disk-image CMDLINE=sesame
python3 tests/system/image_tool.py || failed=1
build iso CMDLINE=sesame
if [[ -n ${LIMINE_DIR:-} ]]; then
    build iso BOOTLOADER=limine LIMINE_DIR="$LIMINE_DIR" ISO="$work/limine.iso" CMDLINE=sesame
fi
python3 tests/system/boot_roads.py "$work" build/initrd.cpio "$images" || failed=1
exit "$failed"
