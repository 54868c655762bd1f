/* SPDX-License-Identifier: Apache-2.0 */

#include <endian.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/clock.h"
#include "base/log-journal.h"
#include "base/macro.h"

/* Entries under way: the kernel counts them as some kilobytes each, and by default a socket may
 * have too few of those to fill the journal's queue. Best effort: the system has a limit. */
#define SEND_BUFFER_BYTES (8 * 1024 * 1024)

static struct {
        int fd; /* connected, so that poll tells of the other end's queue */
        bool stuck;
        usec_t period_usec; /* when the second began that waits are counted in */
        usec_t waited_usec; /* in it */
} journal = { .fd = -EBADF };

bool journal_is_stuck(void)
{
        return journal.stuck;
}

static void append(char *entry, size_t *size, const void *bytes, size_t n)
{
        if (n > 0)
                memcpy(entry + *size, bytes, n);
        *size += n;
}

/* NAME=VALUE, or the name, the value's size and the value, where it has several lines. */
static int append_field(char *entry, size_t *size, const JournalField *field)
{
        size_t name_size = strlen(field->name);
        uint64_t value_size = htole64(field->value.size);

        if (*size + name_size + sizeof(value_size) + field->value.size + 3 > JOURNAL_ENTRY_MAX)
                return -E2BIG;
        append(entry, size, field->name, name_size);
        if (field->value.size > 0 && memchr(field->value.data, '\n', field->value.size)) {
                append(entry, size, "\n", 1);
                append(entry, size, &value_size, sizeof(value_size));
        } else {
                append(entry, size, "=", 1);
        }
        append(entry, size, field->value.data, field->value.size);
        append(entry, size, "\n", 1);
        return 0;
}

static int journal_connect(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        _cleanup_close_ int fd = -EBADF;
        int size = SEND_BUFFER_BYTES;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        journal.fd = TAKE_FD(fd);
        return 0;
}

/* Whether it is worth another try. */
static bool journal_wait(void)
{
        struct pollfd out = { .fd = journal.fd, .events = POLLOUT };
        usec_t begin = clock_monotonic_usec();
        int n;

        if (journal.stuck)
                return false;
        if (begin - journal.period_usec >= USEC_PER_SEC) {
                journal.period_usec = begin;
                journal.waited_usec = 0;
        }
        if (journal.waited_usec >= JOURNAL_WAIT_USEC)
                return false;
        n = poll(&out, 1, (int)((JOURNAL_WAIT_USEC - journal.waited_usec) / USEC_PER_MSEC) + 1);
        /* Something in any case, so that it comes to an end, with a clock that a test stopped too.
         */
        journal.waited_usec += MAX(clock_monotonic_usec() - begin, USEC_PER_MSEC / 10);
        return n != 0;
}

static int journal_send_entry(const char *entry, size_t size)
{
        bool connected = false;
        int r;

        for (;;) {
                if (journal.fd < 0) {
                        r = journal_connect();
                        if (r < 0)
                                return r;
                        connected = true;
                }
                if (send(journal.fd, entry, size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
                        return 0;
                if (errno == EAGAIN || errno == ENOBUFS) {
                        if (!journal_wait())
                                return -EAGAIN;
                } else if (errno != EINTR) {
                        r = -errno;
                        /* Another journald may listen there by now. */
                        journal.fd = close_fd(journal.fd);
                        if (connected)
                                return r;
                }
        }
}

int journal_send(const JournalField fields[], size_t n_fields)
{
        char entry[JOURNAL_ENTRY_MAX];
        size_t size = 0;
        int r;

        for (size_t i = 0; i < n_fields; i++) {
                r = append_field(entry, &size, &fields[i]);
                if (r < 0)
                        return r;
        }
        r = journal_send_entry(entry, size);
        journal.stuck = r == -EAGAIN;
        return r;
}
