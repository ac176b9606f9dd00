/* The pure step, ljs_join(): a record and a request in, the next record and an answer out.  The
 * records are real ones, made by the library and by earlier joins. */
#include "works.h"

#include <stdio.h>
#include <string.h>

/* A device of 1.1 that has joined twice, and whose 32 DevNonces from before it spoke 1.1 stand in the
 * record too; one of 1.0.3 likewise; and one of 1.0.3 that has used nearly every other DevNonce, the
 * largest record there is. */
static const struct history histories[] = {
    { LJS_MAC_1_1, 2, 32 },
    { LJS_MAC_1_0_3, 2, 30 },
    { LJS_MAC_1_0_3, 2, 30000 },
};
enum { V11, V103, V103_FULL };

static ljs_buf *records[STEPS];

static ljs_err step(ljs_join_ans *out, ljs_buf *next, size_t i, int which)
{
    const struct keys *keys = keys_ready();
    const struct fixture *f = &fixtures->join[i];
    ljs_join_req req;
    ljs_err err = ljs_join_req_init(&req);

    if (err)
        return err;
    memcpy(req.phy, f->request, sizeof f->request);
    req.phy_len = sizeof f->request;
    req.mac = histories[which].mac;
    req.net_id = (ljs_netid)be(f->net_id, 3);
    req.dev_addr = (ljs_devaddr)be(f->dev_addr, 4);
    req.dl_settings = which == V11 ? f->dl_settings_b : f->dl_settings_a;
    req.rx_delay = f->rx_delay;
    memcpy(req.cf_list, f->cf_list, sizeof req.cf_list);
    req.cf_list_len = sizeof req.cf_list;
    req.now = 1700000000;
    return ljs_join(out, next, keys->vault, &req, keys->ns_kek, "ns", keys->as_kek, "as", records[which][i].data,
                    records[which][i].len);
}

static bool begin(int which)
{
    size_t octets = 0;

    if (records[which])
        return true;
    records[which] = records_of(&histories[which]);
    for (size_t i = 0; i < joins; i++)
        octets += records[which][i].len;
    fprintf(stderr, "%s: records of %zu octets\n", step_works[which].name, octets / joins);
    return true;
}

static void pass(int which, size_t first, size_t last)
{
    static _Thread_local ljs_join_ans ans;

    for (size_t i = first; i < last; i++) {
        ljs_buf next;

        MUST(!step(&ans, &next, i, which) && next.len);
        ljs_buf_free(&next);
    }
}

/* The fixtures of 1.0.x have their keys in clear. */
static bool opens_to(const ljs_envelope *envelope, const ljs_key *kek, const uint8_t want[16])
{
    ljs_buf key;
    bool good =
        !ljs_key_unwrap(&key, kek, envelope->key, envelope->key_len) && key.len == 16 && !memcmp(key.data, want, 16);

    ljs_buf_free(&key);
    return good;
}

static bool check(int which, const struct fixture *f, size_t i)
{
    const struct keys *keys = keys_ready();
    ljs_join_ans ans;
    ljs_buf next;
    bool good = !step(&ans, &next, i, which) && next.len && !ans.repeat && ans.phy_len == 33;

    ljs_buf_free(&next);
    if (which != V11)
        return good && !memcmp(ans.phy, f->accept_a, 33) && opens_to(&ans.f_nwk_s_int, keys->ns_kek, f->nwk_s_key_a) &&
               opens_to(&ans.app_s, keys->as_kek, f->app_s_key_a);
    return good && !memcmp(ans.phy, f->accept_b, 33) && !memcmp(ans.f_nwk_s_int.key, f->f_nwk_s_int_c, 24) &&
           !memcmp(ans.s_nwk_s_int.key, f->s_nwk_s_int_c, 24) && !memcmp(ans.nwk_s_enc.key, f->nwk_s_enc_c, 24) &&
           !memcmp(ans.app_s.key, f->app_s_key_c, 24);
}

const struct work step_works[STEPS] = {
    { .name = "step", .which = V11, .begin = begin, .check = check, .pass = pass },
    { .name = "step-1.0.3", .which = V103, .begin = begin, .check = check, .pass = pass },
    { .name = "step-full", .which = V103_FULL, .begin = begin, .check = check, .pass = pass },
};
