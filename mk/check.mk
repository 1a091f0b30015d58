# Checks: everything that judges the source rather than runs it as a user would.

C_FILES := $(wildcard include/*/*.h lib/*.[ch] engine/*.[ch] hal/*.h hal/*/*.[ch] \
	arch/*.h arch/*/*.[ch] boot/*.[ch] boot/*/*.[ch] boot/*/*/*.[ch] kernel/*/*.[ch] \
	examples/*.[ch] examples/*/*.[ch] examples/*/*/*.[ch] bench/*.[ch] bench/*/*.[ch] bench/*/*.cc \
	user/*/*.[ch] user/*/*/*.[ch] tests/*/*.[ch] tests/kernel/*/*.[ch] tests/unit/*/*.[ch] tests/user/*/*.[ch])
HEADERS := $(filter %.h,$(C_FILES))

# ---- Layout, spelling, static analysis ------------------------------------------------
fmt: | $(DEPS) ## lay out every C file as .clang-format says
	@clang-format -i $(C_FILES)

LINTS := lint-format lint-tidy lint-cppcheck lint-spelling lint-tree
lint: $(LINTS) ## judge the source: layout, clang-tidy, cppcheck, spelling, tree

# Versions of clang-format differ in details; the tree is laid out by the one named here,
# and another's opinion is no error.
FORMAT_VERSION := 14
lint-format: | $(DEPS)
	@echo "  FORMAT"
	@clang-format --dry-run --ferror-limit=20 $(C_FILES) \
		$$(clang-format --version | grep -q 'version $(FORMAT_VERSION)\.' && echo --Werror)

# One stamp per file, so that only what changed is judged again. The profile is the one
# with the most code in it. Benchmarks need their peers' headers and are left to gcc; the
# Quick Start stays as it is printed everywhere.
TIDY := $(patsubst %,build/lint/%.tidy,\
	$(filter-out bench/% tests/kernel/% boot/bios/% boot/limine/% examples/quickstart_%,$(filter %.c,$(C_FILES))))
# The kernel's files are judged as the kernel is compiled.
tidy_flags = $(if $(filter kernel/% arch/% boot/% hal/kernel/%,$1),-ffreestanding -mgeneral-regs-only \
	$(KERNEL_CPPFLAGS),$(if $(filter user/% tests/user/% hal/unit/%,$1),-ffreestanding -mgeneral-regs-only \
	$(USER_CPPFLAGS),-pthread $(CPPFLAGS)))
lint-tidy: $(TIDY)
build/lint/%.tidy: % .clang-tidy tests/.clang-tidy $(HEADERS) | $(DEPS)
	@echo "  TIDY    $<"
	@mkdir -p $(@D)
	@clang-tidy --quiet --warnings-as-errors='*' $< -- -std=c11 $(call tidy_flags,$<) $(PROFILE_FLAGS_DEV) \
		> $@.log 2>&1 || { grep -v 'warnings generated' $@.log; exit 1; }
	@touch $@

# cppcheck knows nothing of linker scripts: the ends of an image are objects of their own to it; and
# nothing of functions that do not return. It takes mmap() for an allocator like any other: a file descriptor of -1, and what
# the HAL's page allocator returns, look like mistakes to it.
CPPCHECK_EXCUSES := $(foreach id,invalidFunctionArg memleak deallocret,--suppress=$(id):hal/linux/pages.c) \
	--suppress=comparePointers --suppress=va_end_missing:kernel/core/panic.c \
	--suppress=constStatement:user/lib/ipc.h --suppress=ctunullpointer:user/init/conf.c
lint-cppcheck: | $(DEPS)
	@echo "  CPPCHECK"
	@mkdir -p build/lint/cppcheck
	@cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
		--suppress=missingIncludeSystem $(CPPCHECK_EXCUSES) --error-exitcode=1 -j 2 \
		--cppcheck-build-dir=build/lint/cppcheck $(CPPFLAGS) $(PROFILE_FLAGS_DEV) \
		-iquote arch/x86_64 $(wildcard lib/*.c engine/*.c hal/*/*.c arch/*/*.c boot/*.c kernel/*/*.c user/*/*.c examples/*.c examples/*/*.c examples/*/*/*.c)

lint-spelling: | $(DEPS)
	@echo "  SPELL"
	@codespell --skip='build,.git,*.svg,tests/fuzz/corpus' --ignore-words=.codespell-words .

