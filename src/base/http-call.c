/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "base/http-internal.h"

/* Sets an option, or remembers that one could not be set. A macro, because the value's type is the
 * option's. */
#define SET(failed, easy, option, value) \
        ((failed) |= curl_easy_setopt((easy), (option), (value)) != CURLE_OK)

/* Before each sending of the request: the second one is libcurl's own, after a kept connection
 * turned out to be dead before a byte of an answer came. */
static int on_sending(void *userdata, char *peer, char *local, int peer_port, int local_port)
{
        HttpCall *call = userdata;

        if (call->n_sendings > 0 && !call->repeatable) {
                call->resend_refused = true;
                return CURL_PREREQFUNC_ABORT;
        }
        call->n_sendings++;
        return CURL_PREREQFUNC_OK;
}

/* Each line of the header section, the empty one at its end, too; libcurl alone would take an
 * answer that was cut within them for whole. Trailers come without a status line. */
static size_t on_header(char *data, size_t size, size_t n, void *userdata)
{
        HttpCall *call = userdata;

        n *= size;
        call->header_size += n;
        if (call->header_size > HTTP_HEADERS_MAX)
                return 0;
        if (n >= 5 && memcmp(data, "HTTP/", 5) == 0)
                call->header_whole = false;
        else if (data[0] == '\r' || data[0] == '\n')
                call->header_whole = true;
        return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata)
{
        HttpCall *call = userdata;
        int r;

        n *= size;
        r = buffer_append(&call->body, data, n);
        if (r == -ENOMEM)
                call->out_of_memory = true;
        return r < 0 ? 0 : n;
}

/* What stays the same for all requests of a call. QUICK_EXIT: a request that is given up while its
 * host name is looked up does not wait for the look-up's thread. */
static int setup_easy(HttpCall *call)
{
        CURL *easy = call->easy;
        bool failed = false;

        SET(failed, easy, CURLOPT_PRIVATE, call);
        SET(failed, easy, CURLOPT_ERRORBUFFER, call->error);
        SET(failed, easy, CURLOPT_NOSIGNAL, 1L);
        SET(failed, easy, CURLOPT_QUICK_EXIT, 1L);
        SET(failed, easy, CURLOPT_PROTOCOLS_STR, "http,https");
        SET(failed, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        SET(failed, easy, CURLOPT_SHARE, call->http->share);
        SET(failed, easy, CURLOPT_BUFFERSIZE, HTTP_READ_SIZE);
        SET(failed, easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)HTTP_ANSWER_MAX);
        SET(failed, easy, CURLOPT_CONNECTTIMEOUT_MS, HTTP_CONNECT_TIMEOUT_MSEC);
        SET(failed, easy, CURLOPT_MAXAGE_CONN, HTTP_IDLE_SECONDS);
        SET(failed, easy, CURLOPT_TCP_KEEPALIVE, 1L);
        SET(failed, easy, CURLOPT_TCP_KEEPIDLE, HTTP_KEEPALIVE_IDLE_SECONDS);
        SET(failed, easy, CURLOPT_TCP_KEEPINTVL, HTTP_KEEPALIVE_INTERVAL_SECONDS);
        SET(failed, easy, CURLOPT_CA_CACHE_TIMEOUT, HTTP_CA_CACHE_SECONDS);
        SET(failed, easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        SET(failed, easy, CURLOPT_PREREQFUNCTION, on_sending);
        SET(failed, easy, CURLOPT_PREREQDATA, call);
        SET(failed, easy, CURLOPT_HEADERFUNCTION, on_header);
        SET(failed, easy, CURLOPT_HEADERDATA, call);
        SET(failed, easy, CURLOPT_WRITEFUNCTION, on_body);
        SET(failed, easy, CURLOPT_WRITEDATA, call);
        if (call->method != HTTP_GET)
                SET(failed, easy, CURLOPT_POST, 1L);
        if (call->method == HTTP_PUT)
                SET(failed, easy, CURLOPT_CUSTOMREQUEST, "PUT");
        if (failed)
                return -ENOMEM;
        return http_loop_setup(call->http, easy);
}

/* As many connections are kept as there are calls; by default curl would close most of them
 * whenever few requests are under way. */
static void count_calls(Http *http, int change)
{
        http->n_calls = (unsigned)((int)http->n_calls + change);
        (void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)MAX(http->n_calls, 1U));
}

