/* Sandbox memory: blocks that notice what a handler does wrong with them.
 *
 * Each block lies between two guards, is filled with one pattern when it is new and with
 * another when it is freed, and stays in place after that: memory is reused only when
 * nothing fresh is left, the longest freed first. So writing past a block, or into a freed
 * one, is found at the next look, and a stale read returns the pattern.
 *
 * References are counted twice. `refs` is the block's count as the engine would keep it;
 * `handed` is how many of them were given away with recorded emits. One more belongs to
 * the task that runs, if the block is its payload. What is left is the handler's own, and
 * only that may be freed or given away:
 *
 *     own = refs - handed - (payload of the running task ? 1 : 0)
 */
#include <string.h>

#include "engine/sandbox.h"

#define FILL_GUARD 0xfb
#define FILL_NEW   0xcd
#define FILL_FREED 0xdd

/* ---- Blocks and bytes -------------------------------------------------------------------- */

static unsigned char *block_front(const struct sandbox *box, const struct sandbox_block *block) {
    return &box->pool[block->offset];
}

static unsigned char *block_bytes(const struct sandbox *box, const struct sandbox_block *block) {
    return &box->pool[block->offset + SANDBOX_GUARD];
}

static bool all_are(const unsigned char *bytes, size_t count, unsigned char value) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != value)
            return false;
    }
    return true;
}

/* The block whose memory starts at `address`, live or freed; NULL: not one of ours. */
static struct sandbox_block *block_find(struct sandbox *box, const void *address) {
    for (uint32_t i = 0; i < box->n_blocks; i++) {
        if (block_bytes(box, &box->blocks[i]) == address)
            return &box->blocks[i];
    }
    return NULL;
}

static uint32_t block_own(const struct sandbox *box, const struct sandbox_block *block) {
    return block->refs - block->handed - (block == box->running ? 1u : 0u);
}

static void guards_set(const struct sandbox *box, const struct sandbox_block *block) {
    unsigned char *behind = block_bytes(box, block) + block->size;
    memset(block_front(box, block), FILL_GUARD, SANDBOX_GUARD);
    memset(behind, FILL_GUARD, block->room - SANDBOX_GUARD - block->size);
}

static void guards_check(struct sandbox *box, const struct sandbox_block *block) {
    const unsigned char *behind = block_bytes(box, block) + block->size;
    bool front = all_are(block_front(box, block), SANDBOX_GUARD, FILL_GUARD);
    bool back = all_are(behind, block->room - SANDBOX_GUARD - block->size, FILL_GUARD);
    if (!front)
        sandbox_fault(box, "something was written before the start of a block");
    if (!back)
        sandbox_fault(box, "something was written beyond the end of a block");
    if (!front || !back)
        guards_set(box, block); /* each mistake counts once */
}

static void block_check(struct sandbox *box, const struct sandbox_block *block) {
    guards_check(box, block);
    if (block->refs == 0 && !all_are(block_bytes(box, block), block->size, FILL_FREED)) {
        sandbox_fault(box, "something was written into a block after it was freed");
        memset(block_bytes(box, block), FILL_FREED, block->size);
    }
}

void sandbox_check(struct sandbox *box) {
    for (uint32_t i = 0; i < box->n_blocks; i++)
        block_check(box, &box->blocks[i]);
}

/* ---- Allocating ----------------------------------------------------------------------------- */

/* Memory that was never used; NULL: none is left. */
static struct sandbox_block *block_fresh(struct sandbox *box, uint32_t room) {
    if (box->n_blocks == GMK_SANDBOX_BLOCKS_MAX)
        return NULL;
    if (room > box->pool_size - box->pool_used - box->bump_used)
        return NULL;
    struct sandbox_block *block = &box->blocks[box->n_blocks++];
    *block = (struct sandbox_block){.offset = (uint32_t)box->pool_used, .room = room};
    box->pool_used += room;
    return block;
}

/* The block that was freed longest ago, of those that are large enough; NULL: none. */
static struct sandbox_block *block_again(struct sandbox *box, uint32_t room) {
    struct sandbox_block *oldest = NULL;
    for (uint32_t i = 0; i < box->n_blocks; i++) {
        struct sandbox_block *block = &box->blocks[i];
        if (block->refs != 0 || block->room < room)
            continue;
        if (oldest == NULL || block->freed < oldest->freed)
            oldest = block;
    }
    if (oldest != NULL)
        block_check(box, oldest);
    return oldest;
}

