#include "codec/claims.h"

#include <lorajs/message.h>
#include <lorajs/qr.h>

#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

enum { BODY_MAX = 128 * 1024, STACK_BELOW = 16 * 1024 /* as in admin.c: tokens and digits of keys went through it */ };

struct reading;
typedef bool take_fn(struct reading *r, const struct json_event *event);

struct member {
    unsigned kinds; /* of body */
    const char *name;
    take_fn *take;
    const char *want;
    bool needed;
    uint32_t set; /* of ljs_routing */
    size_t at;    /* in it, or in the body */
};

struct reading {
    struct claim_body *out;
    enum claim_body_kind kind;
    uint64_t there;
    const struct member *now; /* at depth 1 */
    struct claim_item *item;  /* that is read */
    bool in_chip;             /* inside of it */
    ljs_err err;              /* a fault of ours */
};

static bool fault(struct reading *r, const char *name, const char *what)
{
    snprintf(r->out->fault, sizeof r->out->fault, "%s%s%s", name, *name ? ": " : "", what);
    return false;
}

/* ---- values ---------------------------------------------------------------------- */

static bool take_text(char *out, size_t room, const struct json_event *event)
{
    if (event->type != JSON_TEXT || event->text_len == 0 || event->text_len >= room)
        return false;
    memset(out, 0, room);
    memcpy(out, event->text, event->text_len);
    return ljs__text_ok(out, room);
}

static bool is_token(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == strlen(text);
}

static bool take_token(struct reading *r, const struct json_event *event)
{
    char *token = r->item ? r->item->token : r->out->token;

    return take_text(token, CLAIM_TOKEN_ROOM, event) && is_token(token);
}

static bool take_name(struct reading *r, const struct json_event *event)
{
    return take_text(r->out->name, sizeof r->out->name, event);
}

static bool take_time(struct reading *r, const struct json_event *event)
{
    int64_t *at = r->now->at ? &r->out->until : &r->out->start;

    *at = event->number;
    return event->type == JSON_INT && event->number > 0;
}

static bool take_bool(struct reading *r, const struct json_event *event)
{
    bool *at = r->now->at ? &r->out->lock : &r->out->regenerate;

    *at = event->number;
    return event->type == JSON_BOOL;
}

static bool eui_of(ljs_eui *out, const struct json_event *event)
{
    char text[17] = "";

    if (event->type != JSON_TEXT || event->text_len != 16)
        return false;
    memcpy(text, event->text, 16);
    return !ljs_eui_parse(out, text);
}

/* null takes it away. */
static bool take_net_id(struct reading *r, const struct json_event *event)
{
    ljs_routing *routing = &r->out->routing;
    uint8_t o[3] = { 0 };

    routing->set |= LJS_ROUTE_HOME_NET_ID;
    routing->has_home_net_id = event->type == JSON_TEXT;
    if (event->type == JSON_TEXT && !ljs__hex(o, sizeof o, event->text, event->text_len))
        return false;
    routing->home_net_id = (ljs_netid)(o[0] << 16 | o[1] << 8 | o[2]);
    return event->type == JSON_TEXT || event->type == JSON_NULL;
}

static bool take_ns_id(struct reading *r, const struct json_event *event)
{
    ljs_routing *routing = &r->out->routing;

    routing->set |= LJS_ROUTE_HOME_NS_ID;
    routing->has_home_ns_id = event->type == JSON_TEXT;
    return event->type == JSON_NULL || eui_of(&routing->home_ns_id, event);
}

static bool take_label(struct reading *r, const struct json_event *event)
{
    ljs_routing *routing = &r->out->routing;

    routing->set |= r->now->set;
    return event->type == JSON_NULL || take_text((char *)routing + r->now->at, LJS_LABEL_MAX, event);
}

/* ---- {"label":"...","key":"..."} -------------------------------------------------------- */

