/* SPDX-License-Identifier: Apache-2.0 */

/* HTTPS beside a server with certificates of a throw-away authority. */

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include "http-fixture.h"

#define DAY_SECONDS 86400L

typedef struct Identity {
        EVP_PKEY *key;
        X509 *certificate;
} Identity;

static Identity authority, host, stranger, client;
static SSL_CTX *context;
static unsigned n_resumed;
static char folder[] = "/tmp/yardmaster-test-http-XXXXXX";
static char ca_file[64], certificate_file[64], key_file[64];

static void add_extension(X509 *certificate, int nid, const char *value)
{
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

        ck_assert_ptr_nonnull(extension);
        ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
        X509_EXTENSION_free(extension);
}

/* Signed by the authority, or by itself if that is what it is. */
static void identity_init(Identity *identity, const char *name, const char *alternative)
{
        static long serial = 1;
        bool is_authority = identity == &authority;
        X509_NAME *subject;

        identity->key = EVP_EC_gen("P-256");
        identity->certificate = X509_new();
        ck_assert_ptr_nonnull(identity->key);
        (void)X509_set_version(identity->certificate, X509_VERSION_3);
        (void)ASN1_INTEGER_set(X509_get_serialNumber(identity->certificate), serial++);
        (void)X509_gmtime_adj(X509_getm_notBefore(identity->certificate), -DAY_SECONDS);
        (void)X509_gmtime_adj(X509_getm_notAfter(identity->certificate), DAY_SECONDS);
        (void)X509_set_pubkey(identity->certificate, identity->key);
        subject = X509_get_subject_name(identity->certificate);
        (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name,
                                         -1, -1, 0);
        (void)X509_set_issuer_name(identity->certificate,
                                   is_authority ? subject
                                                : X509_get_subject_name(authority.certificate));
        if (is_authority)
                add_extension(identity->certificate, NID_basic_constraints, "critical,CA:TRUE");
        if (alternative)
                add_extension(identity->certificate, NID_subject_alt_name, alternative);
        ck_assert_int_gt(X509_sign(identity->certificate, authority.key, EVP_sha256()), 0);
}

static void identity_deinit(Identity *identity)
{
        EVP_PKEY_free(identity->key);
        X509_free(identity->certificate);
}

static void write_certificate(char *path, size_t size, const char *name, X509 *certificate)
{
        FILE *file;

        (void)snprintf(path, size, "%s/%s", folder, name);
        file = fopen(path, "we");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(PEM_write_X509(file, certificate), 1);
        ck_assert_int_eq(fclose(file), 0);
}

static void write_key(char *path, size_t size, const char *name, EVP_PKEY *key)
{
        FILE *file;

        (void)snprintf(path, size, "%s/%s", folder, name);
        file = fopen(path, "we");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
        ck_assert_int_eq(fclose(file), 0);
}

/* A refused client is told why: what it sends meanwhile is read, or a reset would come first. */
static bool tls_refuse(Peer *peer)
{
        char rest[1024];

        (void)shutdown(peer->fd, SHUT_WR);
        while (plain_read(peer, rest, sizeof(rest)) > 0)
                ;
        return false;
}

static bool tls_open(Peer *peer)
{
        peer->tls = SSL_new(context);
        (void)SSL_set_fd(peer->tls, peer->fd);
        if (SSL_accept(peer->tls) != 1)
                return tls_refuse(peer);
        if (SSL_session_reused(peer->tls))
                server_count(peer->server, &n_resumed);
        return true;
}

static ssize_t tls_read(Peer *peer, void *data, size_t size)
{
        return SSL_read(peer->tls, data, (int)size);
}

static ssize_t tls_write(Peer *peer, const void *data, size_t size)
{
        return SSL_write(peer->tls, data, (int)size);
}

static void tls_close(Peer *peer)
{
        (void)SSL_shutdown(peer->tls);
        SSL_free(peer->tls);
}

/* A server without TLS that is spoken to in TLS. */
static bool plain_open(Peer *peer)
{
        (void)peer_text(peer, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        return false;
}

static bool script_ok(Peer *peer)
{
        return peer_answer(peer, "200 OK", "", "ok", 2);
}

static bool script_last(Peer *peer)
{
        return peer_answer(peer, "200 OK", "Connection: close\r\n", "ok", 2) && false;
}

/* A server that ends without TLS's own end: a part of the answer may be missing. */
static bool script_cut(Peer *peer)
{
        (void)peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        (void)shutdown(peer->fd, SHUT_RDWR);
        return false;
}

static const ServerPath paths[] = {
        { "GET /ok", script_ok },
        { "GET /last", script_last },
        { "GET /cut", script_cut },
        {},
};

static void present(const Identity *identity)
{
        ck_assert_int_eq(SSL_CTX_use_certificate(context, identity->certificate), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, identity->key), 1);
}

