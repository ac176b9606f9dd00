/* Sessions are kept as their inputs: which of them, for how long, and what is derived from them
 * again; and when a request that comes twice is one request. */
#include "device_world.h"

#include "device/carry.h"
#include "device/record.h"

#include <stddef.h>

enum { MADE = 40 };

/* What a server was given at the time, to compare with what is derived later. */
struct given {
    uint8_t id[16];
    ljs_envelope app_s;
    uint32_t join_nonce;
};

static ljs_device with_as(ljs_mac mac)
{
    ljs_device d = device_of(mac);

    strcpy(d.as_id, "as.example");
    return d;
}

static ljs_err ask(ljs_envelope *out, ljs_buf *record, const uint8_t *id, size_t id_len)
{
    ljs_buf next, before = copy_of(record);
    ljs_err err =
        ljs_app_s_key(out, &next, vault, "as.example", LJS_CLEAR_AS, NULL, NULL, id, id_len, record->data, record->len);

    assert_memory_equal(before.data, record->data, before.len);
    ljs_buf_free(&before);
    assert_true(!err || !next.data);
    if (next.data) {
        ljs_buf_free(record);
        *record = next;
    }
    return err;
}

static struct given join_and_note(ljs_buf *record, const ljs_join_req *req)
{
    struct given g;
    ljs_join_ans ans = joined_on(record, req);

    memcpy(g.id, ans.session_key_id, sizeof g.id);
    g.app_s = ans.app_s;
    g.join_nonce = ans.join_nonce;
    return g;
}

/* Asking proves, and a proven one stays: so every question is put to a copy of the record. */
static bool still_derives(const ljs_buf *record, const struct given *g)
{
    ljs_buf copy = copy_of(record);
    ljs_envelope got;
    ljs_err err = ask(&got, &copy, g->id, sizeof g->id);

    assert_true(err == LJS_OK || err == LJS_E_SESSION);
    if (!err)
        assert_memory_equal(&got, &g->app_s, sizeof got);
    ljs_buf_free(&copy);
    return !err;
}

static void expect_kept(const ljs_buf *record, const struct given *given, unsigned made, int proven)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < made; i++) {
        bool want = i + 8 >= made || (int)i == proven;

        assert_int_equal(still_derives(record, &given[i]), want);
        kept += want;
    }
    assert_int_equal(read_device(record).sessions, kept);
    for (unsigned i = 0; i < kept; i++) {
        ljs_session s = read_session(record, i);
        unsigned which = i < 8 ? made - 1 - i : (unsigned)proven;

        assert_int_equal(s.join_nonce, given[which].join_nonce);
        assert_memory_equal(s.session_key_id, given[which].id, 16);
        assert_int_equal(s.proven, (int)which == proven);
    }
}

/* The newest eight, and the last one proven, by whichever rules they were made. */
static void test_newest_eight_and_the_proven(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_2, LJS_MAC_1_0_4, LJS_MAC_1_1 };

    (void)state;
    for (size_t m = 0; m < COUNT_OF(macs); m++) {
        struct given given[MADE];
        ljs_device d = with_as(macs[m]);
        ljs_buf record = make(&d);
        ljs_envelope e;
        int proven = -1;

        for (unsigned i = 0; i < MADE; i++) {
            ljs_join_req req = i % 3 == 2 && macs[m] == LJS_MAC_1_1 ? rejoin1_req(EUI, (uint16_t)i)
                                                                    : join_req(macs[m], (uint16_t)(i + 1));

            if (i % 4 == 3) { /* as on a network of 1.0 */
                req = join_req(LJS_MAC_1_0_2, (uint16_t)(i + 1));
            }
            given[i] = join_and_note(&record, &req);
            expect_kept(&record, given, i + 1, proven);
            if (i == 5 || i == 18 || i == 20) { /* proven late, and another, and one that came after it */
                unsigned which = i == 20 ? i : i - 3;

                assert_int_equal(ask(&e, &record, given[which].id, 16), LJS_OK);
                proven = (int)which;
                expect_kept(&record, given, i + 1, proven);
            }
        }
        ljs_buf_free(&record);
    }
}

