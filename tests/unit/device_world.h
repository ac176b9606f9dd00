/* device_world.h -- one device, its keys and what it sends, for tests of the steps.  The device's
 * half is computed with the public key functions alone, as a device would. */
#ifndef DEVICE_WORLD_H
#define DEVICE_WORLD_H

#include <lorajs/join.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum { NET = 0x000013, NO_NONCE = -1 };
#define DEV  UINT64_C(0x70b3d5499f0a1c27)
#define EUI  UINT64_C(0x70b3d57ed00019e4)
#define EUI2 UINT64_C(0x70b3d57ed00019e5)

static uint8_t leftover[1]; /* what an out may hold before the call, and must not after */
static ljs_vault *vault;
static ljs_key *nwk, *app, *ns_kek, *as_kek, *other_nwk, *other_app;

static inline ljs_key *key_of(const char *hex)
{
    uint8_t octets[32];
    size_t len = strlen(hex) / 2;
    ljs_key *key;

    for (size_t i = 0; i < len; i++) {
        const char two[3] = { hex[2 * i], hex[2 * i + 1], 0 };

        octets[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    assert_int_equal(ljs_key_import(&key, octets, len), LJS_OK);
    return key;
}

static inline int world_begin(void **state)
{
    static const uint8_t master[32] = { 0x4c, 0x6f, 0x52, 0x61 };

    (void)state;
    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK);
    nwk = key_of("8d3c1f6a5b7e90214fd2a6c3b8e17095");
    app = key_of("c47a02e6913bd85f6e20a9f4175cbd38");
    other_nwk = key_of("1b9e77c05d2f4a8836e1d0c97fab5423");
    other_app = key_of("e05b31d7469cfa28817d3ac45e09b6f2");
    ns_kek = key_of("3f0811b9c2d4e67a5590ab1c77de2f64");
    as_kek = key_of("a91d4c60e2b7f8353c0e916bd54af72890b1c3d5e7f90a2b");
    return 0;
}

static inline int world_end(void **state)
{
    (void)state;
    ljs_key_free(nwk);
    ljs_key_free(app);
    ljs_key_free(other_nwk);
    ljs_key_free(other_app);
    ljs_key_free(ns_kek);
    ljs_key_free(as_kek);
    ljs_vault_free(vault);
    return 0;
}

static inline ljs_device device_of(ljs_mac mac)
{
    return (ljs_device){ .struct_size = sizeof(ljs_device), .dev_eui = DEV, .join_eui = EUI, .mac = mac };
}

/* Takes *record and gives the next one. */
static inline ljs_err make_on(ljs_buf *record, const ljs_device *d, const ljs_key *nwk_key, const ljs_key *app_key,
                              unsigned flags)
{
    const ljs_root_keys keys = { .nwk = nwk_key, .app = app_key };
    ljs_buf next;
    ljs_err err = ljs_device_make(&next, vault, d, &keys, flags, NO_NONCE, NULL, 0, record->data, record->len);

    if (err) {
        assert_null(next.data);
        return err;
    }
    ljs_buf_free(record);
    *record = next;
    return LJS_OK;
}

static inline ljs_buf make(const ljs_device *d)
{
    ljs_buf record = { NULL, 0 };

    assert_int_equal(make_on(&record, d, nwk, app, 0), LJS_OK);
    return record;
}

static inline ljs_err act_on(ljs_buf *record, ljs_device_act act)
{
    ljs_buf next;
    ljs_err err = ljs_device_step(&next, vault, act, record->data, record->len);

    if (err) {
        assert_null(next.data);
        return err;
    }
    ljs_buf_free(record);
    *record = next;
    return LJS_OK;
}

static inline ljs_device read_device(const ljs_buf *record)
{
    ljs_device d;

    assert_int_equal(ljs_device_read(&d, record->data, record->len), LJS_OK);
    return d;
}

static inline ljs_session read_session(const ljs_buf *record, unsigned i)
{
    ljs_session s;

    assert_int_equal(ljs_device_session(&s, i, record->data, record->len), LJS_OK);
    return s;
}

static inline ljs_join_eui read_join_eui(const ljs_buf *record, unsigned i)
{
    ljs_join_eui j;

    assert_int_equal(ljs_device_join_eui(&j, i, record->data, record->len), LJS_OK);
    return j;
}

static inline ljs_buf copy_of(const ljs_buf *record)
{
    ljs_buf copy;

    assert_int_equal(ljs_buf_copy(&copy, record->data, record->len), LJS_OK);
    return copy;
}

static inline bool carries_net_id(ljs_frame_kind kind)
{
    return kind == LJS_FRAME_REJOIN0 || kind == LJS_FRAME_REJOIN2;
}

static inline ljs_key *derived(ljs_key_name name, const ljs_session *s, const ljs_key *root)
{
    const ljs_derivation what = { .name = name,
                                  .scheme = s ? s->scheme : LJS_SCHEME_1_1,
                                  .dev_eui = DEV,
                                  .join_eui = s ? s->join_eui : 0,
                                  .net_id = s ? s->net_id : 0,
                                  .join_nonce = s ? s->join_nonce : 0,
                                  .nonce = s ? s->nonce : 0 };
    ljs_key *key;

    assert_int_equal(ljs_derive(&key, &what, root), LJS_OK);
    return key;
}

static inline void set_phy(ljs_join_req *req, const ljs_frame *frame, const ljs_key *key)
{
    ljs_buf phy;

    assert_int_equal(ljs_frame_sign(&phy, frame, key), LJS_OK);
    memset(req->phy, 0, sizeof req->phy);
    memcpy(req->phy, phy.data, phy.len);
    req->phy_len = phy.len;
    req->rejoin = frame->kind != LJS_FRAME_JOIN;
    ljs_buf_free(&phy);
}

/* A request that everything is right with: MACVersion and OptNeg are the device's own, clear keys
 * are allowed, a peer vouches. */
static inline ljs_join_req request(ljs_mac mac)
{
    ljs_join_req req;

    assert_int_equal(ljs_join_req_init(&req), LJS_OK);
    req.mac = mac;
    req.dl_settings = mac >= LJS_MAC_1_1 ? 0x80 : 0;
    req.net_id = NET;
    req.dev_addr = 0x260b4f3a;
    req.rx_delay = 1;
    req.clear = LJS_CLEAR_NS | LJS_CLEAR_AS;
    strcpy(req.peer, "ns");
    return req;
}

static inline ljs_join_req join_req_for(ljs_mac mac, ljs_eui join_eui, uint16_t nonce, const ljs_key *root)
{
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = join_eui, .dev_eui = DEV, .nonce = nonce };
    ljs_join_req req = request(mac);

    set_phy(&req, &frame, root);
    return req;
}

