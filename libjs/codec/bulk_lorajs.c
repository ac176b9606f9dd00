/* Our own: a line of import.h each. */
#include "codec/bulk.h"

#include "base/json.h"

static void put_join_euis(struct wr *w, const struct bulk_device *device)
{
    if (device->d.join_euis == 1) {
        ljs__json_name(w, "join_eui");
        ljs__json_hex_number(w, device->d.join_eui, 16);
        return;
    }
    ljs__json_name(w, "join_euis");
    ljs__json_open(w, '[');
    for (unsigned i = 0; i < device->d.join_euis; i++)
        ljs__json_hex_number(w, device->join_eui[i], 16);
    ljs__json_close(w, ']');
}

static void put_settings(struct wr *w, const ljs_device *d)
{
    ljs__bulk_text_member(w, "ns_kek_label", *d->ns_kek_label ? d->ns_kek_label : NULL);
    ljs__bulk_text_member(w, "as_kek_label", *d->as_kek_label ? d->as_kek_label : NULL);
    ljs__bulk_text_member(w, "as_id", *d->as_id ? d->as_id : NULL);
    if (d->has_home_net_id) {
        ljs__json_name(w, "home_net_id");
        ljs__json_hex_number(w, d->home_net_id, 6);
    }
    if (d->has_home_ns_id) {
        ljs__json_name(w, "home_ns_id");
        ljs__json_hex_number(w, d->home_ns_id, 16);
    }
    if (d->require_1_1) {
        ljs__json_name(w, "require_1_1");
        ljs__json_bool(w, true);
    }
    if (d->has_x25519) {
        ljs__json_name(w, "x25519_public_key");
        ljs__json_hex(w, d->x25519_public_key, sizeof d->x25519_public_key);
    }
}

static void put(struct wr *w, const struct bulk_device *device)
{
    ljs__json_open(w, '{');
    ljs__json_name(w, "dev_eui");
    ljs__json_hex_number(w, device->d.dev_eui, 16);
    put_join_euis(w, device);
    ljs__bulk_text_member(w, "lorawan_version", ljs_mac_text(device->d.mac));
    ljs__bulk_key_member(w, "nwk_key", device->nwk);
    ljs__bulk_key_member(w, "app_key", device->app);
    ljs__bulk_key_member(w, "gen_app_key", device->gen_app);
    ljs__bulk_key_member(w, "rekey_key", device->rekey);
    ljs__json_name(w, "next_join_nonce");
    ljs__json_number(w, device->d.next_join_nonce);
    if (device->d.mac < LJS_MAC_1_0_4) {
        ljs__bulk_nonces(w, "used_dev_nonces", device);
    } else if (device->dev_nonce >= 0) {
        ljs__json_name(w, "last_dev_nonce");
        ljs__json_number(w, device->dev_nonce);
    }
    put_settings(w, &device->d);
    ljs__json_close(w, '}');
    ljs__wr_text(w, "\n");
}

const struct bulk_family ljs__bulk_lorajs = {
    .name = "lorajs",
    .frame = BULK_LINES,
    .places = UINT32_MAX,
    .put = put,
};
