/* tls.c -- GnuTLS's only user. */
#include "tls.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 8, FILE_MOST = 1 << 20 };

/* A copy of what the configuration says, since that is freed at a reload. */
struct owner {
    uint8_t sha256[32]; /* a pin, when name is empty */
    char name[LJS_LABEL_MAX];
    char peer[LJS_LABEL_MAX];
};

struct tls_state {
    unsigned uses;
    gnutls_certificate_credentials_t own;
    gnutls_x509_trust_list_t clients; /* NULL without client-ca */
    struct owner *owners;
    size_t owners_len;
};

struct tls {
    pthread_mutex_t lock; /* of both, and of every state's uses */
    struct tls_state *now;
    unsigned generation;
};

int tls_no_certificate(void)
{
    return -1;
}

/* ---- states ----------------------------------------------------------------- */

static void free_state(struct tls_state *state)
{
    if (!state)
        return;
    if (state->own)
        gnutls_certificate_free_credentials(state->own);
    if (state->clients)
        gnutls_x509_trust_list_deinit(state->clients, 1);
    free(state->owners);
    free(state);
}

static int complain_file(const char *path, int err)
{
    complain("%s: %s", path, gnutls_strerror(err));
    return USAGE;
}

static int read_own(struct tls_state *state, const struct config *config)
{
    ljs_buf certificate = { NULL, 0 }, key = { NULL, 0 };
    int err, code = read_all(&certificate, config->tls_certificate, FILE_MOST);

    if (!code)
        code = read_all(&key, config->tls_key, FILE_MOST);
    if (!code && (err = gnutls_certificate_allocate_credentials(&state->own)) < 0)
        code = complain_file(config->tls_certificate, err);
    if (!code) {
        gnutls_datum_t c = { certificate.data, (unsigned)certificate.len }, k = { key.data, (unsigned)key.len };

        err = gnutls_certificate_set_x509_key_mem2(state->own, &c, &k, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (err == GNUTLS_E_CERTIFICATE_KEY_MISMATCH) {
            complain("%s: this is not the key of the certificate in %s", config->tls_key, config->tls_certificate);
            code = USAGE;
        } else if (err < 0) {
            complain("%s, %s: %s", config->tls_certificate, config->tls_key, gnutls_strerror(err));
            code = USAGE;
        }
    }
    ljs_buf_free(&certificate);
    ljs_buf_free(&key);
    return code;
}

static int read_clients(struct tls_state *state, const struct config *config)
{
    int n;

    if (!config->client_ca)
        return DONE;
    if ((n = gnutls_x509_trust_list_init(&state->clients, 0)) < 0)
        return complain_file(config->client_ca, n);
    n = gnutls_x509_trust_list_add_trust_file(state->clients, config->client_ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    if (n < 0)
        return complain_file(config->client_ca, n);
    if (n == 0) {
        complain("%s: there is no certificate in it", config->client_ca);
        return USAGE;
    }
    return DONE;
}

static void set_text(char out[LJS_LABEL_MAX], const char *text)
{
    size_t n = strnlen(text, LJS_LABEL_MAX - 1);

    memcpy(out, text, n);
    out[n] = '\0';
}

static int make_state(struct tls_state **out, const struct config *config)
{
    struct tls_state *state = calloc(1, sizeof *state);
    int code = state ? DONE : FAILED;

    *out = NULL;
    if (state && config->pins_len + config->names_len) {
        state->owners = calloc(config->pins_len + config->names_len, sizeof *state->owners);
        code = state->owners ? DONE : FAILED;
    }
    if (code) {
        complain("serve: out of memory");
        free_state(state);
        return code;
    }
    for (size_t i = 0; i < config->pins_len; i++) {
        struct owner *o = &state->owners[state->owners_len++];

        memcpy(o->sha256, config->pins[i].sha256, sizeof o->sha256);
        set_text(o->peer, config->pins[i].peer);
    }
    for (size_t i = 0; i < config->names_len; i++) {
        struct owner *o = &state->owners[state->owners_len++];

        set_text(o->name, config->names[i].name);
        set_text(o->peer, config->names[i].peer);
    }
    state->uses = 1;
    code = read_own(state, config);
    if (!code)
        code = read_clients(state, config);
    if (code)
        free_state(state);
    else
        *out = state;
    return code;
}

static struct tls_state *take(struct tls *tls)
{
    struct tls_state *state;

    pthread_mutex_lock(&tls->lock);
    state = tls->now;
    state->uses++;
    pthread_mutex_unlock(&tls->lock);
    return state;
}

void tls_end(struct tls *tls, struct tls_state *state)
{
    bool last;

    pthread_mutex_lock(&tls->lock);
    last = --state->uses == 0;
    pthread_mutex_unlock(&tls->lock);
    if (last)
        free_state(state);
}

int tls_new(struct tls **out, const struct config *config)
{
    struct tls *tls = calloc(1, sizeof *tls);
    int code;

    *out = NULL;
    if (!tls) {
        complain("serve: out of memory");
        return FAILED;
    }
    if ((code = make_state(&tls->now, config))) {
        free(tls);
        return code;
    }
    pthread_mutex_init(&tls->lock, NULL);
    *out = tls;
    return DONE;
}

int tls_reload(struct tls *tls, const struct config *config)
{
    struct tls_state *next, *old;
    int code = make_state(&next, config);

    if (code)
        return code;
    pthread_mutex_lock(&tls->lock);
    old = tls->now;
    tls->now = next;
    tls->generation++;
    pthread_mutex_unlock(&tls->lock);
    tls_end(tls, old);
    return DONE;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    tls_end(tls, tls->now);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

/* ---- connections ------------------------------------------------------------ */

struct tls_state *tls_begin(struct tls *tls, void *session)
{
    struct tls_state *state = take(tls);

    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, state->own);
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
    /* Without a list of authorities clients send whatever they have: a pinned certificate
     * may be signed by nobody we know. */
    gnutls_certificate_send_x509_rdn_sequence(session, 1);
    return state;
}

unsigned tls_generation(struct tls *tls)
{
    unsigned generation;

    pthread_mutex_lock(&tls->lock);
    generation = tls->generation;
    pthread_mutex_unlock(&tls->lock);
    return generation;
}

static const struct owner *pinned(const struct tls_state *state, const gnutls_datum_t *certificate)
{
    uint8_t sha256[32];

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, certificate->data, certificate->size, sha256) < 0)
        return NULL;
    for (size_t i = 0; i < state->owners_len; i++)
        if (!*state->owners[i].name && !memcmp(state->owners[i].sha256, sha256, sizeof sha256))
            return &state->owners[i];
    return NULL;
}

