/* The join log: what was refused or repeated, of a device and of all. */
#include "server/admin.h"
#include "server/claim.h"

static void show_decision(struct wr *w, const ljs_event *e)
{
    static const struct {
        ljs_frame_kind kind;
        const char *text;
    } kinds[] = { { LJS_FRAME_REJOIN0, "rejoin0" },
                  { LJS_FRAME_REJOIN1, "rejoin1" },
                  { LJS_FRAME_REJOIN2, "rejoin2" } };
    const char *kind = "join";

    for (size_t i = 0; i < COUNT(kinds); i++)
        if (kinds[i].kind == e->kind)
            kind = kinds[i].text;
    ljs__json_open(w, '{');
    ljs__json_name(w, "at");
    ljs__json_number(w, e->at);
    ljs__json_name(w, "result");
    ljs__json_text(w, ljs_errname(e->err));
    ljs__json_name(w, "text");
    ljs__json_text(w, ljs_strerror(e->err));
    ljs__json_name(w, "remedy");
    ljs__json_text(w, ljs_remedy(e->err));
    ljs__json_name(w, "type");
    ljs__json_text(w, ljs_message_type_text(e->type));
    ljs__json_name(w, "kind");
    ljs__json_text(w, kind);
    ljs__json_name(w, "net_id");
    ljs__json_hex_number(w, e->net_id, 6);
    ljs__json_name(w, "nonce");
    ljs__json_number(w, e->nonce);
    ljs__json_name(w, "count");
    ljs__json_number(w, e->count);
    ljs__json_name(w, "repeat");
    ljs__json_bool(w, e->repeat);
    ljs__json_name(w, "on_word");
    ljs__json_bool(w, e->on_word);
    ljs__json_name(w, "peer");
    ljs__json_text(w, e->peer);
    ljs__json_close(w, '}');
}

/* ---- which of them ----------------------------------------------------------------- */

/* Since when, and refusals or repeats alone. */
struct wanted {
    int64_t since;
    bool refused, repeated;
};

static bool read_wanted(struct wanted *out, const struct asking *a)
{
    char outcome[16];

    *out = (struct wanted){ .since = 0 };
    if (!ljs__admin_since(&out->since, a) || !ljs__admin_query(outcome, sizeof outcome, a, "outcome"))
        return false;
    out->refused = !*outcome || !strcmp(outcome, "refused");
    out->repeated = !*outcome || !strcmp(outcome, "repeated");
    return out->refused || out->repeated;
}

static bool is_wanted(const struct wanted *want, const ljs_event *e)
{
    return e->at >= want->since && (e->err ? want->refused : want->repeated);
}

/* An owner sees nothing of the one before: not what was in the second of the change either.  `his`: it is the asker's.
 */
static ljs_err since_owned(bool *his, struct wanted *want, const struct asking *a, ljs_eui dev_eui)
{
    struct claim claim;
    ljs_err err = ljs__claim_load(&claim, a->server, dev_eui);
    int64_t from = err ? 0 : ljs__claim_seen_from(&claim);

    *his = !err && !strcmp(claim.c.account, a->who.account);
    if (from && want->since <= from)
        want->since = from + 1;
    return err;
}

/* ---- of a device ------------------------------------------------------------------- */

/* What there is of a device: of one that cannot be read one event, which counts nothing. */
struct events {
    ljs_event at[DECISIONS_MAX];
    size_t len;
};

static ljs_err add_event(void *user, const ljs_event *e)
{
    struct events *all = user;

    if (all->len < COUNT(all->at))
        all->at[all->len++] = *e;
    return LJS_OK;
}

static ljs_err read_events(struct events *out, ljs_server *server, ljs_eui dev_eui)
{
    ljs_err err = ljs__decisions_of(server, dev_eui, add_event, out);

    return !err && out->len && !out->at[0].count ? out->at[0].err : err;
}

enum problem ljs__admin_decisions(struct asking *a)
{
    static const char *const names[] = { "since", "outcome", NULL };
    ljs_buf record = { NULL, 0 };
    struct events all = { .len = 0 };
    struct wanted want;
    bool his; /* who asks is asked whether he owns it, before this and after */
    ljs_err err;

