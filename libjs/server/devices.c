#include "server/claim.h"

#include "base/secret.h"

struct make {
    ljs_server *server;
    const ljs_device *device;
    const ljs_root_keys *keys;
    unsigned flags;
    int32_t dev_nonce;
    const uint8_t *in;
    size_t in_len;
    ljs_device_act act;
    ljs_parcel *parcel;
    ljs_eui dev_eui, join_eui;
    const ljs_routing *routing;
    const ljs_import *import;
    const uint8_t *if_tag;
};

static ljs_err make_device(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct make *m = user;

    return ljs_device_make(out, m->server->vault, m->device, m->keys, m->flags, m->dev_nonce, m->in, m->in_len,
                           old->data, old->len);
}

ljs_err ljs_server_make_device(ljs_server *server, const ljs_device *device, const ljs_root_keys *keys, unsigned flags,
                               int32_t dev_nonce, const uint8_t *in, size_t in_len)
{
    struct make m = { .server = server,
                      .device = device,
                      .keys = keys,
                      .flags = flags,
                      .dev_nonce = dev_nonce,
                      .in = in,
                      .in_len = in_len };
    struct key key = ljs__key_eui(SPACE_DEVICE, device->dev_eui);
    struct entry entry = { .kind = LJS_AUDIT_DEVICE_MAKE, .dev_eui = device->dev_eui };

    return ljs__change(server, &key, make_device, &m, &entry);
}

static ljs_err land_device(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct make *m = user;

    return ljs_parcel_land(out, m->parcel, m->server->vault, m->flags, old->data, old->len);
}

ljs_err ljs_server_land_device(ljs_server *server, ljs_parcel *parcel, unsigned flags)
{
    struct make m = { .server = server, .parcel = parcel, .flags = flags };
    ljs_device device;
    ljs_err err = ljs_parcel_device(&device, parcel);
    struct key key = ljs__key_eui(SPACE_DEVICE, device.dev_eui);
    struct entry entry = { .kind = LJS_AUDIT_DEVICE_LAND, .dev_eui = device.dev_eui };

    return err ? err : ljs__change(server, &key, land_device, &m, &entry);
}

/* Whoever writes to the disk may file one device's record under another's key. */
static ljs_err check_filed(const ljs_buf *record, ljs_eui dev_eui)
{
    ljs_device device;
    ljs_err err = record->data ? ljs_device_read(&device, record->data, record->len) : LJS_E_NOTFOUND;

    return !err && device.dev_eui != dev_eui ? LJS_E_SEAL : err;
}

static ljs_err add_join_eui(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct make *m = user;
    ljs_err err = check_filed(old, m->dev_eui);

    *out = (ljs_buf){ NULL, 0 };
    return err ? err : ljs_device_add_join_eui(out, m->server->vault, m->join_eui, old->data, old->len);
}

ljs_err ljs_server_add_join_eui(ljs_server *server, ljs_eui dev_eui, ljs_eui join_eui)
{
    struct make m = { .server = server, .dev_eui = dev_eui, .join_eui = join_eui };
    struct key key = ljs__key_eui(SPACE_DEVICE, dev_eui);
    struct entry entry = { .kind = LJS_AUDIT_JOIN_EUI, .dev_eui = dev_eui };

    return ljs__change(server, &key, add_join_eui, &m, &entry);
}

ljs_audit_kind ljs__act_kind(ljs_device_act act)
{
    static const ljs_audit_kind kinds[] = {
        [LJS_DEVICE_BLOCK] = LJS_AUDIT_BLOCK,
        [LJS_DEVICE_UNBLOCK] = LJS_AUDIT_UNBLOCK,
        [LJS_DEVICE_RESET_NONCES] = LJS_AUDIT_RESET_NONCES,
        [LJS_DEVICE_REMOVE] = LJS_AUDIT_REMOVE,
        [LJS_DEVICE_EXPOSE] = LJS_AUDIT_EXPOSE,
        [LJS_DEVICE_MOVE] = LJS_AUDIT_MOVE,
        [LJS_DEVICE_MOVE_BACK] = LJS_AUDIT_MOVE_BACK,
    };

    return (size_t)act < COUNT(kinds) && kinds[act] ? kinds[act] : LJS_AUDIT_NOTE; /* the step refuses what is none */
}

/* ---- steps, for who may have seen the record before, or ask twice -------------- */

