/* Devices, as far as a role goes. */
#include "server/admin.h"

#include "base/secret.h"
#include "codec/admin.h"
#include "server/claim.h"

#include <stdio.h>

/* ---- showing --------------------------------------------------------------------- */

/* The tag that a record ends in, as an entity tag. */
static void set_etag(struct asking *a, const ljs_buf *record)
{
    struct wr w = { 0 };

    ljs__json_hex(&w, record->data + record->len - LINK_TAG_LEN, LINK_TAG_LEN); /* with quotes */
    if (!w.bad && w.len < sizeof a->out->etag) {
        memcpy(a->out->etag, w.data, w.len);
        a->out->etag[w.len] = '\0';
    }
    ljs__wr_drop(&w);
}

enum problem ljs__admin_read(struct asking *a)
{
    ljs_buf record = { NULL, 0 }, text = { NULL, 0 };
    ljs_err err = ljs_server_get_device(&record, a->server, a->dev_eui);

    if (!err)
        err = ljs_device_json(&text, record.data, record.len);
    if (!err) {
        set_etag(a, &record);
        ljs__wr(&a->body, text.data, text.len);
    }
    ljs_buf_free(&record);
    ljs_buf_free(&text);
    return ljs__admin_problem_of(err);
}

static const char *state_text(ljs_state state)
{
    static const char *const texts[] = {
        [LJS_STATE_FRESH] = "fresh",
        [LJS_STATE_JOINED] = "joined",
        [LJS_STATE_BLOCKED] = "blocked",
        [LJS_STATE_REMOVED] = "removed",
    };

    return (size_t)state < COUNT(texts) ? texts[state] : "?";
}

struct page {
    struct asking *a;
    char account[LJS_ACCOUNT_MAX]; /* "" for all */
    bool removed, more;
    unsigned left, looked;
    ljs_eui next;
};

static void show_row(struct page *p, ljs_eui dev_eui, const ljs_device *d, const char *fault)
{
    struct wr *w = &p->a->body;

    ljs__json_open(w, '{');
    ljs__json_name(w, "dev_eui");
    ljs__json_hex_number(w, dev_eui, 16);
    if (fault) {
        ljs__json_name(w, "fault");
        ljs__json_text(w, fault);
    } else {
        ljs__json_name(w, "join_eui");
        ljs__json_hex_number(w, d->join_eui, 16);
        ljs__json_name(w, "lorawan_version");
        ljs__json_text(w, ljs_mac_text(d->mac));
        ljs__json_name(w, "state");
        ljs__json_text(w, state_text(d->state));
    }
    ljs__json_close(w, '}');
}

/* One that was tampered with must not hide the others. */
static ljs_err list_row(void *user, ljs_eui dev_eui)
{
    struct page *p = user;
    ljs_device d = { .state = LJS_STATE_FRESH };
    ljs_buf record = { NULL, 0 };
    ljs_err err;

    if (!p->left || p->looked++ == PASSED_MOST) {
        p->more = true;
        p->next = dev_eui;
        return LJS_E_BUSY; /* enough */
    }
    err = ljs_server_get_device(&record, p->a->server, dev_eui);
    if (!err)
        err = ljs_device_read(&d, record.data, record.len);
    ljs_buf_free(&record);
    if (err == LJS_E_NOTFOUND || (!err && d.state == LJS_STATE_REMOVED && !p->removed))
        return LJS_OK;
    if (err && err != LJS_E_SEAL && err != LJS_E_VERSION)
        return err;
    show_row(p, dev_eui, &d, err ? ljs_errname(err) : NULL);
    p->left--;
    return p->a->body.bad ? LJS_E_NOMEM : LJS_OK;
}

/* Of one account: what it is offered is not its own. */
static ljs_err owned_row(void *user, const ljs_claim *claim)
{
    struct page *p = user;

    const char *mine = *p->a->who.account ? p->a->who.account : claim->account;

    return strcmp(claim->account, mine) || (*p->account && strcmp(claim->account, p->account))
               ? LJS_OK
               : list_row(p, claim->dev_eui);
}

enum problem ljs__admin_list(struct asking *a)
{
    static const char *const names[] = { "prefix", "cursor", "limit", "removed", "account", NULL };
    char removed[8];
    struct page p = { .a = a };
    const char *whose;
    ljs_eui first, last;
    ljs_err err;

