/* Memory ends in the middle of a batch, at each place where the library asks for some: what was answered is saved and
 * nothing else is, and once there is memory again everything goes on.  Likewise in the middle of what makes an account,
 * a credential, a device or its token, and of what changes the master key.  And the store ends, after the answers were
 * written. */
#include "server_world.h"

#include "contract/faulty.h"

#include <lorajs/claim.h>
#include <lorajs/master.h>
#include <lorajs/rewrap.h>
#include <lorajs/roles.h>

enum { DEVICES = 4, MESSAGES = 12, NONCES = 8 };

/* ---- memory that ends ------------------------------------------------------- */

static unsigned countdown; /* which call from now on fails; 0: none */
static bool for_good;      /* and all after it */
static bool ended;

void *__real_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
void *__real_aligned_alloc(size_t align, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t n, size_t len);
void *__wrap_aligned_alloc(size_t align, size_t len);

static bool ends(void)
{
    if (!countdown || --countdown)
        return false;
    countdown = for_good;
    return ended = true;
}

void *__wrap_malloc(size_t len)
{
    return ends() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t len)
{
    return ends() ? NULL : __real_calloc(n, len);
}

void *__wrap_aligned_alloc(size_t align, size_t len)
{
    return ends() ? NULL : __real_aligned_alloc(align, len);
}

/* ---- a batch ---------------------------------------------------------------- */

struct batch {
    char text[MESSAGES][1024];
    unsigned device[MESSAGES], nonce[MESSAGES];
    ljs_call calls[MESSAGES];
};

static ljs_eui eui_of(unsigned device)
{
    return DEV + device;
}

/* Each device once, then the first two in turns with the next DevNonces, the first with one that was used; the last
 * message changes nothing. */
static void make_batch(struct batch *b)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        b->device[i] = i < DEVICES ? i : i % 2;
        b->nonce[i] = i < MESSAGES - 2 ? 1 + i / 2 : 1;
        if (i == MESSAGES - 1) {
            strcpy(b->text[i], home_text(&(struct say){ .dev_eui = eui_of(0), .transaction = i }));
        } else {
            const ljs_frame frame = {
                .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = eui_of(b->device[i]), .nonce = b->nonce[i]
            };
            ljs_join_req req = request(LJS_MAC_1_0_3);

            set_phy(&req, &frame, nwk);
            strcpy(b->text[i], join_text(&(struct say){ .dev_eui = frame.dev_eui, .transaction = i }, &req));
        }
    }
}

static void add_devices(struct world *w)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        ljs_device d = device_of(LJS_MAC_1_0_3);

        d.dev_eui = eui_of(i);
        added(w, &d);
    }
}

static bool has(const ljs_buf *out, const char *text)
{
    return out->len && memmem(out->data, out->len, text, strlen(text));
}

/* How many sessions were answered. */
static unsigned ask(struct batch *b, struct world *w, int64_t now)
{
    bool seen[DEVICES][NONCES] = { { false } };
    unsigned sessions = 0;

    for (unsigned i = 0; i < MESSAGES; i++)
        b->calls[i] = (ljs_call){ .now = now, .in = (const uint8_t *)b->text[i], .in_len = strlen(b->text[i]) };
    ljs_server_handle_batch(w->server, b->calls, MESSAGES);
    countdown = 0;
    for (unsigned i = 0; i < MESSAGES; i++) {
        const ljs_buf *out = &b->calls[i].out;
        bool *one = &seen[b->device[i]][b->nonce[i]];
        char transaction[32];

        if (b->calls[i].err)
            assert_int_equal(out->len, 0);
        else
            assert_true(out->len > 0);
        snprintf(transaction, sizeof transaction, "\"TransactionID\":%u,", i);
        if (out->len && b->calls[i].result != LJS_E_NOMEM)
            assert_true(has(out, transaction));
        assert_int_equal(has(out, "\"Success\""), has(out, "\"AESKey\":\""));
        if (has(out, "\"Success\"") && !*one) {
            *one = true;
            sessions++;
        }
    }
    return sessions;
}

static void forget(struct batch *b)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        ljs_buf_free(&b->calls[i].out);
}

/* Did memory end? */
static bool ends_at(unsigned nth, bool good)
{
    static struct batch b;
    struct world w;
    unsigned answered, saved = 0;

    make_batch(&b);
    lab_begin(&w, NULL);
    add_devices(&w);
    ended = false;
    for_good = good;
    countdown = nth;
    answered = ask(&b, &w, 1700000000);
    forget(&b);
    for (unsigned i = 0; i < DEVICES; i++)
        saved += device_in(&w, eui_of(i)).next_join_nonce - 1;
    assert_int_equal(answered, saved);
    ask(&b, &w, 1700000001);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(b.calls[i].err, LJS_OK);
    for (unsigned i = 2; i < DEVICES; i++) /* of which there is one request */
        assert_int_equal(b.calls[i].result, LJS_OK);
    forget(&b);
    server_end(&w);
    return ended;
}

