/* The members of an entry, of its protected header and of its payload. */
#include "codec/element.h"

#include "base/secret.h"

#include <stdio.h>

/* ---- members by their path ------------------------------------------------------ */

enum { ANY = -1, PATH_MAX_LEN = (LJS__JSON_DEPTH + 1) * (LJS__JSON_NAME_MAX + 1) };

/* "a/b" is b in the object a; "a/" is each element of the array a, and "a//b" is b in such an element. */
struct member {
    const char *path;
    int type; /* enum json_type, or ANY */
    bool (*take)(struct element *e, const struct json_event *event);
};

struct walk {
    struct element *e;
    const struct member *members;
    size_t members_len;
    const char *fault;               /* the path of a member that is not as it should be */
    size_t end[LJS__JSON_DEPTH + 1]; /* of the path of what is open, by depth */
    char path[PATH_MAX_LEN + 1];
};

static bool on_value(void *ctx, const struct json_event *event)
{
    struct walk *w = ctx;
    const char *name = strchr(event->name, '/') ? "?" : event->name; /* no name can be taken for a path */
    size_t end = event->type == JSON_END ? w->end[event->depth] : w->end[event->depth - 1];
    int n = snprintf(w->path + end, sizeof w->path - end, "%s", name);

    for (size_t i = 0; i < w->members_len; i++) {
        const struct member *m = &w->members[i];

        if (strcmp(m->path, w->path) != 0 || (event->type == JSON_END) != (m->type == JSON_END))
            continue;
        if ((m->type == ANY || m->type == (int)event->type) && (!m->take || m->take(w->e, event)))
            break;
        w->fault = m->path;
        return false;
    }
    if (event->type == JSON_OBJECT || event->type == JSON_ARRAY) {
        w->end[event->depth] = end + (size_t)n + 1;
        w->path[end + (size_t)n] = '/';
    }
    return true;
}

static ljs_err walk(struct element *e, const struct member *members, size_t members_len, const uint8_t *in,
                    size_t in_len)
{
    struct walk w; /* not zeroed as a whole: it is large */
    const char *why = NULL;
    ljs_err err;

    w.e = e;
    w.members = members;
    w.members_len = members_len;
    w.fault = NULL;
    w.end[0] = 0;
    err = ljs__json_read(in, in_len, LJS_MANIFEST_ENTRY_MAX, on_value, &w, &why);
    e->odd = w.fault;
    if (w.fault)
        snprintf(e->entry.detail, sizeof e->entry.detail, "%s is not as it should be", w.fault);
    else if (why)
        snprintf(e->entry.detail, sizeof e->entry.detail, "%s", why);
    return err;
}

/* ---- values ------------------------------------------------------------------------ */

static uint8_t *room_for(struct element *e, size_t len)
{
    uint8_t *at = e->room + e->used;

    if (len > ELEMENT_ROOM - e->used)
        return NULL;
    e->used += len;
    return at;
}

static bool keep(struct text *out, struct element *e, const struct json_event *event)
{
    uint8_t *copy = room_for(e, event->text_len);

    if (!copy)
        return false;
    if (event->text_len)
        memcpy(copy, event->text, event->text_len);
    *out = (struct text){ (const char *)copy, event->text_len };
    return true;
}

/* Base64url of this many octets. */
static bool octets(uint8_t *out, size_t want, const struct json_event *event)
{
    size_t len;

    return ljs__base64(out, want, &len, true, event->text, event->text_len) && len == want;
}

/* Decoded, into room of its own. */
static bool decode(struct part *out, struct element *e, bool url, const char *text, size_t text_len)
{
    size_t room = text_len / 4 * 3 + 3, len;
    uint8_t *at = room_for(e, room);

    if (!at || !ljs__base64(at, room, &len, url, text, text_len))
        return false;
    *out = (struct part){ at, len };
    return true;
}

static bool is_text(const struct json_event *event, const char *text)
{
    return event->text_len == strlen(text) && !memcmp(event->text, text, event->text_len);
}

/* What a report can show. */
static bool show(char *out, size_t room, const struct json_event *event)
{
    if (!event->text_len || event->text_len >= room)
        return false;
    for (size_t i = 0; i < event->text_len; i++)
        if ((uint8_t)event->text[i] < 0x20 || event->text[i] == 0x7f)
            return false;
    memcpy(out, event->text, event->text_len);
    out[event->text_len] = 0;
    return true;
}

bool ljs__unique_id(uint8_t out[UNIQUE_ID_LEN], const char *text, size_t text_len)
{
    for (size_t i = 0; i < text_len; i++)
        if (text[i] >= 'A' && text[i] <= 'F')
            return false;
    return ljs__hex(out, UNIQUE_ID_LEN, text, text_len);
}

