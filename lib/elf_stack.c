/* ELF stack: measures everything, then fills from the lower end: words first, then what they point at. */
#include "lib/elf_stack.h"

#include <string.h>

#define COUNT_MAX 4096u /* strings, entries or handles of one list */

/* Writes on: words at one place, data at another. Both are in the buffer, whose end is `top`. */
struct writer {
    char *words, *data;
    char *end; /* of the buffer */
    uint64_t top;
};

static void put_word(struct writer *w, uint64_t word) {
    memcpy(w->words, &word, sizeof word);
    w->words += sizeof word;
}

/* Returns the address that the bytes will have. */
static uint64_t put_data(struct writer *w, const void *bytes, size_t size) {
    uint64_t address = w->top - (uint64_t)(w->end - w->data);
    if (size > 0)
        memcpy(w->data, bytes, size);
    w->data += size;
    return address;
}

static void put_strings(struct writer *w, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        put_word(w, put_data(w, list[i], strlen(list[i]) + 1));
    put_word(w, 0);
}

static void put_pair(struct writer *w, uint64_t type, uint64_t value) {
    put_word(w, type);
    put_word(w, value);
}

/* Counts a list of strings and their bytes. */
static size_t measure(const char *const *list, size_t *bytes) {
    size_t count = 0;
    for (; count < COUNT_MAX && list[count] != NULL; count++)
        *bytes += strlen(list[count]) + 1;
    return count;
}

uint64_t elf_stack_build(const struct elf_stack *stack, uint64_t top, void *buffer, size_t size) {
    static const gmk_named_handle_t none;
    const gmk_named_handle_t *handles = stack->handles != NULL ? stack->handles : &none;
    size_t strings = 0, aux = 0, named = 0;
    size_t argc = measure(stack->argv, &strings);
    size_t envc = measure(stack->env, &strings);
    while (aux < COUNT_MAX && stack->aux[aux].type != ELF_AUX_NULL)
        aux++;
    while (named < COUNT_MAX && handles[named].handle != 0)
        named++;
    size_t words = 1 + (argc + 1) + (envc + 1) + 2 * (aux + 3);
    size_t named_bytes = (named + 1) * sizeof *handles;
    size_t whole = words * sizeof(uint64_t) + named_bytes + sizeof stack->random + strings;
    whole = (whole + 15) & ~(size_t)15;
    if (whole > size)
        return 0;

    struct writer w = {.end = (char *)buffer + size, .top = top};
    w.words = w.end - whole;
    w.data = w.words + words * sizeof(uint64_t);
    memset(w.words, 0, whole);
    uint64_t handles_at = put_data(&w, handles, named * sizeof *handles);
    w.data += sizeof *handles; /* the last one is zero */
    uint64_t random_at = put_data(&w, stack->random, sizeof stack->random);
    put_word(&w, argc);
    put_strings(&w, stack->argv, argc);
    put_strings(&w, stack->env, envc);
    for (size_t i = 0; i < aux; i++)
        put_pair(&w, stack->aux[i].type, stack->aux[i].value);
    put_pair(&w, ELF_AUX_RANDOM, random_at);
    put_pair(&w, GMK_AT_HANDLES, handles_at);
    put_pair(&w, ELF_AUX_NULL, 0);
    return top - whole;
}
