#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The rows of a source's keys; read through schema_rows(). */

#include "config/schema.h"

#define SCHEMA_SOURCE_ROWS 25
extern const SchemaRow schema_source_rows[SCHEMA_SOURCE_ROWS];
