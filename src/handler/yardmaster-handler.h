/* SPDX-License-Identifier: Apache-2.0 */

/* A handler as a shared object: fill in one structure, name it with YARDMASTER_HANDLER, build it
 * with -shared -fPIC. There is nothing to link to: what a handler may ask for comes as functions in
 * a structure. C90 and C++ both compile this file. yardmaster-handler(3) explains every member.
 *
 *     static int greet(void *thread, const struct yardmaster_task *task,
 *                      struct yardmaster_result *result)
 *     {
 *             const char *name = task->host->input_string(task, "name");
 *
 *             return task->host->add_string(result, "greeting", name ? name : "nobody");
 *     }
 *
 *     static struct yardmaster_handler handler = { .name = "greet", .execute = greet };
 *     YARDMASTER_HANDLER(handler)
 *
 * What is called when, by whom; each line happens only if the one above it returned 0:
 *
 *     init                              once, main thread
 *     │  thread_init                    once in each thread
 *     │  │  execute, execute, …         one at a time in each thread
 *     │  │     cancel                   main thread, only while execute runs that task
 *     │  thread_deinit                  in each thread whose thread_init succeeded
 *     deinit                            once, main thread, all threads have ended
 *
 * All texts are UTF-8 and end in NUL. Errors are negative errno values. A structure only ever grows
 * at its end: its struct_size says how much of it the other side knows. */

#ifndef YARDMASTER_HANDLER_H
#define YARDMASTER_HANDLER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define YARDMASTER_API_VERSION 1

/* What became of a task. A result starts as COMPLETED. */
enum yardmaster_status {
        YARDMASTER_COMPLETED = 0,
        YARDMASTER_FAILED = 1,
        YARDMASTER_FAILED_WITH_TERMINAL_ERROR = 2, /* no retry helps */
        YARDMASTER_IN_PROGRESS = 3                 /* not done: put back, see set_callback_after */
};

struct yardmaster_host;
struct yardmaster_result; /* filled in through the host's functions only */

/* One task. It, and all it points to, lives until its execute returns. */
struct yardmaster_task {
        size_t struct_size;
        const struct yardmaster_host *host;
        const char *id;
        const char *type;
        const char *json;  /* the whole task object */
        size_t json_size;  /* without the final NUL, as below */
        const char *input; /* its inputData, a JSON object; "{}" if it has none */
        size_t input_size;
        int64_t deadline_msec; /* epoch milliseconds; 0: none. The process is killed soon after */
        unsigned int retry_count; /* executions used before this one */
};

/* What the host does for a handler. Everything that is passed in is copied. Functions that return
 * int return 0 or a negative errno value; which threads may call them stands in front of each
 * group. Which members an older host lacks: YARDMASTER_HOST_HAS. */
struct yardmaster_host {
        size_t struct_size;
        unsigned int api_version;

        /* Any thread. Says why init, thread_init or execute, running in this thread, is about to
         * return an error: with the text of the errno value it becomes the reason. */
        void (*error)(const char *text);

        /* In init. A member of the pool's config group. The text lives as long as config_json; NULL
         * if there is none of that name or it is no string. -ENOENT: none; -EINVAL: no whole
         * number; -ERANGE: outside 64 bits. */
        const char *(*config_string)(const char *name);
        int (*config_int64)(const char *name, int64_t *ret);

        /* The thread that runs execute. A member of the task's input, in the same way; the text
         * lives as long as the task. */
        const char *(*input_string)(const struct yardmaster_task *task, const char *name);
        int (*input_int64)(const struct yardmaster_task *task, const char *name, int64_t *ret);

