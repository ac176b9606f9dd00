/* KEKs at rest, their labels, and whose store it is. */
#include "keys/vault.h"
#include "server/internal.h"

#include "server_world.h"

#include "contract/contract.h"
#include "contract/faulty.h"

static ljs_err put(struct world *w, const char *label, const ljs_key *kek, int replace)
{
    return ljs_server_put_kek(w->server, label, kek, replace);
}

struct listed {
    char text[512];
    unsigned n;
};

static ljs_err list_row(void *user, const char *label, size_t kek_len)
{
    struct listed *l = user;
    size_t at = strlen(l->text);

    snprintf(l->text + at, sizeof l->text - at, "%s:%zu ", label, kek_len);
    l->n++;
    return strcmp(label, "stop") ? LJS_OK : LJS_E_BUSY;
}

static struct listed list(struct world *w, ljs_err want)
{
    struct listed l = { .n = 0 };

    assert_int_equal(ljs_server_each_kek(w->server, list_row, &l), want);
    return l;
}

static ljs_buf raw_get(struct world *w, const char *key, uint64_t *version)
{
    ljs_buf value;

    assert_int_equal(ljs_store_get(&value, version, w->store, (const uint8_t *)key, strlen(key)), LJS_OK);
    return value;
}

static void raw_put(struct world *w, const char *key, const ljs_buf *value)
{
    ljs_change change = {
        .key = (const uint8_t *)key, .key_len = strlen(key), .in = value->data, .in_len = value->len
    };
    ljs_buf old;
    ljs_err err = ljs_store_get(&old, &change.if_version, w->store, change.key, change.key_len);

    if (err)
        change.if_version = 0;
    ljs_buf_free(&old);
    assert_int_equal(ljs_store_commit(w->store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
}

static void test_labels(void **state)
{
    static const char *const bad[] = {
        NULL, "", "a\n", "a\x7f", "\xff", "\xc0\xaf", "a\xc2\x85", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xe2\x82"
    };
    static const char *const good[] = { " ", "ns:42ffff", "a/b\\c\"", "\xe2\x82\xac", "0x13", "K", "k" };
    char longest[LJS_LABEL_MAX + 1];
    struct world w;

    (void)state;
    lab_begin(&w, NULL);
    memset(longest, 'l', sizeof longest);
    longest[LJS_LABEL_MAX] = 0;
    assert_int_equal(put(&w, longest, ns_kek, 0), LJS_E_INVAL);
    assert_int_equal(ljs_server_del_kek(w.server, longest), LJS_E_INVAL);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(put(&w, bad[i], ns_kek, 0), LJS_E_INVAL);
        assert_int_equal(put(&w, bad[i], ns_kek, 1), LJS_E_INVAL);
        assert_int_equal(ljs_server_del_kek(w.server, bad[i]), LJS_E_INVAL);
    }
    assert_int_equal(list(&w, LJS_OK).n, 0);
    longest[LJS_LABEL_MAX - 1] = 0;
    assert_int_equal(put(&w, longest, ns_kek, 0), LJS_OK);
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_int_equal(put(&w, good[i], ns_kek, 0), LJS_OK);
    assert_int_equal(list(&w, LJS_OK).n, 1 + COUNT_OF(good));
    assert_int_equal(ljs_server_del_kek(w.server, longest), LJS_OK);
    server_end(&w);
}

static void test_put_replace_delete_list(void **state)
{
    ljs_key *k32 = key_of("3f0811b9c2d4e67a5590ab1c77de2f64a91d4c60e2b7f8353c0e916bd54af728");
    uint64_t first, second;
    struct world w;
    ljs_buf a, b;

    (void)state;
    lab_begin(&w, NULL);
    assert_int_equal(put(&w, "b", ns_kek, 0), LJS_OK);
    assert_int_equal(put(&w, "a", as_kek, 0), LJS_OK);
    assert_int_equal(put(&w, "ab", k32, 0), LJS_OK);
    assert_string_equal(list(&w, LJS_OK).text, "a:24 ab:32 b:16 ");
    a = raw_get(&w, "ka", &first);
    assert_int_equal(put(&w, "a", as_kek, 0), LJS_OK); /* the same again is no change */
    b = raw_get(&w, "ka", &second);
    assert_int_equal(first, second);
    ljs_buf_free(&b);
    assert_int_equal(put(&w, "a", ns_kek, 0), LJS_E_EXISTS);
    b = raw_get(&w, "ka", &second);
    assert_int_equal(first, second);
    ljs_buf_free(&b);
    assert_int_equal(put(&w, "a", ns_kek, 1), LJS_OK);
    b = raw_get(&w, "ka", &second);
    assert_int_not_equal(first, second);
    assert_string_equal(list(&w, LJS_OK).text, "a:16 ab:32 b:16 ");
    assert_int_equal(put(&w, "a", as_kek, 0), LJS_E_EXISTS);
    assert_int_equal(put(&w, "new", as_kek, 1), LJS_OK); /* nothing to replace is nothing wrong */
    assert_int_equal(ljs_server_del_kek(w.server, "a"), LJS_OK);
    assert_int_equal(ljs_server_del_kek(w.server, "a"), LJS_E_NOTFOUND);
    assert_string_equal(list(&w, LJS_OK).text, "ab:32 b:16 new:24 ");
    assert_int_equal(put(&w, "a", ns_kek, 0), LJS_OK);
    assert_int_equal(put(&w, "stop", ns_kek, 0), LJS_OK);
    assert_int_equal(list(&w, LJS_E_BUSY).n, 5);
    ljs_buf_free(&a);
    ljs_buf_free(&b);
    ljs_key_free(k32);
    server_end(&w);
}

/* Each length of KEK wraps what its holder can open. */
static void test_every_length_wraps(void **state)
{
    static const char hex[] = "3f0811b9c2d4e67a5590ab1c77de2f64a91d4c60e2b7f8353c0e916bd54af728";
    ljs_device d = device_of(LJS_MAC_1_1);
    struct world w;

    (void)state;
    lab_begin(&w, NULL);
    strcpy(d.ns_kek_label, "\xe2\x82\xac");
    added(&w, &d);
    for (size_t len = 16; len <= 32; len += 8) {
        char text[65];
        ljs_join_req req = join_req(LJS_MAC_1_1, (uint16_t)len);
        ljs_message msg;
        ljs_buf record;
        ljs_session s;
        ljs_key *kek, *f;

        snprintf(text, sizeof text, "%.*s", (int)(2 * len), hex);
        kek = key_of(text);
        assert_int_equal(put(&w, d.ns_kek_label, kek, 1), LJS_OK);
        msg = asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
        record = record_of(&w, DEV);
        s = read_session(&record, 0);
        f = derived(LJS_KEY_F_NWK_S_INT, &s, nwk);
        assert_string_equal(msg.f_nwk_s_int.kek_label, d.ns_kek_label);
        expect_key(&msg.f_nwk_s_int, f, kek);
        ljs_key_free(f);
        ljs_key_free(kek);
        ljs_buf_free(&record);
    }
    server_end(&w);
}

/* An open KEK is used no longer than the store has it, whoever changed it; and there may be more
 * of them than are kept open. */
static void as_the_store_has_it(ljs_store *store, ljs_store *of_others)
{
    static const char hex[] = "3f0811b9c2d4e67a5590ab1c77de2f64a91d4c60e2b7f8353c0e916bd54af728";
    ljs_device d = device_of(LJS_MAC_1_1);
    struct world w;
    ljs_server *other;
    uint16_t nonce = 1;

    lab_begin(&w, store);
    assert_int_equal(ljs_server_new(&other, vault, of_others ? of_others : w.store, NULL), LJS_OK);
    strcpy(d.ns_kek_label, "kek");
    added(&w, &d);
    for (unsigned i = 0; i < 3; i++, nonce++) {
        ljs_key *kek = i == 1 ? key_of(hex) : key_of(hex + 32);
        ljs_join_req req = join_req(LJS_MAC_1_1, nonce);
        ljs_message msg;
        ljs_session s;
        ljs_buf record;
        ljs_key *f;

        assert_int_equal(ljs_server_put_kek(i ? other : w.server, "kek", kek, 1), LJS_OK);
        msg = asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
        record = record_of(&w, DEV);
        s = read_session(&record, 0);
        f = derived(LJS_KEY_F_NWK_S_INT, &s, nwk);
        expect_key(&msg.f_nwk_s_int, f, kek);
        ljs_key_free(f);
        ljs_key_free(kek);
        ljs_buf_free(&record);
    }
    for (unsigned i = 0; i < 100; i++, nonce++) {
        ljs_join_req req = join_req(LJS_MAC_1_1, nonce);

        snprintf(d.ns_kek_label, sizeof d.ns_kek_label, "kek %u", i % 70);
        added(&w, &d);
        assert_int_equal(put(&w, d.ns_kek_label, ns_kek, 0), LJS_OK);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
    }
    for (unsigned i = 0; i < 2; i++) {
        ljs_join_req req = join_req(LJS_MAC_1_1, nonce++);

        assert_int_equal(ljs_server_del_kek(i ? other : w.server, d.ns_kek_label), LJS_OK);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "JoinReqFailed");
        assert_int_equal(w.last.err, LJS_E_KEK);
        assert_int_equal(put(&w, d.ns_kek_label, ns_kek, 0), LJS_OK);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
    }
    ljs_server_free(other);
    server_end(&w);
}