/* ---- the entry [RFC 7515 §7.2.2] ----------------------------------------------------- */

static bool take_payload(struct element *e, const struct json_event *event)
{
    return keep(&e->payload, e, event);
}

static bool take_protected(struct element *e, const struct json_event *event)
{
    return keep(&e->protected_header, e, event);
}

static bool take_signature(struct element *e, const struct json_event *event)
{
    return keep(&e->signature, e, event);
}

static bool take_header_id(struct element *e, const struct json_event *event)
{
    uint8_t id[UNIQUE_ID_LEN];

    return ljs__unique_id(id, event->text, event->text_len) && show(e->header_id, sizeof e->header_id, event);
}

static bool take_unsigned(struct element *e, const struct json_event *event)
{
    (void)event;
    e->unsigned_header = true;
    return true;
}

static const struct member of_entry[] = {
    { "payload", JSON_TEXT, take_payload },
    { "protected", JSON_TEXT, take_protected },
    { "signature", JSON_TEXT, take_signature },
    { "header", JSON_OBJECT, NULL },
    { "header/uniqueId", JSON_TEXT, take_header_id },
    { "header/alg", ANY, take_unsigned },
    { "header/kid", ANY, take_unsigned },
    { "header/crit", ANY, take_unsigned },
    { "header/b64", ANY, take_unsigned },
    { "header/jku", ANY, take_unsigned },
    { "header/jwk", ANY, take_unsigned },
    { "header/x5u", ANY, take_unsigned },
    { "header/x5c", ANY, take_unsigned },
    { "header/x5t", ANY, take_unsigned },
    { "header/x5t#S256", ANY, take_unsigned },
};

ljs_err ljs__element_entry(struct element *e, const uint8_t *in, size_t in_len)
{
    return walk(e, of_entry, COUNT(of_entry), in, in_len);
}

/* ---- the protected header -------------------------------------------------------------- */

static bool take_alg(struct element *e, const struct json_event *event)
{
    e->es256 = is_text(event, "ES256");
    return true;
}

static bool take_kid(struct element *e, const struct json_event *event)
{
    /* One that is longer than any of ours is nobody's. */
    return show(e->kid, sizeof e->kid, event) || event->text_len >= sizeof e->kid;
}

static bool take_x5t(struct element *e, const struct json_event *event)
{
    e->has_x5t = octets(e->x5t, sizeof e->x5t, event);
    return true;
}

static bool take_crit(struct element *e, const struct json_event *event)
{
    (void)event;
    e->critical = true;
    return true;
}

static const struct member of_protected[] = {
    { "alg", JSON_TEXT, take_alg }, { "kid", JSON_TEXT, take_kid }, { "x5t#S256", JSON_TEXT, take_x5t },
    { "crit", ANY, take_crit },     { "b64", ANY, take_crit },
};

static ljs_err read_encoded(struct element *e, const struct member *members, size_t members_len, struct text text,
                            const char *what)
{
    struct part json;

    if (decode(&json, e, true, text.at, text.len))
        return walk(e, members, members_len, json.at, json.len);
    snprintf(e->entry.detail, sizeof e->entry.detail, "%s is not base64url", what);
    return LJS_E_MESSAGE;
}

ljs_err ljs__element_protected(struct element *e)
{
    return read_encoded(e, of_protected, COUNT(of_protected), e->protected_header, "protected");
}

/* ---- the payload -------------------------------------------------------------------------- */

static bool take_version(struct element *e, const struct json_event *event)
{
    e->version = event->number;
    e->has_version = true;
    return true;
}

static bool take_unique_id(struct element *e, const struct json_event *event)
{
    return show(e->entry.unique_id, sizeof e->entry.unique_id, event);
}

static bool take_model(struct element *e, const struct json_event *event)
{
    return show(e->entry.model, sizeof e->entry.model, event);
}

static bool take_part_number(struct element *e, const struct json_event *event)
{
    return show(e->entry.part_number, sizeof e->entry.part_number, event);
}

static bool take_timestamp(struct element *e, const struct json_event *event)
{
    return show(e->entry.timestamp, sizeof e->entry.timestamp, event);
}

static bool take_group_id(struct element *e, const struct json_event *event)
{
    return show(e->entry.group_id, sizeof e->entry.group_id, event);
}

static bool take_keys(struct element *e, const struct json_event *event)
{
    (void)event;
    e->has_keys = true;
    return true;
}

static bool key_begins(struct element *e, const struct json_event *event)
{
    (void)event;
    e->this_key = (struct public_key){ .ec = false };
    return true;
}

