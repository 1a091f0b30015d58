/* Channel wake: one ordered subscription, its state word and its tokens, with senders that
 * publish through store buffers, workers that run it, and a visitor that evicts.
 *
 * Models sub_schedule(), take_token(), run_ordered(), sub_idle(), sub_unpin(), sub_stop() of
 * engine/chan_run.c and chan_sub.c, for ordered subscriptions; chan_tokens.pml has the
 * parallel ones. A load of the state followed by a compare-and-swap is one
 * step here, since a swap that fails is tried again. Everything else is a step of its own.
 * The second sender is urgent, so that two tokens can be out. The last sender closes.
 *
 * Proven, whenever nothing moves any more: every message was delivered, once and in order,
 * and the closed subscription has ended: no wake-up was lost, no end forgotten. And always:
 * one holder at a time; nobody looks at a subscription that has ended, but at its state; no
 * token comes to one. */
/* BUGS: BUG_no_fence BUG_forgets_call BUG_token_uncounted BUG_late_token_silent BUG_looks_then_pins BUG_last_pin_silent */

#define MESSAGES 2
#define WORKERS 2

#define FREE 0
#define IDLE 1
#define QUEUED 2
#define RUNNING 3
#define AGAIN 4
#define ENDING 5

bit turn[MESSAGES];     /* what memory shows */
bit buffered[MESSAGES]; /* stored, but not drained yet */
byte sent;              /* senders that have claimed, published and called */
bit closed;
byte kind = IDLE;
byte tokens;            /* as the state word counts them */
bit urgent_out;
byte queue;             /* in the run queues */
byte cursor;
byte pins;
bit end_waits;
byte holders;           /* ghost */
byte delivered;         /* ghost */

/* The CPU drains a store buffer when it likes. */
active proctype memory() {
end_memory:
    do
    :: atomic { buffered[0] -> buffered[0] = 0; turn[0] = 1 }
    :: atomic { buffered[1] -> buffered[1] = 0; turn[1] = 1 }
    od
}

inline schedule(urgent) {
    atomic {
        if
        :: kind == IDLE ->
            kind = QUEUED;
            if
            :: tokens == 0 || (urgent && tokens < 2) -> tokens++; queue++; urgent_out = urgent
            :: else
            fi
        :: kind == QUEUED && urgent && !urgent_out && tokens < 2 ->
            urgent_out = 1; tokens++; queue++
        :: kind == RUNNING -> kind = AGAIN
        :: else
        fi
    }
}

/* sub_unpin(): the last one calls if an end was refused meanwhile. */
inline unpin() {
    atomic {
        assert(pins > 0);
        pins--;
        last = pins == 0 && end_waits
    }
#ifndef BUG_last_pin_silent
    if
    :: last -> end_waits = 0; schedule(0)
    :: else
    fi
#endif
}

proctype sender(byte me) {
    bit last;
    buffered[me] = 1; /* publish() */
#ifndef BUG_no_fence
    atomic { if :: buffered[me] -> buffered[me] = 0; turn[me] = 1 :: else fi }
#endif
    schedule(me == 1);
    atomic { sent++; last = sent == MESSAGES }
    if
    :: last -> closed = 1; schedule(0) /* chan_close() and chan_nudge() */
    :: else
    fi
}

/* A sender that evicts: pins, then looks whether the subscription still lives. */
proctype visitor() {
    bit last, lives;
#ifdef BUG_looks_then_pins
    lives = kind != FREE && kind != ENDING;
    pins++;
#else
    pins++;
    lives = kind != FREE && kind != ENDING;
#endif
    if
    :: lives -> assert(kind != FREE) /* looks at its cursor and its log */
    :: else
    fi;
    unpin()
}

inline has_next(found) {
    assert(kind != FREE); /* the log may be somebody else's by now */
    found = cursor < MESSAGES && turn[cursor % MESSAGES]
}

/* sub_stop(), under the channel lock: true, and nobody may look any more. */
inline try_end(ended) {
    ended = 0;
    do
    :: atomic {
        if
#ifdef BUG_token_uncounted
        :: kind == RUNNING || kind == AGAIN -> kind = ENDING
#else
        :: (kind == RUNNING || kind == AGAIN) && tokens == 0 -> kind = ENDING
#endif
        :: else -> break
        fi };
        atomic { end_waits = 1; ended = pins == 0 };
        if
        :: ended -> kind = FREE; break
        :: else
        fi;
        kind = RUNNING;
        if
        :: pins == 0 -> skip
        :: else -> break
        fi
    od
}

proctype worker() {
    bit mine, found, ended, go_on;
end_idle:
    do
    :: atomic { queue > 0 -> queue-- };
        /* take_token() */
        atomic {
            assert(kind != FREE && tokens > 0);
            tokens--;
            mine = kind == QUEUED || kind == IDLE;
            if
            :: mine -> kind = RUNNING; urgent_out = 0; holders++; assert(holders == 1)
#ifndef BUG_late_token_silent
            :: kind == RUNNING -> kind = AGAIN
#endif
            :: else
            fi
        };
        do
        :: mine ->
            has_next(found);
            if
            :: found -> atomic { assert(cursor == delivered); cursor++; delivered++ }
            :: else ->
                ended = 0;
                if
                :: closed && cursor == MESSAGES -> holders--; try_end(ended); holders = holders + !ended
                :: else
                fi;
                if
                :: ended -> mine = 0
                :: else ->
                    /* sub_idle(): a sender that called since we looked has said AGAIN. */
                    atomic {
                        if
#ifdef BUG_forgets_call
                        :: kind == AGAIN -> kind = IDLE; holders--; go_on = 0
#else
                        :: kind == AGAIN -> kind = RUNNING; go_on = 1
#endif
                        :: kind == RUNNING -> kind = IDLE; holders--; go_on = 0
                        fi
                    };
                    mine = go_on
                fi
            fi
        :: !mine -> break
        od
    od
}

init {
    atomic {
        run sender(0);
        run sender(1);
        run visitor();
        run worker();
        run worker()
    };
    timeout;
    assert(delivered == MESSAGES);
    assert(kind == FREE);
    assert(queue == 0 && tokens == 0)
}
