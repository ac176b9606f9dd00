/* The network side of a session: every state and every event, and states at rest. */
#include "session/network.h"

#include "base/pack.h"
#include "keys/vault.h"

#include "network_net.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- the product of states and events --------------------------------------- */

enum { COLUMNS = 18, SITUATIONS = 9 };

/* Letters: the next state by its first letter (SWITCHING is S), '.' refused.
 *  J j  join-accept to a join-request, of 1.0 and of 1.1
 *  A    to a rejoin-request 1;  a b  to a rejoin 0 and 2 with RJcount0 4
 *  U u  uplink under the current context, without and with RekeyInd
 *  P p  the same under the pending one
 *  R r  the last uplink of the current context again, and something else under its counter
 *  D    downlink
 *  0 1 2  rejoin-request, RJcount0 5
 *  F X T  force_rejoin, rejoin_params, timer */
/* clang-format off */
static const char events[] = "JjAab UuPp Rr D 012 FXT";
static const struct {
    const char *name;
    ljs_ns_state state;
    int current, pending; /* 0: none; else a scheme */
    const char *want;
} situations[SITUATIONS] = {
    /*                                           JjAab UuPp Rr D 012 FXT */
    { "nothing", LJS_NS_NONE, 0, 0,             "PPP.. .... .. . .N. ..N" },
    { "pending 1.0", LJS_NS_PENDING, 0, 10,     "PPP.. ..AA .. . .P. ..P" },
    { "pending 1.1", LJS_NS_PENDING, 0, 11,     "PPP.. ...R .. . .P. ..P" },
    { "rekeying", LJS_NS_REKEYING, 11, 0,       "SSSSS AR.. R. R RRR RRR" },
    { "active 1.0", LJS_NS_ACTIVE, 10, 0,       "SSS.. AA.. A. A .A. ..A" },
    { "active 1.1", LJS_NS_ACTIVE, 11, 0,       "SSSSS AR.. A. A AAA AAA" },
    { "1.1 to 1.1", LJS_NS_SWITCHING, 11, 11,   "SSSSS SS.R S. S SSS SSS" },
    { "1.1 to 1.0", LJS_NS_SWITCHING, 11, 10,   "SSSSS SSAA S. S SSS SSS" },
    { "1.0 to 1.1", LJS_NS_SWITCHING, 10, 11,   "SSS.. SS.R S. S .S. ..S" },
};
/* clang-format on */

struct lives {
    struct life current, pending, j10, j11, rj1, rj0, rj2;
    struct said last; /* under the current context */
};

static struct life of(int scheme, uint32_t seed)
{
    return life_new(scheme == 10 ? LJS_SCHEME_1_0 : LJS_SCHEME_1_1, LJS_FRAME_JOIN, 1, seed);
}

/* Into the situation by the events that lead there.  Under 1.1, RJcount0 4 is the last, and
 * rejoin 2 was asked for. */
static struct net situation(size_t i, struct lives *l)
{
    struct net w = net_new();
    int cur = situations[i].current, pen = situations[i].pending;

    *l = (struct lives){
        of(cur ? cur : 11, 1),
        of(pen ? pen : 11, 2),
        of(10, 3),
        of(11, 4),
        life_new(LJS_SCHEME_1_1, LJS_FRAME_REJOIN1, 1, 5),
        life_new(LJS_SCHEME_1_1, LJS_FRAME_REJOIN0, 4, 6),
        life_new(LJS_SCHEME_1_1, LJS_FRAME_REJOIN2, 4, 7),
        *SAID(0, MAC(REKEY_IND)),
    };
    if (cur) {
        EXPECT(accept(&w, &l->current), LJS_OK);
        EXPECT(uplink(&w, &l->current, &l->last), LJS_OK);
    }
    if (cur == 11) {
        EXPECT(force(&w, (ljs_ns_force){ .rejoin_type = 2, .tries = 1 }), LJS_OK);
        EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
        EXPECT(rejoin(&w, &l->current, LJS_FRAME_REJOIN0, 4), LJS_OK);
        l->last = *SAID(1, .mac = REKEY_IND, .mac_len = i == 3 ? 2 : 0);
        EXPECT(uplink(&w, &l->current, &l->last), LJS_OK);
    }
    if (pen)
        EXPECT(accept(&w, &l->pending), LJS_OK);
    EXPECT(look(&w).state, situations[i].state);
    EXPECT(look(&w).current.present, cur != 0);
    EXPECT(look(&w).pending.present, pen != 0);
    return w;
}

