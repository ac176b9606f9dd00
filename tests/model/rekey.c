#include "rekey.h"
#include "must.h"

#include <lorajs/join.h>
#include <lorajs/rekey.h>
#include <lorajs/rekey_device.h>

#include "base/cursor.h"
#include "base/secret.h"
#include "keys/rekey.h"
#include "keys/ring_inside.h"
#include "session/end_device.h"
#include "session/rekey_device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEV UINT64_C(0x0004a310001aa90a)
#define EUI UINT64_C(0x70b3d57ed00019e4)
#define NEW UINT64_C(0xfe00000000000001)

enum {
    AIR = 2,
    OCTETS = 64,
    EPOCHS = 6,
    ACCEPTED = 24,
    TURNS = 12,
    DAY_MS = 86400 * 1000,
    HEAL_EVERY = 16,
    NOW = 1000,
    RAISE = 100
};

enum { REQUESTS, COMMANDS, FORCES, MISHAPS, RESTORES, BUDGETS };

static const struct plan {
    const char *name, *says;
    ljs_mac mac;
    ljs_rekey_suite suite;
    uint8_t flags;
    ljs_eui join_eui;
    uint8_t left[2][BUDGETS]; /* join-requests, commands, decisions by force, mishaps, restores; and wide */
} plans[] = {
    { "rekey",
      "suite 1, another JoinEUI",
      LJS_MAC_1_0_4,
      LJS_REKEY_SUITE_1,
      LJS_REKEY_REKEY_KEY,
      NEW,
      { { 2, 2, 1, 1 }, { 3, 3, 1, 1 } } },
    { "rekey-same",
      "suite 1, the same JoinEUI",
      LJS_MAC_1_1,
      LJS_REKEY_SUITE_1,
      LJS_REKEY_APP_KEYS,
      0,
      { { 2, 2, 1, 1 }, { 3, 3, 1, 1 } } },
    { "rekey-2",
      "suite 2, keys that are compromised",
      LJS_MAC_1_1,
      LJS_REKEY_SUITE_2,
      LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY | LJS_REKEY_COMPROMISED,
      NEW,
      { { 2, 2, 0, 1 }, { 3, 2, 0, 1 } } },
    { "rekey-4", "suite 4, in place", LJS_MAC_1_0_4, LJS_REKEY_SUITE_4, 0, NEW, { { 2, 2, 0, 1 }, { 3, 2, 0, 2 } } },
    { "rekey-restored",
      "suite 1, another JoinEUI, and a Join Server of before",
      LJS_MAC_1_0_4,
      LJS_REKEY_SUITE_1,
      0,
      NEW,
      { { 2, 2, 0, 0, 1 }, { 3, 2, 0, 1, 1 } } },
    { "rekey-key-restored", /* one command: what came after it comes of a rekey key that is lost */
      "suite 1, another rekey key, and a Join Server of before",
      LJS_MAC_1_0_4,
      LJS_REKEY_SUITE_1,
      LJS_REKEY_REKEY_KEY,
      NEW,
      { { 2, 1, 0, 0, 1 }, { 3, 1, 1, 1, 1 } } },
    { "rekey-4-restored",
      "suite 4, and a Join Server of before",
      LJS_MAC_1_1,
      LJS_REKEY_SUITE_4,
      0,
      0,
      { { 2, 1, 0, 0, 1 }, { 3, 1, 0, 1, 1 } } },
};

#define LAWS(X)                                                                                                        \
    X(REKEY_FOUND, "device and Join Server come to a shared session, whatever was lost, cut or given up")              \
    X(REKEY_SETTLES, "... and a rekey that was not given up by force comes to its end, on both sides the same")        \
    X(REKEY_EPOCH, "an epoch is of one command alone, as long as the Join Server remembers")                           \
    X(REKEY_NONCE, "JoinNonces rise, and no join-request is accepted twice")                                           \
    X(REKEY_OLD, "once keys are committed, nothing under those of before is accepted")                                 \
    X(REKEY_SECRET, "an authentic command is answered, and nothing else")

enum law {
#define NAME(name, says) LAW_##name,
    LAWS(NAME)
#undef NAME
        LAWS_LEN
};
static struct {
    const char *name, *says;
    uint64_t asked;
} laws[LAWS_LEN] = {
#define ROW(name, says) { #name, says, 0 },
    LAWS(ROW)
#undef ROW
};
static int broken = -1;

static bool law(enum law which, bool holds)
{
    laws[which].asked++;
    if (!holds && broken < 0)
        broken = (int)which;
    return holds;
}

