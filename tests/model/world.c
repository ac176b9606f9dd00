#include "world.h"
#include "must.h"

#include <lorajs/backend.h>

#include "base/secret.h"
#include "device/record.h"
#include "session/end_device.h"
#include "session/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NET = 0x000013,
    ADR_ACK_LIMIT = 3,
    LINK_LIMIT = 6,
    FCNT_RESERVE = 2,
    REJOIN1_S = 1200,
    OFTEN = 0,
    HARDLY_EVER = 15,
    DERIVED_MAX = 251,
    READS_MAX = 61,
    DRAW = 0x2000
};
#define DEV UINT64_C(0x70b3d5499f0a1c27)
#define EUI UINT64_C(0x70b3d57ed00019e4)

struct seen seen;
struct law_count laws[LAWS_LEN] = {
#define LAW_COUNT(name, says) { #name, says, 0 },
    LAWS(LAW_COUNT)
#undef LAW_COUNT
};
int broken = -1;

/* All that is the same in every node. */
static struct {
    const struct scenario *is;
    const uint8_t *left;
    ljs_vault *vault;
    ljs_key *nwk, *app;
    ljs_store *store;
    ljs_server *server;
    struct blob *whose; /* the store's own value */
    ljs_se *se, *other; /* the other one only keeps the guarded memory, which they share, from coming and going */
    struct {
        ljs_derivation what;
        const ljs_key *root;
        ljs_key *key;
    } derived[DERIVED_MAX];
    struct blob *loaded; /* whose keys are in the element */
    /* the store, as it is for the node at work */
    struct node *at;
    enum fate fate;
    unsigned commits;
    /* records that were probed */
    uint8_t (*probed)[16];
    size_t probed_len, probed_room;
} w;

static bool law(enum law which, bool holds)
{
    laws[which].asked++;
    if (!holds && broken < 0)
        broken = (int)which;
    return holds;
}

/* ---- octets that are shared ------------------------------------------------- */

static struct blob *blob_of(const uint8_t *data, size_t len)
{
    struct blob *b = malloc(sizeof *b + len);

    if (!b)
        abort();
    *b = (struct blob){ .refs = 1, .len = len };
    memcpy(b->data, data, len);
    return b;
}

static struct blob *blob_take(struct blob *b)
{
    if (b)
        b->refs++;
    return b;
}

/* States that were read, until another takes their place: nodes that follow one another share most. */
static struct {
    const struct blob *of;
    ljs_ed ed;
    ljs_ns ns;
} reads[READS_MAX];

static size_t read_at(const struct blob *b)
{
    return ((uintptr_t)b >> 4) % READS_MAX;
}

static void blob_give(struct blob *b)
{
    if (!b || --b->refs)
        return;
    if (reads[read_at(b)].of == b)
        reads[read_at(b)].of = NULL;
    free(b);
}

/* *at becomes what is in buf, which is freed. */
static void blob_put(struct blob **at, ljs_buf *buf)
{
    blob_give(*at);
    *at = blob_of(buf->data, buf->len);
    ljs_buf_free(buf);
}

static bool blob_same(const struct blob *a, const struct blob *b)
{
    return a == b || (a && b && a->len == b->len && !memcmp(a->data, b->data, a->len));
}

void node_copy(struct node *out, const struct node *in)
{
    *out = *in;
    blob_take(out->live);
    blob_take(out->durable);
    blob_take(out->network);
    blob_take(out->record);
}

void node_drop(struct node *n)
{
    blob_give(n->live);
    blob_give(n->durable);
    blob_give(n->network);
    blob_give(n->record);
    n->live = n->durable = n->network = n->record = NULL;
}

void *node_pack(const struct node *n)
{
    const size_t head = offsetof(struct node, taken);
    const size_t taken = n->takens * sizeof n->taken[0], life = n->lives * sizeof n->life[0];
    uint8_t *out = malloc(head + taken + life);

    if (!out)
        abort();
    memcpy(out, n, head);
    memcpy(out + head, n->taken, taken);
    memcpy(out + head + taken, n->life, life);
    return out;
}

void node_unpack(struct node *out, void *packed)
{
    const size_t head = offsetof(struct node, taken);
    const uint8_t *in = packed;

    memset(out, 0, sizeof *out);
    memcpy(out, in, head);
    memcpy(out->taken, in + head, out->takens * sizeof out->taken[0]);
    memcpy(out->life, in + head + out->takens * sizeof out->taken[0], out->lives * sizeof out->life[0]);
    free(packed);
}

/* ---- the store: one record, that of the node at work ------------------------ */

static struct blob **slot_of(const uint8_t *key, size_t key_len)
{
    return key_len == 1 && key[0] == 'm' ? &w.whose : key_len == 9 && key[0] == 'd' ? &w.at->record : NULL;
}

static ljs_err store_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct blob **slot = slot_of(key, key_len);

    (void)self;
    if (!slot || !*slot)
        return LJS_E_NOTFOUND;
    *version = slot == &w.whose ? 1 : w.at->version;
    return ljs_buf_copy(out, (*slot)->data, (*slot)->len);
}

static ljs_err store_commit(void *self, ljs_change *changes, size_t changes_len)
{
    (void)self;
    for (size_t i = 0; i < changes_len; i++) {
        struct blob **slot = slot_of(changes[i].key, changes[i].key_len);
        uint64_t version = !slot || !*slot ? 0 : slot == &w.whose ? 1 : w.at->version;
        bool first = !w.commits++;
        bool fault = w.fate == FAULT_ALWAYS || (first && (w.fate == FAULT_ONCE || w.fate == FAULT_APPLIED));

        if (!slot || version != changes[i].if_version) {
            changes[i].result = LJS_E_CONFLICT;
            continue;
        }
        if (!fault || w.fate == FAULT_APPLIED) {
            blob_give(*slot);
            *slot = blob_of(changes[i].in, changes[i].in_len);
            if (slot != &w.whose)
                w.at->version++;
        }
        changes[i].result = fault ? LJS_E_STORE : LJS_OK;
    }
    return LJS_OK;
}

static ljs_err store_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    (void)self, (void)prefix, (void)prefix_len, (void)row, (void)user;
    return LJS_OK;
}

static void store_close(void *self)
{
    (void)self;
}

static const ljs_store_ops store_ops = { .struct_size = sizeof(ljs_store_ops),
                                         .get = store_get,
                                         .commit = store_commit,
                                         .each = store_each,
                                         .close = store_close };

/* ---- the world -------------------------------------------------------------- */

static ljs_key *key_of(uint8_t seed)
{
    uint8_t octets[32];
    ljs_key *key;

    for (unsigned i = 0; i < sizeof octets; i++)
        octets[i] = (uint8_t)(seed + i * i * 31 + (i << 5 ^ i * seed));
    MUST(ljs_key_import(&key, octets, 16));
    return key;
}

/* Kept until another takes its place: guarded memory is slow to get. */
static const ljs_key *derive(ljs_key_name name, const ljs_key *root, const ljs_session *s)
{
    ljs_derivation what;
    unsigned at;

    memset(&what, 0, sizeof what); /* all of it is compared */
    what.name = name;
    what.scheme = s ? s->scheme : LJS_SCHEME_1_1;
    what.dev_eui = DEV;
    what.join_eui = EUI;
    what.net_id = NET;
    what.join_nonce = s ? s->join_nonce : 0;
    what.nonce = s ? s->nonce : 0;
    at = ((unsigned)name * 31 + what.join_nonce * 7 + what.nonce) % DERIVED_MAX;
    if (w.derived[at].root != root || memcmp(&w.derived[at].what, &what, sizeof what) != 0) {
        ljs_key_free(w.derived[at].key);
        MUST(ljs_derive(&w.derived[at].key, &what, root));
        w.derived[at].what = what;
        w.derived[at].root = root;
    }
    return w.derived[at].key;
}

