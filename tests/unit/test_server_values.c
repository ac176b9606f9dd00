/* Whoever writes to the database, without the master key: every value of a store that has one of each
 * kind, with every bit of it turned, and with every other value put in its place.  Each is found. */
#include "codec/element.h"
#include "server/internal.h"

#include <lorajs/chip.h>
#include <lorajs/claim.h>
#include <lorajs/master.h>
#include <lorajs/rewrap.h>
#include <lorajs/roles.h>

#include "audit_world.h"

enum { VALUES_MAX = 48, NOW = 1767225600 };

struct value {
    uint8_t key[160];
    size_t key_len;
    ljs_buf octets;
};

static struct value values[VALUES_MAX];
static unsigned values_len;

static ljs_err note(void *user, const uint8_t *key, size_t key_len)
{
    struct value *v = &values[values_len++];
    uint64_t version;

    assert_true(values_len <= VALUES_MAX && key_len <= sizeof v->key);
    memcpy(v->key, key, key_len);
    v->key_len = key_len;
    return ljs_store_get(&v->octets, &version, user, key, key_len);
}

static void put(ljs_store *store, const struct value *at, const ljs_buf *octets)
{
    ljs_change change = { .key = at->key, .key_len = at->key_len, .in = octets->data, .in_len = octets->len };
    ljs_buf was;

    assert_int_equal(ljs_store_get(&was, &change.if_version, store, at->key, at->key_len), LJS_OK);
    ljs_buf_free(&was);
    assert_int_equal(ljs_store_commit(store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
}

/* ---- who reads what --------------------------------------------------------- */

static ljs_err one_kek(void *user, const char *label, size_t len)
{
    (void)user;
    (void)label;
    (void)len;
    return LJS_OK;
}

static ljs_err one_lot(void *user, const char *label)
{
    (void)user;
    (void)label;
    return LJS_OK;
}

static ljs_err one_credential(void *user, const ljs_credential *credential)
{
    (void)user;
    (void)credential;
    return LJS_OK;
}

static ljs_err one_account(void *user, const ljs_account *account)
{
    (void)user;
    (void)account;
    return LJS_OK;
}

static ljs_err one_claim(void *user, const ljs_claim *claim)
{
    (void)user;
    (void)claim;
    return LJS_OK;
}

/* A finding is an error of the log's. */
static ljs_err verified(ljs_server *server)
{
    ljs_audit_report *report;
    ljs_audit_totals totals;
    ljs_err err = ljs_server_verify_audit(&report, server, NULL, 0);

    if (err)
        return err;
    assert_int_equal(ljs_audit_report_totals(&totals, report), LJS_OK);
    ljs_audit_report_free(report);
    return totals.findings ? LJS_E_SEAL : LJS_OK;
}

static ljs_eui eui_of(const struct value *v)
{
    ljs_eui eui = 0;

    for (size_t i = 1; i < v->key_len; i++)
        eui = eui << 8 | v->key[i];
    return eui;
}

/* Over what is there already, as after a start. */
static ljs_err started(ljs_store *store)
{
    ljs_server_opts opts = { .struct_size = sizeof opts };
    ljs_server *server;
    ljs_err err = ljs_server_new(&server, vault, store, &opts);

    ljs_server_free(server);
    return err;
}

/* What was asked for under an idempotency key. */
static ljs_err asked_once(struct once *out)
{
    return ljs__once_begin(out, NOW, "operator-0", "key-1", "POST", "/v1/devices", (const uint8_t *)"{}", 2);
}

static ljs_err read_once(ljs_server *server)
{
    struct once once;
    ljs_err err = asked_once(&once);

    assert_int_equal(err, LJS_OK);
    err = ljs__once_load(server, &once);
    assert_int_equal(err == LJS_E_STATE, once.again); /* it was done; what was altered tells of nothing */
    return err == LJS_E_STATE ? LJS_OK : err ? err : LJS_E_SEAL;
}

static void write_once(struct world *w)
{
    struct once once;
    ljs_change change = { .key = once.key.at };

    assert_int_equal(asked_once(&once), LJS_OK);
    once.status = 201;
    assert_int_equal(ljs__once_write(w->server, &once), LJS_OK);
    change.key_len = once.key.len;
    change.in = once.value.data;
    change.in_len = once.value.len;
    assert_int_equal(ljs_store_commit(w->store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
    ljs_buf_free(&once.value);
}

static ljs_err read_value(struct world *w, const struct value *v)
{
    ljs_buf record;
    ljs_event event;
    ljs_chip chip;
    ljs_err err;

    switch (v->key[0]) {
    case SPACE_DEVICE:
        err = ljs_server_get_device(&record, w->server, eui_of(v));
        assert_int_equal(!err, !verified(w->server)); /* `lorajs audit verify` sees it, too */
        ljs_buf_free(&record);
        return err;
    case SPACE_KEK:
        return ljs_server_each_kek(w->server, one_kek, NULL);
    case SPACE_LOT:
        return ljs_server_each_lot(w->server, one_lot, NULL);
    case SPACE_LOT_PRINT:
        return ljs_server_put_lot(w->server, v->key[5] == '1' ? "lot 1" : "lot 2", v->key[5] == '1' ? nwk : app);
    case SPACE_CREDENTIAL:
        return ljs_server_each_credential(w->server, one_credential, NULL);
    case SPACE_ACCOUNT:
        return ljs_server_each_account(w->server, one_account, NULL);
    case SPACE_CLAIM:
        return ljs_server_each_claim_in(w->server, 0, UINT64_MAX, one_claim, NULL);
    case SPACE_CHIP:
        return ljs_server_get_chip(&chip, w->server, eui_of(v));
    case SPACE_DECISION:
        return ljs_server_decision(&event, w->server, eui_of(v), 0);
    case SPACE_AUDIT:
        return verified(w->server);
    case SPACE_OWNED:
        err = ljs_server_each_claim_of(w->server, "account-1", 0, UINT64_MAX, one_claim, NULL);
        return err ? err : verified(w->server); /* which reads the mark, too */
    case SPACE_ONCE:
        return read_once(w->server);
    case SPACE_STORE:
    case SPACE_GENERATION:
        return started(w->store);
    }
    fail_msg("a kind of value that nobody reads here: %c", v->key[0]);
    return LJS_OK;
}

/* One of each schema: nobody's, and a second owner's. */
static void claim_some(struct world *w)
{
    static const struct {
        unsigned device;
        ljs_claim_act act;
        const char *account;
    } acts[] = { { 0, LJS_CLAIM_ENROL, "account-0" },
                 { 1, LJS_CLAIM_ASSIGN, "account-0" },
                 { 1, LJS_CLAIM_RELEASE, "account-0" },
                 { 1, LJS_CLAIM_ASSIGN, "account-1" } };
    ljs_account a = { .struct_size = sizeof a, .at = NOW };
    ljs_claim_req req = { .struct_size = sizeof req, .now = NOW };
    ljs_buf token;

    for (unsigned i = 0; i < 2; i++) {
        snprintf(a.name, sizeof a.name, "account-%u", i);
        assert_int_equal(ljs_server_add_account(w->server, &a), LJS_OK);
    }
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        req.dev_eui = DEV + acts[i].device;
        req.act = acts[i].act;
        strcpy(req.account, acts[i].account);
        assert_int_equal(ljs_server_claim(&token, w->server, &req, NULL, 0), LJS_OK);
        ljs_buf_free(&token);
    }
}

static void register_some(struct world *w)
{
    const ljs_register_opts opts = { .struct_size = sizeof opts, .now = NOW };
    ljs_manifest_entry e = { .version = 1, .has_dev_eui = 1, .has_join_eui = 1, .has_key = 1, .join_eui = EUI };
    ljs_registered what;

    for (unsigned i = 0; i < 2; i++) {
        e.dev_eui = DEV + i;
        snprintf(e.unique_id, sizeof e.unique_id, "0123%012x27", i);
        ljs__entry_stamp(e.stamp, &e);
        assert_int_equal(ljs_server_register(&what, w->server, &opts, &e), LJS_OK);
        assert_int_equal(what.why, LJS_REGISTER_DONE);
    }
}

/* ---- a store that has one of each kind, and two where there may be two ------ */

static void fill(struct world *w)
{
    const struct generation generation = { .number = 2, .before = 1 };
    const char *kinds = "mgidkwacoqslpf";
    unsigned schemas = 0;
    ljs_credential c = { .struct_size = sizeof c, .roles = LJS_ROLE_OPERATE, .at = NOW };
    ljs_buf token;

    server_begin(w, NULL, &lab);
    add_devices(w, 2);
    for (uint16_t device = 0; device < 2; device++) {
        ask(w, NOW, join_of(device, 1, false), "Success");
        ask(w, NOW, join_of(device, 2, false), "Success");
        ask(w, NOW, join_of(device, 1, false), "JoinReqFailed"); /* something to tell of */
    }
    assert_int_equal(ljs_server_flush(w->server), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w->server, "ns", ns_kek, 0), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w->server, "as", as_kek, 0), LJS_OK);
    assert_int_equal(ljs_server_put_lot(w->server, "lot 1", nwk), LJS_OK);
    assert_int_equal(ljs_server_put_lot(w->server, "lot 2", app), LJS_OK);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(c.name, sizeof c.name, "operator-%u", i);
        assert_int_equal(ljs_server_add_credential(&token, w->server, &c), LJS_OK);
        ljs_buf_free(&token);
    }
    claim_some(w);
    register_some(w);
    assert_int_equal(ljs__generation_write(w->store, vault, 0, &generation), LJS_OK);
    write_once(w);
    values_len = 0;
    assert_int_equal(ljs_store_each(w->store, NULL, 0, note, w->store), LJS_OK);
    for (unsigned k = 0; kinds[k]; k++) {
        unsigned n = 0;

        for (unsigned i = 0; i < values_len; i++)
            n += values[i].key[0] == (uint8_t)kinds[k];
        assert_in_range(n, strchr("mgi", kinds[k]) ? 1 : 2, VALUES_MAX);
    }
    for (unsigned i = 0; i < values_len; i++) /* the schema stands behind what begins an array */
        schemas |= values[i].key[0] == SPACE_CLAIM ? 1U << values[i].octets.data[1] : 0;
    assert_int_equal(schemas, 1U << 1 | 1U << 2);
    for (unsigned i = 0; i < values_len; i++)
        assert_int_equal(read_value(w, &values[i]), LJS_OK);
}

