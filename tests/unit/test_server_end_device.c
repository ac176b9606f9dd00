/* The whole triangle: the device's side, the network's side and the Join Server's steps, which have
 * no line in common but the air.  Many lives over a channel that loses, each replayable by its seed. */
#include "end_device_world.h"

#include <lorajs/join.h>
#include <lorajs/network.h>

#include "random.h"

enum { NET = 0x000013 };

struct triangle {
    struct world w; /* the device */
    ljs_vault *vault;
    ljs_buf record, ns;
    ljs_mac mac, network; /* the device's, and the network's highest */
    uint64_t seed;
    unsigned loss; /* per cent */
    uint32_t addr;
    unsigned joins, rejoins, rekeyed, falls, ups, downs;
    bool force_taken;
};

static void triangle_open(struct triangle *t, ljs_mac mac, ljs_mac network, uint64_t seed)
{
    static const uint8_t master[32] = { 5 };
    ljs_ed_opts opts = world_opts();
    ljs_ns_opts ns;
    ljs_device d = { .struct_size = sizeof d, .dev_eui = DEV_EUI, .join_eui = JOIN_EUI, .mac = mac };
    ljs_root_keys keys = { .nwk = NULL };

    memset(t, 0, sizeof *t);
    t->mac = mac;
    t->network = network;
    t->seed = seed;
    opts.mac = (uint16_t)mac;
    opts.airtime = 60;
    opts.adr_ack_limit = 10;
    opts.link_limit = 30;
    opts.rejoin1_period = mac >= LJS_MAC_1_1 ? 7200 : 0;
    world_open(&t->w, &opts);
    keys.nwk = t->w.nwk;
    keys.app = mac >= LJS_MAC_1_1 ? t->w.app : NULL;
    assert_int_equal(ljs_vault_new(&t->vault, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_device_make(&t->record, t->vault, &d, &keys, LJS_MAKE_ALLOW_WEAK, -1, NULL, 0, NULL, 0),
                     LJS_OK);
    ljs_ns_opts_init(&ns);
    ns.dev_eui = DEV_EUI;
    ns.net_id = NET;
    ns.rejoins_per_hour = ns.rejoins1_per_hour = 0;
    assert_int_equal(ljs_ns_new(&t->ns, t->vault, &ns), LJS_OK);
}

static void triangle_close(struct triangle *t)
{
    world_close(&t->w);
    ljs_vault_free(t->vault);
    ljs_buf_free(&t->record);
    ljs_buf_free(&t->ns);
}

static void take(ljs_buf *state, ljs_buf *next)
{
    if (!next->data)
        return;
    ljs_buf_free(state);
    *state = *next;
}

static bool lost(struct triangle *t)
{
    return random_next(&t->seed) % 100 < t->loss;
}

static ljs_key *opened(const ljs_envelope *envelope)
{
    ljs_key *key = NULL;

    if (envelope->key_len)
        assert_int_equal(ljs_envelope_open(&key, envelope, NULL), LJS_OK);
    return key;
}

/* The device's (re)join-request has reached the network: the Join Server answers it, and the device
 * hears that, or not. */
static void activation(struct triangle *t, const uint8_t *phy, size_t phy_len)
{
    ljs_ns_accepted accepted = { .struct_size = sizeof accepted, .now = t->w.now };
    ljs_ns_joined joined;
    ljs_ns_keys keys;
    ljs_join_req req;
    ljs_join_ans ans;
    ljs_ns_route route;
    ljs_frame frame;
    ljs_buf next;
    ljs_err err;

    assert_int_equal(ljs_frame_parse(&frame, phy, phy_len), LJS_OK);
    if (frame.kind != LJS_FRAME_JOIN) {
        err = ljs_ns_rejoin(&route, &next, t->vault, t->w.now, phy, phy_len, t->ns.data, t->ns.len);
        /* The device is under a context that the network has not heard of. */
        if (err == LJS_E_MIC || err == LJS_E_STATE)
            return;
        assert_int_equal(err, LJS_OK);
        take(&t->ns, &next);
    }
    assert_int_equal(ljs_join_req_init(&req), LJS_OK);
    memcpy(req.phy, phy, phy_len);
    req.phy_len = phy_len;
    req.rejoin = frame.kind != LJS_FRAME_JOIN;
    req.mac = t->mac < t->network ? t->mac : t->network;
    req.dl_settings = req.mac >= LJS_MAC_1_1 ? 0x80 : 0;
    req.net_id = NET;
    req.dev_addr = ++t->addr;
    req.clear = LJS_CLEAR_NS | LJS_CLEAR_AS;
    strcpy(req.peer, "ns");
    err = ljs_join(&ans, &next, t->vault, &req, NULL, NULL, NULL, NULL, t->record.data, t->record.len);
    if (err == LJS_E_REPLAY && t->mac < LJS_MAC_1_0_4)
        return; /* random DevNonces meet again */
    assert_int_equal(err, LJS_OK);
    assert_false(ans.repeat || ans.on_word);
    take(&t->record, &next);

    forget_session(&t->w);
    t->w.f = opened(&ans.f_nwk_s_int);
    t->w.s = opened(&ans.s_nwk_s_int);
    t->w.e = opened(&ans.nwk_s_enc);
    t->w.a = opened(&ans.app_s);
    keys = (ljs_ns_keys){ t->w.f, t->w.s, t->w.e };
    accepted.kind = frame.kind;
    accepted.scheme = ans.scheme;
    accepted.mac = (uint16_t)req.mac;
    accepted.nonce = frame.nonce;
    accepted.dev_addr = req.dev_addr;
    memcpy(accepted.session_key_id, ans.session_key_id, 16);
    assert_int_equal(ljs_ns_join_accepted(&joined, &next, t->vault, &accepted, &keys, t->ns.data, t->ns.len), LJS_OK);
    take(&t->ns, &next);
    if (lost(t))
        return;
    t->w.now += 5000;
    assert_int_equal(step_hear(&t->w, ans.phy, ans.phy_len), LJS_OK);
    assert_int_equal(t->w.out.joined, frame.kind == LJS_FRAME_JOIN);
    assert_int_equal(t->w.out.rejoined, frame.kind != LJS_FRAME_JOIN);
    assert_int_equal(t->w.out.scheme, ans.scheme);
    assert_int_equal(t->w.out.accept.dev_addr, req.dev_addr);
    t->w.scheme = ans.scheme;
    t->joins += t->w.out.joined;
    t->rejoins += t->w.out.rejoined;
}

static bool down_link(struct triangle *t)
{
    ljs_ns_tx tx = { .struct_size = sizeof tx, .now = t->w.now };
    ljs_ns_down down;
    ljs_buf next;
    ljs_err err = ljs_ns_downlink(&down, &next, t->vault, &tx, t->ns.data, t->ns.len);

    if (err == LJS_E_NOTFOUND || err == LJS_E_STATE)
        return false;
    assert_int_equal(err, LJS_OK);
    take(&t->ns, &next);
    if (lost(t))
        return false;
    err = step_hear(&t->w, down.phy, down.phy_len);
    assert_int_equal(err, LJS_OK);
    assert_int_equal(t->w.out.fcnt, down.fcnt);
    t->rekeyed += t->w.out.rekeyed;
    t->downs++;
    return true;
}

static void uplink(struct triangle *t, const uint8_t *phy, size_t phy_len)
{
    ljs_ns_up up;
    ljs_buf next, clear;
    ljs_err err = ljs_ns_uplink(&up, &next, t->vault, t->w.now, 3, 5, phy, phy_len, t->ns.data, t->ns.len);

    /* Of a context that the network has given up for a newer one that the device has not heard of. */
    if (err == LJS_E_SESSION)
        return;
    assert_int_equal(err, LJS_OK);
    take(&t->ns, &next);
    t->ups++;
    if (up.dev_addr == t->addr && up.payload_len) { /* AppSKey of the newest session is at hand */
        assert_int_equal(ljs_data_crypt(&clear, LJS_STREAM_FRM_PAYLOAD, LJS_UP, up.dev_addr, up.fcnt, t->w.a,
                                        up.payload, up.payload_len),
                         LJS_OK);
        assert_memory_equal(clear.data, "data", 4);
        ljs_buf_free(&clear);
    }
    (void)down_link(t);
}

/* What the device sends, if anything. */
static void air(struct triangle *t)
{
    uint8_t phy[LJS_DATA_MAX];
    size_t phy_len = t->w.out.frame_len;
    ljs_ed_sends sends = t->w.out.sends;

    t->falls += t->w.out.session_lost;
    memcpy(phy, t->w.out.frame, phy_len);
    if (!sends)
        return;
    if (!lost(t)) {
        if (sends == LJS_ED_SENDS_DATA)
            uplink(t, phy, phy_len);
        else
            activation(t, phy, phy_len);
    }
    if (world_read(&t->w).state != LJS_ED_IDLE) {
        assert_int_equal(step_kind(&t->w, LJS_ED_ON_LOST), LJS_OK);
        t->falls += t->w.out.session_lost;
    }
}

static void live(struct triangle *t, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        ljs_ed ed = world_read(&t->w);
        uint64_t dice = random_next(&t->seed);
        ljs_buf next;

        t->w.random = (uint32_t)(dice >> 32);
        if (ed.state == LJS_ED_IDLE) {
            assert_int_equal(step_kind(&t->w, LJS_ED_ON_START), LJS_OK);
        } else if (ed.state == LJS_ED_JOINING) {
            (void)wake(&t->w);
        } else if (dice % 100 < 80) {
            t->w.now += 60000;
            assert_int_equal(step_send(&t->w, 1, "data"), LJS_OK);
        } else if (dice % 100 < 95) {
            t->w.now += 200000;
            assert_int_equal(step_kind(&t->w, LJS_ED_ON_TICK), LJS_OK);
        } else if (dice % 100 < 97 && t->loss) {
            replace(&t->w.state, &t->w.durable);
            assert_int_equal(step_kind(&t->w, LJS_ED_ON_RESTART), LJS_OK);
        } else {
            const ljs_ns_force force = {
                .struct_size = sizeof force, .rejoin_type = dice % 2 ? 2 : 0, .max_retries = 2, .tries = 3
            };
            ljs_err err = ljs_ns_force_rejoin(&next, t->vault, &force, t->ns.data, t->ns.len);

            if (!err)
                take(&t->ns, &next);
            assert_int_equal(ljs_ns_rejoin_params(&next, t->vault, 0, 2, t->ns.data, t->ns.len), err);
            if (!err)
                take(&t->ns, &next);
            continue;
        }
        air(t);
    }
}