/* The Join Server anew, over what is durable. */
static void start_server(void)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .retries = 2 };
    static const char *const names[] = { "ns", "xs" }; /* the network's own, and another that is let in */
    ljs_peers *peers;

    ljs_server_free(w.server);
    MUST(ljs_server_new(&w.server, w.vault, w.store, &opts));
    MUST(ljs_peers_new(&peers));
    for (size_t i = 0; i < 2; i++) {
        MUST(ljs_peers_add(peers, names[i], LJS_CLEAR_NS));
        MUST(ljs_peers_add_net_id(peers, names[i], NET));
    }
    MUST(ljs_server_set_peers(w.server, peers));
    ljs_peers_free(peers);
}

static void new_element(void)
{
    ljs_se_free(w.se);
    blob_give(w.loaded);
    w.loaded = NULL;
    MUST(ljs_se_software(&w.se, w.nwk, w.app));
}

void world_begin(const struct scenario *scenario, const uint8_t left[BUDGETS])
{
    static const uint8_t master[32] = { 0x4c, 0x6f, 0x52, 0x61, 1 };

    memset(&w, 0, sizeof w);
    w.is = scenario;
    w.left = left;
    MUST(ljs_vault_new(&w.vault, master, sizeof master));
    w.nwk = key_of(0x8d);
    w.app = key_of(0x35);
    MUST(ljs_se_software(&w.other, w.nwk, w.app));
    new_element();
    MUST(ljs_store_custom(&w.store, &store_ops, &w));
}

void world_end(void)
{
    ljs_server_free(w.server);
    ljs_store_free(w.store);
    ljs_se_free(w.se);
    ljs_se_free(w.other);
    ljs_key_free(w.nwk);
    ljs_key_free(w.app);
    for (unsigned i = 0; i < DERIVED_MAX; i++)
        ljs_key_free(w.derived[i].key);
    ljs_vault_free(w.vault);
    blob_give(w.whose);
    blob_give(w.loaded);
    free(w.probed);
    memset(&w, 0, sizeof w);
}

/* DevNonces of the device's life before. */
static uint16_t used_nonce(unsigned i)
{
    return (uint16_t)(0x0103 + 0x1357 * i);
}

static void probe_server(struct node *n);

void node_first(struct node *out)
{
    const bool v11 = w.is->device >= LJS_MAC_1_1;
    const ljs_device d = { .struct_size = sizeof d, .dev_eui = DEV, .join_eui = EUI, .mac = w.is->device };
    const ljs_root_keys keys = { .nwk = w.nwk, .app = v11 ? w.app : NULL };
    uint8_t used[64];
    ljs_ed_opts ed;
    ljs_ns_opts ns;
    ljs_buf buf;

    memset(out, 0, sizeof *out);
    out->version = 1;
    out->dev_nonce = out->rj_count1 = out->adopted = -1;
    memcpy(out->left, w.left, sizeof out->left);

    ljs_ed_opts_init(&ed);
    ed.join_eui = EUI;
    ed.dev_eui = DEV;
    ed.mac = (uint16_t)w.is->device;
    ed.airtime = 50;
    ed.adr_ack_limit = ADR_ACK_LIMIT;
    ed.link_limit = LINK_LIMIT;
    ed.fcnt_reserve = FCNT_RESERVE;
    ed.rejoin1_period = REJOIN1_S;
    ed.join_nonce_rising = w.is->rising;
    MUST(ljs_ed_new(&buf, &ed));
    blob_put(&out->live, &buf);
    out->durable = blob_take(out->live);

    ljs_ns_opts_init(&ns);
    ns.dev_eui = DEV;
    ns.net_id = NET;
    ns.rejoins_per_hour = ns.rejoins1_per_hour = 0; /* there are other bounds here */
    MUST(ljs_ns_new(&buf, w.vault, &ns));
    blob_put(&out->network, &buf);

    w.at = out;
    start_server();
    for (unsigned i = 0; i < w.is->used; i++) {
        used[2 * i] = (uint8_t)used_nonce(i);
        used[2 * i + 1] = (uint8_t)(used_nonce(i) >> 8);
    }
    MUST(ljs_server_make_device(w.server, &d, &keys, 0, -1, w.is->used ? used : NULL, (size_t)2 * w.is->used));
    probe_server(out);
}

/* ---- frames in flight ------------------------------------------------------- */

static void put(struct node *n, bool up, uint8_t ch, const uint8_t *octets, size_t len)
{
    struct frame *f = &n->air[n->airs];

    if (len > sizeof f->octets)
        abort();
    if (n->airs == AIR_MAX) /* one more than the air carries is lost */
        return;
    memset(f, 0, sizeof *f);
    f->up = up;
    f->ch = ch;
    f->len = (uint8_t)len;
    memcpy(f->octets, octets, len);
    n->airs++;
}

static void take_out(struct frame *out, struct node *n, unsigned i, bool kept)
{
    *out = n->air[i];
    if (kept)
        return;
    memmove(&n->air[i], &n->air[i + 1], (n->airs - i - 1) * sizeof n->air[0]);
    n->airs--;
    memset(&n->air[n->airs], 0, sizeof n->air[0]);
}

/* Two data frames, but for their MICs. */
static bool same_words(const struct frame *f, const uint8_t *octets, size_t len)
{
    return f->len == len && len > 4 && !memcmp(f->octets, octets, len - 4);
}

static bool in_flight(const struct node *n, const struct frame *f)
{
    for (unsigned i = 0; i < n->airs; i++)
        if (n->air[i].up && same_words(f, n->air[i].octets, n->air[i].len))
            return true;
    return false;
}

static bool is_request(const struct frame *f)
{
    return f->up && ((f->octets[0] & 0xe0) == 0x00 || (f->octets[0] & 0xe0) == 0xc0);
}

/* ---- the Join Server -------------------------------------------------------- */

/* The network's DevAddr hangs on the request, so that what is asked again is asked the same. */
static ljs_devaddr addr_for(const ljs_frame *f)
{
    return 0x26000000 | ((unsigned)f->kind & 3) << 16 | f->nonce;
}

static ljs_err ask(ljs_message *ans, ljs_buf *raw, struct node *n, const struct frame *f, const char *peer,
                   ljs_devaddr other, enum fate fate)
{
    ljs_message msg;
    ljs_frame frame;
    ljs_buf text;
    ljs_err err;

    memset(ans, 0, sizeof *ans);
    *raw = (ljs_buf){ NULL, 0 };
    if ((err = ljs_frame_parse(&frame, f->octets, f->len)))
        return err;
    ljs_message_init(&msg);
    msg.type = frame.kind == LJS_FRAME_JOIN ? LJS_MSG_JOIN_REQ : LJS_MSG_REJOIN_REQ;
    msg.transaction_id = 7;
    snprintf(msg.sender_id, sizeof msg.sender_id, "%06x", (unsigned)NET);
    snprintf(msg.receiver_id, sizeof msg.receiver_id, "%016llx", (unsigned long long)EUI);
    msg.mac = w.is->network;
    memcpy(msg.phy, f->octets, f->len);
    msg.phy_len = f->len;
    msg.dev_eui = DEV;
    msg.dev_addr = addr_for(&frame) ^ other;
    msg.dl_settings = w.is->dl_settings;
    msg.rx_delay = 1;
    msg.has =
        LJS_M_DEV_EUI | LJS_M_DEV_ADDR | LJS_M_DL_SETTINGS | LJS_M_RX_DELAY | LJS_M_MAC_VERSION | LJS_M_TRANSACTION_ID;
    MUST(ljs_message_build(&text, &msg));
    w.at = n;
    w.fate = fate;
    w.commits = 0;
    MUST(ljs_server_handle(raw, w.server, peer, 1700000000, text.data, text.len));
    w.fate = ANSWERED;
    err = ljs_message_answer(ans, &msg, raw->data, raw->len);
    ljs_buf_free(&text);
    return err;
}

