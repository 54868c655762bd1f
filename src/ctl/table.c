/* SPDX-License-Identifier: Apache-2.0 */

#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include "ctl/table.h"

struct Table {
        struct libscols_table *table;
        struct libscols_line *line;
        int error;
};

int table_new(Table **ret, const Ctl *ctl, const Column *columns, size_t n_columns)
{
        _cleanup_(table_freep) Table *table = NULL;

        table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;
        table->table = scols_new_table();
        if (!table->table)
                return -ENOMEM;
        (void)scols_table_enable_colors(table->table, ctl->color);
        for (size_t i = 0; i < n_columns; i++) {
                int flags = (columns[i].flags & COLUMN_RIGHT ? SCOLS_FL_RIGHT : 0) |
                            (columns[i].flags & COLUMN_CUT ? SCOLS_FL_TRUNC : 0);

                if (!scols_table_new_column(table->table, columns[i].name, 0, flags))
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(table);
        return 0;
}

Table *table_free(Table *table)
{
        if (!table)
                return NULL;
        scols_unref_table(table->table);
        free(table);
        return NULL;
}

void table_row(Table *table)
{
        table->line = scols_table_new_line(table->table, NULL);
        if (!table->line)
                table->error = -ENOMEM;
}

void table_cell(Table *table, size_t column, char *text)
{
        if (!text)
                text = strdup("-");
        if (!text || !table->line || scols_line_refer_data(table->line, column, text) < 0) {
                table->error = -ENOMEM;
                free(text);
        }
}

void table_cellf(Table *table, size_t column, const char *format, ...)
{
        va_list args;
        char *text;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        if (n < 0)
                table->error = -ENOMEM;
        else
                table_cell(table, column, text);
}

void table_mood(Table *table, size_t column, Mood mood)
{
        static const char *const colors[] = {
                [MOOD_GOOD] = "green",
                [MOOD_PLAIN] = NULL,
                [MOOD_WARNING] = "yellow",
                [MOOD_BAD] = "red",
        };
        struct libscols_cell *cell;

        if (!table->line || !colors[mood])
                return;
        cell = scols_line_get_cell(table->line, column);
        if (!cell || scols_cell_set_color(cell, colors[mood]) < 0)
                table->error = -ENOMEM;
}

Mood mood_of(const char *state)
{
        static const struct {
                const char *state;
                Mood mood;
        } moods[] = {
                { "running", MOOD_GOOD },     { "ok", MOOD_GOOD },
                { "ready", MOOD_GOOD },       { "COMPLETED", MOOD_GOOD },
                { "degraded", MOOD_WARNING }, { "backoff", MOOD_WARNING },
                { "paused", MOOD_WARNING },   { "draining", MOOD_WARNING },
                { "starting", MOOD_WARNING }, { "stopping", MOOD_WARNING },
                { "full", MOOD_BAD },         { "stalled", MOOD_BAD },
                { "failing", MOOD_BAD },      { "failed", MOOD_BAD },
                { "FAILED", MOOD_BAD },       { "FAILED_WITH_TERMINAL_ERROR", MOOD_BAD },
                { "TIMED_OUT", MOOD_BAD },    { "CANCELED", MOOD_WARNING },
        };

        for (size_t i = 0; state && i < ELEMENTSOF(moods); i++) {
                if (streq(state, moods[i].state))
                        return moods[i].mood;
        }
        return MOOD_PLAIN;
}

const char *mood_begin(const Ctl *ctl, Mood mood)
{
        static const char *const sequences[] = {
                [MOOD_GOOD] = "\x1b[32m",
                [MOOD_PLAIN] = "",
                [MOOD_WARNING] = "\x1b[33m",
                [MOOD_BAD] = "\x1b[31m",
        };

        return ctl->color ? sequences[mood] : "";
}

const char *mood_end(const Ctl *ctl, Mood mood)
{
        return ctl->color && mood != MOOD_PLAIN ? "\x1b[0m" : "";
}

ExitCode table_print(Table *table, bool headings)
{
        if (table->error < 0)
                return ctl_out_of_memory();
        (void)scols_table_enable_noheadings(table->table, !headings);
        if (!scols_table_is_empty(table->table) && scols_print_table(table->table) < 0)
                return ctl_out_of_memory();
        scols_table_remove_lines(table->table);
        table->line = NULL;
        return EXIT_DONE;
}
