/* Which KEK is used: it changes while serving, for all or for one peer, and a retired one wraps nothing. */
#include "server_world.h"

#include <lorajs/rewrap.h>

static ljs_key *next_kek;

static ljs_err turn(struct world *w, const char *label, const char *to, const char *peer, unsigned use)
{
    return ljs_server_rotate_kek(w->server, label, to, peer, use);
}

static ljs_err put(struct world *w, const char *label, const ljs_key *kek)
{
    return ljs_server_put_kek(w->server, label, kek, 0);
}

static void begin(struct world *w)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_peers *peers = two_peers();

    next_kek = key_of("5d0811b9c2d4e67a5590ab1c77de2f64");
    server_begin(w, NULL, NULL);
    memcpy(d.as_id, "as.example", sizeof "as.example");
    added(w, &d);
    put_two_keks(w);
    assert_int_equal(ljs_server_set_peers(w->server, peers), LJS_OK);
    ljs_peers_free(peers);
}

static void end(struct world *w)
{
    ljs_key_free(next_kek);
    server_end(w);
}

/* A join, whose keys go under these labels and keys. */
static void joins(struct world *w, uint16_t nonce, const char *ns, const ljs_key *ns_key, const char *as,
                  const ljs_key *as_key)
{
    ljs_join_req req = join_req(LJS_MAC_1_0_4, nonce);
    ljs_message msg = asked(w, "ns", join_text(&(struct say){ .type = NULL }, &req), "Success");
    ljs_key *key;

    assert_string_equal(msg.nwk_s.kek_label, ns);
    assert_int_equal(ljs_envelope_open(&key, &msg.nwk_s, ns_key), LJS_OK);
    ljs_key_free(key);
    assert_int_equal(msg.app_s.key_len, as ? 24 : 0);
    if (!as)
        return;
    assert_string_equal(msg.app_s.kek_label, as);
    assert_int_equal(ljs_envelope_open(&key, &msg.app_s, as_key), LJS_OK);
    ljs_key_free(key);
}

static void refused(struct world *w, uint16_t nonce)
{
    ljs_join_req req = join_req(LJS_MAC_1_0_4, nonce);
    uint32_t join_nonce = device_in(w, DEV).next_join_nonce;

    (void)asked(w, "ns", join_text(&(struct say){ .type = NULL }, &req), "JoinReqFailed");
    assert_int_equal(w->last.err, LJS_E_KEK);
    assert_int_equal(device_in(w, DEV).next_join_nonce, join_nonce); /* nothing burnt */
}

static void test_another_in_its_place(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    joins(&w, 1, "ns-kek", ns_kek, "as-kek", as_kek);
    assert_int_equal(put(&w, "ns-2", next_kek), LJS_OK);
    joins(&w, 2, "ns-kek", ns_kek, "as-kek", as_kek); /* both are there, one is used */
    assert_int_equal(turn(&w, "ns-kek", "ns-2", NULL, LJS_USE_NS | LJS_USE_AS), LJS_OK);
    joins(&w, 3, "ns-2", next_kek, "as-kek", as_kek);
    assert_int_equal(turn(&w, "ns-kek", "ns-2", NULL, LJS_USE_NS | LJS_USE_AS), LJS_OK);
    joins(&w, 3, "ns-2", next_kek, "as-kek", as_kek); /* a repeat, too */
    assert_int_equal(turn(&w, "ns-kek", "ns-kek", NULL, LJS_USE_NS), LJS_OK);
    joins(&w, 4, "ns-kek", ns_kek, "as-kek", as_kek); /* and back */
    assert_int_equal(put(&w, "as-2", next_kek), LJS_OK);
    assert_int_equal(turn(&w, "as-kek", "as-2", NULL, LJS_USE_NS), LJS_OK);
    joins(&w, 5, "ns-kek", ns_kek, "as-kek", as_kek); /* that was not what it is used for */
    assert_int_equal(turn(&w, "as-kek", "as-2", NULL, LJS_USE_AS), LJS_OK);
    joins(&w, 6, "ns-kek", ns_kek, "as-2", next_kek);
    end(&w);
}

