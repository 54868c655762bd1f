/* SPDX-License-Identifier: Apache-2.0 */

#include <sys/wait.h>
#include <time.h>
#include "base/clock.h"
#include "base/log-ids.h"
#include "base/log.h"
#include "worker/reaper.h"
#include "worker/tree.h"

/* Lists of watches by pid: short ones with a thousand live children, 4 KiB in all. */
#define N_BUCKETS 256

/* Children reaped in one go before other events get their turn. */
#define REAP_BATCH_MAX 256

/* From an exit to the look for what left its group: long enough for many exits to share one. */
#define SWEEP_DELAY_USEC USEC_PER_SEC

/* Looks at an orphan that has no environment: one inside exec has one the next time, one that was
 * started with none never has. */
#define SWEEP_RETRIES_MAX 3

struct Reaper {
        sd_event_source *signal_source;
        sd_event_source *again_source;     /* defer: the batch was full */
        sd_event_source *unstalled_source; /* post: on while a zombie waits for its spawn answer */
        sd_event_source *sweep_source;     /* timer: on for a while after an exit */
        Spawner *spawner;
        char *instance;
        ListLink buckets[N_BUCKETS];
        ListLink expectations;

        pid_t stalled_pid;       /* a zombie that may be a spawn's; 0: none */
        uint64_t stalled_posted; /* it is, or it is none by the time that this many are answered */

        bool exits_since_armed; /* then the timer runs once more */
        bool undecided;         /* then too, at most SWEEP_RETRIES_MAX times after an exit */
        unsigned n_retries;
        bool hunting; /* the last sweep killed something: look at what that leaves behind at once */
        TreeList suspects; /* strangers unless a spawn on its way has their token */
        uint64_t suspects_posted;
};

static ListLink *reaper_bucket(Reaper *reaper, pid_t pid)
{
        return &reaper->buckets[(unsigned)pid % N_BUCKETS];
}

static ReaperWatch *reaper_find(Reaper *reaper, pid_t pid)
{
        LIST_FOREACH (link, reaper_bucket(reaper, pid)) {
                ReaperWatch *watch = LIST_ENTRY(link, ReaperWatch, link);

                if (watch->pid == pid)
                        return watch;
        }
        return NULL;
}

static bool reaper_is_token_alive(const char *token, void *userdata)
{
        Reaper *reaper = userdata;

        for (size_t i = 0; i < N_BUCKETS; i++) {
                LIST_FOREACH (link, &reaper->buckets[i]) {
                        ReaperWatch *watch = LIST_ENTRY(link, ReaperWatch, link);

                        if (watch->token && streq(watch->token, token))
                                return true;
                }
        }
        return false;
}

static void reaper_start_timer(Reaper *reaper)
{
        (void)sd_event_source_set_time_relative(reaper->sweep_source, SWEEP_DELAY_USEC);
        (void)sd_event_source_set_enabled(reaper->sweep_source, SD_EVENT_ONESHOT);
}

/* After an exit, once for all that happen meanwhile; idle, nothing runs. */
static void reaper_arm_sweep(Reaper *reaper)
{
        int enabled = SD_EVENT_OFF;

        reaper->n_retries = 0;
        (void)sd_event_source_get_enabled(reaper->sweep_source, &enabled);
        if (enabled != SD_EVENT_OFF) {
                reaper->exits_since_armed = true;
                return;
        }
        reaper_start_timer(reaper);
}

/* pid is a child that we have not reaped: its number cannot have changed hands. */
static void reaper_kill_stranger(Reaper *reaper, pid_t pid, const char *token)
{
        log_event(LOG_WARNING, (&(LogFields){ .message_id = LOG_ID_LEFTOVER_KILLED }),
                  "killing process %d, left behind by worker %s", pid, token);
        if (getpgid(pid) == pid)
                (void)kill(-pid, SIGKILL);
        (void)kill(pid, SIGKILL);
        reaper->hunting = true;
}

