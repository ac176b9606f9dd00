/* The keys of an entry's encryptedSecretKeySet: JWE [RFC 7516] around a JWK [RFC 7517]. */
#include "codec/secrets.h"

#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"
#include "keys/jwe.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PROTECTED_MAX = 2048, /* of it as base64url */
    PARTY_MAX = 64,       /* apu, apv */
    KEY_LEN = 16,
    STACK_BELOW = 16 * 1024, /* as in import.c: digits of a key went through it */
    P256_LEN = 32,
};

/* Header parameters [RFC 7516 §4.1, RFC 7518 §4.6.1]: each in one of the two headers. */
enum { H_ALG = 1, H_ENC = 2, H_EPK = 4, H_APU = 8, H_APV = 16 };
/* Members of the JWE. */
enum { M_PROTECTED = 1, M_WRAPPED = 2, M_IV = 4, M_TEXT = 8, M_TAG = 16, M_ALL = 31 };
/* Of epk. */
enum { E_KTY = 1, E_CRV = 2, E_X = 4, E_Y = 8, E_ALL = 15 };

struct reading {
    unsigned wanted, n; /* which element, and how many there were */
    bool in_set, in_keys, in_jwe, in_header, in_epk, found;
    unsigned members, params, epk;
    const char *fault; /* NULL: none so far */
    struct jwe jwe;
    char protected_header[PROTECTED_MAX + 1];
    uint8_t apu[PARTY_MAX], apv[PARTY_MAX], text[JWE_TEXT_MAX + 3];
};

static bool fault(struct reading *r, const char *why)
{
    r->fault = r->fault ? r->fault : why;
    return false;
}

static bool is_text(const struct json_event *e, const char *text)
{
    return e->type == JSON_TEXT && e->text_len == strlen(text) && !memcmp(e->text, text, e->text_len);
}

static bool named(const struct json_event *e, const char *name)
{
    return strcmp(e->name, name) == 0;
}

/* Base64url of exactly so many octets. */
static bool exactly(uint8_t *out, size_t want, const char *text, size_t text_len)
{
    size_t len;

    return ljs__base64(out, want, &len, true, text, text_len) && len == want;
}

/* ---- headers ------------------------------------------------------------------ */

static bool epk_member(struct reading *r, const struct json_event *e)
{
    static const struct {
        const char *name, *value;
        unsigned bit;
        size_t at;
    } rows[] = {
        { "kty", "EC", E_KTY, 0 }, { "crv", "P-256", E_CRV, 0 }, { "x", NULL, E_X, 0 }, { "y", NULL, E_Y, P256_LEN }
    };

    if (named(e, "d"))
        return fault(r, "epk has a private key");
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!named(e, rows[i].name))
            continue;
        r->epk |= rows[i].bit;
        if (rows[i].value ? is_text(e, rows[i].value)
                          : e->type == JSON_TEXT && exactly(r->jwe.epk + rows[i].at, P256_LEN, e->text, e->text_len))
            return true;
        return fault(r, "epk is no key on P-256");
    }
    return true;
}

static bool party(struct part *out, uint8_t room[PARTY_MAX], const struct json_event *e)
{
    out->at = room;
    return e->type == JSON_TEXT && ljs__base64(room, PARTY_MAX, &out->len, true, e->text, e->text_len);
}

/* A parameter of either header; what is not known is not looked at [RFC 7516 §4]. */
static bool param(struct reading *r, const struct json_event *e)
{
    static const struct {
        const char *name;
        unsigned bit;
    } once[] = { { "alg", H_ALG }, { "enc", H_ENC }, { "epk", H_EPK }, { "apu", H_APU }, { "apv", H_APV } };

    if (named(e, "zip") || named(e, "crit"))
        return fault(r, "zip and crit are not taken");
    for (size_t i = 0; i < COUNT(once); i++)
        if (named(e, once[i].name)) {
            if (r->params & once[i].bit)
                return fault(r, "a header parameter stands in both headers");
            r->params |= once[i].bit;
        }
    if (named(e, "alg") && !is_text(e, "ECDH-ES+A128KW"))
        return fault(r, "alg is another than ECDH-ES+A128KW");
    if (named(e, "enc") && !is_text(e, "A256GCM"))
        return fault(r, "enc is another than A256GCM");
    if (named(e, "epk") && !(r->in_epk = e->type == JSON_OBJECT))
        return fault(r, "epk is no key on P-256");
    if (named(e, "apu") && !party(&r->jwe.apu, r->apu, e))
        return fault(r, "apu is not base64url, or too long");
    if (named(e, "apv") && !party(&r->jwe.apv, r->apv, e))
        return fault(r, "apv is not base64url, or too long");
    return true;
}

