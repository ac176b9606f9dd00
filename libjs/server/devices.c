#include "server/internal.h"

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

static ljs_audit_kind kind_of(ljs_device_act act)
{
    static const ljs_audit_kind kinds[] = {
        [LJS_DEVICE_BLOCK] = LJS_AUDIT_BLOCK,
        [LJS_DEVICE_UNBLOCK] = LJS_AUDIT_UNBLOCK,
        [LJS_DEVICE_RESET_NONCES] = LJS_AUDIT_RESET_NONCES,
        [LJS_DEVICE_REMOVE] = LJS_AUDIT_REMOVE,
        [LJS_DEVICE_EXPOSE] = LJS_AUDIT_EXPOSE,
    };

    return (size_t)act < COUNT(kinds) && kinds[act] ? kinds[act] : LJS_AUDIT_NOTE; /* the step refuses what is none */
}

static ljs_err step_device(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct make *m = user;
    ljs_err err = check_filed(old, m->dev_eui);

    *out = (ljs_buf){ NULL, 0 };
    return err ? err : ljs_device_step(out, m->server->vault, m->act, old->data, old->len);
}

ljs_err ljs_server_step_device(ljs_server *server, ljs_eui dev_eui, ljs_device_act act)
{
    struct make m = { .server = server, .dev_eui = dev_eui, .act = act };
    struct key key = ljs__key_eui(SPACE_DEVICE, dev_eui);
    struct entry entry = { .kind = kind_of(act), .dev_eui = dev_eui };

    return ljs__change(server, &key, step_device, &m, &entry);
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
};

static ljs_err one_row(void *user, const uint8_t *key, size_t key_len)
{
    const struct rows *rows = user;
    ljs_eui eui = 0;

    for (size_t i = 1; i < key_len && i < 9; i++)
        eui = eui << 8 | key[i];
    return rows->row(rows->user, eui);
}

ljs_err ljs_server_each_device(ljs_server *server, ljs_device_row *row, void *user)
{
    struct rows rows = { row, user };
    const uint8_t prefix[] = { SPACE_DEVICE };
    ljs_err err = ljs__server_alive(server);

    return err ? err : ljs_store_each(server->store, prefix, sizeof prefix, one_row, &rows);
}