static void lives_free(struct lives *l)
{
    life_free(&l->current);
    life_free(&l->pending);
    life_free(&l->j10);
    life_free(&l->j11);
    life_free(&l->rj1);
    life_free(&l->rj0);
    life_free(&l->rj2);
}

static ljs_err happen(struct net *w, const struct lives *l, char event)
{
    switch (event) {
    case 'J':
        return accept(w, &l->j10);
    case 'j':
        return accept(w, &l->j11);
    case 'A':
        return accept(w, &l->rj1);
    case 'a':
        return accept(w, &l->rj0);
    case 'b':
        return accept(w, &l->rj2);
    case 'U':
        return uplink(w, &l->current, SAID(10, .port = 1));
    case 'u':
        return uplink(w, &l->current, SAID(10, MAC(REKEY_IND)));
    case 'P':
        return uplink(w, &l->pending, SAID(10, .port = 1));
    case 'p':
        return uplink(w, &l->pending, SAID(10, MAC(REKEY_IND)));
    case 'R':
        return uplink(w, &l->current, &l->last);
    case 'r':
        return uplink(w, &l->current, SAID(l->last.fcnt, .port = 1));
    case 'D':
        return downlink(w, (ljs_ns_tx){ .fport = 1, .fcnt = 10 });
    case '0':
        return rejoin(w, &l->current, LJS_FRAME_REJOIN0, 5);
    case '1':
        return rejoin(w, &l->current, LJS_FRAME_REJOIN1, 5);
    case '2':
        return rejoin(w, &l->current, LJS_FRAME_REJOIN2, 5);
    case 'F':
        return force(w, (ljs_ns_force){ .tries = 1 });
    case 'X':
        return params(w, 1, 1);
    default:
        return timer(w);
    }
}

static void product(void **unused)
{
    unsigned pairs = 0;

    (void)unused;
    for (size_t i = 0; i < SITUATIONS; i++)
        for (size_t k = 0; events[k]; k++) {
            struct lives l;
            struct net w;
            uint8_t before[16], after[16];
            ljs_buf octets;
            ljs_err err;
            char want = situations[i].want[k], got;

            if (events[k] == ' ')
                continue;
            w = situation(i, &l);
            EXPECT(ljs__network_digest(before, w.vault, w.state.data, w.state.len), LJS_OK);
            EXPECT(ljs_buf_copy(&octets, w.state.data, w.state.len), LJS_OK);
            err = happen(&w, &l, events[k]);
            EXPECT(ljs__network_digest(after, w.vault, w.state.data, w.state.len), LJS_OK);
            got = err ? '.' : *ljs_ns_state_text(look(&w).state);
            if (got != want)
                fail_msg("%s, event %c: %c (%s) for %c", situations[i].name, events[k], got, ljs_errname(err), want);
            if (err) { /* bit-equal */
                EXPECT(w.state.len, octets.len);
                assert_memory_equal(w.state.data, octets.data, octets.len);
                assert_true(err == LJS_E_STATE || err == LJS_E_SESSION || err == LJS_E_MAC || err == LJS_E_REPLAY);
            } else if (events[k] != 'T') {
                assert_memory_not_equal(before, after, 16);
            } else {
                assert_memory_equal(before, after, 16);
            }
            ljs_buf_free(&octets);
            lives_free(&l);
            net_free(&w);
            pairs++;
        }
    EXPECT(pairs, SITUATIONS * COLUMNS);
}

