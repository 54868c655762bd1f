#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Cuts configuration text into libconfig's tokens, more strictly than libconfig does: what it would
 * take silently for something else is an error here. Pure; one Lexer per file. */

#include <stdbool.h>
#include "base/slice.h"

typedef enum TokenType {
        TOKEN_END,
        TOKEN_NAME,    /* of a setting */
        TOKEN_BOOLEAN, /* true, false */
        TOKEN_NUMBER,  /* problem is set if libconfig would read another one */
        TOKEN_STRING,  /* text: between the quotes, with escapes */
        TOKEN_INCLUDE, /* text: the file's name */
        TOKEN_MARK,    /* one of = : ; , { } [ ] ( ) */
        TOKEN_WORD,    /* letters, digits and dots that are nothing of these */
        TOKEN_ERROR,   /* problem says why the rest cannot be read; line: where it begins */
} TokenType;

typedef struct Token {
        TokenType type;
        Slice text;
        unsigned line;
        const char *problem; /* static text */
} Token;

typedef struct Lexer {
        Slice text;
        size_t position;
        unsigned line;
        bool ends_in_comment; /* the last line is a comment without an end of line */
} Lexer;

void lexer_init(Lexer *lexer, Slice text);
Token lexer_next(Lexer *lexer);