enum kind { NOTHING, COMMAND, ANSWER, REQUEST, ACCEPT };

struct message {
    uint8_t kind, len, epoch; /* of the keys that a request is under */
    uint8_t octets[OCTETS];
};

struct octs {
    size_t len;
    uint8_t at[1400];
};

/* All of it, as a value.  Two nodes are one where they mean the same up to `key`, and are the same from there on. */
struct node {
    struct octs record, live, durable;
    int64_t now;
    uint8_t key[LJS_SE_KEYS][16];
    bool has[LJS_SE_KEYS];
    struct message air[AIR];
    uint8_t left[BUDGETS], accepted, commands;
    bool forced, restored;
    uint32_t join_nonce;
    uint8_t hash[ACCEPTED][8]; /* of join-requests that were accepted */
    uint8_t command[EPOCHS][16];
};

/* What is the same in every node, and the power. */
static struct {
    const struct plan *is;
    ljs_vault *vault;
    ljs_key *x25519, *ephemeral, *parent;
    uint8_t serial[9];
    ljs_se *se;
    struct ring *ring;
    struct node *at;
    struct octs backup;
    unsigned writes, cut_at;
    bool after, dead, cut;
} w;

/* ---- the element: a part of the node ------------------------------------------- */

static bool cut_before(void)
{
    if (w.dead)
        return true;
    if (++w.writes != w.cut_at)
        return false;
    w.cut = w.dead = true;
    return !w.after;
}

static void load_key(ljs_se_key id)
{
    slot_set(w.ring, KEY_WORK, w.at->key[id], 16);
}

static void keep_key(ljs_se_key id, const uint8_t octets[16])
{
    memcpy(w.at->key[id], octets, 16);
    w.at->has[id] = true;
}

static ljs_err se_derive(void *self, ljs_se_key to, ljs_se_key from, const uint8_t *in)
{
    uint8_t out[16];

    (void)self;
    if (!w.at->has[from])
        return LJS_E_NOKEY;
    if (cut_before())
        return LJS_E_CRYPTO;
    load_key(from);
    MUST(ljs__encrypt(w.ring, KEY_WORK, out, in, 16));
    keep_key(to, out);
    return w.dead ? LJS_E_CRYPTO : LJS_OK;
}

static ljs_err se_encrypt(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    (void)self;
    if (w.dead || !w.at->has[id])
        return w.dead ? LJS_E_CRYPTO : LJS_E_NOKEY;
    load_key(id);
    return ljs__encrypt(w.ring, KEY_WORK, out, in, in_len);
}

static ljs_err se_cmac(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    (void)self;
    if (w.dead || !w.at->has[id])
        return w.dead ? LJS_E_CRYPTO : LJS_E_NOKEY;
    load_key(id);
    return ljs__cmac(w.ring, KEY_WORK, out, in, in_len);
}

static int se_has(void *self, ljs_se_key id)
{
    (void)self;
    return w.at->has[id];
}

static ljs_err se_agree(void *self, ljs_se_key to, const uint8_t *peer, const uint8_t *context)
{
    uint8_t points[64];
    ljs_eui dev_eui, join_eui;
    ljs_key *key;
    ljs_buf octets;

    (void)self, (void)context;
    memcpy(&dev_eui, context, 8);
    memcpy(&join_eui, context + 8, 8);
    if (cut_before())
        return LJS_E_CRYPTO;
    memcpy(points, peer, 32);
    MUST(ljs_x25519_public(points + 32, w.x25519));
    MUST(ljs_rekey_agree(&key, w.x25519, le64(dev_eui), le64(join_eui), points, sizeof points));
    MUST(ljs_key_export(&octets, key));
    keep_key(to, octets.data);
    ljs_buf_free(&octets);
    ljs_key_free(key);
    return w.dead ? LJS_E_CRYPTO : LJS_OK;
}

static ljs_err se_derive_key(void *self, const uint8_t *temp_key, const uint8_t *mac)
{
    uint8_t want[32];
    ljs_key *slot;
    ljs_buf octets;

    (void)self;
    MUST(ljs_rekey_slot_mac(want, w.parent, w.serial, sizeof w.serial));
    if (memcmp(want, mac, 32) != 0)
        return LJS_E_MIC;
    if (cut_before())
        return LJS_E_CRYPTO;
    MUST(ljs__rekey_slot_of(&slot, w.parent, w.serial, temp_key));
    MUST(ljs_key_export(&octets, slot));
    keep_key(LJS_SE_APP, octets.data);
    keep_key(LJS_SE_NWK, octets.data + 16);
    ljs_buf_free(&octets);
    ljs_key_free(slot);
    return w.dead ? LJS_E_CRYPTO : LJS_OK;
}

