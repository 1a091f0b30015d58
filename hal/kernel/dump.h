/* Dump: the kernel's side of hal_on_dump_request(): the monitor asks for the engine's dump. */
#pragma once

#include <stdbool.h>

/* Calls what the engine asked for; false when it asked for nothing. Thread context. */
bool hal_dump_request_fire(void);
