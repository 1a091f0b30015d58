/* Channel ends: the engine's channels at the edge of a unit.
 *
 * A channel is one of the kernel engine's (ggmk/chan.h): the same names, log,
 * backpressure, trace. A capability is an *end* of it: it may send, and with
 * READ it holds a subscription that is pulled (gmk_chan_sub_pull(), engine) by
 * chan_recv instead of being handled. So a partner in another unit and one in a
 * kernel module look the same.
 *
 * Payloads are copied in and out through blocks of the engine's arena; `bytes`
 * bounds them per channel. Calls enter the engine with IF off as this CPU's
 * client, as irq_submit() does. */
#pragma once

#include "kernel/cap/unit.h"
#include "kernel/ipc/block.h"

struct chan_end; /* an end */
struct registry;

struct object *registry_root(void); /* every name; boot, after engine_start() */
struct object *registry_new(struct object *parent, uint32_t serial, struct factory *factory,
                            const char *prefix, int *error);
void registry_end(struct object *object, uint32_t serial);

struct object *channel_create(struct object *registry, uint32_t serial, struct factory *factory,
                              const gmk_chan_args_t *args, int *error);
struct object *channel_open(struct object *registry, uint32_t serial, struct factory *factory,
                            const char *name, unsigned rights, int *error);
void channel_end(struct object *object, uint32_t serial);
int channel_close(struct object *object, uint32_t serial);
/* The engine begins anew, without units: what is known of its channels is void. */
void channels_forget(void);
int channel_bind(struct object *object, uint32_t serial, const struct notify_ref *ref);
uint64_t channel_sys_send(uint64_t handle, uint64_t msg, uint64_t timeout, uint64_t a3, uint64_t a4,
                          uint64_t a5, uint64_t rax);
uint64_t channel_sys_recv(uint64_t handle, uint64_t msg, uint64_t timeout, uint64_t a3, uint64_t a4,
                          uint64_t a5, uint64_t rax);
