# Images: media that a machine boots from, and the loaders of ours that are on them.
#
#   make iso          build/gmk.iso: GRUB, for BIOS and UEFI in one, CD and USB
#   make iso BOOTLOADER=limine LIMINE_DIR=...   the same with a Limine that the user has built
#   make disk-image   build/gmk_disk.img: our own loader (boot/bios), for BIOS
#
# CMDLINE="..." is the kernel's command line, SCREEN=1024x768|text the disk image's wish for a
# screen. IMAGE_KERNEL and IMAGE_INITRD name other contents, ISO and DISK other results.

CMDLINE ?=
SCREEN ?= 1024x768
BOOTLOADER ?= grub
IMAGE_KERNEL ?= $(KERNEL_ELF)
IMAGE_INITRD ?= build/initrd.cpio
ISO ?= build/gmk.iso
DISK ?= build/gmk_disk.img
IMAGE_OUT ?= build/image

ifeq ($(filter grub limine,$(BOOTLOADER)),)
$(error BOOTLOADER=$(BOOTLOADER) is unknown: use grub or limine)
endif

# Other settings mean other images.
$(IMAGE_OUT)/settings: force
	@mkdir -p $(@D)
	@printf '%s\n' '$(IMAGE_KERNEL) $(IMAGE_INITRD) $(SCREEN) $(BOOTLOADER) $(LIMINE_DIR)' \
		"$$IMAGE_CMDLINE" | cmp -s - $@ || printf '%s\n' \
		'$(IMAGE_KERNEL) $(IMAGE_INITRD) $(SCREEN) $(BOOTLOADER) $(LIMINE_DIR)' "$$IMAGE_CMDLINE" > $@
$(IMAGE_OUT)/settings $(ISO) $(DISK): export IMAGE_CMDLINE := $(CMDLINE)

# Loaders read the whole file, so debug information stays at home. The names of functions are in
# the kernel's read-only data.
$(IMAGE_OUT)/gmk_kernel.elf: $(IMAGE_KERNEL) $(IMAGE_OUT)/settings
	@mkdir -p $(@D)
	@objcopy --strip-all $< $@

# ---- Our own loader -----------------------------------------------------------------
# 32-bit code for any CPU, so that an old one gets a message instead of a fault. The folder
# itself holds the loader's <string.h>.
BIOS_OUT := $(IMAGE_OUT)/bios
BIOS_OBJS := $(patsubst %,$(BIOS_OUT)/%.o,stage2.S main.c machine.c disk.c screen.c kernel.c elf.c)
BIOS_CFLAGS := -std=c11 -Os $(WARNINGS) -m32 -march=i386 -ffreestanding -fno-pic -fno-pie \
	-fno-stack-protector -fno-asynchronous-unwind-tables -Iboot/bios -I.

$(BIOS_OUT)/%.o: boot/bios/% mk/image.mk
	@mkdir -p $(@D)
	@echo "  CC      $<  (loader)"
	@$(CC) $(BIOS_CFLAGS) -MMD -MP -c -o $@ $<
$(BIOS_OUT)/%.o: lib/% mk/image.mk
	@mkdir -p $(@D)
	@echo "  CC      $<  (loader)"
	@$(CC) $(BIOS_CFLAGS) -MMD -MP -c -o $@ $<