    if (ljs__admin_query_only(a, names) || !ljs__admin_range(&first, &last, a) || !ljs__admin_limit(&p.left, a) ||
        !ljs__admin_query(removed, sizeof removed, a, "removed") ||
        !ljs__admin_query(p.account, sizeof p.account, a, "account") ||
        (*removed && strcmp(removed, "true") != 0 && strcmp(removed, "false") != 0))
        return P_BAD_REQUEST;
    whose = *a->who.account ? a->who.account : p.account;
    if (*whose && !ljs__account_name_ok(whose, LJS_ACCOUNT_MAX))
        return P_BAD_REQUEST;
    p.removed = strcmp(removed, "true") == 0;
    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "devices");
    ljs__json_open(&a->body, '[');
    err = *whose ? ljs_server_each_claim_of(a->server, whose, first, last, owned_row, &p)
                 : ljs_server_each_device_in(a->server, first, last, list_row, &p);
    ljs__json_close(&a->body, ']');
    if (p.more)
        ljs__admin_next_page(a, p.next);
    ljs__json_close(&a->body, '}');
    return p.more ? FINE : ljs__admin_problem_of(err);
}

/* ---- changing ---------------------------------------------------------------------- */

ljs_err ljs__admin_once_begin(struct once **out, struct once *once, struct asking *a, unsigned status)
{
    const ljs_admin_req *req = a->req;
    char who[sizeof a->who.name + sizeof a->who.account]; /* a name may be another account's by tomorrow */
    ljs_err err;

    snprintf(who, sizeof who, "%s%s%s", a->who.name, *a->who.account ? "/" : "", a->who.account);
    *once = (struct once){ .now = req->now };
    *out = NULL;
    if (!*req->idempotency_key)
        return LJS_OK;
    err = ljs__once_room(a->server, req->now);
    if (!err)
        err = ljs__once_begin(once, req->now, who, req->idempotency_key, req->method, req->target, a->in, a->in_len);
    once->status = status;
    *out = err ? NULL : once;
    return err;
}

enum problem ljs__admin_once_end(struct asking *a, struct once *once, ljs_err err, unsigned status, const char *result)
{
    struct wr *w = &a->body;

    ljs_buf_free(&once->value);
    if (once->other)
        return P_KEY_REUSED;
    if (err && !once->again)
        return ljs__admin_problem_of(err);
    a->out->status = once->again ? once->status : status;
    ljs__json_open(w, '{');
    ljs__json_name(w, "dev_eui");
    ljs__json_hex_number(w, a->dev_eui, 16);
    ljs__json_name(w, "result");
    ljs__json_text(w, result);
    ljs__json_close(w, '}');
    return FINE;
}

enum problem ljs__admin_create(struct asking *a)
{
    ljs_import import;
    struct once kept = { .now = 0 }, *once = NULL;
    enum problem problem;
    ljs_err err = ljs_import_parse(&import, a->in, a->in_len);

    if (err == LJS_E_INVAL) {
        problem = ljs__admin_fault(a, import.fault);
    } else {
        a->dev_eui = import.device.dev_eui;
        if (!err)
            err = ljs__admin_once_begin(&once, &kept, a, 201);
        if (!err)
            err = ljs__create_device(a->server, &import, once);
        problem = ljs__admin_once_end(a, &kept, err, 201, "added");
    }
    ljs_import_clear(&import);
    if (!problem)
        snprintf(a->out->location, sizeof a->out->location, "/v1/devices/%016llx", (unsigned long long)a->dev_eui);
    return problem;
}

static enum problem step(struct asking *a, ljs_device_act act, const char *result)
{
    struct once kept, *once;
    ljs_err err = ljs__admin_once_begin(&once, &kept, a, 200);

    if (!err)
        err = ljs__step_device(a->server, a->dev_eui, act, NULL, once);
    return ljs__admin_once_end(a, &kept, err, 200, result);
}

enum problem ljs__admin_block(struct asking *a)
{
    return step(a, LJS_DEVICE_BLOCK, "blocked");
}

enum problem ljs__admin_unblock(struct asking *a)
{
    return step(a, LJS_DEVICE_UNBLOCK, "unblocked");
}

enum problem ljs__admin_reset(struct asking *a)
{
    return step(a, LJS_DEVICE_RESET_NONCES, "nonces reset");
}

/* If-Match: one entity tag as it was given [RFC 9110 13.1.1], or "*", which leaves *tag NULL. */
static enum problem read_if_match(const uint8_t **tag, uint8_t room[LINK_TAG_LEN], const struct asking *a)
{
    const char *text = a->req->if_match;
    size_t n = strlen(text);

