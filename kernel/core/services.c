/* Services: the modules "memory" and "time", and what they and "irq" publish. */
#include "kernel/core/services.h"

#include "kernel/mem/heap.h"
#include "kernel/mem/vm.h"

static const struct memory_service memory_service = {
    .alloc = kmalloc,
    .free = kfree,
    .map_device = vm_map_phys,
    .unmap_device = vm_unmap_phys,
    .dma_alloc = frame_alloc_run,
    .dma_free = frame_free_run,
};

static int memory_up(gmk_ctx_t *ctx) {
    return gmk_service_publish(ctx, MEMORY_SERVICE, MEMORY_SERVICE_VERSION, &memory_service,
                               GMK_DRIVER);
}

/* Everybody who may have held memory has shut down by now: the heap must be whole. */
static void memory_down(gmk_ctx_t *ctx) {
    (void)gmk_service_withdraw(ctx, MEMORY_SERVICE);
    kheap_check();
}

gmk_module_t memory_module = {.name = "memory",
                              .version = MEMORY_SERVICE_VERSION,
                              .privilege = GMK_KERNEL,
                              .init = memory_up,
                              .fini = memory_down};

static const struct time_service time_service = {
    .now_ns = arch_time_ns,
    .start = timer_start,
    .stop = timer_stop,
};

static int time_up(gmk_ctx_t *ctx) {
    return gmk_service_publish(ctx, TIME_SERVICE, TIME_SERVICE_VERSION, &time_service, GMK_DRIVER);
}

gmk_module_t time_module = {
    .name = "time", .version = TIME_SERVICE_VERSION, .privilege = GMK_KERNEL, .init = time_up};

static const struct irq_service irq_service = {
    .attach = irq_attach,
    .detach = irq_detach,
    .submit = irq_submit,
};

int irq_service_publish(gmk_ctx_t *ctx) {
    return gmk_service_publish(ctx, IRQ_SERVICE, IRQ_SERVICE_VERSION, &irq_service, GMK_DRIVER);
}
