/* Test of fpu: what is saved comes back, on the CPU itself: xmm, ymm and control registers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/arch.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/fpu.h"
#include "arch/x86_64/io.h"
#include "kernel/core/cpu.h"
#include "kernel/mem/heap.h"

#define REGISTERS 16
#define CANARY    0xa5

struct vector {
    uint8_t bytes[32];
};

/* One register of each file by number; the compiler itself never uses them. */
#define EACH_REGISTER(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

static void xmm_write(const struct vector v[REGISTERS]) {
#define XMM_WRITE(n) __asm__ volatile("movups %0, %%xmm" #n ::"m"(v[n]));
    EACH_REGISTER(XMM_WRITE)
}
static void xmm_read(struct vector v[REGISTERS]) {
#define XMM_READ(n) __asm__ volatile("movups %%xmm" #n ", %0" : "=m"(v[n]));
    EACH_REGISTER(XMM_READ)
}
static void ymm_write(const struct vector v[REGISTERS]) {
#define YMM_WRITE(n) __asm__ volatile("vmovups %0, %%ymm" #n ::"m"(v[n]));
    EACH_REGISTER(YMM_WRITE)
}
static void ymm_read(struct vector v[REGISTERS]) {
#define YMM_READ(n) __asm__ volatile("vmovups %%ymm" #n ", %0" : "=m"(v[n]));
    EACH_REGISTER(YMM_READ)
}

static void fill(struct vector v[REGISTERS], unsigned seed) {
    for (unsigned i = 0; i < REGISTERS; i++)
        for (unsigned j = 0; j < sizeof v[i].bytes; j++)
            v[i].bytes[j] = (uint8_t)(seed + i * 37 + j * 11);
}

static uint32_t mxcsr_read(void) {
    uint32_t value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}

/* A block between canaries, aligned as the CPU wants it. */
static uint8_t *raw;
static uint8_t *block;
static bool irq;
static uint64_t cr0;

static int block_make(void **state) {
    (void)state;
    raw = kmalloc(fpu_size() + 3 * FPU_ALIGN);
    assert_non_null(raw);
    memset(raw, CANARY, fpu_size() + 3 * FPU_ALIGN);
    block = raw + FPU_ALIGN + (0 - (uintptr_t)raw) % FPU_ALIGN;
    fpu_reset(block);
    irq = arch_irq_disable(); /* this thread stays on its CPU */
    cr0 = cr0_read();         /* the kernel's own code may not touch vector registers: TS is set */
    __asm__ volatile("clts");
    cpu_this()->fpu_owner = NULL; /* whoever's they were */
    return 0;
}

static int block_check(void **state) {
    (void)state;
    fpu_reset(block);
    fpu_load(block); /* the CPU's registers as they were before anybody computed */
    cr0_write(cr0);
    arch_irq_restore(irq);
    int status = 0;
    for (uint8_t *byte = raw; byte < raw + fpu_size() + 3 * FPU_ALIGN; byte++)
        if ((byte < block || byte >= block + fpu_size()) && *byte != CANARY)
            status = -1;
    kfree(raw);
    return status;
}

static void xmm_registers_come_back(void **state) {
    (void)state;
    struct vector in[REGISTERS], other[REGISTERS], out[REGISTERS];
    fill(in, 1);
    fill(other, 99);
    memset(out, 0, sizeof out);
    xmm_write(in);
    fpu_save(block);
    xmm_write(other);
    fpu_load(block);
    xmm_read(out);
    for (unsigned i = 0; i < REGISTERS; i++)
        assert_memory_equal(out[i].bytes, in[i].bytes, 16);
}

static void ymm_registers_come_back_whole(void **state) {
    (void)state;
    if ((cpu_features.xcr0 & 4) == 0)
        skip();
    struct vector in[REGISTERS], other[REGISTERS], out[REGISTERS];
    fill(in, 2);
    fill(other, 98);
    ymm_write(in);
    fpu_save(block);
    ymm_write(other);
    fpu_load(block);
    ymm_read(out);
    assert_memory_equal(out, in, sizeof in);
}

/* What XSAVEOPT leaves out because it is in its first state must not show what was there before. */
static void a_block_used_twice_holds_the_last_state(void **state) {
    (void)state;
    struct vector in[REGISTERS], out[REGISTERS];
    fill(in, 3);
    xmm_write(in);
    fpu_save(block);
    fill(in, 4);
    xmm_write(in);
    fpu_save(block);
    fill(out, 5);
    xmm_write(out);
    fpu_load(block);
    xmm_read(out);
    for (unsigned i = 0; i < REGISTERS; i++)
        assert_memory_equal(out[i].bytes, in[i].bytes, 16);
}

static void a_reset_block_is_zeros_and_masked_exceptions(void **state) {
    (void)state;
    struct vector out[REGISTERS];
    const struct vector none = {{0}};
    fill(out, 6);
    xmm_write(out);
    const uint32_t unmasked = 0x1f00;
    __asm__ volatile("ldmxcsr %0" ::"m"(unmasked));
    fpu_load(block);
    xmm_read(out);
    for (unsigned i = 0; i < REGISTERS; i++)
        assert_memory_equal(out[i].bytes, none.bytes, 16);
    uint16_t control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    assert_int_equal(control, 0x37f);
    assert_int_equal(mxcsr_read(), 0x1f80);
}

static void control_registers_come_back(void **state) {
    (void)state;
    const uint32_t rounding_up = 0x5f80;
    const uint32_t usual = 0x1f80;
    const uint16_t short_precision = 0x07f;
    __asm__ volatile("ldmxcsr %0; fldcw %1" ::"m"(rounding_up), "m"(short_precision));
    fpu_save(block);
    __asm__ volatile("fninit; ldmxcsr %0" ::"m"(usual));
    fpu_load(block);
    uint16_t control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    assert_int_equal(control & 0x0f3f, short_precision & 0x0f3f);
    assert_int_equal(mxcsr_read(), rounding_up);
}

int main(void) {
#define PROMISE(name) cmocka_unit_test_setup_teardown(name, block_make, block_check)
    const struct CMUnitTest tests[] = {
        PROMISE(xmm_registers_come_back),
        PROMISE(ymm_registers_come_back_whole),
        PROMISE(a_block_used_twice_holds_the_last_state),
        PROMISE(a_reset_block_is_zeros_and_masked_exceptions),
        PROMISE(control_registers_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
