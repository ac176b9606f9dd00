/* The four calls by which The Things Stack claims devices ("ttjsv2"): its paths, members, statuses and words.
 *
 * Where they differ from our own: a claim without a lock may be taken over by whoever has the token; the token survives
 * a release unless regenerateOwnerToken was set; and it is told which refusal it is. */
#include "server/admin.h"

#include "codec/claims.h"
#include "server/claim.h"

static enum problem refuse(struct asking *a, enum problem problem, const char *message)
{
    a->detail = message;
    return problem;
}

/* What each refusal is here; `not_mine` where somebody else has it. */
static enum problem refused(struct asking *a, ljs_err err, const char *not_mine)
{
    switch (err) {
    case LJS_OK:
        return FINE;
    case LJS_E_NOTFOUND:
        return refuse(a, P_NO_DEVICE, "device not provisioned");
    case LJS_E_CLAIM: /* The Things Stack looks for these words */
        return refuse(a, P_CLAIM, "claim failed with given owner token");
    case LJS_E_EXISTS:
        return refuse(a, P_CLAIM, not_mine);
    case LJS_E_STATE:
        return refuse(a, P_CLAIM, "device is suspended");
    case LJS_E_BLOCKED:
        return refuse(a, P_SUSPENDED, "client is suspended");
    case LJS_E_LIMIT:
        return refuse(a, P_LIMIT, "too many failed claims, come again later");
    case LJS_E_INVAL:
        return refuse(a, P_BAD_REQUEST, "malformed request");
    default:
        return ljs__admin_problem_of(err);
    }
}

static ljs_claim_req request_of(const struct asking *a, ljs_claim_act act, ljs_eui dev_eui)
{
    ljs_claim_req req = ljs__admin_claim_req(a, act, dev_eui);

    req.tell = 1;
    return req;
}

enum problem ljs__ttjs_claim(struct asking *a)
{
    ljs_claim_req req = request_of(a, LJS_CLAIM_CLAIM, a->dev_eui);
    struct claim_body body;
    ljs_buf none = { NULL, 0 };
    enum problem problem = FINE;
    ljs_err err = ljs__claim_body(&body, CLAIM_BODY_TTJS, a->in, a->in_len);

    if (err == LJS_E_INVAL) {
        ljs__admin_fault(a, body.fault);
        problem = P_BAD_REQUEST;
    } else if (!err) {
        ljs__admin_claim_routing(&req.routing, &body);
        req.routing.set |= LJS_ROUTE_HOME_NS_ID; /* it says all of it each time: what is left out is none */
        req.unlocked = !body.lock;
        req.keep_token = !body.regenerate;
        err = ljs__claim(&none, a->server, &req, (const uint8_t *)body.token, strlen(body.token),
                         &(struct claim_kek){ body.kek_label, body.kek }, NULL);
        problem = refused(a, err, "Client not allowed to claim");
    } else {
        problem = ljs__admin_problem_of(err);
    }
    ljs__claim_body_clear(&body);
    a->out->status = problem ? a->out->status : 201;
    return problem;
}

/* Is it there, and claimed, and by whom? */
static enum problem look(ljs_claim *claim, struct asking *a, ljs_eui dev_eui)
{
    ljs_err err = ljs_server_get_claim(claim, a->server, dev_eui);

    if (err)
        return refused(a, err, "");
    if (!*claim->account)
        return refuse(a, P_NO_DEVICE, "device not claimed");
    if (strcmp(claim->account, a->who.account) != 0)
        return refuse(a, P_CLAIM, "device claimed by another client");
    return FINE;
}

static void put_hex(struct wr *w, const char *name, uint64_t number, unsigned digits)
{
    static const char hex[] = "0123456789ABCDEF";
    char text[17] = "";

    for (unsigned i = digits; i > 0; i--, number >>= 4)
        text[i - 1] = hex[number & 15];
    ljs__json_name(w, name);
    ljs__json_text(w, text);
}

enum problem ljs__ttjs_read(struct asking *a)
{
    ljs_claim claim;
    ljs_device device;
    ljs_buf record = { NULL, 0 };
    struct wr *w = &a->body;
    ljs_err err = ljs_server_get_device(&record, a->server, a->dev_eui);
    enum problem problem = look(&claim, a, a->dev_eui); /* then the record was of his time, too */

    if (!err)
        err = ljs_device_read(&device, record.data, record.len);
    ljs_buf_free(&record);
    if (problem)
        return problem;
    if (err)
        return refused(a, err, "");
    ljs__json_open(w, '{');
    if (device.has_home_net_id)
        put_hex(w, "homeNetID", device.home_net_id, 6);
    if (device.has_home_ns_id)
        put_hex(w, "homeNSID", device.home_ns_id, 16);
    ljs__json_name(w, "locked");
    ljs__json_bool(w, claim.locked);
    ljs__json_close(w, '}');
    return FINE;
}

static enum problem unclaim(struct asking *a, ljs_eui dev_eui)
{
    ljs_claim_req req = request_of(a, LJS_CLAIM_RELEASE, dev_eui);
    ljs_claim claim;
    ljs_buf none;
    enum problem problem = look(&claim, a, dev_eui);

    return problem ? problem
                   : refused(a, ljs_server_claim(&none, a->server, &req, NULL, 0), "Client not allowed to unclaim");
}

enum problem ljs__ttjs_unclaim(struct asking *a)
{
    return unclaim(a, a->dev_eui);
}

/* One DevEUI of a list with commas between; false for what is none. */
static bool next_eui(ljs_eui *out, const char **at)
{
    char text[17] = "";
    size_t n = strcspn(*at, ",");

    if (n != 16)
        return false;
    memcpy(text, *at, n);
    *at += n + ((*at)[n] == ',');
    return !ljs_eui_parse(out, text) && ((*at)[-1] != ',' || **at);
}

/* Was it in the list already, before what ends at `end`? */
static bool is_before(const char *at, const char *end, ljs_eui dev_eui)
{
    ljs_eui other;
    unsigned n = 0;

    while (at < end && next_eui(&other, &at))
        n += other == dev_eui;
    return n > 1;
}

/* All of the list is looked at before anything is done; each that fails is named, the others are done. */
enum problem ljs__ttjs_unclaim_many(struct asking *a)
{
    struct wr *w = &a->body;
    const char *at = a->arg;
    bool bad = false;
    ljs_eui dev_eui;

    while (*at)
        if (!next_eui(&dev_eui, &at))
            return refuse(a, P_BAD_REQUEST, "malformed DevEUI");
    for (at = a->arg; *at && next_eui(&dev_eui, &at);) {
        enum problem problem = is_before(a->arg, at, dev_eui) ? FINE : unclaim(a, dev_eui);
        char name[17] = "";

        if (!problem)
            continue;
        if (problem == P_UNAVAILABLE || problem == P_FAULT) {
            ljs__wr_drop(w);
            return problem;
        }
        if (!bad)
            ljs__json_open(w, '{');
        bad = true;
        for (unsigned i = 0; i < 16; i++)
            name[i] = "0123456789ABCDEF"[dev_eui >> (60 - 4 * i) & 15];
        ljs__json_name(w, name);
        ljs__json_open(w, '{');
        ljs__json_name(w, "message");
        ljs__json_text(w, a->detail);
        ljs__json_close(w, '}');
    }
    if (bad) {
        ljs__json_close(w, '}');
        a->out->status = 400;
    }
    return FINE;
}
