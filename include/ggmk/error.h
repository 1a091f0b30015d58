/* Errors: one list gives the codes, their names and the sentence a person reads. */
#pragma once

#include "ggmk/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, sentence). The sentence says what was wrong and what to do next.
 * Values are part of the interface: append, never renumber. */
#define GMK_ERROR_LIST(X)                                                                         \
    X(GMK_OK, 0, "success")                                                                       \
    X(GMK_RETRY, 1, "the handler asks to be run again later with backoff")                        \
    X(GMK_YIELDED, 2, "the handler gave way with gmk_yield() and will be run again")              \
    X(GMK_EINVAL, -1, "an argument is out of its documented range: the log names it")             \
    X(GMK_ENOMEM, -2, "the arena part is exhausted: free something or boot with a larger arena")  \
    X(GMK_EAGAIN, -3, "the queue is full: nothing was taken, try again or use the waiting form")  \
    X(GMK_EHALTED, -4, "the engine is not running: boot it first, and do not use it after halt")  \
    X(GMK_ETYPE, -5, "no handler for this type, or the channel carries another type")             \
    X(GMK_EEXIST, -6, "the name or type id is already taken: choose another")                     \
    X(GMK_ENOENT, -7, "nothing is registered under this name or id")                              \
    X(GMK_ECYCLE, -8, "modules depend on each other in a circle: the log prints the circle")      \
    X(GMK_EDEPEND, -9, "a module needs one that is not there: the log names both")                \
    X(GMK_ETENANT, -10, "the tenant id is not below n_tenants")                                   \
    X(GMK_ELIMIT, -11, "the tenant's limit or a fixed table of the engine is used up")            \
    X(GMK_ECLOSED, -12, "the channel is closed: nothing was sent")                                \
    X(GMK_EPOISONED, -13, "this type failed too often and is stopped: gmk_type_reset() frees it") \
    X(GMK_EPERM, -14, "the module's privilege level does not allow this")                         \
    X(GMK_EVERSION, -15, "the service exists in a version that does not satisfy the request")     \
    X(GMK_ETIMEOUT, -16, "the time limit passed first")                                           \
    X(GMK_ERANGE, -17, "the size or sequence number is outside what is held")                     \
    X(GMK_EDEPTH, -18, "helping waits are nested too deep: yield instead of waiting")             \
    X(GMK_ECANCELED, -19, "the task group was cancelled")                                         \
    X(GMK_EDRAIN, -20, "halt reached its time limit: the rest was dead-lettered and counted")     \
    X(GMK_EINIT, -21, "a module's init failed: what had started was shut down again")             \
    X(GMK_ENOTSUP, -22, "this platform or mode does not offer it: see the platform's page")       \
    X(GMK_ESYS, -23, "the platform refused a thread, memory or a file: the log has its reason")   \
    X(GMK_EBUSY, -24, "it is in use: wait until its users have finished")                         \
    X(GMK_EFAIL, -25, "the handler failed: the task goes to sys.error")                           \
    X(GMK_EHANDLE, -26, "the handle names no capability: it was dropped, revoked or never given") \
    X(GMK_ECAPTYPE, -27, "the capability is of another type than this call takes")                \
    X(GMK_ERIGHTS, -28, "the capability lacks a right that this call needs")                      \
    X(GMK_EFAULT, -29, "an address that cannot be read or written as the call needs it")          \
    X(GMK_EPEER, -30, "the partner of the call ended before it replied")                          \
    X(GMK_EBUDGET, -31, "the factory's frames or objects are used up: free some or get more")     \
    X(GMK_ETOKEN, -32, "no caller of this unit waits for a reply under this token")               \
    X(GMK_EKILLED, -33, "it was ended from outside")                                              \
    X(GMK_ESTATE, -34, "the thread or unit is not in a state that allows this")                   \
    X(GMK_ENOSYS, -35, "there is no system call of this number")

enum gmk_status {
#define GMK_ERROR_ENUM(name, value, sentence) name = (value),
    GMK_ERROR_LIST(GMK_ERROR_ENUM)
#undef GMK_ERROR_ENUM
};

/* Name ("GMK_EINVAL") and sentence of a code. Never NULL; an unknown code gives
 * "GMK_E?" and "unknown error code". Any context. */
GMK_API const char *gmk_error_name(int status);
GMK_API const char *gmk_strerror(int status);

/* Why a task ended as a dead letter. Carried in the task's flags (GMK_TASK_REASON). */
#define GMK_DROP_LIST(X)                                                         \
    X(GMK_DROP_NONE, 0, "not dropped")                                           \
    X(GMK_DROP_FULL, 1, "a lossy channel was full: its oldest message gave way") \
    X(GMK_DROP_CLOSED, 2, "the channel or subscription was closed")              \
    X(GMK_DROP_TYPE, 3, "no handler for the type")                               \
    X(GMK_DROP_POISONED, 4, "the type was poisoned")                             \
    X(GMK_DROP_CANCELED, 5, "the task group was cancelled")                      \
    X(GMK_DROP_DEADLINE, 6, "the deadline passed before the handler started")    \
    X(GMK_DROP_RETRIES, 7, "the retry limit was reached")                        \
    X(GMK_DROP_YIELDS, 8, "the yield limit was reached")                         \
    X(GMK_DROP_HALT, 9, "the engine halted first")                               \
    X(GMK_DROP_FAILED, 10, "the handler returned a failure")

enum gmk_drop_reason {
#define GMK_DROP_ENUM(name, value, sentence) name = (value),
    GMK_DROP_LIST(GMK_DROP_ENUM)
#undef GMK_DROP_ENUM
};

/* Sentence of a drop reason; "unknown reason" beyond the list. Never NULL. Any context. */
GMK_API const char *gmk_drop_name(unsigned reason);

#ifdef __cplusplus
}
#endif
