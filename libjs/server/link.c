#include "server/link.h"

#include "base/text.h"

enum { LINK_FIELDS = 6, ENTRY_FIELDS = 11 };

static void pack_tag(struct wr *w, const uint8_t *tag)
{
    ljs__pack_bin(w, tag ? tag : (const uint8_t *)"", tag ? LINK_TAG_LEN : 0);
}

/* What could not be read again is not written. */
static void pack_label(struct wr *w, const char *text)
{
    ljs__pack_text(w, !text ? "" : ljs__text_ok(text, LJS_LABEL_MAX) ? text : "?");
}

void ljs__link_entry(struct wr *body, const struct entry *e)
{
    ljs__pack_array(body, ENTRY_FIELDS);
    ljs__pack_uint(body, e->kind);
    ljs__pack_int(body, e->err);
    ljs__pack_uint(body, e->dev_eui);
    ljs__pack_uint(body, e->join_nonce);
    ljs__pack_uint(body, e->nonce);
    ljs__pack_uint(body, e->net_id);
    ljs__pack_uint(body, e->count);
    pack_label(body, e->who);
    pack_label(body, e->text);
    pack_tag(body, e->before);
    pack_tag(body, e->after);
}

ljs_err ljs__link_write(struct wr *w, const ljs_vault *vault, const ljs_audit_link *head, const struct wr *body)
{
    w->len = 0;
    w->bad = false;
    ljs__pack_array(w, LINK_FIELDS);
    ljs__pack_uint(w, LINK_SCHEMA);
    ljs__pack_uint(w, head->writer);
    ljs__pack_uint(w, head->sequence);
    ljs__pack_int(w, head->at);
    ljs__pack_bin(w, head->before, sizeof head->before);
    ljs__pack_array(w, head->entries);
    ljs__wr(w, body->data, body->len);
    if (body->bad)
        return LJS_E_NOMEM;
    return ljs__vault_tag(w, vault, TAG_AUDIT);
}

/* ---- reading ---------------------------------------------------------------- */

ljs_err ljs__link_begin(struct link_reader *out, const uint8_t *in, size_t in_len)
{
    unsigned n;

    *out = (struct link_reader){ .u.rd = { in, in_len > LINK_TAG_LEN ? in_len - LINK_TAG_LEN : 0, false } };
    n = ljs__unpack_array(&out->u);
    if (ljs__unpack_uint(&out->u, 0xffff) > LINK_SCHEMA && !out->u.rd.bad)
        return LJS_E_VERSION;
    if (n != LINK_FIELDS)
        return LJS_E_SEAL;
    out->head.writer = ljs__unpack_uint(&out->u, UINT64_MAX);
    out->head.sequence = ljs__unpack_uint(&out->u, UINT64_MAX);
    out->head.at = ljs__unpack_int(&out->u, INT64_MIN, INT64_MAX);
    ljs__unpack_fixed(&out->u, out->head.before, sizeof out->head.before);
    out->head.entries = ljs__unpack_array(&out->u);
    if (out->u.rd.bad)
        return LJS_E_SEAL;
    memcpy(out->head.tag, in + in_len - LINK_TAG_LEN, LINK_TAG_LEN);
    return LJS_OK;
}

static uint8_t unpack_tag(struct unpack *u, uint8_t out[LINK_TAG_LEN])
{
    size_t len;
    const uint8_t *at = ljs__unpack_bin(u, &len, LINK_TAG_LEN);

    if (len && len != LINK_TAG_LEN)
        u->rd.bad = true;
    else if (at && len)
        memcpy(out, at, len);
    return len != 0;
}

static void unpack_label(struct unpack *u, char out[LJS_LABEL_MAX])
{
    ljs__unpack_text(u, out, LJS_LABEL_MAX);
    if (!ljs__text_ok(out, LJS_LABEL_MAX))
        u->rd.bad = true;
}

void ljs__link_next(struct link_reader *r, ljs_audit_entry *e)
{
    struct unpack *u = &r->u;

    memset(e, 0, sizeof *e);
    if (ljs__unpack_array(u) != ENTRY_FIELDS)
        u->rd.bad = true;
    e->kind = (ljs_audit_kind)ljs__unpack_uint(u, 0xff);
    e->err = (ljs_err)ljs__unpack_int(u, -199, 0);
    e->dev_eui = ljs__unpack_uint(u, UINT64_MAX);
    e->join_nonce = (uint32_t)ljs__unpack_uint(u, UINT32_MAX);
    e->nonce = (uint32_t)ljs__unpack_uint(u, UINT32_MAX);
    e->net_id = (ljs_netid)ljs__unpack_uint(u, 0xffffff);
    e->count = (uint32_t)ljs__unpack_uint(u, UINT32_MAX);
    unpack_label(u, e->who);
    unpack_label(u, e->text);
    e->has_before = unpack_tag(u, e->before);
    e->has_after = unpack_tag(u, e->after);
    if (u->rd.bad)
        memset(e, 0, sizeof *e);
}