static inline ljs_join_req join_req(ljs_mac mac, uint16_t nonce)
{
    return join_req_for(mac, EUI, nonce, nwk);
}

static inline ljs_join_req rejoin1_req(ljs_eui join_eui, uint16_t count)
{
    const ljs_frame frame = { .kind = LJS_FRAME_REJOIN1, .join_eui = join_eui, .dev_eui = DEV, .nonce = count };
    ljs_join_req req = request(LJS_MAC_1_1);
    ljs_key *key = derived(LJS_KEY_JS_INT, NULL, nwk);

    set_phy(&req, &frame, key);
    ljs_key_free(key);
    return req;
}

/* Under session s, of a device whose NwkKey is `root`. */
static inline ljs_join_req rejoin02_req(ljs_frame_kind kind, const ljs_session *s, uint16_t count, const ljs_key *root)
{
    const ljs_frame frame = { .kind = kind, .dev_eui = DEV, .net_id = s->net_id, .nonce = count };
    ljs_join_req req = request(LJS_MAC_1_1);
    ljs_key *key = derived(LJS_KEY_S_NWK_S_INT, s, root);

    req.net_id = s->net_id;
    set_phy(&req, &frame, key);
    ljs_key_free(key);
    return req;
}

/* Takes *record and gives the next one, unless it is a repeat.  Checks what holds of every step. */
static inline ljs_err join_on(ljs_join_ans *ans, ljs_buf *record, const ljs_join_req *req)
{
    static const ljs_join_ans nothing;
    ljs_buf next = { leftover, 1 }, before = copy_of(record);
    ljs_err err;

    memset(ans, 0xa5, sizeof *ans);
    err = ljs_join(ans, &next, vault, req, NULL, NULL, NULL, NULL, record->data, record->len);
    assert_memory_equal(record->data, before.data, before.len);
    ljs_buf_free(&before);
    if (err) {
        assert_null(next.data);
        assert_int_equal(next.len, 0);
        assert_memory_equal(ans, &nothing, sizeof *ans);
    } else if (ans->repeat) {
        assert_null(next.data);
    } else {
        assert_non_null(next.data);
        ljs_buf_free(record);
        *record = next;
    }
    return err;
}

