/* Attacker: a program that was given a line to print and its own file, tries to get more, and fails.
 *
 * Each try is a row of a table: what it does, and the refusal that it must meet. Tries that a program
 * does not survive are made by copies of itself, whose end is the refusal. */
#include "lib/format.h"
#include "user/lib/print.h"
#include "user/lib/spawn.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"

#include <string.h>

#define KERNEL UINT64_C(0xffffffff80000000)
#define DIRECT UINT64_C(0xffff800000000000)
#define ROOM   UINT64_C(0x1000000000)

static gmk_handle_t console;

/* ---- Tries that are refused by a result ---------------------------------------------------------- */

static int64_t print_kernel(void) {
    return sys_debug_print(console, (const char *)KERNEL, 64);
}

static int64_t write_kernel(void) {
    return sys_unit_info(GMK_SELF_UNIT, (gmk_unit_info_t *)DIRECT);
}

static int64_t write_own_code(void) {
    return sys_unit_info(GMK_SELF_UNIT, (gmk_unit_info_t *)(uintptr_t)write_kernel);
}

static int64_t power_off(void) {
    return sys_system_power(console, false, 0);
}

static int64_t take_ports(void) {
    return sys_ioport_create(console, 0, 65536);
}

static int64_t take_ram(void) {
    return sys_memory_physical(console, GMK_SELF_FACTORY, 0, 1 << 20);
}

static int64_t take_interrupt(void) {
    int64_t notify = sys_notify_create(GMK_SELF_FACTORY);
    int64_t result = sys_irq_create(console, (gmk_handle_t)notify, 1, 1, 0);
    (void)sys_cap_drop((gmk_handle_t)notify);
    return result;
}

static int64_t widen(void) {
    return sys_cap_derive(console, GMK_RIGHTS_ALL, 0);
}

static int64_t forge(void) {
    for (uint32_t slot = 1; slot < GMK_CAPS_MAX; slot++) {
        for (uint32_t generation = 1; generation < 4; generation++) {
            gmk_handle_t handle = GMK_HANDLE(slot, generation);
            bool own = handle == GMK_SELF_UNIT || handle == GMK_SELF_FACTORY;
            for (const gmk_named_handle_t *at = handle_list(); at->handle != 0; at++)
                own |= handle == at->handle;
            int64_t result = sys_cap_check(handle);
            if (!own && result != GMK_EHANDLE)
                return result;
        }
    }
    return GMK_EHANDLE;
}

static int64_t use_as_another_type(void) {
    return sys_port_create(GMK_SELF_UNIT);
}

static int64_t code_that_can_be_written(void) {
    int64_t memory = sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, 4096);
    int64_t result = sys_memory_map(GMK_SELF_UNIT, (gmk_handle_t)memory, 0, 0, 4096,
                                    GMK_PROT_READ | GMK_PROT_WRITE | GMK_PROT_EXEC);
    (void)sys_cap_drop((gmk_handle_t)memory);
    return result;
}

static int64_t map_over_kernel(void) {
    int64_t memory = sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, 4096);
    int64_t result = sys_memory_map(GMK_SELF_UNIT, (gmk_handle_t)memory, KERNEL, 0, 4096,
                                    GMK_PROT_READ | GMK_MAP_FIXED);
    (void)sys_cap_drop((gmk_handle_t)memory);
    return result;
}

static int64_t more_than_the_budget(void) {
    gmk_unit_args_t args = {.name = "giant", .frames = UINT64_C(1) << 40, .priority_max = 1};
    return sys_unit_create(GMK_SELF_FACTORY, &args);
}

static int64_t more_urgent_than_allowed(void) {
    gmk_thread_args_t args = {.name = "king",
                              .entry = (uintptr_t)write_kernel,
                              .stack = GMK_USER_MIN + ROOM,
                              .priority = GMK_PRIORITY_MAX};
    return sys_thread_create(GMK_SELF_UNIT, &args);
}

static int64_t thread_in_the_kernel(void) {
    gmk_thread_args_t args = {
        .name = "ghost", .entry = KERNEL, .stack = ROOM, .priority = GMK_PRIORITY_LOW};
    return sys_thread_create(GMK_SELF_UNIT, &args);
}

static int64_t own_faults(void) {
    return sys_unit_ports(GMK_SELF_UNIT, 0, 0);
}

static int64_t no_such_call(void) {
    return syscall0(SYSCALL_NUMBER(GMK_SYSCALLS_MAX - 1));
}

static int64_t call_of_another_system(void) {
    return syscall0(1);
}