/* ---- octets ---------------------------------------------------------------------- */

static void set(struct octs *to, ljs_buf *from)
{
    if (from->len > sizeof to->at)
        abort();
    memcpy(to->at, from->data, from->len);
    to->len = from->len;
    ljs_buf_free(from);
}

static void put_in_air(struct node *n, enum kind kind, const uint8_t *octets, size_t len, unsigned epoch)
{
    for (unsigned i = 0; i < AIR; i++)
        if (!n->air[i].kind) {
            n->air[i] = (struct message){ .kind = (uint8_t)kind, .len = (uint8_t)len, .epoch = (uint8_t)epoch };
            memcpy(n->air[i].octets, octets, len);
            return;
        }
}

static bool air_full(const struct node *n)
{
    for (unsigned i = 0; i < AIR; i++)
        if (!n->air[i].kind)
            return false;
    return true;
}

/* ---- the device ------------------------------------------------------------------ */

static bool step(struct node *n, ljs_ed_out *out, ljs_ed_event_kind kind, const uint8_t *in, size_t in_len);

static void power_up(struct node *n)
{
    ljs_ed_out out;
    ljs_ed_rekey_out rekey;
    ljs_buf next;

    bool cut = w.cut;

    w.dead = w.cut = false;
    w.cut_at = 0;
    n->live = n->durable;
    if (!step(n, &out, LJS_ED_ON_RESTART, NULL, 0))
        abort();
    w.cut = cut;
    MUST(ljs_ed_rekey(&rekey, &next, w.se, n->now, NULL, 0, n->live.at, n->live.len));
    set(&n->live, &next);
    if (rekey.persist)
        n->durable = n->live;
    if (rekey.answer_len && !air_full(n))
        put_in_air(n, ANSWER, rekey.answer, rekey.answer_len, 0);
}

static bool keep(struct node *n, ljs_buf *next, bool persist)
{
    bool lost = w.dead || (persist && cut_before());

    if (lost) {
        ljs_buf_free(next);
        power_up(n);
        return false;
    }
    set(&n->live, next);
    if (persist)
        n->durable = n->live;
    if (w.dead)
        power_up(n);
    return !w.cut;
}

static bool step(struct node *n, ljs_ed_out *out, ljs_ed_event_kind kind, const uint8_t *in, size_t in_len)
{
    ljs_ed_event event;
    ljs_buf next;

    ljs_ed_event_init(&event, kind, n->now);
    event.random = 5;
    if (in_len)
        memcpy(event.frame, in, in_len);
    event.frame_len = in_len;
    if (ljs_ed_step(out, &next, w.se, &event, n->live.at, n->live.len) && !w.dead)
        return false;
    return keep(n, &next, out->persist);
}

static void ask(struct node *n)
{
    ljs_ed_out out;
    struct ed ed;

    n->now += DAY_MS;
    MUST(ljs__ed_decode(&ed, n->live.at, n->live.len));
    if (ed.scheme && !step(n, &out, LJS_ED_ON_STOP, NULL, 0))
        return;
    MUST(ljs__ed_decode(&ed, n->live.at, n->live.len));
    if (!step(n, &out, ed.state == LJS_ED_IDLE ? LJS_ED_ON_START : LJS_ED_ON_TICK, NULL, 0) || !out.frame_len)
        return;
    MUST(ljs__ed_decode(&ed, n->live.at, n->live.len));
    put_in_air(n, REQUEST, out.frame, out.frame_len,
               (unsigned)(ed.rk_phase && ed.roots == ed.roots_new ? ed.rk_new_epoch : ed.rk_epoch));
}

static void hear_command(struct node *n, const struct message *m)
{
    ljs_ed_rekey_out out;

    do {
        ljs_buf next;
        ljs_err err = ljs_ed_rekey(&out, &next, w.se, n->now, m->octets, m->len, n->live.at, n->live.len);

        if (err && !w.dead) {
            law(LAW_REKEY_SECRET, false);
            return;
        }
        if (!keep(n, &next, out.persist))
            return;
    } while (out.again);
    if (out.answer_len)
        put_in_air(n, ANSWER, out.answer, out.answer_len, 0);
}

/* ---- the Join Server --------------------------------------------------------------- */

/* Durable, and so said: or not. */
static bool save(struct node *n, ljs_buf *record)
{
    if (!record->data)
        return true;
    if (cut_before()) {
        ljs_buf_free(record);
        w.dead = false; /* it is up again, with what is there */
        return false;
    }
    set(&n->record, record);
    if (!w.dead)
        return true;
    w.dead = false;
    return false;
}