ljs_err ljs_audit_link_read(ljs_audit_link *out, const uint8_t *in, size_t in_len)
{
    struct link_reader r;
    ljs_audit_entry e;
    ljs_err err = ljs__link_begin(&r, in, in_len);

    memset(out, 0, sizeof *out);
    for (unsigned i = 0; !err && i < r.head.entries && !r.u.rd.bad; i++)
        ljs__link_next(&r, &e);
    if (!err && !rd_done(&r.u.rd))
        err = LJS_E_SEAL;
    if (!err)
        *out = r.head;
    return err;
}

ljs_err ljs_audit_link_entry(ljs_audit_entry *out, unsigned i, const uint8_t *in, size_t in_len)
{
    struct link_reader r;
    ljs_err err = ljs__link_begin(&r, in, in_len);

    memset(out, 0, sizeof *out);
    if (!err && i >= r.head.entries)
        err = LJS_E_NOTFOUND;
    for (unsigned k = 0; !err && k <= i; k++) {
        ljs__link_next(&r, out);
        if (r.u.rd.bad)
            err = LJS_E_SEAL;
    }
    return err;
}

static const struct {
    ljs_audit_kind kind;
    const char *text;
} kinds[] = {
    { LJS_AUDIT_BEGIN, "begin" },
    { LJS_AUDIT_END, "end" },
    { LJS_AUDIT_FOUND, "found" },
    { LJS_AUDIT_OFF, "off" },
    { LJS_AUDIT_MISSED, "missed" },
    { LJS_AUDIT_JOIN, "join" },
    { LJS_AUDIT_REJOIN, "rejoin" },
    { LJS_AUDIT_APP_S_KEY, "app-s-key" },
    { LJS_AUDIT_REPEAT, "repeat" },
    { LJS_AUDIT_REFUSED, "refused" },
    { LJS_AUDIT_ALARM, "alarm" },
    { LJS_AUDIT_DEVICE_MAKE, "device-make" },
    { LJS_AUDIT_DEVICE_LAND, "device-land" },
    { LJS_AUDIT_JOIN_EUI, "join-eui" },
    { LJS_AUDIT_BLOCK, "block" },
    { LJS_AUDIT_UNBLOCK, "unblock" },
    { LJS_AUDIT_RESET_NONCES, "reset-nonces" },
    { LJS_AUDIT_REMOVE, "remove" },
    { LJS_AUDIT_EXPOSE, "expose" },
    { LJS_AUDIT_REWRAP, "rewrap" },
    { LJS_AUDIT_RAISE, "raise" },
    { LJS_AUDIT_ROUTE, "route" },
    { LJS_AUDIT_REKEY, "rekey" },
    { LJS_AUDIT_MOVE, "move" },
    { LJS_AUDIT_MOVE_BACK, "move-back" },
    { LJS_AUDIT_KEK_PUT, "kek-put" },
    { LJS_AUDIT_KEK_REMOVE, "kek-remove" },
    { LJS_AUDIT_KEK_ROTATE, "kek-rotate" },
    { LJS_AUDIT_KEK_RETIRE, "kek-retire" },
    { LJS_AUDIT_ENROL, "enrol" },
    { LJS_AUDIT_CLAIM, "claim" },
    { LJS_AUDIT_ASSIGN, "assign" },
    { LJS_AUDIT_RELEASE, "release" },
    { LJS_AUDIT_OFFER, "offer" },
    { LJS_AUDIT_WITHDRAW, "withdraw" },
    { LJS_AUDIT_ACCEPT, "accept" },
    { LJS_AUDIT_SUSPEND, "suspend" },
    { LJS_AUDIT_RESUME, "resume" },
    { LJS_AUDIT_RETIRE, "retire" },
    { LJS_AUDIT_ACCOUNT, "account" },
    { LJS_AUDIT_CHIP, "chip" },
    { LJS_AUDIT_EXPORT, "export" },
    { LJS_AUDIT_RECEIVE, "receive" },
    { LJS_AUDIT_BACKUP, "backup" },
    { LJS_AUDIT_RESTORE, "restore" },
    { LJS_AUDIT_FORCED, "forced" },
    { LJS_AUDIT_MASTER, "master" },
    { LJS_AUDIT_ROLE, "role" },
    { LJS_AUDIT_DENIED, "denied" },
    { LJS_AUDIT_NOTE, "note" },
    { LJS_AUDIT_LOT_PUT, "lot-put" },
    { LJS_AUDIT_MANIFEST, "manifest" },
};

const char *ljs_audit_kind_text(ljs_audit_kind kind)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (kinds[i].kind == kind)
            return kinds[i].text;
    return "?";
}
