/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include "config/suggest.h"

/* Longer words are not compared: no key comes near it. */
#define WORD_MAX 40

/* Edits (insert, delete, replace, swap neighbours) from a to b, letter case ignored. */
static unsigned distance(const char *a, const char *b)
{
        unsigned rows[3][WORD_MAX + 1];
        unsigned *before = rows[0], *above = rows[1], *row = rows[2];
        size_t length = strlen(b);

        for (size_t j = 0; j <= length; j++)
                above[j] = j;
        for (size_t i = 1; a[i - 1]; i++) {
                row[0] = i;
                for (size_t j = 1; j <= length; j++) {
                        int x = tolower((unsigned char)a[i - 1]);
                        int y = tolower((unsigned char)b[j - 1]);

                        row[j] = MIN(above[j], row[j - 1]) + 1;
                        row[j] = MIN(row[j], above[j - 1] + (x != y));
                        if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                            y == tolower((unsigned char)a[i - 2]))
                                row[j] = MIN(row[j], before[j - 2] + 1);
                }
                unsigned *spare = before;
                before = above;
                above = row;
                row = spare;
        }
        return above[length];
}

/* A beginning of that many letters stands for the word: "mem", "env"; or any part of that many:
 * "timeout". */
#define PREFIX_MIN 3
#define PART_MIN   5

/* How far two words may be apart to be taken for one another: a third of the letters. */
static bool near(const char *word, const char *candidate, unsigned *best)
{
        size_t longest = MAX(strlen(word), strlen(candidate));
        if (longest > WORD_MAX)
                return false;

        const char *part = strstr(candidate, word);
        bool within = part && strlen(word) >= (part == candidate ? PREFIX_MIN : PART_MIN);
        unsigned d = within ? 1 : distance(word, candidate);
        if (d > (longest + 2) / 3 || d >= longest || d >= *best)
                return false;
        *best = d;
        return true;
}

const char *suggest_word(const char *const *names, const char *word)
{
        unsigned best = UINT_MAX;
        const char *found = NULL;

        for (const char *const *name = names; *name; name++)
                if (near(word, *name, &best))
                        found = *name;
        return found;
}

/* Compares key with the first components of every row that lie in the same group. */
static bool suggest_sibling(SchemaScope scope, const char *key, size_t group, char *ret,
                            size_t size)
{
        size_t n;
        const SchemaRow *rows = schema_rows(scope, &n);
        unsigned best = UINT_MAX;

        for (size_t i = 0; i < n; i++) {
                char name[WORD_MAX + 1];
                const char *rest = rows[i].key + group;

                if (strncmp(rows[i].key, key, group) != 0)
                        continue;
                (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(rest, "."), rest);
                if (near(key + group, name, &best))
                        (void)snprintf(ret, size, "%.*s%s", (int)group, key, name);
        }
        return best != UINT_MAX;
}

bool suggest_key(SchemaScope scope, const char *key, char *ret, size_t size)
{
        const char *dot = strrchr(key, '.');
        size_t group = dot ? (size_t)(dot - key) + 1 : 0;
        size_t n;
        const SchemaRow *rows = schema_rows(scope, &n);

        for (size_t i = 0; i < n; i++) {
                const char *last = strrchr(rows[i].key, '.');
                if (streq(last ? last + 1 : rows[i].key, key + group)) {
                        (void)snprintf(ret, size, "%s", rows[i].key);
                        return true;
                }
        }
        return suggest_sibling(scope, key, group, ret, size);
}
