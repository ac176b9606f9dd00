#include "session/end_device_state.h"

#include "base/pack.h"
#include "base/secret.h"
#include "session/end_device.h"

#include <lorajs/rekey_device.h>

#include <assert.h>

enum { CHECK_LEN = 16 };

static const struct member {
    uint8_t number;
    size_t at;
    int64_t least, most;
} members[] = {
#define ED_MEMBER(number, name, least, most) { number, offsetof(struct ed, name), least, most },
    ED_MEMBERS(ED_MEMBER)
#undef ED_MEMBER
};

static int64_t get(const struct ed *ed, const struct member *m)
{
    int64_t v;

    memcpy(&v, (const char *)ed + m->at, sizeof v);
    return v;
}

static void set(struct ed *ed, const struct member *m, int64_t v)
{
    memcpy((char *)ed + m->at, &v, sizeof v);
}

/* As many as are needed. */
static size_t has_members(const struct ed *ed)
{
    for (size_t i = ED_MEMBERS_2; i < COUNT(members); i++)
        if (get(ed, &members[i]))
            return COUNT(members);
    return ED_MEMBERS_2;
}

/* A map: 0 is the schema, then the members; after it an unkeyed hash of it, which tells a torn or
 * worn flash page from a state. */
ljs_err ljs__ed_encode(ljs_buf *out, const struct ed *ed)
{
    struct wr w = { NULL, 0, 0, false };
    uint8_t check[CHECK_LEN];
    size_t has = has_members(ed);

    *out = (ljs_buf){ NULL, 0 };
    ljs__pack_map(&w, (unsigned)(1 + has));
    ljs__pack_uint(&w, 0);
    ljs__pack_uint(&w, has == ED_MEMBERS_2 ? 2 : ED_SCHEMA);
    for (size_t i = 0; i < has; i++) {
        assert(get(ed, &members[i]) >= members[i].least && get(ed, &members[i]) <= members[i].most);
        ljs__pack_uint(&w, members[i].number);
        ljs__pack_int(&w, get(ed, &members[i]));
    }
    if (w.bad) {
        ljs__wr_drop(&w);
        return LJS_E_NOMEM;
    }
    ljs__hash(check, w.data, w.len);
    ljs__wr(&w, check, sizeof check);
    return ljs__wr_take(out, &w);
}

static bool rekey_consistent(const struct ed *ed)
{
    bool two = ed->rk_phase == LJS_ED_REKEY_READY || ed->rk_phase == LJS_ED_REKEY_TRIED;

    return (ed->roots == ed->roots_old || (two && ed->roots == ed->roots_new)) &&
           two == (ed->roots_old != ed->roots_new) && !!ed->rk_phase == !!ed->rk_new_epoch &&
           ed->rk_new_epoch <= ed->rk_floor && ed->rk_epoch <= ed->rk_floor && (!ed->rk_session_gone || ed->scheme) &&
           (two || !ed->rk_tries) && !(two && ed->rk_wipe);
}

/* What no range tells: members that go together. */
static bool consistent(const struct ed *ed)
{
    bool session = ed->state == LJS_ED_REKEYING || ed->state == LJS_ED_JOINED;
    bool scheme = ed->scheme == LJS_SCHEME_1_1 || ed->scheme == LJS_SCHEME_1_0;

    return session == scheme && (session || !ed->scheme) &&
           !(ed->state == LJS_ED_REKEYING && ed->scheme != LJS_SCHEME_1_1) && ed->fcnt_up <= ed->fcnt_durable &&
           !(session && ed->join_nonce < 0) && !(ed->state == LJS_ED_IDLE && ed->waiting) &&
           !(ed->state == LJS_ED_JOINING && (ed->t0 < 0 || (ed->waiting && ed->kind != LJS_FRAME_JOIN))) &&
           !(session && ed->waiting && (ed->kind > LJS_FRAME_REJOIN2 || ed->scheme != LJS_SCHEME_1_1)) &&
           !(ed->scheme == LJS_SCHEME_1_1 && ed->mac < 0x0110) && !(ed->force_left && ed->force_type == 1) &&
           !(ed->sent_times ? !session || !ed->fcnt_up : ed->sent_print || ed->sent_conf) &&
           (ed->mac <= 0x0104 || ed->mac == 0x0110) && rekey_consistent(ed);
}