static void test_app_s_key_proves_once(void **state)
{
    ljs_device d = with_as(LJS_MAC_1_0_4);
    ljs_buf record = make(&d), next;
    ljs_join_req req = join_req(LJS_MAC_1_0_4, 1);
    struct given g = join_and_note(&record, &req);
    ljs_envelope e;

    (void)state;
    assert_int_equal(ljs_app_s_key(&e, &next, vault, "as.example", 0, as_kek, "as", g.id, 16, record.data, record.len),
                     LJS_OK);
    assert_non_null(next.data);
    assert_string_equal(e.kek_label, "as");
    assert_int_equal(e.key_len, 24);
    ljs_buf_free(&record);
    record = next;
    assert_int_equal(ljs_app_s_key(&e, &next, vault, "as.example", 0, as_kek, "as", g.id, 16, record.data, record.len),
                     LJS_OK);
    assert_null(next.data); /* nothing to save */
    ljs_buf_free(&record);
}

static void test_app_s_key_refusals(void **state)
{
    static const ljs_envelope none;
    static const uint8_t other[16] = { 1 };
    ljs_device d = with_as(LJS_MAC_1_0_4), plain = device_of(LJS_MAC_1_0_4);
    ljs_buf record = make(&d), out, blocked, bare = make(&plain);
    ljs_join_req req = join_req(LJS_MAC_1_0_4, 1);
    struct given g = join_and_note(&record, &req);
    ljs_envelope e;

    (void)state;
#define ASK(want, as_id, clear, id, id_len, of)                                                                        \
    do {                                                                                                               \
        memset(&e, 0xa5, sizeof e);                                                                                    \
        assert_int_equal(ljs_app_s_key(&e, &out, vault, as_id, clear, NULL, NULL, id, id_len, (of)->data, (of)->len),  \
                         want);                                                                                        \
        assert_memory_equal(&e, &none, sizeof e);                                                                      \
        assert_null(out.data);                                                                                         \
    } while (0)
    ASK(LJS_E_SENDER, "as.exampl", LJS_CLEAR_AS, g.id, 16, &record);
    ASK(LJS_E_SENDER, "", LJS_CLEAR_AS, g.id, 16, &record);
    ASK(LJS_E_SENDER, "AS.example", LJS_CLEAR_AS, g.id, 16, &record);
    ASK(LJS_E_SESSION, "as.example", LJS_CLEAR_AS, other, 16, &record);
    ASK(LJS_E_SESSION, "as.example", LJS_CLEAR_AS, g.id, 15, &record);
    ASK(LJS_E_SESSION, "as.example", LJS_CLEAR_AS, g.id, 0, &record);
    ASK(LJS_E_KEK, "as.example", 0, g.id, 16, &record);
    ASK(LJS_E_KEK, "as.example", LJS_CLEAR_NS, g.id, 16, &record);
    { /* a device that names no application server answers none, not even one without a name */
        ljs_join_req one = join_req(LJS_MAC_1_0_4, 1);
        struct given b = join_and_note(&bare, &one);

        ASK(LJS_E_SENDER, "", LJS_CLEAR_AS, b.id, 16, &bare);
    }
    blocked = copy_of(&record);
    assert_int_equal(act_on(&blocked, LJS_DEVICE_BLOCK), LJS_OK);
    ASK(LJS_E_BLOCKED, "as.example", LJS_CLEAR_AS, g.id, 16, &blocked);
    assert_int_equal(act_on(&blocked, LJS_DEVICE_REMOVE), LJS_OK);
    ASK(LJS_E_DEVICE, "as.example", LJS_CLEAR_AS, g.id, 16, &blocked);
    record.data[9] ^= 8;
    ASK(LJS_E_SEAL, "as.example", LJS_CLEAR_AS, g.id, 16, &record);
#undef ASK
    ljs_buf_free(&record);
    ljs_buf_free(&blocked);
    ljs_buf_free(&bare);
}

/* ---- root keys of older epochs ---------------------------------------------- */

static unsigned sets_in(const ljs_buf *record)
{
    struct record r;

    assert_int_equal(ljs__record_load(&r, vault, record->data, record->len), LJS_OK);
    return r.sets;
}

