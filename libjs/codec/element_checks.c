/* What has to hold of an entry, in the order of the table: whoever signed it is known before anything of
 * what they signed is read. */
#include "codec/element.h"

#include "base/secret.h"

#include <stdio.h>

/* ---- the signature ------------------------------------------------------------------ */

static ljs_err holds(bool it)
{
    return it ? LJS_OK : LJS_E_MESSAGE;
}

static ljs_err has_parts(struct element *e)
{
    return holds(e->payload.at && e->protected_header.at && e->signature.at);
}

static ljs_err only_id_unsigned(struct element *e)
{
    return holds(!e->unsigned_header);
}

/* [RFC 8725 §3.1]  what is verified how is not for the message to say */
static ljs_err is_es256(struct element *e)
{
    return holds(e->es256);
}

static ljs_err nothing_critical(struct element *e)
{
    return holds(!e->critical);
}

static ljs_err signer_known(struct element *e)
{
    bool kid_known;

    e->signer = ljs__signer_find(&kid_known, &e->belief->trust, e->kid, e->x5t);
    return holds(kid_known);
}

static ljs_err signer_certificate(struct element *e)
{
    return holds(e->has_x5t && e->signer);
}

/* [RFC 7515 §5.2]  ASCII(protected) . ASCII(payload) */
static ljs_err is_signed(struct element *e)
{
    const struct part parts[] = { { e->protected_header.at, e->protected_header.len },
                                  { ".", 1 },
                                  { e->payload.at, e->payload.len } };
    uint8_t signature[SIGNATURE_LEN], digest[32];
    size_t len;
    ljs_err err;

    if (!ljs__base64(signature, sizeof signature, &len, true, e->signature.at, e->signature.len) ||
        len != SIGNATURE_LEN)
        return LJS_E_MESSAGE;
    err = ljs__sha256(digest, parts, COUNT(parts));
    return err ? err : ljs__es256_verify(e->signer->key, signature, digest);
}

/* ---- the payload -------------------------------------------------------------------- */

static ljs_err version_known(struct element *e)
{
    return holds(e->has_version && e->version >= 1 && e->version <= 3);
}

static ljs_err has_members(struct element *e)
{
    const char *missing = !*e->entry.model         ? "model"
                          : !*e->entry.part_number ? "partNumber"
                          : !*e->entry.timestamp   ? "provisioningTimestamp"
                                                   : NULL;

    if (missing)
        snprintf(e->entry.detail, sizeof e->entry.detail, "%s is missing", missing);
    return holds(!missing);
}

static ljs_err unique_id_good(struct element *e)
{
    return holds(ljs__unique_id(e->unique_id, e->entry.unique_id, strlen(e->entry.unique_id)));
}

static ljs_err header_id_same(struct element *e)
{
    return holds(!*e->header_id || !strcmp(e->header_id, e->entry.unique_id));
}

static ljs_err one_key(struct element *e)
{
    const struct public_key *key = &e->key;

    if (!e->has_keys)
        return holds(e->version == 2);
    if (e->certified != 1 || !key->ec || !key->p256 || !key->has_x || !key->has_y)
        return LJS_E_MESSAGE;
    return ljs__p256_check(key->xy);
}

/* ---- the certificates ---------------------------------------------------------------- */

static ljs_err chain_read(struct element *e)
{
    const struct part *chain = e->key.chain;

    return holds(e->key.certificates == CHAIN_LEN && ljs__cert_read(&e->device, chain[0].at, chain[0].len) &&
                 ljs__cert_read(&e->issuer, chain[1].at, chain[1].len));
}

static ljs_err roles_good(struct element *e)
{
    return holds(!e->device.is_ca && e->device.may_sign && e->issuer.is_ca && e->issuer.may_certify);
}

static ljs_err key_certified(struct element *e)
{
    return holds(!memcmp(e->device.key, e->key.xy, sizeof e->key.xy));
}

static bool eui_of(ljs_eui *out, const char *digits, size_t len)
{
    uint8_t octets[8];

    *out = 0;
    if (!ljs__hex(octets, sizeof octets, digits, len))
        return false;
    for (size_t i = 0; i < sizeof octets; i++)
        *out = *out << 8 | octets[i];
    return true;
}

/* "0123... ATECC", "0123... DevEUI ATECC" or "sn0123..."; digits in either case. */
static ljs_err id_certified(struct element *e)
{
    const char *name = e->device.common_name;
    uint8_t id[UNIQUE_ID_LEN];
    size_t len;

    if (!strncmp(name, "sn", 2))
        name += 2;
    len = strcspn(name, " ");
    if (!ljs__hex(id, sizeof id, name, len) || memcmp(id, e->unique_id, sizeof id) != 0)
        return LJS_E_MESSAGE;
    name += len + (name[len] == ' ');
    e->entry.has_dev_eui = eui_of(&e->entry.dev_eui, name, strcspn(name, " "));
    return LJS_OK;
}

