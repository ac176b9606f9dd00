#include "session/network_state.h"

#include "session/network.h"

#include "base/pack.h"
#include "base/secret.h"

/* Keys on disk: never reused, never renumbered. */
enum field {
    F_SCHEMA = 0,
    F_OPTS = 1,    /* [DevEUI, NetID, minor, order, rejoins, rejoins 1] */
    F_STATE = 2,   /* ljs_ns_state */
    F_DUE = 3,     /* [LJS_NS_DUE_..., FCnt to acknowledge, rejoin 2 asked for] */
    F_FORCE = 4,   /* [type, period, retries, data rate, left, due, at, wait] */
    F_PARAMS = 5,  /* [phase, MaxTimeN, MaxCountN, TimeOK] */
    F_LIMITS = 6,  /* [since, n, since, n] */
    F_PAST = 7,    /* fingerprints of contexts that are gone, newest first */
    F_CURRENT = 8, /* a context; where the state has one */
    F_PENDING = 9, /* likewise */
    F_LAST = 10,   /* the last uplink: [print, ConfFCnt, how often again]; since schema 2 */
    F_FIELDS = F_CURRENT
};

enum {
    TAG_LEN = 16,
    SEALED_MAX = 256,
    CONTEXT_FIELDS = 15,
    OWED = LJS_NS_DUE_ACK | LJS_NS_DUE_REKEY_CONF | LJS_NS_DUE_ADR_ACK
};

static const enum key_id ids[] = { KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, KEY_NWK_S_ENC };
static const enum key_role roles[] = { ROLE_F_NWK_S_INT, ROLE_S_NWK_S_INT, ROLE_NWK_S_ENC };

/* Which contexts each state has. */
static const struct {
    bool current, pending;
} has[] = {
    [LJS_NS_NONE] = { false, false },  [LJS_NS_PENDING] = { false, true },  [LJS_NS_REKEYING] = { true, false },
    [LJS_NS_ACTIVE] = { true, false }, [LJS_NS_SWITCHING] = { true, true },
};

/* ---- keys of a context ------------------------------------------------------ */

/* Whose they are.  Sealed keys move from the pending to the current context as they are, so
 * which of the two it is must not be in here; the tag over all says that. */
static void owner(uint8_t out[30], const struct network *n, const struct context *c)
{
    uint64_t dev_eui = n->opts.dev_eui;

    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(dev_eui >> 8 * i);
    for (unsigned i = 0; i < 4; i++)
        out[8 + i] = (uint8_t)(c->is.dev_addr >> 8 * i);
    out[12] = (uint8_t)c->is.scheme;
    out[13] = TAG_NETWORK;
    memcpy(out + 14, c->is.session_key_id, 16);
}

ljs_err ljs__network_seal(struct wr *out, uint8_t print[PRINT_LEN], const struct network *n, const struct context *c,
                          const ljs_vault *vault, struct ring *ring)
{
    uint8_t ad[30];
    ljs_err err = ljs__vault_fingerprint(print, vault, ring, ids, roles, COUNT(ids));

    owner(ad, n, c);
    return err ? err : ljs__vault_seal(out, vault, ring, ids, roles, COUNT(ids), ad, sizeof ad);
}

ljs_err ljs__network_open(const struct network *n, const struct context *c, const ljs_vault *vault, struct ring *ring)
{
    uint8_t ad[30];

    owner(ad, n, c);
    return ljs__vault_open(vault, ring, ids, roles, COUNT(ids), ad, sizeof ad, c->sealed.at, c->sealed.left);
}

/* ---- the map ---------------------------------------------------------------- */

static void read_context(struct unpack *u, struct context *c)
{
    static const ljs_frame_kind kinds[] = { LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN1, LJS_FRAME_REJOIN2, LJS_FRAME_JOIN };
    ljs_ns_context *is = &c->is;
    size_t len = 0;
    const uint8_t *sealed;

    if (ljs__unpack_array(u) != CONTEXT_FIELDS)
        u->rd.bad = true;
    is->present = 1;
    is->scheme = ljs__unpack_uint(u, 1) ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0;
    is->mac = (uint16_t)ljs__unpack_uint(u, 0xffff);
    is->kind = kinds[ljs__unpack_uint(u, COUNT(kinds) - 1)];
    is->dev_addr = (ljs_devaddr)ljs__unpack_uint(u, 0xffffffff);
    ljs__unpack_fixed(u, is->session_key_id, sizeof is->session_key_id);
    is->minor = (uint8_t)ljs__unpack_uint(u, 15);
    is->fcnt_up = ljs__unpack_int(u, -1, UINT32_MAX);
    is->n_fcnt_down = ljs__unpack_uint(u, (uint64_t)UINT32_MAX + 1);
    is->a_fcnt_down = ljs__unpack_uint(u, (uint64_t)UINT32_MAX + 1);
    is->rj_count0 = (int32_t)ljs__unpack_int(u, -1, 0xffff);
    is->at = ljs__unpack_int(u, 0, INT64_MAX);
    c->confirmed = (int32_t)ljs__unpack_int(u, -1, 0xffff);
    c->awaited = ljs__unpack_uint(u, 1);
    ljs__unpack_fixed(u, c->print, sizeof c->print);
    sealed = ljs__unpack_bin(u, &len, SEALED_MAX);
    c->sealed = (struct rd){ sealed, len, false };
}

