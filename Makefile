# Build: one Makefile for the library, its tests, checks, benchmarks and installation.
#
# Everything built lands under build/, one folder per variant (compiler, profile,
# sanitizer), so that changing between variants rebuilds nothing. The library of the
# default variant is build/libgmk_cpu.a and build/libgmk_cpu.so.
#
# The parts: mk/build.mk (variants, compiling, the library), mk/test.mk (building and
# running tests), mk/check.mk (everything that judges the source), mk/install.mk.
# examples/examples.mk and bench/bench.mk add the programs that use the library.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:

include mk/build.mk
include mk/test.mk
include mk/check.mk
include mk/install.mk
include mk/kernel.mk
include mk/user.mk
-include mk/ktest.mk mk/image.mk mk/see.mk
-include examples/examples.mk
-include bench/bench.mk
-include bench/kernel/kernel.mk
-include bench/ipc/bench.mk

all: lib $(EXAMPLES) ## build the library and the examples

# On a terminal: Ctrl-A X ends the emulator, `poweroff` at the prompt the machine.
run: kernel initrd | $(DEPS) ## boot the kernel in QEMU: its programs, then its monitor on this terminal
	$(LIVE)scripts/qemu --kernel $(SEE_IMAGE) --initrd build/initrd.cpio --serial mon:stdio

# bench/bench.mk defines run-bench. It looks for the peers when it is read, so it is read
# again once they are installed.
bench: | $(DEPS) ## measure against the peers, write bench/results/
	$(LIVE)$(MAKE) run-bench

deps: ## install the Debian packages that all targets need
	+@scripts/deps build test run lint bench

clean: ## remove everything that was built
	@rm -rf build

help: ## show this list
	@echo 'make <target> [CC=gcc|clang] [PROFILE=DEV|STANDARD|HARDENED] [SAN=address,undefined|thread]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' \
		Makefile mk/build.mk mk/kernel.mk mk/user.mk mk/image.mk mk/see.mk mk/test.mk mk/ktest.mk mk/check.mk \
		mk/install.mk examples/examples.mk bench/kernel/kernel.mk bench/ipc/bench.mk
	@echo
	@echo '  PROFILE    how much the library checks itself: STANDARD unless given, DEV for unit tests'
	@echo '  SAN        sanitizer to build with; each choice has its own folder under build/'
	@echo '  test-PART  unit tests of one part: $(TEST_GROUPS)'

.PHONY: all run bench deps clean help
