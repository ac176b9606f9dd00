/* Manifests: each check broken once, whatever pieces they come in, and the genuine ones where they are. */
#include <lorajs/manifest.h>

#include "base/cursor.h"
#include "codec/seen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

enum { VERDICTS = LJS_MANIFEST_DUPLICATE_DEV_EUI + 1, ENTRIES_MAX = 256 };

static json_t *all;
static bool met[VERDICTS];

static int load(void **state)
{
    json_error_t error;

    (void)state;
    all = json_load_file(TESTS_DIR "/vectors/manifests.json", JSON_REJECT_DUPLICATES, &error);
    return all ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    json_decref(all);
    return 0;
}

static const char *text_of(json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    return text ? text : "";
}

static ljs_manifest *open_manifest(json_t *trusting)
{
    const char *signer = text_of(trusting, "signer"), *root = text_of(trusting, "root");
    ljs_manifest *m;

    assert_int_equal(ljs_manifest_new(&m), LJS_OK);
    if (trusting) {
        assert_int_equal(ljs_manifest_trust_signer(m, (const uint8_t *)signer, strlen(signer)), LJS_OK);
        assert_int_equal(ljs_manifest_trust_root(m, (const uint8_t *)root, strlen(root)), LJS_OK);
    }
    return m;
}

static void nothing_but_which(const ljs_manifest_entry *e)
{
    ljs_manifest_entry want = { .index = e->index, .offset = e->offset, .verdict = e->verdict };

    memcpy(want.unique_id, e->unique_id, sizeof want.unique_id);
    memcpy(want.detail, e->detail, sizeof want.detail);
    assert_memory_equal(e, &want, sizeof want);
}

/* Fed in pieces; how many entries. */
static size_t read_text(ljs_manifest_entry out[ENTRIES_MAX], ljs_manifest *m, const char *text, size_t len,
                        size_t piece)
{
    size_t n = 0;

    for (size_t from = 0; from < len; from += piece) {
        size_t some = len - from < piece ? len - from : piece, at = 0;
        ljs_err err;

        while (!(err = ljs_manifest_next(&out[n], &at, m, (const uint8_t *)text + from, some))) {
            assert_true(n + 1 < ENTRIES_MAX);
            assert_int_equal(out[n].index, n);
            if (out[n].verdict)
                nothing_but_which(&out[n]);
            met[out[n++].verdict] = true;
        }
        if (err != LJS_E_NOTFOUND)
            return n;
        assert_int_equal(at, some);
    }
    return n;
}

static void expect(const ljs_manifest_entry *e, const char *verdict, const char *what)
{
    if (strcmp(ljs_manifest_verdict_name(e->verdict), verdict) != 0)
        fail_msg("%s: %s (%s), not %s", what, ljs_manifest_verdict_name(e->verdict), e->detail, verdict);
}

static void test_good(void **state)
{
    static ljs_manifest_entry e[ENTRIES_MAX];
    size_t i, n = 0;
    json_t *row;

    (void)state;
    json_array_foreach(json_object_get(all, "entries"), i, row)
    {
        char *text = NULL;
        int len;
        ljs_manifest *m;

        if (strcmp(text_of(row, "verdict"), "good") != 0)
            continue;
        len = asprintf(&text, "[%s]", text_of(row, "entry"));
        m = open_manifest(all);
        assert_int_equal(read_text(e, m, text, (size_t)len, 1000), 1);
        expect(e, "good", text_of(row, "what"));
        assert_int_equal(ljs_manifest_end(m), LJS_OK);
        assert_int_equal(e->has_key, e->version != 2);
        assert_string_equal(e->model, "ATECC608A");
        assert_string_equal(e->part_number, "ATECC608A-MAHT3");
        assert_string_equal(e->timestamp, "2019-09-20T16:18:45.390Z");
        assert_string_equal(e->group_id, "TEST0000GROUP000");
        assert_int_equal(strlen(e->signer), 27);
        if (e->has_key) {
            assert_string_equal(e->unique_id, "012300000000000127");
            assert_int_equal(e->suffix, 0x27);
            assert_int_equal(e->join_eui, 0x70b3d57ed0000000);
            assert_int_equal(e->has_dev_eui, strcmp(text_of(row, "what"), "generation M") != 0);
            assert_int_equal(e->dev_eui, e->has_dev_eui ? 0x0004a31000000001 : 0);
        }
        ljs_manifest_free(m);
        free(text);
        n++;
    }
    assert_true(n > 8);
}