static ljs_rekey rekey_of(const struct node *n)
{
    ljs_rekey rekey;

    MUST(ljs_rekey_read(&rekey, n->record.at, n->record.len));
    return rekey;
}

static unsigned epoch_of(const struct node *n)
{
    ljs_device device;

    MUST(ljs_device_read(&device, n->record.at, n->record.len));
    return device.epoch;
}

static bool begin(struct node *n, struct message *to)
{
    const ljs_rekey_opts opts = { .struct_size = sizeof opts,
                                  .suite = w.is->suite,
                                  .flags = w.is->flags,
                                  .experimental = 1,
                                  .force = 1,
                                  .kept = 1,
                                  .join_eui = w.is->join_eui,
                                  .now = 1,
                                  .ephemeral = w.ephemeral,
                                  .parent = w.parent,
                                  .serial = { 0x01, 0x23, 0, 0, 0, 0, 0, 0, 0x27 } };
    ljs_rekey_message m;
    ljs_buf out, record;

    if (ljs_rekey_begin(&out, &record, w.vault, &opts, n->record.at, n->record.len))
        return false;
    MUST(ljs_rekey_parse(&m, out.data, out.len));
    if (save(n, &record)) {
        uint8_t hash[16];
        unsigned epoch = m.epoch < EPOCHS ? m.epoch : 0;
        static const uint8_t none[16];

        ljs__hash(hash, out.data, out.len);
        law(LAW_REKEY_EPOCH, !memcmp(n->command[epoch], none, 16) || !memcmp(n->command[epoch], hash, 16));
        memcpy(n->command[epoch], hash, 16);
        *to = (struct message){ .kind = COMMAND, .len = (uint8_t)out.len };
        memcpy(to->octets, out.data, out.len);
        ljs_buf_free(&out);
        return true;
    }
    ljs_buf_free(&out);
    return false;
}

static bool give_up(struct node *n, struct message *to, bool force)
{
    ljs_buf out, record;

    if (ljs_rekey_abort(&out, &record, w.vault, force, n->record.at, n->record.len))
        return false;
    *to = (struct message){ .kind = COMMAND, .len = (uint8_t)out.len };
    memcpy(to->octets, out.data, out.len);
    ljs_buf_free(&out);
    return save(n, &record);
}

static void hear_answer(struct node *n, const struct message *m)
{
    ljs_rekey_message message;
    ljs_buf record;

    if (!ljs_rekey_answer(&message, &record, w.vault, m->octets, m->len, n->record.at, n->record.len))
        (void)save(n, &record);
}

static void hear_request(struct node *n, const struct message *m)
{
    ljs_join_req req;
    ljs_join_ans ans;
    ljs_buf record;
    unsigned had = epoch_of(n);
    uint8_t hash[16];

    MUST(ljs_join_req_init(&req));
    memset(req.session_key_id, 1, sizeof req.session_key_id);
    memcpy(req.phy, m->octets, m->len);
    req.phy_len = m->len;
    req.mac = w.is->mac;
    req.dl_settings = w.is->mac >= LJS_MAC_1_1 ? 0x80 : 0;
    req.clear = LJS_CLEAR_NS | LJS_CLEAR_AS;
    req.now = NOW;
    req.resync = 1;
    if (ljs_join(&ans, &record, w.vault, &req, NULL, NULL, NULL, NULL, n->record.at, n->record.len))
        return;
    if (!ans.repeat) {
        ljs__hash(hash, m->octets, m->len);
        for (unsigned i = 0; i < n->accepted; i++)
            law(LAW_REKEY_NONCE, memcmp(n->hash[i], hash, 8) != 0);
        law(LAW_REKEY_NONCE, ans.join_nonce > n->join_nonce);
        law(LAW_REKEY_OLD, m->epoch >= had);
    }
    if (!save(n, &record))
        return;
    if (!ans.repeat) {
        if (n->accepted < ACCEPTED)
            memcpy(n->hash[n->accepted++], hash, 8);
        n->join_nonce = ans.join_nonce;
    }
    put_in_air(n, ACCEPT, ans.phy, ans.phy_len, 0);
}

/* It is the one of before the rekey; what was accepted since then may be so once more. */
static void restore(struct node *n)
{
    ljs_buf record;

    MUST(ljs_device_raise(&record, w.vault, RAISE, w.backup.at, w.backup.len));
    set(&n->record, &record);
    n->accepted = 0;
    memset(n->command, 0, sizeof n->command); /* nor does it know what it began: whom that loses, is found again */
    n->restored = true;
}

