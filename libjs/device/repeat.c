#include "device/repeat.h"

#include "air/frame.h"
#include "air/octets.h"
#include "base/secret.h"

/* MIC(4) | 0, or 1 and NSID(8) | the peer's name */
void ljs__asked(struct asked *out, const ljs_join_req *req, const ljs_frame *frame)
{
    struct octets o = { out->octets, 0, sizeof out->octets };

    put(&o, frame->mic, sizeof frame->mic);
    put_le(&o, req->has_ns_id, 1);
    if (req->has_ns_id)
        put_le(&o, req->ns_id, 8);
    put(&o, (const uint8_t *)req->peer, strlen(req->peer));
    out->len = o.len;
}

/* The frame but for its MIC: the DevEUI is the record's, and a NetID in it is the request's own (LJS_E_HOME else), see
 * same_settings().  A MIC has 32 bits, and does not tell two frames apart by itself. */
static bool same_frame(const ljs_session *s, const ljs_frame *frame)
{
    return s->kind == frame->kind && s->nonce == frame->nonce &&
           (ljs__frame_has_net_id(frame->kind) || s->join_eui == frame->join_eui);
}

static bool same_settings(const ljs_session *s, const ljs_join_req *req)
{
    return s->net_id == req->net_id && s->mac == req->mac && s->dev_addr == req->dev_addr &&
           s->dl_settings == req->dl_settings && s->rx_delay == req->rx_delay && s->has_cf_list == !!req->cf_list_len &&
           !memcmp(s->cf_list, req->cf_list, req->cf_list_len);
}

/* As schemas 1 and 2 have it: all of the request. */
static void digest(uint8_t out[16], const ljs_join_req *req)
{
    uint8_t octets[LJS_LABEL_MAX + 80];
    struct octets o = { octets, 0, sizeof octets };
    size_t peer_len = strlen(req->peer);

    put_le(&o, req->rejoin, 1);
    put_le(&o, req->has_ns_id, 1);
    put_le(&o, req->has_ns_id ? req->ns_id : 0, 8);
    put_le(&o, req->net_id, 3);
    put_le(&o, (uint64_t)req->mac, 2);
    put_le(&o, req->dev_addr, 4);
    put_le(&o, req->dl_settings, 1);
    put_le(&o, req->rx_delay, 1);
    put_le(&o, req->cf_list_len, 1);
    put_le(&o, req->phy_len, 1);
    put_le(&o, peer_len, 1);
    put(&o, req->cf_list, req->cf_list_len);
    put(&o, req->phy, req->phy_len);
    put(&o, (const uint8_t *)req->peer, peer_len);
    ljs__hash(out, octets, o.len);
}

bool ljs__asked_before(const struct record *r, const struct asked *asked, const ljs_join_req *req,
                       const ljs_frame *frame)
{
    const ljs_session *s = r->session; /* the newest */
    uint8_t is[16];

    if (!r->d.sessions || s->epoch != r->d.epoch)
        return false;
    if (r->has_digest) {
        digest(is, req);
        return ljs__equal(r->digest, is, sizeof is);
    }
    return r->asked_len == asked->len && !memcmp(r->asked, asked->octets, asked->len) && same_frame(s, frame) &&
           same_settings(s, req);
}
