/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/event-hook.h"

#include <fcntl.h>
#include "base/log.h"
#include "base/strv.h"

/* Without a list of its own the hook hears of what may need someone's attention, not of every task
 * that goes its way. */
#define EVENT_SET_ATTENTION                                                        \
        (EVENT_SET_ALL & ~(1u << EVENT_TASK_STARTED | 1u << EVENT_TASK_COMPLETED | \
                           1u << EVENT_TASK_CANCELED | 1u << EVENT_TASK_HANDED_BACK))

typedef struct QueuedEvent {
        ListLink link;
        size_t size;
        char json[];
} QueuedEvent;

/* One run of the command. Outlives the hook if its spawn answer does. */
typedef struct Run {
        EventHook *hook; /* NULL: the hook is gone */
        SpawnRequest request;
        ReaperWatch watch;
        sd_event_source *timer;
        Config *config; /* keeps argv */
        char **environment;
} Run;

struct EventHook {
        EventHookOptions options;
        EventListener listener;
        Config *config;
        ListLink queue;
        unsigned n_queued;
        uint64_t n_dropped;
        bool full; /* the first drop of a row was logged */
        Run *run;  /* NULL: none under way */
};

static void start_next(EventHook *hook);

static Run *run_free(Run *run)
{
        if (!run)
                return NULL;
        sd_event_source_disable_unref(run->timer);
        config_unref(run->config);
        strv_free(run->environment);
        free(run);
        return NULL;
}
DEFINE_CLEANUP(Run *, run_free);

static void finish_run(EventHook *hook)
{
        hook->run = run_free(hook->run);
        start_next(hook);
}

static void on_exit_of_run(ReaperWatch *watch, int code, int value)
{
        Run *run = watch->userdata;

        if (code != CLD_EXITED || value != 0)
                log_warning("on_event command %s ended with %s %d", run->request.path,
                            code == CLD_EXITED ? "exit code" : "signal", value);
        finish_run(run->hook);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        Run *run = userdata;

        log_warning("on_event command %s ran longer than 10s: killed", run->request.path);
        (void)kill(-run->watch.pid, SIGKILL);
        return 0;
}

static void on_spawned(SpawnRequest *request)
{
        Run *run = request->userdata;
        EventHook *hook = run->hook;
        int r;

        if (!hook) {
                if (request->pid > 0)
                        (void)kill(-request->pid, SIGKILL);
                run_free(run);
                return;
        }
        if (request->pid <= 0) {
                log_warning_errno(request->error, "cannot run on_event command %s (%s): %m",
                                  request->path, request->step);
                finish_run(hook);
                return;
        }
        run->watch = (ReaperWatch){
                .pid = request->pid,
                .callback = on_exit_of_run,
                .userdata = run,
        };
        reaper_watch(hook->options.reaper, &run->watch);
        r = sd_event_add_time(hook->options.event, &run->timer, CLOCK_MONOTONIC,
                              usec_add(clock_monotonic_usec(), EVENT_HOOK_TIMEOUT_USEC),
                              USEC_PER_SEC, on_timeout, run);
        if (r < 0) {
                log_warning_errno(r, "cannot watch the on_event command's time, killing it: %m");
                (void)kill(-request->pid, SIGKILL);
        }
}

