/* User test: starting programs with what tests hold. */
#pragma once

#include "user/lib/spawn.h"

/* Gives the usual capabilities (utest.h) on to a program that is not started yet. */
int utest_give(struct spawned *child);
/* Starts tests/NAME with them and these words (NULL: none) and waits: its status, or an error. */
int64_t utest_program(const char *name, const char *const *argv);
