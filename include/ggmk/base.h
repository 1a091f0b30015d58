/* Base: version, compiler helpers and limits shared by every public header. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Versions compare as plain integers: GMK_VERSION(1,2,3) < GMK_VERSION(1,3,0). */
#define GMK_VERSION(major, minor, patch) \
    (((uint32_t)(major) << 24) | ((uint32_t)(minor) << 12) | (uint32_t)(patch))
#define GMK_VERSION_MAJOR(v) ((uint32_t)(v) >> 24)
#define GMK_VERSION_MINOR(v) (((uint32_t)(v) >> 12) & 0xfffu)
#define GMK_VERSION_PATCH(v) (0xfffu & (uint32_t)(v))

/* Version of this library and of its interface. */
#define GMK_LIBRARY_VERSION GMK_VERSION(0, 1, 0)

/* Size of a cache line, and the distance at which two independently written
 * words no longer disturb each other (the adjacent-line prefetcher moves pairs). */
#define GMK_CACHE_LINE    64
#define GMK_FALSE_SHARING 128

/* Fixed limits of one engine. Each is checked at boot with a named error. */
#define GMK_WORKERS_MAX  64u   /* workers, one thread or CPU each */
#define GMK_CLIENTS_MAX  64u   /* foreign threads inside the engine at the same time */
#define GMK_TENANTS_MAX  256u  /* accounts */
#define GMK_TYPES_MAX    4096u /* task types; valid user ids are 1 .. GMK_TYPES_MAX-1 */
#define GMK_CHANNELS_MAX 256u  /* named channels, the system's own included */
#define GMK_SUBS_MAX     32u   /* subscriptions of one channel */
#define GMK_MODULES_MAX  128u  /* modules of one engine */
#define GMK_SERVICES_MAX 128u  /* published services */
#define GMK_NAME_MAX     48u   /* bytes in any name, terminator included */
#define GMK_PRIORITIES   4u    /* 0 is the most urgent */

/* Marks the library's entry points; everything else stays inside the library. */
#define GMK_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define GMK_STATIC_ASSERT(cond, why) static_assert(cond, why)
#else
#define GMK_STATIC_ASSERT(cond, why) _Static_assert(cond, why)
#endif

#define GMK_LIKELY(x)   __builtin_expect(!!(x), 1)
#define GMK_UNLIKELY(x) __builtin_expect(!!(x), 0)

#ifdef __cplusplus
}
#endif
