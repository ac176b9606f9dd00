/* A manifest as a stream: where its entries begin and end.  What is in them, element.c reads. */
#include "codec/element.h"

#include "base/secret.h"
#include "codec/secrets.h"
#include "keys/ring.h"

#include <stdlib.h>

/* What comes next. */
enum at { AT_START, AT_FIRST, AT_ENTRY, IN_ENTRY, AT_END, AT_FAULT };

struct ljs_manifest {
    enum at at;
    ljs_err fault;   /* why nothing more is read */
    uint64_t offset; /* of the next octet */
    uint64_t index, began;
    size_t depth;      /* brackets that are open in this entry: counted, not believed */
    bool text, escape; /* inside of quotes; behind a backslash */
    bool too_long;
    size_t len;
    uint8_t *octets; /* LJS_MANIFEST_ENTRY_MAX of them */
    struct sha256 *digest;
    struct belief belief;
    struct element element;
};

ljs_err ljs_manifest_new(ljs_manifest **out)
{
    ljs_manifest *m;
    struct ring *ring;
    ljs_err err = ljs__ring_take(&ring); /* which initialises libgcrypt as rings need it */

    *out = NULL;
    if (err)
        return err;
    ljs__ring_give(ring);
    if (!(m = calloc(1, sizeof *m)))
        return LJS_E_NOMEM;
    m->belief.unique_ids.width = UNIQUE_ID_LEN;
    m->belief.dev_euis.width = sizeof(ljs_eui);
    m->element.belief = &m->belief;
    m->octets = malloc(LJS_MANIFEST_ENTRY_MAX);
    m->element.room = malloc(ELEMENT_ROOM);
    err = !m->octets || !m->element.room ? LJS_E_NOMEM : ljs__sha256_new(&m->digest);
    if (err) {
        ljs_manifest_free(m);
        return err;
    }
    *out = m;
    return LJS_OK;
}

void ljs_manifest_free(ljs_manifest *manifest)
{
    if (!manifest)
        return;
    ljs__seen_drop(&manifest->belief.unique_ids);
    ljs__seen_drop(&manifest->belief.dev_euis);
    ljs__sha256_free(manifest->digest);
    free(manifest->element.room);
    free(manifest->octets);
    free(manifest);
}

ljs_err ljs_manifest_trust_signer(ljs_manifest *manifest, const uint8_t *in, size_t in_len)
{
    return ljs__trust_signer(&manifest->belief.trust, in, in_len);
}

ljs_err ljs_manifest_trust_root(ljs_manifest *manifest, const uint8_t *in, size_t in_len)
{
    return ljs__trust_root(&manifest->belief.trust, in, in_len);
}

ljs_err ljs_manifest_expect_join_eui(ljs_manifest *manifest, ljs_eui join_eui)
{
    struct belief *b = &manifest->belief;

    if (b->join_euis_len == LJS_MANIFEST_TRUST_MAX)
        return LJS_E_NOMEM;
    b->join_euis[b->join_euis_len++] = join_eui;
    return LJS_OK;
}

/* ---- the stream ------------------------------------------------------------------------ */

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void keep(ljs_manifest *m, uint8_t c)
{
    if (m->len == LJS_MANIFEST_ENTRY_MAX)
        m->too_long = true;
    else
        m->octets[m->len++] = c;
}

/* An octet of an entry; true when it is the one behind it: a comma, or the bracket that ends the array.  What
 * is no JSON ends at some such octet, too, and is refused as an entry. */
static bool inside(ljs_manifest *m, uint8_t c)
{
    if (m->text) {
        m->text = m->escape || c != '"';
        m->escape = !m->escape && c == '\\';
    } else if (c == '"') {
        m->text = true;
    } else if (c == '{' || c == '[') {
        m->depth++;
    } else if (!m->depth) {
        if (c == ',' || c == ']')
            return true;
        if (is_space(c)) /* any number of them may stand before the comma */
            return false;
    } else if (c == '}' || c == ']') {
        m->depth--;
    }
    keep(m, c);
    return false;
}

