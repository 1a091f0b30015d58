/* Screen, start: finds out what the boot road left, and shows the log on it. */
#include "boot/boot_info.h"
#include "kernel/core/log.h"
#include "kernel/core/screen.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/vm.h"

#define SCREEN_SIDE_MAX 1024u /* columns, rows */
#define SCREEN_REPLAY   2048u /* bytes of log shown at the start */

static const char *screen_open(const struct boot_framebuffer *fb, struct screen_driver *driver) {
    const char *wrong = fb->kind == BOOT_FB_TEXT  ? vga_open(driver, fb)
                        : fb->kind == BOOT_FB_RGB ? framebuffer_open(driver, fb)
                                                  : "the boot road gave none";
    if (wrong != NULL)
        return wrong;
    if (driver->columns == 0 || driver->columns > SCREEN_SIDE_MAX || driver->rows == 0 ||
        driver->rows > SCREEN_SIDE_MAX)
        return "its size makes no sense";
    uint16_t *grid = vm_alloc(sizeof *grid * driver->columns * driver->rows, FRAME_OTHER);
    if (grid == NULL)
        return "no memory for its characters";
    screen_attach(driver, grid);
    return NULL;
}

void screen_init(const struct boot_info *info) {
    struct screen_driver driver;
    const char *wrong = screen_open(&info->framebuffer, &driver);
    if (wrong != NULL) {
        klog_info("screen", "no screen: %s", wrong);
        return;
    }
    char log[SCREEN_REPLAY];
    screen_write(log, klog_tail(log, sizeof log));
    klog_info("screen", "%u x %u characters", driver.columns, driver.rows);
}
