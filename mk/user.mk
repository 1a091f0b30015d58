# User: programs of user mode, the library that they link, and the archives they travel in.
#
# A program is user/apps/NAME.c or a folder user/apps/NAME/, and becomes build/user/bin/NAME; init is
# user/init/. Each of tests/user/{test,attack,fuzz}_*.c is a test of its own, each prog_*.c a program
# that tests start. A new file needs nothing here. What a program needs beyond libuser.a:
#   USER_SRC_NAME := files of other folders
#   USER_WITH_ENGINE += NAME    links the engine (libgmk_unit.a)
#   USER_WITH_FPU += NAME       compiled for the vector registers; its threads must have them
#   USER_FIXED += NAME          linked for fixed addresses instead of any
# Names may be patterns with one %. Programs of other folders, such as benchmarks:
#   $(eval $(call user_program,PATH,NAME,sources))      makes $(USER_DIR)/PATH
#   $(eval $(call user_archive,FILE,source:path ..))    an archive of files
#
# Other compilers and profiles have folders of their own beside UOUT, as the kernel has.

UOUT ?= build/user
USER_DIR := $(UOUT)$(if $(filter gcc-STANDARD,$(KERNEL_VARIANT)),,-$(KERNEL_VARIANT))

USER_WITH_ENGINE += loglens_%
USER_SRC_loglens_counter := $(addprefix examples/loglens/modules/,splitter.c counter.c table.c)
USER_SRC_loglens_reducer := $(addprefix examples/loglens/,modules/reducer.c modules/table.c sink.c)
USER_WITH_FPU += prog_fpu test_fpu
USER_FIXED += prog_fixed

# ---- Flags --------------------------------------------------------------------------
# Position independent, so that the loader chooses where a program lies. No vector registers unless
# asked for: a thread without them is made and switched faster, and faults when it touches one.
USER_MACHINE := -ffreestanding -fbuiltin -fPIE -ftls-model=local-exec -fno-omit-frame-pointer \
	-fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections
USER_INTEGERS := -mgeneral-regs-only
USER_PROFILE_DEV := -DGMK_PROFILE_DEV=1 -fno-stack-protector
USER_PROFILE_STANDARD := -DGMK_PROFILE_STANDARD=1 -fno-stack-protector
USER_PROFILE_HARDENED := -DGMK_PROFILE_HARDENED=1 -fstack-protector-strong \
	-mstack-protector-guard=global -fstack-clash-protection
USER_CPPFLAGS := -Iinclude -I.
USER_CFLAGS := -std=c11 -O2 -g -fvisibility=hidden $(WARNINGS) $(USER_MACHINE) $(USER_PROFILE_$(PROFILE))
USER_LDFLAGS := -nostdlib -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,-z,separate-code -Wl,-z,norelro \
	-Wl,--build-id=none -Wl,--gc-sections -Wl,--fatal-warnings -Wl,-u,_start
USER_COMPILE = $(CC) $(USER_CPPFLAGS) $(USER_CFLAGS) $(CFLAGS)

