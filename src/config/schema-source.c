/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "config/schema-source.h"

static const char *const source_type_names[] = { "queue", "conductor", NULL };
static const char *const durability_names[] = { "full", "normal", NULL };

#define MIB ((uint64_t)1024 * 1024)
#define TIB (1024 * 1024 * MIB)

/* Each connection is a file descriptor and some 16 KiB. */
#define CONNECTIONS_MAX 256

#define SOURCE(member)    offsetof(ConfigSource, member)
#define CONDUCTOR(member) offsetof(ConfigSource, conductor.member)

static_assert(ELEMENTSOF(source_type_names) == _SOURCE_TYPE_MAX + 1, "a name per type");
static_assert(ELEMENTSOF(durability_names) == _DURABILITY_MAX + 1, "a name per durability");
static_assert(sizeof(SourceType) == sizeof(int), "SCHEMA_ENUM is stored as int");

const SchemaRow schema_source_rows[SCHEMA_SOURCE_ROWS] = {
        { .key = "type",
          .type = SCHEMA_ENUM,
          .change = SCHEMA_DAEMON,
          .flags = SCHEMA_REQUIRED,
          .offset = SOURCE(type),
          .names = source_type_names,
          .help = "What kind of source it is. *queue* is the embedded queue, a database in "
                  "*state_dir*. *conductor* is a Conductor server, see *CONDUCTOR* below." },
        { .key = "durability",
          .type = SCHEMA_ENUM,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_QUEUE,
          .offset = SOURCE(durability),
          .fallback = "full",
          .names = durability_names,
          .help = "*full*: a task counts as submitted, and a result as accepted, once it is "
                  "synced to the disk. *normal*: both survive a killed daemon, but a power cut may "
                  "lose the last moments." },
        { .key = "max_tasks",
          .type = SCHEMA_UINT64,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_QUEUE,
          .offset = SOURCE(max_tasks),
          .minimum = 1,
          .maximum = 1000000000,
          .fallback = "2000000",
          .help = "How many unfinished tasks the queue holds. Beyond it, submitting is refused." },
        { .key = "max_bytes",
          .type = SCHEMA_SIZE,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_ZERO,
          .sources = SCHEMA_ON_QUEUE,
          .offset = SOURCE(max_bytes),
          .minimum = MIB,
          .maximum = 1024 * TIB,
          .fallback = "0",
          .help = "How large the queue's database may get. Beyond it, submitting is refused. 0: no "
                  "limit but the disk's." },
        { .key = "retention",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_INFINITY,
          .sources = SCHEMA_ON_QUEUE,
          .offset = SOURCE(retention_usec),
          .maximum = 3650 * USEC_PER_DAY,
          .fallback = "1d",
          .help = "How long finished tasks are kept for *yardctl task show*." },
        { .key = "priority_step",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_QUEUE,
          .offset = SOURCE(priority_step_usec),
          .maximum = 365 * USEC_PER_DAY,
          .fallback = "1m",
          .help = "How much longer waiting makes up for one step of priority, so that nothing "
                  "waits for ever. 0: priority decides nothing." },
        { .key = "url",
          .type = SCHEMA_STRING,
          .role = SCHEMA_URL,
          .change = SCHEMA_REPLACE,
          .flags = SCHEMA_NOT_EMPTY,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(url),
          .fallback_text = "none, it must be set",
          .variable = "CONDUCTOR_SERVER_URL",
          .help = "The base of the server's API: *http://host:8080/api*. http or https; a slash at "
                  "its end is cut off; nothing is added, so the path */api*, where the server's "
                  "API begins, must be in it. User and password do not belong into it. Tasks that "
                  "are held when it changes are finished, and their pools made anew, before the "
                  "new one holds." },
        { .key = "worker_id",
          .type = SCHEMA_STRING,
          .role = SCHEMA_WORD,
          .change = SCHEMA_REPLACE,
          .flags = SCHEMA_NOT_EMPTY,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(worker_id),
          .fallback_text = "*HOST:POOL:ID*, with an ID that is made once in *state_dir*",
          .help = "The worker's name at the server, sent as it is. Each host needs one of its own. "
                  "Without it, tasks that a lost answer carried are looked for and handed back; "
                  "with "
                  "it they wait for their response timeout, because two hosts of the "
                  "same name could not be told apart." },
        { .key = "connections",
          .type = SCHEMA_UINT,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(connections),
          .minimum = 1,
          .maximum = CONNECTIONS_MAX,
          .fallback = "16",
          .variable = "CONDUCTOR_MAX_HTTP2_CONNECTIONS",
          .help = "How many results are on their way to the server at a time. Each pool's poll has "
                  "a connection beside these. Eight to sixteen do on a fast network; where the "
                  "server is far away, it is results per second times the round trip." },
        { .key = "headers",
          .type = SCHEMA_STRINGS,
          .role = SCHEMA_HEADERS,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(headers),
          .fallback_text = "none",
          .help = "Headers of every request, as *[\"Name: value\"]*: at most 32, of at most 4096 "
                  "bytes each. *yardctl config dump* shows them. Those that belong to the "
                  "connection or to the daemon are refused." },
        { .key = "tls.ca_file",
          .type = SCHEMA_STRING,
          .role = SCHEMA_PEM,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(tls.ca_file),
          .fallback_text = "the system's",
          .help = "Certificates (PEM) of the authorities that the server's certificate may come "
                  "from." },
        { .key = "tls.certificate",
          .type = SCHEMA_STRING,
          .role = SCHEMA_PEM,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(tls.certificate),
          .fallback_text = "none",
          .help = "Certificate (PEM) that the daemon shows to the server." },
        { .key = "tls.key",
          .type = SCHEMA_STRING,
          .role = SCHEMA_PEM,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY | SCHEMA_SECRET,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(tls.key),
          .fallback_text = "in *tls.certificate*",
          .help = "Its private key (PEM). Refused if others can read it." },
        { .key = "tls.verify",
          .type = SCHEMA_BOOL,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(tls.verify),
          .fallback = "true",
          .help = "Whether the server's certificate and name are checked. Without that, anyone on "
                  "the way can read and change everything." },
        { .key = "proxy",
          .type = SCHEMA_STRING,
          .role = SCHEMA_PROXY,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(proxy),
          .fallback_text = "none",
          .help = "A proxy to reach the server through: *http://*, *https://*, *socks4://*, "
                  "*socks4a://*, *socks5://* or *socks5h://*, host and port. The environment's "
                  "*http_proxy* and the like are not looked at." },
        { .key = "auth.key_id",
          .type = SCHEMA_STRING,
          .role = SCHEMA_WORD,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(auth.key_id),
          .fallback_text = "none: no authentication",
          .variable = "CONDUCTOR_AUTH_KEY",
          .help = "The key that a token is fetched with, together with its secret. For servers "
                  "that want a token." },
        { .key = "auth.secret",
          .type = SCHEMA_STRING,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY | SCHEMA_HIDDEN,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(auth.secret),
          .fallback_text = "none",
          .variable = "CONDUCTOR_AUTH_SECRET",
          .help = "The secret itself; in no file, and never shown." },
        { .key = "auth.secret_file",
          .type = SCHEMA_STRING,
          .role = SCHEMA_PATH,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY | SCHEMA_SECRET,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(auth.secret_file),
          .fallback_text = "none",
          .help = "A file with the secret of *auth.key_id*: one line of at most 4096 bytes. It is "
                  "read when the configuration is loaded, a reload picks up a new one; refused if "
                  "others can read it." },
        { .key = "auth.secret_credential",
          .type = SCHEMA_STRING,
          .role = SCHEMA_CREDENTIAL,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(auth.secret_credential),
          .fallback_text = "none",
          .help = "Instead of a file, the name of a credential that the service manager passes to "
                  "the daemon (*LoadCredential=* of systemd.exec(5))." },
        { .key = "auth.refresh",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(auth.refresh_usec),
          .minimum = USEC_PER_SEC,
          .maximum = USEC_PER_DAY,
          .fallback = "45m",
          .variable = "CONDUCTOR_REFRESH_TOKEN_INTERVAL",
          .help = "After this time a token is replaced by a fresh one, sooner if the server "
                  "refuses it." },
        { .key = "outbox.max_bytes",
          .type = SCHEMA_SIZE,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(outbox.max_bytes),
          .minimum = MIB,
          .maximum = TIB,
          .fallback = "256M",
          .help = "How much the results may hold that the server has not accepted yet. They lie in "
                  "*state_dir* and are sent again until it has. When three quarters are used no "
                  "new tasks are fetched; nothing is ever dropped." },
        { .key = "outbox.backoff",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(outbox.backoff.base_usec),
          .minimum = 1000,
          .maximum = USEC_PER_DAY,
          .fallback = "500ms",
          .help = "Pause before a result is sent again that could not be delivered; it doubles "
                  "with each further try." },
        { .key = "outbox.backoff_max",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(outbox.backoff.max_usec),
          .minimum = 1000,
          .maximum = USEC_PER_DAY,
          .fallback = "30s",
          .help = "Longest such pause." },
        { .key = "outbox.attempts",
          .type = SCHEMA_UINT,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(outbox.attempts),
          .minimum = 1,
          .maximum = 1000,
          .fallback = "5",
          .help = "A result that the server answers with an error 500 which it calls not retryable "
                  "becomes a dead letter after so many tries, or ten times as many while the "
                  "server accepts nothing else either; *yardctl outbox* lists those. Where the "
                  "server is away, too busy, or says that one may retry, there is no limit." },
        { .key = "progress_log",
          .type = SCHEMA_BOOL,
          .change = SCHEMA_LIVE,
          .sources = SCHEMA_ON_CONDUCTOR,
          .offset = CONDUCTOR(progress_log),
          .fallback = "false",
          .help = "Whether progress that a handler reports becomes lines of the task's log at the "
                  "server, too: at most one in ten seconds." },
};
