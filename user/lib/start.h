/* Start: what a program is given when it begins.
 *
 * A program is `int main(int argc, char **argv)`; its result is the unit's exit status. Everything
 * else that its maker passed is found by the functions below. */
#pragma once

#include "ggmk/abi.h"

/* argv[0]. */
const char *start_name(void);
/* Value of an entry of the auxiliary vector (GMK_AT_..); 0: it has none. */
uint64_t start_aux(uint64_t type);
/* Value of "NAME=value" of the environment; NULL. */
const char *start_env(const char *name);
/* A capability that the maker gave under a name; 0: none of this name. */
gmk_handle_t handle_find(const char *name);
/* All of them, ended by handle 0. */
const gmk_named_handle_t *handle_list(void);

/* Ends the program: what was printed goes out, and the unit ends with this status. */
_Noreturn void program_exit(int64_t status);
/* Prints why, with the program's name, and ends it with status 1. */
_Noreturn void program_die(const char *text, ...) __attribute__((format(printf, 1, 2)));
