#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One row per key of the configuration: the only place that says what a key is called, what it
 * takes, its range, its default, whether it changes live, and what it means. Loading, the defaults,
 * comparing two configurations, `yardctl set`, the dump and the manual page all walk this table;
 * none of them names a key of its own where a row can say it. */

#include <stddef.h>
#include <stdint.h>
#include "config/config.h"

typedef enum SchemaScope {
        SCHEMA_TOP,    /* members of Config */
        SCHEMA_SOURCE, /* members of ConfigSource */
        SCHEMA_POOL,   /* members of ConfigPool */
        _SCHEMA_SCOPE_MAX,
} SchemaScope;

/* The comment names the C type of the member at offset. */
typedef enum SchemaType {
        SCHEMA_STRING,      /* char * */
        SCHEMA_STRINGS,     /* char **; one string counts as a list of one */
        SCHEMA_UINT,        /* unsigned */
        SCHEMA_UINT64,      /* uint64_t */
        SCHEMA_INT,         /* int */
        SCHEMA_BOOL,        /* bool */
        SCHEMA_DURATION,    /* usec_t */
        SCHEMA_SIZE,        /* uint64_t; UINT64_MAX: infinity */
        SCHEMA_PERCENT,     /* unsigned */
        SCHEMA_RATE,        /* uint64_t count, and usec_t interval right behind it */
        SCHEMA_ENUM,        /* int (any enum), an index into names */
        SCHEMA_INTS,        /* int *, and size_t right behind it */
        SCHEMA_ENVIRONMENT, /* char ** of NAME=value */
        SCHEMA_JSON,        /* char *: a group, as JSON text */
        SCHEMA_GROUP,       /* no member: sources, pools, defaults */
        _SCHEMA_TYPE_MAX,
} SchemaType;

/* What a text stands for beyond its characters: how it is resolved and checked when it is read from
 * a file. */
typedef enum SchemaRole {
        SCHEMA_PLAIN,
        SCHEMA_PATH,        /* made absolute by the folder of the file it stands in */
        SCHEMA_SOCKET,      /* such a path, short enough for a socket address */
        SCHEMA_DIRECTORY,   /* such a path, must be a directory */
        SCHEMA_PROGRAM,     /* first of a list: PATH look-up, must be executable */
        SCHEMA_LIBRARY,     /* look-up among the handlers, must be a shared object */
        SCHEMA_ENV_FILE,    /* such a path, KEY=value lines */
        SCHEMA_UNIX_GROUP,  /* must exist */
        SCHEMA_TASK_TYPES,  /* printable, of bounded length */
        SCHEMA_WORD,        /* printable */
        SCHEMA_URL,         /* http or https, with a host, without a slash at the end */
        SCHEMA_PROXY,       /* URL of a proxy */
        SCHEMA_HEADERS,     /* "Name: value", none that the daemon sets itself */
        SCHEMA_PEM,         /* such a path, of a file with certificates or a key */
        SCHEMA_CREDENTIAL,  /* name of a file in $CREDENTIALS_DIRECTORY */
        SCHEMA_SOURCE_NAME, /* must be defined; checked when everything is read */
        _SCHEMA_ROLE_MAX,
} SchemaRole;

/* What a difference in this key means for a running daemon. */
typedef enum SchemaChange {
        SCHEMA_LIVE,    /* taken over in place */
        SCHEMA_RESTART, /* the pool's workers are replaced one by one, after their task */
        SCHEMA_REPLACE, /* as if the pool were removed and added */
        SCHEMA_DAEMON,  /* only when the daemon is started again */
        _SCHEMA_CHANGE_MAX,
} SchemaChange;

enum {
        SCHEMA_REQUIRED = 1 << 0, /* no default: must be set */
        SCHEMA_INFINITY = 1 << 1, /* DURATION, SIZE: "infinity" is allowed */
        SCHEMA_ZERO = 1 << 2,     /* 0 is allowed beside the range, and switches the thing off */
        SCHEMA_SECRET = 1 << 3,   /* the file it names must not be readable by others */
        SCHEMA_NOT_EMPTY = 1 << 4,
        SCHEMA_HIDDEN = 1 << 5, /* a secret: in no file of the configuration and in no dump */
};

/* Handlers that a key means something for. */
enum {
        SCHEMA_FOR_PER_TASK = 1 << HANDLER_PER_TASK,
        SCHEMA_FOR_PERSISTENT = 1 << HANDLER_PERSISTENT,
        SCHEMA_FOR_LIBRARY = 1 << HANDLER_LIBRARY,
        SCHEMA_FOR_COMMAND = SCHEMA_FOR_PER_TASK | SCHEMA_FOR_PERSISTENT,
        SCHEMA_FOR_LASTING = SCHEMA_FOR_PERSISTENT | SCHEMA_FOR_LIBRARY,
};

/* Sources that a key means something for, its own or that of its pool. */
enum {
        SCHEMA_ON_QUEUE = 1 << SOURCE_QUEUE,
        SCHEMA_ON_CONDUCTOR = 1 << SOURCE_CONDUCTOR,
};

typedef struct SchemaRow {
        const char *key; /* dotted, from the object on */
        SchemaType type;
        SchemaRole role;
        SchemaChange change;
        unsigned flags;
        unsigned handlers; /* SCHEMA_FOR_*; 0: all */
        unsigned sources;  /* SCHEMA_ON_*; 0: all */
        size_t offset;
        int64_t minimum; /* of a number, or of each in a list; a text's length has its own bounds */
        uint64_t maximum;
        const char *fallback;      /* as written in a file; NULL: not set, or see fallback_text */
        const char *const *names;  /* ENUM, or the words allowed in STRINGS; NULL-terminated */
        const char *fallback_text; /* for people, where fallback cannot say it */
        const char *variable;      /* of the daemon's environment: its value wins over the file's */
        const char *help;
} SchemaRow;

const SchemaRow *schema_rows(SchemaScope scope, size_t *ret_n);
const SchemaRow *schema_find(SchemaScope scope, const char *key);
/* Whether keys begin with this one and a dot: it is a group of keys, no key itself. */
bool schema_is_group(SchemaScope scope, const char *key);
/* "a number", "a duration", … */
const char *schema_type_to_string(SchemaType type);
const char *schema_change_to_string(SchemaChange change);
const char *schema_source_type_to_string(SourceType type);

/* Bounds that the table and its readers share. */
#define CONFIG_NAME_MAX      64 /* of pools and sources: they become parts of socket and log names */
#define CONFIG_POOLS_MAX     1024
#define CONFIG_SOURCES_MAX   64
#define CONFIG_LIST_MAX      1024  /* entries of one list */
#define CONFIG_TEXT_MAX      65536 /* bytes of one text: half of what exec takes as one argument */
#define CONFIG_TASK_TYPE_MAX 256
