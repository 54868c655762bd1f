/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/parse.h"
#include "ctl/progress.h"

/* A terminal is updated as often as an eye follows, a log as often as one reads it. */
#define TERMINAL_INTERVAL_USEC (100 * USEC_PER_MSEC)
#define PLAIN_INTERVAL_USEC    (5 * USEC_PER_SEC)
#define BAR_WIDTH              30

void progress_init(Progress *progress)
{
        usec_t now = clock_monotonic_usec();

        *progress = (Progress){
                .started_usec = now,
                .shown_usec = now,
                .terminal = isatty(STDERR_FILENO),
        };
}

static void print_bar(double fraction)
{
        char bar[BAR_WIDTH + 1];
        size_t filled = (size_t)(fraction * BAR_WIDTH);

        memset(bar, '.', BAR_WIDTH);
        memset(bar, '#', filled > BAR_WIDTH ? BAR_WIDTH : filled);
        bar[BAR_WIDTH] = '\0';
        (void)fprintf(stderr, "\r[%s] %3.0f%%  ", bar, fraction * 100);
}

void progress_update(Progress *progress, uint64_t count, uint64_t done, uint64_t total)
{
        usec_t now = clock_monotonic_usec(), spent = now - progress->started_usec;
        usec_t interval = progress->terminal ? TERMINAL_INTERVAL_USEC : PLAIN_INTERVAL_USEC;
        double fraction = total > 0 ? (double)done / (double)total : 0;
        char left[FORMAT_MAX];

        if (now - progress->shown_usec < interval || spent == 0)
                return;
        progress->shown_usec = now;
        if (fraction > 1)
                fraction = 1;
        if (progress->terminal && total > 0)
                print_bar(fraction);
        else if (progress->terminal)
                (void)fputc('\r', stderr);
        else
                (void)fputs("yardctl: ", stderr);
        (void)fprintf(stderr, "%llu tasks, %.0f/s", (unsigned long long)count,
                      (double)count * USEC_PER_SEC / (double)spent);
        if (fraction > 0)
                (void)fprintf(
                        stderr, ", %s left",
                        format_span(left, (usec_t)((double)spent / fraction * (1 - fraction))));
        (void)fputs(progress->terminal ? "\x1b[K" : "\n", stderr);
        progress->visible = progress->terminal;
}

void progress_clear(Progress *progress)
{
        if (progress->visible)
                (void)fputs("\r\x1b[K", stderr);
        progress->visible = false;
}