static void test_as_the_store_has_it(void **state)
{
    (void)state;
    as_the_store_has_it(NULL, NULL);
}

/* Two of one file, as two processes have them. */
static void test_as_another_process_has_it(void **state)
{
    char *dir = contract_dir(), path[300];
    ljs_store *store, *of_others;

    (void)state;
    snprintf(path, sizeof path, "%s/store.db", dir);
    assert_int_equal(ljs_store_sqlite(&store, path), LJS_OK);
    assert_int_equal(ljs_store_sqlite(&of_others, path), LJS_OK);
    as_the_store_has_it(store, of_others);
    ljs_store_free(of_others);
    contract_dir_remove(dir);
}

/* One that does not tell whether anything was changed: each time it is asked. */
static void test_as_a_store_of_no_moments_has_it(void **state)
{
    ljs_store *memory, *store;
    struct faulty *f;

    (void)state;
    assert_int_equal(ljs_store_memory(&memory), LJS_OK);
    assert_int_equal(faulty_new(&store, &f, memory), LJS_OK);
    as_the_store_has_it(store, NULL);
}

/* Of a KEK that is removed, retired or replaced nothing stays open. */
static void test_nothing_stays_open(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    struct world w;

    (void)state;
    lab_begin(&w, NULL);
    strcpy(d.ns_kek_label, "kek");
    added(&w, &d);
    for (uint16_t i = 0; i < 3; i++) {
        ljs_join_req req = join_req(LJS_MAC_1_0_3, (uint16_t)(i + 1));
        unsigned open = 0;

        assert_int_equal(put(&w, "kek", ns_kek, 1), LJS_OK);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
        assert_string_equal(w.server->keks.place[0].label, "kek");
        assert_int_equal(i == 0   ? ljs_server_del_kek(w.server, "kek")
                         : i == 1 ? put(&w, "kek", other_nwk, 1)
                                  : ljs_server_retire_kek(w.server, "kek", 1),
                         LJS_OK);
        for (unsigned k = 0; k < KEPT_MAX; k++)
            open += w.server->keks.place[k].value_len != 0;
        assert_int_equal(open, 0);
    }
    server_end(&w);
}

