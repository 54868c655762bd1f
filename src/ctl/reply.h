#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Members of a reply, as values and as people read them. What is absent, null or of another type
 * reads as the value that stands for nothing: a daemon of another version must not stop us. Text
 * comes with its control characters replaced, so that no handler writes to a terminal through us.
 */

#include "base/clock.h"
#include "base/json.h"

/* Fresh; NULL if there is none. */
char *member_text(Slice object, const char *key);
char *value_text(Slice value);
/* Any member as the JSON that it is. */
char *member_json(Slice object, const char *key);
int64_t member_integer(Slice object, const char *key);
double member_number(Slice object, const char *key);
bool member_true(Slice object, const char *key);
bool member_is_set(Slice object, const char *key);
/* An array to walk; an empty one if there is none. */
Slice member_array(Slice object, const char *key);
Slice member_object(Slice object, const char *key);
size_t array_length(Slice array);

/* Fresh texts for people; NULL if out of memory or if there is nothing to show. */
char *member_span(Slice object, const char *key);  /* microseconds → "3m 20s"; 0: NULL */
char *member_age(Slice object, const char *key);   /* the same; "now" under a second */
char *member_ago(Slice object, const char *key);   /* epoch milliseconds → "3m ago" */
char *member_time(Slice object, const char *key);  /* epoch milliseconds → local time, and ago */
char *member_bytes(Slice object, const char *key); /* "12.3M" */
char *member_count(Slice object, const char *key); /* "12345" */
/* "thumbnail, resize" of an array of strings. */
char *member_list(Slice object, const char *key);
/* {"percent","stage","message"} → "40% resize: 3 of 7" */
char *member_progress(Slice object, const char *key);

char *span_text(usec_t usec);
char *bytes_text(uint64_t bytes);
