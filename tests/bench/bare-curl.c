/* SPDX-License-Identifier: Apache-2.0 */

/* What libcurl can do at most with the requests of a Conductor source: a plain loop without JSON,
 * workers, outbox, time-outs or errors. One poll brings the tasks that are in flight; each
 * update-v2 reports one and brings the next, until there is none. Of the tasks in flight at most
 * CONNECTIONS are being reported at a time, the others wait for their turn, as in the daemon.
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
#define ANSWER_MAX (1 << 20) /* a poll's: tasks of 1 or 3.6 KB */
#define BODY_MAX   512
#define ID_MAX     64
#define FDS_MAX    4096
#define UPDATE_BODY                                                                            \
        "{\"workflowInstanceId\":\"%s\",\"taskId\":\"%s\",\"workerId\":\"bench:bare:worker\"," \
        "\"status\":\"COMPLETED\",\"outputData\":{\"n\":1}}"

typedef struct TaskIds {
        char workflow[ID_MAX], task[ID_MAX];
} TaskIds;

/* A request at a time. */
typedef struct Slot {
        CURL *easy;
        char *answer;
        size_t size;
        char body[BODY_MAX];
        bool reports; /* else it is the poll's */
} Slot;

static CURLM *multi;
static CURLU *poll_url, *update_url;
static struct curl_slist *json_headers;
static int epoll_fd;
static bool watched[FDS_MAX]; /* in epoll */
static usec_t timer_due = USEC_INFINITY;
static size_t n_running, n_tasks;
/* Tasks whose turn has not come, oldest first: a ring. */
static TaskIds *waiting;
static size_t first_waiting, n_waiting, n_in_flight;

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
        Slot *slot = userdata;

        if (slot->size + n > ANSWER_MAX)
                errx(1, "an answer of more than %d bytes", ANSWER_MAX);
        memcpy(slot->answer + slot->size, data, n);
        slot->size += n;
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

static void slot_init(Slot *slot)
{
        slot->easy = curl_easy_init();
        slot->answer = malloc(ANSWER_MAX);
        if (!slot->easy || !slot->answer)
                errx(1, "out of memory");
        check(curl_easy_setopt(slot->easy, CURLOPT_PROXY, ""));
        check(curl_easy_setopt(slot->easy, CURLOPT_NOSIGNAL, 1L));
        check(curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, on_data));
        check(curl_easy_setopt(slot->easy, CURLOPT_WRITEDATA, slot));
        check(curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot));
        check(curl_easy_setopt(slot->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close));
}

static void slot_done(Slot *slot)
{
        curl_easy_cleanup(slot->easy);
        free(slot->answer);
}

static void slot_start(Slot *slot)
{
        slot->size = 0;
        n_running++;
        check_multi(curl_multi_add_handle(multi, slot->easy));
}

/* Copies the text behind "name":" to ret; returns what follows, NULL if there is none. */
static const char *find_text(const char *from, const char *end, const char *name, char *ret)
{
        const char *found = memmem(from, (size_t)(end - from), name, strlen(name)), *quote;

        if (!found)
                return NULL;
        found += strlen(name);
        quote = memchr(found, '"', (size_t)(end - found));
        if (!quote || quote - found >= ID_MAX)
                errx(1, "an id without end");
        memcpy(ret, found, (size_t)(quote - found));
        ret[quote - found] = '\0';
        return quote;
}

/* The tasks of an answer wait for their turn. */
static void take_tasks(const Slot *slot)
{
        const char *end = slot->answer + slot->size, *p = slot->answer;

        while (n_waiting < n_in_flight) {
                TaskIds *ids = &waiting[(first_waiting + n_waiting) % n_in_flight];

                p = find_text(p, end, "\"workflowInstanceId\":\"", ids->workflow);
                if (!p)
                        return;
                p = find_text(p, end, "\"taskId\":\"", ids->task);
                if (!p)
                        errx(1, "a task without id");
                n_waiting++;
        }
}

static void report_next(Slot *slot)
{
        const TaskIds *ids = &waiting[first_waiting];
        int n = snprintf(slot->body, sizeof(slot->body), UPDATE_BODY, ids->workflow, ids->task);

        first_waiting = (first_waiting + 1) % n_in_flight;
        n_waiting--;
        n_tasks++;
        check(curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long)n));
        check(curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, slot->body));
        slot_start(slot);
}

static void slot_on_answer(Slot *slot, CURLcode result)
{
        long status;

        check(result);
        check(curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status));
        check_multi(curl_multi_remove_handle(multi, slot->easy));
        n_running--;
        if (status == 200)
                take_tasks(slot);
        else if (status != 204)
                errx(1, "status %ld", status);
        if (n_waiting > 0 && slot->reports)
                report_next(slot);
}

static void finish_answers(void)
{
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(multi, &left))) {
                Slot *slot = NULL;
                CURLcode result = message->data.result;

                check(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot));
                slot_on_answer(slot, result);
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
                       "/tasks/poll/batch/%s?workerid=bench:bare:worker&count=%zu&timeout=100",
                       type, n_in_flight);
        poll_url = parse_url(base, rest);
        update_url = parse_url(base, "/tasks/update-v2");
        json_headers = curl_slist_append(NULL, "Content-Type: application/json");
}

/* The first poll is a slot's of its own; then all slots report. */
static void work(Slot *slots, size_t n_slots)
{
        Slot first = { NULL };

        slot_init(&first);
        check(curl_easy_setopt(first.easy, CURLOPT_CURLU, poll_url));
        slot_start(&first);
        run();
        for (size_t i = 0; i < n_slots && n_waiting > 0; i++) {
                check(curl_easy_setopt(slots[i].easy, CURLOPT_CURLU, update_url));
                check(curl_easy_setopt(slots[i].easy, CURLOPT_HTTPHEADER, json_headers));
                slots[i].reports = true;
                report_next(&slots[i]);
        }
        run();
        slot_done(&first);
}

int main(int argc, char *argv[])
{
        size_t n_slots;
        Slot *slots;
        usec_t begin;
        double spent;

        if (argc != 5 || (n_in_flight = strtoul(argv[3], NULL, 10)) < 1 ||
            (n_slots = strtoul(argv[4], NULL, 10)) < 1)
                errx(2, "usage: bare-curl URL TYPE N_IN_FLIGHT CONNECTIONS");
        set_up(argv[1], argv[2], (long)n_slots);
        slots = calloc(n_slots, sizeof(*slots));
        waiting = calloc(n_in_flight, sizeof(*waiting));
        if (!slots || !waiting)
                errx(1, "out of memory");
        for (size_t i = 0; i < n_slots; i++)
                slot_init(&slots[i]);
        begin = clock_monotonic_usec();
        work(slots, n_slots);
        spent = (double)MAX(clock_monotonic_usec() - begin, (usec_t)1);
        printf("{\"tasks\":%zu,\"tasksPerSecond\":%.0f,\"cpuUsecPerTask\":%.2f}\n", n_tasks,
               (double)n_tasks * 1e6 / spent, cpu_usec() / (double)MAX(n_tasks, (size_t)1));
        for (size_t i = 0; i < n_slots; i++)
                slot_done(&slots[i]);
        free(slots);
        free(waiting);
        (void)curl_multi_cleanup(multi);
        curl_url_cleanup(poll_url);
        curl_url_cleanup(update_url);
        curl_slist_free_all(json_headers);
        curl_global_cleanup();
        return 0;
}