static void test_old_epochs_stay_while_needed(void **state)
{
    struct given given[20];
    ljs_device d = with_as(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req;

    (void)state;
    for (uint16_t i = 0; i < 3; i++) {
        req = join_req(LJS_MAC_1_1, i);
        given[i] = join_and_note(&record, &req);
    }
    assert_int_equal(make_on(&record, &d, other_nwk, other_app, LJS_MAKE_REPLACE_KEYS), LJS_OK);
    assert_int_equal(sets_in(&record), 2);
    expect_kept(&record, given, 3, -1);
    assert_int_equal(read_session(&record, 0).epoch, 0);
    for (uint16_t i = 3; i < 14; i++) {
        unsigned old = i >= 10 ? 0 : i >= 8 ? 10U - i : 3;

        req = join_req_for(LJS_MAC_1_1, EUI, i, other_nwk);
        given[i] = join_and_note(&record, &req);
        expect_kept(&record, given, i + 1U, -1);
        assert_int_equal(read_session(&record, 0).epoch, 1);
        assert_int_equal(sets_in(&record), old ? 2 : 1);
    }
    assert_int_equal(sets_in(&record), 1);
    ljs_buf_free(&record);
}

/* A set of keys for every session, and then keys replaced twice with no join between. */
static void test_as_many_epochs_as_sessions(void **state)
{
    struct given given[20];
    ljs_device d = with_as(LJS_MAC_1_0_4);
    ljs_buf record = { NULL, 0 };
    const ljs_key *root = NULL;
    ljs_envelope e;

    (void)state;
    for (unsigned i = 0; i < 14; i++) {
        ljs_join_req req;

        root = i % 2 ? nwk : other_nwk;
        assert_int_equal(make_on(&record, &d, root, NULL, LJS_MAKE_REPLACE_KEYS), LJS_OK);
        req = join_req_for(LJS_MAC_1_0_4, EUI, (uint16_t)i, root);
        given[i] = join_and_note(&record, &req);
        if (i == 3)
            assert_int_equal(ask(&e, &record, given[3].id, 16), LJS_OK);
        expect_kept(&record, given, i + 1, i < 3 ? -1 : 3);
    }
    assert_int_equal(read_device(&record).sessions, LJS_SESSIONS_MAX);
    for (unsigned i = 0; i < 5; i++) {
        root = root == nwk ? other_nwk : nwk;
        assert_int_equal(make_on(&record, &d, root, NULL, LJS_MAKE_REPLACE_KEYS), LJS_OK);
        assert_int_equal(sets_in(&record), LJS_SESSIONS_MAX + 1); /* places are left, of a rekey */
        expect_kept(&record, given, 14, 3);
    }
    ljs_buf_free(&record);
}

/* An AppKey replaced leaves the MIC of a request as it was: its session is another key's all the
 * same, and is not answered again under the new one. */
static void test_no_repeat_under_replaced_keys(void **state)
{
    ljs_device d = with_as(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_1, 1);
    struct given given = join_and_note(&record, &req);

    (void)state;
    assert_int_equal(make_on(&record, &d, nwk, other_app, LJS_MAKE_REPLACE_KEYS), LJS_OK);
    refused_on(LJS_E_REPLAY, &record, &req);
    assert_true(still_derives(&record, &given));
    ljs_buf_free(&record);
}

/* Rejoin 0 and 2 are verified only under sessions of today's root keys. */
static void test_no_rejoin_under_replaced_keys(void **state)
{
    ljs_device d = with_as(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_1, 1);
    ljs_session s;

    (void)state;
    joined_on(&record, &req);
    s = read_session(&record, 0);
    assert_int_equal(make_on(&record, &d, other_nwk, other_app, LJS_MAKE_REPLACE_KEYS), LJS_OK);
    refused_on(LJS_E_MIC, &record, &req); /* what it was answered last, too: no repeat over that */
    req = rejoin02_req(LJS_FRAME_REJOIN0, &s, 0, nwk);
    refused_on(LJS_E_MIC, &record, &req);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &s, 0, other_nwk);
    refused_on(LJS_E_MIC, &record, &req); /* and on nobody's word: it has a session */
    ljs_buf_free(&record);
}

/* ---- repeats ---------------------------------------------------------------- */