static const struct {
    const char *what;
    int64_t (*try)(void);
    int refusal;
} refused[] = {
    {"print the kernel's memory", print_kernel, GMK_EFAULT},
    {"have the kernel write to itself", write_kernel, GMK_EFAULT},
    {"have the kernel write to code", write_own_code, GMK_EFAULT},
    {"switch the machine off", power_off, GMK_ERIGHTS},
    {"take all I/O ports", take_ports, GMK_ERIGHTS},
    {"map physical memory", take_ram, GMK_ERIGHTS},
    {"take an interrupt", take_interrupt, GMK_ERIGHTS},
    {"widen a capability", widen, GMK_ERIGHTS},
    {"guess handles", forge, GMK_EHANDLE},
    {"use a unit as a factory", use_as_another_type, GMK_ECAPTYPE},
    {"map code that can be written", code_that_can_be_written, GMK_EINVAL},
    {"map over the kernel", map_over_kernel, GMK_EINVAL},
    {"make a unit beyond the budget", more_than_the_budget, GMK_EBUDGET},
    {"start a thread above its priority", more_urgent_than_allowed, GMK_ERANGE},
    {"start a thread in the kernel", thread_in_the_kernel, GMK_EINVAL},
    {"handle its own faults", own_faults, GMK_ERIGHTS},
    {"call what does not exist", no_such_call, GMK_ENOSYS},
    {"call another system", call_of_another_system, GMK_ENOTSUP},
};

/* ---- Tries that end the program -------------------------------------------------------------------- */

static void read_kernel(void) {
    (void)*(volatile char *)KERNEL;
}

static void write_code(void) {
    *(volatile char *)(uintptr_t)read_kernel = 0;
}

static void run_data(void) {
    static char data[16] = {(char)0xc3};
    ((void (*)(void))(uintptr_t)data)();
}

static void run_kernel(void) {
    ((void (*)(void))KERNEL)();
}

static void mask_interrupts(void) {
    __asm__ volatile("cli");
}

static void halt(void) {
    __asm__ volatile("hlt");
}

static void write_register_of_machine(void) {
    __asm__ volatile("wrmsr" : : "c"(0xc0000082u), "a"(0), "d"(0));
}

static void write_page_root(void) {
    __asm__ volatile("mov %0, %%cr3" : : "r"(UINT64_C(0)));
}

static void write_port(void) {
    __asm__ volatile("outb %%al, $0xf4" : : "a"(0));
}

static void leave_the_half(void) {
    (void)*(volatile char *)UINT64_C(0x8000000000000000);
}

static const struct {
    const char *what;
    void (*try)(void);
} deadly[] = {
    {"read kernel memory", read_kernel},
    {"write its own code", write_code},
    {"run data", run_data},
    {"jump into the kernel", run_kernel},
    {"mask interrupts", mask_interrupts},
    {"halt the CPU", halt},
    {"write a machine register", write_register_of_machine},
    {"write the page table's root", write_page_root},
    {"write an I/O port", write_port},
    {"read where no address is", leave_the_half},
};

/* A copy of this program makes the try and must be ended by it. */
static int64_t die_of(unsigned i) {
    char number[8];
    const char *const argv[] = {"attacker", number, NULL};
    (void)format_string(number, sizeof number, "%u", i);
    struct spawn what;
    int64_t status = spawn_from_initrd(&what, "bin/attacker");
    what.argv = argv;
    what.frames = 64;
    what.objects = 4;
    return status == GMK_OK ? spawn_run(&what) : status;
}

/* Tells what came of it; true: refused as it must be. */
static bool told(const char *what, int64_t result, int refusal) {
    bool good = result == refusal;
    print("%-34s %s%s\n", what, good ? "refused: " : "NOT AS IT MUST BE: ",
          result < 0 ? gmk_error_name((int)result) : "it did");
    return good;
}

int main(int argc, char **argv) {
    uint64_t number;
    if (argc > 1 && text_number(argv[1], &number) && number < sizeof deadly / sizeof deadly[0]) {
        deadly[number].try();
        return 0;
    }
    unsigned got = 0;
    console = handle_find("console");
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++)
        got += !told(refused[i].what, refused[i].try(), refused[i].refusal);
    for (unsigned i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
        got += !told(deadly[i].what, die_of(i), GMK_EFAULT);
    print("%u tries, %u got something\n",
          (unsigned)(sizeof refused / sizeof refused[0] + sizeof deadly / sizeof deadly[0]), got);
    return got == 0 ? 0 : 1;
}
