#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The rows of a pool's keys, by far the most; read through schema_rows(). */

#include "config/schema.h"

#define SCHEMA_POOL_ROWS 47
extern const SchemaRow schema_pool_rows[SCHEMA_POOL_ROWS];
