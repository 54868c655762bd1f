/* SPDX-License-Identifier: Apache-2.0 */

#include <dirent.h>
#include <stdio.h>
#include "base/strv.h"
#include "config/check-source.h"
#include "config/check.h"
#include "config/object.h"
#include "config/place.h"
#include "config/pool-environment.h"
#include "config/read.h"
#include "config/resolve.h"
#include "config/tree.h"

/* Files in conf.d. */
#define CONF_D_MAX 1024

typedef struct Load {
        Findings findings;
        ConfigFiles *files;
        Tree *trees;
        size_t n_trees;
        Config *config;
        ConfigPool *prototype; /* what defaults make of a pool */
        bool complete;         /* no file was left out for its errors */
        bool elsewhere;        /* not with the daemon's environment */
} Load;

static void load_deinit(Load *load)
{
        for (size_t i = 0; i < load->n_trees; i++)
                tree_deinit(&load->trees[i]);
        free(load->trees);
        (void)config_unref(load->config);
        (void)config_pool_unref(load->prototype);
        findings_deinit(&load->findings);
        (void)config_files_unref(load->files);
}

static int origins_for(Load *load, SchemaScope scope, ConfigOrigins **ret)
{
        size_t n;
        (void)schema_rows(scope, &n);
        return config_origins_new(load->files, n, ret);
}

static int load_init(Load *load, const char *path)
{
        int r = config_files_new(&load->files);
        if (r < 0)
                return r;
        load->findings.files = load->files;
        load->complete = true;

        load->config = calloc(1, sizeof(*load->config));
        if (!load->config)
                return -ENOMEM;
        load->config->n_ref = 1;
        load->config->path = strdup(path);
        if (!load->config->path)
                return -ENOMEM;
        r = origins_for(load, SCHEMA_TOP, &load->config->origins);
        if (r < 0)
                return r;
        r = object_set_defaults(SCHEMA_TOP, load->config);
        if (r < 0)
                return r;
        r = config_pool_make("", &load->prototype);
        if (r < 0)
                return r;
        return origins_for(load, SCHEMA_POOL, &load->prototype->origins);
}

/* A file as a whole. */
static void report_file(Load *load, const char *file, const char *path, const char *what)
{
        ConfigOrigin at = { .kind = ORIGIN_FILE };
        int r = config_files_add(load->files, file, &at.file);

        if (r < 0)
                load->findings.error = r;
        else
                findings_add(&load->findings, FINDING_ERROR, at, path, "%s", what);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_config_name(const char *name)
{
        size_t size = strlen(name);
        return name[0] != '.' && size > 5 && streq(name + size - 5, ".conf");
}

static int read_folder(DIR *dir, const char *folder, char ***files)
{
        errno = 0;
        for (struct dirent *entry; (entry = readdir(dir)); errno = 0) {
                _cleanup_free_ char *path = NULL;

                if (!is_config_name(entry->d_name))
                        continue;
                if (strv_length(*files) >= CONF_D_MAX)
                        return -E2BIG;
                if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                int r = strv_append(files, path);
                if (r < 0)
                        return r;
        }
        return -errno;
}

/* conf.d beside the main file; it need not exist. */
static int list_conf_d(Load *load, const char *main_file, char ***files)
{
        _cleanup_free_ char *folder = NULL;

        int r = read_beside(main_file, "conf.d", &folder);
        if (r < 0)
                return r;
        DIR *dir = opendir(folder);
        if (!dir && errno == ENOENT)
                return 0;
        r = dir ? read_folder(dir, folder, files) : -errno;
        if (dir)
                (void)closedir(dir);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                report_file(load, folder, NULL, strerror(-r));
                load->complete = false;
        }
        if (*files)
                qsort(*files, strv_length(*files), sizeof(**files), compare_names);
        return 0;
}

static int read_file(Load *load, const char *file)
{
        Tree *trees = reallocarray(load->trees, load->n_trees + 1, sizeof(*trees));

        if (!trees)
                return -ENOMEM;
        load->trees = trees;
        Tree *tree = &trees[load->n_trees++];
        int r = tree_read(tree, file, &load->findings);
        if (!tree->valid)
                load->complete = false;
        return r;
}

static int read_files(Load *load, const char *main_file)
{
        _cleanup_(strv_freep) char **files = NULL;

        int r = read_file(load, main_file);
        if (r < 0)
                return r;
        r = list_conf_d(load, main_file, &files);
        if (r < 0)
                return r;
        STRV_FOREACH (file, files) {
                r = read_file(load, *file);
                if (r < 0)
                        return r;
        }
        return 0;
}

