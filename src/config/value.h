#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What can be done with the value of one key, whatever its type: set it from text, copy, compare,
 * free and print it. object is the Config, ConfigSource or ConfigPool that row belongs to. */

#include "base/buffer.h"
#include "base/explain.h"
#include "config/schema.h"

/* The value was refused; *ret_message is fresh text that says why. */
#define VALUE_E_INVALID 1
/* VALUE_E_INVALID with the message, or -ENOMEM. */
#define value_refuse(ret_message, ...) explain(VALUE_E_INVALID, (ret_message), __VA_ARGS__)

/* From text as in a file (without quotes), as a default or a command has it. Range and words are
 * checked, what it stands for is not. All types but SCHEMA_ENVIRONMENT and SCHEMA_JSON. The old
 * value is freed, and stays if this fails. */
int value_set_text(const SchemaRow *row, void *object, const char *text, char **ret_message);
/* For SCHEMA_STRINGS and SCHEMA_INTS, entry by entry; both take over what they are given. */
int value_check_word(const SchemaRow *row, const char *word, char **ret_message);
int value_check_number(const SchemaRow *row, int64_t value, char **ret_message);
void value_take_string(const SchemaRow *row, void *object, char *value);
void value_take_strings(const SchemaRow *row, void *object, char **value);
void value_take_ints(const SchemaRow *row, void *object, int *values, size_t n);

void value_clear(const SchemaRow *row, void *object);
int value_copy(const SchemaRow *row, const void *from, void *to);
bool value_equal(const SchemaRow *row, const void *a, const void *b);
/* null if it is not set. Durations, sizes and rates as a file has them: "30s", "1M", "10/s". */
int value_append_json(const SchemaRow *row, const void *object, Buffer *buffer);

static inline void *value_member(const SchemaRow *row, void *object)
{
        return (char *)object + row->offset;
}
static inline const void *value_member_const(const SchemaRow *row, const void *object)
{
        return (const char *)object + row->offset;
}

/* "1 to 1024", "10ms to 1d, or 0", "full, normal"; empty where there is nothing to say. */
#define VALUE_RANGE_MAX 512
const char *value_format_range(const SchemaRow *row, char *buffer);
