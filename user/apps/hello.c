/* Hello: says so a few times, and works in between for longer than a slice of CPU time lasts.
 *
 * Started several times at once, the programs take turns, though none gives way by itself: the kernel
 * interrupts each when its slice is over. */
#include "user/lib/print.h"
#include "user/lib/sys.h"

#define TURNS   3u
#define WORK_NS 6000000 /* the usual slice is 5 ms */

int main(int argc, char **argv) {
    for (unsigned turn = 1; turn <= TURNS; turn++) {
        print("hello from %s, turn %u of %u\n", argc > 1 ? argv[1] : argv[0], turn, TURNS);
        int64_t start = sys_time();
        while (sys_time() - start < WORK_NS)
            continue;
    }
    return 0;
}