/* The table that is drawn: each pair once, and named as it is. */
static void rows_are_sound(void **unused)
{
    size_t n;
    const struct network_row *rows = ljs__network_rules(&n);

    (void)unused;
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        const struct network_row *r = &rows[i];

        assert_string_equal(r->from_text, ljs_ns_state_text(r->from));
        assert_string_equal(r->to, ljs_ns_state_text(r->next));
        assert_true(r->check && r->act && r->event < EVENTS && *r->guard && *r->action && *r->event_text);
        for (size_t k = 0; k < i; k++)
            assert_false(rows[k].from == r->from && rows[k].event == r->event);
    }
    assert_string_equal(ljs_ns_state_text((ljs_ns_state)5), "?");
    assert_string_equal(ljs_ns_state_text((ljs_ns_state)-1), "?");
}

/* ---- at rest ---------------------------------------------------------------- */

/* The same octets refused by each step, all of which would do something with the true ones. */
static void all_refuse(struct net *w, const struct lives *l, ljs_err want)
{
    for (size_t k = 0; events[k]; k++)
        if (events[k] != ' ')
            EXPECT(happen(w, l, events[k]), want);
}

static void tampered(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < SITUATIONS; i++) {
        struct lives l;
        struct net w = situation(i, &l);
        uint8_t digest[16];
        size_t len = w.state.len;

        for (size_t bit = 0; bit < 8 * len; bit++) {
            ljs_err err;

            w.state.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            err = timer(&w);
            assert_true(err == LJS_E_SEAL || (err == LJS_E_VERSION && bit / 8 == 2)); /* the schema's octet */
            w.state.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        w.state.data[len - 1] ^= 1;
        all_refuse(&w, &l, LJS_E_SEAL);
        EXPECT(ljs__network_digest(digest, w.vault, w.state.data, w.state.len), LJS_E_SEAL);
        w.state.data[len - 1] ^= 1;
        for (w.state.len = 0; w.state.len < len; w.state.len++)
            EXPECT(timer(&w), LJS_E_SEAL);
        EXPECT(timer(&w), LJS_OK);
        net_free(&w);
        lives_free(&l);
    }
}

static void other_vault(void **unused)
{
    static const uint8_t master[32] = { 4 };

    (void)unused;
    for (size_t i = 0; i < SITUATIONS; i++) {
        struct lives l;
        struct net w = situation(i, &l);
        ljs_vault *own = w.vault;
        ljs_ns ns;

        EXPECT(ljs_vault_new(&w.vault, master, sizeof master), LJS_OK);
        all_refuse(&w, &l, LJS_E_SEAL);
        EXPECT(ljs_ns_read(&ns, w.state.data, w.state.len), LJS_OK); /* needs no vault */
        ljs_vault_free(w.vault);
        w.vault = own;
        net_free(&w);
        lives_free(&l);
    }
}

/* A state of tomorrow, well tagged; and one that is tagged as something else. */
static void newer_schema(void **unused)
{
    struct lives l;
    struct net w = situation(6, &l);
    struct wr s = { 0 };
    ljs_ns ns;

    (void)unused;
    EXPECT(w.state.data[1], 0); /* the first key is the schema's */
    ljs__wr(&s, w.state.data, w.state.len - 16);
    s.data[2]++;
    EXPECT(ljs__vault_tag(&s, w.vault, TAG_NETWORK), LJS_OK);
    ljs_buf_free(&w.state);
    EXPECT(ljs__wr_take(&w.state, &s), LJS_OK);
    all_refuse(&w, &l, LJS_E_VERSION);
    EXPECT(ljs_ns_read(&ns, w.state.data, w.state.len), LJS_E_VERSION);
    net_free(&w);
    lives_free(&l);

    w = situation(6, &l);
    ljs__wr(&s, w.state.data, w.state.len - 16);
    EXPECT(ljs__vault_tag(&s, w.vault, TAG_DEVICE), LJS_OK);
    ljs_buf_free(&w.state);
    EXPECT(ljs__wr_take(&w.state, &s), LJS_OK);
    all_refuse(&w, &l, LJS_E_SEAL);
    net_free(&w);
    lives_free(&l);
}

