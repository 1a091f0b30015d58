/* Factory: a budget of frames and objects, and who gave it.
 *
 * Counters only. Splitting takes from the parent for good until the child ends; the end of a factory
 * gives back what it holds once everything charged to it is gone. No lock: charges are atomic. */
#pragma once

#include "kernel/cap/object.h"

#define FACTORIES_MAX        512u
#define FACTORY_DEPTH_MAX    32u /* bounds how many ends one return can complete */
#define FACTORY_ROOT_OBJECTS 65536u

struct factory {
    struct object object;
    struct factory *parent; /* NULL: the machine's */
    unsigned depth;         /* splits from the machine's; at most FACTORY_DEPTH_MAX */
    _Atomic uint64_t frames_free, objects_free;
    uint64_t frames_max, objects_max; /* constant for its life */
    _Atomic bool ended; /* nobody names it any more: freed when everything has come back */
};

/* GMK_EBUDGET when there are not so many. NULL factory: always granted. Any context. */
int factory_take_frames(struct factory *factory, uint64_t count);
void factory_give_frames(struct factory *factory, uint64_t count);
int factory_take_object(struct factory *factory);
void factory_give_object(struct factory *factory);
/* A child of `parent`, which is charged what it gives and one object. NULL and *error: GMK_EBUDGET,
 * GMK_ENOMEM, GMK_ELIMIT (depth, FACTORIES_MAX). */
struct factory *factory_split(struct factory *parent, uint64_t frames, uint64_t objects,
                              int *error);
void factory_end(struct factory *factory, uint32_t serial);
/* The first one: all free frames of the machine but `reserve`. Boot. */
struct factory *factory_root(uint64_t reserve);
