/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <strings.h>
#include "base/macro.h"
#include "config/lexer.h"

/* No number of that many characters fits anything. */
#define NUMBER_MAX 320

void lexer_init(Lexer *lexer, Slice text)
{
        *lexer = (Lexer){ .text = text, .line = 1 };
}

static int peek(const Lexer *lexer, size_t ahead)
{
        size_t i = lexer->position + ahead;
        return i < lexer->text.size ? (unsigned char)lexer->text.data[i] : -1;
}

static void skip(Lexer *lexer, size_t n)
{
        for (; n > 0 && lexer->position < lexer->text.size; n--)
                if (lexer->text.data[lexer->position++] == '\n')
                        lexer->line++;
}

static Token make(const Lexer *lexer, TokenType type, size_t start, size_t end)
{
        return (Token){ .type = type,
                        .text = { lexer->text.data + start, end - start },
                        .line = lexer->line };
}

static Token fail(const Lexer *lexer, unsigned line, const char *problem)
{
        return (Token){ .type = TOKEN_ERROR, .line = line, .problem = problem };
}

static bool skip_block_comment(Lexer *lexer)
{
        skip(lexer, 2);
        while (peek(lexer, 0) >= 0) {
                if (peek(lexer, 0) == '*' && peek(lexer, 1) == '/') {
                        skip(lexer, 2);
                        return true;
                }
                skip(lexer, 1);
        }
        return false;
}

/* White space and comments; false with the line of a comment that does not end. */
static bool skip_blank(Lexer *lexer, unsigned *ret_line)
{
        for (;;) {
                int c = peek(lexer, 0);

                if (c > 0 && strchr(" \t\r\n\f", c)) {
                        skip(lexer, 1);
                } else if (c == '#' || (c == '/' && peek(lexer, 1) == '/')) {
                        while (peek(lexer, 0) >= 0 && peek(lexer, 0) != '\n')
                                skip(lexer, 1);
                        lexer->ends_in_comment = peek(lexer, 0) < 0;
                } else if (c == '/' && peek(lexer, 1) == '*') {
                        *ret_line = lexer->line;
                        if (!skip_block_comment(lexer))
                                return false;
                } else {
                        return true;
                }
        }
}

/* From an opening quote. */
static Token read_string(Lexer *lexer)
{
        unsigned line = lexer->line;
        const char *problem = NULL;

        skip(lexer, 1);
        size_t start = lexer->position;
        for (int c; (c = peek(lexer, 0)) != '"'; skip(lexer, 1)) {
                if (c < 0)
                        return fail(lexer, line, "the text that begins here has no closing quote");
                if (c != '\\')
                        continue;
                if (peek(lexer, 1) == 'x' && peek(lexer, 2) == '0' && peek(lexer, 3) == '0')
                        problem = "\\x00 would end the text";
                skip(lexer, 1);
        }
        Token token = make(lexer, TOKEN_STRING, start, lexer->position);
        token.line = line;
        token.problem = problem;
        skip(lexer, 1);
        return token;
}

/* libconfig knows the directive at the beginning of a line only. */
static bool at_line_start(const Lexer *lexer)
{
        size_t i = lexer->position;

        while (i > 0 && (lexer->text.data[i - 1] == ' ' || lexer->text.data[i - 1] == '\t'))
                i--;
        return i == 0 || lexer->text.data[i - 1] == '\n';
}

static Token read_include(Lexer *lexer)
{
        static const char word[] = "@include";
        size_t n = sizeof(word) - 1;

        if (lexer->text.size - lexer->position < n ||
            memcmp(lexer->text.data + lexer->position, word, n) != 0)
                return fail(lexer, lexer->line, "unexpected character '@'");
        if (!at_line_start(lexer))
                return fail(lexer, lexer->line, "@include must begin its line");

        size_t quote = n;
        while (peek(lexer, quote) == ' ' || peek(lexer, quote) == '\t')
                quote++;
        size_t end = quote + 1;
        while (peek(lexer, end) >= 0 && !strchr("\"\\\n", peek(lexer, end)))
                end++;
        if (quote == n || peek(lexer, quote) != '"' || peek(lexer, end) != '"')
                return fail(lexer, lexer->line, "expected @include \"FILE\"");

        Token token =
                make(lexer, TOKEN_INCLUDE, lexer->position + quote + 1, lexer->position + end);
        skip(lexer, end + 1);
        return token;
}

