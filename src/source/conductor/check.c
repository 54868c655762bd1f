/* SPDX-License-Identifier: Apache-2.0 */

/* `yardctl source check`: the server is asked one thing after another, and each answer becomes
 * findings. Nothing that is asked changes anything there. */

#include <inttypes.h>
#include <stdio.h>
#include "base/parse.h"
#include "base/strv.h"
#include "source/conductor/check.h"

/* Someone waits for the answers. */
#define CHECK_TIMEOUT_USEC (10 * USEC_PER_SEC)

typedef enum CheckStep {
        CHECK_SERVER,
        CHECK_SEARCH,
        CHECK_UPDATE_V2,
        CHECK_STORAGE,
        CHECK_QUEUES,      /* only where a pool has a domain */
        CHECK_DEFINITIONS, /* again and again, for each type of each pool */
        _CHECK_STEP_MAX,
} CheckStep;

static const struct {
        HttpMethod method;
        const char *path;
} questions[] = {
        [CHECK_SERVER] = { HTTP_GET, "/version" },
        [CHECK_SEARCH] = { HTTP_GET, "/tasks/search-v2?start=0&size=1&query=status%3DIN_PROGRESS" },
        /* Without ids it changes nothing. */
        [CHECK_UPDATE_V2] = { HTTP_POST, "/tasks/update-v2" },
        [CHECK_STORAGE] = { HTTP_GET, "/tasks/externalstoragelocation?path=&operation=WRITE"
                                      "&payloadType=TASK_OUTPUT" },
        [CHECK_QUEUES] = { HTTP_GET, "/tasks/queue/all" },
        [CHECK_DEFINITIONS] = { HTTP_GET, "/metadata/taskdefs/" },
};
_Static_assert(ELEMENTSOF(questions) == _CHECK_STEP_MAX, "a question for each step");

struct ConductorCheck {
        ListLink link;        /* of conductor->checks */
        Conductor *conductor; /* borrowed: conductor_free ends the check */
        conductor_check_t done;
        void *userdata;
        ConfigPool **pools; /* counted */
        size_t n_pools;
        CheckStep step;
        size_t pool, type; /* CHECK_DEFINITIONS: which */
        ServerCall *call;
        CheckFindings findings;
};

static void check_next(ConductorCheck *check);

static void check_free(ConductorCheck *check)
{
        list_remove(&check->link);
        (void)server_call_free(check->call);
        for (size_t i = 0; i < check->n_pools; i++)
                (void)config_pool_unref(check->pools[i]);
        free(check->pools);
        check_findings_deinit(&check->findings);
        free(check);
}

static void check_end(ConductorCheck *check)
{
        check->done(check->findings.entries, check->findings.n, check->userdata);
        check_free(check);
}

static void add(ConductorCheck *check, CheckLevel level, const char *subject, const char *remedy,
                const char *text)
{
        check_findings_add(&check->findings, level, subject, NULL, remedy, "%s", text);
}

/* Answers */

static void on_version(ConductorCheck *check, Verdict verdict, const HttpAnswer *answer)
{
        int64_t date = server_call_date_msec(check->call);
        char version[64] = "", took[FORMAT_MAX];

        if (verdict == VERDICT_DONE && answer->body.size < sizeof(version) &&
            !memchr(answer->body.data, '\n', answer->body.size))
                (void)snprintf(version, sizeof(version), ", version %.*s", (int)answer->body.size,
                               answer->body.data);
        check_findings_add(&check->findings, CHECK_OK, "server", NULL, NULL, "answers in %s%s",
                           format_span(took, answer->took_usec), version);
        if (date > 0)
                /* Of whole seconds: the middle of that one. */
                check_clock(&check->findings, date + 500 - clock_epoch_msec());
}

static void add_auth(ConductorCheck *check)
{
        switch (server_auth(check->conductor->server)) {
        case SERVER_AUTH_GRANTED:
                add(check, CHECK_OK, "auth", NULL, "the key is accepted");
                break;
        case SERVER_AUTH_NEEDLESS:
                add(check, CHECK_WARNING, "auth", "remove auth from the source",
                    "the server knows no tokens: auth.key_id is not used");
                break;
        default:
                break;
        }
}

static void add_worker_id(ConductorCheck *check)
{
        if (check->conductor->config->conductor.worker_id)
                add(check, CHECK_WARNING, "worker_id",
                    "remove worker_id: the default is one of this daemon's own",
                    "worker_id is configured, so another host may use the same: tasks that are "
                    "handed out in an answer that is never read are not looked for, and wait for "
                    "their response time-out");
}

