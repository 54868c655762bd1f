/* SPDX-License-Identifier: Apache-2.0 */

/* An example of a handler as a C++ library: statistics of the words in a text or a file.
 *
 *   input    {"text": "to be or not to be"}  or  {"path": "/usr/share/common-licenses/GPL-3"}
 *   config   min_length: shorter words are not counted; 1 if not set
 *   output   {"words": 6, "unique": 4, "longest": "not", "mostFrequent": "be", "occurrences": 2}
 *
 * Build it:   c++ -std=c++17 -shared -fPIC -O2 -o words.so words.cc
 * Try it:     yardmasterd run words --once --input '{"text": "to be or not to be"}' -- ./words.so
 * Use it:     put words.so where `pkg-config --variable=handlerdir yardmaster-handler` says, copy
 *             words.conf into conf.d beside yardmaster.conf, yardctl reload.
 *
 * No exception may pass into the runner, which is C: execute catches all of them. */

#include <cctype>
#include <cerrno>
#include <fstream>
#include <map>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <yardmaster-handler.h>

namespace
{

struct Settings {
        int64_t min_length = 1;
};

/* The runner adds the text of the errno value to the reason. */
struct Failure : std::runtime_error {
        Failure(int error, const std::string &what) : std::runtime_error(what), error(error)
        {
        }

        int error;
};

class Statistics
{
      public:
        explicit Statistics(const Settings &settings) : settings(settings)
        {
        }

        void add(const std::string &word)
        {
                if (static_cast<int64_t>(word.size()) < settings.min_length)
                        return;
                words++;
                occurrences[word]++;
                if (word.size() > longest.size())
                        longest = word;
        }

        void store(const yardmaster_host *host, yardmaster_result *result) const
        {
                const std::pair<const std::string, int64_t> *most = nullptr;

                for (const auto &entry : occurrences) {
                        if (!most || entry.second > most->second)
                                most = &entry;
                }
                check(host->add_int64(result, "words", words));
                check(host->add_int64(result, "unique", occurrences.size()));
                check(host->add_string(result, "longest", longest.c_str()));
                check(host->add_string(result, "mostFrequent", most ? most->first.c_str() : ""));
                check(host->add_int64(result, "occurrences", most ? most->second : 0));
        }

      private:
        static void check(int r)
        {
                if (r < 0)
                        throw Failure(-r, "the result");
        }

        const Settings &settings;
        int64_t words = 0;
        std::map<std::string, int64_t> occurrences;
        std::string longest;
};

/* Letters and digits make words; so does all beyond ASCII, which keeps words of UTF-8 whole. */
bool is_word(char c)
{
        const auto byte = static_cast<unsigned char>(c);

        return byte >= 0x80 || std::isalnum(byte);
}

void count(std::istream &text, const yardmaster_task *task, Statistics &statistics)
{
        const yardmaster_host *host = task->host;
        std::string line;

        while (std::getline(text, line)) {
                std::string word;

                for (char c : line + '\n') {
                        if (is_word(c)) {
                                word += static_cast<char>(
                                        std::tolower(static_cast<unsigned char>(c)));
                        } else if (!word.empty()) {
                                statistics.add(word);
                                word.clear();
                        }
                }
                host->heartbeat(task);
                if (host->cancelled(task))
                        throw Failure(ECANCELED, "counting");
        }
}

void execute(const Settings &settings, const yardmaster_task *task, yardmaster_result *result)
{
        const yardmaster_host *host = task->host;
        const char *path = host->input_string(task, "path");
        const char *text = host->input_string(task, "text");
        Statistics statistics(settings);

        if (!path == !text) {
                host->set_status(result, YARDMASTER_FAILED_WITH_TERMINAL_ERROR);
                throw Failure(EINVAL, R"(the input must have either "path" or "text", a string)");
        }
        if (path) {
                std::ifstream file(path);

                if (!file)
                        throw Failure(errno != 0 ? errno : EIO, path);
                count(file, task, statistics);
        } else {
                std::istringstream stream(text);

                count(stream, task, statistics);
        }
        statistics.store(host, result);
}

int words_init(const yardmaster_host *host, const char *, void **ret_state)
{
        auto *settings = new (std::nothrow) Settings;

        if (!settings)
                return -ENOMEM;
        if (host->config_int64("min_length", &settings->min_length) == -EINVAL) {
                host->error("min_length must be a whole number");
                delete settings;
                return -EINVAL;
        }
        *ret_state = settings;
        return 0;
}

int words_execute(void *thread, const yardmaster_task *task, yardmaster_result *result)
{
        try {
                execute(*static_cast<Settings *>(thread), task, result);
                return 0;
        } catch (const Failure &failure) {
                task->host->error(failure.what());
                return -failure.error;
        } catch (const std::bad_alloc &) {
                return -ENOMEM;
        } catch (const std::exception &error) {
                task->host->error(error.what());
                return -EIO;
        }
}

void words_deinit(void *state)
{
        delete static_cast<Settings *>(state);
}

yardmaster_handler make_handler()
{
        yardmaster_handler handler = {};

        handler.name = "words";
        handler.version = "1";
        handler.description = "statistics of the words in a text or a file";
        handler.init = words_init;
        handler.execute = words_execute;
        handler.deinit = words_deinit;
        return handler;
}

yardmaster_handler handler = make_handler();

} // namespace

YARDMASTER_HANDLER(handler)