/* Is it refused, and nothing changed?  For requests that must not be answered. */
static void probe(enum law which, struct node *n, const struct frame *f, const char *peer, ljs_devaddr other)
{
    struct blob *before = blob_take(n->record);
    uint64_t version = n->version;
    ljs_message ans;
    ljs_buf raw;
    ljs_err err = ask(&ans, &raw, n, f, peer, other, ANSWERED);

    law(which, err != LJS_OK);
    law(LAW_REFUSED, err == LJS_OK || blob_same(before, n->record));
    blob_give(n->record);
    n->record = before;
    n->version = version;
    ljs_buf_free(&raw);
}

static struct frame signed_request(ljs_frame_kind kind, uint16_t nonce, const ljs_key *key)
{
    const bool of_session = kind == LJS_FRAME_REJOIN0 || kind == LJS_FRAME_REJOIN2;
    const ljs_frame f = {
        .kind = kind, .join_eui = of_session ? 0 : EUI, .dev_eui = DEV, .net_id = of_session ? NET : 0, .nonce = nonce
    };
    struct frame out = { .up = 1 };
    ljs_buf buf;

    MUST(ljs_frame_sign(&buf, &f, key));
    memcpy(out.octets, buf.data, buf.len);
    out.len = (uint8_t)buf.len;
    ljs_buf_free(&buf);
    return out;
}

static struct frame taken_frame(const struct taken *t)
{
    struct frame f = { .up = 1, .len = t->len };

    memcpy(f.octets, t->octets, t->len);
    return f;
}

static void record_digest(struct blob *b)
{
    struct record r;
    struct {
        ljs_device d;
        ljs_join_eui j;
        ljs_session s[LJS_SESSIONS_MAX];
        uint8_t last[16], nonces[16];
    } is;
    ljs_buf nonces;

    if (b->has_digest)
        return;
    memset(&is, 0, sizeof is);
    MUST(ljs__record_load(&r, w.vault, b->data, b->len));
    MUST(ljs_device_read(&is.d, b->data, b->len));
    MUST(ljs_device_join_eui(&is.j, 0, b->data, b->len));
    for (unsigned i = 0; i < is.d.sessions; i++) {
        MUST(ljs_device_session(&is.s[i], i, b->data, b->len));
        memset(is.s[i].session_key_id, 0, sizeof is.s[i].session_key_id); /* chance, which decides nothing */
    }
    if (w.is->device < LJS_MAC_1_0_4) { /* from then on there is no set of them, but a counter */
        MUST(ljs_device_dev_nonces(&nonces, 0, b->data, b->len));
        if (nonces.len)
            ljs__hash(is.nonces, nonces.data, nonces.len);
        ljs_buf_free(&nonces);
    }
    if (r.asked_len)
        ljs__hash(is.last, r.asked, r.asked_len);
    ljs__hash(b->digest, (const uint8_t *)&is, sizeof is);
    b->has_digest = true;
}

static bool probed_before(const struct node *n)
{
    uint8_t both[32], digest[16];

    record_digest(n->record);
    memcpy(both, n->record->digest, 16);
    memset(both + 16, 0, 16);
    if (n->takens)
        ljs__hash(both + 16, (const uint8_t *)n->taken, n->takens * sizeof n->taken[0]);
    ljs__hash(digest, both, sizeof both);
    for (size_t i = 0; i < w.probed_len; i++)
        if (!memcmp(w.probed[i], digest, 16))
            return true;
    if (w.probed_len == w.probed_room) {
        w.probed_room = w.probed_room ? 2 * w.probed_room : 64;
        if (!(w.probed = realloc(w.probed, w.probed_room * sizeof *w.probed)))
            abort();
    }
    memcpy(w.probed[w.probed_len++], digest, 16);
    return false;
}

/* All that the adversary may try at the Join Server, once for each record that comes about: he has
 * every frame that was ever answered, and may be a peer himself. */
static void probe_server(struct node *n)
{
    struct frame f;
    ljs_session s;
    ljs_message ans;
    ljs_buf raw;
    uint8_t hash[16];

    if (probed_before(n))
        return;
    for (unsigned i = 0; i + 1 < n->takens; i++) {
        f = taken_frame(&n->taken[i]);
        probe(LAW_FRESH, n, &f, "ns", 0);
        probe(LAW_FRESH, n, &f, "xs", 0);
    }
    if (n->takens) {
        struct blob *before = blob_take(n->record);

        f = taken_frame(&n->taken[n->takens - 1]);
        probe(LAW_OTHER_PEER, n, &f, "xs", 0);
        probe(LAW_OTHER_ADDR, n, &f, "ns", 0x10000000);
        w.at = n;
        start_server();
        if (law(LAW_REPEAT, ask(&ans, &raw, n, &f, "ns", 0, ANSWERED) == LJS_OK && blob_same(before, n->record))) {
            ljs__hash(hash, raw.data, raw.len);
            law(LAW_REPEAT, !memcmp(hash, n->answer, sizeof hash));
        }
        ljs_buf_free(&raw);
        blob_give(before);
    }
    for (unsigned i = 0; i < w.is->used; i++) {
        f = signed_request(LJS_FRAME_JOIN, used_nonce(i), w.nwk);
        probe(LAW_IMPORTED, n, &f, "ns", 0);
    }
    f = signed_request(LJS_FRAME_JOIN, 0x7ffe, w.app);
    probe(LAW_FORGED, n, &f, "ns", 0);
    if (!w.is->rejoins)
        return;
    f = signed_request(LJS_FRAME_REJOIN1, 0x7ffe, w.app);
    probe(LAW_FORGED, n, &f, "ns", 0);
    /* Without a session of its own the Join Server has nothing to check rejoin 0 and 2 with, and
     * takes the peer's word; with one, it has. */
    if (ljs_device_session(&s, 0, n->record->data, n->record->len))
        return;
    f = signed_request(LJS_FRAME_REJOIN0, 0x7ffe, w.app);
    probe(LAW_FORGED, n, &f, "ns", 0);
    f = signed_request(LJS_FRAME_REJOIN2, 0x7ffe, w.app);
    probe(LAW_FORGED, n, &f, "ns", 0);
}

/* Was it accepted before?  By the nonce where that is the device's, by its octets where it is the
 * session's. */
static int taken_before(const struct node *n, const ljs_frame *frame, const struct frame *f)
{
    for (unsigned i = 0; i < n->takens; i++) {
        const struct taken *t = &n->taken[i];
        bool own = frame->kind == LJS_FRAME_JOIN || frame->kind == LJS_FRAME_REJOIN1;

        if (t->kind == (uint8_t)frame->kind && t->nonce == frame->nonce &&
            (own || (t->len == f->len && !memcmp(t->octets, f->octets, f->len))))
            return (int)i;
    }
    return -1;
}