/* An operator looks for a device that is ahead; false where the state has no place for that. */
static bool look_for_it(struct node *n)
{
    const ljs_resync_opts opts = { .struct_size = sizeof opts,
                                   .suite = w.is->suite,
                                   .flags = w.is->flags & (LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY),
                                   .experimental = 1,
                                   .join_eui = w.is->join_eui,
                                   .now = NOW,
                                   .until = NOW + 1,
                                   .parent = w.parent,
                                   .serial = { 0x01, 0x23, 0, 0, 0, 0, 0, 0, 0x27 } };
    ljs_buf record;

    if (ljs_rekey_resync(&record, w.vault, &opts, n->record.at, n->record.len))
        return false;
    set(&n->record, &record);
    return true;
}

/* ---- events ------------------------------------------------------------------------ */

enum what { ASK, BEGIN, GIVE_UP, FORCE, REOPEN, CRASH, RESTORE, DELIVER, EVENTS = DELIVER + AIR };
enum how { WELL, KEPT, LOST, CUTS }; /* CUTS and above: before the first write, after it, before the second ... */

static const char *const what_text[] = { "device asks to join",    "begin",    "abort",
                                         "abort by force",         "reopen",   "device crashes",
                                         "restored from a backup", "delivered" };

/* false: it does not happen, or there is no such cut. */
static bool apply(struct node *n, unsigned what, unsigned how)
{
    struct message m = { 0 };

    w.at = n;
    w.writes = 0;
    w.cut = w.dead = false;
    w.cut_at = how >= CUTS ? 1 + (how - CUTS) / 2 : 0;
    w.after = (how - CUTS) & 1;
    if (how != WELL && !n->left[MISHAPS]--)
        return false;
    switch (what) {
    case ASK:
        if (how == KEPT || how == LOST || air_full(n) || !n->left[REQUESTS]--)
            return false;
        ask(n);
        break;
    case BEGIN:
    case GIVE_UP:
        if (how == KEPT || how == LOST || air_full(n) || !n->left[COMMANDS]--)
            return false;
        if (!(what == BEGIN ? begin(n, &m) : give_up(n, &m, false)))
            return w.cut;
        put_in_air(n, COMMAND, m.octets, m.len, 0);
        break;
    case FORCE:
        if (how != WELL || !n->left[FORCES]-- || !give_up(n, &m, true))
            return false;
        n->forced = true;
        break;
    case REOPEN: {
        ljs_buf record;

        if (how != WELL || !n->left[FORCES]-- ||
            ljs_rekey_step(&record, w.vault, LJS_REKEY_ACT_REOPEN, n->record.at, n->record.len))
            return false;
        set(&n->record, &record);
        break;
    }
    case CRASH:
        if (how != WELL || !n->left[MISHAPS]--)
            return false;
        power_up(n);
        break;
    case RESTORE:
        if (how != WELL || !n->left[RESTORES]--)
            return false;
        restore(n);
        break;
    default: {
        ljs_ed_out out;

        m = n->air[what - DELIVER];
        if (!m.kind)
            return false;
        if (how != KEPT)
            n->air[what - DELIVER].kind = NOTHING;
        else if (air_full(n))
            return false;
        if (how == LOST)
            break;
        if (m.kind == COMMAND)
            hear_command(n, &m);
        else if (m.kind == ANSWER)
            hear_answer(n, &m);
        else if (m.kind == REQUEST)
            hear_request(n, &m);
        else
            (void)step(n, &out, LJS_ED_ON_DOWNLINK, m.octets, m.len);
    }
    }
    return how < CUTS || w.cut;
}

/* ---- from here on nothing is lost --------------------------------------------------- */

static bool join_well(struct node *n)
{
    ljs_ed_out out;
    unsigned had = n->join_nonce;

    memset(n->air, 0, sizeof n->air);
    ask(n);
    if (n->air[0].kind == REQUEST) {
        struct message m = n->air[0];

        n->air[0].kind = NOTHING;
        hear_request(n, &m);
    }
    if (n->air[0].kind == ACCEPT && step(n, &out, LJS_ED_ON_DOWNLINK, n->air[0].octets, n->air[0].len) && out.joined)
        return n->join_nonce > had;
    (void)step(n, &out, LJS_ED_ON_LOST, NULL, 0);
    return false;
}

static bool joins(struct node *n)
{
    for (unsigned i = 0; i < TURNS; i++)
        if (join_well(n))
            return true;
    return false;
}

