/* GGMK: everything a program of tasks, channels and modules includes. */
#pragma once

#include "ggmk/base.h"
#include "ggmk/chan.h"
#include "ggmk/error.h"
#include "ggmk/kernel.h"
#include "ggmk/log.h"
#include "ggmk/metrics.h"
#include "ggmk/module.h"
#include "ggmk/run.h"
#include "ggmk/task.h"
#include "ggmk/trace.h"