/* Judge an answer that is Success. */
static void judge_answer(struct node *n, const struct frame *f, const ljs_frame *frame, const ljs_message *ans,
                         const ljs_buf *raw, const struct blob *before)
{
    const bool v11 = w.is->rejoins, join = frame->kind == LJS_FRAME_JOIN;
    const ljs_accept_of of = { v11 ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0, frame->kind, EUI, frame->nonce };
    int was = taken_before(n, frame, f);
    uint8_t hash[16];
    ljs_accept accept;
    ljs_session s = { .join_nonce = 0 };

    ljs__hash(hash, raw->data, raw->len);
    law(LAW_ENTITLED, !ans->app_s.key_len);
    if (!law(LAW_ACCEPT, !ljs_accept_open(&accept, &of, v11 ? derive(LJS_KEY_JS_INT, w.nwk, NULL) : w.nwk,
                                          join ? w.nwk : derive(LJS_KEY_JS_ENC, w.nwk, NULL), ans->phy, ans->phy_len) &&
                             accept.dev_addr == addr_for(frame) && accept.net_id == NET &&
                             accept.dl_settings == w.is->dl_settings))
        return;
    law(LAW_DURABLE, !ljs_device_session(&s, 0, n->record->data, n->record->len) && s.join_nonce == accept.join_nonce &&
                         s.nonce == frame->nonce && s.kind == frame->kind && s.dev_addr == accept.dev_addr);
    if (was >= 0) {
        law(LAW_FRESH, was == n->takens - 1);
        law(LAW_REPEAT, blob_same(before, n->record) && accept.join_nonce == n->join_nonce &&
                            !memcmp(hash, n->answer, sizeof hash));
        return;
    }
    law(LAW_JOIN_NONCE, n->join_nonce ? accept.join_nonce > n->join_nonce : accept.join_nonce == 1);
    n->join_nonce = accept.join_nonce;
    memcpy(n->answer, hash, sizeof hash);
    if (n->takens == TAKEN_MAX)
        abort();
    n->taken[n->takens] = (struct taken){ .nonce = frame->nonce, .kind = (uint8_t)frame->kind, .len = f->len };
    memcpy(n->taken[n->takens].octets, f->octets, f->len);
    n->takens++;
}

/* ---- the network server ----------------------------------------------------- */

static ljs_ed read_device(const struct blob *b)
{
    const size_t at = read_at(b);

    if (reads[at].of != b)
        MUST(ljs_ed_read(&reads[at].ed, b->data, b->len));
    reads[at].of = b;
    return reads[at].ed;
}

static ljs_ns read_network(const struct node *n)
{
    const size_t at = read_at(n->network);

    if (reads[at].of != n->network)
        MUST(ljs_ns_read(&reads[at].ns, n->network->data, n->network->len));
    reads[at].of = n->network;
    return reads[at].ns;
}

/* The adversary has every uplink that was accepted: none is again, under whatever contexts there
 * are now, but the last, and of that nothing is passed up. */
static void probe_heard(struct node *n)
{
    ljs_ns_up up;
    ljs_buf state;

    for (unsigned i = 0; i < n->heards; i++) {
        ljs_err err = ljs_ns_uplink(&up, &state, w.vault, 0, 0, n->heard[i].ch, n->heard[i].octets, n->heard[i].len,
                                    n->network->data, n->network->len);

        law(LAW_TWICE, err || (i + 1U == n->heards && up.again && !up.has_fport && !up.payload_len && !up.mac_len));
        ljs_buf_free(&state);
    }
}

/* A frame of the pending context without RekeyInd, from a device that does not keep the rules. */
static void probe_plain(struct node *n, const ljs_session *s)
{
    const ljs_key *f_int = derive(LJS_KEY_F_NWK_S_INT, w.nwk, s), *s_int = derive(LJS_KEY_S_NWK_S_INT, w.nwk, s);
    ljs_data d = { .direction = LJS_UP, .dev_addr = s->dev_addr, .fcnt = 9 };
    const ljs_data_of of = { .scheme = LJS_SCHEME_1_1, .fcnt = 9 };
    ljs_buf phy, state;
    ljs_ns_up up;

    MUST(ljs_data_build(&phy, &d));
    MUST(ljs_data_mic(d.mic, &of, f_int, s_int, phy.data, phy.len));
    memcpy(phy.data + phy.len - 4, d.mic, 4);
    law(LAW_REKEY_FIRST,
        ljs_ns_uplink(&up, &state, w.vault, 0, 0, 0, phy.data, phy.len, n->network->data, n->network->len) != LJS_OK);
    ljs_buf_free(&state);
    ljs_buf_free(&phy);
}

/* The answer has come: a new context, and then the join-accept. */
static void accepted(struct node *n, const ljs_frame *frame, const ljs_message *ans)
{
    const bool v11 = w.is->rejoins;
    const ljs_envelope *in[] = { w.is->network >= LJS_MAC_1_1 ? &ans->f_nwk_s_int : &ans->nwk_s, &ans->s_nwk_s_int,
                                 &ans->nwk_s_enc };
    const ljs_ns_accepted a = { .struct_size = sizeof a,
                                .kind = frame->kind,
                                .scheme = v11 ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0,
                                .mac = (uint16_t)w.is->network,
                                .nonce = frame->nonce,
                                .dev_addr = addr_for(frame) };
    ljs_ns before = read_network(n), after;
    ljs_key *keys[3] = { NULL, NULL, NULL };
    ljs_ns_keys these;
    ljs_ns_joined joined;
    ljs_session s;
    ljs_buf state;
    ljs_err err;

    for (unsigned i = 0; i < (v11 ? 3 : 1); i++)
        if (!law(LAW_ENTITLED, !ljs_envelope_open(&keys[i], in[i], NULL)))
            goto out;
    these = (ljs_ns_keys){ keys[0], keys[1], keys[2] };
    err = ljs_ns_join_accepted(&joined, &state, w.vault, &a, &these, n->network->data, n->network->len);
    law(LAW_REFUSED, !err == !!state.data);
    if (err)
        goto out;
    blob_put(&n->network, &state);
    after = read_network(n);
    law(LAW_OLD_STANDS, !memcmp(&before.current, &after.current, sizeof before.current));
    if (!joined.repeat && v11 && !ljs_device_session(&s, 0, n->record->data, n->record->len))
        probe_plain(n, &s);
    probe_heard(n);
    put(n, false, 0, ans->phy, ans->phy_len);
out:
    for (unsigned i = 0; i < 3; i++)
        ljs_key_free(keys[i]);
}

static void to_join_server(struct node *n, const struct frame *f, enum fate fate)
{
    struct blob *before = blob_take(n->record);
    ljs_message ans;
    ljs_frame frame;
    ljs_buf raw;
    ljs_err err = ljs_frame_parse(&frame, f->octets, f->len);

    memset(&n->again, 0, sizeof n->again);
    if (!err)
        err = ask(&ans, &raw, n, f, "ns", 0, fate);
    if (!err)
        judge_answer(n, f, &frame, &ans, &raw, before);
    else /* a commit whose fate is unknown may have been applied */
        law(LAW_REFUSED, fate == FAULT_APPLIED || blob_same(before, n->record));
    if (!err && broken < 0)
        probe_server(n);
    if (fate == ANSWER_LOST)
        n->again = *f;
    else if (!err && broken < 0)
        accepted(n, &frame, &ans);
    ljs_buf_free(&raw);
    blob_give(before);
}

/* The session that the network server has in use, as the Join Server has it. */
static bool session_of(ljs_session *out, const struct node *n)
{
    ljs_ns ns = read_network(n);

    for (unsigned i = 0; !ljs_device_session(out, i, n->record->data, n->record->len); i++)
        if (out->dev_addr == ns.current.dev_addr && out->kind == ns.current.kind &&
            out->join_nonce <= (uint32_t)read_device(n->live).join_nonce)
            return true;
    return false;
}