static void begin(ljs_manifest *m)
{
    m->at = IN_ENTRY;
    m->began = m->offset;
    m->depth = m->len = 0;
    m->text = m->escape = m->too_long = false;
}

/* true: an entry has ended; or the fault of `m` is set. */
static bool step(ljs_manifest *m, uint8_t c)
{
    if (m->at != IN_ENTRY && is_space(c))
        return false;
    if (m->at == AT_START && c == '[') {
        m->at = AT_FIRST;
        return false;
    }
    if (m->at == AT_FIRST && c == ']') {
        m->at = AT_END;
        return false;
    }
    if (m->at == AT_START || m->at == AT_END) {
        m->at = AT_FAULT;
        m->fault = LJS_E_INVAL;
        return false;
    }
    if (m->at != IN_ENTRY)
        begin(m);
    if (!inside(m, c))
        return false;
    m->at = c == ',' ? AT_ENTRY : AT_END;
    return true;
}

static ljs_err read_entry(ljs_manifest_entry *out, ljs_manifest *m)
{
    ljs_err err = LJS_OK;

    if (m->too_long)
        m->element.entry.verdict = out->verdict = LJS_MANIFEST_TOO_LONG;
    else if (!(err = ljs__element_read(&m->element, m->octets, m->len)))
        *out = m->element.entry;
    if (err) {
        m->at = AT_FAULT;
        return m->fault = err;
    }
    out->index = m->index++;
    out->offset = m->began;
    return LJS_OK;
}

static ljs_err next(ljs_manifest_entry *out, size_t *at, ljs_manifest *manifest, const uint8_t *in, size_t in_len)
{
    while (manifest->at != AT_FAULT && *at < in_len) {
        bool ended = step(manifest, in[*at]);

        if (manifest->at == AT_FAULT)
            break;
        manifest->offset++;
        ++*at;
        if (ended)
            return read_entry(out, manifest);
    }
    return manifest->at == AT_FAULT ? manifest->fault : LJS_E_NOTFOUND;
}

ljs_err ljs_manifest_next(ljs_manifest_entry *out, size_t *at, ljs_manifest *manifest, const uint8_t *in, size_t in_len)
{
    size_t from = *at;
    ljs_err err;

    memset(out, 0, sizeof *out);
    if (from > in_len)
        return LJS_E_INVAL;
    err = next(out, at, manifest, in, in_len);
    if (*at > from)
        ljs__sha256_add(manifest->digest, in + from, *at - from);
    return err;
}

ljs_err ljs_manifest_open_secret(ljs_manifest_secret *out, ljs_key **out_key, const ljs_manifest *manifest, unsigned i,
                                 const ljs_key *recipient)
{
    const struct element *e = &manifest->element;
    uint8_t *payload;
    size_t len;
    ljs_err err = LJS_E_STATE;

    memset(out, 0, sizeof *out);
    *out_key = NULL;
    if (!manifest->index || e->entry.verdict)
        return LJS_E_STATE;
    if (!(payload = malloc(e->payload.len)))
        return LJS_E_NOMEM;
    if (ljs__base64(payload, e->payload.len, &len, true, e->payload.at, e->payload.len))
        err = ljs__secret_read(out, out_key, payload, len, i, recipient);
    free(payload);
    return err;
}

ljs_err ljs_manifest_digest(ljs_buf *out, const ljs_manifest *manifest)
{
    uint8_t digest[32];
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (manifest->at != AT_END)
        return LJS_E_STATE;
    err = ljs__sha256_now(digest, manifest->digest);
    return err ? err : ljs_buf_copy(out, digest, sizeof digest);
}

ljs_err ljs__manifest_count(uint64_t *out, uint64_t *octets, const uint8_t *in, size_t in_len)
{
    ljs_manifest *m;
    ljs_err err = ljs_manifest_new(&m);

    *out = *octets = 0;
    if (err)
        return err;
    for (size_t i = 0; i < in_len && m->at != AT_FAULT; i++) {
        *out += step(m, in[i]);
        *octets = i;
    }
    err = ljs_manifest_end(m);
    ljs_manifest_free(m);
    return err;
}