/* A header whose parameters are at this depth. */
static bool on_header(struct reading *r, const struct json_event *e, unsigned depth)
{
    if (e->depth == depth && e->type == JSON_END)
        r->in_epk = false;
    else if (e->depth == depth)
        return param(r, e);
    else if (e->depth == depth + 1 && r->in_epk && e->type != JSON_END)
        return epk_member(r, e);
    return true;
}

static bool on_protected(void *ctx, const struct json_event *event)
{
    return on_header(ctx, event, 1);
}

/* ---- the JWE ------------------------------------------------------------------ */

static bool take_part(struct reading *r, unsigned member, const char *text, size_t text_len)
{
    r->members |= member;
    switch (member) {
    case M_PROTECTED:
        if (text_len > PROTECTED_MAX)
            return fault(r, "its protected header is too long");
        memcpy(r->protected_header, text, text_len);
        r->jwe.aad = (struct part){ r->protected_header, text_len };
        return true;
    case M_WRAPPED:
        return exactly(r->jwe.wrapped, JWE_WRAPPED, text, text_len) || fault(r, "encrypted_key has not 40 octets");
    case M_IV:
        return exactly(r->jwe.iv, JWE_IV, text, text_len) || fault(r, "iv has not 12 octets");
    case M_TAG:
        return exactly(r->jwe.tag, JWE_TAG, text, text_len) || fault(r, "tag has not 16 octets");
    default:
        r->jwe.ciphertext.at = r->text;
        if (!ljs__base64(r->text, sizeof r->text, &r->jwe.ciphertext.len, true, text, text_len) ||
            !r->jwe.ciphertext.len || r->jwe.ciphertext.len > JWE_TEXT_MAX)
            return fault(r, "ciphertext is not base64url, or not of 1 to 1024 octets");
        return true;
    }
}

static const struct {
    const char *name;
    unsigned member;
} parts[] = { { "protected", M_PROTECTED },
              { "encrypted_key", M_WRAPPED },
              { "iv", M_IV },
              { "ciphertext", M_TEXT },
              { "tag", M_TAG } };

/* [RFC 7516 §7.2.2]  flattened */
static bool jwe_member(struct reading *r, const struct json_event *e)
{
    static const char *const refused[] = { "recipients", "unprotected", "aad" };

    for (size_t i = 0; i < COUNT(parts); i++)
        if (named(e, parts[i].name))
            return e->type == JSON_TEXT ? take_part(r, parts[i].member, e->text, e->text_len)
                                        : fault(r, "a member that is to be a text is none");
    for (size_t i = 0; i < COUNT(refused); i++)
        if (named(e, refused[i]))
            return fault(r, "recipients, unprotected and aad are not taken");
    if (named(e, "header") && !(r->in_header = e->type == JSON_OBJECT))
        return fault(r, "header is no object");
    return true;
}

/* [RFC 7516 §7.1]  compact: the same five, in this order, with points between */
static bool compact(struct reading *r, const char *text, size_t text_len)
{
    size_t at = 0;

    for (size_t i = 0; i < COUNT(parts); i++) {
        const char *end = i + 1 < COUNT(parts) ? memchr(text + at, '.', text_len - at) : text + text_len;

        if (!end)
            return fault(r, "it is no JWE of five parts");
        if (!take_part(r, parts[i].member, text + at, (size_t)(end - text) - at))
            return false;
        at = (size_t)(end - text) + 1;
    }
    return true;
}

static bool element(struct reading *r, const struct json_event *e)
{
    if (r->n++ != r->wanted)
        return true;
    r->found = true;
    if (e->type == JSON_TEXT)
        return compact(r, e->text, e->text_len);
    r->in_jwe = e->type == JSON_OBJECT;
    return r->in_jwe || fault(r, "it is no JWE");
}

static bool on_payload(void *ctx, const struct json_event *e)
{
    struct reading *r = ctx;
    bool ends = e->type == JSON_END;

    switch (e->depth) {
    case 1:
        r->in_set = !ends && named(e, "encryptedSecretKeySet") && e->type == JSON_OBJECT;
        return true;
    case 2:
        r->in_keys = r->in_set && !ends && named(e, "keys") && e->type == JSON_ARRAY;
        return true;
    case 3:
        if (ends)
            r->in_jwe = false;
        return ends || !r->in_keys || element(r, e);
    case 4:
        if (ends)
            r->in_header = false;
        return ends || !r->in_jwe || jwe_member(r, e);
    default:
        return !r->in_jwe || !r->in_header || on_header(r, e, 5);
    }
}