ljs_err ljs__ed_decode(struct ed *out, const uint8_t *state, size_t state_len)
{
    struct unpack u;
    uint8_t check[CHECK_LEN];
    struct ed ed = { 0 };
    uint64_t schema;
    size_t has;
    unsigned n;

    *out = ed;
    if (ljs__init())
        return LJS_E_CRYPTO;
    if (state_len <= CHECK_LEN)
        return LJS_E_SEAL;
    ljs__hash(check, state, state_len - CHECK_LEN);
    if (memcmp(check, state + state_len - CHECK_LEN, CHECK_LEN) != 0) /* no secret */
        return LJS_E_SEAL;
    u = (struct unpack){ .rd = { state, state_len - CHECK_LEN, false } };
    n = ljs__unpack_map(&u);
    if (ljs__unpack_uint(&u, 0) != 0 || u.rd.bad)
        return LJS_E_SEAL;
    schema = ljs__unpack_uint(&u, UINT32_MAX);
    if (schema > ED_SCHEMA && !u.rd.bad)
        return LJS_E_VERSION;
    has = schema == 1 ? ED_MEMBERS_1 : schema == 2 ? ED_MEMBERS_2 : COUNT(members);
    if (!schema || n != 1 + has)
        return LJS_E_SEAL;
    for (size_t i = 0; i < has; i++) {
        if (ljs__unpack_uint(&u, UINT8_MAX) != members[i].number)
            return LJS_E_SEAL;
        set(&ed, &members[i], ljs__unpack_int(&u, members[i].least, members[i].most));
    }
    if (!rd_done(&u.rd) || !consistent(&ed))
        return LJS_E_SEAL;
    *out = ed;
    return LJS_OK;
}

unsigned ljs__ed_period(const struct ed *ed, int64_t now)
{
    const int64_t hour = 3600 * 1000, since = now - ed->t0;

    return since < hour ? 0 : since < 11 * hour ? 1 : 2;
}

static void earliest(int64_t *at, int64_t other)
{
    if (*at < 0 || other < *at)
        *at = other;
}

int64_t ljs__ed_wake_at(const struct ed *ed, int64_t now)
{
    int64_t at = -1;

    if (ed->state == LJS_ED_JOINING && (ed->mac < 0x0104 || ed->dev_nonce <= 0xffff))
        earliest(&at, ed->join_at);
    if (ed->scheme == LJS_SCHEME_1_1 && ed->rj_count0 <= 0xffff && ed->force_left)
        earliest(&at, ed->force_at);
    if (ed->scheme == LJS_SCHEME_1_1 && ed->rj_count0 <= 0xffff && ed->rejoin0_at >= 0)
        earliest(&at, ed->rejoin0_at > ed->rejoin0_from ? ed->rejoin0_at : ed->rejoin0_from);
    if (ed->scheme == LJS_SCHEME_1_1 && ed->rj_count1 <= 0xffff && ed->rejoin1_at >= 0)
        earliest(&at, ed->rejoin1_at);
    return at >= 0 && at < now ? now : at;
}

