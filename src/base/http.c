/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "base/http-internal.h"
#include "base/strv.h"

HttpSettings *http_settings_ref(HttpSettings *settings)
{
        settings->n_refs++;
        return settings;
}

HttpSettings *http_settings_unref(HttpSettings *settings)
{
        if (!settings || --settings->n_refs > 0)
                return NULL;
        curl_slist_free_all(settings->headers);
        strv_free(settings->configured);
        if (settings->authorization)
                explicit_bzero(settings->authorization, strlen(settings->authorization));
        free(settings->authorization);
        free(settings->proxy);
        free(settings->key);
        free(settings->certificate);
        free(settings->ca_file);
        free(settings);
        return NULL;
}

struct curl_slist *http_settings_headers(HttpSettings *settings, bool authorized)
{
        return authorized && settings->authorization ? &settings->with_header : settings->headers;
}

static int add_header(HttpSettings *settings, const char *header)
{
        struct curl_slist *longer = curl_slist_append(settings->headers, header);

        if (!longer)
                return -ENOMEM;
        settings->headers = longer;
        return 0;
}

/* No User-Agent of our own: libcurl compares each header with a dozen names, which costs a request
 * five per cent. */
static int make_headers(HttpSettings *settings)
{
        int r;

        STRV_FOREACH (header, settings->configured) {
                r = add_header(settings, *header);
                if (r < 0)
                        return r;
        }
        settings->with_header = (struct curl_slist){
                .data = settings->authorization,
                .next = settings->headers,
        };
        return 0;
}

static int copy_string(char **ret, const char *s)
{
        char *copy;

        if (!s)
                return 0;
        copy = strdup(s);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

static int settings_new(HttpSettings **ret, const HttpOptions *options, const char *authorization)
{
        _cleanup_(http_settings_unrefp) HttpSettings *settings = calloc(1, sizeof(*settings));
        int r;

        if (!settings)
                return -ENOMEM;
        settings->n_refs = 1;
        settings->verify = options->verify;
        if (copy_string(&settings->ca_file, options->ca_file) < 0 ||
            copy_string(&settings->certificate, options->certificate) < 0 ||
            copy_string(&settings->key, options->key) < 0 ||
            copy_string(&settings->proxy, options->proxy) < 0 ||
            copy_string(&settings->authorization, authorization) < 0 ||
            strv_copy(&settings->configured, options->headers) < 0)
                return -ENOMEM;
        r = make_headers(settings);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(settings);
        return 0;
}

static int change_settings(Http *http, const HttpOptions *options, const char *authorization)
{
        HttpSettings *settings;
        int r;

        r = settings_new(&settings, options, authorization);
        if (r < 0)
                return r;
        http_settings_unref(http->settings);
        http->settings = settings;
        return 0;
}

int http_configure(Http *http, const HttpOptions *options)
{
        return change_settings(http, options, http->settings->authorization);
}

int http_set_authorization(Http *http, const char *header)
{
        HttpSettings *now = http->settings;
        HttpOptions options = {
                .ca_file = now->ca_file,
                .certificate = now->certificate,
                .key = now->key,
                .verify = now->verify,
                .proxy = now->proxy,
                .headers = now->configured,
        };

        return change_settings(http, &options, header);
}

int http_new(Http **ret, sd_event *event)
{
        static const HttpOptions defaults = { .verify = true };
        _cleanup_(http_freep) Http *http = NULL;
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        http = calloc(1, sizeof(*http));
        if (!http) {
                curl_global_cleanup();
                return -ENOMEM;
        }
        http->event = sd_event_ref(event);
        http->epoll_fd = -EBADF;
        r = change_settings(http, &defaults, NULL);
        if (r < 0)
                return r;
        http->share = curl_share_init();
        if (!http->share || curl_share_setopt(http->share, CURLSHOPT_SHARE,
                                              CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK)
                return -ENOMEM;
        r = http_loop_init(http);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(http);
        return 0;
}

/* Connections are closed with curl's multi handle, and call back to the sockets. */
Http *http_free(Http *http)
{
        if (!http)
                return NULL;
        assert(http->n_calls == 0);
        if (http->gone)
                *http->gone = true;
        http_loop_deinit(http);
        if (http->share)
                (void)curl_share_cleanup(http->share);
        http_settings_unref(http->settings);
        sd_event_unref(http->event);
        free(http);
        curl_global_cleanup();
        return NULL;
}