/* serialNumber "eui64_..." of later chips */
static ljs_err one_dev_eui(struct element *e)
{
    static const char prefix[] = "eui64_";
    const char *serial = e->device.alt_serial;
    ljs_eui eui;

    if (strncmp(serial, prefix, sizeof prefix - 1) != 0)
        return LJS_OK;
    serial += sizeof prefix - 1;
    if (!eui_of(&eui, serial, strlen(serial)) || (e->entry.has_dev_eui && e->entry.dev_eui != eui))
        return LJS_E_MESSAGE;
    e->entry.has_dev_eui = 1;
    e->entry.dev_eui = eui;
    return LJS_OK;
}

static ljs_err root_known(struct element *e)
{
    uint8_t name[32];
    size_t from = 0;
    ljs_err err = ljs__sha256(name, &e->issuer.issuer, 1);

    return err ? err : holds(ljs__root_find(&e->belief->trust, name, &from));
}

/* By any of the roots that have the issuer's name. */
static ljs_err root_signed(struct element *e)
{
    uint8_t name[32];
    size_t from = 0;
    const struct root *root;
    ljs_err err = ljs__sha256(name, &e->issuer.issuer, 1);

    if (err)
        return err;
    err = LJS_E_SEAL;
    while (err == LJS_E_SEAL && (root = ljs__root_find(&e->belief->trust, name, &from)))
        err = ljs__cert_verify(&e->issuer, root->key);
    return err;
}

/* Each signer makes thousands of chips: those that were good a moment ago are known. */
static ljs_err issuer_signed(struct element *e)
{
    struct belief *b = e->belief;
    uint8_t hash[32];
    ljs_err err = ljs__sha256(hash, &e->issuer.whole, 1);

    if (err)
        return err;
    for (size_t i = 0; i < SIGNERS_KEPT; i++)
        if (!memcmp(b->signers[i], hash, sizeof hash))
            return LJS_OK;
    if ((err = root_signed(e)) || (err = ljs__p256_check(e->issuer.key)))
        return err;
    memcpy(b->signers[b->signers_next++ % SIGNERS_KEPT], hash, sizeof hash);
    return LJS_OK;
}

static ljs_err device_signed(struct element *e)
{
    const struct part *issuer = &e->device.issuer, *subject = &e->issuer.subject;

    if (issuer->len != subject->len || memcmp(issuer->at, subject->at, issuer->len) != 0)
        return LJS_E_MESSAGE;
    return ljs__cert_verify(&e->device, e->issuer.key);
}

/* ---- beside the other entries ---------------------------------------------------------- */

static ljs_err join_eui_expected(struct element *e)
{
    const struct belief *b = e->belief;

    for (unsigned i = 0; i < b->join_euis_len; i++)
        if (e->entry.has_join_eui && b->join_euis[i] == e->entry.join_eui)
            return LJS_OK;
    return holds(!b->join_euis_len);
}

static ljs_err id_is_new(struct element *e)
{
    return holds(!ljs__seen_has(&e->belief->unique_ids, e->unique_id));
}

static ljs_err dev_eui_is_new(struct element *e)
{
    return holds(!e->entry.has_dev_eui || !ljs__seen_has(&e->belief->dev_euis, (const uint8_t *)&e->entry.dev_eui));
}