# ---- Libraries ------------------------------------------------------------------------
# The kernel's string functions are the ones of everybody: plain loops that call nothing.
USER_LIB_SRC := $(wildcard user/lib/*.c user/lib/*.S lib/*.c) engine/error.c kernel/core/string.c
USER_UNIT_SRC := $(wildcard engine/*.c hal/unit/*.c user/edge/*.c)
USER_TEST_SRC := $(wildcard tests/user/lib/*.c)
user_objs = $(addprefix $(USER_DIR)/obj/,$(addsuffix .o,$(basename $1)))

# As in the kernel: a loop that was recognised as one of these functions would call itself.
$(USER_DIR)/obj/kernel/core/string.o: private USER_CFLAGS += -fno-builtin \
	$(if $(IS_CLANG),,-fno-tree-loop-distribute-patterns)

user_integers = $(if $(filter $(USER_WITH_FPU),$(basename $(notdir $1)) $(notdir $(patsubst %/,%,$(dir $1)))),,$(USER_INTEGERS))
$(USER_DIR)/obj/%.o: %.c $(USER_DIR)/flags
	@mkdir -p $(@D)
	@echo "  CC      $<  (user $(KERNEL_VARIANT))"
	@$(USER_COMPILE) $(call user_integers,$<) -MMD -MP -c -o $@ $<

$(USER_DIR)/obj/%.o: %.S $(USER_DIR)/flags
	@mkdir -p $(@D)
	@echo "  AS      $<  (user $(KERNEL_VARIANT))"
	@$(USER_COMPILE) -MMD -MP -c -o $@ $<

$(USER_DIR)/flags: force
	@mkdir -p $(@D)
	@echo '$(USER_COMPILE) $(USER_WITH_FPU)' | cmp -s - $@ || echo '$(USER_COMPILE) $(USER_WITH_FPU)' > $@

-include $(shell find $(USER_DIR)/obj -name '*.d' 2>/dev/null)

# user_library(name, sources): a list of members that changed makes a new archive, too.
define user_library
$(USER_DIR)/$1: $(call user_objs,$2) $(USER_DIR)/$1.members
	@echo "  AR      $$@"
	@rm -f $$@ && ar rcs $$@ $(call user_objs,$2)

$(USER_DIR)/$1.members: force
	@mkdir -p $$(@D)
	@echo '$2' | cmp -s - $$@ || echo '$2' > $$@
endef
$(eval $(call user_library,libuser.a,$(USER_LIB_SRC)))

# One relocatable object whose hidden names are made local, as for libgmk_cpu.a: the engine and user/lib
# use the same words for different things.
$(USER_DIR)/libgmk_unit.a: $(call user_objs,$(USER_UNIT_SRC)) $(USER_DIR)/libgmk_unit.a.members
	@echo "  AR      $@"
	@ld -r -o $@.all.o $(call user_objs,$(USER_UNIT_SRC))
	@objcopy --localize-hidden $@.all.o $@.o
	@rm -f $@ && ar rcs $@ $@.o

$(USER_DIR)/libgmk_unit.a.members: force
	@mkdir -p $(@D)
	@echo '$(USER_UNIT_SRC)' | cmp -s - $@ || echo '$(USER_UNIT_SRC)' > $@

$(eval $(call user_library,libutest.a,$(USER_TEST_SRC)))

# ---- Programs ---------------------------------------------------------------------------
# user_program(path under USER_DIR, name, sources, further libraries)
define user_program
$(USER_DIR)/$1: $(call user_objs,$3 $(USER_SRC_$2)) $4 \
		$(if $(filter $(USER_WITH_ENGINE),$2),$(USER_DIR)/libgmk_unit.a) $(USER_DIR)/libuser.a $(USER_DIR)/flags
	@mkdir -p $$(@D)
	@echo "  LD      $$@"
	@$$(CC) $$(USER_LDFLAGS) $(if $(filter $(USER_FIXED),$2),-static $(if $(IS_CLANG),,-no-pie),-static-pie) -o $$@ \
		-Wl,--start-group $$(filter %.o %.a,$$^) -Wl,--end-group
endef

USER_APPS := $(sort $(basename $(notdir $(wildcard user/apps/*.c))) $(notdir $(patsubst %/,%,$(dir $(wildcard user/apps/*/*.c)))))
USER_TESTS := $(sort $(basename $(notdir $(wildcard $(foreach k,test attack fuzz,tests/user/$k_*.c)))))
USER_HELPERS := $(sort $(basename $(notdir $(wildcard tests/user/prog_*.c))))
$(foreach p,$(USER_APPS),$(eval $(call user_program,bin/$p,$p,$(wildcard user/apps/$p.c user/apps/$p/*.c))))
$(foreach p,$(USER_TESTS) $(USER_HELPERS),\
	$(eval $(call user_program,tests/$p,$p,tests/user/$p.c,$(USER_DIR)/libutest.a)))
$(eval $(call user_program,sbin/init,init,$(wildcard user/init/*.c)))
$(eval $(call user_program,tests/runner,runner,tests/user/runner.c,$(USER_DIR)/libutest.a))

# ---- Archives -----------------------------------------------------------------------------
# The same archive from the same files on every machine: order, owner, times and inode numbers
# are fixed. Programs travel without their symbols.
define user_archive
$1: $(foreach f,$2,$(firstword $(subst :, ,$f))) $1.list
	@echo "  CPIO    $$@"
	@rm -rf $$@.tree && mkdir -p $$@.tree
	@for f in $2; do \
		to=$$@.tree/$$$${f#*:}; mkdir -p $$$${to%/*} && cp $$$${f%%:*} $$$$to && \
		case $$$${f%%:*} in *.txt) ;; $(USER_DIR)/*) strip -s $$$$to;; esac; done
	@find $$@.tree -exec chmod u=rwX,go=rX {} + -exec touch -d @0 {} +
	@cd $$@.tree && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet >../$$(@F).new
	@mv $$@.new $$@ && rm -r $$@.tree

$1.list: force
	@mkdir -p $$(@D)
	@echo '$2' | cmp -s - $$@ || echo '$2' > $$@
endef

INITRD_FILES := $(foreach f,$(shell find boot/initrd -type f | LC_ALL=C sort),$f:$(f:boot/initrd/%=%))
# A text to count the words of: the licences that every Debian system has.
$(USER_DIR)/corpus.txt: $(sort $(shell find /usr/share/common-licenses -type f))
	@mkdir -p $(@D)
	@cat $^ >$@

INITRD_FILES += $(USER_DIR)/corpus.txt:usr/share/corpus.txt
INITRD_FILES += $(USER_DIR)/sbin/init:sbin/init $(foreach p,$(USER_APPS),$(USER_DIR)/bin/$p:bin/$p)
INITRD_TESTS = $(INITRD_FILES) $(foreach f,$(wildcard tests/user/conf/*.conf),$f:$(f:tests/user/conf/%=tests/conf/%)) \
	$(USER_DIR)/tests/runner:tests/runner \
	$(foreach p,$(USER_TESTS) $(USER_HELPERS),$(USER_DIR)/tests/$p:tests/$p)
$(eval $(call user_archive,$(USER_DIR)/initrd.cpio,$(INITRD_FILES)))
$(eval $(call user_archive,$(USER_DIR)/initrd-tests.cpio,$(INITRD_TESTS)))

build/initrd.cpio: $(USER_DIR)/initrd.cpio
	@mkdir -p build && cmp -s $< $@ || cp $< $@

user: $(USER_DIR)/initrd.cpio ## build the programs of user mode and their archive
user-tests: $(USER_DIR)/initrd-tests.cpio ## build the tests of user mode, with their archive
initrd: build/initrd.cpio ## build the archive of initial files, build/initrd.cpio
.PHONY: user user-tests initrd

# ---- Running ----------------------------------------------------------------------------------
# Kernel and programs with every check on, in build/checked, where the script looks for them.
USER_CHECKED := $(if $(filter gcc-STANDARD,$(notdir $(lastword $(CC)))-$(TEST_PROFILE)),,-$(notdir $(lastword $(CC)))-$(TEST_PROFILE))
user-ready: | $(DEPS)
	$(LIVE)$(MAKE) PROFILE=$(TEST_PROFILE) kernel user user-tests
	@mkdir -p build/checked
	@for f in $(KOUT)$(USER_CHECKED)/gmk_kernel.elf $(UOUT)$(USER_CHECKED)/initrd.cpio \
		$(UOUT)$(USER_CHECKED)/initrd-tests.cpio; do \
		cmp -s $$f build/checked/$${f##*/} || cp $$f build/checked; done

ifeq ($(SAN)$(COV),)
test: user-ready
endif

user-test: user-ready ## run the tests of user mode, on 1, 2 and 4 CPUs
	$(LIVE)$(RUN_TESTS) tests/system/user-tests.sh

# A billion random calls take a night; SEED=N begins there, so that a life can be repeated.
CALLS ?= 5000000
fuzz-sys: user-ready ## fuzz the system calls from user mode: CALLS=5000000 of them, on 4 CPUs
	$(LIVE)scripts/run-guest build/checked/gmk_kernel.elf \
		--words 'init=tests/fuzz_sys init-arg=$(CALLS),$(or $(SEED),1)' \
		-- --initrd build/checked/initrd-tests.cpio --cpus 4
.PHONY: user-ready user-test fuzz-sys