static void drop(struct world *w)
{
    for (unsigned i = 0; i < values_len; i++)
        ljs_buf_free(&values[i].octets);
    server_end(w);
}

static void turn_bits(struct world *w, struct value *v, size_t step)
{
    for (size_t bit = 0; bit < 8 * v->octets.len; bit += step) {
        ljs_err err;

        v->octets.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        put(w->store, v, &v->octets);
        err = read_value(w, v);
        if (err != LJS_E_SEAL && err != LJS_E_VERSION)
            fail_msg("bit %zu of a value '%c': %s", bit, v->key[0], ljs_errname(err));
        v->octets.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    put(w->store, v, &v->octets);
    assert_int_equal(read_value(w, v), LJS_OK);
}

static void every_bit_of_every_value(void **state)
{
    struct world w;

    (void)state;
    fill(&w);
    for (unsigned i = 0; i < values_len; i++)
        turn_bits(&w, &values[i], 1);
    drop(&w);
}

/* The store's own value has both keys in it, each sealed for whoever has one of them. */
static void under_another_master_key(void **state)
{
    struct value whose = { .key = { SPACE_STORE }, .key_len = 1 };
    struct world w;
    uint64_t version;
    ljs_key *to;

    (void)state;
    fill(&w);
    assert_int_equal(ljs_key_generate(&to, LJS_MASTER_LEN), LJS_OK);
    assert_int_equal(ljs_server_rotate(w.server, to), LJS_OK);
    assert_int_equal(ljs_store_get(&whose.octets, &version, w.store, whose.key, whose.key_len), LJS_OK);
    assert_true(whose.octets.len > 700);
    turn_bits(&w, &whose, 9);                   /* one of each octet, since there are many */
    for (unsigned i = 0; i < values_len; i++) { /* what the other key made is good, and no bit of it can be turned */
        if (values[i].key[0] != SPACE_DEVICE)
            continue;
        values[i].octets.data[values[i].octets.len - 1] ^= 1;
        put(w.store, &values[i], &values[i].octets);
        assert_int_equal(read_value(&w, &values[i]), LJS_E_SEAL);
        values[i].octets.data[values[i].octets.len - 1] ^= 1;
        put(w.store, &values[i], &values[i].octets);
        assert_int_equal(read_value(&w, &values[i]), LJS_OK);
    }
    ljs_buf_free(&whose.octets);
    ljs_key_free(to);
    drop(&w);
}

static void each_in_the_place_of_each(void **state)
{
    struct world w;

    (void)state;
    fill(&w);
    for (unsigned to = 0; to < values_len; to++) {
        for (unsigned from = 0; from < values_len; from++) {
            ljs_err err;

            if (from == to)
                continue;
            put(w.store, &values[to], &values[from].octets);
            err = read_value(&w, &values[to]);
            if (err != LJS_E_SEAL && err != LJS_E_VERSION)
                fail_msg("'%c' in the place of '%c': %s", values[from].key[0], values[to].key[0], ljs_errname(err));
        }
        put(w.store, &values[to], &values[to].octets);
        assert_int_equal(read_value(&w, &values[to]), LJS_OK);
    }
    drop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_of_every_value),
        cmocka_unit_test(each_in_the_place_of_each),
        cmocka_unit_test(under_another_master_key),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