static void setup(void)
{
        static const ServerTransport transport = { tls_open, tls_read, tls_write, tls_close };

        (void)strcpy(folder, "/tmp/yardmaster-test-http-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        identity_init(&authority, "Throw-away authority", NULL);
        identity_init(&host, "host", "IP:127.0.0.1");
        identity_init(&stranger, "stranger", "DNS:stranger.example");
        identity_init(&client, "client", NULL);
        write_certificate(ca_file, sizeof(ca_file), "ca.pem", authority.certificate);
        write_certificate(certificate_file, sizeof(certificate_file), "client.pem",
                          client.certificate);
        write_key(key_file, sizeof(key_file), "client.key", client.key);
        context = SSL_CTX_new(TLS_server_method());
        (void)SSL_CTX_set_session_id_context(context, (const unsigned char *)"test", 4);
        present(&host);
        n_resumed = 0;
        http_setup_with(paths, &transport);
}

static void teardown(void)
{
        http_teardown();
        SSL_CTX_free(context);
        identity_deinit(&client);
        identity_deinit(&stranger);
        identity_deinit(&host);
        identity_deinit(&authority);
        (void)unlink(ca_file);
        (void)unlink(certificate_file);
        (void)unlink(key_file);
        ck_assert_int_eq(rmdir(folder), 0);
}

static void configure(HttpOptions options)
{
        ck_assert_int_eq(http_configure(http, &options), 0);
}

static void secure_get(Request *request, const char *path)
{
        char url[256];

        (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u%s", server.port, path);
        ck_assert_int_eq(http_call_set_url(request->call, url), 0);
        request_run(request);
}

START_TEST(test_trusted)
{
        Request request;

        request_init(&request, HTTP_GET, "/");
        configure((HttpOptions){ .verify = true, .ca_file = ca_file });
        for (unsigned i = 0; i < 3; i++) {
                secure_get(&request, "/ok");
                ck_assert_answered(&request, 200);
        }
        ck_assert_uint_eq(server_counter(&server, &server.n_connections), 1);
        secure_get(&request, "/cut");
        ck_assert_failed(&request, HTTP_FAILED_CUT, true);
        ck_assert_slice(buffer_slice(&request.body), "half");
        request_deinit(&request);
}
END_TEST

/* By another call, too: sessions are the server's, not a call's. */
START_TEST(test_session_reused)
{
        Request requests[2];

        configure((HttpOptions){ .verify = true, .ca_file = ca_file });
        for (size_t i = 0; i < 2; i++) {
                request_init(&requests[i], HTTP_GET, "/");
                secure_get(&requests[i], "/last");
                ck_assert_answered(&requests[i], 200);
        }
        ck_assert_uint_eq(server_counter(&server, &server.n_connections), 2);
        ck_assert_uint_eq(server_counter(&server, &n_resumed), 1);
        for (size_t i = 0; i < 2; i++)
                request_deinit(&requests[i]);
}
END_TEST

START_TEST(test_untrusted)
{
        Request request;

        request_init(&request, HTTP_GET, "/");
        secure_get(&request, "/ok");
        ck_assert_failed(&request, HTTP_FAILED_TLS, false);
        ck_assert(strstr(request.message, "certificate"));
        configure((HttpOptions){ .verify = false });
        secure_get(&request, "/ok");
        ck_assert_answered(&request, 200);
        configure((HttpOptions){ .verify = true });
        secure_get(&request, "/ok");
        ck_assert_failed(&request, HTTP_FAILED_TLS, false);
        configure((HttpOptions){ .verify = true, .ca_file = "/nonexistent/ca.pem" });
        secure_get(&request, "/ok");
        ck_assert_failed(&request, HTTP_FAILED_TLS, false);
        ck_assert(strstr(request.message, "/nonexistent/ca.pem"));
        ck_assert_uint_eq(server_counter(&server, &server.n_requests), 1);
        request_deinit(&request);
}
END_TEST

START_TEST(test_wrong_name)
{
        Request request;

        present(&stranger);
        request_init(&request, HTTP_GET, "/");
        configure((HttpOptions){ .verify = true, .ca_file = ca_file });
        secure_get(&request, "/ok");
        ck_assert_failed(&request, HTTP_FAILED_TLS, false);
        ck_assert(strstr(request.message, "127.0.0.1"));
        request_deinit(&request);
}
END_TEST

/* TLS 1.3 tells a client only after its request that a certificate was needed. */
START_TEST(test_client_certificate)
{
        Request request;

        ck_assert_int_eq(SSL_CTX_load_verify_file(context, ca_file), 1);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        request_init(&request, HTTP_GET, "/");
        configure((HttpOptions){ .verify = true, .ca_file = ca_file });
        secure_get(&request, "/ok");
        ck_assert_failed(&request, HTTP_FAILED_TLS, true);
        ck_assert_uint_eq(server_counter(&server, &server.n_requests), 0);
        configure((HttpOptions){
                .verify = true,
                .ca_file = ca_file,
                .certificate = certificate_file,
                .key = key_file,
        });
        secure_get(&request, "/ok");
        ck_assert_answered(&request, 200);
        configure((HttpOptions){
                .verify = true,
                .ca_file = ca_file,
                .certificate = "/nonexistent/client.pem",
                .key = key_file,
        });
        secure_get(&request, "/ok");
        ck_assert_failed(&request, HTTP_FAILED_TLS, false);
        ck_assert(strstr(request.message, "/nonexistent/client.pem"));
        request_deinit(&request);
}
END_TEST

/* Each side in the other's language. */
START_TEST(test_plain)
{
        static const ServerTransport plain = { .open = plain_open, .write = plain_write };
        Request request;

        request_init(&request, HTTP_GET, "/ok");
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_CUT, true);
        server_stop(&server);
        server_start(&server, paths, &plain, NULL);
        secure_get(&request, "/ok");
        ck_assert_failed(&request, HTTP_FAILED_TLS, false);
        request_deinit(&request);
}
END_TEST

UNIT_MAIN_WITH("http-tls", setup, teardown, test_trusted, test_session_reused, test_untrusted,
               test_wrong_name, test_client_certificate, test_plain);