/* Orphans come to the main thread, spawned children belong to the spawner's: so what is listed here
 * was left by someone. Its own children come here when it dies. A token that no watch has may still
 * be that of a spawn on its way: then the second look decides, once all are answered that were on
 * their way at the first. */
static void reaper_sweep_orphans(Reaper *reaper)
{
        _cleanup_(tree_list_deinit) TreeList orphans = TREE_LIST_NULL;
        char token[LEFTOVER_TOKEN_SIZE];
        uint64_t n_posted = 0, n_answered = 0;
        size_t n_suspects = 0;
        bool answered;

        reaper->hunting = reaper->undecided = false;
        if (tree_list_children(&orphans, getpid(), getpid()) < 0)
                return;
        if (reaper->spawner) {
                n_posted = spawner_n_posted(reaper->spawner);
                n_answered = spawner_n_answered(reaper->spawner);
        }
        answered = n_answered >= reaper->suspects_posted;
        for (size_t i = 0; i < orphans.n_pids; i++) {
                pid_t pid = orphans.pids[i];
                int r = leftover_check(pid, reaper->instance, reaper_is_token_alive, reaper, token);

                if (r == -ENODATA)
                        reaper->undecided = true;
                if (r <= 0)
                        continue;
                if (n_answered == n_posted ||
                    (answered && tree_list_contains(&reaper->suspects, pid)))
                        reaper_kill_stranger(reaper, pid, token);
                else
                        orphans.pids[n_suspects++] = pid;
        }
        orphans.n_pids = n_suspects;
        tree_list_deinit(&reaper->suspects);
        reaper->suspects = orphans;
        reaper->suspects_posted = n_posted;
        orphans = TREE_LIST_NULL;
}

static int reaper_on_sweep(sd_event_source *source, uint64_t usec, void *userdata)
{
        Reaper *reaper = userdata;

        bool again;

        reaper_sweep_orphans(reaper);
        again = reaper->exits_since_armed || reaper->suspects.n_pids > 0 ||
                (reaper->undecided && reaper->n_retries++ < SWEEP_RETRIES_MAX);
        reaper->exits_since_armed = false;
        if (again)
                reaper_start_timer(reaper);
        return 0;
}

/* A spawned child is known by its answer, which may still be on its way. Orphans are not led by
 * themselves, but for daemons, and not in our own session, but for what had no worker. */
static bool reaper_may_be_spawned(Reaper *reaper, pid_t pid)
{
        pid_t session = getsid(pid);

        if (!reaper->spawner || (session != pid && session != getsid(0)))
                return false;
        if (reaper->stalled_pid != pid) {
                reaper->stalled_pid = pid;
                reaper->stalled_posted = spawner_n_posted(reaper->spawner);
        }
        return spawner_n_answered(reaper->spawner) < reaper->stalled_posted;
}

static void reaper_reap(Reaper *reaper, const siginfo_t *info, ReaperWatch *watch)
{
        siginfo_t reaped;

        if (watch && !(watch->leave_children && info->si_code == CLD_EXITED))
                (void)kill(-info->si_pid, SIGKILL);
        (void)waitid(P_PID, (id_t)info->si_pid, &reaped, WEXITED | WNOHANG);
        reaper->stalled_pid = 0;
        if (!watch)
                return;
        list_remove(&watch->link);
        reaper_arm_sweep(reaper);
        watch->callback(watch, info->si_code, info->si_status);
}

/* Whoever expects it makes a watch of it. */
static ReaperWatch *reaper_resolve(Reaper *reaper, pid_t pid)
{
        LIST_FOREACH (link, &reaper->expectations) {
                ReaperExpectation *expectation = LIST_ENTRY(link, ReaperExpectation, link);

                if (!expectation->knows(expectation, pid))
                        continue;
                expectation->resolve(expectation);
                return reaper_find(reaper, pid);
        }
        return NULL;
}