static bool is_name(Slice word)
{
        if (!isalpha((unsigned char)word.data[0]) && word.data[0] != '*')
                return false;
        for (size_t i = 1; i < word.size; i++)
                if (!isalnum((unsigned char)word.data[i]) && !strchr("-_*", word.data[i]))
                        return false;
        return true;
}

static bool is_boolean(Slice word)
{
        return (word.size == 4 && strncasecmp(word.data, "true", 4) == 0) ||
               (word.size == 5 && strncasecmp(word.data, "false", 5) == 0);
}

static size_t count_digits(const char *p)
{
        size_t n = 0;

        while (isdigit((unsigned char)p[n]))
                n++;
        return n;
}

/* Whether what follows the digits of a whole number ends it; *ret_wide: with L. */
static bool ends_integer(const char *p, bool *ret_wide)
{
        *ret_wide = *p == 'L';
        return streq(p, "") || streq(p, "L") || streq(p, "LL");
}

static const char *check_integer(const char *text, bool wide)
{
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        if (errno == ERANGE)
                return "does not fit in 64 bits";
        if (!wide && (value < INT32_MIN || value > INT32_MAX))
                return "does not fit in 32 bits: put an L behind it";
        return NULL;
}

static const char *check_hex(const char *text, bool wide)
{
        errno = 0;
        unsigned long long value = strtoull(text, NULL, 16);
        if (errno == ERANGE || value > INT64_MAX)
                return "does not fit in 64 bits";
        if (!wide && value > INT32_MAX)
                return "does not fit in 32 bits: put an L behind it";
        return NULL;
}

/* Decimal fraction or exponent, or both, as libconfig has them. */
static bool is_float(const char *p)
{
        size_t digits = count_digits(p);
        bool fraction = p[digits] == '.';

        p += digits;
        if (fraction) {
                size_t n = count_digits(p + 1);
                digits += n;
                p += 1 + n;
        }
        if (digits == 0)
                return false;
        if (*p != 'e' && *p != 'E')
                return fraction && !*p;
        p++;
        p += *p == '+' || *p == '-';
        size_t exponent = count_digits(p);
        return exponent > 0 && !p[exponent];
}

/* Whether word is a number; *ret_problem if libconfig would read another one. */
static bool is_number(Slice word, const char **ret_problem)
{
        char text[NUMBER_MAX + 1];
        bool wide;

        if (word.size > NUMBER_MAX)
                return false;
        memcpy(text, word.data, word.size);
        text[word.size] = 0;

        const char *p = text + (text[0] == '-' || text[0] == '+');
        size_t digits = count_digits(p);
        if (digits > 0 && ends_integer(p + digits, &wide)) {
                *ret_problem = check_integer(text, wide);
                return true;
        }
        if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
                digits = strspn(text + 2, "0123456789abcdefABCDEF");
                if (digits > 0 && ends_integer(text + 2 + digits, &wide)) {
                        *ret_problem = check_hex(text, wide);
                        return true;
                }
        }
        if (!is_float(p))
                return false;
        *ret_problem = isfinite(strtod(text, NULL)) ? NULL : "is too large";
        return true;
}

static Token read_word(Lexer *lexer)
{
        size_t start = lexer->position;
        int c;

        while ((c = peek(lexer, 0)) >= 0 && (isalnum(c) || strchr("_*.+-", c)))
                skip(lexer, 1);

        Token token = make(lexer, TOKEN_WORD, start, lexer->position);
        if (is_boolean(token.text))
                token.type = TOKEN_BOOLEAN;
        else if (is_name(token.text))
                token.type = TOKEN_NAME;
        else if (is_number(token.text, &token.problem))
                token.type = TOKEN_NUMBER;
        return token;
}

Token lexer_next(Lexer *lexer)
{
        unsigned line;

        if (!skip_blank(lexer, &line))
                return fail(lexer, line, "the comment that begins here has no end");

        int c = peek(lexer, 0);
        if (c < 0)
                return make(lexer, TOKEN_END, lexer->position, lexer->position);
        if (c == '"')
                return read_string(lexer);
        if (c == '@')
                return read_include(lexer);
        if (strchr("=:;,{}[]()", c)) {
                Token token = make(lexer, TOKEN_MARK, lexer->position, lexer->position + 1);
                skip(lexer, 1);
                return token;
        }
        if (isalnum(c) || strchr("_*.+-", c))
                return read_word(lexer);
        if (c == '\'')
                return fail(lexer, lexer->line, "text needs double quotes");
        return fail(lexer, lexer->line,
                    c >= 0x80 ? "a character outside ASCII stands outside of quotes"
                              : "unexpected character");
}
