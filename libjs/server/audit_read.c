/* The reading of the audit log. */
#include "base/json.h"
#include "server/audit.h"

struct key ljs__key_link(uint64_t writer, uint64_t sequence)
{
    struct key key = { .at = { SPACE_AUDIT }, .len = LINK_KEY_LEN };

    for (unsigned i = 0; i < 8; i++) {
        key.at[1 + i] = (uint8_t)(writer >> (56 - 8 * i));
        key.at[9 + i] = (uint8_t)(sequence >> (56 - 8 * i));
    }
    return key;
}

struct links {
    ljs_audit_row *row;
    void *user;
};

static ljs_err one_link(void *user, const uint8_t *key, size_t key_len)
{
    const struct links *links = user;
    uint64_t number[2] = { 0, 0 };

    if (key_len != LINK_KEY_LEN)
        return LJS_OK; /* the store's word */
    for (unsigned i = 0; i < 16; i++)
        number[i / 8] = number[i / 8] << 8 | key[1 + i];
    return links->row(links->user, number[0], number[1]);
}

ljs_err ljs_server_each_link(ljs_server *server, ljs_audit_row *row, void *user)
{
    struct links links = { row, user };
    const uint8_t prefix[] = { SPACE_AUDIT };
    ljs_err err = ljs__server_alive(server);

    return err ? err : ljs_store_each(server->store, prefix, sizeof prefix, one_link, &links);
}

ljs_err ljs_server_each_link_from(ljs_server *server, uint64_t writer, uint64_t sequence, ljs_audit_row *row,
                                  void *user)
{
    const struct key all = { .at = { SPACE_AUDIT }, .len = 1 };
    struct key chain = ljs__key_link(writer, 0);
    struct links links = { row, user };
    ljs_err err;

    chain.len -= 8;
    err = ljs__each_key_under(server, &chain, sequence, UINT64_MAX, one_link, &links);
    return err || writer == UINT64_MAX ? err
                                       : ljs__each_key_under(server, &all, writer + 1, UINT64_MAX, one_link, &links);
}

ljs_err ljs_server_get_link(ljs_buf *out, ljs_server *server, uint64_t writer, uint64_t sequence)
{
    ljs_audit_link head;
    struct key key = ljs__key_link(writer, sequence);
    uint64_t version;
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs_store_get(out, &version, server->store, key.at, key.len);
    if (!err)
        err = ljs__vault_check(server->vault, TAG_AUDIT, out->data, out->len);
    if (!err)
        err = ljs_audit_link_read(&head, out->data, out->len);
    if (!err && (head.writer != writer || head.sequence != sequence)) /* filed in another's place */
        err = LJS_E_SEAL;
    if (err)
        ljs_buf_free(out);
    return err;
}

/* ---- as JSON ------------------------------------------------------------------- */

static void number_of(struct wr *w, const char *name, uint32_t number)
{
    ljs__json_name(w, name);
    ljs__json_number(w, number);
}

static void text_of(struct wr *w, const char *name, const char *text)
{
    if (!*text)
        return;
    ljs__json_name(w, name);
    ljs__json_text(w, text);
}

static void tag_of(struct wr *w, const char *name, bool has, const uint8_t tag[LINK_TAG_LEN])
{
    if (!has)
        return;
    ljs__json_name(w, name);
    ljs__json_hex(w, tag, LINK_TAG_LEN);
}

void ljs__audit_json_place(struct wr *w, uint64_t writer, uint64_t sequence)
{
    ljs__json_name(w, "chain");
    ljs__json_hex_number(w, writer, 16);
    ljs__json_name(w, "sequence");
    ljs__json_number(w, (int64_t)sequence);
}

void ljs__audit_json(struct wr *w, const ljs_audit_link *link, const ljs_audit_entry *e)
{
    ljs__json_open(w, '{');
    ljs__json_name(w, "at");
    ljs__json_number(w, link->at);
    ljs__audit_json_place(w, link->writer, link->sequence);
    text_of(w, "kind", ljs_audit_kind_text(e->kind));
    text_of(w, "result", ljs_errname(e->err));
    if (e->dev_eui) {
        ljs__json_name(w, "dev_eui");
        ljs__json_hex_number(w, e->dev_eui, 16);
    }
    if (e->join_nonce)
        number_of(w, "join_nonce", e->join_nonce);
    if (e->kind == LJS_AUDIT_JOIN || e->kind == LJS_AUDIT_REJOIN || e->kind == LJS_AUDIT_REPEAT ||
        e->kind == LJS_AUDIT_ALARM) {
        number_of(w, "nonce", e->nonce);
        ljs__json_name(w, "net_id");
        ljs__json_hex_number(w, e->net_id, 6);
    }
    if (e->count)
        number_of(w, "count", e->count);
    text_of(w, "who", e->who);
    text_of(w, "text", e->text);
    tag_of(w, "before", e->has_before, e->before);
    tag_of(w, "after", e->has_after, e->after);
    ljs__json_close(w, '}');
}

ljs_err ljs_audit_entry_json(ljs_buf *out, const ljs_audit_link *link, const ljs_audit_entry *entry)
{
    struct wr w = { 0 };

    ljs__audit_json(&w, link, entry);
    return ljs__wr_take(out, &w);
}
