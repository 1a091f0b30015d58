/* Priority inheritance: clients A and B call server S, which calls server T for each of them, while one
 * gives up, or somebody changes a priority, or T hangs.
 *
 * Models kernel/ipc/{port,port_call,inherit}.c. A critical section is one step; a look without a lock, and
 * what follows it, are steps of their own. A missing barrier is modelled as the load that comes before
 * the store.
 *
 * Proven, whenever nothing moves any more: each thread's effective priority is the most urgent of its own,
 * its donors' and its port's first caller, and nobody waits but for one that hangs. */
/* BUGS: BUG_no_fence_donor BUG_no_fence_change BUG_no_fence_queue BUG_no_pass_on BUG_timeout_donates BUG_top_stays */
/* PAN: -m3000000 */

#define A 0
#define B 1
#define S 2
#define T 3
#define NOBODY 4
#define THREADS 4

#define NONE 0
#define RECV 1
#define QUEUED 2
#define REPLY 3

byte base[THREADS], eff[THREADS], kind[THREADS], donor_of[THREADS];
byte key[THREADS]; /* of those queued; 0: its queueing is not complete */
byte top[2];       /* port 0 is S's, port 1 is T's */
byte got[THREADS]; /* S, T: whose message was delivered while it waited in RECV */
bit hangs;         /* T has taken a message and never answers */
bit only_hangs;    /* it always does so */

#define PORT_OF(t) (t == S -> 1 : 0) /* by which it calls */
#define SERVER(p) (p == 0 -> S : T)
#define QUEUED_IN(p, t) (kind[t] == QUEUED && key[t] != 0 && PORT_OF(t) == p)

/* inherit_effective(): the most urgent of all that `t` works for. */
inline compute(t, most) {
    most = base[t];
    if :: donor_of[A] == t && eff[A] > most -> most = eff[A] :: else fi;
    if :: donor_of[B] == t && eff[B] > most -> most = eff[B] :: else fi;
    if :: donor_of[S] == t && eff[S] > most -> most = eff[S] :: else fi;
    if :: t == S && top[0] > most + 1 -> most = top[0] - 1 :: else fi;
    if :: t == T && top[1] > most + 1 -> most = top[1] - 1 :: else fi
}

/* port_top() */
inline set_top(p) {
#ifndef BUG_top_stays
    top[p] = 0;
#endif
    if :: QUEUED_IN(p, A) && key[A] + 1 > top[p] -> top[p] = key[A] + 1 :: else fi;
    if :: QUEUED_IN(p, B) && key[B] + 1 > top[p] -> top[p] = key[B] + 1 :: else fi;
    if :: QUEUED_IN(p, S) && key[S] + 1 > top[p] -> top[p] = key[S] + 1 :: else fi
}

/* inherit_update(): `t` is used up. */
inline update(t) {
    do
    :: atomic { t == NOBODY -> break }
    :: atomic { t != NOBODY -> /* inherit_refresh() */
            compute(t, most);
#ifdef BUG_no_fence_change
            next = donor_of[t];
            seen = kind[t];
#endif
            if
            :: most == eff[t] -> t = NOBODY; most = 0; next = 0; seen = 0; break
            :: else
#ifndef BUG_no_fence_change
               -> eff[t] = most; most = 0
#endif
            fi;
#ifdef BUG_no_pass_on
            eff[t] = most; t = NOBODY; most = 0; break
#endif
        };
#ifdef BUG_no_fence_change
        atomic { eff[t] = most; most = 0 };
#else
        atomic { next = donor_of[t]; seen = kind[t] }; /* inherit_next() */
#endif
        atomic {
            if
            :: next != NOBODY -> t = next
            :: next == NOBODY && seen == QUEUED -> /* with the port's lock */
                if
                :: kind[t] == QUEUED && key[t] != 0 ->
                    key[t] = eff[t];
                    set_top(PORT_OF(t));
                    t = SERVER(PORT_OF(t))
                :: kind[t] == QUEUED && key[t] == 0 -> /* it has the lock: we wait, then the same */
                    key[t] != 0;
                    key[t] = eff[t];
                    set_top(PORT_OF(t));
                    t = SERVER(PORT_OF(t))
                :: else -> t = donor_of[t] /* it was received in the meantime */
                fi
            :: else -> t = NOBODY
            fi;
            next = 0;
            seen = 0
        }
    od
}

