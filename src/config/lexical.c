/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <stdio.h>
#include "base/buffer.h"
#include "config/lexer.h"
#include "config/lexical.h"

/* Most of a word that a message shows. */
#define SHOWN_MAX 40

/* What may come next in a group or list. */
typedef enum State {
        EXPECT_NAME,       /* group: a name or the end */
        EXPECT_ASSIGN,     /* group: = or : */
        EXPECT_VALUE,      /* group and list */
        EXPECT_FIRST,      /* list: a value or the end */
        EXPECT_AFTER_TEXT, /* as below, or another text that continues this one */
        EXPECT_AFTER,      /* group: ; or , or a name or the end; list: , or the end */
} State;

/* A bracket that is open; the outermost stands for the file. */
typedef struct Scope {
        char open;    /* '{', '[', '(', or 0 */
        char element; /* '[': kind of the first element, which all must have */
        State state;
        const char *file;
        unsigned line;
        size_t first_name; /* names of this group begin there */
        Slice name;        /* group: of the setting that is being read */
        unsigned index;    /* list: of the element */
} Scope;

typedef struct Name {
        Slice name;
        const char *file;
        unsigned line;
} Name;

typedef struct Frame {
        const char *file;
        Lexer lexer;
} Frame;

typedef struct Check {
        const LexicalHooks *hooks;
        Frame frames[LEXICAL_INCLUDE_MAX + 1];
        size_t n_frames;
        Scope scopes[LEXICAL_DEPTH_MAX + 1];
        size_t n_scopes;
        Name *names;
        size_t n_names;
        unsigned text_line; /* where the last text began that spans lines; 0: none yet */
        bool invalid;
} Check;

static Scope *top(Check *check)
{
        return &check->scopes[check->n_scopes - 1];
}

static const char *current_file(const Check *check)
{
        return check->frames[check->n_frames - 1].file;
}

/* "pools.hash.list[2].name": what is being read now. */
static char *current_path(const Check *check)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        char *path = NULL;
        int r = 0;

        for (size_t i = 0; i < check->n_scopes && r >= 0; i++) {
                const Scope *scope = &check->scopes[i];
                if (scope->open == '[' || scope->open == '(')
                        r = buffer_appendf(&buffer, "[%u]", scope->index);
                else if (scope->name.size > 0)
                        r = buffer_appendf(&buffer, "%s%.*s", buffer.size > 0 ? "." : "",
                                           (int)scope->name.size, scope->name.data);
        }
        if (r >= 0 && buffer.size > 0)
                path = buffer_steal_string(&buffer);
        buffer_deinit(&buffer);
        return path;
}

static void _printf_(4, 5)
        report(Check *check, const char *file, unsigned line, const char *format, ...)
{
        _cleanup_free_ char *path = current_path(check);
        char message[512];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        check->hooks->report(file, line, path, message, check->hooks->userdata);
}

/* Where the text cannot be read on. */
#define refuse(check, line, ...)                                           \
        ({                                                                 \
                report((check), current_file(check), (line), __VA_ARGS__); \
                LEXICAL_E_INVALID;                                         \
        })

static int shown(Slice text)
{
        return (int)MIN(text.size, (size_t)SHOWN_MAX);
}

static int add_name(Check *check, Token token)
{
        Scope *scope = top(check);
        const char *file = current_file(check);

        scope->name = token.text;
        for (size_t i = scope->first_name; i < check->n_names; i++) {
                const Name *name = &check->names[i];
                if (!slice_equal(name->name, token.text))
                        continue;
                report(check, file, token.line, "set twice: first at %s:%u", name->file,
                       name->line);
                check->invalid = true;
                return 0;
        }
        if (check->n_names - scope->first_name >= LEXICAL_NAMES_MAX)
                return refuse(check, token.line, "more than %d settings in one group",
                              LEXICAL_NAMES_MAX);

        Name *names = reallocarray(check->names, check->n_names + 1, sizeof(*names));
        if (!names)
                return -ENOMEM;
        check->names = names;
        names[check->n_names++] = (Name){ token.text, file, token.line };
        return 0;
}

static int push(Check *check, Token token)
{
        char open = token.text.data[0];

        if (check->n_scopes > LEXICAL_DEPTH_MAX)
                return refuse(check, token.line, "nested deeper than %d", LEXICAL_DEPTH_MAX);
        check->scopes[check->n_scopes++] = (Scope){
                .open = open,
                .state = open == '{' ? EXPECT_NAME : EXPECT_FIRST,
                .file = current_file(check),
                .line = token.line,
                .first_name = check->n_names,
        };
        return 0;
}

