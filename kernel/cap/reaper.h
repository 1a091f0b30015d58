/* Reaper: the module whose tasks end units and large objects (reaper.c); engine_start() boots it. */
#pragma once

#include "ggmk/module.h"

#define REAPER_TASK 4001u /* task type */

extern gmk_module_t reaper_module;