static void test_of_one_peer(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    assert_int_equal(put(&w, "two", next_kek), LJS_OK);
    assert_int_equal(turn(&w, "ns-kek", "two", "other", LJS_USE_NS), LJS_OK);
    joins(&w, 1, "ns-kek", ns_kek, "as-kek", as_kek);
    assert_int_equal(turn(&w, "ns-kek", "two", "ns", LJS_USE_NS), LJS_OK);
    joins(&w, 2, "two", next_kek, "as-kek", as_kek);
    assert_int_equal(turn(&w, "as-kek", "two", "ns", LJS_USE_AS), LJS_OK); /* it is not the application server */
    joins(&w, 3, "two", next_kek, "as-kek", as_kek);
    assert_int_equal(turn(&w, "as-kek", "two", "as", LJS_USE_AS), LJS_OK);
    joins(&w, 4, "two", next_kek, "two", next_kek);
    assert_int_equal(put(&w, "three", as_kek), LJS_OK);
    assert_int_equal(turn(&w, "ns-kek", "three", NULL, LJS_USE_NS), LJS_OK);
    joins(&w, 5, "two", next_kek, "two", next_kek); /* what is said of the peer counts first */
    assert_int_equal(turn(&w, "ns-kek", "ns-kek", "ns", LJS_USE_NS), LJS_OK);
    joins(&w, 6, "three", as_kek, "two", next_kek);
    end(&w);
}

static void test_retired(void **state)
{
    ljs_kek kek;
    struct world w;

    (void)state;
    begin(&w);
    joins(&w, 1, "ns-kek", ns_kek, "as-kek", as_kek);
    assert_int_equal(ljs_server_retire_kek(w.server, "none", 1), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_retire_kek(w.server, "ns-kek", 1), LJS_OK);
    refused(&w, 2);
    assert_int_equal(ljs_server_get_kek(&kek, w.server, "ns-kek"), LJS_OK);
    assert_true(kek.retired && kek.len == 16 && !kek.nexts);
    assert_int_equal(put(&w, "ns-kek", ns_kek), LJS_OK); /* the same is no change */
    refused(&w, 2);
    assert_int_equal(put(&w, "two", next_kek), LJS_OK);
    assert_int_equal(turn(&w, "two", "ns-kek", NULL, LJS_USE_NS), LJS_E_STATE);
    assert_int_equal(turn(&w, "ns-kek", "two", NULL, LJS_USE_NS), LJS_OK);
    joins(&w, 2, "two", next_kek, "as-kek", as_kek);
    assert_int_equal(ljs_server_retire_kek(w.server, "two", 1), LJS_OK);
    refused(&w, 3);
    assert_int_equal(ljs_server_retire_kek(w.server, "two", 0), LJS_OK);
    joins(&w, 3, "two", next_kek, "as-kek", as_kek);
    assert_int_equal(ljs_server_del_kek(w.server, "two"), LJS_OK);
    refused(&w, 4);
    assert_int_equal(ljs_server_put_kek(w.server, "ns-kek", ns_kek, 1), LJS_OK); /* replaced, it begins anew */
    joins(&w, 4, "ns-kek", ns_kek, "as-kek", as_kek);
    assert_int_equal(ljs_server_retire_kek(w.server, "as-kek", 1), LJS_OK);
    joins(&w, 5, "ns-kek", ns_kek, NULL, NULL); /* the application server asks for it */
    end(&w);
}

