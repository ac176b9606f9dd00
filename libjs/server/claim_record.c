/* Claims at rest. */
#include "server/claim.h"

#include "base/pack.h"

/* The value: [schema, DevEUI, state, account, owners, at, flags, hash of the token or nothing, from and until when that
 * is good, to whom it is offered, until when], and the tag; in schema 2, which those of a second and later owner have,
 * since when it is that one's stands behind. */
enum { CLAIM_SCHEMA = 1, CLAIM_SCHEMA_OWNED = 2, CLAIM_FIELDS = 12, LOCKED = 1, WAS_BLOCKED = 2 };

ljs_err ljs__claim_read(struct claim *out, const ljs_vault *vault, ljs_eui dev_eui, const ljs_buf *in)
{
    struct unpack u = { .rd = { in->data, in->len > 16 ? in->len - 16 : 0, false } };
    ljs_claim *c = &out->c;
    const uint8_t *token;
    size_t token_len = 0;
    unsigned flags, fields, schema;
    bool good;
    ljs_err err = in->data ? ljs__vault_check(vault, TAG_CLAIM, in->data, in->len) : LJS_OK;

    *out = (struct claim){ .c = { .struct_size = sizeof *c, .dev_eui = dev_eui } };
    if (err || !in->data)
        return err;
    fields = ljs__unpack_array(&u);
    schema = (unsigned)ljs__unpack_uint(&u, 0xffff);
    if (schema > CLAIM_SCHEMA_OWNED)
        return LJS_E_VERSION;
    good = ljs__unpack_uint(&u, UINT64_MAX) == dev_eui && fields == CLAIM_FIELDS + (schema == CLAIM_SCHEMA_OWNED);
    c->state = (ljs_claim_state)ljs__unpack_uint(&u, LJS_CLAIM_STATES - 1);
    ljs__unpack_text(&u, c->account, sizeof c->account);
    c->owners = (uint32_t)ljs__unpack_uint(&u, UINT32_MAX);
    c->at = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    flags = (unsigned)ljs__unpack_uint(&u, LOCKED | WAS_BLOCKED);
    c->locked = !!(flags & LOCKED);
    out->was_blocked = flags & WAS_BLOCKED;
    token = ljs__unpack_bin(&u, &token_len, OWNER_HASH_LEN);
    c->has_token = token_len == OWNER_HASH_LEN;
    if (token && c->has_token)
        memcpy(out->token, token, OWNER_HASH_LEN);
    c->valid_from = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    c->valid_until = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    ljs__unpack_text(&u, c->offered_to, sizeof c->offered_to);
    c->offer_until = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    if (schema == CLAIM_SCHEMA_OWNED)
        out->owned_at = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    if (good && rd_done(&u.rd) && (token_len == 0 || c->has_token))
        return LJS_OK;
    *out = (struct claim){ .c = { .struct_size = sizeof *c, .dev_eui = dev_eui } };
    return LJS_E_SEAL;
}

ljs_err ljs__claim_write(ljs_buf *out, const ljs_vault *vault, const struct claim *claim)
{
    const ljs_claim *c = &claim->c;
    struct wr w = { 0 };

    ljs__pack_array(&w, CLAIM_FIELDS + !!claim->owned_at);
    ljs__pack_uint(&w, claim->owned_at ? CLAIM_SCHEMA_OWNED : CLAIM_SCHEMA);
    ljs__pack_uint(&w, c->dev_eui);
    ljs__pack_uint(&w, (uint64_t)c->state);
    ljs__pack_text(&w, c->account);
    ljs__pack_uint(&w, c->owners);
    ljs__pack_int(&w, c->at);
    ljs__pack_uint(&w, (c->locked ? LOCKED : 0U) | (claim->was_blocked ? WAS_BLOCKED : 0U));
    ljs__pack_bin(&w, claim->token, c->has_token ? OWNER_HASH_LEN : 0);
    ljs__pack_int(&w, c->valid_from);
    ljs__pack_int(&w, c->valid_until);
    ljs__pack_text(&w, c->offered_to);
    ljs__pack_int(&w, c->offer_until);
    if (claim->owned_at)
        ljs__pack_int(&w, claim->owned_at);
    return ljs__vault_take(out, &w, vault, TAG_CLAIM);
}

/* Of a claim that an older lorajs has written it is not known: since it stands as it does, at the latest. */
int64_t ljs__claim_seen_from(const struct claim *claim)
{
    return claim->owned_at ? claim->owned_at : claim->c.owners > 1 ? claim->c.at : 0;
}

ljs_err ljs__claim_bury(ljs_buf *out, const ljs_vault *vault, ljs_eui dev_eui, const ljs_buf *old)
{
    struct claim had, claim = { .c = { .dev_eui = dev_eui } };
    ljs_err err = ljs__claim_read(&had, vault, dev_eui, old);

    *out = (ljs_buf){ NULL, 0 };
    if (err || !old->data)
        return err;
    claim.c.state = had.c.state == LJS_CLAIM_IS_RETIRED ? LJS_CLAIM_IS_RETIRED : LJS_CLAIM_IS_PROVISIONED;
    claim.c.owners = had.c.owners;
    claim.c.at = had.c.at;
    return ljs__claim_write(out, vault, &claim);
}

static ljs_err load_once(struct claim *out, ljs_server *server, ljs_eui dev_eui)
{
    struct key key = ljs__key_eui(SPACE_CLAIM, dev_eui);
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, server->store, key.at, key.len);

    if (err == LJS_E_NOTFOUND)
        err = LJS_OK;
    if (!err)
        err = ljs__claim_read(out, server->vault, dev_eui, &value);
    ljs_buf_free(&value);
    return err;
}

ljs_err ljs__claim_load(struct claim *out, ljs_server *server, ljs_eui dev_eui)
{
    const struct masters *had;
    ljs_err err;

    do {
        had = ljs__masters(server);
        err = load_once(out, server, dev_eui);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    return err;
}

ljs_err ljs_server_get_claim(ljs_claim *out, ljs_server *server, ljs_eui dev_eui)
{
    struct claim claim;
    ljs_buf record;
    ljs_device device;
    ljs_err err = ljs_server_get_device(&record, server, dev_eui);

    *out = (ljs_claim){ .struct_size = sizeof *out };
    if (!err)
        err = ljs_device_read(&device, record.data, record.len);
    ljs_buf_free(&record);
    if (!err && device.state == LJS_STATE_REMOVED)
        err = LJS_E_NOTFOUND;
    if (!err)
        err = ljs__claim_load(&claim, server, dev_eui);
    if (!err)
        *out = claim.c;
    return err;
}

struct rows {
    ljs_server *server;
    ljs_claim_row *row;
    void *user;
};

static ljs_err one_row(void *user, ljs_eui dev_eui)
{
    const struct rows *rows = user;
    struct claim claim;
    ljs_err err = ljs__claim_load(&claim, rows->server, dev_eui);

    return err ? err : rows->row(rows->user, &claim.c);
}

ljs_err ljs_server_each_claim_in(ljs_server *server, ljs_eui first, ljs_eui last, ljs_claim_row *row, void *user)
{
    struct rows rows = { server, row, user };

    return ljs__each_eui_in(server, SPACE_CLAIM, first, last, one_row, &rows);
}
