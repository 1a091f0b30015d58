/* Group credits: engine/group.c with two workers that cache credits, one foreign thread that
 * opens the group, submits and either waits or drops its handle, and tasks that spawn tasks.
 *
 * Searched: every interleaving. `pending` is one word: the count, and the mark that somebody
 * waits. A worker takes BATCH credits at once, spends one per spawn, gets one back per end,
 * and gives all back when it finds nothing to do, or in between (it turned to a task of
 * another group).
 *
 * Proven:
 *   - the count reaches zero only when no task of the group lives, and never goes below;
 *   - the group ends exactly once, by its waiter or, after a drop, by whoever was last;
 *   - nobody touches it after that;
 *   - whoever waits comes back (no deadlock).
 *
 * Each planted bug below must break one of these. */

/* BUGS: BUG_SPAWN_FIRST BUG_END_FIRST BUG_KEEP_IDLE BUG_CLIENT_KEEPS BUG_MARK_APART BUG_SPLIT_SUB */

#define WORKERS 2
#define BATCH 2
#define TASKS 4 /* at most, over the whole run */

short pending = 1; /* the open handle */
bool waited;
bool dropped;
byte live;         /* tasks that have not ended: the truth */
byte queue;        /* of them waiting to run */
byte spawned;
bool freed, woken;

inline touch() { assert(!freed) }

/* The last one ends the group. */
inline finish() {
    assert(live == 0);
    if
    :: waited -> woken = true
    :: else -> freed = true
    fi
}

inline sub_credits(n) {
#ifdef BUG_SPLIT_SUB
    touch();
    left = pending - n;
    pending = left;
    if
    :: left == 0 -> atomic { finish() }
    :: else
    fi
#else
#ifdef BUG_MARK_APART
    atomic { touch(); pending = pending - n; left = pending; assert(left >= 0) }
    if
    :: left == 0 -> atomic { finish() }
    :: else
    fi
#else
    atomic {
        touch();
        pending = pending - n;
        left = pending;
        assert(left >= 0);
        if
        :: left == 0 -> finish()
        :: else
        fi
    }
#endif
#endif
}

inline flush() {
    if
    :: credits > 0 -> give = credits; credits = 0; sub_credits(give)
    :: else
    fi
}

inline publish() { atomic { live++; queue++ } }

inline take_credit() {
    if
    :: credits == 0 -> atomic { touch(); pending = pending + BATCH }; credits = BATCH
    :: else
    fi;
    credits--
}

/* group_spawn() */
inline spawn() {
#ifdef BUG_SPAWN_FIRST
    publish();
    take_credit()
#else
    take_credit();
    publish()
#endif
}

inline try_spawn() {
    atomic {
        may = (spawned < TASKS);
        if
        :: may -> spawned++
        :: else
        fi
    }
    if
    :: may -> spawn()
    :: else
    fi
}

proctype worker() {
    short left;
    byte credits, give;
    bool may;
end_worker:
    do
    :: atomic { queue > 0 -> queue-- };
        touch(); /* is it cancelled? */
#ifdef BUG_END_FIRST
        credits++;
        if
        :: flush()
        :: skip
        fi;
        if
        :: try_spawn()
        :: skip
        fi;
        live--
#else
        if
        :: try_spawn()
        :: skip
        fi;
        if
        :: try_spawn()
        :: skip
        fi;
        if
        :: flush() /* a helping wait, or a spawn into another group */
        :: skip
        fi;
        live--;
        credits++
#endif
#ifndef BUG_KEEP_IDLE
    :: credits > 0 -> flush() /* idle, or another group's turn */
#endif
    od
}

proctype client() {
    short left;
    byte credits, give;
    bool may;
    spawned++;
#ifdef BUG_CLIENT_KEEPS
    spawn();
#else
    atomic { touch(); pending++ };
    publish();
#endif
    if
    :: /* gmk_group_wait() */
#ifdef BUG_MARK_APART
        sub_credits(1);
        waited = true;
#else
        atomic { touch(); waited = true };
        sub_credits(1);
#endif
        woken;
        assert(live == 0 && !freed);
        freed = true
    :: /* gmk_group_drop() */
        dropped = true;
        sub_credits(1)
    fi
}

init {
    atomic {
        run worker();
        run worker();
        run client()
    }
    freed; /* the group ends */
    assert(live == 0 && pending == 0)
}
