#include "device/record.h"

#include "base/pack.h"
#include "base/text.h"
#include "device/rekeying.h"

#include <string.h>

/* ---- DevNonces used --------------------------------------------------------- */

static bool is_map(const struct nonces *n)
{
    return n->len == NONCE_MAP_LEN;
}

static uint16_t nth(const struct nonces *n, size_t i)
{
    uint16_t v;

    memcpy(&v, n->at + 2 * i, sizeof v);
    return le16(v);
}

bool ljs__nonces_has(const struct nonces *n, uint16_t nonce)
{
    size_t low = 0, high = n->len / 2;

    if (n->add == nonce)
        return true;
    if (is_map(n))
        return n->at[nonce / 8] >> (nonce % 8) & 1;
    while (low < high) {
        size_t mid = (low + high) / 2;

        if (nth(n, mid) < nonce)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n->len / 2 && nth(n, low) == nonce;
}

size_t ljs__nonces_count(const struct nonces *n)
{
    size_t count = is_map(n) ? 0 : n->len / 2;
    struct nonces written = { n->at, n->len, -1 };

    for (size_t i = 0; is_map(n) && i < n->len; i++)
        count += (size_t)__builtin_popcount(n->at[i]);
    return count + (n->add >= 0 && !ljs__nonces_has(&written, (uint16_t)n->add));
}

void ljs__nonces_map(uint8_t *map, const struct nonces *n)
{
    memset(map, 0, NONCE_MAP_LEN);
    if (is_map(n))
        memcpy(map, n->at, NONCE_MAP_LEN);
    for (size_t i = 0; !is_map(n) && i < n->len / 2; i++)
        map[nth(n, i) / 8] |= (uint8_t)(1 << nth(n, i) % 8);
    if (n->add >= 0)
        map[n->add / 8] |= (uint8_t)(1 << n->add % 8);
}

void ljs__nonces_write(struct wr *w, const uint8_t *map)
{
    size_t count = 0;

    for (size_t i = 0; i < NONCE_MAP_LEN; i++)
        if (map[i]) /* few are, of most devices */
            count += (size_t)__builtin_popcount(map[i]);
    if (2 * count >= NONCE_MAP_LEN) {
        ljs__wr(w, map, NONCE_MAP_LEN);
        return;
    }
    for (uint32_t i = 0; i < NONCE_MAP_LEN; i++)
        for (unsigned bits = map[i]; bits; bits &= bits - 1) /* the lowest first */
            ljs__wr_le(w, 8 * i + (unsigned)__builtin_ctz(bits), 2);
}

/* Pack them with `add` among them, without the detour over a map while they are few. */
static void pack_nonces(struct wr *w, const struct nonces *n)
{
    struct nonces written = { n->at, n->len, -1 };
    uint8_t list[NONCE_MAP_LEN];
    size_t at = 0;

    if (n->add < 0 || ljs__nonces_has(&written, (uint16_t)n->add)) {
        ljs__pack_bin(w, n->at, n->len);
    } else if (is_map(n) || n->len + 2 >= NONCE_MAP_LEN) {
        ljs__nonces_map(list, n);
        ljs__pack_bin(w, list, sizeof list);
    } else {
        while (2 * at < n->len && nth(n, at) < n->add)
            at++;
        if (at)
            memcpy(list, n->at, 2 * at);
        list[2 * at] = (uint8_t)n->add;
        list[2 * at + 1] = (uint8_t)(n->add >> 8);
        if (n->len > 2 * at)
            memcpy(list + 2 * at + 2, n->at + 2 * at, n->len - 2 * at);
        ljs__pack_bin(w, list, n->len + 2);
    }
}

static bool nonces_ok(const struct nonces *n)
{
    unsigned falls = 0; /* counted to the end, which compilers do for several at once */

    if (n->len % 2)
        return false;
    for (size_t i = 1; !is_map(n) && i < n->len / 2; i++)
        falls += nth(n, i) <= nth(n, i - 1);
    return !falls;
}

/* ---- the map ---------------------------------------------------------------- */

/* Keys on disk: never reused, never renumbered. */
enum field {
    F_SCHEMA = 0,
    F_DEV_EUI = 1,
    F_MAC = 2,
    F_FLAGS = 3,
    F_JOIN_NONCE = 4,
    F_EPOCH = 5,
    F_KEYS = 6,     /* array of [epoch, LJS_HAS_..., sealed] */
    F_CONTEXTS = 7, /* array of [JoinEUI, DevNonce, RJcount1, used] */
    F_NS_KEK = 8,
    F_AS_KEK = 9,
    F_AS_ID = 10,
    F_HOME_NET_ID = 11,
    F_HOME_NS_ID = 12,
    F_X25519 = 13,
    F_SESSIONS = 14,
    F_DIGEST = 15,
    F_PRINT = 16,
    F_GENERATION = 17,
    F_REKEY = 18, /* array: rekeying.c */
    F_ASKED = 19,
};

enum { FLAG_BLOCKED = 1, FLAG_REMOVED = 2, FLAG_REQUIRE_1_1 = 4, FLAG_EXPOSED = 8, FLAG_MOVED = 16, FLAGS = 31 };
enum { SESSION_KIND = 3, SESSION_1_1 = 4, SESSION_PROVEN = 8, SESSION_BITS = 15, SESSION_FIELDS = 14 };

static bool is_mac(uint64_t v)
{
    return (v >= LJS_MAC_1_0_0 && v <= LJS_MAC_1_0_4) || v == LJS_MAC_1_1;
}

/* The numbers of a session between its SessionKeyID and its CFList, and the most of each. */
enum { S_BITS, S_MAC, S_CONTEXT, S_JOIN_NONCE, S_NONCE, S_EPOCH, S_NET_ID, S_DEV_ADDR, S_DL_SETTINGS, S_RX_DELAY };
static const uint64_t session_most[] = {
    [S_BITS] = SESSION_BITS,   [S_MAC] = 0xffff,          [S_CONTEXT] = LJS_JOIN_EUIS_MAX - 1,
    [S_JOIN_NONCE] = 0xffffff, [S_NONCE] = 0xffff,        [S_EPOCH] = 0xffff,
    [S_NET_ID] = 0xffffff,     [S_DEV_ADDR] = 0xffffffff, [S_DL_SETTINGS] = 0xff,
    [S_RX_DELAY] = 0xff,
};

static void read_session(struct unpack *u, const struct record *r, ljs_session *s, struct origin *o)
{
    static const ljs_frame_kind kinds[] = { LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN1, LJS_FRAME_REJOIN2, LJS_FRAME_JOIN };
    uint64_t n[COUNT(session_most)];
    const uint8_t *cf_list;
    size_t cf_list_len = 0;

    o->at = u->rd.at;
    if (ljs__unpack_array(u) != SESSION_FIELDS)
        u->rd.bad = true;
    ljs__unpack_fixed(u, s->session_key_id, sizeof s->session_key_id);
    ljs__unpack_uints(u, n, session_most, COUNT(n));
    s->kind = kinds[n[S_BITS] & SESSION_KIND];
    s->scheme = n[S_BITS] & SESSION_1_1 ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0;
    s->proven = !!(n[S_BITS] & SESSION_PROVEN);
    s->mac = (ljs_mac)n[S_MAC];
    s->join_nonce = (uint32_t)n[S_JOIN_NONCE];
    s->nonce = (uint16_t)n[S_NONCE];
    s->epoch = (uint16_t)n[S_EPOCH];
    s->net_id = (ljs_netid)n[S_NET_ID];
    s->dev_addr = (ljs_devaddr)n[S_DEV_ADDR];
    s->dl_settings = (uint8_t)n[S_DL_SETTINGS];
    s->rx_delay = (uint8_t)n[S_RX_DELAY];
    cf_list = ljs__unpack_bin(u, &cf_list_len, LJS_CFLIST_LEN);
    s->rj_count0 = (int32_t)ljs__unpack_int(u, -1, 0xffff);
    s->at = ljs__unpack_int(u, INT64_MIN, INT64_MAX);
    if (cf_list_len == LJS_CFLIST_LEN && cf_list)
        memcpy(s->cf_list, cf_list, sizeof s->cf_list);
    s->has_cf_list = cf_list_len == LJS_CFLIST_LEN;
    if (!is_mac(s->mac) || n[S_CONTEXT] >= r->d.join_euis || (cf_list_len && !s->has_cf_list))
        u->rd.bad = true;
    else
        s->join_eui = r->context[n[S_CONTEXT]].join_eui;
    o->len = (size_t)(u->rd.at - o->at);
    o->context = (unsigned)n[S_CONTEXT];
}

static void write_session(struct wr *w, const ljs_session *s, unsigned context)
{
    ljs__pack_array(w, SESSION_FIELDS);
    ljs__pack_bin(w, s->session_key_id, sizeof s->session_key_id);
    ljs__pack_uints(w,
                    (const uint64_t[]){
                        [S_BITS] = (s->kind == LJS_FRAME_JOIN ? 3U : (unsigned)s->kind) |
                                   (s->scheme == LJS_SCHEME_1_1 ? SESSION_1_1 : 0U) | (s->proven ? SESSION_PROVEN : 0U),
                        [S_MAC] = s->mac,
                        [S_CONTEXT] = context,
                        [S_JOIN_NONCE] = s->join_nonce,
                        [S_NONCE] = s->nonce,
                        [S_EPOCH] = s->epoch,
                        [S_NET_ID] = s->net_id,
                        [S_DEV_ADDR] = s->dev_addr,
                        [S_DL_SETTINGS] = s->dl_settings,
                        [S_RX_DELAY] = s->rx_delay,
                    },
                    COUNT(session_most));
    ljs__pack_bin(w, s->cf_list, s->has_cf_list ? sizeof s->cf_list : 0);
    ljs__pack_int(w, s->rj_count0);
    ljs__pack_int(w, s->at);
}

static bool same_name(const ljs_session *a, const ljs_session *b)
{
    return !memcmp(a->session_key_id, b->session_key_id, sizeof a->session_key_id);
}

/* Octet by octet: padding that were another would have it packed anew, no more. */
static bool as_it_was(const struct origin *o, const ljs_session *s)
{
    const void *was = &o->session, *is = s;

    return !memcmp(was, is, sizeof *s);
}

/* One that is as it was read is written as the octets that it came in.  They stay in their order. */
static void write_sessions(struct wr *w, const struct record *r)
{
    const struct origin *from = r->origin, *const end = r->origin + r->origins;

    for (const ljs_session *s = r->session; s < r->session + r->d.sessions; s++) {
        const struct origin *o = from;
        unsigned context = 0;

        while (context + 1U < r->d.join_euis && r->context[context].join_eui != s->join_eui)
            context++;
        while (o < end && !same_name(&o->session, s))
            o++;
        if (o < end)
            from = o + 1;
        if (o < end && o->context == context && as_it_was(o, s))
            ljs__wr(w, o->at, o->len);
        else
            write_session(w, s, context);
    }
}

static void read_context(struct unpack *u, struct context *c)
{
    if (ljs__unpack_array(u) != 4)
        u->rd.bad = true;
    c->join_eui = ljs__unpack_uint(u, UINT64_MAX);
    c->dev_nonce = (int32_t)ljs__unpack_int(u, -1, 0xffff);
    c->rj_count1 = (int32_t)ljs__unpack_int(u, -1, 0xffff);
    c->used.at = ljs__unpack_bin(u, &c->used.len, NONCE_MAP_LEN);
    c->used.add = -1;
    if (!u->rd.bad && !nonces_ok(&c->used))
        u->rd.bad = true;
}

static void read_set(struct unpack *u, struct key_set *s)
{
    size_t len = 0;

    if (ljs__unpack_array(u) != 3)
        u->rd.bad = true;
    s->epoch = (uint16_t)ljs__unpack_uint(u, 0xffff);
    s->keys = (uint8_t)ljs__unpack_uint(u, 0xff);
    s->at = ljs__unpack_bin(u, &len, 512);
    s->len = (uint16_t)len;
    if (ljs__record_lot(NULL, s) && (s->len < 2 || s->len > LJS_LABEL_MAX || memchr(s->at, 0, s->len)))
        u->rd.bad = true;
}

static void read_text(struct unpack *u, char out[LJS_LABEL_MAX])
{
    ljs__unpack_text(u, out, LJS_LABEL_MAX);
    if (!u->rd.bad && !ljs__text_ok(out, LJS_LABEL_MAX))
        u->rd.bad = true;
}

static void read_field(struct unpack *u, struct record *r, enum field field)
{
    ljs_device *d = &r->d;
    unsigned flags, n;

    switch (field) {
    case F_SCHEMA: /* read before all others */
        break;
    case F_DEV_EUI:
        d->dev_eui = ljs__unpack_uint(u, UINT64_MAX);
        return;
    case F_MAC:
        d->mac = (ljs_mac)ljs__unpack_uint(u, 0xffff);
        return;
    case F_FLAGS:
        flags = (unsigned)ljs__unpack_uint(u, FLAGS);
        r->blocked = flags & FLAG_BLOCKED;
        d->require_1_1 = !!(flags & FLAG_REQUIRE_1_1);
        d->exposed = !!(flags & FLAG_EXPOSED);
        d->moved = !!(flags & FLAG_MOVED);
        d->state = flags & FLAG_REMOVED   ? LJS_STATE_REMOVED
                   : flags & FLAG_BLOCKED ? LJS_STATE_BLOCKED
                                          : LJS_STATE_FRESH;
        return;
    case F_JOIN_NONCE:
        d->next_join_nonce = (uint32_t)ljs__unpack_uint(u, JOIN_NONCE_END);
        return;
    case F_EPOCH:
        d->epoch = (uint16_t)ljs__unpack_uint(u, 0xffff);
        return;
    case F_KEYS:
        r->sets = ljs__unpack_array(u);
        if (r->sets > EPOCHS_MAX)
            break;
        for (unsigned i = 0; i < r->sets; i++)
            read_set(u, &r->set[i]);
        return;
    case F_CONTEXTS:
        n = ljs__unpack_array(u);
        if (!n || n > LJS_JOIN_EUIS_MAX)
            break;
        for (unsigned i = 0; i < n; i++)
            read_context(u, &r->context[i]);
        d->join_euis = (uint8_t)n;
        d->join_eui = r->context[0].join_eui;
        return;
    case F_NS_KEK:
        read_text(u, d->ns_kek_label);
        return;
    case F_AS_KEK:
        read_text(u, d->as_kek_label);
        return;
    case F_AS_ID:
        read_text(u, d->as_id);
        return;
    case F_HOME_NET_ID:
        d->home_net_id = (ljs_netid)ljs__unpack_uint(u, 0xffffff);
        d->has_home_net_id = 1;
        return;
    case F_HOME_NS_ID:
        d->home_ns_id = ljs__unpack_uint(u, UINT64_MAX);
        d->has_home_ns_id = 1;
        return;
    case F_X25519:
        ljs__unpack_fixed(u, d->x25519_public_key, sizeof d->x25519_public_key);
        d->has_x25519 = 1;
        return;
    case F_SESSIONS:
        n = ljs__unpack_array(u);
        if (!n || n > LJS_SESSIONS_MAX || !d->join_euis)
            break;
        for (unsigned i = 0; i < n; i++)
            read_session(u, r, &r->session[i], &r->origin[i]);
        for (unsigned i = 0; i < n; i++) /* by now: one just written in small parts is slow to read in large ones */
            r->origin[i].session = r->session[i];
        d->sessions = (uint8_t)n;
        r->origins = u->loose ? 0 : n;
        return;
    case F_DIGEST:
        ljs__unpack_fixed(u, r->digest, sizeof r->digest);
        r->has_digest = true;
        return;
    case F_PRINT:
        ljs__unpack_fixed(u, r->print, sizeof r->print);
        r->has_print = true;
        return;
    case F_GENERATION:
        d->generation = (uint32_t)ljs__unpack_uint(u, UINT32_MAX);
        return;
    case F_REKEY:
        ljs__rekeying_unpack(u, &r->rekey);
        return;
    case F_ASKED:
        r->asked = ljs__unpack_bin(u, &r->asked_len, ASKED_MAX);
        if (!r->asked_len || r->has_digest)
            break;
        return;
    }
    u->rd.bad = true;
}

/* As far as the schema, which is the first of so many pairs. */
static struct unpack unpack_head(unsigned *pairs, unsigned *schema, const uint8_t *in, size_t in_len)
{
    struct unpack u = { .rd = { in, in_len > 16 ? in_len - 16 : 0, false } }; /* the tag is behind */

    *pairs = ljs__unpack_map(&u);
    if (ljs__unpack_uint(&u, 0x7f) != F_SCHEMA)
        u.rd.bad = true;
    *schema = (unsigned)ljs__unpack_uint(&u, 0xffff);
    return u;
}

ljs_err ljs__record_tagged(bool *now, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    unsigned pairs, schema;

    (void)unpack_head(&pairs, &schema, in, in_len);
    return ljs__vault_tagged(now, vault, schema < RECORD_SCHEMA ? TAG_DEVICE : TAG_RECORD, in, in_len);
}

ljs_err ljs__record_read(struct record *out, const uint8_t *in, size_t in_len)
{
    struct unpack u;
    struct record *r = out;
    unsigned pairs, schema;
    int last = F_SCHEMA;

    memset(r, 0, offsetof(struct record, set));
    r->was = in_len;
    u = unpack_head(&pairs, &schema, in, in_len);
    if (schema > RECORD_SCHEMA_MOVED && !u.rd.bad)
        return LJS_E_VERSION;
    for (unsigned i = 1; i < pairs && !u.rd.bad; i++) {
        int field = (int)ljs__unpack_uint(&u, 0x7f);

        if (field <= last) /* rising, so that none is there twice */
            u.rd.bad = true;
        else
            read_field(&u, r, (enum field)field);
        last = field;
    }
    if (!rd_done(&u.rd) || !is_mac(r->d.mac) || !r->d.join_euis || !r->d.next_join_nonce ||
        r->d.moved != (schema == RECORD_SCHEMA_MOVED || schema == RECORD_SCHEMA_MOVED_1) ||
        (r->d.moved && r->d.state != LJS_STATE_BLOCKED))
        goto bad;
    if (r->d.state == LJS_STATE_FRESH && r->d.sessions)
        r->d.state = LJS_STATE_JOINED;
    for (unsigned i = 0; i < r->sets; i++)
        if (r->set[i].epoch == r->d.epoch) {
            r->d.keys = r->set[i].keys;
            ljs__record_lot(r->d.lot, &r->set[i]);
        }
    r->d.struct_size = sizeof r->d;
    return LJS_OK;
bad:
    memset(r, 0, offsetof(struct record, set));
    return LJS_E_SEAL;
}

ljs_err ljs__record_load(struct record *out, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    ljs_err err = ljs__vault_alive(vault), tag;
    bool now;

    if (err)
        return err;
    /* A newer record is named as such even though its tag may be made differently. */
    tag = ljs__record_tagged(&now, vault, in, in_len);
    err = ljs__record_read(out, in, in_len);
    return err == LJS_E_VERSION ? err : tag ? tag : err;
}

ljs_err ljs__record_save(ljs_buf *out, const struct record *r, const ljs_vault *vault)
{
    const ljs_device *d = &r->d;
    struct wr w = { 0 };
    unsigned flags = (r->blocked ? FLAG_BLOCKED : 0U) | (d->state == LJS_STATE_REMOVED ? FLAG_REMOVED : 0U) |
                     (d->require_1_1 ? FLAG_REQUIRE_1_1 : 0U) | (d->exposed ? FLAG_EXPOSED : 0U) |
                     (d->moved ? FLAG_MOVED : 0U);
    const struct {
        enum field field;
        const char *text;
    } texts[] = { { F_NS_KEK, d->ns_kek_label }, { F_AS_KEK, d->as_kek_label }, { F_AS_ID, d->as_id } };
    unsigned pairs = 7 + !!r->sets + !!d->ns_kek_label[0] + !!d->as_kek_label[0] + !!d->as_id[0] +
                     !!d->has_home_net_id + !!d->has_home_ns_id + !!d->has_x25519 + !!d->sessions + r->has_digest +
                     r->has_print + !!d->generation + (ljs__rekeying_empty(&r->rekey) ? 0U : 1U) + !!r->asked_len;

    const uint64_t head[] = { F_SCHEMA,     d->moved ? RECORD_SCHEMA_MOVED : RECORD_SCHEMA,
                              F_DEV_EUI,    d->dev_eui,
                              F_MAC,        d->mac,
                              F_FLAGS,      flags,
                              F_JOIN_NONCE, d->next_join_nonce,
                              F_EPOCH,      d->epoch };

    *out = (ljs_buf){ NULL, 0 };
    (void)ljs__wr_grow(&w, r->was + STEP_ADDS);
    ljs__pack_map(&w, pairs);
    ljs__pack_uints(&w, head, COUNT(head));
    if (r->sets) {
        ljs__pack_uint(&w, F_KEYS);
        ljs__pack_array(&w, r->sets);
    }
    for (unsigned i = 0; i < r->sets; i++) {
        ljs__pack_array(&w, 3);
        ljs__pack_uint(&w, r->set[i].epoch);
        ljs__pack_uint(&w, r->set[i].keys);
        ljs__pack_bin(&w, r->set[i].at, r->set[i].len);
    }
    ljs__pack_uint(&w, F_CONTEXTS);
    ljs__pack_array(&w, d->join_euis);
    for (unsigned i = 0; i < d->join_euis; i++) {
        ljs__pack_array(&w, 4);
        ljs__pack_uint(&w, r->context[i].join_eui);
        ljs__pack_int(&w, r->context[i].dev_nonce);
        ljs__pack_int(&w, r->context[i].rj_count1);
        pack_nonces(&w, &r->context[i].used);
    }
    for (size_t i = 0; i < COUNT(texts); i++)
        if (texts[i].text[0]) {
            ljs__pack_uint(&w, texts[i].field);
            ljs__pack_text(&w, texts[i].text);
        }
    if (d->has_home_net_id) {
        ljs__pack_uint(&w, F_HOME_NET_ID);
        ljs__pack_uint(&w, d->home_net_id);
    }
    if (d->has_home_ns_id) {
        ljs__pack_uint(&w, F_HOME_NS_ID);
        ljs__pack_uint(&w, d->home_ns_id);
    }
    if (d->has_x25519) {
        ljs__pack_uint(&w, F_X25519);
        ljs__pack_bin(&w, d->x25519_public_key, sizeof d->x25519_public_key);
    }
    if (d->sessions) {
        ljs__pack_uint(&w, F_SESSIONS);
        ljs__pack_array(&w, d->sessions);
    }
    write_sessions(&w, r);
    if (r->has_digest) {
        ljs__pack_uint(&w, F_DIGEST);
        ljs__pack_bin(&w, r->digest, sizeof r->digest);
    }
    if (r->has_print) {
        ljs__pack_uint(&w, F_PRINT);
        ljs__pack_bin(&w, r->print, sizeof r->print);
    }
    if (d->generation) {
        ljs__pack_uint(&w, F_GENERATION);
        ljs__pack_uint(&w, d->generation);
    }
    if (!ljs__rekeying_empty(&r->rekey)) {
        ljs__pack_uint(&w, F_REKEY);
        ljs__rekeying_pack(&w, &r->rekey);
    }
    if (r->asked_len) {
        ljs__pack_uint(&w, F_ASKED);
        ljs__pack_bin(&w, r->asked, r->asked_len);
    }
    return ljs__vault_take(out, &w, vault, TAG_RECORD);
}

struct context *ljs__record_context(struct record *r, ljs_eui join_eui)
{
    for (unsigned i = 0; i < r->d.join_euis; i++)
        if (r->context[i].join_eui == join_eui)
            return &r->context[i];
    return NULL;
}

/* ---- what stays ------------------------------------------------------------- */

static bool needed(const struct record *r, uint16_t epoch)
{
    if (epoch == r->d.epoch || (r->rekey.state && epoch == r->rekey.epoch) || ljs__resync_needs(r, epoch))
        return true;
    for (unsigned i = 0; i < r->d.sessions; i++)
        if (r->session[i].epoch == epoch)
            return true;
    return false;
}

void ljs__record_raise(struct record *r, uint32_t generation)
{
    uint32_t left = JOIN_NONCE_END - r->d.next_join_nonce, by;

    if (generation <= r->d.generation)
        return;
    by = generation - r->d.generation;
    r->d.next_join_nonce += by < left ? by : left;
    r->d.generation = generation;
}

void ljs__record_trim(struct record *r)
{
    const unsigned newest = LJS_SESSIONS_MAX - 1;
    unsigned kept = r->d.sessions < newest ? r->d.sessions : newest, sets = 0;

    for (unsigned i = newest; i < r->d.sessions; i++)
        if (r->session[i].proven)
            r->session[kept++] = r->session[i];
    r->d.sessions = (uint8_t)kept;
    for (unsigned i = 0; i < r->sets; i++)
        if (needed(r, r->set[i].epoch))
            r->set[sets++] = r->set[i];
    r->sets = sets;
}