static void expect_repeat(const ljs_join_ans *first, ljs_buf *record, ljs_join_req req)
{
    ljs_join_ans again;
    ljs_join_req fresh;

    assert_int_equal(ljs_join_req_init(&fresh), LJS_OK); /* another message, so another random draw and time */
    memcpy(req.session_key_id, fresh.session_key_id, sizeof req.session_key_id);
    req.now += 5;
    assert_int_equal(join_on(&again, record, &req), LJS_OK);
    assert_int_equal(again.repeat, 1);
    again.repeat = 0;
    assert_memory_equal(&again, first, sizeof again);
}

static void set_mac(ljs_join_req *req)
{
    req->mac = LJS_MAC_1_0_3;
    req->dl_settings &= 0x7f;
}

static void set_peer(ljs_join_req *req)
{
    strcpy(req->peer, "other");
}

static void no_peer(ljs_join_req *req)
{
    req->peer[0] = 0;
}

static void set_has_ns_id(ljs_join_req *req)
{
    req->has_ns_id = !req->has_ns_id;
}

static void set_ns_id(ljs_join_req *req)
{
    req->has_ns_id = 1;
    req->ns_id++;
}

static void set_dev_addr(ljs_join_req *req)
{
    req->dev_addr++;
}

static void set_dl(ljs_join_req *req)
{
    req->dl_settings ^= 1;
}

static void set_rx(ljs_join_req *req)
{
    req->rx_delay ^= 2;
}

static void set_cf_list(ljs_join_req *req)
{
    req->cf_list[7] ^= 1;
    req->cf_list_len = LJS_CFLIST_LEN;
}

static void no_cf_list(ljs_join_req *req)
{
    req->cf_list_len = req->cf_list_len ? 0 : LJS_CFLIST_LEN;
}

static void set_net_id(ljs_join_req *req)
{
    req->net_id++;
}

static void set_type(ljs_join_req *req)
{
    req->rejoin = !req->rejoin;
}

static void set_mic(ljs_join_req *req)
{
    req->phy[req->phy_len - 1] ^= 0x80;
}

static const struct {
    void (*change)(ljs_join_req *req);
    ljs_err join, rejoin; /* what a single difference makes of it */
} differences[] = {
    { set_peer, LJS_E_REPLAY, LJS_E_REPLAY },      { no_peer, LJS_E_REPLAY, LJS_E_REPLAY },
    { set_has_ns_id, LJS_E_REPLAY, LJS_E_REPLAY }, { set_ns_id, LJS_E_REPLAY, LJS_E_REPLAY },
    { set_net_id, LJS_E_REPLAY, LJS_E_HOME }, /* rejoin 0 and 2 name it; of rejoin 1 see below */
    { set_mac, LJS_E_REPLAY, LJS_E_MAC },          { set_dev_addr, LJS_E_REPLAY, LJS_E_REPLAY },
    { set_dl, LJS_E_REPLAY, LJS_E_REPLAY },        { set_rx, LJS_E_REPLAY, LJS_E_REPLAY },
    { set_cf_list, LJS_E_REPLAY, LJS_E_REPLAY },   { no_cf_list, LJS_E_REPLAY, LJS_E_REPLAY },
    { set_type, LJS_E_FRAME, LJS_E_FRAME },        { set_mic, LJS_E_MIC, LJS_E_MIC },
};

static void try_repeat(ljs_buf *record, ljs_join_req req)
{
    ljs_join_ans first = joined_on(record, &req);

    expect_repeat(&first, record, req);
    for (size_t i = 0; i < COUNT_OF(differences); i++) {
        ljs_err want = req.rejoin ? differences[i].rejoin : differences[i].join;
        ljs_join_req other = req;

        if (first.kind == LJS_FRAME_REJOIN1 && differences[i].change == set_net_id)
            want = LJS_E_REPLAY;
        differences[i].change(&other);
        refused_on(want, record, &other);
        expect_repeat(&first, record, req); /* and it takes nothing away */
    }
}