/* Device and network have one context in common, and it is in use. */
static void in_agreement(const struct triangle *t)
{
    ljs_ed ed = world_read(&t->w);
    ljs_ns ns;

    assert_int_equal(ljs_ns_read(&ns, t->ns.data, t->ns.len), LJS_OK);
    assert_int_equal(ed.state, LJS_ED_JOINED);
    assert_true(ns.current.present);
    assert_int_equal(ed.dev_addr, ns.current.dev_addr);
    assert_int_equal(ed.scheme, ns.current.scheme);
    assert_int_equal((int64_t)ed.fcnt_up, ns.current.fcnt_up + 1);
}

static void test_triangle(void **unused)
{
    static const struct {
        ljs_mac mac, network;
        bool rejoins;
    } cases[] = {
        { LJS_MAC_1_0_0, LJS_MAC_1_1, false }, { LJS_MAC_1_0_3, LJS_MAC_1_0_3, false },
        { LJS_MAC_1_0_4, LJS_MAC_1_1, false }, { LJS_MAC_1_1, LJS_MAC_1_0_4, false },
        { LJS_MAC_1_1, LJS_MAC_1_1, true },
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct triangle t;

            triangle_open(&t, cases[i].mac, cases[i].network, seed);
            t.loss = seed % 4 * 15;
            live(&t, 400);
            t.loss = 0;
            /* until nothing is under way: every rejoin that was asked for has come about */
            live(&t, 100);
            for (int k = 0; k < 40; k++) {
                t.w.now += 1000;
                if (world_read(&t.w).state == LJS_ED_JOINING)
                    (void)wake(&t.w);
                else
                    assert_int_equal(step_send(&t.w, 1, "data"), LJS_OK);
                air(&t);
            }
            in_agreement(&t);
            assert_true(t.joins && t.ups > 100);
            assert_int_equal(t.rejoins > 0, cases[i].rejoins);
            assert_int_equal(t.rekeyed > 0, cases[i].rejoins);
            triangle_close(&t);
        }
}

/* After a network that forgot everything the device comes back by itself. */
static void test_network_forgets(void **unused)
{
    struct triangle t;
    ljs_ns_opts opts;

    (void)unused;
    for (int scheme = 0; scheme < 2; scheme++) {
        triangle_open(&t, scheme ? LJS_MAC_1_1 : LJS_MAC_1_0_4, LJS_MAC_1_1, 3);
        live(&t, 50);
        ljs_ns_opts_init(&opts);
        opts.dev_eui = DEV_EUI;
        opts.net_id = NET;
        ljs_buf_free(&t.ns);
        assert_int_equal(ljs_ns_new(&t.ns, t.vault, &opts), LJS_OK);
        for (int k = 0; k < 80; k++) {
            t.w.now += 1000;
            if (world_read(&t.w).state == LJS_ED_JOINING)
                (void)wake(&t.w);
            else
                assert_int_equal(step_send(&t.w, 1, "data"), LJS_OK);
            air(&t);
        }
        in_agreement(&t);
        assert_int_equal(t.falls, 1);
        triangle_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_triangle),
        cmocka_unit_test(test_network_forgets),
    };

    return cmocka_run_group_tests_name("device, network, Join Server", tests, NULL, NULL);
}
