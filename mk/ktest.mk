# Kernel tests: images whose payload is the tests, and the boots that run them.
#
# gmk_tests.elf runs the engine's own unit tests, unchanged, and then the kernel's; gmk_ktests.elf
# runs the kernel's only, needs little memory, and provokes faults (tests=fault:NAME).
#
# A program of tests/unit or tests/kernel becomes one object: with its own copy of tests/lib, with
# main() renamed after the program and every other name made local. tests/kernel/include stands in
# for the C library's headers, tests/kernel/lib for its functions and for cmocka.

# Whole programs that stay out of the guest, each with its reason. Single tests that stay out are in
# tests/kernel/hosted_only.h.
KTEST_WITHOUT := test_hal_linux # tests hal/linux; hal/kernel has ktest_hal
KTEST_WITHOUT += test_elf test_elf_load # compare with the C library's own elf.h
KTEST_WITHOUT += test_ktimer test_ksched test_kwait # bring a machine of their own (tests/fake_arch)
# Hosted tests of kernel code bring a machine of their own; in the guest the real one is tested.
KTEST_WITHOUT += $(basename $(notdir $(shell grep -lE \
	'^.include "(kernel|arch|boot|user|tests/fake_arch)/' tests/unit/test_*.c)))
# Last, because it fills the engine's table of module sections for good.
KTEST_LAST := test_module_section

KTEST_DIR := $(KERNEL_DIR)/tests
KTEST_ENGINE := $(filter-out $(KTEST_WITHOUT) $(KTEST_LAST),\
	$(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c)))
KTEST_KERNEL := $(patsubst tests/kernel/%.c,%,$(wildcard tests/kernel/ktest_*.c))
KTEST_PROGRAMS_tests := $(KTEST_ENGINE) $(KTEST_KERNEL) $(KTEST_LAST)
KTEST_PROGRAMS_ktests := $(KTEST_KERNEL)