/* Nor is it used for what the store has no more: each octet counts, though the KEK is open. */
static void test_open_and_tampered_with(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    struct world w;
    uint64_t version;
    uint16_t nonce = 1;
    ljs_buf value;

    (void)state;
    lab_begin(&w, NULL);
    strcpy(d.ns_kek_label, "kek");
    added(&w, &d);
    assert_int_equal(put(&w, "kek", ns_kek, 0), LJS_OK);
    value = raw_get(&w, "kkek", &version);
    for (size_t at = 0; at < value.len; at++, nonce++) {
        ljs_join_req req = join_req(LJS_MAC_1_0_3, nonce);

        raw_put(&w, "kkek", &value);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
        req = join_req(LJS_MAC_1_0_3, ++nonce);
        value.data[at] ^= (uint8_t)(1 << at % 8);
        raw_put(&w, "kkek", &value);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
        assert_true(w.last.err == LJS_E_SEAL || w.last.err == LJS_E_VERSION);
        value.data[at] ^= (uint8_t)(1 << at % 8);
    }
    ljs_buf_free(&value);
    server_end(&w);
}

/* Nobody who writes to the store can redirect a KEK. */
static void test_pasted_under_another_label(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct world w;
    uint64_t version;
    ljs_buf other;

    (void)state;
    lab_begin(&w, NULL);
    strcpy(d.ns_kek_label, "good");
    added(&w, &d);
    assert_int_equal(put(&w, "good", ns_kek, 0), LJS_OK);
    assert_int_equal(put(&w, "evil", other_nwk, 0), LJS_OK); /* one whose key somebody knows */
    other = raw_get(&w, "kevil", &version);
    raw_put(&w, "kgood", &other);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
    assert_int_equal(w.last.err, LJS_E_SEAL);
    assert_int_equal(device_in(&w, DEV).next_join_nonce, 1);
    assert_int_equal(put(&w, "good", ns_kek, 0), LJS_E_SEAL);
    list(&w, LJS_E_SEAL);
    assert_int_equal(put(&w, "good", ns_kek, 1), LJS_OK); /* an operator can put it right */
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
    assert_int_equal(list(&w, LJS_OK).n, 2);
    ljs_buf_free(&other);
    server_end(&w);
}