    *tag = NULL;
    if (!n)
        return P_PRECONDITION;
    if (strcmp(text, "*") == 0)
        return FINE;
    *tag = room;
    if (n != 2 + 2 * LINK_TAG_LEN || text[0] != '"' || text[n - 1] != '"' ||
        !ljs__hex(room, LINK_TAG_LEN, text + 1, n - 2))
        return P_CHANGED; /* none that we gave */
    return FINE;
}

enum problem ljs__admin_patch(struct asking *a)
{
    struct admin_routing body;
    uint8_t room[LINK_TAG_LEN];
    const uint8_t *tag;
    enum problem problem = read_if_match(&tag, room, a);
    ljs_err err = problem ? LJS_OK : ljs__admin_routing(&body, a->in, a->in_len);

    if (problem)
        return problem;
    if (err == LJS_E_INVAL)
        return ljs__admin_fault(a, body.fault);
    if (!err)
        err = ljs__route_device(a->server, a->dev_eui, &body.routing, tag);
    return err ? ljs__admin_problem_of(err) : ljs__admin_read(a);
}

enum problem ljs__admin_remove(struct asking *a)
{
    uint8_t room[LINK_TAG_LEN];
    const uint8_t *tag;
    enum problem problem = read_if_match(&tag, room, a);

    return problem ? problem
                   : ljs__admin_problem_of(ljs__step_device(a->server, a->dev_eui, LJS_DEVICE_REMOVE, tag, NULL));
}

/* ---- sending away ------------------------------------------------------------------- */

static ljs_err pack(struct asking *a, const struct admin_export *to)
{
    ljs_parcel *parcel = NULL;
    ljs_buf record = { NULL, 0 }, piece = { NULL, 0 };
    ljs_err err = ljs_server_get_device(&record, a->server, a->dev_eui);

    if (!err)
        err = ljs_parcel_pack(&parcel, a->req->signer, a->req->now, to->recipient, sizeof to->recipient);
    for (int part = 0; !err && part < 3; part++) {
        err = part == 0   ? ljs_parcel_head(&piece, parcel)
              : part == 1 ? ljs_parcel_put(&piece, parcel, a->server->vault, record.data, record.len)
                          : ljs_parcel_close(&piece, parcel);
        ljs__wr(&a->body, piece.data, piece.len);
        ljs_buf_free(&piece);
    }
    ljs_parcel_free(parcel);
    ljs_buf_free(&record);
    return err;
}

/* Marked, and that durable, before a key of it leaves.  Under an idempotency key the device is marked once; who
 * asks again gets it as it is now, in a parcel of its own. */
enum problem ljs__admin_parcel(struct asking *a)
{
    struct admin_export to;
    struct once kept, *once;
    ljs_parcel *trial = NULL;
    ljs_err err = ljs__admin_export(&to, a->in, a->in_len);

    if (err == LJS_E_INVAL)
        return ljs__admin_fault(a, to.fault);
    if (!err && !a->req->signer)
        return P_NO_SIGNER;
    if (!err) /* before anything is marked: is the recipient's a key? */
        err = ljs_parcel_pack(&trial, a->req->signer, a->req->now, to.recipient, sizeof to.recipient);
    ljs_parcel_free(trial);
    if (err == LJS_E_INVAL)
        return ljs__admin_fault(a, "recipient: is no public key");
    if (!err)
        err = ljs__admin_once_begin(&once, &kept, a, 200);
    if (err)
        return ljs__admin_problem_of(err);
    err = ljs__step_device(a->server, a->dev_eui, LJS_DEVICE_EXPOSE, NULL, once);
    ljs_buf_free(&kept.value);
    if (kept.other)
        return P_KEY_REUSED;
    if (kept.again)
        err = LJS_OK;
    /* After that, so that what is refused blocks nothing; asked again, too, since the first may have come so far only.
     */
    if (!err && to.block &&
        (err = ljs__step_device(a->server, a->dev_eui, LJS_DEVICE_BLOCK, NULL, NULL)) == LJS_E_STATE)
        err = LJS_OK; /* blocked already */
    if (!err)
        err = ljs_server_note(a->server, LJS_AUDIT_EXPORT, a->dev_eui, LJS_OK, "over HTTP");
    if (!err)
        err = pack(a, &to);
    if (!err)
        strcpy(a->out->type, "application/octet-stream");
    return ljs__admin_problem_of(err);
}
