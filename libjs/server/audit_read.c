/* The reading of the audit log. */
#include "server/internal.h"

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