/* The digest leaves out the keys as they are sealed: the fingerprint stands for them. */
static void write_context(struct wr *w, const struct context *c, bool sealed)
{
    const ljs_ns_context *is = &c->is;

    ljs__pack_array(w, CONTEXT_FIELDS);
    ljs__pack_uint(w, is->scheme == LJS_SCHEME_1_1);
    ljs__pack_uint(w, is->mac);
    ljs__pack_uint(w, is->kind == LJS_FRAME_JOIN ? 3U : (unsigned)is->kind);
    ljs__pack_uint(w, is->dev_addr);
    ljs__pack_bin(w, is->session_key_id, sizeof is->session_key_id);
    ljs__pack_uint(w, is->minor);
    ljs__pack_int(w, is->fcnt_up);
    ljs__pack_uint(w, is->n_fcnt_down);
    ljs__pack_uint(w, is->a_fcnt_down);
    ljs__pack_int(w, is->rj_count0);
    ljs__pack_int(w, is->at);
    ljs__pack_int(w, c->confirmed);
    ljs__pack_uint(w, c->awaited);
    ljs__pack_bin(w, c->print, sizeof c->print);
    ljs__pack_bin(w, c->sealed.at, sealed ? c->sealed.left : 0);
}

static void read_opts(struct unpack *u, ljs_ns_opts *o)
{
    if (ljs__unpack_array(u) != 6)
        u->rd.bad = true;
    o->struct_size = sizeof *o;
    o->dev_eui = ljs__unpack_uint(u, UINT64_MAX);
    o->net_id = (ljs_netid)ljs__unpack_uint(u, 0xffffff);
    o->minor = (uint8_t)ljs__unpack_uint(u, 15);
    o->order = ljs__unpack_uint(u, 1) ? LJS_HIGH_FIRST : LJS_LOW_FIRST;
    o->rejoins_per_hour = (uint16_t)ljs__unpack_uint(u, 0xffff);
    o->rejoins1_per_hour = (uint16_t)ljs__unpack_uint(u, 0xffff);
}

static void read_force(struct unpack *u, struct network *n)
{
    if (ljs__unpack_array(u) != 8)
        u->rd.bad = true;
    n->force.type = (uint8_t)ljs__unpack_uint(u, 2);
    n->force.period = (uint8_t)ljs__unpack_uint(u, 7);
    n->force.max_retries = (uint8_t)ljs__unpack_uint(u, 7);
    n->force.data_rate = (uint8_t)ljs__unpack_uint(u, 15);
    n->force.left = (uint8_t)ljs__unpack_uint(u, 0xff);
    n->force.due = ljs__unpack_uint(u, 1);
    n->force.at = ljs__unpack_int(u, -1, INT64_MAX);
    n->force.wait = ljs__unpack_int(u, 0, INT64_MAX);
}

static void read_limiter(struct unpack *u, struct limiter *l)
{
    l->since = ljs__unpack_int(u, 0, INT64_MAX);
    l->n = (uint32_t)ljs__unpack_uint(u, UINT32_MAX);
}

