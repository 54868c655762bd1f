#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Starts processes: the spawner thread takes requests, the loop gets the answers.
 *
 * One permanent thread (PR_SET_PDEATHSIG fires when the spawning *thread* ends), vfork + exec (fork
 * copies the page tables: 20–50 times slower from a large daemon). Everything a child needs is
 * prepared before in the request; the child only makes system calls. It starts as leader of its own
 * session and group, with an empty signal mask and default dispositions, and dies with the daemon.
 *
 * While a child is between vfork and exec it holds a copy of every fd: an fd must leave epoll
 * before it is closed (sd-event does that when its source goes). */

#include <sys/types.h>
#include <systemd/sd-event.h>
#include "base/clock.h"
#include "base/list.h"

typedef struct Spawner Spawner;
typedef struct SpawnRequest SpawnRequest;

typedef void (*spawn_callback_t)(SpawnRequest *request);

struct SpawnRequest {
        ListLink link;

        /* set by the caller, borrowed until the callback */
        const char *path; /* no look-up: argv[0] is resolved before */
        char *const *argv;
        char *const *environment;
        const char *working_directory;      /* NULL: the daemon's */
        int stdin_fd, stdout_fd, stderr_fd; /* the child's ends; -EBADF: /dev/null. Owned by the
                                             * request: closed by the spawner after the start, and
                                             * then -EBADF. One fd may serve for two. */
        int nice;                           /* absolute; 0: inherited */
        uint64_t open_files;                /* RLIMIT_NOFILE, 0: inherited */
        usec_t cpu_usec;                    /* RLIMIT_CPU, 0: none; rounded up to seconds */
        bool ignore_sigpipe;       /* it starts with SIGPIPE ignored, not with its default */
        spawn_callback_t callback; /* on the loop; the request is the caller's again */
        void *userdata;

        /* the answer */
        pid_t pid;        /* > 0: running (or already dead: the reaper tells) */
        int error;        /* 0, or -errno of what failed; then pid is 0 */
        const char *step; /* what failed: "exec", "chdir", "setrlimit", "vfork", … (static text) */
};

/* Each once: one fd may serve for two. */
void spawn_request_close_fds(SpawnRequest *request);

/* Between the soft limit on CPU time, whose signal a program may catch to clean up, and the hard
 * one. */
#define SPAWN_CPU_GRACE_SECONDS 5

/* The soft one; 0: none. */
uint64_t spawn_cpu_seconds(const SpawnRequest *request);

/* Also makes the process a subreaper. Blocks nothing in the calling thread. Which signals have to
 * be set back to default in a child is looked up here: set dispositions before. */
int spawner_new(Spawner **ret, sd_event *event);
/* Ends the thread, and with it every child it started: they get SIGKILL. Each request that was not
 * answered yet is, with -ECANCELED. */
Spawner *spawner_free(Spawner *spawner);
DEFINE_CLEANUP(Spawner *, spawner_free);

/* Never fails: errors come in the answer. */
void spawner_post(Spawner *spawner, SpawnRequest *request);

/* Requests so far, and those of them whose callback has returned; answers come in order. */
uint64_t spawner_n_posted(const Spawner *spawner);
uint64_t spawner_n_answered(const Spawner *spawner);

/* /dev/null, to read and to write. */
int spawner_null_fd(const Spawner *spawner);

/* Lets the daemon itself open as many files as the hard limit allows; children go on to get the
 * soft limit that it had before. Before the first request. 0 or -errno. */
int spawner_raise_open_files(Spawner *spawner);
