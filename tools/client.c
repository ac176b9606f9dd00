#include "client.h"

#include "tool.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 65536 };

struct slot {
    struct client *client;
    CURL *easy;
    bool busy;
    size_t len;
    uint8_t body[BODY_MAX];
};

struct client {
    CURLM *multi;
    struct curl_slist *headers;
    client_done *done;
    void *user;
    unsigned slots_len, in_flight;
    struct slot slots[];
};

/* Never more than room: a body that is too long is an error of the transfer. */
static size_t take(char *in, size_t size, size_t n, void *user)
{
    struct slot *slot = user;

    if (size * n > sizeof slot->body - slot->len)
        return 0;
    memcpy(slot->body + slot->len, in, size * n);
    slot->len += size * n;
    return size * n;
}

static bool prepare(struct slot *slot, const struct client_opts *opts)
{
    CURL *easy = slot->easy = curl_easy_init();

    return easy && !curl_easy_setopt(easy, CURLOPT_URL, opts->url) &&
#if LIBCURL_VERSION_NUM >= 0x075500
           !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
#else
           !curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)) &&
#endif
           !curl_easy_setopt(easy, CURLOPT_PROXY, "") && /* what is measured is the server */
           !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) && !curl_easy_setopt(easy, CURLOPT_POST, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, slot->client->headers) &&
           !curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L) &&
           !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)opts->timeout_ms) &&
           !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take) && !curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot) &&
           !curl_easy_setopt(easy, CURLOPT_PRIVATE, slot) &&
           (!opts->ca || !curl_easy_setopt(easy, CURLOPT_CAINFO, opts->ca)) &&
           (!opts->cert || !curl_easy_setopt(easy, CURLOPT_SSLCERT, opts->cert)) &&
           (!opts->cert_key || !curl_easy_setopt(easy, CURLOPT_SSLKEY, opts->cert_key));
}

int client_new(struct client **out, const struct client_opts *opts, client_done *done, void *user)
{
    struct client *client;
    struct curl_slist *more;
    bool good;

    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return complain_err(LJS_E_NOMEM, "libcurl");
    client = calloc(1, sizeof *client + opts->connections * sizeof *client->slots);
    if (!client)
        return complain_err(LJS_E_NOMEM, "libcurl");
    client->done = done;
    client->user = user;
    client->slots_len = opts->connections;
    client->multi = curl_multi_init();
    client->headers = curl_slist_append(NULL, "Content-Type: application/json");
    more = client->headers ? curl_slist_append(client->headers, "Expect:") : NULL; /* no 100-continue */
    good = client->multi && more && !curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)opts->connections) &&
           !curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    for (unsigned i = 0; good && i < client->slots_len; i++) {
        client->slots[i].client = client;
        good = prepare(&client->slots[i], opts);
    }
    if (!good) {
        client_free(client);
        return complain_err(LJS_E_NOMEM, "libcurl");
    }
    *out = client;
    return DONE;
}

void client_free(struct client *client)
{
    if (!client)
        return;
    for (unsigned i = 0; i < client->slots_len; i++) {
        struct slot *slot = &client->slots[i];

        if (slot->busy)
            curl_multi_remove_handle(client->multi, slot->easy);
        curl_easy_cleanup(slot->easy);
        explicit_bzero(slot->body, sizeof slot->body);
    }
    curl_multi_cleanup(client->multi);
    curl_slist_free_all(client->headers);
    free(client);
    curl_global_cleanup();
}

int client_slot(const struct client *client)
{
    for (unsigned i = 0; i < client->slots_len; i++)
        if (!client->slots[i].busy)
            return (int)i;
    return -1;
}

unsigned client_in_flight(const struct client *client)
{
    return client->in_flight;
}

int client_post(struct client *client, unsigned i, const void *body, size_t body_len)
{
    struct slot *slot = &client->slots[i];

    slot->len = 0;
    if (curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, body) ||
        curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long)body_len) ||
        curl_multi_add_handle(client->multi, slot->easy))
        return complain_err(LJS_E_NOMEM, "libcurl");
    slot->busy = true;
    client->in_flight++;
    return DONE;
}

static enum client_fate fate(CURL *easy, CURLcode code)
{
    curl_off_t sent = 0;

    if (code == CURLE_OK)
        return FATE_ANSWERED;
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_SSL_CONNECT_ERROR)
        return FATE_NOT_SENT;
    if (code == CURLE_OPERATION_TIMEDOUT) {
        curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
        return sent ? FATE_TIMED_OUT : FATE_NOT_SENT;
    }
    return FATE_UNKNOWN;
}

static void finish(struct client *client, CURL *easy, CURLcode code)
{
    char *private = NULL;
    struct slot *slot;
    curl_off_t before = 0, total = 0;
    struct client_answer answer = { .fate = fate(easy, code), .error = code ? curl_easy_strerror(code) : NULL };

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    slot = (struct slot *)(void *)private;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &before); /* connecting is not the server's time */
    curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &total);
    answer.us = total - before;
    answer.body = slot->body;
    answer.body_len = slot->len;
    curl_multi_remove_handle(client->multi, easy);
    slot->busy = false;
    client->in_flight--;
    client->done(client->user, (unsigned)(slot - client->slots), &answer);
    explicit_bzero(slot->body, slot->len); /* keys may have come in clear */
}

int client_run(struct client *client, int ms)
{
    CURLMsg *message;
    int running, left;

    if (curl_multi_perform(client->multi, &running) || (running && curl_multi_poll(client->multi, NULL, 0, ms, NULL)) ||
        curl_multi_perform(client->multi, &running))
        return complain_err(LJS_E_NOMEM, "libcurl");
    while ((message = curl_multi_info_read(client->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            finish(client, message->easy_handle, message->data.result);
    return DONE;
}