ljs_err ljs__manifest_like(ljs_manifest **out, const ljs_manifest *other)
{
    ljs_err err = ljs_manifest_new(out);

    if (!err && other) {
        (*out)->belief.trust = other->belief.trust;
        (*out)->belief.join_euis_len = other->belief.join_euis_len;
        memcpy((*out)->belief.join_euis, other->belief.join_euis, sizeof other->belief.join_euis);
    }
    return err;
}

ljs_err ljs_manifest_end(const ljs_manifest *manifest)
{
    return manifest->at == AT_FAULT ? manifest->fault : manifest->at == AT_END ? LJS_OK : LJS_E_INVAL;
}

/* ---- verdicts ------------------------------------------------------------------------------ */

static const struct {
    const char *name, *text;
} verdicts[] = {
    [LJS_MANIFEST_GOOD] = { "good", "believed" },
    [LJS_MANIFEST_TOO_LONG] = { "too-long", "it is longer than 65536 octets" },
    [LJS_MANIFEST_NOT_JSON] = { "not-json", "it is no JSON object, or not strictly one" },
    [LJS_MANIFEST_NOT_JWS] = { "not-jws", "it is no JWS: payload, protected or signature is missing, or malformed" },
    [LJS_MANIFEST_UNSIGNED_HEADER] = { "unsigned-header", "its unsigned header says what only a signed one may" },
    [LJS_MANIFEST_NOT_ES256] = { "not-es256", "alg is another than ES256" },
    [LJS_MANIFEST_CRITICAL] = { "critical", "its header asks for what is not understood" },
    [LJS_MANIFEST_SIGNER] = { "signer", "kid names nobody who is trusted" },
    [LJS_MANIFEST_SIGNER_CERTIFICATE] = { "signer-certificate", "x5t#S256 is missing, or not that signer's" },
    [LJS_MANIFEST_SIGNATURE] = { "signature", "the signature is not the signer's of this entry" },
    [LJS_MANIFEST_PAYLOAD] = { "payload", "it is signed, and its payload is malformed" },
    [LJS_MANIFEST_VERSION] = { "version", "its version is neither 1, 2 nor 3" },
    [LJS_MANIFEST_UNIQUE_ID] = { "unique-id", "uniqueId is not 18 hexadecimal digits in lower case" },
    [LJS_MANIFEST_HEADER_ID] = { "header-id", "its header names another uniqueId" },
    [LJS_MANIFEST_KEY] = { "key", "it has not exactly one certified key on P-256" },
    [LJS_MANIFEST_CERTIFICATE] = { "certificate", "its chain is not two certificates that can be read" },
    [LJS_MANIFEST_ROLE] = { "role", "a certificate is not for what it is used for" },
    [LJS_MANIFEST_ROOT] = { "root", "the signer's certificate is of no root that is trusted" },
    [LJS_MANIFEST_CHAIN] = { "chain", "a certificate is not signed by the next one" },
    [LJS_MANIFEST_CERTIFIED_KEY] = { "certified-key", "the device certificate is for another key" },
    [LJS_MANIFEST_CERTIFIED_ID] = { "certified-id", "the device certificate is for another uniqueId" },
    [LJS_MANIFEST_DEV_EUI] = { "dev-eui", "the device certificate has a DevEUI that is none, or two" },
    [LJS_MANIFEST_JOIN_EUI] = { "join-eui", "its JoinEUI is none that is expected" },
    [LJS_MANIFEST_DUPLICATE] = { "duplicate", "an entry before it has this uniqueId" },
    [LJS_MANIFEST_DUPLICATE_DEV_EUI] = { "duplicate-dev-eui", "an entry before it has this DevEUI" },
};

const char *ljs_manifest_verdict_name(ljs_manifest_verdict verdict)
{
    return (size_t)verdict < COUNT(verdicts) ? verdicts[verdict].name : "?";
}

const char *ljs_manifest_verdict_text(ljs_manifest_verdict verdict)
{
    return (size_t)verdict < COUNT(verdicts) ? verdicts[verdict].text : "?";
}
