/* SPDX-License-Identifier: Apache-2.0 */

/* What libcurl can do at most with the requests of a Conductor source: a plain loop without JSON,
 * workers, outbox, time-outs or errors. Each of the tasks in flight is a chain: a poll brings the
 * first, each update-v2 reports one and brings the next, until there is none.
 *
 * Tuned: multi_socket with descriptors that stay in epoll between requests, URLs parsed once, no
 * look at the environment for a proxy, handles used again.
 *
 *   bare-curl URL TYPE N_IN_FLIGHT CONNECTIONS
 *
 * URL ends in /api. Prints one JSON object when the server has no more tasks. */

#include <curl/curl.h>
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/macro.h"

#define N_EVENTS   64
#define ANSWER_MAX 65536 /* a task of 1 or 3.6 KB */
#define BODY_MAX   512
#define ID_MAX     64
#define FDS_MAX    4096
#define UPDATE_BODY                                                                                \
        "{\"workflowInstanceId\":\"%.*s\",\"taskId\":\"%.*s\",\"workerId\":\"bench:bare:worker\"," \
        "\"status\":\"COMPLETED\",\"outputData\":{\"n\":1}}"

typedef struct Chain {
        CURL *easy;
        char answer[ANSWER_MAX];
        size_t size;
        char body[BODY_MAX];
} Chain;

static CURLM *multi;
static CURLU *poll_url, *update_url;
static struct curl_slist *json_headers;
static int epoll_fd;
static bool watched[FDS_MAX]; /* in epoll */
static usec_t timer_due = USEC_INFINITY;
static size_t n_running, n_tasks;

static void check(CURLcode code)
{
        if (code != CURLE_OK)
                errx(1, "%s", curl_easy_strerror(code));
}

static void check_multi(CURLMcode code)
{
        if (code != CURLM_OK)
                errx(1, "%s", curl_multi_strerror(code));
}

/* libcurl asks for reading at first and wants nothing afterwards: what it wants stays the same. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *data)
{
        struct epoll_event event = { .data.fd = fd };

        if (fd >= FDS_MAX)
                errx(1, "descriptor %d", fd);
        if (what == CURL_POLL_REMOVE)
                return 0;
        event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
        if (watched[fd] && what == CURL_POLL_IN && data)
                return 0;
        if (epoll_ctl(epoll_fd, watched[fd] ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
                err(1, "epoll_ctl");
        watched[fd] = true;
        /* Not NULL: what is watched for is reading, alone. */
        check_multi(curl_multi_assign(multi, fd, what == CURL_POLL_IN ? (void *)watched : NULL));
        return 0;
}

static int on_close(void *userdata, curl_socket_t fd)
{
        watched[fd] = false;
        return close(fd);
}

static int on_timer(CURLM *handle, long msec, void *userdata)
{
        timer_due =
                msec < 0 ? USEC_INFINITY : clock_monotonic_usec() + (usec_t)msec * USEC_PER_MSEC;
        return 0;
}

static size_t on_data(char *data, size_t size, size_t n, void *userdata)
{
        Chain *chain = userdata;

        if (chain->size + n > sizeof(chain->answer))
                errx(1, "an answer of more than %d bytes", ANSWER_MAX);
        memcpy(chain->answer + chain->size, data, n);
        chain->size += n;
        return n;
}

