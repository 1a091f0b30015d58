/* Services: what the kernel's subsystems offer to modules inside the kernel, by typed interface.
 *
 * A driver module that lives in the kernel's engine finds memory, interrupts and time by name, with
 * its version checked, as it would find them anywhere: GMK_SERVICE_GET(ctx, struct irq_service,
 * IRQ_SERVICE, IRQ_SERVICE_VERSION). They are for the privileges DRIVER and KERNEL; others get
 * NULL. Each function's contract stands in its own header. */
#pragma once

#include "arch/arch.h"
#include "ggmk/module.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/frame.h"
#include "kernel/time/timer.h"

#define MEMORY_SERVICE         "kernel.memory"
#define MEMORY_SERVICE_VERSION GMK_VERSION(1, 0, 0)
struct memory_service {
    void *(*alloc)(size_t size); /* kmalloc(), kfree() in kernel/mem/heap.h */
    void (*free)(void *block);
    void *(*map_device)(paddr_t pa, size_t size, unsigned prot); /* kernel/mem/vm.h */
    void (*unmap_device)(void *at, size_t size);
    paddr_t (*dma_alloc)(size_t count, uint64_t align, uint64_t limit, enum frame_owner owner);
    void (*dma_free)(paddr_t first, size_t count); /* frame_alloc_run() in kernel/mem/frame.h */
};

#define IRQ_SERVICE         "kernel.irq"
#define IRQ_SERVICE_VERSION GMK_VERSION(1, 0, 0)
struct irq_service { /* kernel/irq/irq.h */
    int (*attach)(unsigned gsi, bool level, bool active_low, irq_fn fn, void *arg,
                  const char *name);
    int (*detach)(unsigned gsi);
    int (*submit)(const gmk_task_t *task);
};

#define TIME_SERVICE         "kernel.time"
#define TIME_SERVICE_VERSION GMK_VERSION(1, 0, 0)
struct time_service { /* kernel/time/timer.h */
    uint64_t (*now_ns)(void);
    bool (*start)(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer));
    bool (*stop)(struct timer *timer);
};

/* The modules behind the first and the last; engine_start() boots them with every engine. */
extern gmk_module_t memory_module, time_module;

/* Publishes the interrupts' service: init of the module "irq" (engine.c). */
int irq_service_publish(gmk_ctx_t *ctx);