static Reader reader_of(Load *load, const Tree *tree, ConfigOriginKind kind)
{
        return (Reader){ .findings = &load->findings, .file = tree->file, .kind = kind };
}

/* The group of this name at top level; NULL if there is none or it is something else. */
static const config_setting_t *find_group(Load *load, const Tree *tree, const char *name)
{
        const config_setting_t *root = config_root_setting(&tree->config);
        const config_setting_t *group = config_setting_get_member(root, name);
        Reader reader = reader_of(load, tree, ORIGIN_FILE);

        if (!group || config_setting_is_group(group))
                return group;
        read_error(&reader, group, "expected a group { … }");
        return NULL;
}

static bool check_name(Reader *reader, const config_setting_t *setting)
{
        const char *name = config_setting_name(setting);

        if (strlen(name) > CONFIG_NAME_MAX)
                read_error(reader, setting, "the name has more than %d characters",
                           CONFIG_NAME_MAX);
        else if (strchr(name, '*'))
                read_error(reader, setting,
                           "a name begins with a letter, and has letters, digits, - and _ only");
        else if (!config_setting_is_group(setting))
                read_error(reader, setting, "expected a group { … }");
        else
                return true;
        return false;
}

/* Where a pool or source stands: its file's name is fresh. */
static int place_object(Load *load, ConfigOrigin at, char **ret_file, unsigned *ret_line)
{
        if (load->findings.error < 0)
                return load->findings.error;
        *ret_file = strdup(load->files->paths[at.file]);
        *ret_line = at.line;
        return *ret_file ? 0 : -ENOMEM;
}

static int append(void *array, size_t *n, void *item)
{
        void **items = reallocarray(*(void **)array, *n + 1, sizeof(*items));

        if (!items)
                return -ENOMEM;
        items[(*n)++] = item;
        *(void **)array = items;
        return 0;
}

static int load_source(Load *load, Reader *reader, const config_setting_t *setting)
{
        const char *name = config_setting_name(setting);
        ConfigSource *before = config_find_source(load->config, name);
        _cleanup_(config_source_freep) ConfigSource *source = NULL;

        if (!check_name(reader, setting))
                return 0;
        if (before)
                read_error(reader, setting, "defined twice: first at %s:%u", before->file,
                           before->line);
        int r = source_new(name, &source);
        if (r < 0)
                return r;
        r = origins_for(load, SCHEMA_SOURCE, &source->origins);
        if (r < 0)
                return r;
        r = place_object(load, read_origin(reader, setting), &source->file, &source->line);
        if (r < 0)
                return r;
        r = read_group(reader, SCHEMA_SOURCE, setting, source, source->origins);
        if (r < 0)
                return r;
        r = check_source(&load->findings, source, load->elsewhere);
        if (r < 0 || before)
                return r;
        r = append(&load->config->sources, &load->config->n_sources, source);
        if (r == 0)
                TAKE_PTR(source);
        return r;
}

static int load_pool(Load *load, Reader *reader, const config_setting_t *setting)
{
        const char *name = config_setting_name(setting);
        ConfigPool *before = config_find_pool(load->config, name);
        _cleanup_(config_pool_unrefp) ConfigPool *pool = NULL;

        if (!check_name(reader, setting))
                return 0;
        if (before)
                read_error(reader, setting, "defined twice: first at %s:%u", before->file,
                           before->line);
        int r = pool_copy(load->prototype, name, &pool);
        if (r < 0)
                return r;
        r = place_object(load, read_origin(reader, setting), &pool->file, &pool->line);
        if (r < 0)
                return r;
        r = read_group(reader, SCHEMA_POOL, setting, pool, pool->origins);
        if (r < 0)
                return r;
        r = check_pool(&load->findings, pool);
        if (r < 0 || before)
                return r;
        r = append(&load->config->pools, &load->config->n_pools, pool);
        if (r == 0)
                TAKE_PTR(pool);
        return r;
}