static void on_search(ConductorCheck *check, Verdict verdict, const HttpAnswer *answer)
{
        bool works = verdict == VERDICT_DONE && json_check(answer->body, NULL) >= 0 &&
                     json_type_of(answer->body) == JSON_OBJECT &&
                     json_member(answer->body, "results").data;

        if (works && !watch_is_blind(check->conductor))
                add(check, CHECK_OK, "search", NULL, "tasks can be searched");
        else
                add(check, CHECK_WARNING, "search",
                    "let the server keep an index: conductor.indexing.enabled = true",
                    works ? "the server's task search finds nothing: cancelled tasks are asked "
                            "about one by one, and tasks that are handed out in an answer that is "
                            "never read wait for their response time-out"
                          : "the server does not search tasks: cancelled ones are asked about one "
                            "by one, and tasks that are handed out in an answer that is never read "
                            "wait for their response time-out");
}

static void on_update_v2(ConductorCheck *check, Verdict verdict, const HttpAnswer *answer)
{
        if (answer->status == 404 || answer->status == 405)
                add(check, CHECK_WARNING, "update-v2", "a newer server has it",
                    "the server has no update-v2: after each result the next task has to be polled "
                    "for");
        else
                add(check, CHECK_OK, "update-v2", NULL,
                    "an accepted result brings the next task with it");
}

static void on_storage(ConductorCheck *check, Verdict verdict, const HttpAnswer *answer)
{
        _cleanup_free_ char *uri = NULL;

        if (verdict == VERDICT_DONE && json_check(answer->body, NULL) >= 0 &&
            json_type_of(answer->body) == JSON_OBJECT)
                (void)json_decode_string(json_member(answer->body, "uri"), &uri);
        if (uri && uri[0])
                add(check, CHECK_OK, "storage", NULL, "large payloads go to external storage");
        else
                add(check, CHECK_OK, "storage",
                    "for larger ones: conductor.external-payload-storage.type at the server",
                    "the server has no external payload storage: inputs over 3072 KB and outputs "
                    "over 10240 KB fail their task");
}

/* Its keys are "domain:type". */
static void on_queues(ConductorCheck *check, Verdict verdict, const HttpAnswer *answer)
{
        if (verdict != VERDICT_DONE || json_check(answer->body, NULL) < 0 ||
            json_type_of(answer->body) != JSON_OBJECT)
                return;
        for (size_t i = 0; i < check->n_pools; i++) {
                const ConfigPool *pool = check->pools[i];

                STRV_FOREACH (type, pool->domain ? pool->task_type : NULL) {
                        _cleanup_free_ char *key = NULL;

                        if (asprintf(&key, "%s:%s", pool->domain, *type) < 0) {
                                key = NULL;
                                return;
                        }
                        if (json_member(answer->body, key).data)
                                continue;
                        check_findings_add(
                                &check->findings, CHECK_WARNING, *type, pool->name,
                                "start workflows with taskToDomain for this type, or remove "
                                "domain from the pool",
                                "no task of this type has been scheduled in domain '%s' so far",
                                pool->domain);
                }
        }
}

static const char *type_in_turn(const ConductorCheck *check)
{
        return check->pools[check->pool]->task_type[check->type];
}

static void on_definition(ConductorCheck *check, Verdict verdict, const HttpAnswer *answer)
{
        const ConfigPool *pool = check->pools[check->pool];
        Slice definition = SLICE_NULL;
        char text[256];

        if (verdict == VERDICT_DONE && json_check(answer->body, NULL) >= 0 &&
            json_type_of(answer->body) == JSON_OBJECT)
                definition = answer->body;
        if (definition.data || verdict == VERDICT_MISSING || verdict == VERDICT_DONE) {
                check_definition(&check->findings, pool, type_in_turn(check), definition);
                return;
        }
        answer_explain(answer, text, sizeof(text));
        check_findings_add(&check->findings, CHECK_WARNING, type_in_turn(check), pool->name, NULL,
                           "its definition cannot be read: %s", text);
}

static void (*const on_answers[])(ConductorCheck *check, Verdict verdict,
                                  const HttpAnswer *answer) = {
        [CHECK_SERVER] = on_version,      [CHECK_SEARCH] = on_search,
        [CHECK_UPDATE_V2] = on_update_v2, [CHECK_STORAGE] = on_storage,
        [CHECK_QUEUES] = on_queues,       [CHECK_DEFINITIONS] = on_definition,
};
_Static_assert(ELEMENTSOF(on_answers) == _CHECK_STEP_MAX, "a reading for each step");

