/* Where a device belongs: what a claim sets, and no nonce or key. */
#include <lorajs/device.h>

#include "base/text.h"
#include "device/step.h"

static bool routing_ok(const ljs_routing *r)
{
    const unsigned all = LJS_ROUTE_HOME_NET_ID | LJS_ROUTE_HOME_NS_ID | LJS_ROUTE_NS_KEK_LABEL |
                         LJS_ROUTE_AS_KEK_LABEL | LJS_ROUTE_AS_ID;

    return r->struct_size == sizeof *r && !(r->set & ~all) && (!r->has_home_net_id || r->home_net_id <= 0xffffff) &&
           ljs__text_ok(r->ns_kek_label, sizeof r->ns_kek_label) &&
           ljs__text_ok(r->as_kek_label, sizeof r->as_kek_label) && ljs__text_ok(r->as_id, sizeof r->as_id);
}

static void route(struct record *record, const ljs_routing *routing)
{
    if (routing->set & LJS_ROUTE_HOME_NET_ID) {
        record->d.has_home_net_id = !!routing->has_home_net_id;
        record->d.home_net_id = routing->has_home_net_id ? routing->home_net_id : 0;
    }
    if (routing->set & LJS_ROUTE_HOME_NS_ID) {
        record->d.has_home_ns_id = !!routing->has_home_ns_id;
        record->d.home_ns_id = routing->has_home_ns_id ? routing->home_ns_id : 0;
    }
    if (routing->set & LJS_ROUTE_NS_KEK_LABEL)
        memcpy(record->d.ns_kek_label, routing->ns_kek_label, sizeof record->d.ns_kek_label);
    if (routing->set & LJS_ROUTE_AS_KEK_LABEL)
        memcpy(record->d.as_kek_label, routing->as_kek_label, sizeof record->d.as_kek_label);
    if (routing->set & LJS_ROUTE_AS_ID)
        memcpy(record->d.as_id, routing->as_id, sizeof record->d.as_id);
}

static ljs_err load(struct record *out, ljs_vault *vault, const ljs_routing *routing, const uint8_t *record,
                    size_t record_len)
{
    ljs_err err = ljs__record_load(out, vault, record, record_len);

    if (!routing_ok(routing))
        return LJS_E_INVAL;
    return !err && out->d.state == LJS_STATE_REMOVED ? LJS_E_STATE : err;
}

/* Sessions lose their names with what is handed over: whose they were, nobody is told any more. */
static ljs_err routed(ljs_buf *out_record, ljs_vault *vault, const ljs_routing *routing, const uint8_t *record,
                      size_t record_len, bool handed_over)
{
    struct record r;
    ljs_err err = load(&r, vault, routing, record, record_len);

    *out_record = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    route(&r, routing);
    for (unsigned i = 0; handed_over && i < r.d.sessions; i++)
        memset(r.session[i].session_key_id, 0, sizeof r.session[i].session_key_id);
    if (handed_over)
        ljs__record_unask(&r);
    return ljs__record_save(out_record, &r, vault);
}

ljs_err ljs_device_route(ljs_buf *out_record, ljs_vault *vault, const ljs_routing *routing, const uint8_t *record,
                         size_t record_len)
{
    return routed(out_record, vault, routing, record, record_len, false);
}

ljs_err ljs__device_hand_over(ljs_buf *out_record, ljs_vault *vault, const ljs_routing *routing, const uint8_t *record,
                              size_t record_len)
{
    return routed(out_record, vault, routing, record, record_len, true);
}
