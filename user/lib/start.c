/* Start: from the first instruction to main().
 *
 * The stack holds argc, argv, the environment and the auxiliary vector (System V ABI x86-64,
 * 3.4.1). The loader has done the relocations. What is left: thread-local storage for the first
 * thread, constructors, main(), and the end. */
#include "user/lib/start.h"

#include "lib/elf_stack.h"
#include "lib/format.h"
#include "user/lib/internal.h"
#include "user/lib/print.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <string.h>

int main(int argc, char **argv); /* the program */
_Noreturn void start_program(uint64_t *stack, gmk_msg_t *msg, uint32_t id);

/* Set once, before main(). */
static struct {
    const char *name; /* argv[0] */
    char **env;
    const struct elf_aux *aux;
} start;

const char *start_name(void) {
    return start.name;
}

uint64_t start_aux(uint64_t type) {
    for (const struct elf_aux *at = start.aux; at->type != ELF_AUX_NULL; at++) {
        if (at->type == type)
            return at->value;
    }
    return 0;
}

const char *start_env(const char *name) {
    size_t length = strlen(name);
    for (char **at = start.env; *at != NULL; at++) {
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    }
    return NULL;
}

const gmk_named_handle_t *handle_list(void) {
    static const gmk_named_handle_t none;
    const gmk_named_handle_t *list = (const gmk_named_handle_t *)start_aux(GMK_AT_HANDLES);
    return list != NULL ? list : &none;
}

gmk_handle_t handle_find(const char *name) {
    for (const gmk_named_handle_t *at = handle_list(); at->handle != 0; at++) {
        if (strncmp(at->name, name, sizeof at->name) == 0)
            return at->handle;
    }
    return 0;
}

_Noreturn void program_exit(int64_t status) {
    print_flush();
    sys_exit(status, true);
}

_Noreturn void program_die(const char *text, ...) {
    char line[PRINT_LINE_MAX];
    va_list args;
    va_start(args, text);
    (void)format_vstring(line, sizeof line, text, args);
    va_end(args);
    print("%s: %s\n", start.name, line);
    program_exit(1);
}

typedef void (*constructor_fn)(int argc, char **argv, char **env);
/* Where constructors are listed: by the linker. */
extern const constructor_fn __init_array_start[] __attribute__((visibility("hidden")));
extern const constructor_fn __init_array_end[] __attribute__((visibility("hidden")));

_Noreturn void start_program(uint64_t *stack, gmk_msg_t *msg, uint32_t id) {
    int argc = (int)stack[0];
    char **argv = (char **)(stack + 1);
    char **env = argv + argc + 1;
    char **end = env;
    while (*end != NULL) /* ends: the maker wrote the NULL */
        end++;
    start.name = argc > 0 ? argv[0] : "?";
    start.env = env;
    start.aux = (const struct elf_aux *)(end + 1);
    const uint64_t *random = (const uint64_t *)start_aux(ELF_AUX_RANDOM);
    __stack_chk_guard = random != NULL ? random[0] & ~(uint64_t)0xff : 0; /* a zero ends strings */
    tls_find();
    /* Of this frame, which is never left. */
    char *tls = __builtin_alloca_with_align(tls_size(), TLS_ALIGN * 8);
    (void)sys_tls(tls_fill(tls));
    thread_local_block = (struct thread_local_block){.msg = msg, .id = id};
    print_start();
    for (const constructor_fn *fn = __init_array_start; fn < __init_array_end; fn++)
        (*fn)(argc, argv, env);
    program_exit(main(argc, argv));
}
