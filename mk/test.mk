# Tests: which programs there are, how they are built, and how they are run.
#
# tests/unit/test_*.c and tests/stress/stress_*.c are programs each; what they share is in
# tests/lib/. Executable scripts in tests/system/ drive what was built from outside; they
# find it through GMK_BUILD (the folder of the library and the examples), PROFILE and CC.
# tests/tree judges the source itself.

UNIT := $(patsubst tests/unit/%.c,$(TEST_OUT)/tests/%,$(wildcard tests/unit/test_*.c))
STRESS := $(patsubst tests/stress/%.c,$(LIB_OUT)/tests/%,$(wildcard tests/stress/stress_*.c))
SYSTEM := $(wildcard tests/system/*.sh)
TREE := tests/tree/tree.py tests/tree/selftest.py
TEST_ARCHIVES := libgmk_tests.a libgmk_internal.a

$(TEST_OUT)/tests/test_%: $(TEST_OUT)/obj/tests/unit/test_%.o $(addprefix $(TEST_OUT)/,$(TEST_ARCHIVES))
	@echo "  LD      $@"
	@mkdir -p $(@D)
	@$(LINK) -o $@ $^ -lcmocka -lm

$(LIB_OUT)/tests/stress_%: $(LIB_OUT)/obj/tests/stress/stress_%.o $(addprefix $(LIB_OUT)/,$(TEST_ARCHIVES))
	@echo "  LD      $@"
	@mkdir -p $(@D)
	@$(LINK) -o $@ $^ -lcmocka -lm

tests: $(UNIT) $(STRESS) ## build the unit and stress tests

# Sanitized programs are slower; each program is ended at its time limit, and that is a
# failure which names it.
TEST_SLOWDOWN := $(if $(findstring thread,$(SAN)),10,$(if $(SAN),4,1))
RUN_TESTS = GMK_BUILD=$(LIB_DIR) PROFILE=$(PROFILE) CC='$(CC)' scripts/run-tests --slowdown $(TEST_SLOWDOWN) \
	--logs $(TEST_OUT)/logs

# `make test` is everything that proves this variant; system tests need the plain library
# and the examples, whose list is known only later.
test: $(UNIT) $(STRESS) $(if $(SAN)$(COV),,lib examples) | $(DEPS) ## run every test: unit, tree, system, a short stress
	$(LIVE)$(RUN_TESTS) $(UNIT) $(if $(SAN)$(COV),,$(TREE) $(SYSTEM)) $(STRESS)

stress: $(STRESS) | $(DEPS) ## run the stress tests; GGMK_STRESS=20 runs them 20 times as long
	$(LIVE)$(RUN_TESTS) $(STRESS)

# group(name, patterns): `make test-<name>` runs the unit tests whose subject matches.
TEST_GROUPS :=
define group
TEST_GROUPS += $1
test-$1: $$(filter $$(addprefix $$(TEST_OUT)/tests/test_,$2),$$(UNIT))
	$$(LIVE)$$(RUN_TESTS) $$^
.PHONY: test-$1
endef
$(eval $(call group,ring,ring% localq% lin%))
$(eval $(call group,alloc,alloc% arena% block% bump% slab%))
$(eval $(call group,sched,sched% timer% group% heap%))
$(eval $(call group,chan,chan%))
$(eval $(call group,module,module% service%))
$(eval $(call group,worker,worker% park%))
$(eval $(call group,boot,boot% quick%))

.PHONY: tests test stress