    if (ljs__admin_query_only(a, names) || !read_wanted(&want, a))
        return P_BAD_REQUEST;
    err = ljs_server_get_device(&record, a->server, a->dev_eui);
    ljs_buf_free(&record);
    if (!err)
        err = read_events(&all, a->server, a->dev_eui);
    if (!err && *a->who.account) /* of what has been read: it may have been another's in between, and come back */
        err = since_owned(&his, &want, a, a->dev_eui);
    if (err)
        return ljs__admin_problem_of(err);
    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "decisions");
    ljs__json_open(&a->body, '[');
    for (size_t i = 0; i < all.len; i++)
        if (is_wanted(&want, &all.at[i]))
            show_decision(&a->body, &all.at[i]);
    ljs__json_close(&a->body, ']');
    ljs__json_close(&a->body, '}');
    return FINE;
}

/* ---- of all devices ---------------------------------------------------------------- */

struct page {
    struct asking *a;
    struct wanted want;
    char account[LJS_ACCOUNT_MAX]; /* "" for all */
    unsigned left, looked;
    bool more; /* the page is full */
    ljs_eui next;
};

static bool is_full(struct page *p, ljs_eui next)
{
    p->more = !p->left || p->looked++ == PASSED_MOST;
    p->next = next;
    return p->more;
}

static void begin_device(struct wr *w, const ljs_event *e)
{
    ljs__json_open(w, '{');
    ljs__json_name(w, "dev_eui");
    ljs__json_hex_number(w, e->dev_eui, 16);
    if (!e->count) {
        ljs__json_name(w, "fault");
        ljs__json_text(w, ljs_errname(e->err));
    }
    ljs__json_name(w, "decisions");
    ljs__json_open(w, '[');
}

static ljs_err show_device(struct page *p, const struct wanted *want, const struct events *all)
{
    struct wr *w = &p->a->body;
    bool begun = false;

    for (size_t i = 0; i < all->len; i++) {
        const ljs_event *e = &all->at[i];

        if (e->count && !is_wanted(want, e))
            continue;
        if (!begun)
            begin_device(w, e);
        if (e->count)
            show_decision(w, e);
        begun = true;
    }
    if (begun) {
        ljs__json_close(w, ']');
        ljs__json_close(w, '}');
        p->left--;
    }
    return w->bad ? LJS_E_NOMEM : LJS_OK;
}

static ljs_err any_row(void *user, ljs_eui dev_eui)
{
    struct page *p = user;
    struct events all = { .len = 0 };
    ljs_err err;

    if (is_full(p, dev_eui))
        return LJS_E_BUSY; /* enough */
    err = ljs__decisions_of(p->a->server, dev_eui, add_event, &all);
    return err ? err : show_device(p, &p->want, &all);
}

/* Of one account: what it is offered is not its own.  Whose the device is is asked once more when its decisions have
 * been read: then they are of his own time. */
static ljs_err owned_row(void *user, const ljs_claim *claim)
{
    struct page *p = user;
    const char *mine = *p->a->who.account ? p->a->who.account : p->account;
    struct wanted want = p->want;
    struct events all = { .len = 0 };
    bool his = true;
    ljs_err err;

    if (is_full(p, claim->dev_eui))
        return LJS_E_BUSY;
    if (strcmp(claim->account, mine) || (*p->account && strcmp(claim->account, p->account)))
        return LJS_OK;
    err = ljs__decisions_of(p->a->server, claim->dev_eui, add_event, &all);
    if (!err && *p->a->who.account)
        err = since_owned(&his, &want, p->a, claim->dev_eui);
    return err || !his ? err : show_device(p, &want, &all);
}

enum problem ljs__admin_all_decisions(struct asking *a)
{
    static const char *const names[] = { "since", "outcome", "prefix", "cursor", "limit", "account", NULL };
    struct page p = { .a = a };
    const char *whose;
    ljs_eui first, last;
    ljs_err err;

    if (ljs__admin_query_only(a, names) || !read_wanted(&p.want, a) || !ljs__admin_range(&first, &last, a) ||
        !ljs__admin_limit(&p.left, a) || !ljs__admin_query(p.account, sizeof p.account, a, "account"))
        return P_BAD_REQUEST;
    whose = *a->who.account ? a->who.account : p.account;
    if (*whose && !ljs__account_name_ok(whose, LJS_ACCOUNT_MAX))
        return P_BAD_REQUEST;
    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "devices");
    ljs__json_open(&a->body, '[');
    err = *whose ? ljs_server_each_claim_of(a->server, whose, first, last, owned_row, &p)
                 : ljs__each_eui_in(a->server, SPACE_DECISION, first, last, any_row, &p);
    ljs__json_close(&a->body, ']');
    if (p.more)
        ljs__admin_next_page(a, p.next);
    ljs__json_close(&a->body, '}');
    return p.more ? FINE : ljs__admin_problem_of(err);
}
