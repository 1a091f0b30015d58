# Benchmarks: builds the bench programs, runs them all, and writes the report.
#
# A peer's file is built when its package is there; without it the jobs that name the peer
# print "skipped: PACKAGE" and go on. `make bench` takes a few minutes on a quiet machine;
# `make bench BENCH_ROUNDS=1` a minute, for a look.

BENCH_OUT := $(LIB_OUT)/bench
BENCH_ROUNDS ?=
BENCH_CXX := $(if $(IS_CLANG),$(subst clang,clang++,$(CC)),g++)

# ---- Which peers are here -----------------------------------------------------------------
ifneq ($(filter bench bench-programs run-bench,$(MAKECMDGOALS)),)
bench_pkg = $(shell pkg-config --exists $1 2>/dev/null && echo $2)
bench_hash := \#
bench_header = $(shell echo '$(bench_hash)include <$1>' | $2 -fsyntax-only - 2>/dev/null && echo $3)

BENCH_TBB := $(call bench_pkg,tbb,yes)
BENCH_UV := $(call bench_pkg,libuv,yes)
BENCH_ZMQ := $(call bench_pkg,libzmq,yes)
BENCH_NNG := $(call bench_header,nng/nng.h,$(CC) -x c,yes)
BENCH_MOODYCAMEL := $(call bench_header,concurrentqueue/blockingconcurrentqueue.h,$(BENCH_CXX) -x c++,yes)
# clang compiles OpenMP for another runtime; the peer is gcc's.
BENCH_GOMP := $(call bench_header,omp.h,gcc -fopenmp -x c,yes)
BENCH_RINGS := $(and $(call bench_pkg,libdpdk,yes),$(call bench_pkg,ck,yes))
endif

BENCH_PEERS := bench/peers/futex.c bench/peers/raw_pool.c \
	$(if $(BENCH_TBB),bench/peers/tbb.cc bench/peers/tbb_channel.cc) \
	$(if $(BENCH_UV),bench/peers/uv.c) \
	$(if $(BENCH_ZMQ),bench/peers/zmq.c) \
	$(if $(BENCH_NNG),bench/peers/nng.c) \
	$(if $(BENCH_MOODYCAMEL),bench/peers/moodycamel.cc) \
	$(if $(BENCH_GOMP),bench/peers/gomp.c)
BENCH_PEER_LIBS := $(if $(BENCH_TBB),-ltbb) $(if $(BENCH_UV),-luv) $(if $(BENCH_ZMQ),-lzmq) \
	$(if $(BENCH_NNG),-lnng) $(if $(BENCH_GOMP),-lgomp)

# ---- Programs -------------------------------------------------------------------------------
# bench_tasks sees the library as a user does; the others measure one part from the inside.
BENCH_TASKS_SRC := bench/jobs.c $(wildcard bench/gmk_*.c bench/lib/*.c) $(BENCH_PEERS)
BENCH_TASKS_OBJ := $(patsubst %,$(BENCH_OUT)/%.o,$(BENCH_TASKS_SRC))
BENCH_INSIDE := $(patsubst bench/%.c,$(BENCH_OUT)/%,$(wildcard bench/*_bench.c))
ifeq ($(BENCH_RINGS),)
BENCH_INSIDE := $(filter-out %/ring_bench,$(BENCH_INSIDE))
endif
BENCH_PROGRAMS := $(BENCH_OUT)/bench_tasks $(BENCH_INSIDE)

BENCH_CFLAGS = -std=c11 -O2 -g -pthread $(WARNINGS) $(PROFILE_FLAGS_$(PROFILE))
BENCH_CXXFLAGS = -std=c++17 -O2 -g -pthread -Wall -Wextra -Werror -Wshadow

$(BENCH_OUT)/bench/peers/gomp.c.o: bench/peers/gomp.c | $(DEPS)
	@echo "  CC      $<"
	@mkdir -p $(@D)
	@gcc -fopenmp $(CPPFLAGS) $(BENCH_CFLAGS) -MMD -MP -c -o $@ $<

$(BENCH_OUT)/%.c.o: %.c | $(DEPS)
	@echo "  CC      $<"
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(BENCH_CFLAGS) $(BENCH_EXTRA) -MMD -MP -c -o $@ $<

$(BENCH_OUT)/%.cc.o: %.cc | $(DEPS)
	@echo "  CXX     $<"
	@mkdir -p $(@D)
	@$(BENCH_CXX) $(CPPFLAGS) $(BENCH_CXXFLAGS) -MMD -MP -c -o $@ $<

$(BENCH_OUT)/bench_tasks: $(BENCH_TASKS_OBJ) $(GMK_LIB)
	@echo "  LD      $@"
	@$(BENCH_CXX) -pthread -o $@ $^ $(BENCH_PEER_LIBS)

# DPDK's headers are used, not its runtime; they are written for its own warning flags.
$(BENCH_OUT)/bench/ring_bench.c.o: private BENCH_EXTRA = \
	$(patsubst -I%,-isystem %,$(shell pkg-config --cflags libdpdk ck)) -Wno-conversion -Wno-sign-conversion
$(BENCH_OUT)/ring_bench: private BENCH_LINK = -lrte_ring

$(BENCH_OUT)/%_bench: $(BENCH_OUT)/bench/%_bench.c.o $(LIB_OUT)/libgmk_internal.a
	@echo "  LD      $@"
	@$(CC) -pthread -o $@ $^ $(BENCH_LINK) -ldl -lm

-include $(patsubst %.o,%.d,$(BENCH_TASKS_OBJ)) $(wildcard $(BENCH_OUT)/bench/*.d)

bench-programs: $(BENCH_PROGRAMS)

run-bench: $(BENCH_PROGRAMS)
	$(LIVE)bench/run $(if $(BENCH_RINGS),,--skipped 'libdpdk-dev libck-dev (ring_bench)') \
		$(if $(BENCH_ROUNDS),--rounds $(BENCH_ROUNDS)) $(BENCH_PROGRAMS)

.PHONY: bench-programs run-bench