/* A new session it is to be. */
static inline ljs_join_ans joined_on(ljs_buf *record, const ljs_join_req *req)
{
    uint32_t join_nonce = read_device(record).next_join_nonce;
    ljs_join_ans ans;

    assert_int_equal(join_on(&ans, record, req), LJS_OK);
    assert_int_equal(ans.repeat, 0);
    assert_int_equal(ans.join_nonce, join_nonce);
    assert_int_equal(read_device(record).next_join_nonce, join_nonce + 1);
    assert_int_equal(read_device(record).state, LJS_STATE_JOINED);
    return ans;
}

static inline void refused_on(ljs_err want, ljs_buf *record, const ljs_join_req *req)
{
    ljs_join_ans ans;

    assert_int_equal(join_on(&ans, record, req), want);
}

static inline void expect_key(const ljs_envelope *got, const ljs_key *want, const ljs_key *kek)
{
    ljs_key *key;
    ljs_buf a, b;

    assert_int_equal(ljs_envelope_open(&key, got, kek), LJS_OK);
    assert_int_equal(ljs_key_export(&a, key), LJS_OK);
    assert_int_equal(ljs_key_export(&b, want), LJS_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ljs_buf_free(&a);
    ljs_buf_free(&b);
    ljs_key_free(key);
}

/* What the device of this session makes of the answer: it opens the accept with the keys that the
 * specification names, finds what the network asked for, and derives the keys that the servers got. */
static inline void device_takes(const ljs_join_ans *ans, const ljs_join_req *req, const ljs_session *s,
                                const ljs_key *root, const ljs_key *app_root, const ljs_key *ns, const ljs_key *as)
{
    const bool v11 = s->scheme == LJS_SCHEME_1_1;
    const ljs_accept_of of = { .scheme = s->scheme, .kind = s->kind, .join_eui = s->join_eui, .nonce = s->nonce };
    ljs_key *js_int = derived(LJS_KEY_JS_INT, NULL, root), *js_enc = derived(LJS_KEY_JS_ENC, NULL, root);
    ljs_key *f = derived(LJS_KEY_F_NWK_S_INT, s, root);
    ljs_key *a = derived(LJS_KEY_APP_S, s, v11 ? app_root : root);
    ljs_accept accept;

    assert_int_equal(ljs_accept_open(&accept, &of, v11 ? js_int : root, s->kind == LJS_FRAME_JOIN ? root : js_enc,
                                     ans->phy, ans->phy_len),
                     LJS_OK);
    assert_int_equal(accept.join_nonce, s->join_nonce);
    assert_int_equal(accept.net_id, req->net_id);
    assert_int_equal(accept.dev_addr, req->dev_addr);
    assert_int_equal(accept.dl_settings, req->dl_settings);
    assert_int_equal(accept.rx_delay, req->rx_delay);
    assert_int_equal(accept.has_cf_list, req->cf_list_len == LJS_CFLIST_LEN);
    assert_memory_equal(accept.cf_list, req->cf_list, LJS_CFLIST_LEN);
    expect_key(&ans->f_nwk_s_int, f, ns);
    if (req->mac >= LJS_MAC_1_1) { /* three keys, which are one where OptNeg is clear */
        ljs_key *si = v11 ? derived(LJS_KEY_S_NWK_S_INT, s, root) : NULL;
        ljs_key *e = v11 ? derived(LJS_KEY_NWK_S_ENC, s, root) : NULL;

        expect_key(&ans->s_nwk_s_int, v11 ? si : f, ns);
        expect_key(&ans->nwk_s_enc, v11 ? e : f, ns);
        ljs_key_free(si);
        ljs_key_free(e);
    } else {
        assert_int_equal(ans->s_nwk_s_int.key_len, 0);
        assert_int_equal(ans->nwk_s_enc.key_len, 0);
    }
    if (ans->app_s.key_len)
        expect_key(&ans->app_s, a, as);
    ljs_key_free(js_int);
    ljs_key_free(js_enc);
    ljs_key_free(f);
    ljs_key_free(a);
}

#endif
