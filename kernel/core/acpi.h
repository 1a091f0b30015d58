/* ACPI: what the firmware's tables said, read once at boot. */
#pragma once

#include "lib/acpi.h"

struct boot_info;

extern struct acpi_info acpi; /* constant after acpi_init() */

/* Reads the tables into `acpi` and logs each one (debug) and what is wrong with it (warn). Without
 * ACPI the machine is one CPU with its interrupt controllers at their usual addresses. Once, on
 * the boot CPU, after mem_init(). */
void acpi_init(const struct boot_info *info);