/* What is due, or what the application has to say, after an uplink. */
static void answer_uplink(struct node *n, bool application)
{
    ljs_ns_tx tx = { .struct_size = sizeof tx };
    ljs_ns ns = read_network(n);
    ljs_ns_down down;
    ljs_session s;
    ljs_buf state, payload = { NULL, 0 };
    ljs_err err;

    if (application && session_of(&s, n)) {
        const ljs_key *app_s = derive(LJS_KEY_APP_S, w.is->rejoins ? w.app : w.nwk, &s);

        tx.fport = 2;
        tx.fcnt = (uint32_t)ns.current.a_fcnt_down;
        MUST(ljs_data_crypt(&payload, LJS_STREAM_FRM_PAYLOAD, LJS_DOWN, ns.current.dev_addr, tx.fcnt, app_s,
                            (const uint8_t *)"yes", 3));
        memcpy(tx.payload, payload.data, payload.len);
        tx.payload_len = payload.len;
        ljs_buf_free(&payload);
    }
    err = ljs_ns_downlink(&down, &state, w.vault, &tx, n->network->data, n->network->len);
    law(LAW_REFUSED, !err == !!state.data);
    if (err)
        return;
    blob_put(&n->network, &state);
    put(n, false, 0, down.phy, down.phy_len);
}

/* Something else under the counter of the last frame, from a device that does not keep the rules; and, to
 * show that this has a chance, the frame itself signed again. */
static void probe_other(struct node *n, const struct frame *f, uint32_t fcnt)
{
    const ljs_data_of of = { .scheme = w.is->rejoins ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0, .fcnt = fcnt, .tx_ch = 7 };
    struct frame other = *f;
    const ljs_key *f_int, *s_int;
    ljs_session s;
    ljs_buf state;
    ljs_ns_up up;

    if (!session_of(&s, n))
        return;
    f_int = derive(LJS_KEY_F_NWK_S_INT, w.nwk, &s);
    s_int = derive(LJS_KEY_S_NWK_S_INT, w.nwk, &s);
    for (unsigned same = 0; same < 2; same++) {
        ljs_err err;

        other.octets[f->len - 5] ^= 1; /* and back */
        MUST(ljs_data_mic(other.octets + f->len - 4, &of, f_int, s_int, other.octets, f->len));
        err = ljs_ns_uplink(&up, &state, w.vault, 0, 0, of.tx_ch, other.octets, other.len, n->network->data,
                            n->network->len);
        law(LAW_SAME, same ? !err && up.again == 1 : err != LJS_OK);
        ljs_buf_free(&state);
    }
}

/* The network server takes it. */
static void judge_uplink(struct node *n, const struct frame *f, const ljs_ns_up *up)
{
    if (up->again) {
        law(LAW_SAME, n->heards && same_words(&n->heard[n->heards - 1], f->octets, f->len));
        law(LAW_TWICE, !up->has_fport && !up->payload_len && !up->mac_len);
        return;
    }
    for (unsigned i = 0; i < n->heards; i++)
        law(LAW_TWICE, !same_words(&n->heard[i], f->octets, f->len));
    if (n->heards == HEARD_MAX)
        memmove(n->heard, n->heard + 1, --n->heards * sizeof n->heard[0]);
    n->heard[n->heards++] = *f;
    probe_other(n, f, up->fcnt);
}

static void uplink_arrives(struct node *n, const struct frame *f, bool application)
{
    ljs_ns before = read_network(n);
    struct frame forged = *f;
    ljs_ns_up up;
    ljs_buf state;
    ljs_err err;

    forged.octets[f->len - 1] ^= 0x80;
    err =
        ljs_ns_uplink(&up, &state, w.vault, 0, 0, f->ch, forged.octets, forged.len, n->network->data, n->network->len);
    law(LAW_FORGED, err != LJS_OK);
    ljs_buf_free(&state);
    err = ljs_ns_uplink(&up, &state, w.vault, 0, 0, f->ch, f->octets, f->len, n->network->data, n->network->len);
    law(LAW_REFUSED, !err == !!state.data);
    if (err)
        return;
    blob_put(&n->network, &state);
    law(LAW_REKEY_FIRST, !(up.switched && before.pending.scheme == LJS_SCHEME_1_1) || up.rekey);
    judge_uplink(n, f, &up);
    probe_heard(n);
    if (read_network(n).due || application)
        answer_uplink(n, application);
}

static void rejoin_arrives(struct node *n, const struct frame *f, enum fate fate)
{
    bool checked = (f->octets[1] & 1) == 0; /* types 0 and 2; type 1 is for the Join Server to check */
    struct frame forged = *f;
    ljs_ns_route route;
    ljs_buf state;
    ljs_err err;

    if (checked) {
        forged.octets[f->len - 1] ^= 0x80;
        err = ljs_ns_rejoin(&route, &state, w.vault, 0, forged.octets, forged.len, n->network->data, n->network->len);
        law(LAW_FORGED, err != LJS_OK);
        ljs_buf_free(&state);
    }
    err = ljs_ns_rejoin(&route, &state, w.vault, 0, f->octets, f->len, n->network->data, n->network->len);
    law(LAW_REFUSED, !err == !!state.data);
    if (err)
        return;
    blob_put(&n->network, &state);
    if (checked) {
        err = ljs_ns_rejoin(&route, &state, w.vault, 0, f->octets, f->len, n->network->data, n->network->len);
        law(LAW_TWICE, err != LJS_OK);
        ljs_buf_free(&state);
    }
    to_join_server(n, f, fate);
}

static void arrive_up(struct node *n, const struct frame *f, enum fate fate, bool application)
{
    switch (f->octets[0] & 0xe0) {
    case 0x00:
        to_join_server(n, f, fate);
        break;
    case 0xc0:
        rejoin_arrives(n, f, fate);
        break;
    default:
        uplink_arrives(n, f, application);
    }
}

/* ---- the device ------------------------------------------------------------- */

static void put_keys(struct blob *state)
{
    if (w.loaded == state)
        return;
    MUST(ljs_ed_load(w.se, state->data, state->len));
    blob_give(w.loaded);
    w.loaded = blob_take(state);
}

static struct life *life_of(struct node *n, const ljs_ed *ed)
{
    for (unsigned i = 0; i < n->lives; i++)
        if (n->life[i].join_nonce == (uint32_t)ed->join_nonce && n->life[i].nonce == ed->session_nonce)
            return &n->life[i];
    if (n->lives == LIVES_MAX)
        abort();
    n->life[n->lives] = (struct life){ (uint32_t)ed->join_nonce, ed->session_nonce, -1, -1 };
    return &n->life[n->lives++];
}

/* A frame goes on air: its counter has to be above those that did, or it is the last data frame again. */
static void judge_sent(struct node *n, const ljs_ed *before, const ljs_ed_out *out, bool again)
{
    struct life *l = before->scheme ? life_of(n, before) : NULL;

    switch (out->sends) {
    case LJS_ED_SENDS_NOTHING:
        return;
    case LJS_ED_SENDS_JOIN:
        if (w.is->device >= LJS_MAC_1_0_4)
            law(LAW_ON_AIR, out->nonce > n->dev_nonce);
        n->dev_nonce = out->nonce;
        return;
    case LJS_ED_SENDS_REJOIN1:
        law(LAW_ON_AIR, out->nonce > n->rj_count1);
        n->rj_count1 = out->nonce;
        return;
    case LJS_ED_SENDS_REJOIN0:
    case LJS_ED_SENDS_REJOIN2:
        if (law(LAW_ON_AIR, l && out->nonce > l->rj_count0))
            l->rj_count0 = out->nonce;
        return;
    case LJS_ED_SENDS_DATA:
        if (again)
            law(LAW_ON_AIR, l && out->fcnt == l->fcnt && same_words(&n->last, out->frame, out->frame_len));
        else if (law(LAW_ON_AIR, l && out->fcnt > l->fcnt))
            l->fcnt = out->fcnt;
        return;
    }
}

