#include "client.h"

#include "tool.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BODY_MAX = 65536 };

struct slot {
    struct client *client;
    CURL *easy;
    bool busy;
    bool sent;     /* or begun to be */
    bool had_idle; /* there was an idle connection to send it over */
    unsigned era;
    size_t len;
    uint8_t body[BODY_MAX];
};

struct client {
    CURLM *multi;
    struct curl_slist *headers;
    client_done *done;
    void *user;
    unsigned slots_len, in_flight;
    unsigned opened, era; /* connections since the last was cut; how often one was */
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

/* libcurl sends again by itself when a connection that was kept alive turns out to be dead.
 * A device would know nothing of that, so here it is no answer. */
static int before_sending(void *user, char *to, char *from, int to_port, int from_port)
{
    struct slot *slot = user;

    (void)to, (void)from, (void)to_port, (void)from_port;
    slot->sent = true;
    return CURL_PREREQFUNC_OK;
}

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *at)
{
    const struct slot *slot = user;

    (void)purpose;
    return slot->sent ? CURL_SOCKET_BAD : socket(at->family, at->socktype, at->protocol);
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
           !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)opts->timeout_ms) &&
           !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take) && !curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot) &&
           !curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_sending) &&
           !curl_easy_setopt(easy, CURLOPT_PREREQDATA, slot) &&
           !curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) &&
           !curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, slot) && !curl_easy_setopt(easy, CURLOPT_PRIVATE, slot) &&
           /* Whom to trust is the file alone; a directory would be read anew for every connection. */
           (!opts->ca ||
            (!curl_easy_setopt(easy, CURLOPT_CAINFO, opts->ca) && !curl_easy_setopt(easy, CURLOPT_CAPATH, NULL))) &&
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
    if (more && opts->header)
        more = curl_slist_append(client->headers, opts->header);
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
    slot->sent = false;
    if (curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, body) ||
        curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long)body_len) ||
        curl_multi_add_handle(client->multi, slot->easy))
        return complain_err(LJS_E_NOMEM, "libcurl");
    slot->busy = true;
    slot->had_idle = client->opened > client->in_flight;
    slot->era = client->era;
    client->in_flight++;
    return DONE;
}

static enum client_fate fate(const struct slot *slot, CURLcode code)
{
    if (code == CURLE_OK)
        return FATE_ANSWERED;
    if (!slot->sent)
        return FATE_NOT_SENT;
    return code == CURLE_OPERATION_TIMEDOUT ? FATE_TIMED_OUT : FATE_UNKNOWN;
}

/* A connection that dies while it is idle is replaced without a word, but who looks for
 * outages must hear of it too: a new one was needed, though there was an idle one. */
static bool was_cut(struct client *client, const struct slot *slot, CURLcode code)
{
    long connects = 0;

    curl_easy_getinfo(slot->easy, CURLINFO_NUM_CONNECTS, &connects);
    if (code == CURLE_OK && !connects)
        return false;
    if (code == CURLE_OK && !(slot->had_idle && slot->era == client->era)) {
        client->opened++;
        return false;
    }
    client->opened = code == CURLE_OK;
    if (slot->era != client->era)
        return false; /* told already */
    client->era++;
    return true;
}

static void finish(struct client *client, CURL *easy, CURLcode code)
{
    char *private = NULL;
    struct slot *slot;
    curl_off_t before = 0, total = 0;
    struct client_answer answer = { .error = code ? curl_easy_strerror(code) : NULL };

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    slot = (struct slot *)(void *)private;
    answer.fate = fate(slot, code);
    answer.cut = was_cut(client, slot, code);
    if (answer.fate == FATE_UNKNOWN)
        answer.error = "the connection ended before the answer";
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

void client_wake(struct client *client)
{
    curl_multi_wakeup(client->multi);
}

bool client_url_ok(const char *url, bool *secure, bool *loopback)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL, *password = NULL;
    bool good = u && !curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
                !curl_url_get(u, CURLUPART_HOST, &host, 0) && curl_url_get(u, CURLUPART_USER, &user, 0) &&
                curl_url_get(u, CURLUPART_PASSWORD, &password, 0) &&
                (!strcmp(scheme, "http") || !strcmp(scheme, "https"));

    *secure = good && !strcmp(scheme, "https");
    *loopback = good && (!strcmp(host, "localhost") || !strcmp(host, "[::1]") ||
                         (!strncmp(host, "127.", 4) && !host[strspn(host, "0123456789.")]));
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(u);
    return good;
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
