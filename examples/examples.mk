# Examples: programs that use the library as anybody's program would.
#
# They link the archive that users get (or, in instrumented builds, the instrumented one)
# and land in build/examples/.

EXAMPLES_OUT := $(LIB_DIR)/examples
EXAMPLES := $(addprefix $(EXAMPLES_OUT)/,quickstart_ggmk quickstart_gmk loglens)

# The Quick Start reads a value and does nothing with it, as it is printed everywhere.
$(LIB_OUT)/obj/examples/quickstart_%.o: private override CFLAGS += -Wno-unused-variable

$(EXAMPLES_OUT)/quickstart_%: $(LIB_OUT)/obj/examples/quickstart_%.o $(GMK_LIB)
	@echo "  LD      $@"
	@mkdir -p $(@D)
	@$(LINK) -o $@ $^

# Loglens: the modules know nothing but the public headers; source and sink are Linux's.
LOGLENS_SRC := $(wildcard examples/loglens/*.c examples/loglens/modules/*.c)
$(EXAMPLES_OUT)/loglens: $(LOGLENS_SRC:%.c=$(LIB_OUT)/obj/%.o) $(GMK_LIB)
	@echo "  LD      $@"
	@mkdir -p $(@D)
	@$(LINK) -o $@ $^ -lz

examples: $(EXAMPLES)

LOGLENS_TRACE := build/loglens.fxt
run-loglens: $(EXAMPLES_OUT)/loglens ## run the example pipeline on the documentation of this machine
	$(LIVE)$< --trace $(LOGLENS_TRACE)
	@$(if $(DRY_RUN),:,echo)
	@echo 'The trace of this run is $(LOGLENS_TRACE): open it in https://ui.perfetto.dev'
	@echo 'Your own files: $< FILE|FOLDER...   (more: $< --help)'

# The system tests drive these programs.
ifeq ($(SAN)$(COV),)
test: $(EXAMPLES)
endif

.PHONY: examples run-loglens
