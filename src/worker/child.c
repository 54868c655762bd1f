/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cgroup.h"
#include "base/strv.h"
#include "worker/child.h"

int child_new(Child **ret, Spawner *spawner, Reaper *reaper, child_callback_t callback,
              void *userdata)
{
        Child *child = malloc(sizeof(*child));

        if (!child)
                return -ENOMEM;
        *child = (Child){
                .spawner = spawner,
                .reaper = reaper,
                .callback = callback,
                .userdata = userdata,
                .request.stdin_fd = -EBADF,
                .request.stdout_fd = -EBADF,
                .request.stderr_fd = -EBADF,
        };
        *ret = child;
        return 0;
}

static Child *child_destroy(Child *child)
{
        (void)config_pool_unref(child->config);
        (void)environment_free(child->environment);
        (void)strv_free(child->arguments);
        (void)launcher_free(child->launcher);
        free(child->cgroup);
        free(child);
        return NULL;
}

Child *child_free(Child *child)
{
        if (!child)
                return NULL;
        if (child->launching) {
                /* whoever owns the cgroup kills what may have been born in it */
                child->launcher = launcher_free(child->launcher);
                spawn_request_close_fds(&child->request);
                return child_destroy(child);
        }
        if (child->spawning) {
                child->orphaned = true;
                return NULL;
        }
        if (child->pid > 0) {
                child_signal(child, SIGKILL);
                reaper_unwatch(child->reaper, &child->watch);
        }
        return child_destroy(child);
}

void child_set_config(Child *child, ConfigPool *config)
{
        (void)config_pool_ref(config);
        (void)config_pool_unref(child->config);
        child->config = config;
}

int child_set_cgroup(Child *child, const LauncherOptions *options)
{
        _cleanup_(launcher_freep) Launcher *launcher = NULL;
        _cleanup_free_ char *cgroup = NULL;
        int r;

        if (options) {
                cgroup = strdup(options->cgroup);
                if (!cgroup)
                        return -ENOMEM;
                r = launcher_new(&launcher, options);
                if (r < 0)
                        return r;
        }
        (void)launcher_free(child->launcher);
        free(child->cgroup);
        child->launcher = TAKE_PTR(launcher);
        child->cgroup = TAKE_PTR(cgroup);
        return 0;
}

static void child_on_exit(ReaperWatch *watch, int code, int value)
{
        Child *child = watch->userdata;

        child->code = code;
        child->value = value;
        child->last_pid = child->pid;
        child->pid = 0;
        child->callback(child, CHILD_EXITED, child->userdata);
}

static void child_on_spawned(SpawnRequest *request)
{
        Child *child = request->userdata;
        int signal = child->pending_signal;

        child->spawning = child->launching = false;
        child->pending_signal = 0;
        /* one process for each start: its launcher has done what it was for */
        if (child->config->handler.mode != HANDLER_PER_TASK)
                child->launcher = launcher_free(child->launcher);
        if (request->pid > 0) {
                child->pid = request->pid;
                if (child->orphaned) {
                        child_signal(child, SIGKILL);
                        (void)child_destroy(child);
                        return;
                }
                if (signal != 0)
                        child_signal(child, signal);
                child->watch.pid = child->pid;
                reaper_watch(child->reaper, &child->watch);
                child->callback(child, CHILD_STARTED, child->userdata);
        } else if (child->orphaned) {
                (void)child_destroy(child);
        } else {
                child->callback(child, CHILD_FAILED, child->userdata);
        }
}

void child_start(Child *child)
{
        SpawnRequest *request = &child->request;
        char *const *argv = child->arguments ? child->arguments : child->config->handler.command;

        child->watch = (ReaperWatch){
                .token = environment_get(child->environment, ENVIRONMENT_WORKER),
                .callback = child_on_exit,
                .userdata = child,
                .leave_children = child->config->handler.mode == HANDLER_PER_TASK &&
                                  child->config->leave_children,
        };
        *request = (SpawnRequest){
                .path = argv[0],
                .argv = argv,
                .environment = environment_vector(child->environment),
                .working_directory = child->config->working_directory,
                .stdin_fd = request->stdin_fd,
                .stdout_fd = request->stdout_fd,
                .stderr_fd = request->stderr_fd,
                .nice = child->config->nice,
                .open_files = child->config->limits.open_files,
                .cpu_usec = child->config->handler.mode == HANDLER_PER_TASK
                                    ? child->config->limits.cpu_usec
                                    : 0,
                /* As a service of systemd's: a journal that is stopped must not kill a worker
                 * that prints. */
                .ignore_sigpipe = child->config->handler.mode != HANDLER_PER_TASK,
                .callback = child_on_spawned,
                .userdata = child,
        };
        child->spawning = true;
        child->launching = child->launcher;
        child->pending_signal = 0;
        if (child->launcher)
                launcher_post(child->launcher, request);
        else
                spawner_post(child->spawner, request);
}

void child_signal(Child *child, int signal)
{
        if (child->spawning && child->pending_signal != SIGKILL)
                child->pending_signal = signal;
        /* A launcher that hangs as well: another one takes its place, and what that starts has the
         * signal waiting. */
        if (signal == SIGKILL && child->cgroup && child_is_active(child))
                (void)cgroup_kill(child->cgroup);
        if (child->pid <= 0)
                return;
        (void)kill(-child->pid, signal);
        if (signal != SIGKILL)
                (void)kill(-child->pid, SIGCONT);
}