/* An event is far smaller than what a pipe holds, so it is written before the reader exists. */
static int make_input(const QueuedEvent *event, int *ret_fd)
{
        _cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        read_fd = fds[0];
        write_fd = fds[1];
        if (fcntl(write_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        if (write(write_fd, event->json, event->size) != (ssize_t)event->size)
                return -EMSGSIZE;
        *ret_fd = TAKE_FD(read_fd);
        return 0;
}

static int run_new(Run **ret, EventHook *hook, const QueuedEvent *event)
{
        _cleanup_(run_freep) Run *run = calloc(1, sizeof(Run));
        int r;

        if (!run)
                return -ENOMEM;
        run->hook = hook;
        run->config = config_ref(hook->config);
        r = strv_copy(&run->environment, hook->options.environment);
        if (r < 0)
                return r;
        run->request = (SpawnRequest){
                .path = run->config->on_event.command[0],
                .argv = run->config->on_event.command,
                .environment = run->environment,
                .stdin_fd = -EBADF,
                .stdout_fd = -EBADF,
                .callback = on_spawned,
                .userdata = run,
        };
        r = make_input(event, &run->request.stdin_fd);
        if (r < 0)
                return r;
        run->request.stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        *ret = TAKE_PTR(run);
        return 0;
}

static void start_next(EventHook *hook)
{
        while (!hook->run && hook->n_queued > 0) {
                _cleanup_free_ QueuedEvent *event =
                        LIST_ENTRY(list_pop_first(&hook->queue), QueuedEvent, link);
                int r;

                hook->n_queued--;
                if (!hook->config || !hook->config->on_event.command)
                        continue;
                r = run_new(&hook->run, hook, event);
                if (r < 0) {
                        log_warning_errno(r, "cannot run the on_event command: %m");
                        hook->n_dropped++;
                        continue;
                }
                spawner_post(hook->options.spawner, &hook->run->request);
        }
        if (hook->n_queued == 0)
                hook->full = false;
}

static int queue_event(EventHook *hook, const Event *event)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(EVENT_JSON_MAX);
        QueuedEvent *queued;
        Slice json;
        int r;

        r = event_append_json(&buffer, event);
        if (r < 0)
                return r;
        r = buffer_append_byte(&buffer, '\n');
        if (r < 0)
                return r;
        json = buffer_slice(&buffer);
        queued = malloc(sizeof(QueuedEvent) + json.size);
        if (!queued)
                return -ENOMEM;
        queued->size = json.size;
        memcpy(queued->json, json.data, json.size);
        list_append(&hook->queue, &queued->link);
        hook->n_queued++;
        return 0;
}

static void on_event(EventListener *listener, const Event *event)
{
        EventHook *hook = container_of(listener, EventHook, listener);
        int r = -ENOBUFS;

        if (hook->n_queued < EVENT_HOOK_QUEUE_MAX)
                r = queue_event(hook, event);
        if (r < 0) {
                hook->n_dropped++;
                if (!hook->full)
                        log_warning("the on_event command is too slow: events are dropped");
                hook->full = true;
                return;
        }
        start_next(hook);
}

int event_hook_new(EventHook **ret, const EventHookOptions *options)
{
        EventHook *hook = calloc(1, sizeof(EventHook));

        if (!hook)
                return -ENOMEM;
        hook->options = *options;
        hook->listener.callback = on_event;
        list_init(&hook->queue);
        *ret = hook;
        return 0;
}

static void stop_run(EventHook *hook)
{
        Run *run = TAKE_PTR(hook->run);

        if (!run)
                return;
        run->hook = NULL;
        if (run->watch.pid <= 0)
                return; /* on_spawned frees it */
        (void)kill(-run->watch.pid, SIGKILL);
        reaper_unwatch(hook->options.reaper, &run->watch);
        run_free(run);
}

EventHook *event_hook_free(EventHook *hook)
{
        ListLink *link;

        if (!hook)
                return NULL;
        event_hub_remove(hook->options.hub, &hook->listener);
        stop_run(hook);
        while ((link = list_pop_first(&hook->queue)))
                free(LIST_ENTRY(link, QueuedEvent, link));
        config_unref(hook->config);
        free(hook);
        return NULL;
}

void event_hook_apply(EventHook *hook, Config *config)
{
        event_hub_remove(hook->options.hub, &hook->listener);
        config_unref(hook->config);
        hook->config = config_ref(config);
        if (!config->on_event.command)
                return;
        hook->listener.types = config->on_event.events ? 0 : EVENT_SET_ATTENTION;
        STRV_FOREACH (name, config->on_event.events) {
                EventType type = event_type_from_string(*name);

                if (type >= 0)
                        hook->listener.types |= 1u << type;
                else
                        log_warning("on_event.events: there is no event '%s'", *name);
        }
        event_hub_add(hook->options.hub, &hook->listener);
}

uint64_t event_hook_n_dropped(const EventHook *hook)
{
        return hook->n_dropped;
}
