/* User: what the files about user threads share. */
#pragma once

#include "kernel/sched/thread.h"

/* thread.c: never used twice. */
uint32_t thread_next_id(void);
/* control.c: how far down feedback moves a thread of this priority; itself where there is none. */
uint8_t thread_class_floor(unsigned priority);
