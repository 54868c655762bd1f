#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A table for people, on libsmartcols. A failure sticks and is reported by table_print. */

#include "ctl/ctl.h"

typedef enum ColumnFlags {
        COLUMN_RIGHT = 1 << 0, /* numbers */
        COLUMN_CUT = 1 << 1,   /* may be cut where the terminal is narrow */
} ColumnFlags;

typedef struct Column {
        const char *name;
        unsigned flags;
} Column;

typedef struct Table Table;

int table_new(Table **ret, const Ctl *ctl, const Column *columns, size_t n_columns);
Table *table_free(Table *table);
DEFINE_CLEANUP(Table *, table_free);

void table_row(Table *table);
/* Of the row added last; text is fresh and consumed, NULL shows as "-". */
void table_cell(Table *table, size_t column, char *text);
void table_cellf(Table *table, size_t column, const char *format, ...) _printf_(3, 4);
/* How bad the cell's content is: red, yellow or nothing. */
typedef enum Mood {
        MOOD_GOOD,
        MOOD_PLAIN,
        MOOD_WARNING,
        MOOD_BAD,
} Mood;
void table_mood(Table *table, size_t column, Mood mood);
/* What a state or status word means. */
Mood mood_of(const char *state);
/* The escape sequence that begins it, and mood_end; empty without colours. */
const char *mood_begin(const Ctl *ctl, Mood mood);
const char *mood_end(const Ctl *ctl, Mood mood);

/* headings: with the names of the columns. Prints and empties. */
ExitCode table_print(Table *table, bool headings);
