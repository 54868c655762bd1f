/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "base/slice.h"
#include "base/strv.h"
#include "config/lexical.h"
#include "config/read.h"
#include "config/text.h"
#include "config/tree.h"

/* A configuration file is written by people; a larger one is a mistake. */
#define TREE_FILE_MAX ((size_t)1024 * 1024)
/* Files that one file includes in all. */
#define TREE_INCLUDES_MAX 256

typedef struct TreeReader {
        Tree *tree;
        Findings *findings;
        char *texts[TREE_INCLUDES_MAX + 1]; /* the file's own and the included ones */
        size_t n_texts;
} TreeReader;

static ConfigOrigin place_of(TreeReader *reader, const char *file, unsigned line)
{
        ConfigOrigin at = { .kind = ORIGIN_FILE, .line = line };
        int r = config_files_add(reader->findings->files, file, &at.file);

        if (r < 0)
                reader->findings->error = r;
        return at;
}

static void on_report(const char *file, unsigned line, const char *path, const char *message,
                      void *userdata)
{
        TreeReader *reader = userdata;
        ConfigOrigin at = place_of(reader, file, line);

        findings_add(reader->findings, FINDING_LEXICAL, at, path, "%s", message);
}

static int keep_text(TreeReader *reader, const char *file, Slice *ret)
{
        char *text;
        size_t size;

        int r = text_read(file, TREE_FILE_MAX, &text, &size, NULL);
        if (r < 0)
                return r;
        reader->texts[reader->n_texts++] = text;
        *ret = (Slice){ text, size };
        return 0;
}

static int on_include(const char *file, unsigned line, const char *name, const char **ret_file,
                      Slice *ret_text, void *userdata)
{
        TreeReader *reader = userdata;
        ConfigOrigin at = place_of(reader, file, line);
        _cleanup_free_ char *path = NULL;
        int r;

        if (name[0] == '/') {
                findings_add(reader->findings, FINDING_LEXICAL, at, NULL,
                             "@include takes a path relative to the folder of %s",
                             reader->tree->file);
                return LEXICAL_E_INVALID;
        }
        if (reader->n_texts > TREE_INCLUDES_MAX) {
                findings_add(reader->findings, FINDING_LEXICAL, at, NULL,
                             "more than %d files included", TREE_INCLUDES_MAX);
                return LEXICAL_E_INVALID;
        }
        r = read_beside(reader->tree->file, name, &path);
        if (r < 0)
                return r;
        r = keep_text(reader, path, ret_text);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                findings_add(reader->findings, FINDING_LEXICAL, at, NULL, "cannot include %s: %s",
                             path, text_strerror(r));
                return LEXICAL_E_INVALID;
        }
        at = place_of(reader, path, 0);
        *ret_file = reader->findings->files->paths[at.file];
        return reader->findings->error;
}

/* libconfig's own reading, after which the tree can be walked. It fails on a comment at the very
 * end. */
static int parse(TreeReader *reader, Slice source)
{
        Tree *tree = reader->tree;
        _cleanup_free_ char *folder = NULL, *text = NULL;
        int r = read_beside(tree->file, ".", &folder);

        if (r < 0)
                return r;
        if (asprintf(&text, "%s\n", source.data) < 0) {
                text = NULL;
                return -ENOMEM;
        }
        config_set_include_dir(&tree->config, folder);
        tree->valid = config_read_string(&tree->config, text) == CONFIG_TRUE;
        if (!tree->valid) {
                const char *included = config_error_file(&tree->config);
                ConfigOrigin at =
                        place_of(reader, included ?: tree->file, config_error_line(&tree->config));
                findings_add(reader->findings, FINDING_LEXICAL, at, NULL, "%s",
                             config_error_text(&tree->config));
        }
        return 0;
}

int tree_read(Tree *tree, const char *file, Findings *findings)
{
        TreeReader reader = { .tree = tree, .findings = findings };
        const LexicalHooks hooks = { on_report, on_include, &reader };
        Slice text;

        *tree = (Tree){ .file = strdup(file) };
        config_init(&tree->config);
        if (!tree->file)
                return -ENOMEM;

        ConfigOrigin at = place_of(&reader, file, 0);
        int r = keep_text(&reader, file, &text);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                findings_add(findings, FINDING_ERROR, at, NULL, "cannot read it: %s%s",
                             text_strerror(r),
                             r == -EACCES ? "; the daemon's user has to be able to" : "");
                return 0;
        }
        r = lexical_check(findings->files->paths[at.file], text, &hooks);
        if (r == 0)
                r = parse(&reader, text);
        for (size_t i = 0; i < reader.n_texts; i++)
                free(reader.texts[i]);
        return MIN(r, 0);
}

void tree_deinit(Tree *tree)
{
        config_destroy(&tree->config);
        free(tree->file);
        *tree = (Tree){ 0 };
}
