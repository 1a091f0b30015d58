#!/usr/bin/env python3
# Roads: boots media in QEMU and waits for what must be said on the serial line.
#
# boot_roads.py WORK INITRD IMAGES: WORK holds gmk.iso, gmk.img, image/ and perhaps limine.iso, as
# boot-roads.sh made them. One line of TAP per boot.

import os
import re
import subprocess
import sys
import threading
import time

LIMIT = 60  # seconds per boot; OVMF takes most of them
ANSI = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|[\r\0]")
DISK_KERNEL = 40 * 512  # where scripts/mkdisk puts it
BAD = re.compile(r"PANIC|could not be|is left alone: [^t]")

WORK, INITRD, IMAGES = sys.argv[1:4]
KERNEL = f"{WORK}/image/gmk_kernel.elf"
ONLY = re.compile(os.environ.get("GMK_ROADS", ""))
failed = False


def up(road, cpus=2):
    """What a kernel says that came up whole: its road, the command line's word, files, CPUs."""
    return [rf"boot: GGMK .*, by {road}\b", r"sesame", r"initrd: [1-9]\d* entries",
            rf"cpu: {cpus} online", r"boot: up after"]


def boot(name, wanted, *options, bad=BAD, limit=LIMIT):
    """One boot: all of `wanted` must be seen, nothing of `bad`, before the limit."""
    global failed
    if not ONLY.search(name):
        return
    guest = subprocess.Popen(["scripts/qemu", *options], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    timer = threading.Timer(limit, guest.kill)
    timer.start()
    started = time.monotonic()
    lines, missing, wrong = [], list(wanted), None
    for raw in iter(guest.stdout.readline, b""):
        line = ANSI.sub("", raw.decode("utf-8", "replace")).rstrip()
        lines.append(line)
        missing = [text for text in missing if not re.search(text, line)]
        wrong = line if bad and bad.search(line) else wrong
        if not missing or wrong:
            break
    timer.cancel()
    guest.kill()
    guest.wait()
    good = not missing and not wrong
    print(f"{'ok' if good else 'not ok'} - {name}  ({time.monotonic() - started:.1f} s)", flush=True)
    if not good:
        failed = True
        print(f"# missing: {missing}" if missing else f"# wrong: {wrong}")
        print("\n".join(f"# {line}" for line in lines[-40:]))
        print(f"# scripts/qemu {' '.join(options)}", flush=True)


def disk(name, initrd=INITRD, **options):
    """Another image of our own loader; its path."""
    path = f"{WORK}/{name}.img"
    command = ["scripts/mkdisk", "--stage1", f"{WORK}/image/bios/stage1.bin",
               "--stage2", f"{WORK}/image/bios/stage2.bin", "--kernel", KERNEL, "-o", path]
    if initrd:
        command += ["--initrd", initrd]
    for key, value in options.items():
        command += [f"--{key}", value]
    subprocess.run(command, check=True)
    return path


def changed(name, at):
    """The image with one bit of byte `at` flipped; its path."""
    with open(f"{WORK}/gmk.img", "rb") as file:
        image = bytearray(file.read())
    image[at] ^= 1
    path = f"{WORK}/{name}.img"
    with open(path, "wb") as file:
        file.write(image)
    return path


def good_roads():
    boot("PVH", up("pvh"), "--kernel", KERNEL, "--initrd", INITRD, "--append", "sesame")
    iso = f"{WORK}/gmk.iso"
    grub = up("multiboot2 from GRUB")
    boot("Multiboot2: GRUB under SeaBIOS", [*grub, "screen: 128 x 48"], "--iso", iso)
    boot("Multiboot2: no screen", grub, "--iso", iso, "--vga", "none")
    boot("Multiboot2: GRUB under OVMF", [*grub, "screen: 128 x 48"], "--iso", iso, "--uefi",
         limit=2 * LIMIT)
    image, bios = f"{WORK}/gmk.img", up("bios")
    boot("own loader: SATA", [*bios, "screen: 128 x 48"], "--disk", image)
    boot("own loader: IDE", bios, "--disk", image, "--machine", "pc")
    boot("own loader: virtio", bios, "--", "-drive", f"file={image},format=raw,if=virtio,snapshot=on")
    boot("own loader: no screen", bios, "--disk", image, "--vga", "none")
    boot("own loader: 16 MiB, 1 CPU", up("bios", 1), "--disk", image, "--memory", "16", "--cpus",
         "1", "--vga", "none")
    boot("own loader: memory above 4 GiB", bios, "--disk", image, "--memory", "5120")
    boot("own loader: text mode", [*bios, "screen: 80 x 25"], "--disk",
         disk("text", cmdline="sesame", screen="text"))
    boot("own loader: no initrd", ["no archive came", "boot: up after"], "--disk",
         disk("bare", initrd=None), "--vga", "none")
    words = "sesame " + "log=info " * 300
    boot("own loader: a command line longer than the kernel keeps",
         ["sesame", f"the command line has {len(words)} bytes", "boot: up after"], "--disk",
         disk("long", cmdline=words), "--vga", "none")


def limine_roads():
    def load(name, wanted, *options, words="sesame"):
        boot(f"Limine: test loader, {name}", wanted, "--kernel", f"{WORK}/image/testload.elf",
             "--append", words, *options, "--", "-initrd", f"{KERNEL},{INITRD}")

    test = "limine from testload"
    for cpus in (1, 2, 4):
        load(f"CPUs {cpus}", up(test, cpus), "--cpus", str(cpus))
    load("CPUs 4, three of them unwanted", up(test, 1), "--cpus", "4", words="sesame cpus=1")
    load("memory above 4 GiB", up(test), "--memory", "5120")
    load("a plain CPU", up(test), "--cpu", "qemu64")
    load("no memory to spare", up(test), "--memory", "48")
    if not os.path.exists(f"{WORK}/limine.iso"):
        print("ok - Limine: a real one # SKIP LIMINE_DIR names no build of Limine")
        return
    real = up("limine from Limine")
    boot("Limine: a real one under SeaBIOS", real, "--iso", f"{WORK}/limine.iso")
    boot("Limine: a real one under OVMF", real, "--iso", f"{WORK}/limine.iso", "--uefi",
         limit=2 * LIMIT)


def bad_media():
    files = -(-os.path.getsize(KERNEL) // 4096) * 4096
    for what, at in (("stage 2", 512 + 77), ("the header", 32 * 512 + 600),
                     ("the kernel", DISK_KERNEL + 5000), ("the initrd", DISK_KERNEL + files + 100)):
        boot(f"own loader: a damaged image: {what}",
             [f"GGMK loader: image damaged: checksum of {what}. Stopped"], "--disk",
             changed("damaged", at))
    boot("own loader: an image that is none", ["image damaged: no header in sector 32. Stopped"],
         "--disk", changed("foreign", 32 * 512))
    noise = f"{WORK}/noise"
    with open(noise, "wb") as file:
        file.write(os.urandom(2 << 20))
    cut = disk("cut", initrd=noise)
    os.truncate(cut, 1 << 20)
    error = [r"GGMK loader: disk error: sectors \d+ to \d+ cannot be read, BIOS status \w+. Stopped"]
    boot("own loader: a disk that ends too early", error, "--disk", cut)
    long = ["GGMK loader: this CPU has no long mode: GGMK needs a 64-bit CPU. Stopped"]
    for cpu in ("qemu64,-lm", "pentium3", "486"):
        boot(f"own loader: CPU {cpu}", long, "--disk", f"{WORK}/gmk.img", "--cpu", cpu)
    boot("own loader: 2 MiB of memory", ["GGMK loader: not enough memory.* Stopped"], "--disk",
         f"{WORK}/gmk.img", "--memory", "2", "--vga", "none")


good_roads()
limine_roads()
bad_media()
sys.exit(failed)
