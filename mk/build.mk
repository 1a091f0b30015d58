# Build rules: variants, flags, objects, and the library as archive and shared object.

# ---- What to build --------------------------------------------------------------
ifeq ($(origin CC),default)
CC := gcc
endif
# Unit tests run with every check of the DEV profile unless the caller names a profile.
TEST_PROFILE := $(or $(PROFILE),DEV)
PROFILE ?= STANDARD
SAN ?=
COV ?=
ifeq ($(filter $(PROFILE),DEV STANDARD HARDENED),)
$(error PROFILE=$(PROFILE) is unknown: use DEV, STANDARD or HARDENED)
endif

VERSION := $(shell sed -En include/ggmk/base.h \
	-e 's/^.define GMK_LIBRARY_VERSION GMK_VERSION.([0-9]+), ([0-9]+), ([0-9]+).*/\1.\2.\3/p')
SOVERSION := $(firstword $(subst ., ,$(VERSION)))

# LIVE starts a recipe line whose progress is shown as it happens, not when it has ended.
# make runs such a line even under -n, so there it says what it would do.
DRY_RUN := $(findstring n,$(filter-out -%,$(firstword $(MAKEFLAGS))))
LIVE = +@$(if $(DRY_RUN),echo )

# All CPUs unless the caller gave -j; the output of each target stays in one piece.
ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --output-sync=target
endif
MAKEFLAGS += --no-builtin-rules --no-print-directory

# ---- Packages ---------------------------------------------------------------------
# Some goals first install what they need. Sub-makes leave it to the outermost one.
deps_for = $(if $(filter $1,$(MAKECMDGOALS)),$2)
DEPS_GROUPS := $(sort \
	$(call deps_for,run run-debug trace soak-boot iso disk-image,build kernel) \
	$(call deps_for,kernel,build) $(call deps_for,initrd,build kernel) $(call deps_for,run-loglens,build run) \
	$(call deps_for,kernel-% matrix,build kernel test) \
	$(call deps_for,bench-kernel,build kernel peer) \
	$(call deps_for,test test-% tests stress,build kernel test run) \
	$(call deps_for,coverage lint lint-% model fuzz fmt,build test lint) \
	$(call deps_for,check,build kernel test run lint) \
	$(call deps_for,bench,build bench))
ifeq ($(MAKELEVEL),0)
DEPS := $(if $(DEPS_GROUPS),deps-present)
endif
deps-present:
	$(LIVE)scripts/deps $(DEPS_GROUPS)
.PHONY: deps-present

# ---- Flags ------------------------------------------------------------------------
comma := ,
IS_CLANG := $(findstring clang,$(notdir $(CC)))
WARNINGS := -Wall -Wextra -Werror -Wconversion -Wsign-conversion -Wshadow \
	-Wstrict-prototypes -Wmissing-prototypes
SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ifneq ($(and $(SAN),$(if $(IS_CLANG),,gcc)),)
# Between the checks that a sanitizer adds, gcc no longer follows values and warns in vain;
# and it warns that its thread sanitizer does not understand fences.
SAN_FLAGS += -Wno-maybe-uninitialized -Wno-format-truncation -Wno-stringop-overflow \
	-Wno-array-bounds $(if $(findstring thread,$(SAN)),-Wno-tsan)
endif
# libFuzzer brings its own main(); only fuzz programs link it.
ifneq ($(findstring fuzzer,$(SAN)),)
SAN_FLAGS := -fsanitize=$(subst fuzzer,fuzzer-no-link,$(SAN)) -fno-sanitize-recover=all
endif

OPT := $(if $(COV),-O0 --coverage -fprofile-update=atomic,$(if $(SAN),-O1,-O2))
# Kernel sources in a test process find a machine of make-believe.
CPPFLAGS := -Iinclude -I. -iquote tests/fake_arch
GMK_CFLAGS := -std=c11 $(OPT) -g -pthread -fvisibility=hidden $(WARNINGS) $(SAN_FLAGS)
# Position-independent objects are compiled apart, for the shared library only, so that
# the archive's code reaches thread-local data in one instruction.
PIE_FLAGS := -fPIE $(if $(IS_CLANG),,-fstack-usage)
PIC_FLAGS := -fPIC -ftls-model=initial-exec -fno-semantic-interposition
PROFILE_FLAGS_DEV := -DGMK_PROFILE_DEV=1
PROFILE_FLAGS_STANDARD := -DGMK_PROFILE_STANDARD=1
PROFILE_FLAGS_HARDENED := -DGMK_PROFILE_HARDENED=1 -fstack-protector-strong \
	-fstack-clash-protection -D_FORTIFY_SOURCE=2
# CFLAGS and LDFLAGS are the caller's, and come last.
LINK = $(CC) -pthread $(OPT) -g $(SAN_FLAGS) $(CFLAGS) $(LDFLAGS)

