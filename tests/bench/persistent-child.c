/* SPDX-License-Identifier: Apache-2.0 */

/* A persistent worker that does no work: reads what there is, answers every task in it with one
 * write. It knows the daemon's messages well enough to look for the id only.
 *
 *   persistent-child [stamp]
 *
 * The output is {"n":1}; with stamp it says when the task was there: {"start":MONOTONIC_USEC}. */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_SIZE (1 << 20)

static bool stamps;
static char input[BUFFER_SIZE], output[BUFFER_SIZE];

static char *append(char *end, const char *data, size_t size)
{
        memcpy(end, data, size);
        return end + size;
}

static char *append_stamp(char *end)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return end + sprintf(end, "{\"start\":%lld}}\n",
                             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

static char *answer(char *end, const char *line, size_t size)
{
        static const char key[] = "\"taskId\":\"", before[] = "{\"type\":\"result\",\"taskId\":\"",
                          after[] = "\",\"status\":\"COMPLETED\",\"output\":",
                          one[] = "{\"n\":1}}\n";
        const char *id = memmem(line, size, key, sizeof(key) - 1), *quote;

        if (!id)
                return end;
        id += sizeof(key) - 1;
        quote = memchr(id, '"', (size_t)(line + size - id));
        if (!quote)
                return end;
        end = append(end, before, sizeof(before) - 1);
        end = append(end, id, (size_t)(quote - id));
        end = append(end, after, sizeof(after) - 1);
        return stamps ? append_stamp(end) : append(end, one, sizeof(one) - 1);
}

static int write_all(const char *data, size_t size)
{
        while (size > 0) {
                ssize_t n = write(STDOUT_FILENO, data, size);

                if (n < 0)
                        return 1;
                data += n;
                size -= (size_t)n;
        }
        return 0;
}

int main(int argc, char *argv[])
{
        size_t held = 0;

        stamps = argc > 1 && strcmp(argv[1], "stamp") == 0;
        for (;;) {
                ssize_t n = read(STDIN_FILENO, input + held, sizeof(input) - held);
                char *line = input, *end = output, *newline;

                if (n <= 0)
                        return 0;
                held += (size_t)n;
                while ((newline = memchr(line, '\n', (size_t)(input + held - line)))) {
                        end = answer(end, line, (size_t)(newline - line));
                        line = newline + 1;
                }
                held = (size_t)(input + held - line);
                memmove(input, line, held);
                if (write_all(output, (size_t)(end - output)))
                        return 1;
        }
}