/* send_locked() */
inline call(me, p) {
#ifdef BUG_no_fence_queue
    k = eff[me];
#endif
#ifdef BUG_no_fence_donor
    atomic {
        compute(SERVER(p), most);
        if :: eff[me] > most -> most = eff[me] :: else fi
    };
#endif
    atomic {
        if
        :: kind[SERVER(p)] == RECV ->
            kind[me] = REPLY;
            donor_of[me] = SERVER(p);
            got[SERVER(p)] = me;
            kind[SERVER(p)] = NONE;
            t = SERVER(p);
#ifdef BUG_no_fence_donor
            eff[t] = most;
            t = NOBODY;
            most = 0
#endif
        :: else ->
            kind[me] = QUEUED;
            key[me] = 0
        fi
    };
    if
    :: t == NOBODY && kind[me] == QUEUED && key[me] == 0 ->
        atomic { /* caller_insert(): it could be seen waiting before its priority is read */
#ifdef BUG_no_fence_queue
            key[me] = k;
            k = 0;
#else
            key[me] = eff[me];
#endif
            set_top(p);
            t = SERVER(p)
        }
    :: else
    fi;
    update(t)
}

/* port_block_remove() by a timer */
proctype timer(byte me) {
    byte t = NOBODY, most, next, seen;
end_late:
    atomic {
        if
        :: kind[me] == QUEUED && key[me] != 0 ->
            kind[me] = NONE;
            set_top(PORT_OF(me));
            t = SERVER(PORT_OF(me))
        :: kind[me] == REPLY ->
            t = donor_of[me];
#ifndef BUG_timeout_donates
            donor_of[me] = NOBODY;
#endif
            kind[me] = NONE
        fi
    };
    update(t)
}

proctype client(byte me) {
    byte t = NOBODY, most, next, seen, k;
    call(me, 0);
end_waits:
    kind[me] == NONE
}

/* One that finds the server at work. */
proctype late_client(byte me) {
    byte t = NOBODY, most, next, seen, k;
end_late:
    donor_of[A] != NOBODY;
    call(me, 0);
end_waits:
    kind[me] == NONE
}

/* port_receive(), up to the message; `from` is whose. */
inline receive(me, p, x, y) {
    atomic {
        from = NOBODY;
        if
        :: QUEUED_IN(p, x) && !(QUEUED_IN(p, y) && key[y] > key[x]) -> from = x
        :: QUEUED_IN(p, y) && !(QUEUED_IN(p, x) && key[x] > key[y]) -> from = y
        :: !(kind[x] == QUEUED && PORT_OF(x) == p) && !(kind[y] == QUEUED && PORT_OF(y) == p) ->
            kind[me] = RECV
        fi;
        if
        :: from != NOBODY ->
            kind[from] = REPLY;
            donor_of[from] = me;
            set_top(p);
            t = me
        :: else
        fi
    };
    update(t);
    if
    :: from == NOBODY ->
end_recv:
        atomic { kind[me] == NONE -> from = got[me]; got[me] = 0 }
    :: else
    fi
}

inline reply(me) {
    atomic {
        if
        :: donor_of[from] == me -> donor_of[from] = NOBODY; kind[from] = NONE; t = me
        :: else /* it gave up: the token is dead */
        fi;
        from = 0
    };
    update(t)
}

active proctype server_s() {
    byte t = NOBODY, most, next, seen, k, from;
    do
    ::
        receive(S, 0, A, B);
        call(S, 1);
end_nested:
        kind[S] == NONE;
        reply(S)
    od
}

active proctype server_t() {
    byte t = NOBODY, most, next, seen, from;
    do
    ::
        receive(T, 1, S, S);
        if
        :: hangs = 1; break
        :: !only_hangs -> reply(T)
        fi
    od
}

proctype change(byte who; byte to) {
    byte t = who, most, next, seen;
    base[who] = to;
    update(t)
}

init {
    byte i, most;
    atomic {
        do
        :: i < THREADS -> donor_of[i] = NOBODY; i++
        :: else -> break
        od;
        base[A] = 3; base[B] = 4; base[S] = 1; base[T] = 2;
        eff[A] = 3; eff[B] = 4; eff[S] = 1; eff[T] = 2;
        run client(A);
        if
        :: run client(B)
        :: run timer(A); run change(A, 5)
        :: run late_client(B); run timer(B)
        :: only_hangs = 1; run late_client(B); run change(B, 5)
        fi;
        i = 0
    };
    timeout;
    atomic {
        do
        :: i < THREADS ->
            compute(i, most);
            assert(most == eff[i]);
            i++
        :: else -> break
        od;
        assert(donor_of[A] == NOBODY || kind[A] == REPLY);
        assert(donor_of[B] == NOBODY || kind[B] == REPLY);
        assert(kind[A] != QUEUED || key[A] == eff[A]);
        assert(kind[B] != QUEUED || key[B] == eff[B]);
        assert(top[0] == 0 || kind[A] == QUEUED || kind[B] == QUEUED);
        assert(top[1] == 0 || kind[S] == QUEUED);
        assert(hangs || kind[A] == NONE);
        assert(hangs || kind[B] == NONE);
        assert(hangs || kind[S] == RECV)
    }
}
