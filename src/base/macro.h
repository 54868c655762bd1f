#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The few macros of the dialect: cleanup attributes, ownership transfer, small helpers. */

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f)         __attribute__((cleanup(f)))
#define _printf_(fmt, args)  __attribute__((format(printf, fmt, args)))
#define _unused_             __attribute__((unused))
#define _warn_unused_result_ __attribute__((warn_unused_result))

#define ELEMENTSOF(a)       (sizeof(a) / sizeof((a)[0]))
#define streq(a, b)         (strcmp((a), (b)) == 0)
#define MIN(a, b)           ((a) < (b) ? (a) : (b))
#define MAX(a, b)           ((a) > (b) ? (a) : (b))
#define CLAMP(x, low, high) MIN(MAX((x), (low)), (high))

/* printf("%u task%s", n, PLURAL(n)) */
#define PLURAL(n) ((n) == 1 ? "" : "s")

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Move out of a cleanup variable: the variable is left empty, the value is the caller's. */
#define TAKE_PTR(ptr)                       \
        ({                                  \
                __auto_type _taken = (ptr); \
                (ptr) = NULL;               \
                _taken;                     \
        })
#define TAKE_FD(fd)                \
        ({                         \
                int _taken = (fd); \
                (fd) = -EBADF;     \
                _taken;            \
        })

/* DEFINE_CLEANUP(Pool *, pool_free) makes pool_freep for _cleanup_(pool_freep) Pool *pool = NULL.
 */
#define DEFINE_CLEANUP(type, func)          \
        static inline void func##p(type *p) \
        {                                   \
                if (*p)                     \
                        func(*p);           \
        }                                   \
        struct _##func##_semicolon

static inline void freep(void *p)
{
        free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(freep)

static inline int close_fd(int fd)
{
        if (fd >= 0)
                (void)close(fd);
        return -EBADF;
}

static inline void close_fdp(int *fd)
{
        (void)close_fd(*fd);
}
#define _cleanup_close_ _cleanup_(close_fdp)