static void test_memory_ends(void **state)
{
    unsigned most[2];

    (void)state;
    for (int good = 0; good < 2; good++)
        for (most[good] = 1; ends_at(most[good], good); most[good]++)
            ;
    assert_true(most[0] > 3 * MESSAGES && most[0] == most[1]);
}

/* A refusal is to the message that it answers, although others were looked at since. */
static void test_store_ends(void **state)
{
    static struct batch b;
    ljs_store *inner, *store;
    struct faulty *f;
    struct world w;

    (void)state;
    make_batch(&b);
    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
    assert_int_equal(faulty_new(&store, &f, inner), LJS_OK);
    lab_begin(&w, store);
    add_devices(&w);
    faulty_arm(f, FAULTY_COMMIT, 1, FAULT_BEFORE, 1);
    assert_int_equal(ask(&b, &w, 1700000000), 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        assert_int_equal(b.calls[i].err, LJS_OK);
        assert_true(has(&b.calls[i].out, "\"Other\""));
    }
    forget(&b);
    faulty_arm(f, FAULTY_COMMIT, 1, FAULT_NONE, 0);
    assert_int_equal(ask(&b, &w, 1700000001), MESSAGES - 2); /* but for the copy, and what is no join */
    forget(&b);
    server_end(&w);
}

/* ---- what is made once -------------------------------------------------------- */

static const ljs_account acme = { .struct_size = sizeof acme, .name = "acme" };

static ljs_err make_account(struct world *w)
{
    return ljs_server_add_account(w->server, &acme);
}

static ljs_err look_for_account(struct world *w)
{
    ljs_account account;

    return ljs_server_get_account(&account, w->server, acme.name);
}

static ljs_err add_credential(struct world *w, const ljs_credential *credential)
{
    ljs_buf token;
    ljs_err err = ljs_server_add_credential(&token, w->server, credential);

    assert_int_equal(token.len > 0, !err && !credential->certificate);
    ljs_buf_free(&token);
    return err;
}

static ljs_err make_token(struct world *w)
{
    const ljs_credential c = { .struct_size = sizeof c, .name = "ops", .roles = LJS_ROLE_AUDIT };

    return add_credential(w, &c);
}

static ljs_err make_certificate(struct world *w)
{
    const ljs_credential c = { .struct_size = sizeof c, .name = "ops", .roles = LJS_ROLE_AUDIT, .certificate = 1 };

    return add_credential(w, &c);
}

static ljs_err make_token_of_account(struct world *w)
{
    ljs_credential c = { .struct_size = sizeof c, .name = "ops", .roles = LJS_ROLE_CLAIM };

    strcpy(c.account, acme.name);
    return add_credential(w, &c);
}

static ljs_err is_it(void *user, const ljs_credential *credential)
{
    (void)user;
    return strcmp(credential->name, "ops") ? LJS_OK : LJS_E_EXISTS;
}

static ljs_err look_for_credential(struct world *w)
{
    ljs_err err = ljs_server_each_credential(w->server, is_it, NULL);

    return err == LJS_E_EXISTS ? LJS_OK : err ? err : LJS_E_NOTFOUND;
}

static ljs_err make_device(struct world *w)
{
    const ljs_device d = device_of(LJS_MAC_1_0_3);

    return add(w, &d);
}

static ljs_err look_for_device(struct world *w)
{
    ljs_buf record;
    ljs_err err = ljs_server_get_device(&record, w->server, DEV);

    ljs_buf_free(&record);
    return err;
}

static ljs_err enrol(struct world *w)
{
    const ljs_claim_req req = { .struct_size = sizeof req, .act = LJS_CLAIM_ENROL, .dev_eui = DEV };
    ljs_buf token;
    ljs_err err = ljs_server_claim(&token, w->server, &req, NULL, 0);

    assert_int_equal(token.len > 0, !err);
    ljs_buf_free(&token);
    return err;
}

static ljs_err look_for_enrolment(struct world *w)
{
    ljs_claim claim;
    ljs_err err = ljs_server_get_claim(&claim, w->server, DEV);

    return err || claim.state == LJS_CLAIM_IS_UNCLAIMED ? err : LJS_E_NOTFOUND;
}