static void test_repeats(void **state)
{
    (void)state;
    for (unsigned with = 0; with < 8; with++) { /* NSID, CFList, the longest name of a peer */
        ljs_device d = device_of(LJS_MAC_1_1);
        ljs_buf record = make(&d);
        ljs_join_req reqs[4];
        ljs_session s;

        reqs[0] = join_req(LJS_MAC_1_1, 1);
        for (unsigned i = 0; i < 4; i++) {
            if (i == 1)
                reqs[i] = rejoin1_req(EUI, 1);
            if (i > 1)
                reqs[i] = rejoin02_req(i == 2 ? LJS_FRAME_REJOIN0 : LJS_FRAME_REJOIN2, &s, (uint16_t)i, nwk);
            reqs[i].has_ns_id = with & 1;
            reqs[i].ns_id = with & 1 ? 77 : 0;
            reqs[i].cf_list_len = with & 2 ? LJS_CFLIST_LEN : 0;
            reqs[i].cf_list[0] = with & 2 ? 0x18 : 0;
            reqs[i].now = 1700000000;
            if (with & 4)
                memset(reqs[i].peer, 'p', sizeof reqs[i].peer - 1);
            try_repeat(&record, reqs[i]);
            s = read_session(&record, 0);
            for (unsigned old = 0; old < i; old++) /* of an older session: a replay */
                refused_on(LJS_E_REPLAY, &record, &reqs[old]);
        }
        ljs_buf_free(&record);
    }
    for (ljs_mac mac = LJS_MAC_1_0_0; mac <= LJS_MAC_1_0_4; mac++) {
        ljs_device d = device_of(mac);
        ljs_buf record = make(&d);
        ljs_join_req req = join_req(mac, 9);

        for (size_t i = 0; i < COUNT_OF(differences); i++) {
            ljs_join_req other = req;
            ljs_join_ans first;

            if (i == 0) {
                first = joined_on(&record, &req);
                expect_repeat(&first, &record, req);
            }
            if (differences[i].change == set_mac) {
                if (mac == LJS_MAC_1_0_0)
                    continue;
                other.mac = LJS_MAC_1_0_0;
            } else {
                differences[i].change(&other);
            }
            refused_on(differences[i].join, &record, &other);
        }
        ljs_buf_free(&record);
    }
}

/* A MIC is 32 bits: these pairs have the same, and are two requests still. */
static void test_no_repeat_by_its_mic(void **state)
{
    static const struct {
        ljs_eui join_eui;
        uint16_t nonce;
    } pairs[][2] = {
        { { EUI + 1, 32752 }, { EUI + 1, 9502 } },
        { { EUI + 56397, 7 }, { EUI + 121471, 7 } },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        ljs_device d = device_of(LJS_MAC_1_0_3);
        ljs_join_req reqs[2];
        ljs_buf record, next;

        d.join_eui = pairs[i][0].join_eui;
        record = make(&d);
        if (pairs[i][1].join_eui != d.join_eui) {
            assert_int_equal(ljs_device_add_join_eui(&next, vault, pairs[i][1].join_eui, record.data, record.len),
                             LJS_OK);
            ljs_buf_free(&record);
            record = next;
        }
        for (unsigned j = 0; j < 2; j++)
            reqs[j] = join_req_for(LJS_MAC_1_0_3, pairs[i][j].join_eui, pairs[i][j].nonce, nwk);
        assert_memory_equal(reqs[0].phy + reqs[0].phy_len - 4, reqs[1].phy + reqs[1].phy_len - 4, 4);
        for (unsigned j = 0; j < 2; j++) { /* joined_on() wants no repeat */
            ljs_join_ans first = joined_on(&record, &reqs[j]);

            expect_repeat(&first, &record, reqs[j]);
        }
        refused_on(LJS_E_REPLAY, &record, &reqs[0]);
        ljs_buf_free(&record);
    }
}