static const struct owner *named(const struct tls_state *state, const char *text, size_t text_len)
{
    if (text_len && text[text_len - 1] == '\0')
        text_len--;
    for (size_t i = 0; i < state->owners_len; i++)
        if (text_len && strlen(state->owners[i].name) == text_len && !memcmp(state->owners[i].name, text, text_len))
            return &state->owners[i];
    return NULL;
}

/* By the common name, then by DNS names, addresses and URIs among the alternative ones. */
static const struct owner *named_in(const struct tls_state *state, gnutls_x509_crt_t certificate)
{
    char text[LJS_LABEL_MAX];
    size_t n = sizeof text;
    const struct owner *owner = NULL;
    int type;

    if (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, text, &n) >= 0)
        owner = named(state, text, n);
    for (unsigned i = 0; !owner; i++) {
        n = sizeof text;
        type = gnutls_x509_crt_get_subject_alt_name(certificate, i, text, &n, NULL);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_URI || type == GNUTLS_SAN_RFC822NAME)
            owner = named(state, text, n);
    }
    return owner;
}

/* Told of the certificate that was shown, when client-ca vouches for it. */
typedef void look_fn(void *user, const struct tls_state *state, gnutls_x509_crt_t certificate);

static void look_at_chain(const struct tls_state *state, const gnutls_datum_t *chain, unsigned chain_len, look_fn *look,
                          void *user)
{
    gnutls_x509_crt_t certificates[CHAIN_MAX];
    gnutls_typed_vdata_st purpose = { GNUTLS_DT_KEY_PURPOSE_OID, (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT,
                                      0 };
    unsigned n = 0, status = 0;

    if (!state->clients || chain_len > CHAIN_MAX)
        return;
    for (; n < chain_len; n++) {
        if (gnutls_x509_crt_init(&certificates[n]) < 0)
            goto out;
        if (gnutls_x509_crt_import(certificates[n], &chain[n], GNUTLS_X509_FMT_DER) < 0) {
            n++;
            goto out;
        }
    }
    if (gnutls_x509_trust_list_verify_crt2(state->clients, certificates, n, &purpose, 1, 0, &status, NULL) >= 0 &&
        status == 0)
        look(user, state, certificates[0]);
out:
    while (n)
        gnutls_x509_crt_deinit(certificates[--n]);
}

static void look_for_owner(void *user, const struct tls_state *state, gnutls_x509_crt_t certificate)
{
    *(const struct owner **)user = named_in(state, certificate);
}

static void look_for_name(void *user, const struct tls_state *state, gnutls_x509_crt_t certificate)
{
    char *name = user, text[LJS_LABEL_MAX];
    size_t n = sizeof text;

    (void)state;
    if (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, text, &n) >= 0 &&
        strnlen(text, n) == n) /* "boss\0.example" is not "boss" */
        set_text(name, text);
}

bool tls_peer(char peer[LJS_LABEL_MAX], struct tls *tls, void *session)
{
    struct tls_state *state = take(tls); /* today's, not that of the handshake */
    unsigned n = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);
    const struct owner *owner = NULL;

    *peer = '\0';
    if (chain && n)
        owner = pinned(state, &chain[0]);
    if (chain && n && !owner)
        look_at_chain(state, chain, n, look_for_owner, &owner);
    if (owner)
        set_text(peer, owner->peer);
    tls_end(tls, state);
    return owner != NULL;
}

bool tls_name(char name[LJS_LABEL_MAX], struct tls *tls, void *session)
{
    struct tls_state *state = take(tls);
    unsigned n = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);

    *name = '\0';
    if (chain && n)
        look_at_chain(state, chain, n, look_for_name, name);
    tls_end(tls, state);
    return *name != '\0';
}

bool tls_expiry(int64_t *out, const char *path)
{
    gnutls_datum_t text;
    gnutls_x509_crt_t *certificates = NULL;
    unsigned n = 0;

    *out = INT64_MAX;
    if (gnutls_load_file(path, &text) < 0)
        return false;
    if (gnutls_x509_crt_list_import2(&certificates, &n, &text, GNUTLS_X509_FMT_PEM, 0) < 0)
        n = 0;
    gnutls_memset(text.data, 0, text.size); /* a private key may be in the same file */
    gnutls_free(text.data);
    for (unsigned i = 0; i < n; i++) {
        int64_t end = (int64_t)gnutls_x509_crt_get_expiration_time(certificates[i]);

        *out = end < *out ? end : *out;
        gnutls_x509_crt_deinit(certificates[i]);
    }
    gnutls_free(certificates);
    return n > 0;
}