static void test_what_leads_back(void **state)
{
    static const char *const labels[] = { "l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8" };
    char peer[16];
    struct world w;

    (void)state;
    begin(&w);
    for (size_t i = 0; i < COUNT_OF(labels); i++)
        assert_int_equal(put(&w, labels[i], next_kek), LJS_OK);
    assert_int_equal(turn(&w, "l0", "none", NULL, LJS_USE_NS), LJS_E_NOTFOUND);
    assert_int_equal(turn(&w, "none", "l0", NULL, LJS_USE_NS), LJS_E_NOTFOUND);
    assert_int_equal(turn(&w, "l0", "l1", NULL, 0), LJS_E_INVAL);
    assert_int_equal(turn(&w, "l0", "l1", NULL, 4), LJS_E_INVAL);
    assert_int_equal(turn(&w, "l0", "l1", "", LJS_USE_NS), LJS_E_INVAL);
    assert_int_equal(turn(&w, "l0", "", NULL, LJS_USE_NS), LJS_E_INVAL);
    assert_int_equal(turn(&w, "l7", "l8", NULL, LJS_USE_NS), LJS_OK);
    for (size_t i = 7; i-- > 1;)
        assert_int_equal(turn(&w, labels[i], labels[i + 1], NULL, LJS_USE_NS), LJS_OK);
    assert_int_equal(turn(&w, "l0", "l1", NULL, LJS_USE_NS), LJS_E_STATE); /* nine */
    assert_int_equal(turn(&w, "l8", "l1", NULL, LJS_USE_NS), LJS_E_STATE); /* round and round */
    assert_int_equal(turn(&w, "l8", "l1", NULL, LJS_USE_AS), LJS_OK);      /* another use, another way */
    assert_int_equal(turn(&w, "l1", "l8", "ns", LJS_USE_AS), LJS_E_STATE);
    assert_int_equal(turn(&w, "ns-kek", "l2", NULL, LJS_USE_NS), LJS_OK);
    joins(&w, 1, "l8", next_kek, "as-kek", as_kek);
    for (unsigned i = 0; i < 16; i++) {
        snprintf(peer, sizeof peer, "p%u", i);
        assert_int_equal(turn(&w, "l0", "l8", peer, LJS_USE_NS), LJS_OK);
    }
    assert_int_equal(turn(&w, "l0", "l8", "p15", LJS_USE_NS), LJS_OK);
    assert_int_equal(turn(&w, "l0", "l8", "p16", LJS_USE_NS), LJS_E_INVAL);
    end(&w);
}

static void test_told(void **state)
{
    ljs_kek_next next;
    ljs_kek kek;
    struct world w;

    (void)state;
    begin(&w);
    assert_int_equal(put(&w, "two", next_kek), LJS_OK);
    assert_int_equal(turn(&w, "ns-kek", "two", NULL, LJS_USE_NS | LJS_USE_AS), LJS_OK);
    assert_int_equal(turn(&w, "ns-kek", "as-kek", "ns", LJS_USE_NS), LJS_OK);
    assert_int_equal(ljs_server_get_kek(&kek, w.server, "ns-kek"), LJS_OK);
    assert_true(!kek.retired && kek.nexts == 2);
    assert_int_equal(ljs_server_kek_next(&next, w.server, "ns-kek", 0), LJS_OK);
    assert_string_equal(next.label, "two");
    assert_string_equal(next.peer, "");
    assert_int_equal(next.use, LJS_USE_NS | LJS_USE_AS);
    assert_int_equal(ljs_server_kek_next(&next, w.server, "ns-kek", 1), LJS_OK);
    assert_string_equal(next.label, "as-kek");
    assert_string_equal(next.peer, "ns");
    assert_int_equal(ljs_server_kek_next(&next, w.server, "ns-kek", 2), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_kek_next(&next, w.server, "none", 0), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_get_kek(&kek, w.server, "none"), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_get_kek(&kek, w.server, ""), LJS_E_INVAL);
    end(&w);
}

/* All of it stays as it is under another master key. */
static void test_rewrapped(void **state)
{
    ljs_rewrapped so_far;
    ljs_rewrap *r;
    ljs_kek kek;
    ljs_key *to;
    struct world w;

    (void)state;
    begin(&w);
    assert_int_equal(put(&w, "two", next_kek), LJS_OK);
    assert_int_equal(turn(&w, "ns-kek", "two", "ns", LJS_USE_NS), LJS_OK);
    assert_int_equal(ljs_server_retire_kek(w.server, "ns-kek", 1), LJS_OK);
    assert_int_equal(ljs_key_generate(&to, 32), LJS_OK);
    assert_int_equal(ljs_server_rotate(w.server, to), LJS_OK);
    assert_int_equal(ljs_rewrap_new(&r, w.server), LJS_OK);
    do
        assert_int_equal(ljs_rewrap_step(&so_far, r, 64), LJS_OK);
    while (!so_far.done);
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_OK);
    assert_int_equal(ljs_server_get_kek(&kek, w.server, "ns-kek"), LJS_OK);
    assert_true(kek.retired && kek.nexts == 1);
    joins(&w, 1, "two", next_kek, "as-kek", as_kek);
    ljs_rewrap_free(r);
    ljs_key_free(to);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_another_in_its_place, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_of_one_peer, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_retired, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_what_leads_back, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_told, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_rewrapped, world_begin, world_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