# ---- Objects ------------------------------------------------------------------------
variant = $(notdir $(lastword $(CC)))-$1$(if $(SAN),-$(subst $(comma),+,$(SAN)))$(if $(COV),-coverage)
LIB_OUT := build/$(call variant,$(PROFILE))
TEST_OUT := build/$(call variant,$(TEST_PROFILE))
# The default variant's library stands where a user looks for it.
LIB_DIR := $(if $(filter build/gcc-STANDARD,$(LIB_OUT)),build,$(LIB_OUT))

LIB_SRC := $(wildcard engine/*.c lib/*.c hal/linux/*.c)
TEST_LIB_SRC := $(wildcard tests/lib/*.c)

# compile(folder, profile, flags): rules that compile any source into one folder. The
# file `flags` there holds the command, so that other flags mean other objects.
define compile
$1/%.o: %.c $1/flags | $$(DEPS)
	@mkdir -p $$(@D)
	@echo "  CC      $$<  ($(patsubst build/%,%,$1))"
	@$$(CC) $$(CPPFLAGS) $$(GMK_CFLAGS) $(PROFILE_FLAGS_$2) $3 $$(CFLAGS) -MMD -MP -c -o $$@ $$<

$1/flags: force
	@mkdir -p $$(@D)
	@echo '$$(CC) $$(CPPFLAGS) $$(GMK_CFLAGS) $(PROFILE_FLAGS_$2) $3 $$(CFLAGS)' | cmp -s - $$@ || \
		echo '$$(CC) $$(CPPFLAGS) $$(GMK_CFLAGS) $(PROFILE_FLAGS_$2) $3 $$(CFLAGS)' > $$@
endef

# Unit tests reach inside the library and link an archive with every symbol in it; so do
# all programs of instrumented builds. What several tests share is an archive as well.
define internal_archive
$1/libgmk_internal.a: $$(LIB_SRC:%.c=$1/obj/%.o)
	@echo "  AR      $$@"
	@rm -f $$@.$$$$$$$$ && ar rcs $$@.$$$$$$$$ $$^ && mv $$@.$$$$$$$$ $$@

$1/libgmk_tests.a: $$(TEST_LIB_SRC:%.c=$1/obj/%.o)
	@rm -f $$@.$$$$$$$$ && ar rcs $$@.$$$$$$$$ $$^ && mv $$@.$$$$$$$$ $$@
endef

$(foreach p,$(sort $(PROFILE) $(TEST_PROFILE)),\
	$(eval $(call compile,build/$(call variant,$p)/obj,$p,$(PIE_FLAGS)))\
	$(eval $(call internal_archive,build/$(call variant,$p))))
$(eval $(call compile,$(LIB_OUT)/pic,$(PROFILE),$(PIC_FLAGS)))

-include $(shell find $(LIB_OUT) $(TEST_OUT) -name '*.d' 2>/dev/null)

force:
.PHONY: force

# ---- The library -----------------------------------------------------------------------
# One relocatable object whose hidden symbols are made local: a program that links the
# archive may use any name it likes, because only gmk_ names leave it. Made aside and then
# moved, so that two makes in one folder never see each other's half of it.
$(LIB_DIR)/libgmk_cpu.a: $(LIB_SRC:%.c=$(LIB_OUT)/obj/%.o)
	@echo "  AR      $@"
	@mkdir -p $(@D)
	@work=$$(mktemp -d $(LIB_OUT)/archive.XXXXXX) && trap 'rm -r $$work' EXIT && \
		ld -r -o $$work/gmk_cpu.o $^ && \
		objcopy --localize-hidden $$work/gmk_cpu.o && \
		ar rcs $$work/libgmk_cpu.a $$work/gmk_cpu.o && \
		mv $$work/libgmk_cpu.a $@

$(LIB_DIR)/libgmk_cpu.so.$(SOVERSION): $(LIB_SRC:%.c=$(LIB_OUT)/pic/%.o)
	@echo "  LD      $@"
	@mkdir -p $(@D)
	@$(LINK) -shared -Wl,-soname,$(@F) -Wl,-z,defs -o $@ $^

$(LIB_DIR)/libgmk_cpu.so: $(LIB_DIR)/libgmk_cpu.so.$(SOVERSION)
	@ln -sf $(<F) $@

# What programs link: the archive that users get, or the instrumented one.
GMK_LIB := $(if $(SAN)$(COV),$(LIB_OUT)/libgmk_internal.a,$(LIB_DIR)/libgmk_cpu.a)

lib: $(GMK_LIB) $(if $(SAN)$(COV),,$(LIB_DIR)/libgmk_cpu.so) ## build libgmk_cpu.a and libgmk_cpu.so
.PHONY: lib