/* All that is forged in one manifest, between two that are good: none does harm to another. */
static void forged(size_t piece)
{
    static ljs_manifest_entry e[ENTRIES_MAX];
    json_t *rows = json_object_get(all, "entries"), *row;
    struct wr w = { 0 };
    size_t i, n = 0, got;
    ljs_manifest *m = open_manifest(all);

    ljs__wr_text(&w, " [");
    ljs__wr_text(&w, text_of(json_array_get(rows, 0), "entry"));
    json_array_foreach(rows, i, row)
    {
        if (!strcmp(text_of(row, "verdict"), "good"))
            continue;
        ljs__wr_text(&w, " ,\n");
        ljs__wr_text(&w, text_of(row, "entry"));
    }
    ljs__wr_text(&w, ",");
    ljs__wr_text(&w, text_of(json_array_get(rows, 0), "entry"));
    ljs__wr_text(&w, "]\n");
    got = read_text(e, m, (const char *)w.data, w.len, piece);
    assert_int_equal(ljs_manifest_end(m), LJS_OK);
    expect(&e[n++], "good", "the first");
    json_array_foreach(rows, i, row) if (strcmp(text_of(row, "verdict"), "good") != 0)
        expect(&e[n++], text_of(row, "verdict"), text_of(row, "what"));
    expect(&e[n++], "duplicate", "the last");
    assert_int_equal(got, n);
    assert_true(n > 70);
    ljs__wr_drop(&w);
    ljs_manifest_free(m);
}

static void test_forged(void **state)
{
    (void)state;
    forged(1 << 20);
    forged(1);
}

static void test_together(void **state)
{
    static ljs_manifest_entry e[ENTRIES_MAX];
    size_t i, k;
    json_t *row, *verdict;

    (void)state;
    json_array_foreach(json_object_get(all, "manifests"), i, row)
    {
        json_t *verdicts = json_object_get(row, "verdicts");
        const char *text = text_of(row, "entries"), *join_eui = text_of(row, "join_eui");
        ljs_manifest *m = open_manifest(all);

        if (*join_eui)
            assert_int_equal(ljs_manifest_expect_join_eui(m, strtoull(join_eui, NULL, 16)), LJS_OK);
        assert_int_equal(read_text(e, m, text, strlen(text), 97), json_array_size(verdicts));
        json_array_foreach(verdicts, k, verdict) expect(&e[k], json_string_value(verdict), text_of(row, "what"));
        assert_int_equal(ljs_manifest_end(m), LJS_OK);
        ljs_manifest_free(m);
    }
    assert_true(i >= 7);
}

/* Who is not trusted is not believed: nor Microchip's manifests by our signer's word, nor ours by Microchip's. */
static void test_trust(void **state)
{
    static ljs_manifest_entry e[ENTRIES_MAX];
    const char *signer = text_of(all, "signer"), *root = text_of(all, "root"), *text;
    const uint8_t *der = (const uint8_t *)"\x30\x00";
    ljs_manifest *m = open_manifest(NULL);
    char twice[4096];

    (void)state;
    text = text_of(json_array_get(json_object_get(all, "manifests"), 1), "entries");
    assert_int_equal(read_text(e, m, text, strlen(text), 1000), 2);
    expect(&e[0], "signer", "nobody");
    ljs_manifest_free(m);

    m = open_manifest(NULL);
    assert_int_equal(ljs_manifest_trust_signer(m, (const uint8_t *)signer, strlen(signer)), LJS_OK);
    assert_int_equal(ljs_manifest_trust_signer(m, (const uint8_t *)signer, strlen(signer)), LJS_E_EXISTS);
    assert_int_equal(read_text(e, m, text, strlen(text), 1000), 2);
    expect(&e[1], "root", "no root");
    ljs_manifest_free(m);

    m = open_manifest(NULL);
    assert_int_equal(ljs_manifest_trust_root(m, (const uint8_t *)signer, strlen(signer)), LJS_E_INVAL); /* no CA */
    assert_int_equal(ljs_manifest_trust_root(m, (const uint8_t *)root, strlen(root)), LJS_OK);
    assert_int_equal(ljs_manifest_trust_root(m, (const uint8_t *)root, strlen(root)), LJS_E_EXISTS);
    assert_int_equal(ljs_manifest_trust_signer(m, der, 2), LJS_E_INVAL);
    assert_int_equal(ljs_manifest_trust_signer(m, der, 0), LJS_E_INVAL);
    assert_int_equal(ljs_manifest_trust_signer(m, (const uint8_t *)signer, strlen(signer) - 30), LJS_E_INVAL);
    snprintf(twice, sizeof twice, "%s%s", signer, root);
    assert_int_equal(ljs_manifest_trust_signer(m, (const uint8_t *)twice, strlen(twice)), LJS_E_INVAL);
    snprintf(twice, sizeof twice, "A note before.\n%sand after\n", signer);
    assert_int_equal(ljs_manifest_trust_signer(m, (const uint8_t *)twice, strlen(twice)), LJS_OK);
    for (ljs_eui i = 0; i < LJS_MANIFEST_TRUST_MAX; i++)
        assert_int_equal(ljs_manifest_expect_join_eui(m, i), LJS_OK);
    assert_int_equal(ljs_manifest_expect_join_eui(m, 99), LJS_E_NOMEM);
    ljs_manifest_free(m);
}