/* A repeat is wrapped under today's KEK, goes by today's policy, and is no way round a block. */
static void test_repeat_by_todays_rules(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d), next;
    ljs_join_req req = join_req(LJS_MAC_1_1, 1);
    ljs_join_ans first = joined_on(&record, &req), ans;
    ljs_session s = read_session(&record, 0);

    (void)state;
    req.clear = 0;
    refused_on(LJS_E_KEK, &record, &req);
    assert_int_equal(ljs_join(&ans, &next, vault, &req, ns_kek, "new", NULL, NULL, record.data, record.len), LJS_OK);
    assert_int_equal(ans.repeat, 1);
    assert_null(next.data);
    assert_string_equal(ans.f_nwk_s_int.kek_label, "new");
    assert_int_equal(ans.app_s.key_len, 0);
    assert_memory_equal(ans.phy, first.phy, first.phy_len);
    assert_memory_equal(ans.session_key_id, first.session_key_id, 16);
    device_takes(&ans, &req, &s, nwk, app, ns_kek, NULL);
    req.clear = LJS_CLEAR_NS;
    assert_int_equal(act_on(&record, LJS_DEVICE_BLOCK), LJS_OK);
    refused_on(LJS_E_BLOCKED, &record, &req);
    assert_int_equal(act_on(&record, LJS_DEVICE_UNBLOCK), LJS_OK);
    d.has_home_net_id = 1;
    d.home_net_id = NET + 1;
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    refused_on(LJS_E_HOME, &record, &req);
    ljs_buf_free(&record);
}

/* ---- rejoins on the network server's word ----------------------------------- */

static void test_on_word(void **state)
{
    static const ljs_frame_kind of[] = { LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN2 };
    const ljs_session elsewhere = { .scheme = LJS_SCHEME_1_1, .join_eui = EUI, .net_id = NET, .join_nonce = 900 };

    (void)state;
    for (size_t k = 0; k < COUNT_OF(of); k++) {
        ljs_device d = device_of(LJS_MAC_1_1);
        ljs_buf record = make(&d);
        ljs_join_req req = rejoin02_req(of[k], &elsewhere, 5, nwk), other;
        ljs_join_ans first;
        ljs_session s;

        no_peer(&req); /* nobody's word */
        refused_on(LJS_E_MIC, &record, &req);
        strcpy(req.peer, "ns");
        first = joined_on(&record, &req);
        assert_int_equal(first.on_word, 1);
        s = read_session(&record, 0);
        device_takes(&first, &req, &s, nwk, app, NULL, NULL);
        assert_int_equal(s.proven, 0);
        expect_repeat(&first, &record, req); /* the same word again */
        for (size_t i = 0; i < COUNT_OF(differences); i++) {
            other = req;
            differences[i].change(&other);
            refused_on(differences[i].rejoin == LJS_E_REPLAY ? LJS_E_MIC : differences[i].rejoin, &record, &other);
        }
        other = req;       /* the other kind of the two, with the MIC that was answered */
        other.phy[1] ^= 2; /* 0 and 2: the octet is the type */
        refused_on(LJS_E_MIC, &record, &other);
        other = rejoin02_req(of[k], &elsewhere, 6, nwk); /* it has a session now: the MIC must verify */
        refused_on(LJS_E_MIC, &record, &other);
        req = rejoin02_req(of[k], &s, 0, nwk);
        first = joined_on(&record, &req);
        assert_int_equal(first.on_word, 0);
        assert_int_equal(read_session(&record, 1).proven, 1);
        ljs_buf_free(&record);
    }
}

/* Of the request that was answered last. */
static size_t asked_in(const ljs_buf *record)
{
    struct record r;

    assert_int_equal(ljs__record_read(&r, record->data, record->len), LJS_OK);
    return r.asked_len;
}

/* Who asked is in the record for the sake of his asking again, and goes no further than that. */
static void test_asked_is_forgotten(void **state)
{
    static const uint8_t master[32] = { 9 };
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d), parcel;
    ljs_join_req req = join_req(LJS_MAC_1_1, 1);
    ljs_vault *way;

    (void)state;
    joined_on(&record, &req);
    assert_int_equal(asked_in(&record), 4 + 1 + strlen(req.peer));
    assert_int_equal(ljs_vault_new(&way, master, sizeof master), LJS_OK);
    assert_int_equal(ljs__device_carry(&parcel, way, vault, record.data, record.len), LJS_OK);
    assert_int_equal(asked_in(&parcel), 0);
    assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(asked_in(&record), 0);
    ljs_buf_free(&parcel);
    ljs_buf_free(&record);
    ljs_vault_free(way);
}