static unsigned device_epoch(const struct node *n)
{
    struct ed ed;

    MUST(ljs__ed_decode(&ed, n->live.at, n->live.len));
    return (unsigned)(ed.rk_phase ? EPOCHS : ed.rk_epoch);
}

/* Until it is stable, under keys of this epoch at the least. */
static void settle(struct node *n, unsigned epoch)
{
    for (unsigned i = 0; i < TURNS && (rekey_of(n).state != LJS_REKEY_STABLE || epoch_of(n) < epoch); i++) {
        struct message m;
        bool aborting = rekey_of(n).state == LJS_REKEY_ABORTING ||
                        /* an epoch that the device has burnt, and a server of before has not */
                        (n->restored && i > 3 && rekey_of(n).state == LJS_REKEY_PENDING);

        memset(n->air, 0, sizeof n->air);
        if (rekey_of(n).state != LJS_REKEY_COMMITTED && (aborting ? give_up(n, &m, false) : begin(n, &m))) {
            hear_command(n, &m);
            if (law(LAW_REKEY_SECRET, n->air[0].kind == ANSWER || w.is->suite == LJS_REKEY_SUITE_4) &&
                n->air[0].kind == ANSWER)
                hear_answer(n, &n->air[0]);
        }
        (void)join_well(n);
    }
}

/* What was given up by force is found again where the device still has it; else there is no end that both know.  Of two
 * rekeys that replaced the rekey key each is found by itself. */
static bool settled_by_looking(struct node *n)
{
    struct message m;
    ljs_buf record;

    for (unsigned k = 0; k < 3 && device_epoch(n) == EPOCHS; k++) {
        if (rekey_of(n).state == LJS_REKEY_PENDING || rekey_of(n).state == LJS_REKEY_ACKED ||
            rekey_of(n).state == LJS_REKEY_ABORTING) /* of another epoch than the device's, it may be */
            (void)give_up(n, &m, true);
        (void)look_for_it(n);
        for (unsigned i = 0; i < TURNS && device_epoch(n) == EPOCHS && rekey_of(n).state != LJS_REKEY_STABLE; i++)
            (void)join_well(n);
    }
    if (rekey_of(n).state == LJS_REKEY_RESYNC) {
        MUST(ljs_rekey_step(&record, w.vault, LJS_REKEY_ACT_CLOSE, n->record.at, n->record.len));
        set(&n->record, &record);
    }
    return law(LAW_REKEY_SETTLES, device_epoch(n) != EPOCHS);
}

static void heal(const struct node *from)
{
    struct node n = *from;
    unsigned had;

    w.at = &n;
    w.cut = w.dead = false;
    w.cut_at = 0;
    if (n.restored && !joins(&n))
        (void)look_for_it(&n);
    if (!law(LAW_REKEY_FOUND, joins(&n)))
        return;
    if ((n.forced || n.restored) && !settled_by_looking(&n))
        return;
    had = epoch_of(&n);
    settle(&n, had);
    law(LAW_REKEY_SETTLES, rekey_of(&n).state == LJS_REKEY_STABLE && joins(&n) && device_epoch(&n) == epoch_of(&n));
    had = epoch_of(&n);
    settle(&n, had + 1); /* and so does another one */
    law(LAW_REKEY_SETTLES, epoch_of(&n) > had && joins(&n) && device_epoch(&n) == epoch_of(&n));
}

/* ---- the walk ------------------------------------------------------------------------ */

struct visit {
    uint8_t digest[16];
    uint32_t from;
    uint8_t what, how;
};

static struct {
    struct visit *visit;
    struct node **node;
    size_t len, room;
    uint32_t *slot;
    size_t slots;
} known;

/* Most often it is the same as the last. */
static void device_digest(uint8_t out[16], int64_t now, const struct octs *of)
{
    static struct {
        struct octs of;
        int64_t now;
        uint8_t digest[16];
    } last;

    if (last.now != now || last.of.len != of->len || memcmp(last.of.at, of->at, of->len) != 0) {
        MUST(ljs__end_device_digest(last.digest, now, of->at, of->len));
        last.now = now;
        last.of = *of;
    }
    memcpy(out, last.digest, 16);
}