static const struct thing {
    ljs_err (*make)(struct world *w);
    ljs_err (*look)(struct world *w); /* LJS_E_NOTFOUND where it is not */
    ljs_err (*before)(struct world *w);
} things[] = {
    { make_account, look_for_account, NULL },        { make_token, look_for_credential, NULL },
    { make_certificate, look_for_credential, NULL }, { make_token_of_account, look_for_credential, make_account },
    { make_device, look_for_device, NULL },          { enrol, look_for_enrolment, make_device }
};

/* Did memory end?  Then nothing was made, or nobody knows. */
static bool made_at(const struct thing *thing, unsigned nth, bool good)
{
    struct world w;
    ljs_err err;

    lab_begin(&w, NULL);
    if (thing->before)
        assert_int_equal(thing->before(&w), LJS_OK);
    ended = false;
    for_good = good;
    countdown = nth;
    err = thing->make(&w);
    countdown = 0;
    assert_true(err == LJS_OK || err == LJS_E_NOMEM || err == LJS_E_STORE);
    if (err != LJS_E_STORE)
        assert_int_equal(thing->look(&w), err ? LJS_E_NOTFOUND : LJS_OK);
    if (err == LJS_E_NOMEM)
        assert_int_equal(thing->make(&w), LJS_OK);
    server_end(&w);
    return ended;
}

static void test_refused_is_not_made(void **state)
{
    unsigned nth;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(things); i++)
        for (int good = 0; good < 2; good++) {
            for (nth = 1; made_at(&things[i], nth, good); nth++)
                ;
            assert_true(nth > 3);
        }
}

/* ---- another master key --------------------------------------------------------- */

static bool rotated_at(const ljs_key *from, const ljs_key *to, unsigned nth, bool good)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .audit = (uint8_t)world_audit };
    ljs_vault *mine, *other;
    ljs_server *server, *who_looks;
    ljs_store *store;
    ljs_err err;

    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    assert_int_equal(ljs_vault_from_key(&mine, from), LJS_OK);
    assert_int_equal(ljs_server_new(&server, mine, store, &opts), LJS_OK);
    ended = false;
    for_good = good;
    countdown = nth;
    err = ljs_server_rotate(server, to);
    countdown = 0;
    assert_int_equal(ljs_vault_from_key(&other, from), LJS_OK);
    assert_int_equal(ljs_server_new(&who_looks, other, store, &opts), LJS_OK);
    assert_true(err == LJS_OK || err == LJS_E_NOMEM || err == LJS_E_STORE);
    if (err != LJS_E_STORE)
        assert_int_equal(ljs_vault_versions(other), err ? 1 : 2);
    assert_int_equal(ljs_server_rotate(server, to), LJS_OK);
    ljs_server_free(who_looks);
    ljs_server_free(server);
    ljs_vault_free(other);
    ljs_vault_free(mine);
    ljs_store_free(store);
    return ended;
}

static void test_refused_is_not_rotated(void **state)
{
    ljs_key *from, *to;
    unsigned nth;

    (void)state;
    assert_int_equal(ljs_key_generate(&from, LJS_MASTER_LEN), LJS_OK);
    assert_int_equal(ljs_key_generate(&to, LJS_MASTER_LEN), LJS_OK);
    for (int good = 0; good < 2; good++) {
        for (nth = 1; rotated_at(from, to, nth, good); nth++)
            ;
        assert_true(nth > 3);
    }
    ljs_key_free(from);
    ljs_key_free(to);
}

static void test_refused_is_not_begun(void **state)
{
    ljs_store *store;
    ljs_server *server;
    ljs_err err;

    (void)state;
    for (unsigned nth = 1;; nth++) {
        countdown = nth;
        for_good = ended = false;
        if (!(err = ljs_store_memory(&store)))
            err = ljs_server_new(&server, vault, store, NULL);
        countdown = 0;
        if (store) {
            if (!err)
                ljs_server_free(server);
            else
                assert_null(server);
            ljs_store_free(store);
        }
        if (!ended) {
            assert_true(!err && nth > 10);
            break;
        }
        assert_true(err == LJS_E_NOMEM || err == LJS_E_STORE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_memory_ends), cmocka_unit_test(test_store_ends),
                                        cmocka_unit_test(test_refused_is_not_begun),
                                        cmocka_unit_test(test_refused_is_not_made),
                                        cmocka_unit_test(test_refused_is_not_rotated) };
    int failed = cmocka_run_group_tests(tests, world_begin, world_end);

    world_audit = LJS_AUDIT_ON;
    return failed + cmocka_run_group_tests(tests, world_begin, world_end);
}
