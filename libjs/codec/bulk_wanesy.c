/* Kerlink's Wanesy Management Center: a header and cells.  Its devNonceCounter says whether the device counts, not
 * how far, so nonces have no place; nor has a second root key. */
#include "codec/bulk.h"

#include "base/secret.h"

enum { CLUSTER, REGION };

static const struct bulk_name columns[] = {
    { "devEui", BULK_DEV_EUI },          { "appEui", BULK_JOIN_EUI }, { "macVersion", BULK_VERSION },
    { "activation", BULK_ACTIVATION },   { "appKey", BULK_APP_KEY },  { "name", BULK_NAME },
    { "devNonceCounter", BULK_IGNORED },
};

static void head(struct wr *w, const struct bulk_device *device)
{
    (void)device;
    ljs__wr_text(w, "devEui,clusterId,name,rfRegion,macVersion,activation,appEui,appKey,devNonceCounter");
    ljs__csv_end(w);
}

static void put(struct wr *w, const struct bulk_device *device)
{
    char text[2 * BULK_KEY_LEN + 1], title[24];

    ljs__bulk_hex(text, device->d.dev_eui);
    ljs__csv_cell(w, ',', text);
    ljs__csv_text(w, ',', device->set[CLUSTER] ? device->set[CLUSTER] : "");
    ljs__csv_text(w, ',', ljs__bulk_title(title, device));
    ljs__csv_text(w, ',', device->set[REGION] ? device->set[REGION] : "");
    ljs__csv_cell(w, ',', device->d.mac == LJS_MAC_1_1 ? "1.1.0" : ljs_mac_text(device->d.mac));
    ljs__csv_cell(w, ',', "OTAA");
    ljs__bulk_hex(text, device->d.join_eui);
    ljs__csv_cell(w, ',', text);
    ljs__csv_cell(w, ',', ljs__bulk_key(text, ljs__bulk_root(device)) ? text : "");
    ljs__csv_cell(w, ',', device->d.mac < LJS_MAC_1_0_4 ? "False" : "True");
    ljs__csv_end(w);
    ljs__wipe(text, sizeof text);
}

const struct bulk_family ljs__bulk_wanesy = {
    .name = "wanesy",
    .frame = BULK_TABLE,
    .delimiters = ",",
    .header = true,
    .names = columns,
    .names_len = COUNT(columns),
    .places = BULK_BIT(BULK_VERSION) | BULK_BIT(BULK_APP_KEY),
    .sets = "clusterId rfRegion",
    .head = head,
    .put = put,
};
