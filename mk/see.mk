# Seeing: what shows the kernel at work: a trace to look at, a debugger, the monitor's test.

# Where the scripts look for the image (mk/kernel.mk makes it there for gcc and STANDARD).
SEE_IMAGE := $(if $(filter build/kernel,$(KERNEL_DIR)),build/gmk_kernel.elf,$(KERNEL_ELF))

trace: kernel initrd | $(DEPS) ## run the kernel under a load and write its trace, build/trace.fxt
	@scripts/trace --out build/trace.fxt $(SEE_IMAGE) -- --initrd build/initrd.cpio --cpus 2

# A hardware breakpoint: when the debugger attaches, nothing is loaded yet.
GDB_PORT ?= 1234
run-debug: kernel initrd | $(DEPS) ## boot and wait for gdb, whose command line is printed
	@echo "The machine waits. In another terminal:"
	@echo
	@echo "    gdb -ex 'target remote localhost:$(GDB_PORT)' -ex 'hbreak kernel_main' -ex continue $(SEE_IMAGE)"
	@echo
	@scripts/qemu --kernel $(SEE_IMAGE) --initrd build/initrd.cpio --gdb $(GDB_PORT)

.PHONY: trace run-debug

ifeq ($(SAN)$(COV),)
test: kernel initrd
endif

kernel-kdb: kernel initrd ## type every command of the monitor into a booted machine
	$(LIVE)$(RUN_TESTS) tests/system/kernel-kdb.sh
.PHONY: kernel-kdb