static void read_field(struct unpack *u, struct network *n, enum field field)
{
    switch (field) {
    case F_SCHEMA: /* read before all others */
        break;
    case F_OPTS:
        read_opts(u, &n->opts);
        return;
    case F_STATE:
        n->state = (ljs_ns_state)ljs__unpack_uint(u, LJS_NS_SWITCHING);
        return;
    case F_DUE:
        if (ljs__unpack_array(u) != 3)
            break;
        n->due = (uint8_t)ljs__unpack_uint(u, OWED);
        n->ack_fcnt = (uint16_t)ljs__unpack_uint(u, 0xffff);
        n->rejoin2 = ljs__unpack_uint(u, 1);
        return;
    case F_FORCE:
        read_force(u, n);
        return;
    case F_PARAMS:
        if (ljs__unpack_array(u) != 4)
            break;
        n->params.phase = (enum params_phase)ljs__unpack_uint(u, PARAMS_KNOWN);
        n->params.max_time_n = (uint8_t)ljs__unpack_uint(u, 15);
        n->params.max_count_n = (uint8_t)ljs__unpack_uint(u, 15);
        n->params.time_ok = (uint8_t)ljs__unpack_uint(u, 1);
        return;
    case F_LIMITS:
        if (ljs__unpack_array(u) != 4)
            break;
        read_limiter(u, &n->checked);
        read_limiter(u, &n->unchecked);
        return;
    case F_PAST:
        n->pasts = ljs__unpack_array(u);
        if (n->pasts > PAST_MAX)
            break;
        for (unsigned i = 0; i < n->pasts; i++)
            ljs__unpack_fixed(u, n->past[i], PRINT_LEN);
        return;
    case F_CURRENT:
        read_context(u, &n->current);
        return;
    case F_PENDING:
        read_context(u, &n->pending);
        return;
    case F_LAST:
        if (ljs__unpack_array(u) != 3)
            break;
        n->last.known = true;
        ljs__unpack_fixed(u, n->last.print, sizeof n->last.print);
        n->last.conf_fcnt = (uint16_t)ljs__unpack_uint(u, 0xffff);
        n->last.again = (uint8_t)ljs__unpack_uint(u, LJS_NS_AGAIN_MAX);
        return;
    }
    u->rd.bad = true;
}

static ljs_err read_state(struct network *n, const uint8_t *in, size_t in_len)
{
    struct unpack u = { .rd = { in, in_len > TAG_LEN ? in_len - TAG_LEN : 0, false } };
    unsigned pairs, seen = 0;

    memset(n, 0, sizeof *n);
    pairs = ljs__unpack_map(&u);
    if (ljs__unpack_uint(&u, 0x7f) != F_SCHEMA)
        u.rd.bad = true;
    if (ljs__unpack_uint(&u, 0xffff) > NETWORK_SCHEMA && !u.rd.bad)
        return LJS_E_VERSION;
    for (unsigned i = 1, last = F_SCHEMA; i < pairs && !u.rd.bad; i++) {
        unsigned field = (unsigned)ljs__unpack_uint(&u, 0x7f);

        if (field <= last) /* rising, so that none is there twice */
            u.rd.bad = true;
        else
            read_field(&u, n, (enum field)field);
        last = field;
        seen += field < F_FIELDS;
    }
    if (!rd_done(&u.rd) || seen != F_FIELDS - 1 || has[n->state].current != n->current.is.present ||
        has[n->state].pending != n->pending.is.present || (n->last.known && !n->current.is.present)) {
        memset(n, 0, sizeof *n);
        return LJS_E_SEAL;
    }
    return LJS_OK;
}

static void write_state(struct wr *w, const struct network *n, bool sealed)
{
    const ljs_ns_opts *o = &n->opts;

    ljs__pack_map(w, F_FIELDS + (unsigned)n->current.is.present + n->pending.is.present + n->last.known);
    ljs__pack_uint(w, F_SCHEMA);
    ljs__pack_uint(w, NETWORK_SCHEMA);
    ljs__pack_uint(w, F_OPTS);
    ljs__pack_array(w, 6);
    ljs__pack_uint(w, o->dev_eui);
    ljs__pack_uint(w, o->net_id);
    ljs__pack_uint(w, o->minor);
    ljs__pack_uint(w, o->order == LJS_HIGH_FIRST);
    ljs__pack_uint(w, o->rejoins_per_hour);
    ljs__pack_uint(w, o->rejoins1_per_hour);
    ljs__pack_uint(w, F_STATE);
    ljs__pack_uint(w, n->state);
    ljs__pack_uint(w, F_DUE);
    ljs__pack_array(w, 3);
    ljs__pack_uint(w, n->due);
    ljs__pack_uint(w, n->ack_fcnt);
    ljs__pack_uint(w, n->rejoin2);
    ljs__pack_uint(w, F_FORCE);
    ljs__pack_array(w, 8);
    ljs__pack_uint(w, n->force.type);
    ljs__pack_uint(w, n->force.period);
    ljs__pack_uint(w, n->force.max_retries);
    ljs__pack_uint(w, n->force.data_rate);
    ljs__pack_uint(w, n->force.left);
    ljs__pack_uint(w, n->force.due);
    ljs__pack_int(w, n->force.at);
    ljs__pack_int(w, n->force.wait);
    ljs__pack_uint(w, F_PARAMS);
    ljs__pack_array(w, 4);
    ljs__pack_uint(w, n->params.phase);
    ljs__pack_uint(w, n->params.max_time_n);
    ljs__pack_uint(w, n->params.max_count_n);
    ljs__pack_uint(w, n->params.time_ok);
    ljs__pack_uint(w, F_LIMITS);
    ljs__pack_array(w, 4);
    ljs__pack_int(w, n->checked.since);
    ljs__pack_uint(w, n->checked.n);
    ljs__pack_int(w, n->unchecked.since);
    ljs__pack_uint(w, n->unchecked.n);
    ljs__pack_uint(w, F_PAST);
    ljs__pack_array(w, n->pasts);
    for (unsigned i = 0; i < n->pasts; i++)
        ljs__pack_bin(w, n->past[i], PRINT_LEN);
    if (n->current.is.present) {
        ljs__pack_uint(w, F_CURRENT);
        write_context(w, &n->current, sealed);
    }
    if (n->pending.is.present) {
        ljs__pack_uint(w, F_PENDING);
        write_context(w, &n->pending, sealed);
    }
    if (n->last.known) {
        ljs__pack_uint(w, F_LAST);
        ljs__pack_array(w, 3);
        ljs__pack_bin(w, n->last.print, sizeof n->last.print);
        ljs__pack_uint(w, n->last.conf_fcnt);
        ljs__pack_uint(w, n->last.again);
    }
}

