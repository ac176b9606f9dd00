/* ThingPark Enterprise: cells by their place.  AppKey, the sixth, is for devices whose Join Server is ThingPark's own;
 * a device of ours has none there.  The second is the DevEUI, or the text of the device's label. */
#include "codec/bulk.h"

#include "base/secret.h"

enum { MODEL, PLAN };

static const struct bulk_name columns[] = {
    { "A", BULK_CREATE },   { "B", BULK_TAG },     { "C", BULK_IGNORED }, /* DevAddr */
    { "D", BULK_IGNORED },                                                /* the model */
    { "E", BULK_JOIN_EUI }, { "F", BULK_APP_KEY },
};

static void put(struct wr *w, const struct bulk_device *device)
{
    char text[2 * BULK_KEY_LEN + 1];

    ljs__csv_cell(w, ',', "CREATE_OTAA");
    ljs__bulk_hex(text, device->d.dev_eui);
    ljs__csv_cell(w, ',', text);
    ljs__csv_cell(w, ',', "");
    ljs__csv_text(w, ',', device->set[MODEL] ? device->set[MODEL] : "");
    ljs__bulk_hex(text, device->d.join_eui);
    ljs__csv_cell(w, ',', text);
    ljs__csv_cell(w, ',', ljs__bulk_key(text, ljs__bulk_root(device)) ? text : "");
    ljs__csv_cell(w, ',', "");
    ljs__csv_text(w, ',', device->set[PLAN] ? device->set[PLAN] : "");
    ljs__csv_end(w);
    ljs__wipe(text, sizeof text);
}

const struct bulk_family ljs__bulk_thingpark = {
    .name = "thingpark",
    .frame = BULK_TABLE,
    .delimiters = ",",
    .comments = true,
    .names = columns,
    .names_len = COUNT(columns),
    .places = BULK_BIT(BULK_APP_KEY),
    .sets = "model_id connectivity_plan",
    .put = put,
};
