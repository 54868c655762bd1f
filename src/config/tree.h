#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One configuration file with what it includes, checked by ours and read by libconfig. */

#include <libconfig.h>
#include "config/findings.h"

typedef struct Tree {
        char *file;      /* as in messages */
        config_t config; /* initialised always */
        bool valid;      /* the file was read without errors of syntax */
} Tree;

/* Errors go into the findings. -errno only if memory or the number of files runs out; the tree must
 * be deinitialised in any case. */
int tree_read(Tree *tree, const char *file, Findings *findings);
void tree_deinit(Tree *tree);
