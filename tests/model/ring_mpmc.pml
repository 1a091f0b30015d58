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

/* One compare-and-swap; `ok` tells. A failed one does not reload: the caller starts over. */
#ifdef BUG_NO_SWAP
#define SWAP(word, pos, add, ok) \
    if :: word == pos -> ok = true :: else -> ok = false fi; \
    if :: ok -> word = pos + add :: else fi
#else
#define SWAP(word, pos, add, ok) \
    atomic { if :: SAME(word, pos) -> word = pos + add; ok = true :: else -> ok = false fi }
#endif

inline enter(index) { d_step { assert(users[index] == 0); users[index]++ } }
inline leave(index) { d_step { users[index]-- } }

/* Pushes up to `count` values, `value` and following; `got` tells how many went in. */
inline push(count, value) {
    do
    :: pos = push_pos;
       until = free_until;
       if :: until < pos -> until = pos :: else fi;
       got = 0;
       exact = false;
       do
       :: until - pos < LOOK ->
           d_step {
               /* The look at `freed`; whether it is exact is decided here. */
               if
               :: freed[until % CAP] == until % MOD -> ok = true
               :: else -> ok = false; exact = (popping == 0 && push_pos == pos)
               fi;
               if
               :: !ok && exact && until == pos -> assert(push_pos - pop_pos == CAP)
               :: else
               fi
           }
           if :: ok -> until++ :: else -> break fi
       :: else -> break
       od;
#ifdef BUG_UNTIL_TOO_FAR
       until++;
#endif
       free_until = until;
       got = until - pos;
       if :: got > count -> got = count :: else fi;
       if
       :: got == 0 ->
           if :: push_pos == pos -> break :: else fi
       :: else ->
           d_step { pushing++ }
           SWAP(push_pos, pos, got, ok);
           if
           :: ok ->
               d_step { i = 0; do :: i < got -> claimed[pos + i] = value + i; i++ :: else -> break od }
               i = 0;
               do
               :: i < got ->
#ifdef BUG_TURN_EARLY
                   turn[(pos + i) % CAP] = (pos + i + 1) % MOD;
#endif
                   enter((pos + i) % CAP);
                   cell[(pos + i) % CAP] = value + i;
                   leave((pos + i) % CAP);
                   turn[(pos + i) % CAP] = (pos + i + 1) % MOD;
                   i++
               :: else -> break
               od;
               skip; /* a break may not land on a d_step */
               d_step { pushing-- }
               break
           :: else -> d_step { pushing-- }
           fi
       fi
    od
}

/* Pops up to `count` values; `got` tells how many came. */
inline pop(count) {
    do
    :: pos = pop_pos;
       got = 0;
       do
       :: got < count ->
           d_step {
               if
               :: turn[(pos + got) % CAP] == (pos + got + 1) % MOD -> ok = true
               :: else -> ok = false;
                   if
                   :: got == 0 && pushing == 0 && pop_pos == pos -> assert(push_pos == pop_pos)
                   :: else
                   fi
               fi
           }
           if :: ok -> got++ :: else -> break fi
       :: else -> break
       od;
       if
       :: got == 0 ->
           if :: pop_pos == pos -> break :: else fi
       :: else ->
           d_step { popping++ }
           SWAP(pop_pos, pos, got, ok);
           if
           :: ok ->
               i = 0;
               do
               :: i < got ->
#ifdef BUG_FREED_EARLY
                   freed[(pos + i) % CAP] = (pos + i + CAP) % MOD;
#endif
                   enter((pos + i) % CAP);
                   assert(cell[(pos + i) % CAP] == claimed[pos + i]);
                   d_step { assert(claimed[pos + i] != 0); claimed[pos + i] = 0; popped++ }
                   leave((pos + i) % CAP);
                   freed[(pos + i) % CAP] = (pos + i + CAP) % MOD;
                   i++
               :: else -> break
               od;
               skip; /* a break may not land on a d_step */
               d_step { popping-- }
               break
           :: else -> d_step { popping-- }
           fi
       fi
    od
}

/* Pushes `amount` values from `first` on, at most `bulk` at a time. */
proctype producer(byte first; byte amount; byte bulk) {
    byte pos, until, got, want, i, sent = 0;
    bool ok, exact;
    do
    :: sent < amount ->
        want = amount - sent;
        if :: want > bulk -> want = bulk :: else fi;
        push(want, first + sent);
        sent = sent + got
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