        /* The thread that runs execute. set_output replaces the output by a JSON object (-EBADMSG,
         * and the task has FAILED, if it is none); add_… add one member to it. -EMSGSIZE: over 16
         * MiB. reason: NULL takes it back. Delays: for IN_PROGRESS until the task is run again (not
         * set: one second), for FAILED the least time until the next attempt. */
        int (*set_status)(struct yardmaster_result *result, enum yardmaster_status status);
        int (*set_output)(struct yardmaster_result *result, const char *json, size_t size);
        int (*add_string)(struct yardmaster_result *result, const char *name, const char *text);
        int (*add_int64)(struct yardmaster_result *result, const char *name, int64_t value);
        int (*set_reason)(struct yardmaster_result *result, const char *text);
        int (*set_callback_after)(struct yardmaster_result *result, int64_t msec);
        int (*set_retry_after)(struct yardmaster_result *result, int64_t msec);

        /* Any thread, while execute runs the task. log: one line (or several) of the task's own
         * log. progress: percent below 0, and NULL, leave a part out; data is a JSON object.
         * heartbeat: a sign of life for a pool with a watchdog; cheap enough for an inner loop.
         * cancelled: not 0 once the task is to be given up; whatever execute then answers is
         * thrown away. */
        int (*log)(const struct yardmaster_task *task, const char *text);
        int (*progress)(const struct yardmaster_task *task, double percent, const char *stage,
                        const char *message, const char *data);
        void (*heartbeat)(const struct yardmaster_task *task);
        int (*cancelled)(const struct yardmaster_task *task);
};

/* Whether this host, which may be older than the header, has a function. */
#define YARDMASTER_HOST_HAS(host, member) \
        (offsetof(struct yardmaster_host, member) + sizeof((host)->member) <= (host)->struct_size)

/* A handler. Only execute is required; what is NULL is not called. Lives as long as the process. */
struct yardmaster_handler {
        size_t struct_size;       /* set by YARDMASTER_HANDLER */
        unsigned int api_version; /* the same */

        const char *name;
        const char *version;
        const char *description; /* one line */

        /* config_json: the pool's config group as a JSON object, "{}" without one; lives until
         * deinit. *ret_state is what the calls below get. An error ends the process. */
        int (*init)(const struct yardmaster_host *host, const char *config_json, void **ret_state);
        /* What this thread's execute gets; without thread_init that is the state. */
        int (*thread_init)(void *state, void **ret_thread);
        /* 0: the result is as the host's functions made it. Negative errno: FAILED (or
         * FAILED_WITH_TERMINAL_ERROR, if that was set), and error's text becomes the reason.
         * Positive values are reserved. */
        int (*execute)(void *thread, const struct yardmaster_task *task,
                       struct yardmaster_result *result);
        /* Asks for an early end of the execute that runs this task; host->cancelled already says
         * so. Must not wait for it. */
        void (*cancel)(void *state, const char *task_id);
        void (*thread_deinit)(void *thread);
        void (*deinit)(void *state);
};

#if defined(__GNUC__)
#define YARDMASTER_EXPORT __attribute__((visibility("default")))
#else
#define YARDMASTER_EXPORT
#endif

#ifdef __cplusplus
#define YARDMASTER_EXTERN_C extern "C"
#else
#define YARDMASTER_EXTERN_C extern
#endif

/* The one symbol that a handler exports. */
#define YARDMASTER_HANDLER_SYMBOL "yardmaster_handler_v1"
typedef const struct yardmaster_handler *(*yardmaster_handler_function)(void);

/* Makes handler, a static struct yardmaster_handler, the handler of this shared object. */
#define YARDMASTER_HANDLER(handler)                                             \
        YARDMASTER_EXTERN_C YARDMASTER_EXPORT const struct yardmaster_handler * \
        yardmaster_handler_v1(void);                                            \
        const struct yardmaster_handler *yardmaster_handler_v1(void)            \
        {                                                                       \
                (handler).struct_size = sizeof(handler);                        \
                (handler).api_version = YARDMASTER_API_VERSION;                 \
                return &(handler);                                              \
        }

#ifdef __cplusplus
}
#endif

#endif
