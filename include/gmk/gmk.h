/* GMK: the engine's first name; the same interface as "ggmk/ggmk.h". */
#pragma once

#include "ggmk/ggmk.h"