static void digest_of(uint8_t out[16], const struct node *n)
{
    enum { REST = sizeof *n - offsetof(struct node, key) };
    static struct {
        uint8_t live[16], durable[16], rest[REST];
        ljs_rekey rekey;
        ljs_join_eui of[2];
        uint32_t epoch, next_join_nonce;
    } image;
    ljs_device device;

    memset(&image, 0, sizeof image);
    device_digest(image.durable, n->now, &n->durable);
    device_digest(image.live, n->now, &n->live);
    memcpy(image.rest, (const uint8_t *)n + offsetof(struct node, key), sizeof image.rest);
    /* Of the record what it says: what is sealed has another nonce each time, and what it means is in the rest; of old
     * sessions nothing is asked here, but for the repeat of the last. */
    image.rekey = rekey_of(n);
    MUST(ljs_device_read(&device, n->record.at, n->record.len));
    for (unsigned i = 0; i < device.join_euis && i < 2; i++)
        MUST(ljs_device_join_eui(&image.of[i], i, n->record.at, n->record.len));
    image.epoch = device.epoch;
    image.next_join_nonce = device.next_join_nonce;
    ljs__hash(out, (const uint8_t *)&image, sizeof image);
}

static uint64_t number_of(const uint8_t digest[16])
{
    uint64_t v;

    memcpy(&v, digest, sizeof v);
    return v;
}

static bool discover(const struct node *n, size_t from, unsigned what, unsigned how)
{
    uint8_t digest[16];
    size_t at;

    digest_of(digest, n);
    if (2 * known.len >= known.slots) {
        known.slots = known.slots ? 2 * known.slots : 1 << 12;
        free(known.slot);
        if (!(known.slot = calloc(known.slots, sizeof *known.slot)))
            abort();
        for (size_t i = 0; i < known.len; i++) {
            at = number_of(known.visit[i].digest) & (known.slots - 1);
            while (known.slot[at])
                at = (at + 1) & (known.slots - 1);
            known.slot[at] = (uint32_t)i + 1;
        }
    }
    at = number_of(digest) & (known.slots - 1);
    for (; known.slot[at]; at = (at + 1) & (known.slots - 1))
        if (!memcmp(known.visit[known.slot[at] - 1].digest, digest, 16))
            return false;
    if (known.len == known.room) {
        known.room = known.room ? 2 * known.room : 1 << 12;
        known.visit = realloc(known.visit, known.room * sizeof *known.visit);
        known.node = realloc(known.node, known.room * sizeof(struct node *));
        if (!known.visit || !known.node)
            abort();
    }
    if (!(known.node[known.len] = malloc(sizeof *n)))
        abort();
    *known.node[known.len] = *n;
    known.visit[known.len] = (struct visit){ .from = (uint32_t)from, .what = (uint8_t)what, .how = (uint8_t)how };
    memcpy(known.visit[known.len].digest, digest, 16);
    known.slot[at] = (uint32_t)++known.len;
    return true;
}

static void tell_one(unsigned what, unsigned how)
{
    static const char *const kinds[] = { "well", "kept", "lost" };

    if (how < CUTS)
        printf("    %s %u, %s\n", what_text[what < DELIVER ? what : DELIVER], what < DELIVER ? 0 : what - DELIVER,
               kinds[how]);
    else
        printf("    %s %u, the power fails %s write %u\n", what_text[what < DELIVER ? what : DELIVER],
               what < DELIVER ? 0 : what - DELIVER, (how - CUTS) & 1 ? "after" : "before", 1 + (how - CUTS) / 2);
}

static void tell(size_t to)
{
    if (!to)
        return;
    tell(known.visit[to].from);
    tell_one(known.visit[to].what, known.visit[to].how);
}

static void first(struct node *n)
{
    bool suite4 = w.is->suite == LJS_REKEY_SUITE_4;
    ljs_device device = { .struct_size = sizeof device, .dev_eui = DEV, .join_eui = EUI, .mac = w.is->mac };
    uint8_t root[3][16];
    ljs_key *key[3];
    ljs_ed_opts opts;
    ljs_buf made;

    memset(n, 0, sizeof *n);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 16; k++)
            root[i][k] = (uint8_t)(i * 91 + k * k * 13 + 7);
        MUST(ljs_key_import(&key[i], root[i], 16));
    }
    device.has_x25519 = 1;
    MUST(ljs_x25519_public(device.x25519_public_key, w.x25519));
    MUST(ljs_device_make(&made, w.vault, &device,
                         &(ljs_root_keys){ .nwk = key[0], .app = key[1], .rekey = suite4 ? NULL : key[2] }, 0, -1, NULL,
                         0, NULL, 0));
    set(&n->record, &made);
    w.at = n;
    keep_key(LJS_SE_NWK, root[0]);
    keep_key(LJS_SE_APP, root[1]);
    if (!suite4)
        keep_key(LJS_SE_REKEY, root[2]);
    ljs_ed_opts_init(&opts);
    opts.join_eui = EUI;
    opts.dev_eui = DEV;
    opts.mac = (uint16_t)w.is->mac;
    opts.join_nonce_rising = 1;
    MUST(ljs_ed_new(&made, &opts));
    set(&n->live, &made);
    n->durable = n->live;
    w.dead = w.cut = false;
    w.cut_at = 0;
    if (!join_well(n))
        abort();
    w.backup = n->record;
    for (unsigned i = 0; i < 3; i++)
        ljs_key_free(key[i]);
    memset(n->air, 0, sizeof n->air);
}