static int load_objects(Load *load, const Tree *tree, const char *name, const size_t *n,
                        size_t maximum, int (*load_one)(Load *, Reader *, const config_setting_t *))
{
        const config_setting_t *group = find_group(load, tree, name);
        Reader reader = reader_of(load, tree, ORIGIN_FILE);

        for (int i = 0; group && i < config_setting_length(group); i++) {
                const config_setting_t *setting = config_setting_get_elem(group, i);

                if (*n >= maximum) {
                        read_error(&reader, setting, "more than %zu %s", maximum, name);
                        return 0;
                }
                int r = load_one(load, &reader, setting);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int load_top(Load *load, const Tree *tree)
{
        const config_setting_t *defaults = find_group(load, tree, "defaults");
        Reader reader = reader_of(load, tree, ORIGIN_FILE);

        int r = read_group(&reader, SCHEMA_TOP, config_root_setting(&tree->config), load->config,
                           load->config->origins);
        if (r < 0 || !defaults)
                return r;
        reader.kind = ORIGIN_DEFAULTS;
        return read_group(&reader, SCHEMA_POOL, defaults, load->prototype,
                          load->prototype->origins);
}

/* Defaults hold for pools of any file, so they are read first everywhere. */
static int load_trees(Load *load)
{
        for (size_t i = 0; i < load->n_trees; i++) {
                int r = load->trees[i].valid ? load_top(load, &load->trees[i]) : 0;
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < load->n_trees; i++) {
                if (!load->trees[i].valid)
                        continue;
                int r = load_objects(load, &load->trees[i], "sources", &load->config->n_sources,
                                     CONFIG_SOURCES_MAX, load_source);
                if (r < 0)
                        return r;
                r = load_objects(load, &load->trees[i], "pools", &load->config->n_pools,
                                 CONFIG_POOLS_MAX, load_pool);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Socket and state_dir, if no file says where they are. */
static int fill_places(Load *load)
{
        Config *config = load->config;
        _cleanup_free_ char *socket = NULL, *message = NULL;
        int r = 0;

        if (object_origin(SCHEMA_TOP, config->origins, "socket").kind == ORIGIN_DEFAULT) {
                r = place_socket(&socket);
                if (r == -ENXIO)
                        report_file(load, config->path, "socket",
                                    "is missing, and XDG_RUNTIME_DIR is not set");
                else if (r == 0)
                        r = resolve_socket(config->path, socket, &config->socket, &message);
                if (r > 0)
                        report_file(load, config->path, "socket", message);
        }
        if (r < 0 && r != -ENXIO)
                return r;
        if (object_origin(SCHEMA_TOP, config->origins, "state_dir").kind != ORIGIN_DEFAULT)
                return 0;
        r = place_state_dir(&config->state_dir);
        if (r == -ENXIO)
                report_file(load, config->path, "state_dir",
                            "is missing, and neither XDG_STATE_HOME nor HOME is set");
        return r == -ENXIO ? 0 : r;
}

static int load_finish(Load *load)
{
        Config *config = load->config;

        if (config->on_event.events && !config->on_event.command &&
            object_origin(SCHEMA_TOP, config->origins, "on_event.command").kind == ORIGIN_DEFAULT)
                findings_add(&load->findings, FINDING_WARNING,
                             object_origin(SCHEMA_TOP, config->origins, "on_event.events"),
                             "on_event.events", "has no effect without on_event.command");
        int r = fill_places(load);
        if (r < 0)
                return r;
        r = check_pools(&load->findings, config, load->complete, load->elsewhere);
        for (size_t i = 0; i < config->n_pools && r >= 0 && load->findings.n_errors == 0; i++)
                r = pool_environment_fill(&load->findings, config, config->pools[i]);
        return r;
}

static int load_run(Load *load, const char *path)
{
        int r = load_init(load, path);
        if (r < 0)
                return r;
        r = read_files(load, path);
        if (r < 0)
                return r;
        r = load_trees(load);
        if (r < 0)
                return r;
        return load_finish(load);
}

static int load_and_tell(const char *path, bool elsewhere, Config **ret,
                         ConfigDiagnostics **ret_diagnostics)
{
        Load load = { .elsewhere = elsewhere };

        int r = load_run(&load, path);
        bool invalid = load.findings.n_errors > 0;
        if (r >= 0)
                r = findings_to_diagnostics(&load.findings, ret_diagnostics);
        if (r >= 0 && !invalid)
                *ret = TAKE_PTR(load.config);
        load_deinit(&load);
        return r < 0 ? r : invalid ? CONFIG_E_INVALID : 0;
}

int config_load(const char *path, Config **ret, ConfigDiagnostics **ret_diagnostics)
{
        return load_and_tell(path, false, ret, ret_diagnostics);
}

int config_load_elsewhere(const char *path, Config **ret, ConfigDiagnostics **ret_diagnostics)
{
        return load_and_tell(path, true, ret, ret_diagnostics);
}