/* Are the keys in the element those that another would derive of the state? */
static void probe_keys(struct node *n)
{
    ljs_ed_event send;
    ljs_ed_out a, b;
    ljs_buf state;
    ljs_err err;

    ljs_ed_event_init(&send, LJS_ED_ON_SEND, n->now);
    send.fport = 1;
    send.payload[0] = 'k';
    send.payload_len = 1;
    err = ljs_ed_step(&a, &state, w.se, &send, n->live->data, n->live->len);
    ljs_buf_free(&state);
    new_element();
    put_keys(n->live);
    if (!err)
        err = ljs_ed_step(&b, &state, w.se, &send, n->live->data, n->live->len);
    ljs_buf_free(&state);
    law(LAW_KEYS_KEPT, !err && a.frame_len == b.frame_len && !memcmp(a.frame, b.frame, a.frame_len));
}

static void restart(struct node *n);

static ljs_err step_device(struct node *n, ljs_ed_event *event, bool cut)
{
    ljs_ed before = read_device(n->live), after;
    ljs_ed_out out;
    ljs_buf state;
    ljs_err err;

    if (event->kind != LJS_ED_ON_RESTART)
        put_keys(n->live);
    event->now = n->now;
    if (w.is->device < LJS_MAC_1_0_4)
        event->random = DRAW + n->draws;
    err = ljs_ed_step(&out, &state, w.se, event, n->live->data, n->live->len);
    law(LAW_REFUSED, !err == !!state.data);
    if (err)
        return err;
    blob_put(&n->live, &state);
    if (out.persist) {
        blob_give(n->durable);
        n->durable = blob_take(n->live);
        n->durable_at = n->now;
    }
    blob_give(w.loaded);
    w.loaded = blob_take(n->live);
    after = read_device(n->live);

    if (out.joined || out.rejoined) {
        if (w.is->device >= LJS_MAC_1_1 || w.is->rising)
            law(LAW_ADOPTED, after.join_nonce > n->adopted);
        n->adopted = after.join_nonce;
        law(LAW_LASTING, n->durable == n->live);
        probe_keys(n);
    }
    if (out.sends == LJS_ED_SENDS_JOIN)
        n->draws++;
    seen.joined |= out.joined;
    seen.rejoined |= out.rejoined;
    seen.rekeyed |= out.rekeyed;
    seen.acked |= out.acked;
    seen.heard |= out.heard;
    if (out.sends)
        seen.sends = out.sends;
    if (out.payload_len && out.payload_len <= sizeof seen.payload) {
        memcpy(seen.payload, out.payload, out.payload_len);
        seen.payload_len = out.payload_len;
    }
    if (cut) {
        restart(n);
    } else if (out.sends) {
        judge_sent(n, &before, &out, event->kind == LJS_ED_ON_SEND_AGAIN);
        put(n, true, event->tx_ch, out.frame, out.frame_len);
        if (out.sends == LJS_ED_SENDS_DATA)
            n->last = n->air[n->airs - 1];
    }
    if (n->last.len && !read_device(n->live).again_left)
        memset(&n->last, 0, sizeof n->last);
    return LJS_OK;
}

static ljs_ed_event resending(const struct node *n)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_SEND_AGAIN, n->now);
    memcpy(event.frame, n->last.octets, n->last.len);
    event.frame_len = n->last.len;
    event.tx_ch = 1;
    return event;
}

/* After a crash: the element has its root keys, the state is the last that was durable. */
static void restart(struct node *n)
{
    ljs_ed_event event;
    struct frame last;
    ljs_ed_out out;
    ljs_buf state;

    blob_give(n->live);
    n->live = blob_take(n->durable);
    n->now = 0;
    new_element();
    last = n->last;
    ljs_ed_event_init(&event, LJS_ED_ON_RESTART, 0);
    MUST(step_device(n, &event, false));
    if (last.len) { /* what it kept of before, it is not to send under this state */
        n->last = last;
        event = resending(n);
        law(LAW_ON_AIR, ljs_ed_step(&out, &state, w.se, &event, n->live->data, n->live->len) != LJS_OK);
        ljs_buf_free(&state);
        memset(&n->last, 0, sizeof n->last);
    }
    if (read_device(n->live).scheme)
        probe_keys(n);
}

static ljs_err device(struct node *n, ljs_ed_event_kind kind, bool cut)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, kind, n->now);
    return step_device(n, &event, cut);
}

static ljs_err send(struct node *n, bool confirmed, bool cut)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_SEND, n->now);
    event.fport = 1;
    event.payload[0] = 'x';
    event.payload_len = 1;
    event.confirmed = confirmed;
    return step_device(n, &event, cut);
}

static bool resend(struct node *n)
{
    ljs_ed_event event = resending(n);

    return n->last.len && step_device(n, &event, false) == LJS_OK;
}

static bool hear(struct node *n, const struct frame *f, bool probing)
{
    ljs_ed_event event;
    ljs_ed_out out;
    ljs_buf state;
    ljs_err err;

    put_keys(n->live);
    ljs_ed_event_init(&event, LJS_ED_ON_DOWNLINK, n->now);
    memcpy(event.frame, f->octets, f->len);
    event.frame_len = f->len;
    if (!probing)
        return step_device(n, &event, false) == LJS_OK;
    err = ljs_ed_step(&out, &state, w.se, &event, n->live->data, n->live->len);
    if (!err) { /* what it derived is not of the state that stays */
        ljs_buf_free(&state);
        new_element();
    }
    return err == LJS_OK;
}

static void arrive_down(struct node *n, const struct frame *f, bool cut)
{
    struct frame forged = *f;
    struct node after;

    for (unsigned i = 1; i <= 4; i++) { /* of a join-accept this spoils every field */
        forged.octets[f->len - 1] ^= (uint8_t)(0x80 >> i);
        law(LAW_FORGED, !hear(n, &forged, true));
    }
    if (!hear(n, f, false))
        return;
    law(LAW_TWICE, !hear(n, f, true));
    node_copy(&after, n);
    restart(&after);
    law(LAW_TWICE, !hear(&after, f, true));
    node_drop(&after);
    if (cut)
        restart(n);
}

/* ---- events ----------------------------------------------------------------- */

static bool has(const struct node *n, enum budget budget)
{
    return n->left[budget] > 0;
}

/* In order, and each as often as it has variants. */
bool event_nth(struct event *out, const struct node *n, unsigned i)
{
    static const struct event all[] = {
        { DO_START, 0, 0, 0, 0 },  { DO_START, 0, 0, 0, 1 }, { DO_TICK, 0, 0, 0, 0 },   { DO_TICK, 0, 0, 0, 1 },
        { DO_SEND, 0, 0, 0, 0 },   { DO_SEND, 0, 0, 0, 1 },  { DO_RESEND, 0, 0, 0, 0 }, { DO_WINDOWS, 0, 0, 0, 0 },
        { DO_CRASH, 0, 0, 0, 0 },  { DO_AGAIN, 0, 0, 0, 0 }, { DO_FORCE0, 0, 0, 0, 0 }, { DO_FORCE2, 0, 0, 0, 0 },
        { DO_PARAMS, 0, 0, 0, 0 }, { DO_TIMER, 0, 0, 0, 0 },
    };
    enum { PER_FRAME = FATES + 3 };
    const unsigned fixed = sizeof all / sizeof all[0];

    if (i < fixed) {
        *out = all[i];
        return true;
    }
    i -= fixed;
    if (i >= n->airs * (unsigned)PER_FRAME)
        return false;
    *out = (struct event){ .kind = DO_ARRIVE, .frame = (uint8_t)(i / PER_FRAME) };
    i %= PER_FRAME;
    if (i < FATES)
        out->fate = (uint8_t)i;
    else if (i == FATES)
        out->kind = DO_LOSE;
    else if (i == FATES + 1)
        out->kept = 1;
    else
        out->cut = 1;
    return true;
}

