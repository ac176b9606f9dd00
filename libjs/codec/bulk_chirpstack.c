/* ChirpStack: the objects of its API for a device, for its keys and for its profile, as members of one, by the names
 * of gRPC or of REST.  The root key of LoRaWAN 1.0.x is nwk_key there; a key that is all zero is none. */
#include "codec/bulk.h"

#include "base/json.h"

enum { APPLICATION, PROFILE };

static const struct bulk_name members[] = {
    { "device.dev_eui", BULK_DEV_EUI },
    { "device.devEui", BULK_DEV_EUI },
    { "device.join_eui", BULK_JOIN_EUI },
    { "device.joinEui", BULK_JOIN_EUI },
    { "device.name", BULK_NAME },
    { "device_keys.dev_eui", BULK_SAME_DEV_EUI },
    { "deviceKeys.devEui", BULK_SAME_DEV_EUI },
    { "device_keys.nwk_key", BULK_NWK_KEY },
    { "deviceKeys.nwkKey", BULK_NWK_KEY },
    { "device_keys.app_key", BULK_APP_KEY },
    { "deviceKeys.appKey", BULK_APP_KEY },
    { "device_keys.gen_app_key", BULK_GEN_APP_KEY },
    { "deviceKeys.genAppKey", BULK_GEN_APP_KEY },
    { "device_profile.mac_version", BULK_VERSION },
    { "deviceProfile.macVersion", BULK_VERSION },
};

static const char *version_text(ljs_mac mac)
{
    static const struct {
        ljs_mac mac;
        const char *text;
    } rows[] = {
        { LJS_MAC_1_0_0, "LORAWAN_1_0_0" }, { LJS_MAC_1_0_1, "LORAWAN_1_0_1" }, { LJS_MAC_1_0_2, "LORAWAN_1_0_2" },
        { LJS_MAC_1_0_3, "LORAWAN_1_0_3" }, { LJS_MAC_1_0_4, "LORAWAN_1_0_4" }, { LJS_MAC_1_1, "LORAWAN_1_1_0" },
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].mac == mac)
            return rows[i].text;
    return "";
}

static void put_keys(struct wr *w, const struct bulk_device *device)
{
    const ljs_key *root = ljs__bulk_root(device);

    if (!root)
        return;
    ljs__json_name(w, "device_keys");
    ljs__json_open(w, '{');
    ljs__bulk_eui_member(w, "dev_eui", device->d.dev_eui);
    ljs__bulk_key_member(w, "nwk_key", device->d.mac < LJS_MAC_1_1 ? root : device->nwk);
    ljs__bulk_key_member(w, "app_key", device->d.mac < LJS_MAC_1_1 ? NULL : device->app);
    ljs__bulk_key_member(w, "gen_app_key", device->gen_app);
    ljs__json_close(w, '}');
}

static void put(struct wr *w, const struct bulk_device *device)
{
    char title[24];

    ljs__json_open(w, '{');
    ljs__json_name(w, "device");
    ljs__json_open(w, '{');
    ljs__bulk_eui_member(w, "dev_eui", device->d.dev_eui);
    ljs__bulk_text_member(w, "name", ljs__bulk_title(title, device));
    ljs__bulk_text_member(w, "application_id", device->set[APPLICATION]);
    ljs__bulk_text_member(w, "device_profile_id", device->set[PROFILE]);
    ljs__bulk_eui_member(w, "join_eui", device->d.join_eui);
    ljs__json_close(w, '}');
    put_keys(w, device);
    ljs__json_name(w, "device_profile");
    ljs__json_open(w, '{');
    ljs__bulk_text_member(w, "mac_version", version_text(device->d.mac));
    ljs__json_close(w, '}');
    ljs__json_close(w, '}');
    ljs__wr_text(w, "\n");
}

const struct bulk_family ljs__bulk_chirpstack = {
    .name = "chirpstack",
    .frame = BULK_OBJECTS,
    .nwk_is_root = true,
    .names = members,
    .names_len = COUNT(members),
    .places = BULK_BIT(BULK_VERSION) | BULK_BIT(BULK_NWK_KEY) | BULK_BIT(BULK_APP_KEY) | BULK_BIT(BULK_GEN_APP_KEY),
    .sets = "application_id device_profile_id",
    .put = put,
};