static void reaper_run(Reaper *reaper)
{
        bool orphans_died = false;
        unsigned n;

        for (n = 0; n < REAP_BATCH_MAX; n++) {
                siginfo_t info = {};
                ReaperWatch *watch;

                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
                        break;
                watch = reaper_find(reaper, info.si_pid);
                if (!watch)
                        watch = reaper_resolve(reaper, info.si_pid);
                if (!watch && reaper_may_be_spawned(reaper, info.si_pid)) {
                        (void)sd_event_source_set_enabled(reaper->unstalled_source,
                                                          SD_EVENT_ONESHOT);
                        break;
                }
                orphans_died = orphans_died || !watch;
                reaper_reap(reaper, &info, watch);
        }
        if (n == REAP_BATCH_MAX)
                (void)sd_event_source_set_enabled(reaper->again_source, SD_EVENT_ONESHOT);
        if (orphans_died && reaper->hunting)
                reaper_sweep_orphans(reaper);
}

static int reaper_on_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                            void *userdata)
{
        reaper_run(userdata);
        return 0;
}

static int reaper_on_again(sd_event_source *source, void *userdata)
{
        reaper_run(userdata);
        return 0;
}

static int reaper_add_sources(Reaper *reaper, sd_event *event)
{
        int r;

        r = sd_event_add_signal(event, &reaper->signal_source, SIGCHLD, reaper_on_signal, reaper);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(reaper->signal_source, "reaper-sigchld");
        r = sd_event_add_defer(event, &reaper->again_source, reaper_on_again, reaper);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(reaper->again_source, "reaper-again");
        r = sd_event_source_set_enabled(reaper->again_source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_post(event, &reaper->unstalled_source, reaper_on_again, reaper);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(reaper->unstalled_source, "reaper-unstalled");
        r = sd_event_source_set_enabled(reaper->unstalled_source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &reaper->sweep_source, CLOCK_MONOTONIC,
                                       SWEEP_DELAY_USEC, 0, reaper_on_sweep, reaper);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(reaper->sweep_source, "reaper-sweep");
        return sd_event_source_set_enabled(reaper->sweep_source, SD_EVENT_OFF);
}

int reaper_new(Reaper **ret, sd_event *event, Spawner *spawner, const char *instance)
{
        _cleanup_(reaper_freep) Reaper *reaper = NULL;
        int r;

        reaper = calloc(1, sizeof(*reaper));
        if (!reaper)
                return -ENOMEM;
        for (size_t i = 0; i < N_BUCKETS; i++)
                list_init(&reaper->buckets[i]);
        list_init(&reaper->expectations);
        reaper->spawner = spawner;
        reaper->instance = strdup(instance);
        if (!reaper->instance)
                return -ENOMEM;
        r = reaper_add_sources(reaper, event);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(reaper);
        return 0;
}

Reaper *reaper_free(Reaper *reaper)
{
        if (!reaper)
                return NULL;
        for (size_t i = 0; i < N_BUCKETS; i++) {
                while (list_pop_first(&reaper->buckets[i]))
                        ;
        }
        (void)sd_event_source_disable_unref(reaper->signal_source);
        (void)sd_event_source_disable_unref(reaper->again_source);
        (void)sd_event_source_disable_unref(reaper->unstalled_source);
        (void)sd_event_source_disable_unref(reaper->sweep_source);
        tree_list_deinit(&reaper->suspects);
        free(reaper->instance);
        free(reaper);
        return NULL;
}

void reaper_watch(Reaper *reaper, ReaperWatch *watch)
{
        list_append(reaper_bucket(reaper, watch->pid), &watch->link);
}

void reaper_unwatch(Reaper *reaper, ReaperWatch *watch)
{
        if (!list_is_linked(&watch->link))
                return;
        list_remove(&watch->link);
        reaper_arm_sweep(reaper);
}

void reaper_expect(Reaper *reaper, ReaperExpectation *expectation)
{
        list_append(&reaper->expectations, &expectation->link);
}

void reaper_unexpect(Reaper *reaper, ReaperExpectation *expectation)
{
        list_remove(&expectation->link);
}

int reaper_sweep(Reaper *reaper)
{
        return leftover_kill_all(reaper->instance, reaper_is_token_alive, reaper);
}