ljs_err ljs__network_load(struct network *out, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    ljs_err err = ljs__vault_alive(vault), tag;

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    /* A newer state is named as such even though its tag may be made differently. */
    tag = ljs__vault_check(vault, TAG_NETWORK, in, in_len);
    err = read_state(out, in, in_len);
    return err == LJS_E_VERSION ? err : tag ? tag : err;
}

ljs_err ljs__network_save(ljs_buf *out, const struct network *n, const ljs_vault *vault)
{
    struct wr w = { 0 };

    *out = (ljs_buf){ NULL, 0 };
    write_state(&w, n, true);
    return ljs__vault_take(out, &w, vault, TAG_NETWORK);
}

ljs_err ljs__network_digest(uint8_t out[16], const ljs_vault *vault, const uint8_t *state, size_t state_len)
{
    struct network n;
    struct wr w = { 0 };
    ljs_err err = ljs__network_load(&n, vault, state, state_len);

    memset(out, 0, 16);
    if (err)
        return err;
    write_state(&w, &n, false);
    if (w.bad)
        err = LJS_E_NOMEM;
    else
        ljs__hash(out, w.data, w.len);
    ljs__wr_drop(&w);
    return err;
}

/* ---- the public half -------------------------------------------------------- */

uint8_t ljs__network_due(const struct network *n)
{
    /* Rejoining is of LoRaWAN 1.1 alone: under 1.0 the wish waits for the next context. */
    bool can = n->current.is.present && n->current.is.scheme == LJS_SCHEME_1_1;

    return (uint8_t)(n->due | (can && n->force.due ? LJS_NS_DUE_FORCE_REJOIN : 0) |
                     (can && n->params.phase == PARAMS_DUE ? LJS_NS_DUE_REJOIN_PARAMS : 0));
}

ljs_err ljs_ns_read(ljs_ns *out, const uint8_t *state, size_t state_len)
{
    struct network n;
    ljs_err err = read_state(&n, state, state_len);

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    out->struct_size = sizeof *out;
    out->opts = n.opts;
    out->state = n.state;
    out->current = n.current.is;
    out->pending = n.pending.is;
    out->due = ljs__network_due(&n);
    out->force_left = n.force.left;
    out->rejoin2 = n.rejoin2;
    out->has_params = n.params.phase != PARAMS_NONE;
    out->params_known = n.params.phase == PARAMS_KNOWN;
    out->max_time_n = n.params.max_time_n;
    out->max_count_n = n.params.max_count_n;
    out->time_ok = n.params.time_ok;
    out->wake_at = n.force.at;
    return LJS_OK;
}

const char *ljs_ns_state_text(ljs_ns_state state)
{
    static const char *const texts[] = {
        [LJS_NS_NONE] = "NONE",     [LJS_NS_PENDING] = "PENDING",     [LJS_NS_REKEYING] = "REKEYING",
        [LJS_NS_ACTIVE] = "ACTIVE", [LJS_NS_SWITCHING] = "SWITCHING",
    };

    return (unsigned)state < COUNT(texts) ? texts[state] : "?";
}
