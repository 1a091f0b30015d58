/* Test: memory as a program uses it. What must not be possible is tried by calls that read or write there
 * for the program, whose refusal it can see. */
#pragma once

#include "tests/user/lib/utest.h"
#include "user/lib/memory.h"
#include "user/lib/sys.h"

#define PAGE    UINT64_C(4096)
#define RW      (GMK_PROT_READ | GMK_PROT_WRITE)
#define RX      (GMK_PROT_READ | GMK_PROT_EXEC)
#define SELF    GMK_SELF_UNIT
#define FACTORY GMK_SELF_FACTORY

static inline volatile uint64_t *at(uint64_t address) {
    return (volatile uint64_t *)address; // NOLINT(performance-no-int-to-ptr)
}

static inline bool can_read(uint64_t address) {
    const _Atomic uint32_t *word = (const _Atomic uint32_t *)at(address);
    int64_t status = sys_word_wait(word, 0, 0);
    return status == GMK_ETIMEOUT || status == GMK_EAGAIN;
}

static inline bool can_write(uint64_t address) {
    return sys_cap_info(SELF, (gmk_cap_info_t *)(uintptr_t)at(address)) == GMK_OK;
}

static inline int64_t new_object(uint64_t pages) {
    return sys_memory_create(FACTORY, GMK_MEMORY_ANON, pages * PAGE);
}
