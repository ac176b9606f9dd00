#include "server/kek.h"

/* A KEK's value: a map of schema, label, sealed key and its length, and the tag.  In schema 2 also whether it is
 * retired, and which labels are used in its place: [peer, use, label], for each. */
enum { KEK_PLAIN = 1, KEK_SCHEMA = 2, K_SCHEMA = 0, K_LABEL = 1, K_SEALED = 2, K_LEN = 3, K_RETIRED = 4, K_NEXT = 5 };

const enum key_role ljs__role_kek[1] = { ROLE_KEK };

void ljs__kek_read_next(struct unpack *u, struct kek_next *out)
{
    if (ljs__unpack_array(u) != 3)
        u->rd.bad = true;
    ljs__unpack_text(u, out->peer, sizeof out->peer);
    out->use = (unsigned)ljs__unpack_uint(u, LJS_USE_NS | LJS_USE_AS);
    ljs__unpack_text(u, out->label, sizeof out->label);
}

ljs_err ljs__kek_read(struct kek *out, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct unpack u = { .rd = { in, in_len > 16 ? in_len - 16 : 0, false } };
    ljs_err err = ljs__vault_check(vault, TAG_KEK, in, in_len);
    unsigned fields = ljs__unpack_map(&u), schema;
    struct kek_next next;

    memset(out, 0, sizeof *out);
    if (ljs__unpack_uint(&u, 0x7f) != K_SCHEMA)
        u.rd.bad = true;
    schema = (unsigned)ljs__unpack_uint(&u, 0xffff);
    if (schema > KEK_SCHEMA && !u.rd.bad)
        return LJS_E_VERSION;
    if (ljs__unpack_uint(&u, 0x7f) != K_LABEL)
        u.rd.bad = true;
    ljs__unpack_text(&u, out->label, sizeof out->label);
    if (ljs__unpack_uint(&u, 0x7f) != K_SEALED)
        u.rd.bad = true;
    out->sealed = ljs__unpack_bin(&u, &out->sealed_len, 512);
    if (ljs__unpack_uint(&u, 0x7f) != K_LEN)
        u.rd.bad = true;
    out->len = (size_t)ljs__unpack_uint(&u, 32);
    out->plain = schema == KEK_PLAIN;
    if (out->plain)
        return err ? err : rd_done(&u.rd) && fields == 4 ? LJS_OK : LJS_E_SEAL;
    if (ljs__unpack_uint(&u, 0x7f) != K_RETIRED)
        u.rd.bad = true;
    out->retired = ljs__unpack_uint(&u, 1);
    if (ljs__unpack_uint(&u, 0x7f) != K_NEXT)
        u.rd.bad = true;
    out->nexts = ljs__unpack_array(&u);
    out->next = u;
    for (unsigned i = 0; i < out->nexts && !u.rd.bad; i++)
        ljs__kek_read_next(&u, &next);
    return err ? err : rd_done(&u.rd) && fields == 6 && out->nexts <= NEXT_MAX ? LJS_OK : LJS_E_SEAL;
}

bool ljs__kek_succeeded(char out[LJS_LABEL_MAX], const struct kek *k, const char *peer, unsigned use)
{
    struct unpack u = k->next;
    struct kek_next next;
    bool found = false;

    for (unsigned i = 0; i < k->nexts; i++) {
        ljs__kek_read_next(&u, &next);
        if (!(next.use & use) || (next.peer[0] ? strcmp(next.peer, peer) != 0 : found))
            continue;
        memcpy(out, next.label, sizeof next.label);
        found = true;
        if (next.peer[0])
            break;
    }
    return found;
}

ljs_err ljs__kek_open(ljs_server *server, struct ring *ring, enum key_id id, const char *label, const ljs_buf *value)
{
    struct key ad = ljs__key_label(SPACE_KEK, label);
    struct kek k;
    ljs_err err = ljs__kek_read(&k, server->vault, value->data, value->len);

    if (!err && strcmp(k.label, label) != 0)
        err = LJS_E_SEAL;
    if (!err)
        err = ljs__vault_open(server->vault, ring, &id, ljs__role_kek, 1, ad.at, ad.len, k.sealed, k.sealed_len);
    return err;
}

ljs_err ljs__kek_pack(ljs_buf *out, const ljs_vault *vault, const struct kek *k, const struct kek_next *next)
{
    bool plain = !k->retired && !k->nexts;
    struct wr w = { 0 };

    *out = (ljs_buf){ NULL, 0 };
    ljs__pack_map(&w, plain ? 4 : 6);
    ljs__pack_uint(&w, K_SCHEMA);
    ljs__pack_uint(&w, plain ? KEK_PLAIN : KEK_SCHEMA);
    ljs__pack_uint(&w, K_LABEL);
    ljs__pack_text(&w, k->label);
    ljs__pack_uint(&w, K_SEALED);
    ljs__pack_bin(&w, k->sealed, k->sealed_len);
    ljs__pack_uint(&w, K_LEN);
    ljs__pack_uint(&w, k->len);
    if (!plain) {
        ljs__pack_uint(&w, K_RETIRED);
        ljs__pack_uint(&w, k->retired);
        ljs__pack_uint(&w, K_NEXT);
        ljs__pack_array(&w, k->nexts);
        for (unsigned i = 0; i < k->nexts; i++) {
            ljs__pack_array(&w, 3);
            ljs__pack_text(&w, next[i].peer);
            ljs__pack_uint(&w, next[i].use);
            ljs__pack_text(&w, next[i].label);
        }
    }
    return ljs__vault_take(out, &w, vault, TAG_KEK);
}

ljs_err ljs__kek_write(ljs_buf *out, const ljs_vault *vault, struct ring *ring, enum key_id id, struct kek *k)
{
    struct key ad = ljs__key_label(SPACE_KEK, k->label);
    struct wr sealed = { 0 };
    struct kek_next next[NEXT_MAX];
    struct unpack u = k->next;
    ljs_err err = ljs__vault_seal(&sealed, vault, ring, &id, ljs__role_kek, 1, ad.at, ad.len);

    *out = (ljs_buf){ NULL, 0 };
    k->sealed = sealed.data;
    k->sealed_len = sealed.len;
    for (unsigned i = 0; i < k->nexts; i++)
        ljs__kek_read_next(&u, &next[i]);
    if (!err)
        err = sealed.bad ? LJS_E_NOMEM : ljs__kek_pack(out, vault, k, next);
    ljs__wr_drop(&sealed);
    return err;
}

ljs_err ljs__kek_rewrap(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old)
{
    struct ring *ring = NULL;
    struct kek k;
    bool now = false;
    ljs_err err = ljs__kek_read(&k, server->vault, old->data, old->len);

    if (!err && (key_len - 1 != strlen(k.label) || memcmp(key + 1, k.label, key_len - 1)))
        err = LJS_E_SEAL;
    if (!err)
        err = ljs__vault_tagged(&now, server->vault, TAG_KEK, old->data, old->len);
    if (!err)
        err = ljs__ring_take(&ring);
    if (!err)
        err = ljs__kek_open(server, ring, KEY_WORK, k.label, old);
    if (!err && !(now && ljs__vault_sealed_now(server->vault, k.sealed, k.sealed_len)))
        err = ljs__kek_write(out, server->vault, ring, KEY_WORK, &k);
    ljs__ring_give(ring);
    return err;
}
