/* Look: what a CPU runs and has waiting, for the monitor. */
#include <string.h>

#include "kernel/sched/runq.h"

bool sched_look(unsigned cpu, struct sched_seen *seen) {
    static const uint8_t ends[] = {16, 80, 144, 208, 248, 255};
    struct runq *rq = cpu < CPUS_MAX ? runqs[cpu] : NULL;
    if (rq == NULL)
        return false;
    *seen = (struct sched_seen){.switches = cpus[cpu]->switch_count};
    bool irq = spin_lock(&rq->lock);
    const struct thread *runs = cpus[cpu]->current;
    seen->own = runs->assigned;
    seen->now = rq->priority;
    seen->slice_armed = rq->slice_armed;
    memcpy(seen->name, runs->name, sizeof(seen->name));
    for (unsigned priority = 0, class = 0; priority < THREAD_PRIORITIES; priority++) {
        class += priority == ends[class] && class < 5;
        const struct thread *t = rq->heads[priority], *first = t;
        for (; t != NULL && seen->ready[class] < SEEN_MAX; t = t->next != first ? t->next : NULL)
            seen->ready[class]++;
    }
    spin_unlock(&rq->lock, irq);
    return true;
}