/* Hexadecimal, or base 64 as Go writes octets. */
static bool take_key(struct reading *r, const struct json_event *event)
{
    uint8_t octets[32];
    size_t len = event->type == JSON_TEXT ? event->text_len / 2 : 0;
    bool good = (len == 16 || len == 24 || len == 32) && ljs__hex(octets, len, event->text, event->text_len);

    if (!good && event->type == JSON_TEXT)
        good = ljs__base64(octets, sizeof octets, &len, false, event->text, event->text_len) &&
               (len == 16 || len == 24 || len == 32);
    if (good && !(r->err = ljs_key_import(&r->out->kek, octets, len)))
        r->err = ljs_key_check(r->out->kek) ? LJS_E_WEAK : LJS_OK;
    ljs__wipe(octets, sizeof octets);
    if (r->err == LJS_E_WEAK) {
        r->err = LJS_OK;
        good = false;
    }
    return good && !r->err;
}

static bool take_kek(struct reading *r, const struct json_event *event)
{
    if (event->depth == 1)
        return event->type == JSON_OBJECT || (event->type == JSON_END && *r->out->kek_label && r->out->kek);
    if (strcmp(event->name, "label") == 0)
        return take_text(r->out->kek_label, sizeof r->out->kek_label, event);
    return strcmp(event->name, "key") == 0 && take_key(r, event);
}

/* ---- {"challenge":"...","signature":"..."} --------------------------------------------------- */

static bool take_hex(uint8_t *out, size_t len, bool *has, const struct json_event *event)
{
    *has = event->type == JSON_TEXT && ljs__hex(out, len, event->text, event->text_len);
    return *has;
}

static bool take_chip_of(struct claim_chip *chip, const struct json_event *event, bool is_member)
{
    if (!is_member)
        return event->type == JSON_OBJECT || (event->type == JSON_END && chip->has_challenge && chip->has_signature);
    if (strcmp(event->name, "challenge") == 0)
        return take_hex(chip->challenge, sizeof chip->challenge, &chip->has_challenge, event);
    return strcmp(event->name, "signature") == 0 &&
           take_hex(chip->signature, sizeof chip->signature, &chip->has_signature, event);
}

static bool take_chip(struct reading *r, const struct json_event *event)
{
    return take_chip_of(&r->out->chip, event, event->depth > 1);
}

/* ---- lists of devices --------------------------------------------------------------------- */

static struct claim_item *add_item(struct reading *r, size_t most)
{
    struct claim_body *b = r->out;

    if (b->items_len == most)
        return NULL;
    if (!b->items && !(b->items = calloc(most, sizeof *b->items))) {
        r->err = LJS_E_NOMEM;
        return NULL;
    }
    b->items_room = most;
    return &b->items[b->items_len++];
}

/* Is the last of the list there before it, too? */
static bool is_twice(const struct claim_body *b)
{
    const struct claim_item *last = &b->items[b->items_len - 1];

    for (const struct claim_item *item = b->items; item < last; item++)
        if (item->dev_eui == last->dev_eui)
            return true;
    return false;
}

static bool take_devices(struct reading *r, const struct json_event *event)
{
    struct claim_item *item;

    if (event->depth == 1)
        return event->type == JSON_ARRAY || (event->type == JSON_END && r->out->items_len);
    if (!(item = add_item(r, CLAIM_ASSIGN_MAX)))
        return false;
    item->named = true;
    return eui_of(&item->dev_eui, event) && !is_twice(r->out);
}

/* What a label says [TR005]. */
static bool take_qr(struct reading *r, const struct json_event *event)
{
    ljs_qr qr;
    bool good = event->type == JSON_TEXT && !ljs_qr_parse(&qr, 0, (const uint8_t *)event->text, event->text_len) &&
                *qr.owner_token && strlen(qr.owner_token) < CLAIM_TOKEN_ROOM && is_token(qr.owner_token) &&
                !r->item->named;

    if (good) {
        r->item->named = true;
        r->item->dev_eui = qr.dev_eui;
        memcpy(r->item->token, qr.owner_token, strlen(qr.owner_token) + 1);
    }
    ljs__wipe(&qr, sizeof qr);
    return good;
}

