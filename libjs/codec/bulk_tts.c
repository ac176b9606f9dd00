/* The Things Stack: end devices as CSV and as JSON.
 *
 * The Join Server there has the root key of LoRaWAN 1.0.x as app_key, and takes nwk_key where both are there, as we
 * do.  Its last_join_nonce, last_dev_nonce and used_dev_nonces come with JSON alone. */
#include "codec/bulk.h"

#include "base/json.h"
#include "base/secret.h"

enum { FREQUENCY_PLAN, PHY_VERSION };

static const char *version_text(ljs_mac mac)
{
    static const struct {
        ljs_mac mac;
        const char *text;
    } rows[] = {
        { LJS_MAC_1_0_0, "MAC_V1_0" },   { LJS_MAC_1_0_1, "MAC_V1_0_1" }, { LJS_MAC_1_0_2, "MAC_V1_0_2" },
        { LJS_MAC_1_0_3, "MAC_V1_0_3" }, { LJS_MAC_1_0_4, "MAC_V1_0_4" }, { LJS_MAC_1_1, "MAC_V1_1" },
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].mac == mac)
            return rows[i].text;
    return "";
}

/* ---- CSV ------------------------------------------------------------------------------ */

static const struct bulk_name columns[] = {
    { "id", BULK_IGNORED },       { "dev_eui", BULK_DEV_EUI }, { "join_eui", BULK_JOIN_EUI },
    { "app_eui", BULK_JOIN_EUI }, { "name", BULK_NAME },       { "lorawan_version", BULK_VERSION },
    { "nwk_key", BULK_NWK_KEY },  { "app_key", BULK_APP_KEY },
};

static void csv_head(struct wr *w, const struct bulk_device *device)
{
    (void)device;
    ljs__wr_text(w, "id;dev_eui;join_eui;name;frequency_plan_id;lorawan_version;lorawan_phy_version;nwk_key;app_key");
    ljs__csv_end(w);
}

static void csv_key(struct wr *w, const ljs_key *key)
{
    char text[2 * BULK_KEY_LEN + 1];

    ljs__csv_cell(w, ';', ljs__bulk_key(text, key) ? text : "");
    ljs__wipe(text, sizeof text);
}

static void csv_put(struct wr *w, const struct bulk_device *device)
{
    struct bulk_device unnamed = *device;
    char text[24];

    unnamed.title = NULL;
    ljs__csv_cell(w, ';', ljs__bulk_title(text, &unnamed));
    ljs__bulk_hex(text, device->d.dev_eui);
    ljs__csv_cell(w, ';', text);
    ljs__bulk_hex(text, device->d.join_eui);
    ljs__csv_cell(w, ';', text);
    ljs__csv_text(w, ';', device->title ? device->title : "");
    ljs__csv_text(w, ';', device->set[FREQUENCY_PLAN] ? device->set[FREQUENCY_PLAN] : "");
    ljs__csv_cell(w, ';', version_text(device->d.mac));
    ljs__csv_text(w, ';', device->set[PHY_VERSION] ? device->set[PHY_VERSION] : "");
    csv_key(w, device->d.mac < LJS_MAC_1_1 ? NULL : device->nwk);
    csv_key(w, device->d.mac < LJS_MAC_1_1 ? ljs__bulk_root(device) : device->app);
    ljs__csv_end(w);
}

const struct bulk_family ljs__bulk_tts_csv = {
    .name = "tts-csv",
    .frame = BULK_TABLE,
    .delimiters = ";,",
    .header = true,
    .names = columns,
    .names_len = COUNT(columns),
    .places = BULK_BIT(BULK_VERSION) | BULK_BIT(BULK_NWK_KEY) | BULK_BIT(BULK_APP_KEY),
    .sets = "frequency_plan_id lorawan_phy_version",
    .head = csv_head,
    .put = csv_put,
};

/* ---- JSON ------------------------------------------------------------------------------ */

static const struct bulk_name members[] = {
    { "ids.dev_eui", BULK_DEV_EUI },
    { "ids.join_eui", BULK_JOIN_EUI },
    { "name", BULK_NAME },
    { "lorawan_version", BULK_VERSION },
    { "root_keys.nwk_key.key", BULK_NWK_KEY },
    { "root_keys.app_key.key", BULK_APP_KEY },
    { "root_keys.nwk_key.encrypted_key", BULK_SEALED_KEY },
    { "root_keys.app_key.encrypted_key", BULK_SEALED_KEY },
    { "last_join_nonce", BULK_LAST_JOIN_NONCE },
    { "last_dev_nonce", BULK_LAST_DEV_NONCE },
    { "used_dev_nonces", BULK_USED_DEV_NONCES },
};

static void json_key(struct wr *w, const char *name, const ljs_key *key)
{
    if (!key)
        return;
    ljs__json_name(w, name);
    ljs__json_open(w, '{');
    ljs__bulk_key_member(w, "key", key);
    ljs__json_close(w, '}');
}

static void json_keys(struct wr *w, const struct bulk_device *device)
{
    bool two = device->d.mac >= LJS_MAC_1_1;

    if (!ljs__bulk_root(device))
        return;
    ljs__json_name(w, "root_keys");
    ljs__json_open(w, '{');
    json_key(w, "app_key", two ? device->app : ljs__bulk_root(device));
    json_key(w, "nwk_key", two ? device->nwk : NULL);
    ljs__json_close(w, '}');
}

static void json_nonces(struct wr *w, const struct bulk_device *device)
{
    ljs__json_name(w, "last_join_nonce");
    ljs__json_number(w, device->d.next_join_nonce - 1);
    if (device->d.mac < LJS_MAC_1_0_4) {
        ljs__bulk_nonces(w, "used_dev_nonces", device);
    } else if (device->dev_nonce >= 0) {
        ljs__json_name(w, "last_dev_nonce");
        ljs__json_number(w, device->dev_nonce);
    }
}

static void json_put(struct wr *w, const struct bulk_device *device)
{
    struct bulk_device unnamed = *device;
    char id[24];

    unnamed.title = NULL;
    ljs__json_open(w, '{');
    ljs__json_name(w, "ids");
    ljs__json_open(w, '{');
    ljs__bulk_text_member(w, "device_id", ljs__bulk_title(id, &unnamed));
    ljs__bulk_eui_member(w, "dev_eui", device->d.dev_eui);
    ljs__bulk_eui_member(w, "join_eui", device->d.join_eui);
    ljs__json_close(w, '}');
    ljs__bulk_text_member(w, "name", device->title);
    ljs__bulk_text_member(w, "lorawan_version", version_text(device->d.mac));
    ljs__bulk_text_member(w, "lorawan_phy_version", device->set[PHY_VERSION]);
    ljs__bulk_text_member(w, "frequency_plan_id", device->set[FREQUENCY_PLAN]);
    ljs__json_name(w, "supports_join");
    ljs__json_bool(w, true);
    json_keys(w, device);
    json_nonces(w, device);
    ljs__json_close(w, '}');
    ljs__wr_text(w, "\n");
}

const struct bulk_family ljs__bulk_tts_json = {
    .name = "tts-json",
    .frame = BULK_OBJECTS,
    .names = members,
    .names_len = COUNT(members),
    .places = BULK_BIT(BULK_VERSION) | BULK_BIT(BULK_NWK_KEY) | BULK_BIT(BULK_APP_KEY) |
              BULK_BIT(BULK_LAST_JOIN_NONCE) | BULK_BIT(BULK_LAST_DEV_NONCE) | BULK_BIT(BULK_USED_DEV_NONCES),
    .sets = "frequency_plan_id lorawan_phy_version",
    .put = json_put,
};
