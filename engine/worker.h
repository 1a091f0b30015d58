/* Worker: one thread that gathers, runs and parks until the engine stops. */
#pragma once

#include "engine/engine.h"

/* Starts the worker threads. On failure those that run are stopped again: ESYS. */
int worker_start_all(struct engine *eng);

/* Tells them to leave once nothing is left, and joins them. */
void worker_stop_all(struct engine *eng);