/* A device record is no KEK, and a KEK no device, though both are tagged by this vault.  By its schema it is a newer
 * one, and with that of a KEK, and a good tag of its own kind, it is none. */
static void test_pasted_of_another_kind(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct world w;
    uint64_t version;
    ljs_buf record, kek;

    (void)state;
    lab_begin(&w, NULL);
    strcpy(d.ns_kek_label, "kek");
    added(&w, &d);
    assert_int_equal(put(&w, "kek", ns_kek, 0), LJS_OK);
    kek = raw_get(&w, "kkek", &version);
    record = record_of(&w, DEV);
    raw_put(&w, "kkek", &record);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
    assert_int_equal(w.last.err, LJS_E_VERSION);
    for (size_t i = 0; i < 2; i++) {
        const enum tag_domain own[] = { TAG_RECORD, TAG_DEVICE };
        struct wr retagged = { 0 };
        ljs_buf one;

        record.data[2] = kek.data[2];
        ljs__wr(&retagged, record.data, record.len - 16);
        assert_int_equal(ljs__vault_take(&one, &retagged, vault, own[i]), LJS_OK);
        raw_put(&w, "kkek", &one);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
        assert_int_equal(w.last.err, LJS_E_SEAL);
        ljs_buf_free(&one);
    }
    raw_put(&w, "kkek", &kek);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
    ljs_buf_free(&record);
    ljs_buf_free(&kek);
    server_end(&w);
}

