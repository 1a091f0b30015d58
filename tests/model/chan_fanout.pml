/* Channel fan-out: how many references a message's payload gets, while subscriptions come
 * and go.
 *
 * Models claim(), account(), publish() of engine/chan_send.c, join() and chan_unsubscribe()
 * of engine/chan_sub.c and the delivery. `tail` is one word of position and number of
 * subscriptions, so one compare-and-swap claims the position and decides for how many the
 * message is. A subscription sees the positions from `start` to `end`.
 *
 * Proven: a payload is alive whenever a subscription has it, is freed exactly once, after
 * the last of them, and never leaks. */
/* BUGS: BUG_count_apart BUG_start_late BUG_end_late BUG_end_once BUG_refs_late */

#define SENDERS 2
#define SUBS 2 /* 0 is there from the start and leaves; 1 comes */
#define NEVER 99

byte tail_pos, tail_subs = 1;
byte refs[SENDERS];
bit turn[SENDERS];
byte freed[SENDERS];
byte start[SUBS] = 0;
byte end[SUBS] = NEVER;
byte cursor[SUBS];
bit joined[SUBS];
byte done;

proctype sender() {
    byte pos, subs;
#ifdef BUG_count_apart
    subs = tail_subs;
    atomic { pos = tail_pos; tail_pos++ };
#else
    atomic { pos = tail_pos; subs = tail_subs; tail_pos++ };
#endif
    if
    :: subs == 0 -> freed[pos]++; turn[pos] = 1 /* for nobody: its end is here */
    :: else ->
#ifdef BUG_refs_late
        refs[pos] = refs[pos] + 1; /* the sender's own */
        turn[pos] = 1;
        refs[pos] = refs[pos] + (subs - 1)
#else
        refs[pos] = subs;
        turn[pos] = 1
#endif
    fi;
    done++
}

/* The worker that runs a subscription: handles what lies between its cursor and its end. */
proctype deliverer(byte s) {
    byte at;
    joined[s];
    do
    :: cursor[s] < SENDERS && cursor[s] < end[s] && turn[cursor[s]] ->
        at = cursor[s];
        assert(refs[at] > 0 && freed[at] == 0); /* the handler looks at the payload */
        atomic {
            refs[at]--;
            if
            :: refs[at] == 0 -> freed[at]++
            :: else
            fi
        };
        cursor[s]++
    :: cursor[s] >= end[s] && done >= SENDERS + SUBS -> break
    :: cursor[s] == SENDERS -> break
    od
}

proctype joiner() {
    byte seen_pos, seen_subs;
#ifdef BUG_start_late
    atomic { tail_subs++ };
    start[1] = tail_pos;
    cursor[1] = start[1];
#else
    do
    :: atomic { seen_pos = tail_pos; seen_subs = tail_subs };
        start[1] = seen_pos;
        cursor[1] = seen_pos;
        atomic {
            if
            :: tail_pos == seen_pos && tail_subs == seen_subs -> tail_subs++; break
            :: else
            fi
        }
    od;
#endif
    joined[1] = 1;
    done++
}

proctype leaver() {
    byte seen_pos, seen_subs;
#ifdef BUG_end_late
    atomic { seen_pos = tail_pos; tail_subs-- };
    end[0] = seen_pos;
#else
    do
    :: atomic { seen_pos = tail_pos; seen_subs = tail_subs };
#ifdef BUG_end_once
        if
        :: end[0] == NEVER -> end[0] = seen_pos
        :: else
        fi;
#else
        end[0] = seen_pos;
#endif
        atomic {
            if
            :: tail_pos == seen_pos && tail_subs == seen_subs -> tail_subs--; break
            :: else
            fi
        }
    od;
#endif
    done++
}

init {
    byte i;
    atomic {
        joined[0] = 1;
        run sender();
        run sender();
        run joiner();
        run leaver();
        run deliverer(0);
        run deliverer(1)
    };
    timeout;
    assert(done == SENDERS + SUBS);
    do
    :: i < SENDERS -> assert(freed[i] == 1 && refs[i] == 0); i++
    :: else -> break
    od
}