/* What is no array of entries; how many were seen, what next() says, and what end() does. */
static void test_arrays(void **state)
{
    static const struct {
        const char *text;
        size_t entries;
        ljs_err end;
    } rows[] = {
        { "[]", 0, LJS_OK },         { " [ ] \r\n", 0, LJS_OK },   { "", 0, LJS_E_INVAL },
        { "{}", 0, LJS_E_INVAL },    { "[", 0, LJS_E_INVAL },      { "[{}", 0, LJS_E_INVAL },
        { "[{},", 1, LJS_E_INVAL },  { "[{},]", 2, LJS_OK },       { "[,]", 2, LJS_OK },
        { "[{}]]", 1, LJS_E_INVAL }, { "[{}] {", 1, LJS_E_INVAL }, { "[\"]\",\"\\\"],\"]", 2, LJS_OK },
        { "[{]},[}]", 2, LJS_OK },   { "[\"", 0, LJS_E_INVAL },    { "\xef\xbb\xbf[]", 0, LJS_E_INVAL },
    };
    static ljs_manifest_entry e[ENTRIES_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t piece = 1; piece <= 8; piece += 7) {
            ljs_manifest *m = open_manifest(NULL);
            size_t at = 0;

            if (read_text(e, m, rows[i].text, strlen(rows[i].text), piece) != rows[i].entries ||
                ljs_manifest_end(m) != rows[i].end)
                fail_msg("%s", rows[i].text);
            for (size_t k = 0; k < rows[i].entries; k++)
                assert_int_not_equal(e[k].verdict, LJS_MANIFEST_GOOD);
            /* What has ended stays so. */
            if (rows[i].end == LJS_OK) {
                assert_int_equal(ljs_manifest_next(e, &at, m, (const uint8_t *)"[", 1), LJS_E_INVAL);
                assert_int_equal(ljs_manifest_end(m), LJS_E_INVAL);
                assert_int_equal(at, 0);
            }
            at = 2;
            assert_int_equal(ljs_manifest_next(e, &at, m, (const uint8_t *)"[", 1), LJS_E_INVAL);
            ljs_manifest_free(m);
        }
}

/* As long as it may be, and one octet longer; the next one is read all the same. */
static void test_long(void **state)
{
    static ljs_manifest_entry e[ENTRIES_MAX];
    static char text[3 * LJS_MANIFEST_ENTRY_MAX];

    (void)state;
    for (size_t more = 0; more < 2; more++) {
        ljs_manifest *m = open_manifest(NULL);
        size_t len = LJS_MANIFEST_ENTRY_MAX + more;

        memset(text, 'a', sizeof text);
        memcpy(text, "[{\"", 3);
        memcpy(text + 1 + len - 4, "\":1}", 4);
        memcpy(text + 1 + len, ",{}]", 4);
        assert_int_equal(read_text(e, m, text, 1 + len + 4, 4096), 2);
        expect(&e[0], more ? "too-long" : "not-jws", "long");
        assert_int_equal(e[1].offset, 1 + len + 1);
        assert_int_equal(ljs_manifest_end(m), LJS_OK);
        ljs_manifest_free(m);
    }
}

