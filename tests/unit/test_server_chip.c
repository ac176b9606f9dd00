/* The chip's word: what a claim and an offer want of it.  That a proof is taken, tests/python/test_chips.py shows,
 * which can sign. */
#include "chip_world.h"

static ljs_err claimed(unsigned n, const char *account, int64_t now, const ljs_buf *challenge)
{
    static const char token[] = "C05EA29C";
    ljs_claim_req req = { .struct_size = sizeof req,
                          .now = now,
                          .act = LJS_CLAIM_CLAIM,
                          .dev_eui = DEV + n,
                          .routing = { .struct_size = sizeof req.routing,
                                       .set = LJS_ROUTE_HOME_NET_ID,
                                       .has_home_net_id = 1,
                                       .home_net_id = NET } };
    ljs_buf none;

    strcpy(req.account, account);
    strcpy(req.client, account);
    if (challenge) {
        req.has_chip = 1;
        memcpy(req.challenge, challenge->data, sizeof req.challenge);
        memset(req.signature, 1, sizeof req.signature);
    }
    return ljs_server_claim(&none, w.server, &req, (const uint8_t *)token, sizeof token - 1);
}

static void enrolled(unsigned n)
{
    ljs_claim_req req = { .struct_size = sizeof req, .now = NOW, .act = LJS_CLAIM_ENROL, .dev_eui = DEV + n };
    ljs_buf token;

    assert_int_equal(ljs_server_claim(&token, w.server, &req, (const uint8_t *)"C05EA29C", 8), LJS_OK);
    ljs_buf_free(&token);
}

static ljs_buf challenge_for(unsigned n, const char *account)
{
    ljs_buf out;

    assert_int_equal(ljs_server_challenge(&out, w.server, NOW, DEV + n, account), LJS_OK);
    assert_int_equal(out.len, LJS_CHIP_CHALLENGE_LEN);
    return out;
}

/* A right token is not enough where the chip's word is wrong, missing though required, or of no chip at all. */
static void test_a_token_is_not_enough(void **state)
{
    ljs_register_opts opts = opts_of("");
    ljs_manifest_entry e[] = { entry_of(0), entry_of(1), entry_of(2) };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf challenge;

    (void)state;
    begin();
    assert_string_equal(registered(&opts, &e[0]), "MK");
    opts.chip = LJS_CHIP_REQUIRED;
    assert_string_equal(registered(&opts, &e[1]), "MK");
    d.dev_eui = DEV + 2;
    added(&w, &d);
    for (unsigned n = 0; n < 3; n++) {
        enrolled(n);
        challenge = challenge_for(n, "acme");
        assert_int_equal(claimed(n, "acme", NOW, &challenge), LJS_E_CLAIM);
        ljs_buf_free(&challenge);
    }
    assert_int_equal(claimed(1, "acme", NOW, NULL), LJS_E_CLAIM);
    assert_int_equal(claim_of(1).state, LJS_CLAIM_IS_UNCLAIMED);
    assert_int_equal(claimed(0, "acme", NOW, NULL), LJS_OK);
    assert_int_equal(claimed(2, "acme", NOW, NULL), LJS_OK);
    assert_int_equal(claimed(0, "acme", NOW, NULL), LJS_OK); /* his own */
    end();
}

/* An offer is taken with the chip's word where the device is claimed so, and a wrong word is never taken. */
static void test_an_offer(void **state)
{
    ljs_register_opts opts = opts_of("acme");
    ljs_manifest_entry e[] = { entry_of(0), entry_of(1) };
    ljs_buf challenge;

    (void)state;
    begin();
    assert_string_equal(registered(&opts, &e[0]), "MKA");
    opts.chip = LJS_CHIP_REQUIRED;
    assert_string_equal(registered(&opts, &e[1]), "MKA");
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(taken(n, "acme", LJS_CLAIM_OFFER, NULL), LJS_OK);
        challenge = challenge_for(n, "globex");
        assert_int_equal(taken(n, "globex", LJS_CLAIM_ACCEPT, &challenge), LJS_E_CLAIM);
        assert_int_equal(taken(n, "acme", LJS_CLAIM_OFFER, &challenge), LJS_E_INVAL); /* no place for one */
        ljs_buf_free(&challenge);
        assert_int_equal(taken(n, "globex", LJS_CLAIM_ACCEPT, NULL), n ? LJS_E_CLAIM : LJS_OK);
        assert_string_equal(claim_of(n).account, n ? "acme" : "globex");
    }
    end();
}

/* Wrong proofs are tries like wrong tokens. */
static void test_limits(void **state)
{
    ljs_register_opts opts = opts_of("");
    ljs_manifest_entry e = entry_of(0);
    ljs_buf challenge;

    (void)state;
    begin();
    assert_string_equal(registered(&opts, &e), "MK");
    enrolled(0);
    challenge = challenge_for(0, "acme");
    for (unsigned i = 0; i < LJS_CLAIM_DEVICE_TRIES; i++)
        assert_int_equal(claimed(0, "acme", NOW, &challenge), LJS_E_CLAIM);
    assert_int_equal(claimed(0, "acme", NOW, &challenge), LJS_E_LIMIT);
    ljs_buf_free(&challenge);
    end();
}

static void test_challenges(void **state)
{
    ljs_buf a, b, one, two;

    (void)state;
    begin();
    a = challenge_for(7, "acme"); /* of a device that is not there */
    b = challenge_for(7, "acme");
    assert_memory_not_equal(a.data, b.data, a.len);
    assert_int_equal(ljs_chip_digest(&one, DEV, "acme", a.data, a.len), LJS_OK);
    assert_int_equal(one.len, 32);
    assert_int_equal(ljs_chip_digest(&two, DEV, "acmf", a.data, a.len), LJS_OK);
    assert_memory_not_equal(one.data, two.data, one.len);
    ljs_buf_free(&one);
    ljs_buf_free(&two);
    assert_int_equal(ljs_chip_digest(&one, DEV, "acme", a.data, a.len - 1), LJS_E_INVAL);
    assert_int_equal(ljs_chip_digest(&one, DEV, "", a.data, a.len), LJS_E_INVAL);
    assert_int_equal(ljs_server_challenge(&one, w.server, NOW, DEV, ""), LJS_E_INVAL);
    assert_int_equal(ljs_server_challenge(&one, w.server, -1, DEV, "acme"), LJS_E_INVAL);
    assert_null(one.data);
    ljs_buf_free(&a);
    ljs_buf_free(&b);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_is_not_enough),
        cmocka_unit_test(test_an_offer),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_challenges),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
