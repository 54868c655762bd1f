/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include "base/http-internal.h"

static const char *const failure_names[] = {
        [HTTP_ANSWERED] = "answered",      [HTTP_FAILED_DNS] = "dns",
        [HTTP_FAILED_CONNECT] = "connect", [HTTP_FAILED_TLS] = "tls",
        [HTTP_FAILED_PROXY] = "proxy",     [HTTP_FAILED_TIMEOUT] = "timeout",
        [HTTP_FAILED_CUT] = "cut",         [HTTP_FAILED_TOO_BIG] = "too-big",
        [HTTP_FAILED_OTHER] = "other",
};
static_assert(ELEMENTSOF(failure_names) == _HTTP_FAILURE_MAX, "a name for each failure");

const char *http_failure_to_string(HttpFailure failure)
{
        return failure < _HTTP_FAILURE_MAX ? failure_names[failure] : NULL;
}

static long info_long(const HttpCall *call, CURLINFO info)
{
        long value = 0;

        (void)curl_easy_getinfo(call->easy, info, &value);
        return value;
}

static bool looked_up(const HttpCall *call)
{
        curl_off_t usec = 0;

        (void)curl_easy_getinfo(call->easy, CURLINFO_NAMELOOKUP_TIME_T, &usec);
        return usec > 0;
}

static bool through_proxy(const HttpCall *call)
{
        return call->settings->proxy && *call->settings->proxy;
}

/* Before the request was sent. An answer of the proxy itself comes as an error of receiving. */
static HttpFailure unsent_failure(const HttpCall *call, CURLcode code)
{
        switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
                return HTTP_FAILED_DNS;
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_PROXY:
                return HTTP_FAILED_PROXY;
        case CURLE_OPERATION_TIMEDOUT:
                if (!looked_up(call))
                        return HTTP_FAILED_DNS;
                return through_proxy(call) ? HTTP_FAILED_PROXY : HTTP_FAILED_CONNECT;
        case CURLE_COULDNT_CONNECT:
        case CURLE_GOT_NOTHING:
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
                return through_proxy(call) ? HTTP_FAILED_PROXY : HTTP_FAILED_CONNECT;
        default:
                return HTTP_FAILED_OTHER;
        }
}

/* With TLS 1.3 a server refuses the client's certificate, or the lack of one, only when the request
 * is on its way: to libcurl that is an error of reading. */
static bool was_alerted(const HttpCall *call)
{
        return strstr(call->error, "SSL") && strstr(call->error, "alert");
}

static HttpFailure failure_of(const HttpCall *call, CURLcode code)
{
        switch (code) {
        case CURLE_OK:
                return call->header_whole ? HTTP_ANSWERED : HTTP_FAILED_CUT;
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CRL_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_ENGINE_NOTFOUND:
        case CURLE_SSL_ENGINE_SETFAILED:
        case CURLE_SSL_ENGINE_INITFAILED:
        case CURLE_SSL_INVALIDCERTSTATUS:
        case CURLE_SSL_CLIENTCERT:
        case CURLE_USE_SSL_FAILED:
                return HTTP_FAILED_TLS;
        case CURLE_FILESIZE_EXCEEDED:
                return HTTP_FAILED_TOO_BIG;
        case CURLE_WRITE_ERROR:
                return call->out_of_memory ? HTTP_FAILED_OTHER : HTTP_FAILED_TOO_BIG;
        case CURLE_OUT_OF_MEMORY:
                return HTTP_FAILED_OTHER;
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
                if (was_alerted(call))
                        return HTTP_FAILED_TLS;
                break;
        default:
                break;
        }
        if (call->n_sendings == 0)
                return unsent_failure(call, code);
        return code == CURLE_OPERATION_TIMEDOUT ? HTTP_FAILED_TIMEOUT : HTTP_FAILED_CUT;
}

/* curl's own text says what, but of a refused connection not why. */
static const char *message_of(HttpCall *call, HttpFailure failure, CURLcode code)
{
        size_t size = strlen(call->error);
        long error = 0;

        if (call->resend_refused)
                return "the server had closed the kept connection before it answered";
        if (code == CURLE_OK)
                return "the connection ended within the header of the answer";
        if (failure == HTTP_FAILED_TOO_BIG)
                return call->header_size > HTTP_HEADERS_MAX
                               ? "the header of the answer is larger than 128 KiB"
                               : "the answer is larger than 64 MiB";
        if (code == CURLE_COULDNT_CONNECT)
                error = info_long(call, CURLINFO_OS_ERRNO);
        if (size == 0)
                return curl_easy_strerror(code);
        if (error != 0)
                (void)snprintf(call->error + size, sizeof(call->error) - size, " (%s)",
                               strerror((int)error));
        return call->error;
}

/* "application/json; charset=utf-8" → application/json */
static Slice content_type_of(const HttpCall *call)
{
        char *type = NULL;
        size_t size;

        (void)curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
        if (!type)
                return SLICE_NULL;
        size = strcspn(type, ";");
        while (size > 0 && isspace((unsigned char)type[size - 1]))
                size--;
        return (Slice){ type, size };
}

/* Both forms of Retry-After are curl's to read. */
static usec_t retry_after_of(const HttpCall *call)
{
        curl_off_t seconds = 0;

        (void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &seconds);
        return (usec_t)CLAMP(seconds, 0, HTTP_RETRY_AFTER_MAX_SECONDS) * USEC_PER_SEC;
}

void http_answer_read(HttpCall *call, CURLcode code, HttpAnswer *ret)
{
        HttpFailure failure = failure_of(call, code);

        *ret = (HttpAnswer){
                .failure = failure,
                .message = failure == HTTP_ANSWERED ? NULL : message_of(call, failure, code),
                .sent = call->n_sendings > 0,
                .status = (unsigned)info_long(call, CURLINFO_RESPONSE_CODE),
                .content_type = content_type_of(call),
                .body = buffer_slice(&call->body),
                .retry_after_usec = retry_after_of(call),
                .took_usec = clock_monotonic_usec() - call->started_usec,
        };
}

int64_t http_call_date_msec(const HttpCall *call)
{
        struct curl_header *header;
        time_t seconds;

        if (curl_easy_header(call->easy, "Date", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
                return 0;
        seconds = curl_getdate(header->value, NULL);
        return seconds < 0 ? 0 : (int64_t)seconds * 1000;
}
