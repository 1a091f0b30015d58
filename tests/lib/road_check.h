/* Road check: what must hold of boot_info, whatever a loader delivered. */
#pragma once

#include "boot/boot_info.h"

/* NULL, or what is wrong. */
const char *road_check(const struct boot_info *info);
