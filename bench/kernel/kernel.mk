# Kernel benchmarks: the bench image, the Linux peer, and the run that writes bench/results/.
#
# The hosted side of the task benchmark is compiled with the kernel's flags, less those that
# only make sense in a kernel, so that both sides differ in the platform alone.

KBENCH_DIR := $(KERNEL_DIR)/bench
KBENCH_OBJS := $(patsubst %.c,$(KERNEL_DIR)/obj/%.o,$(wildcard bench/kernel/kbench*.c) bench/kernel/task_bench.c) \
	$(KERNEL_DIR)/obj/bench/kernel/kbench_int.S.o
KBENCH_ELF := $(KERNEL_DIR)/gmk_bench.elf
PEER_DIR := build/linux-peer
PEER_CFLAGS := -std=c11 -O2 -g -fvisibility=hidden $(WARNINGS) -mgeneral-regs-only -mno-red-zone \
	-fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fno-stack-protector -pthread \
	-static -DGMK_PROFILE_STANDARD=1

$(KBENCH_ELF): $(KERNEL_OBJS) $(KBENCH_OBJS) $(KERNEL_LDS) $(KERNEL_DIR)/sources scripts/ksyms
	$(call kernel_link,$@,$(KERNEL_OBJS) $(KBENCH_OBJS))

$(PEER_DIR)/init: bench/kernel/linux_init.c bench/kernel/task_bench.c $(LIB_SRC)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@gcc $(CPPFLAGS) $(PEER_CFLAGS) -o $@ $(filter %.c,$^)

# Without the package there is no peer, and the table says so.
$(PEER_DIR)/initrd.cpio: $(PEER_DIR)/init bench/kernel/linux-peer
	@echo "  PEER    $(PEER_DIR)"
	@bench/kernel/linux-peer $(PEER_DIR) $< || [ $$? -eq 3 ]

KBENCH_ROUNDS ?= 11
bench-kernel: $(KERNEL_ELF) $(KBENCH_ELF) build/initrd.cpio $(PEER_DIR)/initrd.cpio | $(DEPS) ## measure the kernel beside Linux, write bench/results/kernel.md
	$(LIVE)bench/kernel/run --kernel $(KERNEL_ELF) --bench $(KBENCH_ELF) --initrd build/initrd.cpio \
		$$([ ! -f $(PEER_DIR)/initrd.cpio ] || echo --peer $(PEER_DIR)) \
		--rounds $(KBENCH_ROUNDS) --out bench/results/kernel.md
.PHONY: bench-kernel