/* Is the record the one that ends in this tag, as ljs_server_get_device() shows it? */
static ljs_err check_seen(ljs_server *server, const ljs_buf *old, const uint8_t *if_tag)
{
    ljs_buf shown = { NULL, 0 };
    ljs_err err =
        if_tag && old->data ? ljs_device_raise(&shown, server->vault, server->generation, old->data, old->len) : LJS_OK;

    if (!err && shown.data && !ljs__equal(shown.data + shown.len - LINK_TAG_LEN, if_tag, LINK_TAG_LEN))
        err = LJS_E_REPLAY; /* no step of administration says so: callers can tell it */
    ljs_buf_free(&shown);
    return err;
}

ljs_err ljs__step_record(ljs_buf *out, ljs_server *server, ljs_eui dev_eui, ljs_device_act act, const ljs_buf *old)
{
    ljs_err err = check_filed(old, dev_eui);

    *out = (ljs_buf){ NULL, 0 };
    return err ? err : ljs_device_step(out, server->vault, act, old->data, old->len);
}

static ljs_err step_device(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct make *m = user;
    ljs_err err = check_filed(old, m->dev_eui);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = check_seen(m->server, old, m->if_tag);
    return err ? err : ljs__step_record(out, m->server, m->dev_eui, m->act, old);
}

void ljs__locate_removed(struct valued at[REMOVED_VALUES], ljs_eui dev_eui)
{
    memset(at, 0, REMOVED_VALUES * sizeof *at);
    at[0].key = ljs__key_eui(SPACE_DEVICE, dev_eui);
    at[1].key = ljs__key_eui(SPACE_CLAIM, dev_eui);
    at[2].key = ljs__key_eui(SPACE_CHIP, dev_eui);
}

ljs_err ljs__bury(ljs_server *server, struct valued at[REMOVED_VALUES], ljs_eui dev_eui)
{
    at[2].gone = at[2].old.data;
    return ljs__claim_bury(&at[1].new, server->vault, dev_eui, &at[1].old);
}

static ljs_err remove_device(void *user, struct valued *at)
{
    const struct make *m = user;
    ljs_err err = step_device(&at[0].new, user, &at[0].old);

    return err ? err : ljs__bury(m->server, at, m->dev_eui);
}

ljs_err ljs__step_device(ljs_server *server, ljs_eui dev_eui, ljs_device_act act, const uint8_t *if_tag,
                         struct once *once)
{
    struct make m = { .server = server, .dev_eui = dev_eui, .act = act, .if_tag = if_tag };
    struct key key = ljs__key_eui(SPACE_DEVICE, dev_eui);
    struct entry entry = { .kind = ljs__act_kind(act), .dev_eui = dev_eui };
    struct valued all[REMOVED_VALUES];

    ljs__locate_removed(all, dev_eui);
    if (act == LJS_DEVICE_REMOVE)
        return ljs__change_group(server, all, REMOVED_VALUES, remove_device, &m, &entry, once);
    return ljs__change_once(server, &key, step_device, &m, &entry, once);
}

ljs_err ljs_server_step_device(ljs_server *server, ljs_eui dev_eui, ljs_device_act act)
{
    return ljs__step_device(server, dev_eui, act, NULL, NULL);
}

static ljs_err route_device(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct make *m = user;
    ljs_err err = check_filed(old, m->dev_eui);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = check_seen(m->server, old, m->if_tag);
    return err ? err : ljs_device_route(out, m->server->vault, m->routing, old->data, old->len);
}

ljs_err ljs__route_device(ljs_server *server, ljs_eui dev_eui, const ljs_routing *routing, const uint8_t *if_tag)
{
    struct make m = { .server = server, .dev_eui = dev_eui, .routing = routing, .if_tag = if_tag };
    struct key key = ljs__key_eui(SPACE_DEVICE, dev_eui);
    struct entry entry = { .kind = LJS_AUDIT_ROUTE, .dev_eui = dev_eui };

    return ljs__change(server, &key, route_device, &m, &entry);
}

ljs_err ljs_server_route_device(ljs_server *server, ljs_eui dev_eui, const ljs_routing *routing)
{
    return ljs__route_device(server, dev_eui, routing, NULL);
}