lint-tree: | $(DEPS)
	@echo "  TREE"
	@tests/tree/tree.py --failures-only

.PHONY: fmt lint $(LINTS)

# ---- Models and fuzzing -----------------------------------------------------------------
# Every protocol in tests/model/ is searched exhaustively, and every bug planted in it must
# be found.
MODELS := $(patsubst tests/model/%.pml,model-%,$(wildcard tests/model/*.pml))
model: $(MODELS) ## prove the protocols in tests/model/ with spin
$(MODELS): model-%: tests/model/%.pml | $(DEPS)
	$(LIVE)scripts/run-model $<
.PHONY: model $(MODELS)

FUZZ_SECONDS ?= 10
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz: | $(DEPS) ## fuzz every parser for FUZZ_SECONDS=10 each
	$(LIVE)$(MAKE) CC=clang SAN=fuzzer,address,undefined PROFILE=DEV run-fuzzers
run-fuzzers: $(addprefix $(LIB_OUT)/tests/,$(FUZZERS))
	$(LIVE)scripts/run-fuzzers $(FUZZ_SECONDS) $^
$(LIB_OUT)/tests/fuzz_%: $(LIB_OUT)/obj/tests/fuzz/fuzz_%.o $(addprefix $(LIB_OUT)/,$(TEST_ARCHIVES))
	@echo "  LD      $@"
	@mkdir -p $(@D)
	@$(CC) -pthread $(GMK_CFLAGS) -fsanitize=$(SAN) $(CFLAGS) $(LDFLAGS) -o $@ $^
.PHONY: fuzz run-fuzzers

# ---- All of it ------------------------------------------------------------------------------
# address,undefined runs as gcc builds it and thread as clang does, so that both compilers'
# code is run. Each step is a line of its own, so that the first failure ends it.
check: | $(DEPS) ## everything: lint, docs, both compilers, tests under sanitizers, models, fuzzing
	$(LIVE)$(MAKE) lint docs
	$(LIVE)$(MAKE) test
	$(LIVE)$(MAKE) stack
	$(LIVE)$(MAKE) CC=clang all tests
	$(LIVE)$(MAKE) PROFILE=HARDENED test
	$(LIVE)$(MAKE) CC=gcc SAN=address,undefined PROFILE=DEV test
	$(LIVE)$(MAKE) CC=clang SAN=thread PROFILE=DEV test
	$(LIVE)$(MAKE) model
	$(LIVE)$(MAKE) fuzz
	@echo "check: everything passed"
.PHONY: check

# ---- Measures ---------------------------------------------------------------------------------
COVERAGE_MIN := 90
coverage: | $(DEPS) ## lines of engine/ and lib/ that unit tests reach; fails below 90 %
	$(LIVE)$(MAKE) CC=gcc COV=1 PROFILE=DEV run-coverage
run-coverage: $(UNIT)
	@find $(LIB_OUT) -name '*.gcda' -delete
	$(LIVE)$(RUN_TESTS) $(UNIT)
	@mkdir -p build/coverage
	@gcovr --root . --object-directory $(LIB_OUT) --filter 'engine/' --filter 'lib/' \
		--html-details build/coverage/index.html \
		--txt --fail-under-line $(COVERAGE_MIN) $(LIB_OUT)
	@echo "every line: build/coverage/index.html"

size: lib ## bytes of code and data per object, lines of code per folder and of the kernel
	@size $(sort $(LIB_SRC:%.c=$(LIB_OUT)/obj/%.o)) | sed 's,$(LIB_OUT)/obj/,,'
	@size -t $(LIB_DIR)/libgmk_cpu.a | tail -1
	@size $(LIB_DIR)/libgmk_cpu.so | tail -1
	@echo
	@scripts/code-lines --limit 10000 $(KERNEL_C) $(KERNEL_S) $(KERNEL_LDS)

stack: lib kernel ## deepest stack frames; fails when a function of the engine or kernel takes over 2 KiB
	@scripts/check-stack $(LIB_OUT)/obj $(KERNEL_DIR)/obj

docs: ## check that docs are whole and current, write the reference of the public API to build/docs/
	@scripts/abi-doc --check
	@scripts/check-docs build/docs

abi-doc: ## write docs/abi.md from include/ggmk/abi.h
	@scripts/abi-doc

.PHONY: coverage run-coverage size stack docs abi-doc