static CURLU *parse_url(const char *base, const char *rest)
{
        char text[512];
        CURLU *url = curl_url();

        (void)snprintf(text, sizeof(text), "%s%s", base, rest);
        if (!url || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
                errx(1, "%s is no URL", text);
        return url;
}

static void chain_new(Chain *chain)
{
        chain->easy = curl_easy_init();
        if (!chain->easy)
                errx(1, "out of memory");
        check(curl_easy_setopt(chain->easy, CURLOPT_CURLU, poll_url));
        check(curl_easy_setopt(chain->easy, CURLOPT_PROXY, ""));
        check(curl_easy_setopt(chain->easy, CURLOPT_NOSIGNAL, 1L));
        check(curl_easy_setopt(chain->easy, CURLOPT_WRITEFUNCTION, on_data));
        check(curl_easy_setopt(chain->easy, CURLOPT_WRITEDATA, chain));
        check(curl_easy_setopt(chain->easy, CURLOPT_PRIVATE, chain));
        check(curl_easy_setopt(chain->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close));
        check_multi(curl_multi_add_handle(multi, chain->easy));
        n_running++;
}

/* Where the text behind "name":" begins, and how long it is. */
static const char *find_text(const Chain *chain, const char *name, int *ret_size)
{
        const char *found = memmem(chain->answer, chain->size, name, strlen(name)), *quote;

        if (!found)
                errx(1, "no %s in an answer", name);
        found += strlen(name);
        quote = memchr(found, '"', (size_t)(chain->answer + chain->size - found));
        if (!quote || quote - found > ID_MAX)
                errx(1, "an id without end");
        *ret_size = (int)(quote - found);
        return found;
}

/* Reports the task of the answer. */
static void chain_update(Chain *chain)
{
        int workflow_size, task_size, n;
        const char *workflow = find_text(chain, "\"workflowInstanceId\":\"", &workflow_size),
                   *task = find_text(chain, "\"taskId\":\"", &task_size);

        n = snprintf(chain->body, sizeof(chain->body), UPDATE_BODY, workflow_size, workflow,
                     task_size, task);
        chain->size = 0;
        n_tasks++;
        check(curl_easy_setopt(chain->easy, CURLOPT_CURLU, update_url));
        check(curl_easy_setopt(chain->easy, CURLOPT_HTTPHEADER, json_headers));
        check(curl_easy_setopt(chain->easy, CURLOPT_POSTFIELDSIZE, (long)n));
        check(curl_easy_setopt(chain->easy, CURLOPT_POSTFIELDS, chain->body));
        check_multi(curl_multi_add_handle(multi, chain->easy));
}

static void chain_on_answer(Chain *chain, CURLcode result)
{
        long status;

        check(result);
        check(curl_easy_getinfo(chain->easy, CURLINFO_RESPONSE_CODE, &status));
        check_multi(curl_multi_remove_handle(multi, chain->easy));
        if (status == 204 || (status == 200 && chain->size == 2)) {
                n_running--; /* there are no more */
                return;
        }
        if (status != 200)
                errx(1, "status %ld", status);
        chain_update(chain);
}

static void finish_answers(void)
{
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(multi, &left))) {
                Chain *chain = NULL;
                CURLcode result = message->data.result;

                check(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &chain));
                chain_on_answer(chain, result);
        }
}

static int wait_msec(void)
{
        usec_t now;

        if (timer_due == USEC_INFINITY)
                return -1;
        now = clock_monotonic_usec();
        return timer_due <= now ? 0 : (int)((timer_due - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

static void run(void)
{
        struct epoll_event events[N_EVENTS];
        int running;

        while (n_running > 0) {
                int n = epoll_wait(epoll_fd, events, N_EVENTS, wait_msec());

                for (int i = 0; i < n; i++) {
                        int mask =
                                (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                                (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                                (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

                        check_multi(
                                curl_multi_socket_action(multi, events[i].data.fd, mask, &running));
                }
                if (timer_due != USEC_INFINITY && clock_monotonic_usec() >= timer_due) {
                        timer_due = USEC_INFINITY;
                        check_multi(
                                curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running));
                }
                finish_answers();
        }
}

static double cpu_usec(void)
{
        struct rusage usage;

        (void)getrusage(RUSAGE_SELF, &usage);
        return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void set_up(const char *base, const char *type, long connections)
{
        char rest[256];

        check(curl_global_init(CURL_GLOBAL_ALL));
        multi = curl_multi_init();
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (!multi || epoll_fd < 0)
                err(1, "cannot start");
        check_multi(curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket));
        check_multi(curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer));
        check_multi(curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections));
        check_multi(curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections));
        (void)snprintf(rest, sizeof(rest),
                       "/tasks/poll/batch/%s?workerid=bench:bare:worker&count=1&timeout=100", type);
        poll_url = parse_url(base, rest);
        update_url = parse_url(base, "/tasks/update-v2");
        json_headers = curl_slist_append(NULL, "Content-Type: application/json");
}

int main(int argc, char *argv[])
{
        size_t n_chains;
        Chain *chains;
        usec_t begin;
        double spent;

        if (argc != 5 || (n_chains = strtoul(argv[3], NULL, 10)) < 1)
                errx(2, "usage: bare-curl URL TYPE N_IN_FLIGHT CONNECTIONS");
        set_up(argv[1], argv[2], strtol(argv[4], NULL, 10));
        chains = calloc(n_chains, sizeof(*chains));
        if (!chains)
                errx(1, "out of memory");
        begin = clock_monotonic_usec();
        for (size_t i = 0; i < n_chains; i++)
                chain_new(&chains[i]);
        run();
        spent = (double)MAX(clock_monotonic_usec() - begin, (usec_t)1);
        printf("{\"tasks\":%zu,\"tasksPerSecond\":%.0f,\"cpuUsecPerTask\":%.2f}\n", n_tasks,
               (double)n_tasks * 1e6 / spent, cpu_usec() / (double)MAX(n_tasks, (size_t)1));
        for (size_t i = 0; i < n_chains; i++)
                curl_easy_cleanup(chains[i].easy);
        free(chains);
        (void)curl_multi_cleanup(multi);
        curl_url_cleanup(poll_url);
        curl_url_cleanup(update_url);
        curl_slist_free_all(json_headers);
        curl_global_cleanup();
        return 0;
}
