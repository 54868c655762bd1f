/* SPDX-License-Identifier: Apache-2.0 */

/* Who is told of what: the event hub, those who wait for tasks, systemd. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/log.h"
#include "manager/event-hub.h"
#include "manager/notify.h"
#include "manager/waiters.h"
#include "unit.h"

/* Hub */

typedef struct Ear {
        EventListener listener;
        EventHub *hub;
        unsigned n_heard;
        bool leaves;
} Ear;

static void hear(EventListener *listener, const Event *event)
{
        Ear *ear = container_of(listener, Ear, listener);

        ear->n_heard++;
        if (ear->leaves)
                event_hub_remove(ear->hub, listener);
}

START_TEST(test_listeners_hear_what_they_want)
{
        Event failed = { .type = EVENT_TASK_FAILED }, full = { .type = EVENT_QUEUE_FULL };
        Ear one = { { .types = 1u << EVENT_TASK_FAILED, .callback = hear } };
        Ear all = { { .types = EVENT_SET_ALL, .callback = hear } };
        EventSet wanted = 7;
        EventHub hub;

        event_hub_init(&hub, &wanted);
        one.hub = all.hub = &hub;
        ck_assert_uint_eq(wanted, 0);
        event_hub_emit(&hub, &failed);
        event_hub_add(&hub, &one.listener);
        ck_assert_uint_eq(wanted, 1u << EVENT_TASK_FAILED);
        event_hub_add(&hub, &all.listener);
        ck_assert_uint_eq(wanted, EVENT_SET_ALL);
        event_hub_emit(&hub, &failed);
        event_hub_emit(&hub, &full);
        ck_assert_uint_eq(one.n_heard, 1);
        ck_assert_uint_eq(all.n_heard, 2);
        event_hub_remove(&hub, &all.listener);
        event_hub_remove(&hub, &all.listener);
        ck_assert_uint_eq(wanted, 1u << EVENT_TASK_FAILED);
        event_hub_remove(&hub, &one.listener);
        ck_assert_uint_eq(wanted, 0);
}
END_TEST

START_TEST(test_a_listener_may_leave_while_it_hears)
{
        Event event = { .type = EVENT_TASK_FAILED };
        Ear ears[3] = { 0 };
        EventSet wanted;
        EventHub hub;

        event_hub_init(&hub, &wanted);
        for (unsigned i = 0; i < 3; i++) {
                ears[i] = (Ear){ { .types = EVENT_SET_ALL, .callback = hear }, .hub = &hub };
                ears[i].leaves = i == 1;
                event_hub_add(&hub, &ears[i].listener);
        }
        event_hub_emit(&hub, &event);
        event_hub_emit(&hub, &event);
        ck_assert_uint_eq(ears[0].n_heard, 2);
        ck_assert_uint_eq(ears[1].n_heard, 1);
        ck_assert_uint_eq(ears[2].n_heard, 2);
}
END_TEST

/* Waiters */

typedef struct Wait {
        Waiter waiter;
        Waiters *waiters;
        Waiter *removes; /* another one, when it is told */
        unsigned n_told;
} Wait;

static void tell(Waiter *waiter, Source *source)
{
        Wait *wait = container_of(waiter, Wait, waiter);

        wait->n_told++;
        if (wait->removes)
                waiters_remove(wait->waiters, wait->removes);
}

static void make_wait(Wait *wait, Waiters *waiters, unsigned n)
{
        *wait = (Wait){ .waiter.callback = tell, .waiters = waiters };
        (void)snprintf(wait->waiter.id, sizeof(wait->waiter.id), "%036u", n);
        ck_assert_int_eq(waiters_add(waiters, &wait->waiter), 0);
}

START_TEST(test_waiters_are_told_of_their_task_once)
{
        static Wait waits[1000];
        Waiters waiters = WAITERS_NULL;

        waiters_notify(&waiters, NULL, "nobody waits");
        /* each id twice; the table grows meanwhile */
        for (unsigned i = 0; i < 1000; i++)
                make_wait(&waits[i], &waiters, i / 2);
        for (unsigned i = 0; i < 1000; i += 4)
                waiters_remove(&waiters, &waits[i].waiter);
        for (unsigned half = 0; half < 2; half++) {
                for (unsigned i = 0; i < 250; i++)
                        for (unsigned times = 0; times < 2; times++)
                                waiters_notify(&waiters, NULL, waits[500 * half + 2 * i].waiter.id);
                for (unsigned i = 0; i < 1000; i++)
                        ck_assert_uint_eq(waits[i].n_told,
                                          i % 4 == 0 || i >= 500 * (half + 1) ? 0 : 1);
        }
        ck_assert_uint_eq(waiters.n, 0);
        ck_assert_ptr_null(waiters.buckets);
}
END_TEST