-include $(wildcard $(BIOS_OUT)/*.d)

$(BIOS_OUT)/stage1.bin: $(BIOS_OUT)/stage1.S.o
	@ld -m elf_i386 -Ttext 0x7c00 -e stage1 --oformat binary -o $@ $<
$(BIOS_OUT)/stage2.bin: $(BIOS_OBJS) boot/bios/stage2.lds
	@echo "  LD      $@"
	@ld -m elf_i386 --fatal-warnings -T boot/bios/stage2.lds -o $(@:.bin=.elf) $(BIOS_OBJS)
	@objcopy -O binary $(@:.bin=.elf) $@

$(DISK): $(BIOS_OUT)/stage1.bin $(BIOS_OUT)/stage2.bin $(IMAGE_OUT)/gmk_kernel.elf $(IMAGE_INITRD) \
		$(IMAGE_OUT)/settings scripts/mkdisk
	@mkdir -p $(@D)
	@echo "  DISK    $@"
	@scripts/mkdisk --stage1 $(BIOS_OUT)/stage1.bin --stage2 $(BIOS_OUT)/stage2.bin \
		--kernel $(IMAGE_OUT)/gmk_kernel.elf --initrd $(IMAGE_INITRD) \
		--cmdline "$$IMAGE_CMDLINE" --screen '$(SCREEN)' -o $@

disk-image: $(DISK) ## build a raw disk with our own BIOS loader, build/gmk_disk.img

# ---- ISO -------------------------------------------------------------------------------
# The loader's configuration with the command line in it; GRUB's is between single quotes.
$(IMAGE_OUT)/%.done: $(IMAGE_OUT)/gmk_kernel.elf $(IMAGE_INITRD) boot/grub/grub.cfg \
		boot/limine/limine.conf
	@rm -rf $(@:.done=) && mkdir -p $(@:.done=)/boot/grub
	@case "$$IMAGE_CMDLINE" in *"'"*) echo "CMDLINE: no single quotes, please" >&2; exit 1 ;; esac
	@cp $(IMAGE_OUT)/gmk_kernel.elf $(@:.done=)/boot/
	@cp $(IMAGE_INITRD) $(@:.done=)/boot/initrd.cpio
	@python3 -c 'import os, sys; t = sys.stdin.read(); \
		sys.stdout.write(t.replace("@CMDLINE@", os.environ["IMAGE_CMDLINE"]))' \
		<$(if $(filter grub,$*),boot/grub/grub.cfg,boot/limine/limine.conf) \
		>$(@:.done=)/boot/$(if $(filter grub,$*),grub/grub.cfg,limine.conf)
	@touch $@

# GRUB's first stage asks for every part_* module, and complains about each one missing.
GRUB_MODULES := normal multiboot2 serial terminal all_video iso9660 fat search test echo boot \
	part_acorn part_amiga part_apple part_bsd part_dfly part_dvh part_gpt part_msdos part_plan \
	part_sun part_sunpc

define iso_grub
	@grub-mkrescue --install-modules='$(GRUB_MODULES)' --fonts= --themes= --locales= \
		-o $1 $(IMAGE_OUT)/grub >$(IMAGE_OUT)/mkrescue.log 2>&1 || \
		{ cat $(IMAGE_OUT)/mkrescue.log >&2; rm -f $1; exit 1; }
endef

# As Limine's USAGE.md says, chapter "BIOS/UEFI hybrid ISO creation".
define iso_limine
	@for f in limine-bios-cd.bin limine-uefi-cd.bin limine-bios.sys BOOTX64.EFI limine; do \
		test -e "$(LIMINE_DIR)/$$f" || \
		{ echo "LIMINE_DIR=$(LIMINE_DIR) has no $$f: name the folder of a Limine v8 build" >&2; \
		exit 1; }; done
	@cp $(addprefix $(LIMINE_DIR)/,limine-bios-cd.bin limine-uefi-cd.bin limine-bios.sys) \
		$(IMAGE_OUT)/limine/boot/
	@mkdir -p $(IMAGE_OUT)/limine/EFI/BOOT
	@cp $(wildcard $(LIMINE_DIR)/BOOT*.EFI) $(IMAGE_OUT)/limine/EFI/BOOT/
	@xorriso -as mkisofs -quiet -b boot/limine-bios-cd.bin -no-emul-boot -boot-load-size 4 \
		-boot-info-table --efi-boot boot/limine-uefi-cd.bin -efi-boot-part --efi-boot-image \
		--protective-msdos-label $(IMAGE_OUT)/limine -o $1
	@$(LIMINE_DIR)/limine bios-install $1
endef

$(ISO): $(IMAGE_OUT)/$(BOOTLOADER).done $(IMAGE_OUT)/settings
	@mkdir -p $(@D)
	@echo "  ISO     $@  ($(BOOTLOADER))"
	$(call iso_$(BOOTLOADER),$@)

iso: $(ISO) ## build a CD and USB image for BIOS and UEFI, build/gmk.iso

# ---- A loader that speaks Limine, for tests ---------------------------------------------
# 64-bit code in a 32-bit ELF file, which is what QEMU's Multiboot takes.
TESTLOAD := $(IMAGE_OUT)/testload.elf
TESTLOAD_OBJS := $(patsubst %,$(IMAGE_OUT)/testload/%.o,start.S main.c memory.c mp.c elf.c \
	$(notdir $(wildcard lib/acpi*.c)))
TESTLOAD_CFLAGS := -std=c11 -O2 $(WARNINGS) -ffreestanding -fno-pic -fno-pie -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -I.

$(IMAGE_OUT)/testload/%.o: boot/limine/testload/% mk/image.mk
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(TESTLOAD_CFLAGS) -MMD -MP -c -o $@ $<
$(IMAGE_OUT)/testload/%.o: lib/% mk/image.mk
	@mkdir -p $(@D)
	@echo "  CC      $<  (testload)"
	@$(CC) $(TESTLOAD_CFLAGS) -MMD -MP -c -o $@ $<
-include $(wildcard $(IMAGE_OUT)/testload/*.d)

$(TESTLOAD): $(TESTLOAD_OBJS) boot/limine/testload/testload.lds
	@echo "  LD      $@"
	@ld --fatal-warnings --no-warn-rwx-segments -z noexecstack -T boot/limine/testload/testload.lds -o $@.64 $(TESTLOAD_OBJS)
	@objcopy -O elf32-i386 $@.64 $@

# What tests/system/boot-roads.sh puts together in its own ways.
image-parts: $(BIOS_OUT)/stage1.bin $(BIOS_OUT)/stage2.bin $(IMAGE_OUT)/gmk_kernel.elf $(TESTLOAD)

.PHONY: iso disk-image image-parts
