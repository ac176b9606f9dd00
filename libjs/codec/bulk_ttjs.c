/* ttjs: what The Things Join Server's own command prints of a device.  Which JoinEUI and LoRaWAN version it has is
 * not in it. */
#include "codec/bulk.h"

#include "base/json.h"

static const struct bulk_name members[] = {
    { "devEUI", BULK_DEV_EUI },
    { "rootKeysExposed", BULK_EXPOSED },
    { "nonces.nextJoinNonce", BULK_NEXT_JOIN_NONCE },
    { "nonces.usedDevNonces", BULK_USED_DEV_NONCES },
    { "rootKeys.appKey", BULK_APP_KEY },
    { "rootKeys.nwkKey", BULK_NWK_KEY },
};

/* All that are known used: of a device that counts, the last. */
static void put_nonces(struct wr *w, const struct bulk_device *device)
{
    ljs__json_name(w, "nonces");
    ljs__json_open(w, '{');
    ljs__json_name(w, "nextJoinNonce");
    ljs__json_number(w, device->d.next_join_nonce);
    if (device->d.mac < LJS_MAC_1_0_4) {
        ljs__bulk_nonces(w, "usedDevNonces", device);
    } else {
        ljs__json_name(w, "usedDevNonces");
        ljs__json_open(w, '[');
        if (device->dev_nonce >= 0)
            ljs__json_number(w, device->dev_nonce);
        ljs__json_close(w, ']');
    }
    ljs__json_close(w, '}');
}

static void put(struct wr *w, const struct bulk_device *device)
{
    const ljs_key *root = ljs__bulk_root(device);

    ljs__json_open(w, '{');
    ljs__bulk_eui_member(w, "devEUI", device->d.dev_eui);
    ljs__json_name(w, "rootKeysExposed");
    ljs__json_bool(w, root || device->d.exposed);
    put_nonces(w, device);
    if (root) {
        ljs__json_name(w, "rootKeys");
        ljs__json_open(w, '{');
        ljs__bulk_key_member(w, "appKey", device->d.mac < LJS_MAC_1_1 ? root : device->app);
        ljs__bulk_key_member(w, "nwkKey", device->d.mac < LJS_MAC_1_1 ? NULL : device->nwk);
        ljs__json_close(w, '}');
    }
    ljs__json_close(w, '}');
    ljs__wr_text(w, "\n");
}

const struct bulk_family ljs__bulk_ttjs = {
    .name = "ttjs",
    .frame = BULK_OBJECTS,
    .js = true,
    .names = members,
    .names_len = COUNT(members),
    .places = BULK_BIT(BULK_NWK_KEY) | BULK_BIT(BULK_APP_KEY) | BULK_BIT(BULK_NEXT_JOIN_NONCE) |
              BULK_BIT(BULK_USED_DEV_NONCES),
    .put = put,
};
