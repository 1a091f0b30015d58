/* Dump: a picture of a running engine for people, readable while it is stuck. */
#pragma once

#include "engine/engine.h"

/* hal_on_dump_request()'s callback: writes to the platform's log. arg: the engine. */
void dump_on_request(void *arg);
