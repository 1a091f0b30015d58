/* Supervise: starts the programs of a configuration, and looks after them.
 *
 *                 may start            ended, and is not to run again
 *     WAITING --------------> RUNNING ----------------------------------> DONE
 *                               ^  |                                        ^
 *           its pause is over   |  | ended, and is to run again             | too often, or it
 *                               |  v                                        | cannot be started
 *                              PAUSED --------------------------------------+
 *
 * A program that runs again pauses before: PAUSE_NS, twice as long each time. */
#pragma once

#include "user/init/conf.h"

/* Starts everything and returns when everything is DONE. How many programs failed: could not be started,
 * or ended for good by a fault or with a status that is not 0. */
unsigned supervise(const struct conf *conf);