static void world_begin_rekey(const struct plan *is)
{
    static const ljs_se_ops ops = { .struct_size = sizeof ops,
                                    .derive = se_derive,
                                    .encrypt = se_encrypt,
                                    .cmac = se_cmac,
                                    .has = se_has,
                                    .agree = se_agree,
                                    .derive_key = se_derive_key };
    uint8_t octets[32];

    memset(&w, 0, sizeof w);
    w.is = is;
    for (unsigned i = 0; i < 32; i++)
        octets[i] = (uint8_t)(i * i + 3 * i + 1);
    MUST(ljs_vault_new(&w.vault, octets, 32));
    octets[0]++;
    MUST(ljs_key_import(&w.x25519, octets, 32));
    octets[0]++;
    MUST(ljs_key_import(&w.ephemeral, octets, 32));
    octets[0]++;
    MUST(ljs_key_import(&w.parent, octets, 32));
    memcpy(w.serial, (const uint8_t[]){ 0x01, 0x23, 0, 0, 0, 0, 0, 0, 0x27 }, 9);
    MUST(ljs_se_custom(&w.se, &ops, NULL));
    MUST(ljs__ring_take(&w.ring));
}

static void world_end_rekey(void)
{
    ljs__ring_give(w.ring);
    ljs_se_free(w.se);
    ljs_key_free(w.x25519);
    ljs_key_free(w.ephemeral);
    ljs_key_free(w.parent);
    ljs_vault_free(w.vault);
    for (size_t i = 0; i < known.len; i++)
        free(known.node[i]);
    free(known.node);
    free(known.visit);
    free(known.slot);
    memset(&known, 0, sizeof known);
}

const char *rekey_plan(unsigned i)
{
    return i < sizeof plans / sizeof *plans ? plans[i].name : NULL;
}

bool rekey_explore(unsigned i, bool wide)
{
    const struct plan *plan = &plans[i];
    const uint8_t *left = plan->left[wide];
    uint64_t transitions = 0;
    static struct node n, from;

    world_begin_rekey(plan);
    printf("%s: %s\n  bound: %d messages in flight; %u join-requests, %u commands, %u decisions by force, %u mishaps, "
           "%u restores; healed from one state in %u\n",
           plan->name, plan->says, AIR, left[REQUESTS], left[COMMANDS], left[FORCES], left[MISHAPS], left[RESTORES],
           HEAL_EVERY);
    first(&n);
    memcpy(n.left, left, sizeof n.left);
    (void)discover(&n, 0, 0, 0);
    for (size_t at = 0; at < known.len && broken < 0; at++) {
        from = *known.node[at];
        free(known.node[at]);
        known.node[at] = NULL;
        if (at % HEAL_EVERY == 0)
            heal(&from);
        if (broken >= 0) {
            printf("  law broken: %s: %s\n", laws[broken].name, laws[broken].says);
            tell(at);
            break;
        }
        for (unsigned what = 0; what < EVENTS && broken < 0; what++)
            for (unsigned how = 0; how < 200 && broken < 0; how++) {
                n = from;
                if (!apply(&n, what, how)) {
                    if (how >= CUTS)
                        break;
                    continue;
                }
                transitions++;
                if (broken >= 0) {
                    printf("  law broken: %s: %s\n", laws[broken].name, laws[broken].says);
                    tell(at);
                    tell_one(what, how);
                    break;
                }
                (void)discover(&n, at, what, how);
            }
    }
    if (broken < 0)
        printf("  %zu states, %" PRIu64 " transitions\n", known.len, transitions);
    world_end_rekey();
    return broken < 0;
}

unsigned rekey_laws_asked(void)
{
    unsigned asked = 0;

    for (size_t i = 0; i < LAWS_LEN; i++) {
        printf("  %-13s %9" PRIu64 "  %s\n", laws[i].name, laws[i].asked, laws[i].says);
        asked += laws[i].asked > 0;
    }
    return asked;
}
