/* Model: the MPMC task ring (engine/ring_mpmc.h) with two producers and two consumers, single
 * and bulk calls, turn words that wrap while positions do not. */
/* BUGS: BUG_TURN_EARLY BUG_FREED_EARLY BUG_NO_SWAP BUG_NARROW_SWAP BUG_UNTIL_TOO_FAR */
/*
 * What is checked: a value is popped once, whole, in the order of the positions; a cell is
 * never written while it is read or written; "full" and "empty" are exact whenever no peer is
 * in the middle of an operation; everything pushed is popped in the end (no deadlock).
 *
 * What is left out: memory reordering. Promela steps are sequentially consistent; the orders
 * of the C code are argued beside each access, and ThreadSanitizer watches them. */

#define CAP 2     /* cells */
#define MOD 4     /* turn words wrap here: the 2^32 of the code */
#define LOOK 2    /* cells that a producer looks at in one go */
#define VALUES 5  /* pushed in all */

byte push_pos = 0, pop_pos = 0, free_until = 0;
byte turn[CAP], freed[CAP], cell[CAP];

/* Ghosts: what the checks need to know and the code does not have. */
byte claimed[VALUES];              /* value that belongs to each position */
byte users[CAP];                   /* threads inside each cell */
byte pushing = 0, popping = 0;     /* peers between swap and turn */
byte popped = 0;

#ifdef BUG_NARROW_SWAP
#define SAME(a, b) ((a) % MOD == (b) % MOD)
#else
#define SAME(a, b) ((a) == (b))
#endif

/* Each atomic block below is one access to shared memory and local steps after it. Variables
 * go back to 0 when they are no longer needed: fewer states to search. */

/* The compare-and-swap; `ok` tells. A failed one does not reload: the caller starts over. */
inline swap(word, add, peers) {
#ifdef BUG_NO_SWAP
    ok = SAME(word, pos);
#endif
    atomic {
#ifndef BUG_NO_SWAP
        ok = SAME(word, pos);
#endif
        if :: ok -> word = pos + add; peers++ :: else fi
    }
}

/* What the producer sees at `until`; when it is "full", is that true? */
inline look_at_freed() {
    ok = (freed[until % CAP] == until % MOD);
    if
    :: !ok && until == pos && popping == 0 && push_pos == pos -> assert(push_pos - pop_pos == CAP)
    :: else
    fi
}

/* Puts `value` and following into the `got` cells from `pos` on. */
inline fill_cells(value) {
    d_step { i = 0; do :: i < got -> claimed[pos + i] = value + i; i++ :: else -> break od; i = 0 }
    do
    :: i < got ->
#ifdef BUG_TURN_EARLY
        turn[(pos + i) % CAP] = (pos + i + 1) % MOD;
#endif
        atomic {
            assert(users[(pos + i) % CAP] == 0);
            users[(pos + i) % CAP]++;
            cell[(pos + i) % CAP] = value + i
        }
        atomic {
            users[(pos + i) % CAP]--;
            turn[(pos + i) % CAP] = (pos + i + 1) % MOD;
            i++
        }
    :: else -> break
    od;
    atomic { pushing--; i = 0 }
}

/* Pushes up to `count` values, `value` and following; `got` tells how many went in. */
inline push(count, value) {
    do
    :: pos = push_pos;
       atomic { until = free_until; if :: until < pos -> until = pos :: else fi }
       do
       :: atomic {
              if :: until - pos < LOOK -> look_at_freed() :: else -> ok = false fi;
              if :: ok -> until++ :: else -> break fi
          }
       od;
       atomic {
#ifdef BUG_UNTIL_TOO_FAR
           until++;
#endif
           free_until = until;
           got = until - pos;
           until = 0;
           if :: got > count -> got = count :: else fi
       }
       if
       :: got == 0 -> if :: push_pos == pos -> break :: else fi
       :: else ->
           swap(push_pos, got, pushing);
           if :: ok -> fill_cells(value); break :: else fi
       fi
    od;
    atomic { pos = 0; ok = false }
}

/* What the consumer sees at `pos` + `got`; when it is "empty", is that true? */
inline look_at_turn() {
    ok = (turn[(pos + got) % CAP] == (pos + got + 1) % MOD);
    if
    :: !ok && got == 0 && pushing == 0 && pop_pos == pos -> assert(push_pos == pop_pos)
    :: else
    fi
}

/* Takes the values of the `got` cells from `pos` on. */
inline drain_cells() {
    do
    :: i < got ->
#ifdef BUG_FREED_EARLY
        freed[(pos + i) % CAP] = (pos + i + CAP) % MOD;
#endif
        atomic {
            assert(users[(pos + i) % CAP] == 0);
            users[(pos + i) % CAP]++;
            assert(claimed[pos + i] != 0 && cell[(pos + i) % CAP] == claimed[pos + i]);
            claimed[pos + i] = 0;
            popped++
        }
        atomic {
            users[(pos + i) % CAP]--;
            freed[(pos + i) % CAP] = (pos + i + CAP) % MOD;
            i++
        }
    :: else -> break
    od;
    atomic { popping--; i = 0 }
}

/* Pops up to `count` values; `got` tells how many came. */
inline pop(count) {
    do
    :: pos = pop_pos;
       do
       :: atomic {
              if :: got < count -> look_at_turn() :: else -> ok = false fi;
              if :: ok -> got++ :: else -> break fi
          }
       od;
       if
       :: got == 0 -> if :: pop_pos == pos -> break :: else fi
       :: else ->
           swap(pop_pos, got, popping);
           if :: ok -> drain_cells(); break :: else fi
       fi;
       got = 0
    od;
    atomic { pos = 0; got = 0; ok = false }
}

/* Pushes `amount` values from `first` on, at most `bulk` at a time. */
proctype producer(byte first; byte amount; byte bulk) {
    byte pos, until, got, want, i, sent = 0;
    bool ok;
    do
    :: sent < amount ->
        atomic { want = amount - sent; if :: want > bulk -> want = bulk :: else fi }
        push(want, first + sent);
        atomic { sent = sent + got; got = 0 }
    :: else -> break
    od
}

proctype consumer(byte bulk) {
    byte pos, got, i;
    bool ok;
    do
    :: popped < VALUES -> pop(bulk)
    :: popped == VALUES -> break
    od
}

init {
    byte k = 0;
    d_step {
        do
        :: k < CAP ->
            turn[k] = (k + 1 + MOD - CAP) % MOD;
            freed[k] = k;
            k++
        :: else -> break
        od
    }
    atomic {
        run producer(1, 1, 1);
        run producer(11, VALUES - 1, 2);
        run consumer(1);
        run consumer(2)
    }
    (popped == VALUES) -> assert(push_pos == VALUES && pop_pos == VALUES)
}