/* A million identifiers are told apart, in some 40 octets each. */
static void test_a_million(void **state)
{
    struct seen set = { .width = 9 };
    uint8_t id[9] = { 0x01, 0x23, 0, 0, 0, 0, 0, 0, 0x27 };

    (void)state;
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 1000000; i++) {
            memcpy(id + 3, &i, 4);
            assert_int_equal(ljs__seen_has(&set, id), round);
            if (!round)
                assert_int_equal(ljs__seen_add(&set, id), LJS_OK);
        }
    assert_int_equal(set.len, 1000000);
    assert_true(set.room * (set.width + 1) <= 40u * 1000000);
    id[0] = 0x02;
    assert_false(ljs__seen_has(&set, id));
    ljs__seen_drop(&set);
    assert_false(ljs__seen_has(&set, id));
}

/* ---- the genuine ones: other people's data, which is not here, but may be where this runs ------------ */

static size_t read_genuine(ljs_manifest_entry out[ENTRIES_MAX], const char *folder, const char *name)
{
    char path[4096], text[64 * 1024];
    ljs_manifest *m = open_manifest(NULL);
    FILE *file;
    size_t len, n;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!(file = fopen(path, "rb")))
        fail_msg("%s is not there", path);
    len = fread(text, 1, sizeof text, file);
    fclose(file);
    n = read_text(out, m, text, len, 512);
    assert_int_equal(ljs_manifest_end(m), LJS_OK);
    ljs_manifest_free(m);
    return n;
}

static void test_genuine(void **state)
{
    static const struct {
        const char *file, *verdict, *unique_id;
        ljs_eui dev_eui, join_eui;
    } rows[] = {
        { "tts_microchip_atecc608a_mahtn-t.json", "good", "01237a005b08bcc527", 0, 0 },
        { "tts_docs_microchip_atecc608a_mahtn-t-example.json", "good", "0123d34fb176c66f27", 0, 0x70b3d57ed0000000 },
        { "tts_microchip_atecc608a_tnglora_B.json", "good", "01238ebe20080bd527", 0x0004a310001ff9da,
          0x70b3d57ed0000000 },
        { "tts_microchip_atecc608a_tnglora_C.json", "good", "0123114e171b98b427", 0x0004a310001aa90a,
          0x70b3d57ed0000000 },
        { "tts_microchip_atecc608a_tnglora_B_BADSIG.json", "signature", "01238ebe20080bd527", 0, 0 },
        { "microchip_doc_light_v2_example.json", "signer", "0123f1822c38dd7a01", 0, 0 },
    };
    static ljs_manifest_entry e[ENTRIES_MAX];
    const char *folder = getenv("LORAJS_MANIFESTS");

    (void)state;
    if (!folder || !*folder) {
        print_message(
            "LORAJS_MANIFESTS names no folder of genuine manifests: read are those of our own making alone\n");
        skip();
    }
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(read_genuine(e, folder, rows[i].file) >= 1);
        expect(e, rows[i].verdict, rows[i].file);
        assert_string_equal(e->unique_id, rows[i].unique_id);
        assert_int_equal(e->dev_eui, rows[i].dev_eui);
        assert_int_equal(e->join_eui, rows[i].join_eui);
    }
}

/* Last: each verdict has been met, and has words. */
static void test_every_verdict(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VERDICTS; i++) {
        if (!met[i])
            fail_msg("nothing was refused as %s", ljs_manifest_verdict_name((ljs_manifest_verdict)i));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(ljs_manifest_verdict_name((ljs_manifest_verdict)i),
                                    ljs_manifest_verdict_name((ljs_manifest_verdict)k));
        assert_true(strlen(ljs_manifest_verdict_text((ljs_manifest_verdict)i)) > 5);
    }
    assert_string_equal(ljs_manifest_verdict_name((ljs_manifest_verdict)VERDICTS), "?");
    assert_string_equal(ljs_manifest_verdict_text((ljs_manifest_verdict)-1), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_forged),  cmocka_unit_test(test_together),
        cmocka_unit_test(test_trust),     cmocka_unit_test(test_arrays),  cmocka_unit_test(test_long),
        cmocka_unit_test(test_a_million), cmocka_unit_test(test_genuine), cmocka_unit_test(test_every_verdict),
    };

    return cmocka_run_group_tests(tests, load, drop);
}
