/* Offsets: numbers that the entry code shares with C. user.c asserts each. */
#pragma once

#define CPU_CURRENT   16
#define CPU_STACK_TOP 24
#define CPU_SCRATCH   32

#define THREAD_SPECIAL_AT 48
#define SPECIAL_AT_EXIT   7 /* SPECIAL_EXIT: what the way to user mode looks at */

#define SYS_BASE    0x47470000 /* GMK_SYS_BASE */
#define SYS_NUMBERS 0x10000 /* native numbers that can be; from SYS_MAX on there is no such call */
#define SYS_MAX     128     /* GMK_SYSCALLS_MAX */
#define SYS_NONE    -35     /* GMK_ENOSYS */

/* struct arch_user_frame */
#define USER_FRAME_SIZE   136
#define USER_FRAME_RAX    56
#define USER_FRAME_RDI    64
#define USER_FRAME_RIP    112
#define USER_FRAME_RFLAGS 120
#define USER_FRAME_RSP    128

/* Below a full frame, room for what arch_user_boundary_full() writes; a multiple of 16. */
#define FULL_FRAME_ROOM 64
/* The vector of a foreign system call's frame: none of the hardware's. */
#define VECTOR_FOREIGN 256
