/* Fuzz of the Limine road: responses that a loader may give, with any numbers and texts in them.
 *
 * A response is a structure behind a pointer, and the protocol promises that pointers are good; so
 * here they are. What the input decides: which responses there are, every number, counts far beyond
 * any table (the lists are as long as the road may read), and texts. */
#include "boot/boot_info.c"
#include "boot/limine.c"
#include "boot/roads.c"
#include "tests/lib/fuzz_input.h"
#include "tests/lib/road_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define IMAGE 0xffffffff80200000ull
#define KINDS 16u

static struct limine_requests requests;
static struct limine_range ranges[KINDS];
static struct limine_file files[KINDS];
static struct limine_cpu cpus[KINDS];
static struct limine_screen screens[1];
static void *lists[4][ENTRIES_MAX];
static char *texts[2];

/* A text of the input's, terminated, on the heap. */
static char *take_text(struct fuzz_input *in, unsigned i) {
    size_t length = (size_t)fuzz_take(in, 2) % 3000;
    length = length < in->left ? length : in->left;
    texts[i] = malloc(length + 1);
    memcpy(texts[i], in->at, length);
    texts[i][length] = '\0';
    in->at += length;
    in->left -= length;
    return texts[i];
}

/* A count: mostly small, sometimes enormous. */
static uint64_t take_count(struct fuzz_input *in) {
    uint64_t choice = fuzz_take(in, 1);
    return choice < 200 ? choice : choice < 240 ? choice * 100 : UINT64_MAX - choice;
}

static void take_objects(struct fuzz_input *in) {
    for (unsigned i = 0; i < KINDS; i++) {
        ranges[i] = (struct limine_range){fuzz_take(in, 8), fuzz_take(in, 8), fuzz_take(in, 1)};
        cpus[i].apic_id = (uint32_t)fuzz_take(in, 4);
        files[i].address = fuzz_take(in, 8);
        files[i].size = fuzz_take(in, 8);
        files[i].path = texts[i % 2];
        files[i].text = i % 3 == 0 ? NULL : texts[(i + 1) % 2];
    }
    uint8_t *screen = (uint8_t *)&screens[0];
    for (size_t i = 0; i < sizeof screens[0]; i++) {
        screen[i] = (uint8_t)fuzz_take(in, 1);
    }
    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        lists[0][i] = &ranges[i % KINDS];
        lists[1][i] = &files[i % KINDS];
        lists[2][i] = &cpus[i % KINDS];
    }
    lists[3][0] = &screens[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    uint64_t present = fuzz_take(&in, 2);
    struct limine_bootloader_info loader = {0, take_text(&in, 0), take_text(&in, 1)};
    struct limine_hhdm hhdm = {0, fuzz_take(&in, 8)};
    struct limine_executable_address address = {0, fuzz_take(&in, 8), IMAGE + (present >> 15 & 1)};
    struct limine_rsdp rsdp = {0, fuzz_take(&in, 8)};
    struct limine_memmap memmap = {0, take_count(&in), (struct limine_range **)lists[0]};
    struct limine_module module = {0, take_count(&in), (struct limine_file **)lists[1]};
    struct limine_mp mp = {0, 0, (uint32_t)fuzz_take(&in, 4), take_count(&in),
                           (struct limine_cpu **)lists[2]};
    struct limine_framebuffer screen = {0, take_count(&in), (struct limine_screen **)lists[3]};
    struct limine_executable_file file = {0, &files[0]};
    take_objects(&in);
    memset(&requests, 0, sizeof requests);
    requests.base_revision[2] = present >> 14 & 1;
    unsigned bit = 0;
#define GIVE(name, response_value) \
    requests.name.response = (present >> bit++ & 1) != 0 ? NULL : &(response_value);
    GIVE(bootloader_info, loader)
    GIVE(hhdm, hhdm)
    GIVE(framebuffer, screen)
    GIVE(memmap, memmap)
    GIVE(executable_file, file)
    GIVE(module, module)
    GIVE(rsdp, rsdp)
    GIVE(executable_address, address)
    GIVE(mp, mp)
    memset(&boot_info, 0, sizeof boot_info);
    limine_read(&boot_info, &requests, IMAGE, 0x100000);
    fuzz_must_not(road_check(&boot_info));
    free(texts[0]);
    free(texts[1]);
    return 0;
}