static ljs_ed_opts opts_of(const struct ed *ed)
{
    return (ljs_ed_opts){
        .struct_size = sizeof(ljs_ed_opts),
        .join_eui = (ljs_eui)ed->join_eui,
        .dev_eui = (ljs_eui)ed->dev_eui,
        .mac = (uint16_t)ed->mac,
        .airtime = (uint16_t)ed->airtime,
        .adr_ack_limit = (uint16_t)ed->adr_ack_limit,
        .link_limit = (uint16_t)ed->link_limit,
        .fcnt_reserve = (uint16_t)ed->fcnt_reserve,
        .adr = (uint8_t)ed->adr,
        .join_nonce_rising = (uint8_t)ed->join_nonce_rising,
        .no_clock = (uint8_t)ed->no_clock,
        .order = (ljs_octet_order)ed->order,
        .rejoin1_period = (uint32_t)ed->rejoin1_period,
        .dev_nonce = (uint32_t)ed->first_dev_nonce,
        .rj_count1 = (uint32_t)ed->first_rj_count1,
    };
}

ljs_err ljs_ed_read(ljs_ed *out, const uint8_t *state, size_t state_len)
{
    struct ed ed;
    ljs_err err = ljs__ed_decode(&ed, state, state_len);

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    out->struct_size = sizeof *out;
    out->opts = opts_of(&ed);
    out->state = (ljs_ed_state)ed.state;
    out->dev_nonce = (uint32_t)ed.dev_nonce;
    out->rj_count0 = (uint32_t)ed.rj_count0;
    out->rj_count1 = (uint32_t)ed.rj_count1;
    out->join_nonce = (int32_t)ed.join_nonce;
    out->waiting = (uint8_t)ed.waiting;
    if (ed.waiting) {
        out->kind = (ljs_frame_kind)ed.kind;
        out->nonce = (uint16_t)ed.nonce;
    }
    out->wake_at = ljs__ed_wake_at(&ed, 0);
    if (!ed.scheme)
        return LJS_OK;
    out->scheme = (ljs_scheme)ed.scheme;
    out->session_kind = (ljs_frame_kind)ed.session_kind;
    out->session_nonce = (uint16_t)ed.session_nonce;
    out->net_id = (ljs_netid)ed.net_id;
    out->dev_addr = (ljs_devaddr)ed.dev_addr;
    out->bank = (uint8_t)ed.bank;
    out->fcnt_up = (uint64_t)ed.fcnt_up;
    out->n_fcnt_down = ed.n_fcnt_down;
    out->a_fcnt_down = ed.a_fcnt_down;
    out->silent = (uint32_t)ed.silent;
    out->ack_due = ed.ack_down >= 0;
    out->again_left = (uint8_t)(ed.sent_times ? ED_SENT_MAX - ed.sent_times : 0);
    out->force_left = (uint8_t)ed.force_left;
    out->force_type = (uint8_t)ed.force_type;
    out->has_params = (uint8_t)ed.has_params;
    out->max_time_n = (uint8_t)ed.max_time_n;
    out->max_count_n = (uint8_t)ed.max_count_n;
    return LJS_OK;
}

ljs_err ljs__end_device_digest(uint8_t out[16], int64_t now, const uint8_t *state, size_t state_len)
{
    struct ed ed;
    int64_t *const times[] = { &ed.join_at, &ed.rejoin0_at, &ed.rejoin0_from, &ed.rejoin1_at, &ed.force_at };
    ljs_buf buf;
    ljs_err err = ljs__ed_decode(&ed, state, state_len);

    memset(out, 0, 16);
    if (err)
        return err;
    if (ed.t0 >= 0)
        ed.t0 = ljs__ed_period(&ed, now);
    for (size_t i = 0; i < COUNT(times); i++)
        if (*times[i] >= 0)
            *times[i] = *times[i] > now ? *times[i] - now : 0;
    if (!ed.force_left)
        ed.force_at = ed.force_type = ed.force_period = ed.force_dr = 0;
    if (!ed.waiting)
        ed.kind = ed.nonce = 0;
    ed.bank = 0; /* which of two alike */
    ed.made_at = 0;
    err = ljs__ed_encode(&buf, &ed);
    if (!err)
        ljs__hash(out, buf.data, buf.len);
    ljs_buf_free(&buf);
    return err;
}
