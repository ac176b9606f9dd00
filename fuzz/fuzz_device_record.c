/* Any octets, given a good tag, so that the reader behind it is reached.
 * Laws: what does not read leaves nothing; what reads is written and read again as the same; a
 * record with one octet changed is refused. */
#include "base/secret.h"
#include "device/record.h"

#include "fuzz.h"

static ljs_vault *vault(void)
{
    static ljs_vault *made;
    static const uint8_t master[32] = { 1 };

    if (!made)
        CHECK(ljs_vault_new(&made, master, sizeof master) == LJS_OK);
    return made;
}

static void same(const struct record *a, const struct record *b)
{
    CHECK(memcmp(&a->d, &b->d, sizeof a->d) == 0);
    CHECK(a->sets == b->sets && a->has_last == b->has_last && a->has_print == b->has_print);
    CHECK(memcmp(a->session, b->session, sizeof a->session) == 0);
    for (unsigned i = 0; i < a->d.join_euis; i++) {
        CHECK(a->context[i].join_eui == b->context[i].join_eui && a->context[i].dev_nonce == b->context[i].dev_nonce);
        CHECK(a->context[i].used.len == b->context[i].used.len);
        CHECK(!a->context[i].used.len ||
              memcmp(a->context[i].used.at, b->context[i].used.at, a->context[i].used.len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct record nothing;
    struct record r, again;
    struct wr w = { 0 };
    ljs_buf saved;
    ljs_session session;
    ljs_buf nonces;

    if (size > 32768)
        return 0;
    ljs__wr(&w, data, size);
    CHECK(ljs__vault_tag(&w, vault(), TAG_DEVICE) == LJS_OK);
    if (ljs__record_load(&r, vault(), w.data, w.len) != LJS_OK) {
        CHECK(memcmp(&r.d, &nothing.d, sizeof r.d) == 0);
        ljs__wr_drop(&w);
        return 0;
    }
    CHECK(ljs__record_save(&saved, &r, vault()) == LJS_OK);
    CHECK(ljs__record_load(&again, vault(), saved.data, saved.len) == LJS_OK);
    same(&r, &again);
    for (unsigned i = 0; i < r.d.sessions; i++)
        CHECK(ljs_device_session(&session, i, saved.data, saved.len) == LJS_OK);
    for (unsigned i = 0; i < r.d.join_euis; i++) {
        CHECK(ljs_device_dev_nonces(&nonces, i, saved.data, saved.len) == LJS_OK);
        CHECK(nonces.len / 2 == ljs__nonces_count(&r.context[i].used));
        ljs_buf_free(&nonces);
    }
    saved.data[size % saved.len] ^= (uint8_t)(1 << size % 8);
    CHECK(ljs__record_load(&again, vault(), saved.data, saved.len) != LJS_OK);
    ljs_buf_free(&saved);
    ljs__wr_drop(&w);
    return 0;
}