static bool take_claims(struct reading *r, const struct json_event *event)
{
    bool good;

    if (event->depth == 1)
        return event->type == JSON_ARRAY || (event->type == JSON_END && r->out->items_len);
    if (event->depth == 2 && event->type == JSON_OBJECT)
        return (r->item = add_item(r, CLAIM_CLAIMS_MAX));
    if (!r->item)
        return false;
    if (event->depth == 2) {
        good = event->type == JSON_END && r->item->named && *r->item->token && !is_twice(r->out);
        r->item = NULL;
        return good;
    }
    if (r->in_chip && (event->depth > 3 || event->type == JSON_END)) {
        r->in_chip = event->depth > 3;
        return take_chip_of(&r->item->chip, event, r->in_chip);
    }
    if (strcmp(event->name, "chip") == 0) {
        r->in_chip = true;
        return take_chip_of(&r->item->chip, event, false);
    }
    if (strcmp(event->name, "owner_token") == 0)
        return take_token(r, event);
    if (strcmp(event->name, "qr") == 0)
        return take_qr(r, event);
    good = strcmp(event->name, "dev_eui") == 0 && !r->item->named && eui_of(&r->item->dev_eui, event);
    r->item->named = true;
    return good;
}

/* ---- members -------------------------------------------------------------------------- */

#define ROUTED     (CLAIM_BODY_CLAIM | CLAIM_BODY_ACCEPT | CLAIM_BODY_ASSIGN | CLAIM_BODY_CLAIMS)
#define AT(member) offsetof(ljs_routing, member)
static const char net_id[] = "must be 6 hexadecimal digits", eui[] = "must be 16 hexadecimal digits",
                  label[] = "must be text of 1 to 127 octets", seconds[] = "must be a time in seconds since 1970",
                  token_text[] = "must be 1 to 32 letters A to Z and digits", truth[] = "must be true or false",
                  chip_text[] = "must be an object of challenge, 64 hexadecimal digits, and signature, 128",
                  kek_text[] = "must be an object of label and key, of 16, 24 or 32 octets that are no weak key";
static const struct member members[] = {
    { ROUTED & ~CLAIM_BODY_ASSIGN, "home_net_id", take_net_id, net_id, true, 0, 0 },
    { CLAIM_BODY_ASSIGN, "home_net_id", take_net_id, net_id, false, 0, 0 },
    { ROUTED, "home_ns_id", take_ns_id, eui, false, 0, 0 },
    { ROUTED, "as_id", take_label, label, false, LJS_ROUTE_AS_ID, AT(as_id) },
    { ROUTED, "ns_kek_label", take_label, label, false, LJS_ROUTE_NS_KEK_LABEL, AT(ns_kek_label) },
    { ROUTED, "as_kek_label", take_label, label, false, LJS_ROUTE_AS_KEK_LABEL, AT(as_kek_label) },
    { CLAIM_BODY_CLAIM | CLAIM_BODY_ACCEPT | CLAIM_BODY_CLAIMS, "kek", take_kek, kek_text, false, 0, 0 },
    { CLAIM_BODY_CLAIM | CLAIM_BODY_ACCEPT, "chip", take_chip, chip_text, false, 0, 0 },
    { CLAIM_BODY_CLAIM | CLAIM_BODY_ENROL, "owner_token", take_token, token_text, false, 0, 0 },
    { CLAIM_BODY_ENROL, "valid_from", take_time, seconds, false, 0, 0 },
    { CLAIM_BODY_ENROL, "valid_until", take_time, seconds, false, 0, 1 },
    { CLAIM_BODY_OFFER, "to", take_name, "must be the name of an account", true, 0, 0 },
    { CLAIM_BODY_OFFER, "until", take_time, seconds, true, 0, 1 },
    { CLAIM_BODY_ACCOUNT, "name", take_name, "must be 1 to 63 letters, digits, dots and hyphens", true, 0, 0 },
    { CLAIM_BODY_ASSIGN, "devices", take_devices, "must be 1 to 1000 DevEUIs, each once", true, 0, 0 },
    { CLAIM_BODY_CLAIMS, "claims", take_claims,
      "must be 1 to 100 of qr, or of dev_eui and owner_token, each device once", true, 0, 0 },

    { CLAIM_BODY_TTJS, "ownerToken", take_token, token_text, false, 0, 0 },
    { CLAIM_BODY_TTJS, "homeNetID", take_net_id, net_id, true, 0, 0 },
    { CLAIM_BODY_TTJS, "homeNSID", take_ns_id, eui, false, 0, 0 },
    { CLAIM_BODY_TTJS, "asID", take_label, label, true, LJS_ROUTE_AS_ID, AT(as_id) },
    { CLAIM_BODY_TTJS, "lock", take_bool, truth, false, 0, 1 },
    { CLAIM_BODY_TTJS, "regenerateOwnerToken", take_bool, truth, false, 0, 0 },
    { CLAIM_BODY_TTJS, "kek", take_kek, kek_text, false, 0, 0 },
};
#undef AT