START_TEST(test_a_waiter_may_remove_another_of_the_same_task)
{
        Waiters waiters = WAITERS_NULL;
        Wait a, b, c;

        make_wait(&a, &waiters, 1);
        make_wait(&b, &waiters, 1);
        make_wait(&c, &waiters, 2);
        a.removes = &b.waiter;
        waiters_notify(&waiters, NULL, a.waiter.id);
        ck_assert_uint_eq(a.n_told, 1);
        ck_assert_uint_eq(b.n_told, 0);
        ck_assert_uint_eq(waiters.n, 1);
        waiters_deinit(&waiters);
        ck_assert(!list_is_linked(&c.waiter.link));
}
END_TEST

/* Notify */

typedef struct Peer {
        int fd;
        struct sockaddr_un address;
        sd_event *event;
        Notify *notify;
        bool alive;
} Peer;

static bool is_alive(usec_t max_usec, void *userdata)
{
        return ((Peer *)userdata)->alive;
}

static void peer_open(Peer *peer)
{
        *peer = (Peer){ .address.sun_family = AF_UNIX, .alive = true };
        (void)snprintf(peer->address.sun_path, sizeof(peer->address.sun_path),
                       "/tmp/yardmaster-notify-%d", (int)getpid());
        (void)unlink(peer->address.sun_path);
        peer->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_eq(bind(peer->fd, (struct sockaddr *)&peer->address, sizeof(peer->address)),
                         0);
        ck_assert_int_eq(setenv("NOTIFY_SOCKET", peer->address.sun_path, 1), 0);
        ck_assert_int_ge(sd_event_new(&peer->event), 0);
        ck_assert_int_eq(notify_new(&peer->notify, peer->event, is_alive, peer), 0);
}

static void peer_close(Peer *peer)
{
        notify_free(peer->notify);
        sd_event_unref(peer->event);
        close_fd(peer->fd);
        (void)unlink(peer->address.sun_path);
        (void)unsetenv("NOTIFY_SOCKET");
        (void)unsetenv("WATCHDOG_USEC");
}