/* A device that is not there, or a tombstone, with all of its JoinEUIs in one step. */
static ljs_err create_device(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct make *m = user;
    const ljs_import *i = m->import;
    const ljs_root_keys keys = { i->nwk, i->app, i->gen_app, i->rekey };
    ljs_device had = { .state = LJS_STATE_REMOVED };
    ljs_buf before;
    ljs_err err = old->data ? check_filed(old, i->device.dev_eui) : LJS_OK;

    *out = (ljs_buf){ NULL, 0 };
    if (!err && old->data)
        err = ljs_device_read(&had, old->data, old->len);
    if (!err && had.state != LJS_STATE_REMOVED)
        err = LJS_E_EXISTS;
    if (!err)
        err = ljs_device_make(out, m->server->vault, &i->device, &keys, 0, i->dev_nonce, i->dev_nonces.data,
                              i->dev_nonces.len, old->data, old->len);
    for (unsigned n = 1; !err && n < i->device.join_euis; n++) {
        before = *out;
        err = ljs_device_add_join_eui(out, m->server->vault, i->join_eui[n], before.data, before.len);
        ljs_buf_free(&before);
    }
    return err;
}

ljs_err ljs__create_device(ljs_server *server, const ljs_import *import, struct once *once)
{
    struct make m = { .server = server, .import = import };
    struct key key = ljs__key_eui(SPACE_DEVICE, import->device.dev_eui);
    struct entry entry = { .kind = LJS_AUDIT_DEVICE_MAKE, .dev_eui = import->device.dev_eui };

    return ljs__change_once(server, &key, create_device, &m, &entry, once);
}

static ljs_err get_once(ljs_buf *out, ljs_server *server, ljs_eui dev_eui)
{
    struct key key = ljs__key_eui(SPACE_DEVICE, dev_eui);
    uint64_t version;
    ljs_buf stored = { NULL, 0 };
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs_store_get(&stored, &version, server->store, key.at, key.len);
    if (!err) /* who takes it elsewhere takes a JoinNonce that was never given */
        err = ljs_device_raise(out, server->vault, server->generation, stored.data, stored.len);
    ljs_buf_free(&stored);
    if (!err)
        err = check_filed(out, dev_eui);
    if (err)
        ljs_buf_free(out);
    return err;
}

ljs_err ljs_server_get_device(ljs_buf *out, ljs_server *server, ljs_eui dev_eui)
{
    const struct masters *had;
    ljs_err err;

    do {
        had = ljs__masters(server);
        err = get_once(out, server, dev_eui);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    return err;
}

struct rows {
    ljs_device_row *row;
    void *user;
    size_t prefix_len;
};

static ljs_err one_row(void *user, const uint8_t *key, size_t key_len)
{
    const struct rows *rows = user;
    ljs_eui eui = 0;

    for (size_t i = rows->prefix_len; i < key_len && i < rows->prefix_len + 8; i++)
        eui = eui << 8 | key[i];
    return rows->row(rows->user, eui);
}

/* A range is at most 2,040 blocks of keys that begin alike, each the largest that begins where the one
 * before has ended. */
ljs_err ljs__each_key_under(ljs_server *server, const struct key *prefix, uint64_t first, uint64_t last,
                            ljs_store_row *row, void *user)
{
    ljs_err err = ljs__server_alive(server);

    while (!err && first <= last) {
        struct key key = *prefix;
        unsigned octets = 8; /* of the number that all of the block share */
        uint64_t end = first;

        for (uint64_t size = 255; octets > 0 && !(first & size) && size <= last - first; size = size << 8 | 255) {
            octets--;
            end = first + size;
        }
        for (unsigned i = 0; i < octets; i++)
            key.at[key.len++] = (uint8_t)(first >> (56 - 8 * i));
        err = ljs_store_each(server->store, key.at, key.len, row, user);
        if (end == UINT64_MAX)
            break;
        first = end + 1;
    }
    return err;
}

ljs_err ljs__each_eui_under(ljs_server *server, const struct key *prefix, ljs_eui first, ljs_eui last,
                            ljs_device_row *row, void *user)
{
    struct rows rows = { row, user, prefix->len };

    return ljs__each_key_under(server, prefix, first, last, one_row, &rows);
}

ljs_err ljs__each_eui_in(ljs_server *server, enum space space, ljs_eui first, ljs_eui last, ljs_device_row *row,
                         void *user)
{
    const struct key prefix = { .at = { (uint8_t)space }, .len = 1 };

    return ljs__each_eui_under(server, &prefix, first, last, row, user);
}

ljs_err ljs_server_each_device_in(ljs_server *server, ljs_eui first, ljs_eui last, ljs_device_row *row, void *user)
{
    return ljs__each_eui_in(server, SPACE_DEVICE, first, last, row, user);
}

ljs_err ljs_server_each_device(ljs_server *server, ljs_device_row *row, void *user)
{
    return ljs_server_each_device_in(server, 0, UINT64_MAX, row, user);
}