/* The protected header, and that all is there. */
static ljs_err complete(struct reading *r)
{
    uint8_t json[PROTECTED_MAX];
    const char *why = NULL;
    size_t len;
    ljs_err err;

    if (r->members != M_ALL) {
        fault(r, "a member of the JWE is missing");
        return LJS_E_MESSAGE;
    }
    if (!ljs__base64(json, sizeof json, &len, true, r->protected_header, r->jwe.aad.len)) {
        fault(r, "its protected header is not base64url");
        return LJS_E_MESSAGE;
    }
    err = ljs__json_read(json, len, sizeof json, on_protected, r, &why);
    if (err == LJS_E_MESSAGE)
        fault(r, "its protected header is no strict JSON");
    if (!err && ((r->params & (H_ALG | H_ENC | H_EPK)) != (H_ALG | H_ENC | H_EPK) || r->epk != E_ALL)) {
        fault(r, "alg, enc or epk is missing");
        return LJS_E_MESSAGE;
    }
    return err;
}

/* ---- what was in it ------------------------------------------------------------ */

enum { J_KTY = 1, J_K = 2, J_ALL = 3 };

struct inside {
    ljs_manifest_secret *out;
    ljs_key **key;
    unsigned members;
    ljs_err err;
    const char *fault;
};

static bool inside_fault(struct inside *in, const char *why)
{
    in->fault = why;
    return false;
}

static bool take_k(struct inside *in, const struct json_event *e)
{
    uint8_t octets[KEY_LEN];
    bool good = e->type == JSON_TEXT && exactly(octets, sizeof octets, e->text, e->text_len);

    if (good)
        in->err = ljs_key_import(in->key, octets, sizeof octets);
    ljs__wipe(octets, sizeof octets);
    in->members |= J_K;
    return good ? !in->err : inside_fault(in, "inside: k is not 16 octets in base64url");
}

static bool take_kid(struct inside *in, const struct json_event *e)
{
    char *kid = in->out->kid;

    if (e->type != JSON_TEXT || !e->text_len || e->text_len >= sizeof in->out->kid)
        return inside_fault(in, "inside: kid is no text of 1 to 47 octets");
    memcpy(kid, e->text, e->text_len);
    return ljs__text_ok(kid, sizeof in->out->kid) || inside_fault(in, "inside: kid has control characters");
}

static bool on_jwk(void *ctx, const struct json_event *e)
{
    struct inside *in = ctx;

    if (e->depth != 1 || e->type == JSON_END)
        return true;
    if (named(e, "kty")) {
        in->members |= J_KTY;
        return is_text(e, "oct") || inside_fault(in, "inside: kty is another than oct");
    }
    return named(e, "k") ? take_k(in, e) : named(e, "kid") ? take_kid(in, e) : true;
}

static ljs_err read_jwk(struct inside *in, const uint8_t *plain, size_t len)
{
    const char *why = NULL;
    ljs_err err = ljs__json_read(plain, len, JWE_TEXT_MAX, on_jwk, in, &why);

    ljs__wipe_stack(STACK_BELOW);
    if (in->err)
        return in->err;
    if (err == LJS_E_MESSAGE)
        in->fault = in->fault ? in->fault : "inside: no strict JSON";
    if (!err && in->members != J_ALL)
        in->fault = "inside: kty or k is missing";
    return err && err != LJS_E_MESSAGE ? err : in->fault ? LJS_E_INVAL : LJS_OK;
}

static ljs_err open_one(ljs_manifest_secret *out, ljs_key **out_key, struct reading *r, const ljs_key *recipient)
{
    struct inside in = { .out = out, .key = out_key };
    uint8_t *plain = NULL;
    ljs_err err = ljs__jwe_open(&plain, &r->jwe, recipient);

    if (err == LJS_E_SEAL)
        r->fault = "it is not encrypted for this recipient, or was altered";
    if (err == LJS_E_INVAL)
        r->fault = "epk is no point of P-256, or the recipient's key is none";
    if (err)
        return err;
    err = read_jwk(&in, plain, r->jwe.ciphertext.len);
    r->fault = in.fault;
    ljs__secret_free(plain);
    return err;
}

/* ---- all of it ------------------------------------------------------------------ */

ljs_err ljs__secret_read(ljs_manifest_secret *out, ljs_key **out_key, const uint8_t *payload, size_t payload_len,
                         unsigned i, const ljs_key *recipient)
{
    struct reading *r = calloc(1, sizeof *r);
    const char *why = NULL;
    ljs_err err;

    memset(out, 0, sizeof *out);
    *out_key = NULL;
    if (!r)
        return LJS_E_NOMEM;
    r->wanted = i;
    err = ljs__json_read(payload, payload_len, LJS_MANIFEST_ENTRY_MAX, on_payload, r, &why);
    if (!err && !r->found)
        err = LJS_E_NOTFOUND;
    if (!err)
        err = complete(r);
    if (!err)
        err = open_one(out, out_key, r, recipient);
    if (err == LJS_E_MESSAGE)
        err = LJS_E_INVAL;
    if (err) {
        ljs_key_free(*out_key);
        *out_key = NULL;
        memset(out, 0, sizeof *out);
    }
    if (err && r->fault)
        snprintf(out->detail, sizeof out->detail, "%s", r->fault);
    free(r);
    return err;
}