KTEST_LIB := $(wildcard tests/kernel/lib/*.c tests/kernel/faults/*.[cS])
# What the kernel leaves out and tests look at.
KTEST_KERNEL_MORE := $(KERNEL_WITHOUT:%.c=$(KERNEL_DIR)/obj/%.o)

# ---- Compiling ------------------------------------------------------------------------
KTEST_COMPILE = $(CC) -nostdinc -isystem $(shell $(CC) -print-file-name=include) \
	-Itests/kernel/include $(KERNEL_CPPFLAGS) $(KERNEL_CFLAGS) -fno-builtin $(CFLAGS)

$(KTEST_DIR)/obj/%.o: %.c $(KTEST_DIR)/flags
	@mkdir -p $(@D)
	@echo "  CC      $<  (in the guest, $(KERNEL_VARIANT))"
	@$(KTEST_COMPILE) -MMD -MP -c -o $@ $<

$(KTEST_DIR)/obj/%.o: %.S $(KTEST_DIR)/flags
	@mkdir -p $(@D)
	@$(KTEST_COMPILE) -c -o $@ $<

$(KTEST_DIR)/flags: force
	@mkdir -p $(@D)
	@echo '$(KTEST_COMPILE)' | cmp -s - $@ || echo '$(KTEST_COMPILE)' > $@

-include $(shell find $(KTEST_DIR) -name '*.d' 2>/dev/null)

$(KTEST_DIR)/libtests.a: $(patsubst %.c,$(KTEST_DIR)/obj/%.o,$(wildcard tests/lib/*.c))
	@rm -f $@ && ar rcs $@ $^

# ---- Programs ---------------------------------------------------------------------------
# ktest_program(program, its object): one object that gives away main() and its constructors.
define ktest_program
$(KTEST_DIR)/$1.o: $2 $(KTEST_DIR)/libtests.a tests/kernel/program.lds
	@ld -r -T tests/kernel/program.lds -o $$@.all $2 $(KTEST_DIR)/libtests.a
	@objcopy $$(foreach s,main program_init program_init_end program_fini_end,\
		--redefine-sym $$s=$$(s)_of_$1 --keep-global-symbol=$$(s)_of_$1) $$@.all $$@
	@rm $$@.all
endef
$(foreach p,$(filter test_%,$(KTEST_PROGRAMS_tests)),\
	$(eval $(call ktest_program,$p,$(KTEST_DIR)/obj/tests/unit/$p.o)))
$(foreach p,$(KTEST_KERNEL),$(eval $(call ktest_program,$p,$(KTEST_DIR)/obj/tests/kernel/$p.o)))

# The table that the runner goes through.
define ktest_entry
extern int main_of_$1(void);\nextern void (*const program_init_of_$1[])(void), \
(*const program_init_end_of_$1[])(void), (*const program_fini_end_of_$1[])(void);\n
endef
define ktest_row
{"$1", main_of_$1, program_init_of_$1, program_init_end_of_$1, program_init_end_of_$1, \
program_fini_end_of_$1},\n
endef

# ktest_image(name, programs)
define ktest_image
$(KTEST_DIR)/$1.c: $(KTEST_DIR)/$1.programs
	@printf '#include "tests/kernel/lib/runner.h"\n$(foreach p,$2,$(call ktest_entry,$p))const struct program programs[] = {\n$(foreach p,$2,$(call ktest_row,$p)){0}};\nconst size_t program_count = sizeof(programs) / sizeof(programs[0]) - 1;\n' > $$@

$(KTEST_DIR)/$1.programs: force
	@mkdir -p $$(@D)
	@echo '$2' | cmp -s - $$@ || echo '$2' > $$@

$(KTEST_DIR)/$1.o: $(KTEST_DIR)/$1.c
	@$$(KTEST_COMPILE) -c -o $$@ $$<

KTEST_OBJS_$1 := $(KERNEL_OBJS) $(KTEST_KERNEL_MORE) $(patsubst %,$(KTEST_DIR)/obj/%.o,$(basename $(KTEST_LIB))) \
	$(KTEST_DIR)/$1.o $(patsubst %,$(KTEST_DIR)/%.o,$2)
$(KERNEL_DIR)/gmk_$1.elf: $$(KTEST_OBJS_$1) $(KERNEL_LDS) $(KERNEL_DIR)/sources scripts/ksyms
	$$(call kernel_link,$$@,$$(KTEST_OBJS_$1))
endef
$(eval $(call ktest_image,tests,$(KTEST_PROGRAMS_tests)))
$(eval $(call ktest_image,ktests,$(KTEST_PROGRAMS_ktests)))

ktest-images: $(KERNEL_DIR)/gmk_tests.elf $(KERNEL_DIR)/gmk_ktests.elf
.PHONY: ktest-images

# ---- Running ------------------------------------------------------------------------------
# The images with every check on, as unit tests have them, where the scripts look for them.
ktest-ready: | $(DEPS)
	$(LIVE)$(MAKE) PROFILE=$(TEST_PROFILE) ktest-images
	@mkdir -p build
	@for i in tests ktests; do \
		new=$(KOUT)$(if $(filter gcc-STANDARD,$(KTEST_VARIANT)),,-$(KTEST_VARIANT))/gmk_$$i.elf; \
		cmp -s $$new build/gmk_$$i.elf || cp $$new build/gmk_$$i.elf; done
KTEST_VARIANT := $(notdir $(lastword $(CC)))-$(TEST_PROFILE)

ifeq ($(SAN)$(COV),)
test: ktest-ready
endif

kernel-test: ktest-ready ## run the engine's and the kernel's tests inside the kernel, in one boot
	$(LIVE)$(RUN_TESTS) tests/system/kernel-tests.sh

kernel-faults: ktest-ready ## provoke each fault in the kernel and check its report
	$(LIVE)$(RUN_TESTS) tests/system/kernel-faults.sh

matrix: ktest-ready ## boot every kind of machine that QEMU offers, with the kernel's tests: long
	$(LIVE)tests/system/kernel-matrix.sh --full

soak-boot: kernel ## boot 100 times in a row, on machines in turn (COUNT=N: so many)
	$(LIVE)scripts/soak-boot --count $(or $(COUNT),100)

.PHONY: ktest-ready kernel-test kernel-faults matrix soak-boot