int http_call_new(HttpCall **ret, Http *http, HttpMethod method, http_callback_t callback,
                  void *userdata)
{
        _cleanup_(http_call_freep) HttpCall *call = calloc(1, sizeof(*call));
        int r;

        if (!call)
                return -ENOMEM;
        call->http = http;
        count_calls(http, 1);
        call->method = method;
        call->callback = callback;
        call->userdata = userdata;
        call->authorized = true;
        call->body = BUFFER_NULL(HTTP_ANSWER_MAX);
        call->easy = curl_easy_init();
        if (!call->easy)
                return -ENOMEM;
        r = setup_easy(call);
        if (r < 0)
                return r;
        http_call_set_timeout(call, HTTP_TIMEOUT_USEC);
        *ret = TAKE_PTR(call);
        return 0;
}

static void take_off(HttpCall *call)
{
        (void)curl_multi_remove_handle(call->http->multi, call->easy);
        call->running = false;
        call->http->n_running--;
}

/* The answer to a request for a token is one. */
static void wipe_body(HttpCall *call)
{
        if (!call->authorized && call->body.data)
                explicit_bzero(call->body.data, call->body.capacity);
}

HttpCall *http_call_free(HttpCall *call)
{
        if (!call)
                return NULL;
        if (call->running)
                take_off(call);
        if (call->http->reporting == call)
                call->http->reporting = NULL;
        curl_easy_cleanup(call->easy);
        curl_url_cleanup(call->url);
        curl_url_cleanup(call->origin);
        free(call->target);
        count_calls(call->http, -1);
        http_settings_unref(call->settings);
        free(call->content_header);
        wipe_body(call);
        buffer_deinit(&call->body);
        free(call);
        return NULL;
}

bool http_call_is_running(const HttpCall *call)
{
        return call->running;
}

/* What goes into the request line of a server: path and query. */
static int split_target(CURLU *url, char **ret)
{
        char *path = NULL, *query = NULL;
        CURLUcode code;
        int r;

        code = curl_url_get(url, CURLUPART_PATH, &path, 0);
        if (code == CURLUE_OK) {
                code = curl_url_get(url, CURLUPART_QUERY, &query, 0);
                if (code == CURLUE_NO_QUERY)
                        code = CURLUE_OK;
        }
        r = code == CURLUE_OK ? asprintf(ret, "%s%s%s", path, query ? "?" : "", query ?: "") : -1;
        curl_free(query);
        curl_free(path);
        return r < 0 ? -ENOMEM : 0;
}

/* CURLU_PATH_AS_IS: what the caller made of names with dots in them stays. */
static int parse_url(CURLU **ret, const char *url)
{
        CURLU *parsed = curl_url();
        CURLUcode code;

        if (!parsed)
                return -ENOMEM;
        code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS);
        if (code != CURLUE_OK) {
                curl_url_cleanup(parsed);
                return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
        }
        *ret = parsed;
        return 0;
}

int http_call_set_url(HttpCall *call, const char *url)
{
        _cleanup_free_ char *target = NULL;
        CURLU *parsed, *origin;
        int r;

        assert(!call->running);
        r = parse_url(&parsed, url);
        if (r < 0)
                return r;
        origin = curl_url_dup(parsed);
        if (!origin || split_target(parsed, &target) < 0 ||
            curl_url_set(origin, CURLUPART_PATH, "/", 0) != CURLUE_OK ||
            curl_url_set(origin, CURLUPART_QUERY, NULL, 0) != CURLUE_OK) {
                curl_url_cleanup(origin);
                curl_url_cleanup(parsed);
                return -ENOMEM;
        }
        curl_url_cleanup(call->url);
        curl_url_cleanup(call->origin);
        free(call->target);
        call->url = parsed;
        call->origin = origin;
        call->target = TAKE_PTR(target);
        call->url_changed = true;
        return 0;
}

void http_call_set_body(HttpCall *call, const char *content_type, Slice body)
{
        bool large = body.size >= HTTP_LARGE_BODY;

        assert(!call->running && call->method != HTTP_GET);
        call->request_body = body;
        if (large != call->large)
                call->headers_changed = true;
        call->large = large;
        if (content_type == call->content_type)
                return;
        call->content_type = content_type;
        free(TAKE_PTR(call->content_header));
        call->headers_changed = true;
}

void http_call_set_timeout(HttpCall *call, usec_t timeout_usec)
{
        assert(!call->running);
        (void)curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS,
                               timeout_usec == USEC_INFINITY
                                       ? 0L
                                       : (long)MAX(timeout_usec / USEC_PER_MSEC, (usec_t)1));
}

void http_call_set_repeatable(HttpCall *call, bool repeatable)
{
        call->repeatable = repeatable;
}

void http_call_set_authorized(HttpCall *call, bool authorized)
{
        assert(!call->running);
        call->headers_changed = call->headers_changed || call->authorized != authorized;
        call->authorized = authorized;
}

/* NULL sets what curl was built with. */
static int apply_ca_file(CURL *easy, const char *ca_file)
{
        curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);

        return curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file ? ca_file : built->cainfo) != CURLE_OK
                       ? -ENOMEM
                       : 0;
}

