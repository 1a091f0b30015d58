/* IPC tokens, death and time: a client that calls twice, two threads of a server unit that answer under the
 * same tokens, one of which may die, a limit of time, and the end of the port.
 *
 * Models kernel/ipc/{port_call,port_reply,port,block}.c. The lock of the port makes each step; the look
 * at the token's thread before it is a step of its own.
 *
 * Proven. A reply that is accepted answers the very call for which the token was given, each call ends
 * once, and when nothing moves any more the client waits for nobody who has ended. */
/* BUGS: BUG_count_stays BUG_no_look_again BUG_death_forgets BUG_end_takes_received BUG_end_forgets_queue */

#define NONE 0
#define QUEUED 1
#define REPLY 2
#define NOBODY 2

byte kind;            /* what the client waits in */
byte count, ghost;    /* its calls, as the token counts them and as they are */
byte holder = NOBODY; /* of its token */
byte ends;            /* of the present call */
bit port_ended, dead[2];
bit known;            /* a token was told to both servers */
byte token, token_is; /* the last one told, and the call that it is for */

inline over() {
    assert(ends == 0);
    ends++;
    holder = NOBODY;
#ifndef BUG_count_stays
    count++;
#endif
    kind = NONE
}

active proctype client() {
    byte calls;
    do
    :: calls < 2 ->
        calls++;
        atomic {
            ends = 0;
            ghost++;
            if
            :: port_ended -> ends = 1
            :: else -> kind = QUEUED
            fi
        };
end_waits:
        kind == NONE;
        assert(ends == 1)
    :: else -> break
    od
}

/* A thread of the server unit: receives at most twice, answers up to three times, under any token that the unit knows. */
proctype server(byte me) {
    byte received, tries, mine, is;
    bit looked;
    do
    :: atomic { kind == QUEUED && received < 2 && !port_ended && !dead[me] ->
            received++;
            kind = REPLY;
            holder = me;
            token = count;
            token_is = ghost;
            known = 1
        }
    :: atomic { known && !dead[me] && tries < 3 -> tries++; mine = token; is = token_is; looked = kind == REPLY && count == mine };
        atomic { /* token_enter(), the second look; reply */
            if
#ifdef BUG_no_look_again
            :: looked ->
#else
            :: looked && kind == REPLY && count == mine && holder != NOBODY ->
#endif
                assert(is == ghost);
                over()
            :: else
            fi;
            looked = 0; mine = 0; is = 0
        }
    :: tries > 0 -> break
    :: me == 0 -> /* dies: ipc_thread_end() */
        dead[me] = 1;
        atomic {
            if
#ifndef BUG_death_forgets
            :: holder == me -> over()
#endif
            :: else
            fi
        };
        break
    :: port_ended && kind != REPLY -> break
    od
}

active proctype timer() {
    byte fires;
end_idle:
    do
    :: atomic { fires < 2 && kind != NONE -> fires++;
            if
            :: kind == QUEUED -> assert(ends == 0); ends++; kind = NONE
            :: kind == REPLY -> over()
            :: else
            fi
        }
    :: fires < 2 -> fires++
    od
}

active proctype ender() {
    atomic {
        port_ended = 1;
#ifndef BUG_end_forgets_queue
        if
        :: kind == QUEUED -> assert(ends == 0); ends++; kind = NONE
#ifdef BUG_end_takes_received
        :: kind == REPLY -> ends++; kind = NONE
#endif
        :: else
        fi
#endif
    }
}

init {
    atomic { run server(0); run server(1) };
    timeout;
    assert(!port_ended || kind != QUEUED);
    assert(kind != REPLY || (holder != NOBODY && !dead[holder]))
}
