/* Where a device belongs: what a claim sets, and no nonce or key. */
#include <lorajs/device.h>

#include "base/text.h"
#include "device/record.h"

static bool routing_ok(const ljs_routing *r)
{
    const unsigned all = LJS_ROUTE_HOME_NET_ID | LJS_ROUTE_HOME_NS_ID | LJS_ROUTE_NS_KEK_LABEL |
                         LJS_ROUTE_AS_KEK_LABEL | LJS_ROUTE_AS_ID;

    return r->struct_size == sizeof *r && !(r->set & ~all) && (!r->has_home_net_id || r->home_net_id <= 0xffffff) &&
           ljs__text_ok(r->ns_kek_label, sizeof r->ns_kek_label) &&
           ljs__text_ok(r->as_kek_label, sizeof r->as_kek_label) && ljs__text_ok(r->as_id, sizeof r->as_id);
}

ljs_err ljs_device_route(ljs_buf *out_record, ljs_vault *vault, const ljs_routing *routing, const uint8_t *record,
                         size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    *out_record = (ljs_buf){ NULL, 0 };
    if (!routing_ok(routing))
        return LJS_E_INVAL;
    if (err)
        return err;
    if (r.d.state == LJS_STATE_REMOVED)
        return LJS_E_STATE;
    if (routing->set & LJS_ROUTE_HOME_NET_ID) {
        r.d.has_home_net_id = !!routing->has_home_net_id;
        r.d.home_net_id = routing->has_home_net_id ? routing->home_net_id : 0;
    }
    if (routing->set & LJS_ROUTE_HOME_NS_ID) {
        r.d.has_home_ns_id = !!routing->has_home_ns_id;
        r.d.home_ns_id = routing->has_home_ns_id ? routing->home_ns_id : 0;
    }
    if (routing->set & LJS_ROUTE_NS_KEK_LABEL)
        memcpy(r.d.ns_kek_label, routing->ns_kek_label, sizeof r.d.ns_kek_label);
    if (routing->set & LJS_ROUTE_AS_KEK_LABEL)
        memcpy(r.d.as_kek_label, routing->as_kek_label, sizeof r.d.as_kek_label);
    if (routing->set & LJS_ROUTE_AS_ID)
        memcpy(r.d.as_id, routing->as_id, sizeof r.d.as_id);
    return ljs__record_save(out_record, &r, vault);
}
