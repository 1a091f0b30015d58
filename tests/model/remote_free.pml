/* Remote free: threads take and give blocks of one chunk as bits, while the chunk changes class.
 *
 * Models engine/block_bits.h and engine/block_chunk.c: one chunk with one word of free bits, two
 * classes (A: two blocks, B: one block over both), a summary bit per class. Threads take one
 * block, use it, give it back; when they find none, they try to cut the chunk again. Every
 * atomic access of the code is one step here; loads that are only hints are steps of their
 * own, so that what they said may be old when it is used.
 *
 * Proven: no block is held by two threads; a held block has the class its holder thinks;
 * the class changes only when nobody holds a block; in the end every block is a free bit, and
 * the summary bit of the chunk's class is set, so none is forgotten. */
/* BUGS: BUG_no_recall BUG_no_class_check BUG_clear_last BUG_recut_unverified */

#define A 0
#define B 1
#define FULL(c) (c == A -> 3 : 1)
#define LOWEST(w) (w & 1 -> 1 : w)
#define THREADS 3
#ifndef ROUNDS
#define ROUNDS 2
#endif

byte word = 3;
byte class = A;
bool summary[2];
byte held = 0; /* ghost: bits that confirmed holders have */
byte done = 0;

/* bits_give(): G1, then G2. */
inline give(c, bits) {
    atomic { word = word | bits };
    if
    :: summary[c] -> skip
    :: else -> summary[c] = true
    fi
}

/* retract(): hide, then recall if the chunk is of this class and has bits. */
inline retract(c) {
#ifdef BUG_clear_last
    /* Recall first, then clear if the class is another: a new cutter between them is lost. */
    summary[c] = false;
    if
    :: word != 0 -> summary[c] = true
    :: else -> skip
    fi;
    if
    :: class != c -> summary[c] = false
    :: else -> skip
    fi
#else
    summary[c] = false;
#ifndef BUG_no_recall
    if
    :: class == c ->
        if
        :: word != 0 -> summary[c] = true
        :: else -> skip
        fi
    :: else -> skip
    fi
#endif
#endif
}

/* chunk_take() for one block. */
inline take(c, got) {
    got = 0;
    if
    :: summary[c] ->
        if
        :: class == c ->
            seen = word;
            seen = LOWEST(seen);
            atomic { got = word & seen; word = word & ~seen };
            if
            :: got != 0 ->
                now = class;
#ifndef BUG_no_class_check
                if
                :: now != c -> give(now, got); got = 0
                :: else -> skip
                fi
#endif
            :: else -> skip
            fi
        :: else -> skip
        fi;
        if
        :: got == 0 -> retract(c)
        :: else -> skip
        fi
    :: else -> skip
    fi
}

/* chunk_recut(): takes all blocks of the other class, then cuts and keeps the first. */
inline recut(c, got) {
    now = class;
    if
    :: now != c && word == FULL(now) ->
        old = now;
        seen = word;
        atomic { got = word & seen; word = word & ~seen };
#ifdef BUG_recut_unverified
        if
        :: got != 0 -> skip
#else
        now = class;
        if
        :: got == FULL(old) && now == old -> skip
        :: got != 0 && !(got == FULL(old) && now == old) -> give(now, got); got = 0
#endif
        :: got == 0 -> skip
        fi;
        if
        :: got != 0 ->
            assert(held == 0);
            summary[old] = false;
            class = c;
            got = 1;
            if
            :: (FULL(c) & ~1) != 0 -> give(c, (FULL(c) & ~1))
            :: else -> skip
            fi
        :: else -> skip
        fi
    :: else -> skip
    fi
}

proctype user(byte c) {
    byte got, seen, now, old, round;
    for (round : 1 .. ROUNDS) {
        take(c, got);
        if
        :: got == 0 -> recut(c, got)
        :: else -> skip
        fi;
        if
        :: got != 0 ->
            atomic {
                assert((held & got) == 0);
                held = held | got
            };
            assert(class == c);
            atomic { held = held & ~got };
            give(c, got)
        :: else -> skip
        fi
    };
    atomic { done++ }
}

init {
    atomic {
        summary[A] = true;
        run user(A);
        run user(A);
        run user(B)
    };
    done == THREADS;
    assert(held == 0);
    assert(word == FULL(class));
    assert(summary[class])
}
