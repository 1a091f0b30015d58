#!/usr/bin/env python3
# Image tool: scripts/mkdisk writes what the loader reads, and refuses what makes no image.

import importlib.machinery
import importlib.util
import re
import struct
import unittest
import zlib

LOADER = importlib.machinery.SourceFileLoader("mkdisk", "scripts/mkdisk")
SPEC = importlib.util.spec_from_loader("mkdisk", LOADER)
mkdisk = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(mkdisk)

STAGE1 = bytes(range(256)) + bytes(254) + b"\x55\xaa"
STAGE2 = bytes(range(1, 255)) * 20
KERNEL = b"\x7fELF" + b"kernel" * 1000
INITRD = b"070701" + b"initrd" * 5000


def image(**changes):
    parts = {"stage1": STAGE1, "stage2": STAGE2, "kernel": KERNEL, "initrd": INITRD,
             "screen": (1024, 768), "cmdline": "log=debug"}
    return mkdisk.build(**{**parts, **changes})


class Promises(unittest.TestCase):
    def test_constants_are_those_of_the_loader(self):
        with open("boot/bios/layout.h", encoding="utf-8") as file:
            layout = dict(re.findall(r"#define (\w+)\s+(\w+)", file.read()))
        for theirs, ours in {"SECTOR_SIZE": mkdisk.SECTOR, "STAGE2_LBA": 1,
                             "STAGE2_SECTORS": mkdisk.STAGE2_SECTORS,
                             "HEADER_LBA": mkdisk.HEADER_LBA,
                             "HEADER_SECTORS": mkdisk.HEADER_SECTORS,
                             "HEADER_VERSION": mkdisk.HEADER_VERSION,
                             "HEADER_CMDLINE": mkdisk.CMDLINE_AT}.items():
            self.assertEqual(int(layout[theirs], 0), ours, theirs)

    def test_the_boot_record_keeps_its_code_and_gets_one_active_partition(self):
        made = image()
        self.assertEqual(made[:446], STAGE1[:446])
        self.assertEqual(made[510:512], b"\x55\xaa")
        self.assertEqual([made[446 + 16 * i] for i in range(4)], [0x80, 0, 0, 0])
        self.assertEqual(struct.unpack_from("<II", made, 454), (1, len(made) // 512 - 1))

    def test_the_words_of_stage_2_add_up_to_zero(self):
        stage2 = bytes(image()[512:512 * 32])
        self.assertEqual(stage2[:len(STAGE2)], STAGE2)
        self.assertEqual(sum(struct.unpack(f"<{len(stage2) // 4}I", stage2)) & 0xFFFFFFFF, 0)

    def test_the_header_tells_where_the_files_are_and_their_checksums(self):
        made = image()
        header = bytearray(made[512 * 32:512 * 40])
        magic, crc, version = struct.unpack_from("<8sII", header)
        self.assertEqual((magic, version), (b"GGMKDISK", 1))
        header[8:12] = bytes(4)
        self.assertEqual(zlib.crc32(header), crc)
        for at, data in ((16, KERNEL), (28, INITRD)):
            lba, size, crc = struct.unpack_from("<III", header, at)
            self.assertEqual(bytes(made[lba * 512:lba * 512 + size]), data)
            self.assertEqual(zlib.crc32(data), crc)
        self.assertEqual(struct.unpack_from("<II", header, 40), (1024, 768))
        self.assertEqual(bytes(header[512:522]), b"log=debug\0")

    def test_without_initrd_its_size_is_zero(self):
        self.assertEqual(struct.unpack_from("<III", image(initrd=b""), 512 * 32 + 28), (0, 0, 0))

    def test_the_same_input_makes_the_same_image_of_whole_mebibytes(self):
        self.assertEqual(image(), image())
        self.assertEqual(len(image()) % (1 << 20), 0)

    def test_what_makes_no_image_is_refused(self):
        for change in ({"stage1": STAGE1[:-1]}, {"stage1": b"\x01" * 510 + b"\x55\xaa"},
                       {"stage2": bytes(31 * 512)}, {"cmdline": "x" * 3584}, {"kernel": b""}):
            with self.assertRaises(mkdisk.Refused):
                image(**change)
        for text in ("big", "1024", "x", "1024x768x32"):
            with self.assertRaises(mkdisk.Refused):
                mkdisk.screen_of(text)
        self.assertEqual(mkdisk.screen_of("text"), (0, 0))
        self.assertEqual(mkdisk.screen_of("800x600"), (800, 600))


class Tap(unittest.TextTestResult):
    def line(self, word, test):
        print(f"{word} - mkdisk: {test._testMethodName[5:].replace('_', ' ')}")

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line("not ok", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.line("not ok", test)


if __name__ == "__main__":
    unittest.main(testRunner=unittest.TextTestRunner(resultclass=Tap, verbosity=0))
