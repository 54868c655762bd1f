/* SPDX-License-Identifier: Apache-2.0 */

/* An example of a handler as a C library: the digest of a file or a text.
 *
 *   input    {"path": "/etc/os-release"}  or  {"text": "abc"}
 *   config   algorithm: any that OpenSSL knows; "sha256" if not set
 *   output   {"algorithm": "sha256", "digest": "ba7816bf…", "bytes": 3}
 *
 * Build it:   cc -shared -fPIC -O2 -o hash.so hash.c $(pkg-config --cflags --libs libcrypto)
 * Look at it: yardmaster-runner --describe ./hash.so
 * Try it:     yardmasterd run hash --once --input '{"text": "abc"}' -- ./hash.so
 * Use it:     put hash.so where `pkg-config --variable=handlerdir yardmaster-handler` says, copy
 *             hash.conf into conf.d beside yardmaster.conf, yardctl reload.
 *
 * A file that is not there fails for good, since no retry makes it appear; one that cannot be read
 * just now is worth another try. Large files show their progress, answer a cancel within one block
 * and give a sign of life with each. yardmaster-handler(3) tells of every call. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/evp.h>
#include <yardmaster-handler.h>

#define BLOCK_SIZE    (64 * 1024)
#define PROGRESS_STEP (16 * 1024 * 1024) /* bytes between two reports */

/* Of all threads: set once, in init. */
static const char *algorithm_name;
static const EVP_MD *algorithm;

static int hash_init(const struct yardmaster_host *host, const char *config_json, void **ret_state)
{
        algorithm_name = host->config_string("algorithm");
        if (!algorithm_name)
                algorithm_name = "sha256";
        algorithm = EVP_get_digestbyname(algorithm_name);
        if (!algorithm) {
                host->error("algorithm must be a digest's name, such as sha256 or sha512");
                return -EINVAL;
        }
        return 0;
}

/* A context costs more than a small digest, so each thread keeps one. */
static int hash_thread_init(void *state, void **ret_thread)
{
        *ret_thread = EVP_MD_CTX_new();
        return *ret_thread ? 0 : -ENOMEM;
}

static void hash_thread_deinit(void *thread)
{
        EVP_MD_CTX_free(thread);
}

static int hash_fd(EVP_MD_CTX *context, const struct yardmaster_task *task, int fd,
                   int64_t *ret_bytes)
{
        const struct yardmaster_host *host = task->host;
        unsigned char block[BLOCK_SIZE];
        int64_t bytes = 0, reported = 0;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        for (;;) {
                ssize_t n = read(fd, block, sizeof(block));

                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                if (EVP_DigestUpdate(context, block, (size_t)n) != 1)
                        return -EIO;
                bytes += n;
                host->heartbeat(task);
                if (host->cancelled(task))
                        return -ECANCELED;
                if (bytes - reported >= PROGRESS_STEP) {
                        double percent = st.st_size > 0 ? 100.0 * bytes / st.st_size : -1;

                        (void)host->progress(task, percent, "reading", NULL, NULL);
                        reported = bytes;
                }
        }
        *ret_bytes = bytes;
        return 0;
}

static int hash_file(EVP_MD_CTX *context, const struct yardmaster_task *task, const char *path,
                     struct yardmaster_result *result, int64_t *ret_bytes)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC), r;

        if (fd < 0)
                r = -errno;
        else
                r = hash_fd(context, task, fd, ret_bytes);
        if (fd >= 0)
                (void)close(fd);
        if (r < 0)
                task->host->error(path);
        if (r == -ENOENT || r == -EISDIR || r == -ENOTDIR)
                (void)task->host->set_status(result, YARDMASTER_FAILED_WITH_TERMINAL_ERROR);
        return r;
}

static int set_digest(EVP_MD_CTX *context, const struct yardmaster_host *host,
                      struct yardmaster_result *result)
{
        unsigned char digest[EVP_MAX_MD_SIZE];
        char text[2 * EVP_MAX_MD_SIZE + 1] = "";
        unsigned int size;

        if (EVP_DigestFinal_ex(context, digest, &size) != 1)
                return -EIO;
        for (unsigned int i = 0; i < size; i++)
                (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
        return host->add_string(result, "digest", text);
}

static int hash_execute(void *thread, const struct yardmaster_task *task,
                        struct yardmaster_result *result)
{
        const struct yardmaster_host *host = task->host;
        const char *path = host->input_string(task, "path");
        const char *text = host->input_string(task, "text");
        EVP_MD_CTX *context = thread;
        int64_t bytes = 0;
        int r;

        if (!path == !text) {
                host->error("the input must have either \"path\" or \"text\", a string");
                (void)host->set_status(result, YARDMASTER_FAILED_WITH_TERMINAL_ERROR);
                return -EINVAL;
        }
        if (EVP_DigestInit_ex(context, algorithm, NULL) != 1)
                return -EIO;
        if (path) {
                r = hash_file(context, task, path, result, &bytes);
                if (r < 0)
                        return r;
        } else {
                bytes = (int64_t)strlen(text);
                if (EVP_DigestUpdate(context, text, strlen(text)) != 1)
                        return -EIO;
        }
        (void)host->add_string(result, "algorithm", algorithm_name);
        r = set_digest(context, host, result);
        return r < 0 ? r : host->add_int64(result, "bytes", bytes);
}

static struct yardmaster_handler handler = {
        .name = "hash",
        .version = "1",
        .description = "digest of a file or a text",
        .init = hash_init,
        .thread_init = hash_thread_init,
        .execute = hash_execute,
        .thread_deinit = hash_thread_deinit,
};
YARDMASTER_HANDLER(handler)