/* Nothing further is worth asking. */
static void on_away(ConductorCheck *check, const HttpAnswer *answer)
{
        ServerStatus status;
        char text[512];

        server_get_status(check->conductor->server, &status);
        server_explain(check->conductor->server, answer, text, sizeof(text));
        check_findings_add(&check->findings, CHECK_ERROR,
                           status.cause && streq(status.cause, "auth") ? "auth" : "server", NULL,
                           NULL, "%s", status.message ?: text);
}

static void on_answer(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        ConductorCheck *check = userdata;

        if (verdict == VERDICT_AWAY && answer_permission(answer) != PERMISSION_DENIED) {
                on_away(check, answer);
                check_end(check);
                return;
        }
        on_answers[check->step](check, verdict, answer);
        if (check->step == CHECK_SERVER) {
                add_auth(check);
                add_worker_id(check);
        }
        check_next(check);
}

/* Questions */

static int check_ask(ConductorCheck *check)
{
        _cleanup_free_ char *type = NULL, *path = NULL;
        int r;

        if (check->step == CHECK_DEFINITIONS && !(type = server_escape(type_in_turn(check))))
                return -ENOMEM;
        if (asprintf(&path, "%s%s", questions[check->step].path, type ?: "") < 0) {
                path = NULL;
                return -ENOMEM;
        }
        check->call = server_call_free(check->call);
        if ((r = server_call_new(&check->call, check->conductor->server,
                                 questions[check->step].method, on_answer, check)) < 0 ||
            (r = server_call_set_path(check->call, path)) < 0)
                return r;
        server_call_set_timeout(check->call, CHECK_TIMEOUT_USEC);
        server_call_set_repeatable(check->call, true);
        if (questions[check->step].method == HTTP_POST)
                server_call_set_body(check->call, "application/json", SLICE_LITERAL("{}"));
        return server_call_start(check->call);
}

static bool has_domains(const ConductorCheck *check)
{
        for (size_t i = 0; i < check->n_pools; i++)
                if (check->pools[i]->domain)
                        return true;
        return false;
}

/* To the next type; false: that was the last. */
static bool advance_type(ConductorCheck *check)
{
        if (check->pools[check->pool]->task_type[++check->type])
                return true;
        check->type = 0;
        return ++check->pool < check->n_pools;
}

static bool advance(ConductorCheck *check)
{
        if (check->step == CHECK_DEFINITIONS)
                return advance_type(check);
        check->step++;
        if (check->step == CHECK_QUEUES && !has_domains(check))
                check->step++;
        return check->step < CHECK_DEFINITIONS || check->n_pools > 0;
}

static void check_next(ConductorCheck *check)
{
        if (!advance(check)) {
                check_end(check);
        } else if (check_ask(check) < 0) {
                add(check, CHECK_ERROR, "server", NULL, "the check ended early: out of memory");
                check_end(check);
        }
}

int conductor_check(Source *source, ConfigPool *const *pools, size_t n_pools,
                    conductor_check_t done, void *userdata, ConductorCheck **ret)
{
        Conductor *conductor = conductor_of(source);
        ConductorCheck *check = calloc(1, sizeof(*check));
        int r;

        if (!check)
                return -ENOMEM;
        check->conductor = conductor;
        check->done = done;
        check->userdata = userdata;
        check->pools = calloc(n_pools + 1, sizeof(*check->pools));
        for (size_t i = 0; check->pools && i < n_pools; i++)
                check->pools[check->n_pools++] = config_pool_ref(pools[i]);
        server_hurry(conductor->server);
        r = check->pools ? check_ask(check) : -ENOMEM;
        if (r < 0) {
                check_free(check);
                return r;
        }
        list_append(&conductor->checks, &check->link);
        *ret = check;
        return 0;
}

void conductor_check_abandon(ConductorCheck *check)
{
        if (check)
                check_free(check);
}

void conductor_end_checks(Conductor *conductor)
{
        ListLink *link;

        while ((link = list_pop_first(&conductor->checks))) {
                ConductorCheck *check = LIST_ENTRY(link, ConductorCheck, link);

                add(check, CHECK_ERROR, "server", NULL, "the source has ended meanwhile");
                check_end(check);
        }
}