/* The next message, or "" if there is none. */
static const char *peer_read(Peer *peer)
{
        static char text[2048];
        ssize_t n = recv(peer->fd, text, sizeof(text) - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        return text;
}

START_TEST(test_notify_phases)
{
        const char *text;
        Peer peer;

        peer_open(&peer);
        notify_ready(peer.notify);
        ck_assert_str_eq(peer_read(&peer), "READY=1");
        notify_reloading(peer.notify);
        text = peer_read(&peer);
        ck_assert_int_eq(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
        notify_stopping(peer.notify);
        ck_assert_str_eq(peer_read(&peer), "STOPPING=1");
        notify_extend_timeout(peer.notify, 5000000);
        ck_assert_str_eq(peer_read(&peer), "EXTEND_TIMEOUT_USEC=5000000");
        peer_close(&peer);
}
END_TEST

START_TEST(test_reload_ends_with_ready_on_every_way_out)
{
        Peer peer;

        peer_open(&peer);
        {
                _cleanup_(notify_readyp) Notify *pair = peer.notify;

                notify_reloading(pair);
        }
        (void)peer_read(&peer);
        ck_assert_str_eq(peer_read(&peer), "READY=1");
        peer_close(&peer);
}
END_TEST

START_TEST(test_status_is_told_when_it_changes_and_not_too_often)
{
        Peer peer;

        peer_open(&peer);
        notify_status(peer.notify, "one");
        notify_status(peer.notify, "one");
        notify_status(peer.notify, "two");
        notify_status(peer.notify, "three");
        ck_assert_str_eq(peer_read(&peer), "STATUS=one");
        ck_assert_str_eq(peer_read(&peer), "");
        while (sd_event_run(peer.event, 1000000) == 0)
                ;
        ck_assert_str_eq(peer_read(&peer), "STATUS=three");
        /* said already: no timer runs */
        notify_status(peer.notify, "three");
        ck_assert_int_eq(sd_event_run(peer.event, 200000), 0);
        peer_close(&peer);
}
END_TEST

/* The next message, after the loop had its turn if there is none. */
static const char *peer_wait(Peer *peer)
{
        const char *text = peer_read(peer);

        if (*text)
                return text;
        while (sd_event_run(peer->event, 0) > 0)
                ;
        return peer_read(peer);
}

START_TEST(test_a_peer_that_does_not_read_stops_nobody)
{
        char expected[64];
        unsigned n = 0;
        Peer peer;

        peer_open(&peer);
        for (unsigned i = 1; i <= 60; i++)
                notify_extend_timeout(peer.notify, i);
        for (unsigned i = 1; i <= 61; i++) {
                (void)snprintf(expected, sizeof(expected), "EXTEND_TIMEOUT_USEC=%u", i);
                ck_assert_str_eq(peer_wait(&peer), expected);
                /* there is room now, but it is not this one's turn */
                if (i == 1)
                        notify_extend_timeout(peer.notify, 61);
        }
        /* far too many: some are lost, nothing else */
        for (unsigned i = 0; i < 1000; i++)
                notify_extend_timeout(peer.notify, i);
        while (*peer_wait(&peer))
                n++;
        ck_assert_uint_lt(n, 200);
        ck_assert_uint_ge(n, 64);
        peer_close(&peer);
}
END_TEST

START_TEST(test_watchdog_only_while_everything_turns)
{
        Peer peer;

        log_set_level(LOG_CRIT);
        ck_assert_int_eq(setenv("WATCHDOG_USEC", "2000", 1), 0);
        peer_open(&peer);
        for (unsigned i = 0; i < 3; i++) {
                while (sd_event_run(peer.event, 1000000) == 0)
                        ;
                ck_assert_str_eq(peer_read(&peer), "WATCHDOG=1");
        }
        peer.alive = false;
        for (unsigned i = 0; i < 3; i++) {
                while (sd_event_run(peer.event, 1000000) == 0)
                        ;
                ck_assert_str_eq(peer_read(&peer), "");
        }
        peer_close(&peer);
}
END_TEST

/* What a pass of the loop that came late makes look stuck costs no ping: it is looked at again long
 * before the next one is due. */
START_TEST(test_watchdog_looks_again_soon)
{
        usec_t begun;
        Peer peer;

        log_set_level(LOG_CRIT);
        ck_assert_int_eq(setenv("WATCHDOG_USEC", "1500000", 1), 0);
        peer_open(&peer);
        peer.alive = false;
        while (sd_event_run(peer.event, 1000000) == 0)
                ;
        begun = clock_monotonic_usec();
        ck_assert_str_eq(peer_read(&peer), "");
        peer.alive = true;
        while (sd_event_run(peer.event, 1000000) == 0)
                ;
        ck_assert_str_eq(peer_read(&peer), "WATCHDOG=1");
        ck_assert_uint_lt(clock_monotonic_usec() - begun, 400000);
        peer_close(&peer);
}
END_TEST

/* The next message and the fd that came with it, or -EBADF. */
static int peer_read_fd(Peer *peer, char *text, size_t size)
{
        struct iovec iov = { text, size - 1 };
        char space[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
        struct msghdr message = { .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = space,
                                  .msg_controllen = sizeof(space) };
        ssize_t n = recvmsg(peer->fd, &message, MSG_CMSG_CLOEXEC);
        int fd = -EBADF;

        text[n > 0 ? n : 0] = '\0';
        if (n > 0 && CMSG_FIRSTHDR(&message))
                memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        return fd;
}

static void expect_stored(Peer *peer, int like)
{
        struct stat ours, stored;
        char text[128];
        int fd = peer_read_fd(peer, text, sizeof(text));

        ck_assert_str_eq(text, "FDSTORE=1\nFDNAME=control");
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fstat(fd, &stored), 0);
        ck_assert_int_eq(fstat(like, &ours), 0);
        ck_assert_uint_eq(stored.st_ino, ours.st_ino);
        close_fd(fd);
}

START_TEST(test_an_fd_is_stored_also_when_it_has_to_wait)
{
        int fds[2];
        Peer peer;

        peer_open(&peer);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        notify_forget_fd(peer.notify, "control");
        ck_assert_str_eq(peer_read(&peer), "FDSTOREREMOVE=1\nFDNAME=control");
        ck_assert(notify_store_fd(peer.notify, "control", fds[0]));
        expect_stored(&peer, fds[0]);
        for (unsigned i = 1; i <= 30; i++)
                notify_extend_timeout(peer.notify, i);
        ck_assert(notify_store_fd(peer.notify, "control", fds[0]));
        for (unsigned i = 1; i <= 30; i++)
                ck_assert_int_eq(strncmp(peer_wait(&peer), "EXTEND", 6), 0);
        while (sd_event_run(peer.event, 0) > 0)
                ;
        expect_stored(&peer, fds[0]);
        close_fd(fds[0]);
        close_fd(fds[1]);
        peer_close(&peer);
}
END_TEST

START_TEST(test_without_a_peer_nothing_is_told)
{
        Peer peer = { .alive = true };

        (void)unsetenv("NOTIFY_SOCKET");
        ck_assert_int_ge(sd_event_new(&peer.event), 0);
        ck_assert_int_eq(notify_new(&peer.notify, peer.event, is_alive, &peer), 0);
        notify_ready(peer.notify);
        notify_status(peer.notify, "fine");
        ck_assert(!notify_store_fd(peer.notify, "control", STDIN_FILENO));
        notify_free(peer.notify);
        sd_event_unref(peer.event);
}
END_TEST

UNIT_MAIN("manager-events", test_listeners_hear_what_they_want,
          test_a_listener_may_leave_while_it_hears, test_waiters_are_told_of_their_task_once,
          test_a_waiter_may_remove_another_of_the_same_task, test_notify_phases,
          test_reload_ends_with_ready_on_every_way_out,
          test_status_is_told_when_it_changes_and_not_too_often,
          test_a_peer_that_does_not_read_stops_nobody, test_watchdog_only_while_everything_turns,
          test_watchdog_looks_again_soon, test_an_fd_is_stored_also_when_it_has_to_wait,
          test_without_a_peer_nothing_is_told);