static int pop(Check *check, Token token)
{
        static const char pairs[] = "{}[]()";
        Scope *scope = top(check);
        char close = token.text.data[0];

        if (!scope->open)
                return refuse(check, token.line, "'%c' closes nothing", close);
        if (strchr(pairs, scope->open)[1] != close)
                return refuse(check, token.line, "'%c' cannot close the '%c' of line %u", close,
                              scope->open, scope->line);
        check->n_names = scope->first_name;
        check->n_scopes--;
        return 0;
}

static const char *describe(Token token, char buffer[SHOWN_MAX + 8])
{
        if (token.type == TOKEN_END)
                return "the end of the file";
        if (token.type == TOKEN_STRING)
                return "text";
        (void)snprintf(buffer, SHOWN_MAX + 8, "'%.*s'", shown(token.text), token.text.data);
        return buffer;
}

/* A missing quote is noticed far behind the place where it is missing. */
static const char *hint(const Check *check, char *buffer, size_t size)
{
        buffer[0] = 0;
        if (check->text_line > 0)
                (void)snprintf(buffer, size,
                               " (the text of line %u goes on over several lines: is "
                               "its closing quote missing?)",
                               check->text_line);
        return buffer;
}

static int unexpected(Check *check, Token token, const char *wanted)
{
        char word[SHOWN_MAX + 8], more[128];
        return refuse(check, token.line, "expected %s, found %s%s", wanted, describe(token, word),
                      hint(check, more, sizeof(more)));
}

static int expect_name(Check *check, Token token)
{
        if (token.type == TOKEN_NAME) {
                int r = add_name(check, token);
                top(check)->state = EXPECT_ASSIGN;
                return r;
        }
        top(check)->name = SLICE_NULL;
        if (token.type == TOKEN_WORD || token.type == TOKEN_NUMBER || token.type == TOKEN_BOOLEAN)
                return refuse(check, token.line,
                              "'%.*s' cannot be a name: a name begins with a letter, and has "
                              "letters, digits, - and _ only%s",
                              shown(token.text), token.text.data,
                              token.text.data[0] == '_'
                                      ? " (a variable: environment = [\"_NAME=value\"])"
                                      : "");
        if (token.type == TOKEN_MARK && strchr("}])", token.text.data[0]))
                return pop(check, token);
        return unexpected(check, token, "a name");
}

static int expect_assign(Check *check, Token token)
{
        if (token.type != TOKEN_MARK || !strchr("=:", token.text.data[0]))
                return unexpected(check, token, "'='");
        top(check)->state = EXPECT_VALUE;
        return 0;
}

/* libconfig's arrays hold scalars of one kind; lists hold anything. */
static int check_element(Check *check, Token token, char kind)
{
        Scope *scope = top(check);

        if (scope->open != '[')
                return 0;
        if (!strchr("nNfbs", kind))
                return refuse(check, token.line,
                              "[ ] holds texts, numbers or switches: write ( ) for groups and "
                              "lists");
        if (scope->element && scope->element != kind)
                return refuse(check, token.line,
                              "[ ] holds values of one kind: write ( ) for others");
        scope->element = kind;
        return 0;
}

static char number_kind(Slice text)
{
        bool hex = text.size > 2 && (text.data[1] == 'x' || text.data[1] == 'X');

        if (text.data[text.size - 1] == 'L')
                return 'N';
        if (!hex && (memchr(text.data, '.', text.size) || memchr(text.data, 'e', text.size) ||
                     memchr(text.data, 'E', text.size)))
                return 'f';
        return 'n';
}

static int expect_value(Check *check, Token token)
{
        char mark = token.type == TOKEN_MARK ? token.text.data[0] : 0;
        int r;

        if (token.type == TOKEN_WORD || token.type == TOKEN_NAME)
                return refuse(check, token.line,
                              "'%.*s' is no value: text needs quotes, a switch is true or false",
                              shown(token.text), token.text.data);
        if (mark ? !strchr("{[(", mark) : token.type == TOKEN_END)
                return unexpected(check, token, "a value");
        r = check_element(check, token,
                          mark                          ? mark
                          : token.type == TOKEN_NUMBER  ? number_kind(token.text)
                          : token.type == TOKEN_BOOLEAN ? 'b'
                                                        : 's');
        if (r != 0)
                return r;
        if (token.problem && token.type == TOKEN_NUMBER)
                report(check, current_file(check), token.line, "%.*s %s", shown(token.text),
                       token.text.data, token.problem);
        else if (token.problem)
                report(check, current_file(check), token.line, "%s", token.problem);
        top(check)->state = token.type == TOKEN_STRING ? EXPECT_AFTER_TEXT : EXPECT_AFTER;
        return mark ? push(check, token) : 0;
}