void *sandbox_alloc(struct sandbox *box, size_t size) {
    if (sandbox_fails(&box->fail_alloc) || size == 0 || size > SANDBOX_BLOCK_MAX)
        return NULL;
    uint32_t room = ((uint32_t)size + 15u) / 16u * 16u + 2u * SANDBOX_GUARD;
    struct sandbox_block *block = block_fresh(box, room);
    if (block == NULL)
        block = block_again(box, room);
    if (block == NULL)
        return NULL;
    block->size = (uint32_t)size;
    block->refs = 1;
    block->handed = 0;
    guards_set(box, block);
    memset(block_bytes(box, block), FILL_NEW, size);
    return block_bytes(box, block);
}

/* ---- References -------------------------------------------------------------------------------- */

static void block_drop(struct sandbox *box, struct sandbox_block *block) {
    block->refs--;
    if (block->refs > 0)
        return;
    guards_check(box, block);
    memset(block_bytes(box, block), FILL_FREED, block->size);
    block->freed = ++box->n_freed;
}

void sandbox_free(struct sandbox *box, void *address) {
    if (address == NULL)
        return;
    struct sandbox_block *block = block_find(box, address);
    if (block == NULL)
        sandbox_fault(box, "gmk_free() of an address that is not a block");
    else if (block->refs == 0)
        sandbox_fault(box, "gmk_free() of a block that was freed already");
    else if (block_own(box, block) == 0)
        sandbox_fault(box, "gmk_free() of a reference that was handed on or belongs to the task");
    else
        block_drop(box, block);
}

int sandbox_retain(struct sandbox *box, void *address) {
    struct sandbox_block *block = block_find(box, address);
    if (block == NULL || block->refs == 0)
        return GMK_EINVAL;
    block->refs++;
    return GMK_OK;
}

void sandbox_payload_retain(gmk_ctx_t *ctx) {
    if (ctx->sandbox->running != NULL)
        ctx->sandbox->running->refs++;
}

void sandbox_payload_release(gmk_ctx_t *ctx) {
    struct sandbox *box = ctx->sandbox;
    struct sandbox_block *block = box->running;
    box->running = NULL;
    if (block != NULL)
        block_drop(box, block);
    if (ctx->task != NULL) {
        ctx->task->payload = NULL;
        ctx->task->len = 0;
    }
}

void sandbox_hand_on(struct sandbox *box, const void *payload) {
    struct sandbox_block *block = payload != NULL ? block_find(box, payload) : NULL;
    if (block == NULL)
        return; /* the caller's own memory */
    if (block->refs == 0)
        sandbox_fault(box, "a task was emitted with a payload that was freed already");
    else if (block_own(box, block) == 0)
        sandbox_fault(box, "a payload was emitted without a reference to give: retain it first");
    else
        block->handed++;
}

void sandbox_run_takes(struct sandbox *box, const void *payload) {
    box->running = NULL;
    struct sandbox_block *block = payload != NULL ? block_find(box, payload) : NULL;
    if (block == NULL)
        return;
    if (block->refs == 0) {
        sandbox_fault(box, "a task was run with a payload that was freed already");
        return;
    }
    if (block->handed > 0)
        block->handed--;
    box->running = block;
}

void sandbox_run_ends(struct sandbox *box, bool again) {
    struct sandbox_block *block = box->running;
    box->running = NULL;
    if (block == NULL)
        return;
    if (again)
        block->handed++; /* it waits in the queue again */
    else
        block_drop(box, block);
}

GMK_API uint32_t gmk_sandbox_live_blocks(const gmk_sandbox_t *box) {
    uint32_t live = 0;
    for (uint32_t i = 0; i < box->n_blocks; i++)
        live += box->blocks[i].refs > box->blocks[i].handed;
    return live;
}

void sandbox_forget_blocks(struct sandbox *box) {
    sandbox_bump_reset(box);
    memset(box->pool, FILL_FREED, box->pool_used);
    box->n_blocks = 0;
    box->pool_used = 0;
    box->running = NULL;
}

/* ---- Scratch memory --------------------------------------------------------------------------- */

void *sandbox_bump(struct sandbox *box, size_t size) {
    size_t left = box->pool_size - box->pool_used - box->bump_used;
    if (sandbox_fails(&box->fail_alloc) || size == 0 || size > left)
        return NULL;
    /* All of them are multiples of 16, so rounding up stays within what is left. */
    box->bump_used += (size + 15u) / 16u * 16u;
    unsigned char *bytes = &box->pool[box->pool_size - box->bump_used];
    memset(bytes, FILL_NEW, size);
    return bytes;
}

void sandbox_bump_reset(struct sandbox *box) {
    memset(&box->pool[box->pool_size - box->bump_used], FILL_FREED, box->bump_used);
    box->bump_used = 0;
}