static bool find_member(struct reading *r, const struct json_event *event)
{
    for (size_t i = 0; i < COUNT(members); i++)
        if (members[i].kinds & (unsigned)r->kind && strcmp(members[i].name, event->name) == 0) {
            r->now = &members[i];
            r->there |= UINT64_C(1) << i;
            return true;
        }
    r->now = NULL;
    return false;
}

/* What a client in Go has nothing to say of. */
static bool is_left_out(const struct json_event *event)
{
    return event->depth == 1 && (event->type == JSON_NULL || (event->type == JSON_TEXT && !event->text_len &&
                                                              strcmp(event->name, "ownerToken") == 0));
}

/* The end of an object or array at depth 1 has no name: it is that of the member before it. */
static bool on_event(void *ctx, const struct json_event *event)
{
    struct reading *r = ctx;

    if (r->kind == CLAIM_BODY_TTJS && is_left_out(event))
        return true;
    if (event->depth == 1 && event->type != JSON_END && !find_member(r, event))
        return r->kind == CLAIM_BODY_TTJS || fault(r, "", "there is a member that is none of ours");
    if (!r->now)
        return true; /* inside of one that we do not know */
    return r->now->take(r, event) && !r->err ? true : r->err ? false : fault(r, r->now->name, r->now->want);
}

static bool is_missing(const struct reading *r, size_t i)
{
    return members[i].needed && members[i].kinds & (unsigned)r->kind && !(r->there >> i & 1);
}

ljs_err ljs__claim_body(struct claim_body *out, enum claim_body_kind kind, const uint8_t *in, size_t in_len)
{
    struct reading r = { .out = out, .kind = kind };
    const char *why;
    ljs_err err;

    *out = (struct claim_body){ .routing = { .struct_size = sizeof out->routing } };
    err = ljs__json_read(in, in_len, BODY_MAX, on_event, &r, &why);
    if (r.err) {
        err = r.err;
    } else if (err == LJS_E_MESSAGE) {
        if (why)
            fault(&r, "", why);
        err = LJS_E_INVAL;
    }
    for (size_t i = 0; !err && i < COUNT(members); i++)
        if (is_missing(&r, i)) {
            fault(&r, members[i].name, "is missing");
            err = LJS_E_INVAL;
        }
    ljs__wipe_stack(STACK_BELOW);
    return err;
}

void ljs__claim_body_clear(struct claim_body *body)
{
    ljs_key_free(body->kek);
    if (body->items)
        ljs__wipe(body->items, body->items_room * sizeof *body->items);
    free(body->items);
    ljs__wipe(body, sizeof *body);
}