/* What lorajs wrote before it knew of uplinks that come again is read on: only the last uplink is
 * not known then. */
static void older_schema(void **unused)
{
    struct lives l;
    struct net w = situation(5, &l);
    size_t last = 1 + 1 + 18 + 1 + 1; /* its number, an array, a string of 16 octets, two small numbers */
    struct wr s = { 0 };

    (void)unused;
    ljs__wr(&s, w.state.data, w.state.len - 16 - last);
    EXPECT(w.state.data[s.len], 10);
    s.data[0]--;
    s.data[2] = 1;
    EXPECT(ljs__vault_tag(&s, w.vault, TAG_NETWORK), LJS_OK);
    ljs_buf_free(&w.state);
    EXPECT(ljs__wr_take(&w.state, &s), LJS_OK);
    EXPECT(happen(&w, &l, 'R'), LJS_E_REPLAY);
    EXPECT(happen(&w, &l, 'U'), LJS_OK);
    l.last = *SAID(10, .port = 1);
    EXPECT(happen(&w, &l, 'R'), LJS_OK);
    EXPECT(w.up.again, 1);
    net_free(&w);
    lives_free(&l);
}

/* Well tagged, but not what is ever written. */
static void malformed(void **unused)
{
    static const ljs_ns nothing;
    struct lives l;
    struct net w = situation(6, &l);
    ljs_buf good = w.state;
    size_t len = good.len - 16, state_at = 0;

    (void)unused;
    /* schema 1; then the state's own number, which says how many contexts there are */
    for (size_t i = 0; i + 1 < len && !state_at; i++)
        if (good.data[i] == 2 && good.data[i + 1] == LJS_NS_SWITCHING && good.data[i + 2] == 3)
            state_at = i + 1;
    assert_true(state_at > 0);
    for (unsigned how = 0; how < 8; how++) {
        struct wr s = { 0 };
        ljs_ns ns;

        ljs__wr(&s, good.data, how == 1 ? len - 1 : len);
        if (how == 0)
            ljs__wr_le(&s, 0xc0, 1); /* something behind */
        if (how == 2)
            s.data[0]--; /* a field less than it has */
        if (how == 3)
            s.data[0]++;
        if (how >= 4)
            s.data[state_at] = (uint8_t)(how == 7 ? 5 : how - 4); /* NONE, PENDING, REKEYING, and none at all */
        EXPECT(ljs__vault_tag(&s, w.vault, TAG_NETWORK), LJS_OK);
        EXPECT(ljs__wr_take(&w.state, &s), LJS_OK);
        all_refuse(&w, &l, LJS_E_SEAL);
        EXPECT(ljs_ns_read(&ns, w.state.data, w.state.len), LJS_E_SEAL);
        assert_memory_equal(&ns, &nothing, sizeof ns);
        ljs_buf_free(&w.state);
    }
    w.state = good;
    EXPECT(timer(&w), LJS_OK);
    net_free(&w);
    lives_free(&l);
}

/* No octet of a key is in a state. */
static void keys_are_sealed(void **unused)
{
    struct lives l;
    struct net w = situation(6, &l);
    const ljs_key *keys[] = { l.current.f, l.current.s, l.current.e, l.pending.f, l.pending.s, l.pending.e };

    (void)unused;
    for (size_t i = 0; i < COUNT(keys); i++) {
        ljs_buf k;

        EXPECT(ljs_key_export(&k, keys[i]), LJS_OK);
        assert_null(memmem(w.state.data, w.state.len, k.data, 8));
        ljs_buf_free(&k);
    }
    net_free(&w);
    lives_free(&l);
}

/* Nor on the dead stack below a step.  The stack is a thread's own, read through the kernel:
 * valgrind rightly objects to reading a dead one. */
enum { STACK = 1 << 20, PART = 8 };