static int expect_after(Check *check, Token token)
{
        Scope *scope = top(check);
        bool group = scope->open == '{' || !scope->open;
        char mark = token.type == TOKEN_MARK ? token.text.data[0] : 0;

        if (scope->state == EXPECT_AFTER_TEXT && token.type == TOKEN_STRING) {
                if (token.problem)
                        report(check, current_file(check), token.line, "%s", token.problem);
                return 0;
        }
        if (group && mark && strchr(";,", mark)) {
                scope->state = EXPECT_NAME;
                return 0;
        }
        if (!group && mark == ',') {
                scope->index++;
                scope->state = EXPECT_VALUE;
                return 0;
        }
        if (mark && strchr("}])", mark))
                return pop(check, token);
        if (!group)
                return unexpected(check, token, "',' or the end of the list");
        if (token.type == TOKEN_NAME)
                return expect_name(check, token);
        return unexpected(check, token, "';'");
}

static int step(Check *check, Token token)
{
        switch (top(check)->state) {
        case EXPECT_NAME:
                return expect_name(check, token);
        case EXPECT_ASSIGN:
                return expect_assign(check, token);
        case EXPECT_FIRST:
                if (token.type == TOKEN_MARK && strchr("}])", token.text.data[0]))
                        return pop(check, token);
                return expect_value(check, token);
        case EXPECT_VALUE:
                return expect_value(check, token);
        default:
                return expect_after(check, token);
        }
}

/* Makes this text the one that is read now. libconfig would stop at a NUL byte, wherever it is. */
static int push_text(Check *check, const char *file, Slice text)
{
        Frame *frame = &check->frames[check->n_frames++];
        const char *nul = text.size > 0 ? memchr(text.data, 0, text.size) : NULL;
        unsigned line = 1;

        frame->file = file;
        lexer_init(&frame->lexer, text);
        if (!nul)
                return 0;
        for (const char *p = text.data; p < nul; p++)
                line += *p == '\n';
        top(check)->name = SLICE_NULL;
        return refuse(check, line, "the file has a NUL byte");
}

static int enter(Check *check, Token token)
{
        _cleanup_free_ char *name = strndup(token.text.data, token.text.size);
        const char *file;
        Slice text;

        if (!name)
                return -ENOMEM;
        if (check->n_frames > LEXICAL_INCLUDE_MAX)
                return refuse(check, token.line, "files include one another deeper than %d",
                              LEXICAL_INCLUDE_MAX);
        int r = check->hooks->include(current_file(check), token.line, name, &file, &text,
                                      check->hooks->userdata);
        if (r != 0)
                return r < 0 ? r : LEXICAL_E_INVALID;
        return push_text(check, file, text);
}

/* The end of an included file. libconfig fails on a comment at the very end; to the outermost text
 * a newline can be added. */
static int leave(Check *check, Token token)
{
        if (check->frames[check->n_frames - 1].lexer.ends_in_comment) {
                top(check)->name = SLICE_NULL;
                return refuse(check, token.line,
                              "the comment in the last line of an included file needs an end of "
                              "line");
        }
        check->n_frames--;
        return 0;
}

/* The end of the outermost file: everything must be closed. */
static int finish(Check *check, Token token)
{
        Scope *scope = top(check);

        if (scope->state == EXPECT_ASSIGN || scope->state == EXPECT_VALUE)
                return step(check, token);
        if (!scope->open)
                return check->invalid ? LEXICAL_E_INVALID : 0;

        unsigned line = scope->line;
        const char *file = scope->file;
        char open = scope->open;
        check->n_scopes--;
        report(check, file, line, "the '%c' that begins here is never closed", open);
        return LEXICAL_E_INVALID;
}

static int run(Check *check)
{
        for (;;) {
                Lexer *lexer = &check->frames[check->n_frames - 1].lexer;
                Token token = lexer_next(lexer);
                char more[128];
                int r = 0;

                if (token.type == TOKEN_ERROR) {
                        if (top(check)->state != EXPECT_VALUE || check->text_line > 0)
                                top(check)->name = SLICE_NULL;
                        return refuse(check, token.line, "%s%s", token.problem,
                                      hint(check, more, sizeof(more)));
                }
                if (token.type == TOKEN_STRING && lexer->line > token.line)
                        check->text_line = token.line;
                if (token.type == TOKEN_INCLUDE)
                        r = enter(check, token);
                else if (token.type != TOKEN_END)
                        r = step(check, token);
                else if (check->n_frames == 1)
                        return finish(check, token);
                else
                        r = leave(check, token);
                if (r != 0)
                        return r;
        }
}

int lexical_check(const char *file, Slice text, const LexicalHooks *hooks)
{
        Check check = {
                .hooks = hooks,
                .n_scopes = 1,
                .scopes = { { .state = EXPECT_NAME, .file = file } },
        };

        int r = push_text(&check, file, text);
        if (r == 0)
                r = run(&check);
        free(check.names);
        return r;
}
