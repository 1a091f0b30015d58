/* Edge: joins channels of a unit's own engine to channels of the kernel.
 *
 * A module sends into a channel and receives from one, by name. Whether the partner runs in the same
 * engine or in another unit is not its business: that is said when the program is started, in words
 * of its command line,
 *
 *     out=NAME                   what is sent into the local channel goes to the kernel's of this name
 *     in=NAME[,SLOTS[,BYTES]]    makes the kernel's channel; what comes goes into the local one
 *
 * Each has a thread. Order is the channel's own on every leg. Backpressure: a full channel of the
 * kernel stops the thread, then the local channel fills, then the local sender waits; and the other
 * way round a full local channel stops the thread that receives. Payloads are copied by the kernel,
 * between blocks of the engines' arenas.
 *
 * The unit needs the names ("registry"), and its engine a client (max_clients) for each. When the other side is gone the local channel is closed, so
 * that modules see GMK_ECLOSED. */
#pragma once

#include "ggmk/ggmk.h"

#define EDGE_MAX 16u /* channels of a program that cross its edge */

/* Begins with every word of the form above, once: the engine runs, and the local channels are open. GMK_OK;
 * the rest is told in the log: GMK_ENOENT (no such local channel), GMK_EINVAL (a bad word), GMK_ELIMIT,
 * or what the kernel refuses with. */
GMK_API int edge_start(gmk_kernel_t *kernel, int argc, char **argv);

/* Waits until the other side of some channel is gone. */
GMK_API void edge_wait(void);

/* Waits until everything that was sent into outgoing channels so far has been taken by the kernel's.
 * GMK_OK, or GMK_ECLOSED: somebody does not take it any more. */
GMK_API int edge_flush(gmk_kernel_t *kernel);
