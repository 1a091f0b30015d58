/* Paged kernel: brings the memory code up on the paged machine, as mem_init() does at boot, and anew
 * for each test. Included after the kernel's sources, whose state it resets. */
#pragma once

static inline void paged_kernel(uint64_t ram) {
    static uint64_t bitmap[PAGED_RAM_MAX / PAGE_SIZE / 32];
    uint64_t first = PAGED_RAM_BASE >> PAGE_SHIFT, count = ram >> PAGE_SHIFT;
    paddr_t root = PAGED_RAM_BASE, next = root + PAGE_SIZE;
    paged_reset(ram);
    memset(frame_spans, 0, sizeof frame_spans);
    memset(&boot_cache, 0, sizeof boot_cache);
    memset(shared_owned, 0, sizeof shared_owned);
    memset(classes, 0, sizeof classes);
    frame_span_count = 0;
    frame_unclaimed = 0;
    fail_in = kmalloc_fails_in = 0;
    areas = NULL;
    area_count = 0;
    area_cache = (struct kslab_cache){
        .name = "vm area", .object_size = sizeof(struct vm_area), .lock = {.class = LOCK_SLAB}};
    headers = (struct kslab_cache){
        .name = "slab header", .object_size = HEADER_SIZE, .lock = {.class = LOCK_SLAB}};
    lazy_faults = 0;
    vm_lock = (struct spinlock)SPINLOCK_INIT(LOCK_VM);
    ask_lock = (struct spinlock)SPINLOCK_INIT(LOCK_SHOOTDOWN);

    arch_page_window(0);
    memset((void *)root, 0, PAGE_SIZE);
    void *descriptors =
        mmap((void *)page_down((vaddr_t)frame_at(first)),
             page_up(count * sizeof(struct frame)) + PAGE_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    assert_ptr_not_equal(descriptors, MAP_FAILED);
    frame_boot_owner(root, next, FRAME_TABLE);
    frame_span_add(first, count, bitmap);
    vm_init(root);
}