static bool wish(struct node *n, enum what what, uint8_t params)
{
    const ljs_ns_force force = { .struct_size = sizeof force,
                                 .rejoin_type = what == DO_FORCE2 ? 2 : 0,
                                 .max_retries = 1,
                                 .tries = 2,
                                 .wait = 1000 };
    ljs_buf state;
    ljs_err err = what == DO_PARAMS
                      ? ljs_ns_rejoin_params(&state, w.vault, params, params, n->network->data, n->network->len)
                      : ljs_ns_force_rejoin(&state, w.vault, &force, n->network->data, n->network->len);

    law(LAW_REFUSED, !err == !!state.data);
    if (!err)
        blob_put(&n->network, &state);
    return !err;
}

static bool timer(struct node *n)
{
    ljs_ns ns = read_network(n);
    ljs_ns_woken woken;
    ljs_buf state;

    if (ns.wake_at < 0 || ljs_ns_timer(&woken, &state, w.vault, ns.wake_at, n->network->data, n->network->len))
        return false;
    blob_put(&n->network, &state);
    return true;
}

static bool tick(struct node *n, bool cut)
{
    int64_t at = read_device(n->live).wake_at;

    if (at < 0)
        return false;
    if (n->now < at)
        n->now = at;
    return device(n, LJS_ED_ON_TICK, cut) == LJS_OK;
}

static bool start(struct node *n, bool cut)
{
    if (read_device(n->live).state != LJS_ED_IDLE && device(n, LJS_ED_ON_STOP, false))
        return false;
    return device(n, LJS_ED_ON_START, cut) == LJS_OK;
}

bool event_apply(struct node *n, const struct event *e)
{
    bool mishap = e->cut || e->kept || e->fate != ANSWERED || e->kind == DO_LOSE || e->kind == DO_CRASH;
    struct frame f;

    if (mishap && !has(n, MISHAPS))
        return false;
    n->left[MISHAPS] = (uint8_t)(n->left[MISHAPS] - mishap);
    switch ((enum what)e->kind) {
    case DO_START:
        if (!has(n, STARTS) || !has(n, REQUESTS) || n->airs == AIR_MAX)
            return false;
        n->left[STARTS]--;
        n->left[REQUESTS]--;
        return start(n, e->cut);
    case DO_TICK:
        if (!has(n, REQUESTS) || n->airs == AIR_MAX)
            return false;
        n->left[REQUESTS]--;
        return tick(n, e->cut);
    case DO_SEND:
        if (!has(n, UPLINKS) || n->airs == AIR_MAX)
            return false;
        n->left[UPLINKS]--;
        return send(n, w.is->confirmed, e->cut) == LJS_OK;
    case DO_RESEND:
        if (!has(n, UPLINKS) || n->airs == AIR_MAX || in_flight(n, &n->last))
            return false;
        n->left[UPLINKS]--;
        return resend(n);
    case DO_WINDOWS:
        return device(n, LJS_ED_ON_LOST, false) == LJS_OK;
    case DO_CRASH:
        restart(n);
        return true;
    case DO_ARRIVE:
        f = n->air[e->frame];
        if (e->fate != ANSWERED && !is_request(&f))
            return false;
        if (e->cut && f.up)
            return false;
        take_out(&f, n, e->frame, e->kept);
        if (f.up)
            arrive_up(n, &f, (enum fate)e->fate, false);
        else
            arrive_down(n, &f, e->cut);
        return true;
    case DO_LOSE:
        take_out(&f, n, e->frame, false);
        return true;
    case DO_AGAIN:
        if (!n->again.len)
            return false;
        f = n->again;
        to_join_server(n, &f, ANSWERED);
        return true;
    case DO_FORCE0:
    case DO_FORCE2:
    case DO_PARAMS:
        if (!has(n, WISHES))
            return false;
        n->left[WISHES]--;
        return wish(n, (enum what)e->kind, OFTEN);
    case DO_TIMER:
        return timer(n);
    default:
        return false;
    }
}

/* ---- digest ----------------------------------------------------------------- */

static int by_octets(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct frame));
}

static void device_digest(uint8_t out[16], struct blob *b, int64_t at)
{
    if (!b->has_digest || b->digest_at != at)
        MUST(ljs__end_device_digest(b->digest, at, b->data, b->len));
    b->has_digest = true;
    b->digest_at = at;
    memcpy(out, b->digest, 16);
}

void node_digest(uint8_t out[16], const struct node *n)
{
    struct {
        uint8_t live[16], durable[16], network[16], record[16];
        struct frame air[AIR_MAX], again, last;
        uint8_t airs, left[BUDGETS], takens, lives, heards;
        uint32_t join_nonce;
        int32_t dev_nonce, rj_count1, adopted;
        uint16_t draws;
        uint8_t taken[16], life[16], heard[16];
    } is;

    memset(&is, 0, sizeof is);
    device_digest(is.live, n->live, n->now);
    device_digest(is.durable, n->durable, n->durable_at);
    if (!n->network->has_digest) {
        MUST(ljs__network_digest(n->network->digest, w.vault, n->network->data, n->network->len));
        n->network->has_digest = true;
    }
    memcpy(is.network, n->network->digest, 16);
    record_digest(n->record);
    memcpy(is.record, n->record->digest, 16);
    memcpy(is.air, n->air, sizeof is.air);
    qsort(is.air, n->airs, sizeof is.air[0], by_octets); /* any of them may arrive first */
    is.again = n->again;
    is.last = n->last;
    is.airs = n->airs;
    memcpy(is.left, n->left, sizeof is.left);
    is.takens = n->takens;
    is.lives = n->lives;
    is.heards = n->heards;
    is.join_nonce = n->join_nonce;
    is.dev_nonce = n->dev_nonce;
    is.rj_count1 = n->rj_count1;
    is.adopted = n->adopted;
    is.draws = n->draws;
    if (n->takens)
        ljs__hash(is.taken, (const uint8_t *)n->taken, n->takens * sizeof n->taken[0]);
    if (n->lives)
        ljs__hash(is.life, (const uint8_t *)n->life, n->lives * sizeof n->life[0]);
    if (n->heards)
        ljs__hash(is.heard, (const uint8_t *)n->heard, n->heards * sizeof n->heard[0]);
    ljs__hash(out, (const uint8_t *)&is, sizeof is);
}

/* ---- healing ---------------------------------------------------------------- */

/* Whatever is in flight arrives, and the windows close. */
static void settle(struct node *n, bool application)
{
    struct frame f;

    for (unsigned i = 0; n->airs && i < 32 && broken < 0; i++) {
        take_out(&f, n, 0, false);
        if (f.up)
            arrive_up(n, &f, ANSWERED, application);
        else
            arrive_down(n, &f, false);
    }
    (void)!device(n, LJS_ED_ON_LOST, false);
}

/* Do all three have the session that the device is in?  A join-accept that the device never heard
 * may still wait at the network server: it is without effect, until the next takes its place. */
