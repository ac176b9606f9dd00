/* The crypto core: a join in the calls that the steps make of keys/, wiping included, and nothing
 * else: no record, no nonce, no JSON. */
#include "works.h"

#include "keys/ring.h"

#include <string.h>

static _Thread_local struct core_answer answer; /* keys are cold, where the answer goes is not */

static bool begin(int kind)
{
    (void)kind;
    return keys_ready();
}

ljs_err core_join(struct core_answer *out, size_t i, int kind)
{
    static const enum key_id network[] = { KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, KEY_NWK_S_ENC };
    static const enum key_id application[] = { KEY_APP_S };
    const struct keys *keys = keys_ready();
    const struct fixture *f = &fixtures->join[i];
    ljs_envelope *const to_ns[] = { &out->key[0], &out->key[1], &out->key[2] }, *const to_as[] = { &out->key[3] };
    bool v11 = kind != 'a', wrapped = kind == 'c';
    ljs_scheme scheme = v11 ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0;
    ljs_frame frame;
    ljs_err err = ljs_frame_parse(&frame, f->request, sizeof f->request);
    ljs_accept accept = { .join_nonce = (uint32_t)be(f->join_nonce, 3),
                          .net_id = (ljs_netid)be(f->net_id, 3),
                          .dev_addr = (ljs_devaddr)be(f->dev_addr, 4),
                          .dl_settings = v11 ? f->dl_settings_b : f->dl_settings_a,
                          .rx_delay = f->rx_delay,
                          .has_cf_list = 1 };
    const ljs_accept_of of = {
        .scheme = scheme, .kind = LJS_FRAME_JOIN, .join_eui = frame.join_eui, .nonce = frame.nonce
    };
    const ljs_derivation what = { .scheme = scheme,
                                  .dev_eui = frame.dev_eui,
                                  .join_eui = frame.join_eui,
                                  .net_id = accept.net_id,
                                  .join_nonce = accept.join_nonce,
                                  .nonce = frame.nonce };
    struct ring *ring = NULL;

    memcpy(accept.cf_list, f->cf_list, sizeof accept.cf_list);
    if (err || (err = ljs__ring_take(&ring)))
        return err;
    err = ljs__ring_load(ring, KEY_NWK, keys->nwk[i]);
    if (!err && v11)
        err = ljs__ring_load(ring, KEY_APP, keys->app[i]);
    if (!err && wrapped)
        err = ljs__ring_load(ring, KEY_NS_KEK, keys->ns_kek);
    if (!err && wrapped)
        err = ljs__ring_load(ring, KEY_AS_KEK, keys->as_kek);
    if (!err)
        err = ljs__join_check(ring, f->request, sizeof f->request, &what);
    if (!err && v11)
        err = ljs__derive_app(ring, &what);
    if (!err)
        err = ljs__accept_seal(ring, out->accept, &out->accept_len, &accept, &of, v11 ? KEY_JS_INT : KEY_NWK, KEY_NWK);
    if (!err)
        err = ljs__ring_envelopes(to_ns, ring, network, v11 ? 3 : 1, wrapped ? KEY_NS_KEK : KEY_NONE,
                                  wrapped ? "ns" : "");
    if (!err)
        err = ljs__ring_envelopes(to_as, ring, application, 1, wrapped ? KEY_AS_KEK : KEY_NONE, wrapped ? "as" : "");
    ljs__ring_give(ring);
    return err;
}

static void pass(int kind, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        MUST(!core_join(&answer, i, kind));
}

static bool is_key(const ljs_envelope *envelope, const uint8_t *want, size_t len)
{
    return envelope->key_len == len && !memcmp(envelope->key, want, len);
}

static bool check(int kind, const struct fixture *f, size_t i)
{
    struct core_answer out = { 0 };

    if (core_join(&out, i, kind) || out.accept_len != 33 ||
        memcmp(out.accept, kind == 'a' ? f->accept_a : f->accept_b, 33) != 0)
        return false;
    if (kind == 'a')
        return is_key(&out.key[0], f->nwk_s_key_a, 16) && is_key(&out.key[3], f->app_s_key_a, 16);
    if (kind == 'b')
        return is_key(&out.key[0], f->f_nwk_s_int_b, 16) && is_key(&out.key[1], f->s_nwk_s_int_b, 16) &&
               is_key(&out.key[2], f->nwk_s_enc_b, 16) && is_key(&out.key[3], f->app_s_key_b, 16);
    return is_key(&out.key[0], f->f_nwk_s_int_c, 24) && is_key(&out.key[1], f->s_nwk_s_int_c, 24) &&
           is_key(&out.key[2], f->nwk_s_enc_c, 24) && is_key(&out.key[3], f->app_s_key_c, 24);
}

const struct work core_works[CORES] = {
    { .name = "core-a", .which = 'a', .begin = begin, .check = check, .pass = pass },
    { .name = "core-b", .which = 'b', .begin = begin, .check = check, .pass = pass },
    { .name = "core-c", .which = 'c', .begin = begin, .check = check, .pass = pass },
};