static bool take_kty(struct element *e, const struct json_event *event)
{
    e->this_key.ec = is_text(event, "EC");
    return true;
}

static bool take_crv(struct element *e, const struct json_event *event)
{
    e->this_key.p256 = is_text(event, "P-256");
    return true;
}

static bool take_x(struct element *e, const struct json_event *event)
{
    e->this_key.has_x = octets(e->this_key.xy, 32, event);
    return true;
}

static bool take_y(struct element *e, const struct json_event *event)
{
    e->this_key.has_y = octets(e->this_key.xy + 32, 32, event);
    return true;
}

/* [RFC 7517 §4.7]  base64, not base64url, and with its padding */
static bool take_certificate(struct element *e, const struct json_event *event)
{
    struct part der;
    unsigned i = e->this_key.certificates++;

    if (i >= CHAIN_LEN)
        return true;
    if (!decode(&der, e, false, event->text, event->text_len))
        return false;
    e->this_key.chain[i] = der;
    return true;
}

static bool key_ends(struct element *e, const struct json_event *event)
{
    (void)event;
    if (e->this_key.certificates && !e->certified++)
        e->key = e->this_key;
    return true;
}

static bool data_begins(struct element *e, const struct json_event *event)
{
    (void)event;
    e->this_data = (struct public_data){ .slot = -1, .offset = -1 };
    return true;
}

static bool take_zone(struct element *e, const struct json_event *event)
{
    e->this_data.in_data_zone = is_text(event, "data");
    return true;
}

static bool take_slot(struct element *e, const struct json_event *event)
{
    e->this_data.slot = event->number;
    return true;
}

static bool take_offset(struct element *e, const struct json_event *event)
{
    e->this_data.offset = event->number;
    return true;
}

static bool take_data(struct element *e, const struct json_event *event)
{
    struct part data;

    if (!decode(&data, e, true, event->text, event->text_len))
        return false;
    e->this_data.has_data = data.len >= sizeof e->this_data.first;
    if (e->this_data.has_data)
        memcpy(e->this_data.first, data.at, sizeof e->this_data.first);
    return true;
}

/* Slot 9 of a LoRaWAN part begins with its JoinEUI, the highest octet first. */
static bool data_ends(struct element *e, const struct json_event *event)
{
    const struct public_data *data = &e->this_data;

    (void)event;
    if (!data->in_data_zone || data->slot != 9 || data->offset != 0 || !data->has_data)
        return true;
    if (e->entry.has_join_eui)
        return false;
    e->entry.has_join_eui = 1;
    for (size_t i = 0; i < sizeof data->first; i++)
        e->entry.join_eui = e->entry.join_eui << 8 | data->first[i];
    return true;
}

static const struct member of_payload[] = {
    { "version", JSON_INT, take_version },
    { "uniqueId", JSON_TEXT, take_unique_id },
    { "model", JSON_TEXT, take_model },
    { "partNumber", JSON_TEXT, take_part_number },
    { "provisioningTimestamp", JSON_TEXT, take_timestamp },
    { "groupId", JSON_TEXT, take_group_id },
    { "publicKeySet", JSON_OBJECT, take_keys },
    { "publicKeySet/keys", JSON_ARRAY, NULL },
    { "publicKeySet/keys/", JSON_OBJECT, key_begins },
    { "publicKeySet/keys//kty", JSON_TEXT, take_kty },
    { "publicKeySet/keys//crv", JSON_TEXT, take_crv },
    { "publicKeySet/keys//x", JSON_TEXT, take_x },
    { "publicKeySet/keys//y", JSON_TEXT, take_y },
    { "publicKeySet/keys//x5c", JSON_ARRAY, NULL },
    { "publicKeySet/keys//x5c/", JSON_TEXT, take_certificate },
    { "publicKeySet/keys//", JSON_END, key_ends },
    { "modelInfo", JSON_OBJECT, NULL },
    { "modelInfo/publicData", JSON_ARRAY, NULL },
    { "modelInfo/publicData/", JSON_OBJECT, data_begins },
    { "modelInfo/publicData//zone", JSON_TEXT, take_zone },
    { "modelInfo/publicData//slot", JSON_INT, take_slot },
    { "modelInfo/publicData//offset", JSON_INT, take_offset },
    { "modelInfo/publicData//data", JSON_TEXT, take_data },
    { "modelInfo/publicData//", JSON_END, data_ends },
};

ljs_err ljs__element_payload(struct element *e)
{
    return read_encoded(e, of_payload, COUNT(of_payload), e->payload, "payload");
}