static bool shared(const struct node *n)
{
    ljs_ed ed = read_device(n->live);
    ljs_ns ns = read_network(n);
    ljs_session s;

    return ed.state == LJS_ED_JOINED && (ns.state == LJS_NS_ACTIVE || ns.state == LJS_NS_SWITCHING) &&
           ed.dev_addr == ns.current.dev_addr && ed.scheme == ns.current.scheme && ed.session_kind == ns.current.kind &&
           session_of(&s, n) && s.kind == ed.session_kind && s.join_nonce == (uint32_t)ed.join_nonce &&
           s.nonce == ed.session_nonce;
}

/* Has the network server got the session that the device is in, used or not?  DevAddrs come again when
 * counters do: where two sessions share one, nothing is said. */
static bool known(const struct node *n)
{
    ljs_ed ed = read_device(n->live);
    ljs_ns ns = read_network(n);
    const ljs_ns_context *const contexts[] = { &ns.current, &ns.pending };
    unsigned like = 0, own = 0;
    ljs_session s;

    for (unsigned i = 0; !ljs_device_session(&s, i, n->record->data, n->record->len); i++) {
        bool alike = s.dev_addr == ed.dev_addr && s.kind == ed.session_kind;

        like += alike;
        own += alike && s.join_nonce == (uint32_t)ed.join_nonce && s.nonce == ed.session_nonce;
    }
    for (unsigned i = 0; i < 2 && like == 1 && own == 1; i++)
        if (contexts[i]->present && contexts[i]->dev_addr == ed.dev_addr && contexts[i]->kind == ed.session_kind)
            return true;
    return false;
}

/* What the device said last, it says again, and hears what it waits for. */
static void say_again(struct node *n)
{
    bool rekeying = read_device(n->live).state == LJS_ED_REKEYING;

    if (!n->last.len || !known(n))
        return;
    memset(&seen, 0, sizeof seen);
    (void)resend(n);
    settle(n, false);
    if (broken < 0)
        law(LAW_AGAIN, (!w.is->confirmed || seen.acked) && (!rekeying || seen.rekeyed));
}

/* Uplinks until both have the same; a device that is not heard gives up by itself. */
static bool come_together(struct node *n)
{
    for (unsigned i = 0; i < 4 * LINK_LIMIT && broken < 0; i++) {
        ljs_ed_state state = read_device(n->live).state;

        memset(&seen, 0, sizeof seen);
        if (state == LJS_ED_IDLE)
            (void)start(n, false);
        else if (state == LJS_ED_JOINING)
            (void)tick(n, false);
        else
            (void)!send(n, true, false);
        settle(n, false);
        if (seen.acked && shared(n))
            return true;
    }
    return false;
}

/* The device's time goes on until it sends this, and it is answered.  `next`: it is what comes next. */
static bool rejoins(struct node *n, ljs_ed_sends which, bool next)
{
    for (unsigned i = 0; i < 8 && broken < 0; i++) {
        memset(&seen, 0, sizeof seen);
        if (!tick(n, false))
            return false;
        if (seen.sends == which) {
            settle(n, false);
            return seen.rejoined && come_together(n);
        }
        settle(n, false); /* one that was wanted before */
        if (next || !come_together(n))
            return false;
    }
    return false;
}

/* Each type, and what the network has told the device of rejoining through all of them. */
static bool rejoin_all(struct node *n)
{
    return wish(n, DO_PARAMS, OFTEN) && come_together(n) && rejoins(n, LJS_ED_SENDS_REJOIN0, false) &&
           rejoins(n, LJS_ED_SENDS_REJOIN0, true) && wish(n, DO_FORCE2, 0) && come_together(n) &&
           rejoins(n, LJS_ED_SENDS_REJOIN2, true) && rejoins(n, LJS_ED_SENDS_REJOIN0, true) &&
           wish(n, DO_PARAMS, HARDLY_EVER) && come_together(n) && rejoins(n, LJS_ED_SENDS_REJOIN1, true);
}

void node_heal(struct node *n)
{
    settle(n, false);
    say_again(n);
    if (broken >= 0 || !law(LAW_HEALS, come_together(n)))
        return;
    if (w.is->rejoins)
        law(LAW_HEALS_REJOIN, rejoin_all(n));
    if (broken >= 0)
        return;
    memset(&seen, 0, sizeof seen);
    (void)!send(n, false, false);
    settle(n, true);
    law(LAW_HEALS, seen.heard && shared(n) && (!w.is->rejoins || read_network(n).state == LJS_NS_ACTIVE));
    law(LAW_HEALS_APP, seen.payload_len == 3 && !memcmp(seen.payload, "yes", 3));
}

/* ---- words ------------------------------------------------------------------ */

static void frame_text(char *out, size_t out_len, const struct frame *f)
{
    static const char *const types[] = { "join-request", "join-accept", "data up",       "data down",
                                         "data up",      "data down",   "rejoin-request" };
    unsigned mtype = f->octets[0] >> 5;
    ljs_frame frame;
    ljs_data data;

    if (!ljs_frame_parse(&frame, f->octets, f->len))
        snprintf(out, out_len, "%s%.0d nonce %u", types[mtype], frame.kind == LJS_FRAME_JOIN ? 0 : (int)frame.kind,
                 frame.nonce);
    else if (!ljs_data_parse(&data, f->octets, f->len))
        snprintf(out, out_len, "%s %08x FCnt %u FOptsLen %u", types[mtype], (unsigned)data.dev_addr, data.fcnt,
                 data.fopts_len);
    else
        snprintf(out, out_len, "%s %02x%02x..", mtype < 7 ? types[mtype] : "?", f->octets[1], f->octets[2]);
}

void event_text(char *out, size_t out_len, const struct node *n, const struct event *e)
{
    static const char *const kinds[] = {
        [DO_NONE] = "begin",
        [DO_START] = "device: starts, or starts anew",
        [DO_TICK] = "device: its time has come",
        [DO_SEND] = "device: sends data",
        [DO_RESEND] = "device: sends the same data again",
        [DO_WINDOWS] = "device: its windows close",
        [DO_CRASH] = "device: crashes and restarts",
        [DO_ARRIVE] = "air: arrives",
        [DO_LOSE] = "air: loses",
        [DO_AGAIN] = "network: asks the Join Server again",
        [DO_FORCE0] = "network: wants a rejoin 0",
        [DO_FORCE2] = "network: wants a rejoin 2",
        [DO_PARAMS] = "network: wants rejoins from time to time",
        [DO_TIMER] = "network: its time has come",
    };
    static const char *const fates[] = {
        [ANSWERED] = "",
        [ANSWER_LOST] = ", the Join Server's answer is lost",
        [FAULT_ONCE] = ", the store fails once",
        [FAULT_APPLIED] = ", the store fails once, having written",
        [FAULT_ALWAYS] = ", the store fails",
    };
    char frame[96] = "";

    if (e->kind == DO_ARRIVE || e->kind == DO_LOSE) {
        frame[0] = ' ';
        frame_text(frame + 1, sizeof frame - 1, &n->air[e->frame]);
    }
    snprintf(out, out_len, "%s%s%s%s%s", kinds[e->kind], frame, fates[e->fate], e->kept ? ", and a copy goes on" : "",
             e->cut ? ", and the device crashes once its state is durable" : "");
}

void node_text(char *out, size_t out_len, const struct node *n)
{
    ljs_ed ed = read_device(n->live);
    ljs_ns ns = read_network(n);

    snprintf(out, out_len, "device %s %08x (JoinNonce %d)  network %s %08x/%08x  in flight %u  JoinNonce given %u",
             ljs_ed_state_text(ed.state), (unsigned)ed.dev_addr, ed.join_nonce, ljs_ns_state_text(ns.state),
             (unsigned)ns.current.dev_addr, (unsigned)ns.pending.dev_addr, n->airs, n->join_nonce);
}
