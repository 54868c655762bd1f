/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include "runner/output.h"
#include "unit.h"

#define N_WRITERS 4
#define N_LINES   5000

typedef struct Writer {
        Output *output;
        pthread_t thread;
        unsigned index;
} Writer;

static void *write_lines(void *userdata)
{
        Writer *writer = userdata;

        for (unsigned i = 0; i < N_LINES; i++) {
                char line[64];
                int n = snprintf(line, sizeof(line), "%u %u\n", writer->index, i);

                if (output_write(writer->output, (Slice){ line, (size_t)n }) < 0)
                        return writer;
        }
        return NULL;
}

static void start_writers(Writer *writers, Output *output)
{
        for (unsigned i = 0; i < N_WRITERS; i++) {
                writers[i] = (Writer){ .output = output, .index = i };
                ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, write_lines, &writers[i]),
                                 0);
        }
}

/* A small non-blocking pipe: writes are cut short and refused, lines stay whole and in order. */
START_TEST(test_threads)
{
        Writer writers[N_WRITERS];
        unsigned next[N_WRITERS] = {};
        Output output;
        FILE *lines;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ck_assert_int_ge(fcntl(fds[1], F_SETPIPE_SZ, 4096), 0);
        ck_assert_int_ge(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
        ck_assert_int_eq(output_init(&output, fds[1]), 0);
        start_writers(writers, &output);
        lines = fdopen(fds[0], "r");
        for (unsigned n = 0; n < N_WRITERS * N_LINES; n++) {
                unsigned index, i;
                char line[64];

                ck_assert_ptr_nonnull(fgets(line, sizeof(line), lines));
                ck_assert_int_eq(sscanf(line, "%u %u\n", &index, &i), 2);
                ck_assert_uint_lt(index, N_WRITERS);
                ck_assert_uint_eq(i, next[index]);
                next[index]++;
        }
        for (unsigned i = 0; i < N_WRITERS; i++) {
                void *failed;

                ck_assert_int_eq(pthread_join(writers[i].thread, &failed), 0);
                ck_assert_ptr_null(failed);
        }
        output_deinit(&output);
        (void)fclose(lines);
}
END_TEST

static void *write_block(void *userdata)
{
        _cleanup_free_ char *block = malloc(OUTPUT_MAX);

        if (!block)
                return userdata;
        memset(block, 'x', OUTPUT_MAX);
        block[OUTPUT_MAX - 1] = '\n';
        return output_write(userdata, (Slice){ block, OUTPUT_MAX }) < 0 ? userdata : NULL;
}

/* Of three, one is written, one waits in memory, and one waits for that to go. */
START_TEST(test_room)
{
        _cleanup_free_ char *part = malloc(1024 * 1024);
        pthread_t threads[3];
        Output output;
        size_t size = 0;
        int fds[2];

        ck_assert_ptr_nonnull(part);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ck_assert_int_eq(output_init(&output, fds[1]), 0);
        for (unsigned i = 0; i < ELEMENTSOF(threads); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, write_block, &output), 0);
        while (size < ELEMENTSOF(threads) * OUTPUT_MAX) {
                ssize_t n = read(fds[0], part, 1024 * 1024);

                ck_assert_int_gt(n, 0);
                size += (size_t)n;
        }
        for (unsigned i = 0; i < ELEMENTSOF(threads); i++) {
                void *failed;

                ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
                ck_assert_ptr_null(failed);
        }
        output_deinit(&output);
        (void)close(fds[0]);
}
END_TEST

START_TEST(test_no_reader)
{
        Output output;
        int fds[2];

        (void)signal(SIGPIPE, SIG_IGN);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ck_assert_int_eq(output_init(&output, fds[1]), 0);
        (void)close(fds[0]);
        ck_assert_int_eq(output_write(&output, SLICE_LITERAL("a\n")), -EPIPE);
        ck_assert_int_eq(output_write(&output, SLICE_LITERAL("b\n")), -EPIPE);
        output_deinit(&output);
}
END_TEST

UNIT_MAIN("runner-output", test_threads, test_room, test_no_reader);
