/* Shootdown: CPUs make each other forget translations, and ask at once with interrupts off.
 *
 * Models kernel/mem/shootdown.c. Each asker changes a page of its own, of which every CPU may then hold
 * an old translation, and asks; two do so with IF off, a third CPU only answers, as an idle one
 * does when the interrupt wakes it. With IF off an interrupt is not taken, so an asker that waits
 * for the lock answers by looking. Filling the request, setting the bits, flushing and answering are
 * steps of their own. A wait that nothing can end is a deadlock to spin.
 *
 * Proven: when a request returns, no CPU holds an old translation of its page; nobody waits
 * forever; in the end nobody is asked for anything. */
/* BUGS: BUG_no_serve BUG_answer_first BUG_bits_first BUG_unlock_early BUG_forget_idle */

#define CPUS   3
#define ASKERS 2
#define BIT(n) (1 << (n))
#define ALL    7
#ifndef ROUNDS
#define ROUNDS 3
#endif

byte lock = 0;
byte request = 0; /* the asker whose page is meant */
byte waiting = 0; /* one bit per CPU */
bool old[6];      /* [asker * CPUS + cpu]: an old translation may be remembered */
byte done = 0;

inline serve(me) {
#ifdef BUG_answer_first
    page = request;
    atomic { waiting = waiting & ~BIT(me) };
    old[page * CPUS + me] = false
#else
    page = request;
    old[page * CPUS + me] = false;
    atomic { waiting = waiting & ~BIT(me) }
#endif
}

inline ask(me) {
#ifdef BUG_forget_idle
    others = ALL & ~BIT(me) & ~BIT(2);
#else
    others = ALL & ~BIT(me);
#endif
#ifdef BUG_bits_first
    waiting = others;
    request = me;
#else
    request = me;
    waiting = others;
#endif
#ifdef BUG_unlock_early
    lock = 0;
    waiting == 0
#else
    waiting == 0;
    lock = 0
#endif
}

proctype asker(byte me) {
    byte page, others, round, cpu;
    for (round : 1 .. ROUNDS) {
        d_step {
            for (cpu : 0 .. CPUS - 1) {
                old[me * CPUS + cpu] = true
            }
        };
        old[me * CPUS + me] = false;
        do
        :: atomic { lock == 0 -> lock = 1; break }
#ifndef BUG_no_serve
        :: (waiting & BIT(me)) != 0 -> serve(me)
#endif
        od;
        ask(me);
        d_step {
            for (cpu : 0 .. CPUS - 1) {
                assert(!old[me * CPUS + cpu])
            }
        }
    };
    atomic { done++ };
    /* IF is on again: interrupts are taken. */
    do
    :: (waiting & BIT(me)) != 0 -> serve(me)
    :: done == ASKERS && waiting == 0 -> break
    od
}

proctype idle(byte me) {
    byte page;
    do
    :: (waiting & BIT(me)) != 0 -> serve(me)
    :: done == ASKERS && waiting == 0 -> break
    od
}

init {
    atomic {
        run asker(0);
        run asker(1);
        run idle(2)
    };
    _nr_pr == 1;
    assert(waiting == 0 && lock == 0)
}