static void test_every_bit(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct world w;
    uint64_t version;
    ljs_buf value, key;
    unsigned newer = 0;

    (void)state;
    lab_begin(&w, NULL);
    strcpy(d.ns_kek_label, "kek");
    added(&w, &d);
    assert_int_equal(put(&w, "kek", ns_kek, 0), LJS_OK);
    value = raw_get(&w, "kkek", &version);
    assert_int_equal(ljs_key_export(&key, ns_kek), LJS_OK);
    assert_null(memmem(value.data, value.len, key.data, 8));
    assert_null(memmem(value.data, value.len, key.data + 8, 8));
    for (size_t bit = 0; bit < 8 * value.len; bit++) {
        value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        raw_put(&w, "kkek", &value);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
        assert_true(w.last.err == LJS_E_SEAL || w.last.err == LJS_E_VERSION);
        newer += w.last.err == LJS_E_VERSION;
        value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_in_range(newer, 1, 8);
    for (size_t len = 0; len < value.len; len += 7) {
        ljs_buf shorter = { value.data, len };

        if (len == 0)
            continue;
        raw_put(&w, "kkek", &shorter);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
        assert_int_equal(w.last.err, LJS_E_SEAL);
    }
    raw_put(&w, "kkek", &value);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
    ljs_buf_free(&key);
    ljs_buf_free(&value);
    server_end(&w);
}

/* ---- whose store it is ------------------------------------------------------ */

static void wrong_master(ljs_store *store)
{
    static const uint8_t master[32] = { 1, 2, 3 };
    ljs_vault *other;
    ljs_server *server, *second;
    struct world w;
    uint64_t version;
    ljs_buf value;

    assert_int_equal(ljs_vault_new(&other, master, sizeof master), LJS_OK);
    server_begin(&w, store, NULL);
    assert_int_equal(ljs_server_new(&server, other, store, NULL), LJS_E_SEAL);
    assert_null(server);
    assert_int_equal(ljs_server_new(&second, vault, store, NULL), LJS_OK); /* two servers may share one */
    ljs_server_free(second);
    value = raw_get(&w, "m", &version);
    for (size_t bit = 0; bit < 8 * value.len; bit++) {
        ljs_err err;

        value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        raw_put(&w, "m", &value);
        err = ljs_server_new(&server, vault, store, NULL);
        assert_true(err == LJS_E_SEAL || err == LJS_E_VERSION);
        value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    raw_put(&w, "m", &value);
    assert_int_equal(ljs_server_new(&server, vault, store, NULL), LJS_OK);
    ljs_server_free(server);
    ljs_buf_free(&value);
    server_end(&w);
    ljs_vault_free(other);
}

static void test_wrong_master_memory(void **state)
{
    ljs_store *store;

    (void)state;
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    wrong_master(store);
}

static void test_wrong_master_sqlite(void **state)
{
    static const uint8_t master[32] = { 1, 2, 3 };
    char *dir = contract_dir(), path[200];
    ljs_vault *other;
    ljs_server *server;
    ljs_store *store;
    struct world w;
    ljs_device d = device_of(LJS_MAC_1_0_3);

    (void)state;
    snprintf(path, sizeof path, "%s/db", dir);
    assert_int_equal(ljs_store_sqlite(&store, path), LJS_OK);
    server_begin(&w, store, NULL);
    added(&w, &d);
    server_end(&w);
    assert_int_equal(ljs_vault_new(&other, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_store_sqlite(&store, path), LJS_OK);
    assert_int_equal(ljs_server_new(&server, other, store, NULL), LJS_E_SEAL);
    server_begin(&w, store, NULL);
    assert_int_equal(device_in(&w, DEV).mac, LJS_MAC_1_0_3);
    server_end(&w);
    ljs_vault_free(other);
    contract_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_put_replace_delete_list),
        cmocka_unit_test(test_every_length_wraps),
        cmocka_unit_test(test_as_the_store_has_it),
        cmocka_unit_test(test_as_another_process_has_it),
        cmocka_unit_test(test_as_a_store_of_no_moments_has_it),
        cmocka_unit_test(test_nothing_stays_open),
        cmocka_unit_test(test_open_and_tampered_with),
        cmocka_unit_test(test_pasted_under_another_label),
        cmocka_unit_test(test_pasted_of_another_kind),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_wrong_master_memory),
        cmocka_unit_test(test_wrong_master_sqlite),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