/* Proxies are named or not, but never the environment's, which curl would look at for each
 * request. */
static int apply_settings(HttpCall *call)
{
        HttpSettings *settings = call->http->settings;
        CURL *easy = call->easy;
        bool failed = false;

        if (call->settings == settings)
                return 0;
        SET(failed, easy, CURLOPT_PROXY, settings->proxy ? settings->proxy : "");
        SET(failed, easy, CURLOPT_NOPROXY, "");
        SET(failed, easy, CURLOPT_SSLCERT, settings->certificate);
        SET(failed, easy, CURLOPT_SSLKEY, settings->key);
        SET(failed, easy, CURLOPT_SSL_VERIFYPEER, (long)settings->verify);
        SET(failed, easy, CURLOPT_SSL_VERIFYHOST, settings->verify ? 2L : 0L);
        if (failed || apply_ca_file(easy, settings->ca_file) < 0)
                return -ENOMEM;
        http_settings_unref(call->settings);
        call->settings = http_settings_ref(settings);
        call->headers_changed = call->url_changed = true;
        return 0;
}

/* libcurl puts the URL together for each request, byte by byte; what is in the request's target it
 * copies as a whole. So it only gets the origin as URL, except of a proxy, which wants the whole.
 */
static int apply_url(HttpCall *call)
{
        bool proxied = call->settings->proxy && *call->settings->proxy;
        bool failed = false;

        if (!call->url_changed)
                return 0;
        SET(failed, call->easy, CURLOPT_CURLU, proxied ? call->url : call->origin);
        SET(failed, call->easy, CURLOPT_REQUEST_TARGET, proxied ? NULL : call->target);
        if (failed)
                return -ENOMEM;
        call->url_changed = false;
        return 0;
}

/* The call's own headers go in front of the list that all calls share. libcurl asks a server
 * whether it wants a large body, and waits a second where that is not understood; an early answer
 * is read while sending anyway. */
static int add_own_headers(HttpCall *call, struct curl_slist **headers)
{
        static char no_expect[] = "Expect:";

        if (!call->content_header &&
            asprintf(&call->content_header, "Content-Type: %s", call->content_type ?: "") < 0) {
                call->content_header = NULL;
                return -ENOMEM;
        }
        call->with_type = (struct curl_slist){ call->content_header, *headers };
        *headers = &call->with_type;
        if (call->large) {
                call->with_no_expect = (struct curl_slist){ no_expect, *headers };
                *headers = &call->with_no_expect;
        }
        return 0;
}

static int apply_headers(HttpCall *call)
{
        struct curl_slist *headers;
        int r;

        if (!call->headers_changed)
                return 0;
        headers = http_settings_headers(call->settings, call->authorized);
        if (call->method != HTTP_GET) {
                r = add_own_headers(call, &headers);
                if (r < 0)
                        return r;
        }
        if (curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, headers) != CURLE_OK)
                return -ENOMEM;
        call->headers_changed = false;
        return 0;
}

/* Size first: libcurl forgets the data of a smaller one. */
static int apply_body(HttpCall *call)
{
        Slice body = call->request_body;
        bool failed = false;

        if (call->method == HTTP_GET)
                return 0;
        SET(failed, call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
        SET(failed, call->easy, CURLOPT_POSTFIELDS, body.data);
        return failed ? -ENOMEM : 0;
}

int http_call_start(HttpCall *call)
{
        int r;

        assert(!call->running && call->url);
        r = apply_settings(call);
        if (r < 0)
                return r;
        r = apply_url(call);
        if (r < 0)
                return r;
        r = apply_headers(call);
        if (r < 0)
                return r;
        r = apply_body(call);
        if (r < 0)
                return r;
        call->n_sendings = 0;
        call->resend_refused = call->out_of_memory = call->header_whole = false;
        call->header_size = 0;
        call->error[0] = '\0';
        buffer_clear(&call->body);
        if (curl_multi_add_handle(call->http->multi, call->easy) != CURLM_OK)
                return -ENOMEM;
        call->running = true;
        call->started_usec = clock_monotonic_usec();
        call->http->n_running++;
        http_loop_started(call->http);
        return 0;
}

/* The callback may free the call, or start it again; the answer's bytes stay until curl is entered,
 * which is after that. */
void http_call_finish(HttpCall *call, CURLcode code)
{
        HttpAnswer answer;

        take_off(call);
        http_answer_read(call, code, &answer);
        call->body_keep = MIN(call->body.size * 4, HTTP_BODY_KEEP);
        call->callback(call, &answer, call->userdata);
}

void http_call_trim(HttpCall *call)
{
        wipe_body(call);
        buffer_clear(&call->body);
        buffer_trim(&call->body, call->body_keep);
}
