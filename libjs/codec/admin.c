#include "codec/admin.h"

#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"

#include <stdio.h>

enum { BODY_MAX = 4096, STACK_BELOW = 16 * 1024 /* deeper than reading ever goes: digits of keys went through it */ };

struct reading;
typedef bool take_fn(struct reading *r, const struct json_event *event);

/* A member of one of the bodies. */
struct member {
    const char *name;
    take_fn *take;
    const char *want;
    bool needed;
    uint32_t set; /* of ljs_routing */
    size_t at;    /* in it */
};

struct reading {
    const struct member *members;
    size_t members_len;
    void *out;
    char *fault;
    uint32_t there;
    const struct member *now;
    ljs_err err; /* a fault of ours */
};

static bool fault(struct reading *r, const char *name, const char *what)
{
    snprintf(r->fault, LJS_LABEL_MAX, "%s%s%s", name, *name ? ": " : "", what);
    return false;
}

static bool on_event(void *ctx, const struct json_event *event)
{
    struct reading *r = ctx;

    for (size_t i = 0; event->depth == 1 && i < r->members_len; i++) {
        r->now = &r->members[i];
        if (strcmp(r->now->name, event->name) != 0)
            continue;
        r->there |= UINT32_C(1) << i;
        return r->now->take(r, event) ? r->err == LJS_OK : r->err ? false : fault(r, r->now->name, r->now->want);
    }
    return fault(r, "", "there is a member that is none of ours"); /* which may be a key: it is not repeated */
}

static ljs_err read_body(struct reading *r, const uint8_t *in, size_t in_len)
{
    const char *why;
    ljs_err err = ljs__json_read(in, in_len, BODY_MAX, on_event, r, &why);

    if (r->err) {
        err = r->err;
    } else if (err == LJS_E_MESSAGE) {
        if (why)
            fault(r, "", why);
        err = LJS_E_INVAL;
    }
    for (size_t i = 0; !err && i < r->members_len; i++)
        if (r->members[i].needed && !(r->there >> i & 1)) {
            fault(r, r->members[i].name, "is missing");
            err = LJS_E_INVAL;
        }
    ljs__wipe_stack(STACK_BELOW);
    return err;
}

/* ---- where a device belongs ------------------------------------------------- */

/* null takes it away. */
static bool take_number(struct reading *r, const struct json_event *event)
{
    ljs_routing *routing = r->out;
    bool net = r->now->set == LJS_ROUTE_HOME_NET_ID, some = event->type == JSON_TEXT;
    size_t n = net ? 3 : 8;
    uint8_t octets[8];
    uint64_t number = 0;

    if (event->type != JSON_NULL && !(some && ljs__hex(octets, n, event->text, event->text_len)))
        return false;
    for (size_t i = 0; some && i < n; i++)
        number = number << 8 | octets[i];
    routing->set |= r->now->set;
    if (net) {
        routing->has_home_net_id = some;
        routing->home_net_id = (ljs_netid)number;
    } else {
        routing->has_home_ns_id = some;
        routing->home_ns_id = number;
    }
    return true;
}

static bool take_label(struct reading *r, const struct json_event *event)
{
    ljs_routing *routing = r->out;
    char *field = (char *)routing + r->now->at;

    routing->set |= r->now->set;
    if (event->type == JSON_NULL)
        return true;
    if (event->type != JSON_TEXT || event->text_len == 0 || event->text_len >= LJS_LABEL_MAX)
        return false;
    memcpy(field, event->text, event->text_len);
    return ljs__text_ok(field, LJS_LABEL_MAX);
}

static const char label_text[] = "must be a text of 1 to 127 octets without control characters, or null";

static const struct member routing_members[] = {
    { "home_net_id", take_number, "must be 6 hexadecimal digits, or null", false, LJS_ROUTE_HOME_NET_ID, 0 },
    { "home_ns_id", take_number, "must be 16 hexadecimal digits, or null", false, LJS_ROUTE_HOME_NS_ID, 0 },
    { "ns_kek_label", take_label, label_text, false, LJS_ROUTE_NS_KEK_LABEL, offsetof(ljs_routing, ns_kek_label) },
    { "as_kek_label", take_label, label_text, false, LJS_ROUTE_AS_KEK_LABEL, offsetof(ljs_routing, as_kek_label) },
    { "as_id", take_label, label_text, false, LJS_ROUTE_AS_ID, offsetof(ljs_routing, as_id) },
};

ljs_err ljs__admin_routing(struct admin_routing *out, const uint8_t *in, size_t in_len)
{
    struct reading r = { routing_members, COUNT(routing_members), &out->routing, out->fault, 0, NULL, LJS_OK };
    ljs_err err;

    *out = (struct admin_routing){ .routing.struct_size = sizeof out->routing };
    if ((err = read_body(&r, in, in_len)))
        out->routing = (ljs_routing){ .struct_size = sizeof out->routing };
    return err;
}

/* ---- a KEK ------------------------------------------------------------------ */

static bool take_key(struct reading *r, const struct json_event *event)
{
    ljs_key **key = r->out;
    uint8_t octets[32];
    size_t n = event->text_len / 2;
    bool good = event->type == JSON_TEXT && (n == 16 || n == 24 || n == 32) && event->text_len == 2 * n &&
                ljs__hex(octets, n, event->text, event->text_len);

    if (good)
        r->err = ljs_key_import(key, octets, n);
    ljs__wipe(octets, sizeof octets);
    return good;
}

static const struct member kek_members[] = {
    { "key", take_key, "must be 32, 48 or 64 hexadecimal digits", true, 0, 0 },
};

ljs_err ljs__admin_kek(struct admin_kek *out, const uint8_t *in, size_t in_len)
{
    struct reading r = { kek_members, COUNT(kek_members), &out->key, out->fault, 0, NULL, LJS_OK };
    ljs_err err;

    *out = (struct admin_kek){ .key = NULL };
    if ((err = read_body(&r, in, in_len))) {
        ljs_key_free(out->key);
        out->key = NULL;
    }
    return err;
}

/* ---- an export -------------------------------------------------------------- */

static bool take_recipient(struct reading *r, const struct json_event *event)
{
    struct admin_export *out = r->out;

    return event->type == JSON_TEXT && ljs__hex(out->recipient, sizeof out->recipient, event->text, event->text_len);
}

static bool take_block(struct reading *r, const struct json_event *event)
{
    struct admin_export *out = r->out;

    out->block = event->number == 1;
    return event->type == JSON_BOOL;
}

static const struct member export_members[] = {
    { "recipient", take_recipient, "must be 64 hexadecimal digits, a public X25519 key", true, 0, 0 },
    { "block", take_block, "must be true or false", false, 0, 0 },
};

ljs_err ljs__admin_export(struct admin_export *out, const uint8_t *in, size_t in_len)
{
    struct reading r = { export_members, COUNT(export_members), out, out->fault, 0, NULL, LJS_OK };
    ljs_err err;

    *out = (struct admin_export){ .block = false };
    if ((err = read_body(&r, in, in_len))) {
        memset(out->recipient, 0, sizeof out->recipient);
        out->block = false;
    }
    return err;
}
