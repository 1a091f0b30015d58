# Kernel: the freestanding image, from every source that the machine needs.
#
# build/gmk_kernel.elf is the default variant (gcc, STANDARD). Other compilers and profiles
# have folders of their own beside KOUT, as the library's variants have.
#
# Derived images (tests, benchmarks) are the same objects and some more; for their rules:
#   KERNEL_DIR     folder of this variant; objects are in $(KERNEL_DIR)/obj
#   KERNEL_OBJS    objects of the plain kernel
#   KERNEL_CFLAGS, KERNEL_LDFLAGS
#   $(call kernel_link,output,objects)   a recipe: links with a table of function symbols

KOUT ?= build/kernel
KERNEL_VARIANT := $(notdir $(lastword $(CC)))-$(PROFILE)
KERNEL_DIR := $(KOUT)$(if $(filter gcc-STANDARD,$(KERNEL_VARIANT)),,-$(KERNEL_VARIANT))
KERNEL_ELF := $(KERNEL_DIR)/gmk_kernel.elf

# ---- Sources ----------------------------------------------------------------------
# The whole engine; the linker leaves out the functions that nothing calls.
KERNEL_C := $(wildcard engine/*.c lib/*.c hal/kernel/*.c kernel/*/*.c arch/x86_64/*.c boot/*.c)
KERNEL_S := $(wildcard arch/x86_64/*.S)
KERNEL_LDS := arch/x86_64/kernel.lds
KERNEL_OBJS := $(KERNEL_C:%.c=$(KERNEL_DIR)/obj/%.o) $(KERNEL_S:%.S=$(KERNEL_DIR)/obj/%.S.o)

# ---- Flags ------------------------------------------------------------------------
# mcmodel=kernel: code and data are in the top 2 GiB.
# No red zone: an interrupt pushes its frame onto the running stack. General registers only:
# the vector registers belong to user threads. Frame pointers: backtraces follow them.
# Builtins: freestanding switches them off, and each word that the rings copy would be a call.
KERNEL_MACHINE := -ffreestanding -fbuiltin -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
	-mgeneral-regs-only -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections
# The guard's value is an ordinary variable here (start.c), not a word of a C library's thread.
KERNEL_PROFILE_DEV := -DGMK_PROFILE_DEV=1 -fno-stack-protector
KERNEL_PROFILE_STANDARD := -DGMK_PROFILE_STANDARD=1 -fno-stack-protector
KERNEL_PROFILE_HARDENED := -DGMK_PROFILE_HARDENED=1 -fstack-protector-strong \
	-mstack-protector-guard=global -fstack-clash-protection
# Quoted only: the folder has names that system headers have too.
# hal_local lies in the CPU's block, at gs:8; -fasm lets gcc know address spaces in -std=c11.
# Stacks are wired memory here: a worker gets 128 KiB, an eighth of what it has in a process.
KERNEL_CPPFLAGS := -Iinclude -I. -iquote arch/x86_64 -fasm \
	-DHAL_LOCAL_HEADER='"arch/x86_64/hal_local.h"' -DENGINE_STACK_BYTES=0x20000 -DAGENT_THREADS_MAX=256u
KERNEL_CFLAGS := -std=c11 -O2 -g -fvisibility=hidden $(WARNINGS) $(KERNEL_MACHINE) \
	$(KERNEL_PROFILE_$(PROFILE)) $(if $(IS_CLANG),,-fstack-usage)
KERNEL_LDFLAGS := -nostdlib -static -Wl,-T,$(KERNEL_LDS) -Wl,-z,max-page-size=4096 \
	-Wl,-z,noexecstack -Wl,--build-id=none -Wl,--gc-sections -Wl,--fatal-warnings
KERNEL_COMPILE = $(CC) $(KERNEL_CPPFLAGS) $(KERNEL_CFLAGS) $(CFLAGS)

# These functions are the builtins: a loop that was recognised as one would call itself. Private: the
# file of flags, which this object needs, must not take it over.
$(KERNEL_DIR)/obj/kernel/core/string.o: private KERNEL_CFLAGS += -fno-builtin \
	$(if $(IS_CLANG),,-fno-tree-loop-distribute-patterns)

# The fast paths of calls never return: registers that C keeps are in the thread's frame already.
$(addprefix $(KERNEL_DIR)/obj/kernel/,ipc/port_fast.o ipc/notify_fast.o sched/turn.o): private KERNEL_CFLAGS += $(if $(IS_CLANG),,-fomit-frame-pointer -fno-tree-reassoc \
	$(foreach r,rbx r12 r13 r14 r15,-fcall-used-$r))

# ---- Compiling --------------------------------------------------------------------
$(KERNEL_DIR)/obj/%.o: %.c $(KERNEL_DIR)/flags
	@mkdir -p $(@D)
	@echo "  CC      $<  (kernel $(KERNEL_VARIANT))"
	@$(KERNEL_COMPILE) -MMD -MP -c -o $@ $<

$(KERNEL_DIR)/obj/%.S.o: %.S $(KERNEL_DIR)/flags
	@mkdir -p $(@D)
	@echo "  AS      $<  (kernel $(KERNEL_VARIANT))"
	@$(KERNEL_COMPILE) -MMD -MP -c -o $@ $<

# As for the library: other flags, or another set of sources, mean another image.
$(KERNEL_DIR)/flags: force
	@mkdir -p $(@D)
	@echo '$(KERNEL_COMPILE)' | cmp -s - $@ || echo '$(KERNEL_COMPILE)' > $@
$(KERNEL_DIR)/sources: force
	@mkdir -p $(@D)
	@echo '$(KERNEL_LDFLAGS) $(KERNEL_OBJS)' | cmp -s - $@ || \
		echo '$(KERNEL_LDFLAGS) $(KERNEL_OBJS)' > $@

-include $(shell find $(KERNEL_DIR)/obj -name '*.d' 2>/dev/null)

# ---- Linking ----------------------------------------------------------------------
# The table of symbols is read-only data, which comes after the code. So its size does not move
# any function: a first link without names tells the addresses, a second one carries them, and
# the comparison proves that they still hold.
define kernel_link
	@mkdir -p $(dir $1)
	@echo "  LD      $1"
	@scripts/ksyms </dev/null >$1.syms.S
	@$(KERNEL_COMPILE) -c -o $1.syms.o $1.syms.S
	@$(CC) $(KERNEL_LDFLAGS) -o $1.first $2 $1.syms.o
	@nm -n $1.first | scripts/ksyms >$1.syms.S
	@$(KERNEL_COMPILE) -c -o $1.syms.o $1.syms.S
	@$(CC) $(KERNEL_LDFLAGS) -Wl,-Map,$1.map -o $1 $2 $1.syms.o
	@nm -n $1 | scripts/ksyms | cmp -s - $1.syms.S || \
		{ echo "$1: the table of symbols moved the code"; rm -f $1; exit 1; }
	@rm -f $1.first $1.syms.o
endef

$(KERNEL_ELF): $(KERNEL_OBJS) $(KERNEL_LDS) $(KERNEL_DIR)/sources scripts/ksyms
	$(call kernel_link,$@,$(KERNEL_OBJS))

build/gmk_kernel.elf: build/kernel/gmk_kernel.elf
	@cp $< $@

kernel: $(KERNEL_ELF) $(if $(filter build/kernel,$(KERNEL_DIR)),build/gmk_kernel.elf) ## build the kernel, build/gmk_kernel.elf
.PHONY: kernel
