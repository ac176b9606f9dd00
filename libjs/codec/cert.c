#include "codec/cert.h"

#include "codec/der.h"

enum { EXPLICIT_0 = 0xa0, EXPLICIT_3 = 0xa3, DIRECTORY_NAME = 0xa4 };

/* [RFC 5758 §3.2] ecdsa-with-SHA256, without parameters */
static const uint8_t ecdsa_sha256[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
/* [RFC 5480 §2] id-ecPublicKey on secp256r1, and that an uncompressed point follows */
static const uint8_t p256[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };

/* ---- names ----------------------------------------------------------------------- */

/* Printable ASCII, so that a report can show it. */
static bool name_text(char out[CERT_NAME_MAX], const struct rd *value)
{
    if (value->bad || !value->left || value->left >= CERT_NAME_MAX || *out)
        return false;
    for (size_t i = 0; i < value->left; i++)
        if (value->at[i] < 0x20 || value->at[i] > 0x7e)
            return false;
    memcpy(out, value->at, value->left);
    out[value->left] = 0;
    return true;
}

/* A Name, which has this attribute (2.5.4.x) at the most once.  Of a PrintableString more letters are taken
 * than X.680 allows it: chips say "eui64_". */
static void name(char out[CERT_NAME_MAX], struct rd *r, uint8_t attribute)
{
    const uint8_t oid[] = { 0x55, 0x04, attribute };
    struct rd sets = der(r, SEQUENCE);

    while (!sets.bad && sets.left) {
        struct rd set = der(&sets, SET), pair = der(&set, SEQUENCE), type = der(&pair, OID), value;
        uint8_t tag = pair.left && !pair.bad ? *pair.at : 0;

        value = der(&pair, tag);
        if (!rd_done(&set) || !rd_done(&pair) || (is(&type, oid, sizeof oid) && !name_text(out, &value)))
            sets.bad = true;
    }
    r->bad |= sets.bad;
}

/* ---- extensions ------------------------------------------------------------------- */

static bool basic_constraints(struct cert *c, struct rd *r)
{
    struct rd in = der(r, SEQUENCE);

    if (next_is(&in, BOOLEAN)) {
        struct rd ca = der(&in, BOOLEAN);

        c->is_ca = is(&ca, "\xff", 1);
        in.bad |= !c->is_ca; /* false is the default, and not written */
    }
    if (next_is(&in, INTEGER))
        (void)der(&in, INTEGER); /* the chain has one length alone */
    return rd_done(&in);
}

static bool key_usage(struct cert *c, struct rd *r)
{
    struct rd bits = der(r, BITS);
    uint64_t unused = rd_le(&bits, 1), first = rd_le(&bits, 1);

    c->may_sign = first & 0x80;    /* digitalSignature */
    c->may_certify = first & 0x04; /* keyCertSign */
    return !bits.bad && unused < 8;
}

static bool key_id(struct cert *c, struct rd *r)
{
    struct rd in = der(r, OCTETS);

    c->key_id = (struct part){ in.at, in.left };
    return !in.bad && in.left && in.left <= CERT_KEY_ID_MAX;
}

static bool alt_name(struct cert *c, struct rd *r)
{
    struct rd names = der(r, SEQUENCE);

    while (!names.bad && names.left) {
        uint8_t tag = *names.at;
        struct rd in = der(&names, tag);

        if (tag == DIRECTORY_NAME)
            name(c->alt_serial, &in, 0x05);
        names.bad |= in.bad || (tag == DIRECTORY_NAME && in.left);
    }
    return !names.bad;
}

static bool passed_over(struct cert *c, struct rd *r)
{
    (void)c;
    r->left = 0;
    return true;
}

static const struct extension {
    uint8_t id; /* 2.5.29.id */
    bool (*read)(struct cert *c, struct rd *r);
} extensions[] = {
    { 14, key_id }, { 15, key_usage }, { 17, alt_name }, { 19, basic_constraints }, { 35, passed_over }
};

static bool extension(struct cert *c, struct rd *r, unsigned *seen)
{
    struct rd in = der(r, SEQUENCE), id = der(&in, OID), critical = { NULL, 0, true }, value;

    if (next_is(&in, BOOLEAN))
        critical = der(&in, BOOLEAN);
    value = der(&in, OCTETS);
    if (!rd_done(&in) || id.bad || (!critical.bad && !is(&critical, "\xff", 1)))
        return false;
    for (size_t i = 0; i < COUNT(extensions); i++)
        if (is(&id, (const uint8_t[]){ 0x55, 0x1d, extensions[i].id }, 3)) {
            bool again = *seen & 1u << i;

            *seen |= 1u << i;
            return !again && extensions[i].read(c, &value) && rd_done(&value);
        }
    return critical.bad; /* not known: good when it is not critical */
}

/* ---- the whole ---------------------------------------------------------------------- */

static void tbs(struct cert *c, struct rd *r)
{
    struct rd version = der(r, EXPLICIT_0), all;
    unsigned seen = 0;
    const uint8_t *at;
    char ignored[CERT_NAME_MAX] = "";

    fixed(&version, "\x02\x01\x02", 3);
    (void)der(r, INTEGER); /* serialNumber */
    fixed(r, ecdsa_sha256, sizeof ecdsa_sha256);
    at = r->at;
    name(ignored, r, 0x03);
    c->issuer = since(at, r);
    (void)der(r, SEQUENCE); /* validity: manifests say when; no clock here */
    at = r->at;
    name(c->common_name, r, 0x03);
    c->subject = since(at, r);
    fixed(r, p256, sizeof p256);
    rd_copy(r, c->key, sizeof c->key);
    version = der(r, EXPLICIT_3);
    all = der(&version, SEQUENCE);
    while (!all.bad && all.left)
        all.bad |= !extension(c, &all, &seen);
    r->bad |= all.bad || !rd_done(&version);
}

/* [X.690 §8.3]  not negative, the shortest, and below 2^256 */
static void number(uint8_t out[32], struct rd *r)
{
    struct rd in = der(r, INTEGER);

    if (in.bad || !in.left || (in.at[0] & 0x80) || (in.left > 1 && !in.at[0] && !(in.at[1] & 0x80)))
        r->bad = true;
    else if (in.left > 1 && !in.at[0])
        in = (struct rd){ in.at + 1, in.left - 1, false };
    if (r->bad || in.left > 32) {
        r->bad = true;
        return;
    }
    memset(out, 0, 32);
    memcpy(out + 32 - in.left, in.at, in.left);
}

bool ljs__cert_read(struct cert *out, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false }, whole = der(&r, SEQUENCE), part, bits, sig;
    const uint8_t *at = whole.at;

    memset(out, 0, sizeof *out);
    out->whole = (struct part){ in, in_len };
    part = der(&whole, SEQUENCE);
    out->tbs = since(at, &whole);
    tbs(out, &part);
    fixed(&whole, ecdsa_sha256, sizeof ecdsa_sha256);
    bits = der(&whole, BITS);
    fixed(&bits, "", 1);
    sig = der(&bits, SEQUENCE);
    number(out->signature, &sig);
    number(out->signature + 32, &sig);
    if (rd_done(&r) && rd_done(&whole) && rd_done(&part) && rd_done(&bits) && rd_done(&sig))
        return true;
    memset(out, 0, sizeof *out);
    return false;
}

ljs_err ljs__cert_verify(const struct cert *cert, const uint8_t issuer_key[64])
{
    uint8_t digest[32];
    ljs_err err = ljs__sha256(digest, &cert->tbs, 1);

    return err ? err : ljs__es256_verify(issuer_key, cert->signature, digest);
}