static struct {
    struct net *w;
    const struct lives *l;
    char event; /* 0: leave a key, to show that it is found */
    ljs_err err;
    uint8_t leak[PART];
} work;

static void leave_a_key(void)
{
    volatile uint8_t copy[4096]; /* its begin lies deep */

    for (size_t i = 0; i < sizeof copy; i++)
        copy[i] = work.leak[i % PART];
}

static void *at_work(void *arg)
{
    (void)arg;
    work.err = LJS_OK;
    if (work.event)
        work.err = happen(work.w, work.l, work.event);
    else
        leave_a_key();
    return NULL;
}

static void no_key_on_the_stack(void **unused)
{
    /* of the situation "1.1 to 1.1", what is taken */
    static const char taken[] = "\0jaUupRD012FT";
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uint8_t *copy = malloc(STACK);

    (void)unused;
    assert_true(mem >= 0 && copy);
    for (size_t k = 0; k < sizeof taken - 1; k++) {
        struct lives l;
        struct net w = situation(6, &l);
        const ljs_key *keys[] = { l.current.f, l.current.s, l.current.e, l.pending.f, l.pending.s,
                                  l.pending.e, l.j11.f,     l.j11.s,     l.rj0.f,     l.rj0.e };
        void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_attr_t attr;
        pthread_t thread;
        bool found = false;
        ljs_buf octets;

        work.w = &w;
        work.l = &l;
        work.event = taken[k];
        EXPECT(ljs_key_export(&octets, keys[0]), LJS_OK);
        memcpy(work.leak, octets.data, PART);
        ljs_buf_free(&octets);
        assert_true(stack != MAP_FAILED);
        EXPECT(pthread_attr_init(&attr), 0);
        EXPECT(pthread_attr_setstack(&attr, stack, STACK), 0);
        EXPECT(pthread_create(&thread, &attr, at_work, NULL), 0);
        EXPECT(pthread_join(thread, NULL), 0);
        EXPECT(work.err, LJS_OK);
        EXPECT(pread(mem, copy, STACK, (off_t)(uintptr_t)stack), STACK);
        pthread_attr_destroy(&attr);
        munmap(stack, STACK);
        for (size_t i = 0; i < COUNT(keys); i++) {
            EXPECT(ljs_key_export(&octets, keys[i]), LJS_OK);
            found |= memmem(copy, STACK, octets.data, PART) != NULL;
            ljs_buf_free(&octets);
        }
        if (found != !taken[k])
            fail_msg("event %c", taken[k]);
        net_free(&w);
        lives_free(&l);
    }
    free(copy);
    close(mem);
}

/* Two lives that came the same way mean the same, though no octet of their keys at rest is equal. */
static void digests(void **unused)
{
    struct lives la, lb;
    struct net a = situation(6, &la), b = situation(6, &lb);
    uint8_t da[16], db[16];

    (void)unused;
    EXPECT(ljs__network_digest(da, a.vault, a.state.data, a.state.len), LJS_OK);
    EXPECT(ljs__network_digest(db, b.vault, b.state.data, b.state.len), LJS_OK);
    assert_memory_equal(da, db, 16);
    EXPECT(a.state.len, b.state.len);
    assert_memory_not_equal(a.state.data, b.state.data, a.state.len);
    EXPECT(uplink(&b, &lb.current, SAID(2)), LJS_OK);
    EXPECT(ljs__network_digest(db, b.vault, b.state.data, b.state.len), LJS_OK);
    assert_memory_not_equal(da, db, 16);
    net_free(&a);
    net_free(&b);
    lives_free(&la);
    lives_free(&lb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product),     cmocka_unit_test(rows_are_sound),  cmocka_unit_test(tampered),
        cmocka_unit_test(other_vault), cmocka_unit_test(newer_schema),    cmocka_unit_test(older_schema),
        cmocka_unit_test(malformed),   cmocka_unit_test(keys_are_sealed), cmocka_unit_test(no_key_on_the_stack),
        cmocka_unit_test(digests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