/* Nothing in the frame tells under which JoinEUI the device is: the message does. */
static void test_on_word_under_another_join_eui(void **state)
{
    const ljs_session elsewhere = { .scheme = LJS_SCHEME_1_1, .join_eui = EUI2, .net_id = NET, .join_nonce = 900 };
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d), next;
    ljs_join_req req = rejoin02_req(LJS_FRAME_REJOIN0, &elsewhere, 5, nwk);
    ljs_join_ans ans;
    ljs_session s;

    (void)state;
    req.join_eui = EUI2;
    refused_on(LJS_E_JOINEUI, &record, &req);
    assert_int_equal(ljs_device_add_join_eui(&next, vault, EUI2, record.data, record.len), LJS_OK);
    ljs_buf_free(&record);
    record = next;
    ans = joined_on(&record, &req);
    s = read_session(&record, 0);
    assert_int_equal(s.join_eui, EUI2);
    device_takes(&ans, &req, &s, nwk, app, NULL, NULL);
    ljs_buf_free(&record);
}

/* A session by the rules of 1.0 is a session: no word is taken beside it. */
static void test_no_word_beside_a_session_of_1_0(void **state)
{
    const ljs_session elsewhere = { .scheme = LJS_SCHEME_1_1, .join_eui = EUI, .net_id = NET, .join_nonce = 900 };
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);

    (void)state;
    joined_on(&record, &req);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &elsewhere, 5, nwk);
    refused_on(LJS_E_MIC, &record, &req);
    ljs_buf_free(&record);
}

/* The NetID in a rejoin is that of the session that signs it, and the sender's. */
static void test_rejoin_from_another_network(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_1, 1);
    ljs_session s;

    (void)state;
    joined_on(&record, &req);
    s = read_session(&record, 0);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &s, 1, nwk);
    req.net_id = NET + 1;
    refused_on(LJS_E_HOME, &record, &req);
    { /* frame and sender agree, the session is another network's: well signed all the same */
        const ljs_frame frame = { .kind = LJS_FRAME_REJOIN0, .dev_eui = DEV, .net_id = NET + 1, .nonce = 1 };
        ljs_key *key = derived(LJS_KEY_S_NWK_S_INT, &s, nwk);

        set_phy(&req, &frame, key);
        ljs_key_free(key);
    }
    refused_on(LJS_E_HOME, &record, &req);
    ljs_buf_free(&record);
}

/* The session that a rejoin came under is kept, however old. */
static void test_rejoin_proves(void **state)
{
    struct given given[30];
    ljs_device d = with_as(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_session s;
    ljs_join_req req;

    (void)state;
    for (uint16_t i = 0; i < 8; i++) {
        req = join_req(LJS_MAC_1_1, i);
        given[i] = join_and_note(&record, &req);
    }
    s = read_session(&record, 7); /* the oldest, about to be forgotten */
    assert_int_equal(s.join_nonce, given[0].join_nonce);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &s, 0, nwk);
    given[8] = join_and_note(&record, &req);
    expect_kept(&record, given, 9, 0);
    for (uint16_t i = 9; i < 30; i++) { /* joins of a stranger's replayed radio would not push it out */
        req = join_req(LJS_MAC_1_1, i);
        given[i] = join_and_note(&record, &req);
        expect_kept(&record, given, i + 1U, 0);
    }
    req = rejoin02_req(LJS_FRAME_REJOIN2, &s, 1, nwk);
    joined_on(&record, &req);
    ljs_buf_free(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_eight_and_the_proven),
        cmocka_unit_test(test_app_s_key_proves_once),
        cmocka_unit_test(test_app_s_key_refusals),
        cmocka_unit_test(test_old_epochs_stay_while_needed),
        cmocka_unit_test(test_as_many_epochs_as_sessions),
        cmocka_unit_test(test_no_repeat_under_replaced_keys),
        cmocka_unit_test(test_no_rejoin_under_replaced_keys),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_no_repeat_by_its_mic),
        cmocka_unit_test(test_repeat_by_todays_rules),
        cmocka_unit_test(test_on_word),
        cmocka_unit_test(test_asked_is_forgotten),
        cmocka_unit_test(test_on_word_under_another_join_eui),
        cmocka_unit_test(test_no_word_beside_a_session_of_1_0),
        cmocka_unit_test(test_rejoin_from_another_network),
        cmocka_unit_test(test_rejoin_proves),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