static const struct check {
    ljs_manifest_verdict otherwise;
    bool of_key; /* passed over where there is no key */
    ljs_err (*holds)(struct element *e);
} checks[] = {
    { LJS_MANIFEST_NOT_JWS, false, has_parts },
    { LJS_MANIFEST_UNSIGNED_HEADER, false, only_id_unsigned },
    { LJS_MANIFEST_NOT_JWS, false, ljs__element_protected },
    { LJS_MANIFEST_NOT_ES256, false, is_es256 },
    { LJS_MANIFEST_CRITICAL, false, nothing_critical },
    { LJS_MANIFEST_SIGNER, false, signer_known },
    { LJS_MANIFEST_SIGNER_CERTIFICATE, false, signer_certificate },
    { LJS_MANIFEST_SIGNATURE, false, is_signed },
    { LJS_MANIFEST_PAYLOAD, false, ljs__element_payload },
    { LJS_MANIFEST_VERSION, false, version_known },
    { LJS_MANIFEST_PAYLOAD, false, has_members },
    { LJS_MANIFEST_UNIQUE_ID, false, unique_id_good },
    { LJS_MANIFEST_HEADER_ID, false, header_id_same },
    { LJS_MANIFEST_KEY, false, one_key },
    { LJS_MANIFEST_CERTIFICATE, true, chain_read },
    { LJS_MANIFEST_ROLE, true, roles_good },
    { LJS_MANIFEST_CERTIFIED_KEY, true, key_certified },
    { LJS_MANIFEST_CERTIFIED_ID, true, id_certified },
    { LJS_MANIFEST_DEV_EUI, true, one_dev_eui },
    { LJS_MANIFEST_ROOT, true, root_known },
    { LJS_MANIFEST_CHAIN, true, issuer_signed },
    { LJS_MANIFEST_CHAIN, true, device_signed },
    { LJS_MANIFEST_JOIN_EUI, false, join_eui_expected },
    { LJS_MANIFEST_DUPLICATE, false, id_is_new },
    { LJS_MANIFEST_DUPLICATE_DEV_EUI, false, dev_eui_is_new },
};

/* ---- the whole ---------------------------------------------------------------------------- */

/* Nothing of it but which it is. */
static void refuse(struct element *e, ljs_manifest_verdict verdict)
{
    ljs_manifest_entry *entry = &e->entry, old = e->entry;
    const char *id = *e->header_id ? e->header_id : old.unique_id;
    uint8_t octets[UNIQUE_ID_LEN];

    memset(entry, 0, sizeof *entry);
    entry->verdict = verdict;
    memcpy(entry->detail, old.detail, sizeof entry->detail);
    if (ljs__unique_id(octets, id, strlen(id)))
        snprintf(entry->unique_id, sizeof entry->unique_id, "%s", id);
}

void ljs__entry_stamp(uint8_t out[16], const ljs_manifest_entry *e)
{
    uint8_t octets[512] = { (uint8_t)e->verdict, e->version, e->has_dev_eui, e->has_join_eui, e->has_key, e->suffix };
    const struct part parts[] = { { &e->dev_eui, sizeof e->dev_eui },      { &e->join_eui, sizeof e->join_eui },
                                  { e->public_key, sizeof e->public_key }, { e->unique_id, sizeof e->unique_id },
                                  { e->model, sizeof e->model },           { e->part_number, sizeof e->part_number },
                                  { e->timestamp, sizeof e->timestamp },   { e->group_id, sizeof e->group_id },
                                  { e->signer, sizeof e->signer } };
    size_t n = 6;

    _Static_assert(6 + 2 * sizeof e->dev_eui + sizeof e->public_key + sizeof e->unique_id + 5 * sizeof e->model <=
                       sizeof octets,
                   "room for all of it");
    for (size_t i = 0; i < COUNT(parts); i++) {
        memcpy(octets + n, parts[i].at, parts[i].len);
        n += parts[i].len;
    }
    ljs__stamp(out, octets, n);
}

static ljs_err believe(struct element *e)
{
    ljs_manifest_entry *entry = &e->entry;
    ljs_err err = ljs__seen_add(&e->belief->unique_ids, e->unique_id);

    if (!err && entry->has_dev_eui)
        err = ljs__seen_add(&e->belief->dev_euis, (const uint8_t *)&entry->dev_eui);
    entry->version = (uint8_t)e->version;
    entry->suffix = e->unique_id[UNIQUE_ID_LEN - 1];
    entry->has_key = e->has_keys;
    if (e->has_keys)
        memcpy(entry->public_key, e->key.xy, sizeof entry->public_key);
    snprintf(entry->signer, sizeof entry->signer, "%s", e->signer->kid);
    ljs__entry_stamp(entry->stamp, entry);
    return err;
}

static bool is_fault(ljs_err err)
{
    return err == LJS_E_NOMEM || err == LJS_E_CRYPTO;
}

ljs_err ljs__element_read(struct element *e, const uint8_t *in, size_t in_len)
{
    struct element fresh = { .belief = e->belief, .room = e->room };
    ljs_err err;

    *e = fresh;
    if ((err = ljs__element_entry(e, in, in_len))) {
        refuse(e, e->odd ? LJS_MANIFEST_NOT_JWS : LJS_MANIFEST_NOT_JSON);
        return is_fault(err) ? err : LJS_OK;
    }
    for (size_t i = 0; i < COUNT(checks); i++) {
        if ((checks[i].of_key && !e->has_keys) || !(err = checks[i].holds(e)))
            continue;
        refuse(e, checks[i].otherwise);
        return is_fault(err) ? err : LJS_OK;
    }
    return believe(e);
}
