/* SPDX-License-Identifier: Apache-2.0 */

/* The keys of the configuration as the manual page has them, from the schema, so that both say the
 * same:
 *
 *     schema-doc --check docs/yardmaster.conf.5.scd      exit 1 if they differ
 *     schema-doc --update docs/yardmaster.conf.5.scd     makes them the same
 *
 * In the page, each scope stands between "; keys of SCOPE" and "; end of keys". Built for the
 * tests, not installed. */

#include <stdio.h>
#include "base/buffer.h"
#include "config/text.h"
#include "config/value.h"

/* Larger than the page will ever be. */
#define PAGE_MAX ((size_t)1024 * 1024)
/* Where lines of text are broken. */
#define LINE_WIDTH 92

static const struct {
        const char *mark;
        SchemaScope scope;
} sections[] = {
        { "; keys of the top level\n", SCHEMA_TOP },
        { "; keys of a source\n", SCHEMA_SOURCE },
        { "; keys of a pool\n", SCHEMA_POOL },
};
static const char end_mark[] = "; end of keys\n";

static const char *change_text(SchemaScope scope, SchemaChange change)
{
        static const char *const texts[] = {
                [SCHEMA_LIVE] = "live",
                [SCHEMA_RESTART] = "restarts workers",
                [SCHEMA_REPLACE] = "replaces the pool",
                [SCHEMA_DAEMON] = "needs a restart of the daemon",
        };
        if (scope == SCHEMA_SOURCE && change == SCHEMA_REPLACE)
                return "replaces the pools on it";
        return texts[change];
}

static const char *handlers_text(unsigned handlers)
{
        if (handlers == SCHEMA_FOR_PER_TASK)
                return "for per-task commands";
        if (handlers == SCHEMA_FOR_PERSISTENT)
                return "for persistent commands";
        if (handlers == SCHEMA_FOR_LIBRARY)
                return "for libraries";
        if (handlers == SCHEMA_FOR_COMMAND)
                return "for commands";
        return "for persistent commands and libraries";
}

/* One paragraph, indented by a tab, broken at blanks. */
static int append_wrapped(Buffer *page, const char *text)
{
        size_t column = LINE_WIDTH;
        int r = 0;

        while (r >= 0 && *text) {
                size_t word = strcspn(text, " ");

                if (column + 1 + word > LINE_WIDTH) {
                        r = buffer_append_string(page, column == LINE_WIDTH ? "\t" : "\n\t");
                        column = 8 + word;
                } else {
                        r = buffer_append_byte(page, ' ');
                        column += 1 + word;
                }
                if (r >= 0)
                        r = buffer_append(page, text, word);
                text += word + (text[word] == ' ');
                if (column == LINE_WIDTH)
                        column--;
        }
        return r < 0 ? r : buffer_append_string(page, "\n");
}

static int append_facts(Buffer *page, SchemaScope scope, const SchemaRow *row)
{
        char range[VALUE_RANGE_MAX];
        int r = buffer_appendf(page, "\t_%s_", schema_type_to_string(row->type));

        if (r >= 0 && value_format_range(row, range)[0])
                r = buffer_appendf(page, "%s %s", row->names ? ":" : ",", range);
        if (r >= 0 && (row->flags & SCHEMA_REQUIRED))
                r = buffer_append_string(page, "; must be set");
        else if (r >= 0 && (row->fallback || row->fallback_text))
                r = buffer_appendf(page, "; default: %s",
                                   row->fallback ? row->fallback : row->fallback_text);
        if (r >= 0 && row->handlers)
                r = buffer_appendf(page, "; %s", handlers_text(row->handlers));
        if (r >= 0 && row->sources)
                r = buffer_appendf(page, "; %s",
                                   row->sources == SCHEMA_ON_QUEUE ? "on a queue"
                                                                   : "on a Conductor server");
        if (r >= 0 && row->variable)
                r = buffer_appendf(page, "; *%s* wins over it", row->variable);
        if (r >= 0 && row->type != SCHEMA_GROUP)
                r = buffer_appendf(page, "; %s", change_text(scope, row->change));
        return r < 0 ? r : buffer_append_string(page, "\n\n");
}

static int append_keys(Buffer *page, SchemaScope scope)
{
        size_t n;
        const SchemaRow *rows = schema_rows(scope, &n);
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++) {
                if (rows[i].flags & SCHEMA_HIDDEN)
                        continue;
                r = buffer_appendf(page, "\n*%s*\n", rows[i].key);
                if (r >= 0)
                        r = append_facts(page, scope, &rows[i]);
                if (r >= 0)
                        r = append_wrapped(page, rows[i].help);
        }
        return r < 0 ? r : buffer_append_string(page, "\n");
}

/* The page with fresh keys between its marks. */
static int renew(const char *old, Buffer *page)
{
        for (size_t i = 0; i < ELEMENTSOF(sections); i++) {
                const char *begin = strstr(old, sections[i].mark);
                const char *end = begin ? strstr(begin, end_mark) : NULL;

                if (!end)
                        return -ENOENT;
                begin += strlen(sections[i].mark);
                int r = buffer_append(page, old, begin - old);
                if (r < 0)
                        return r;
                r = append_keys(page, sections[i].scope);
                if (r < 0)
                        return r;
                old = end;
        }
        return buffer_append_string(page, old);
}

static int write_page(const char *path, Slice page)
{
        FILE *file = fopen(path, "we");

        if (!file)
                return -errno;
        size_t written = fwrite(page.data, 1, page.size, file);
        return fclose(file) == 0 && written == page.size ? 0 : -EIO;
}

int main(int argc, char *argv[])
{
        Buffer page = BUFFER_NULL(PAGE_MAX);
        _cleanup_free_ char *old = NULL;
        size_t size;

        if (argc != 3 || (!streq(argv[1], "--check") && !streq(argv[1], "--update"))) {
                (void)fprintf(stderr, "usage: schema-doc --check|--update PAGE\n");
                return 2;
        }
        int r = text_read(argv[2], PAGE_MAX, &old, &size, NULL);
        if (r >= 0)
                r = renew(old, &page);
        bool same = r >= 0 && slice_equal(buffer_slice(&page), (Slice){ old, size });
        if (r >= 0 && !same && streq(argv[1], "--update")) {
                r = write_page(argv[2], buffer_slice(&page));
                same = true;
        }
        buffer_deinit(&page);
        if (r < 0)
                (void)fprintf(stderr, "%s: %s\n", argv[2], strerror(-r));
        else if (!same)
                (void)fprintf(stderr, "%s is older than the schema: schema-doc --update %s\n",
                              argv[2], argv[2]);
        return r < 0 || !same ? 1 : 0;
}
