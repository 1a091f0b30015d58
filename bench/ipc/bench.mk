# IPC benchmarks: the programs of user mode, their archive, the Linux guest, and the run that writes
# bench/results/ipc.md.
#
# RT_SECONDS: guest seconds of the timer under load. Ten minutes are what docs/realtime.md quotes; they
# take about as many minutes here.

IPC_PROGRAMS := paths load pairs tiny
$(foreach p,$(IPC_PROGRAMS),$(eval $(call user_program,bench/$p,$p,bench/ipc/$p.c)))
IPC_INITRD := $(USER_DIR)/initrd-bench.cpio
$(eval $(call user_archive,$(IPC_INITRD),$(foreach p,$(IPC_PROGRAMS),$(USER_DIR)/bench/$p:bench/$p)))

IPC_PEER := $(PEER_DIR)/ipc
$(IPC_PEER)/init: bench/ipc/linux_ipc.c bench/ipc/ipc_bench.h
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@gcc -std=c11 -O2 $(WARNINGS) -I. -static -pthread -o $@ $<
$(IPC_PEER)/tiny: bench/ipc/linux_tiny.S
	@mkdir -p $(@D)
	@gcc -nostdlib -static -o $@ $<

# Without the package there is no peer, and the table says so.
$(PEER_DIR)/ipc.cpio: $(IPC_PEER)/init $(IPC_PEER)/tiny bench/kernel/linux-peer
	@echo "  PEER    $@"
	@bench/kernel/linux-peer $(PEER_DIR) $(IPC_PEER)/init ipc.cpio $(IPC_PEER)/tiny || [ $$? -eq 3 ]

RT_SECONDS ?= 600
bench-ipc: $(KERNEL_ELF) $(IPC_INITRD) $(PEER_DIR)/ipc.cpio | $(DEPS) ## measure IPC, threads, faults and real time beside Linux, write bench/results/ipc.md
	$(LIVE)bench/ipc/run --kernel $(KERNEL_ELF) --initrd $(IPC_INITRD) --seconds $(RT_SECONDS) \
		$$([ ! -f $(PEER_DIR)/ipc.cpio ] || echo --peer $(PEER_DIR)) --out bench/results/ipc.md

bench-costly: $(KERNEL_ELF) $(IPC_INITRD) | $(DEPS) ## count locked instructions and writes of CR3, CR0, MSRs on each of these paths
	$(LIVE)bench/ipc/costly $(KERNEL_ELF) $(IPC_INITRD)
.PHONY: bench-ipc bench-costly
