/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include "runner/output.h"

/* A buffer that was grown for a large message gives its memory back above this. */
#define OUTPUT_KEEP ((size_t)256 * 1024)

int output_init(Output *output, int fd)
{
        int r;

        r = pthread_mutex_init(&output->lock, NULL);
        if (r != 0)
                return -r;
        r = pthread_cond_init(&output->room, NULL);
        if (r != 0) {
                (void)pthread_mutex_destroy(&output->lock);
                return -r;
        }
        output->fd = fd;
        output->error = 0;
        output->writing = false;
        output->pending = output->departing = BUFFER_NULL(OUTPUT_MAX);
        return 0;
}

void output_deinit(Output *output)
{
        buffer_deinit(&output->pending);
        buffer_deinit(&output->departing);
        (void)pthread_cond_destroy(&output->room);
        (void)pthread_mutex_destroy(&output->lock);
        output->fd = close_fd(output->fd);
}

/* The other end may have made the descriptor non-blocking. */
static int write_all(int fd, Slice bytes)
{
        while (bytes.size > 0) {
                ssize_t n = write(fd, bytes.data, bytes.size);

                if (n >= 0) {
                        bytes.data += n;
                        bytes.size -= (size_t)n;
                } else if (errno == EAGAIN) {
                        (void)poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
                } else if (errno != EINTR) {
                        return -errno;
                }
        }
        return 0;
}

/* Called with the lock; lets go of it while it writes. */
static void write_pending(Output *output)
{
        Buffer swap;
        int r;

        while (output->pending.size > 0 && output->error == 0) {
                swap = output->pending;
                output->pending = output->departing;
                output->departing = swap;
                (void)pthread_mutex_unlock(&output->lock);

                r = write_all(output->fd, buffer_slice(&output->departing));
                buffer_clear(&output->departing);
                buffer_trim(&output->departing, OUTPUT_KEEP);

                (void)pthread_mutex_lock(&output->lock);
                output->error = r;
                (void)pthread_cond_broadcast(&output->room);
        }
}

int output_write(Output *output, Slice lines)
{
        int r;

        (void)pthread_mutex_lock(&output->lock);
        while (output->writing && output->error == 0 &&
               output->pending.size + lines.size > OUTPUT_MAX)
                (void)pthread_cond_wait(&output->room, &output->lock);
        r = output->error;
        if (r >= 0)
                r = buffer_append_slice(&output->pending, lines);
        if (r >= 0 && !output->writing) {
                output->writing = true;
                write_pending(output);
                output->writing = false;
                r = output->error;
        }
        (void)pthread_mutex_unlock(&output->lock);
        return r;
}
