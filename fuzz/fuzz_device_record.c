/* Any octets, given a good tag, so that the reader behind it is reached.
 * Laws: what does not read leaves nothing; what reads is written and read again as the same; a
 * record with one octet changed is refused; whatever is changed of one that was read, it is written
 * as it is when nobody knows which octets its sessions came in. */
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
    CHECK(a->sets == b->sets && a->asked_len == b->asked_len && a->has_digest == b->has_digest &&
          a->has_print == b->has_print);
    CHECK(!a->asked_len || memcmp(a->asked, b->asked, a->asked_len) == 0);
    CHECK(memcmp(a->digest, b->digest, sizeof a->digest) == 0);
    CHECK(memcmp(a->session, b->session, sizeof a->session) == 0);
    for (unsigned i = 0; i < a->d.join_euis; i++) {
        CHECK(a->context[i].join_eui == b->context[i].join_eui && a->context[i].dev_nonce == b->context[i].dev_nonce);
        CHECK(a->context[i].used.len == b->context[i].used.len);
        CHECK(!a->context[i].used.len ||
              memcmp(a->context[i].used.at, b->context[i].used.at, a->context[i].used.len) == 0);
    }
}

/* Change what steps change of sessions, and more, as `how` says. */
static void change(struct record *r, uint64_t how)
{
    ljs_session *s = &r->session[how % (r->d.sessions ? r->d.sessions : 1)];
    struct context *a = &r->context[how / 16 % r->d.join_euis], *b = &r->context[how / 64 % r->d.join_euis];
    const struct context was = *a;

    switch (how >> 8 & 15) {
    case 0:
        s->rj_count0 = (int32_t)(how >> 16 & 0xffff);
        break;
    case 1:
        s->proven = !s->proven;
        break;
    case 2:
        memset(s->session_key_id, 0, sizeof s->session_key_id);
        break;
    case 3:
        memset(s->cf_list, 0, sizeof s->cf_list);
        s->has_cf_list = 0;
        break;
    case 4:
        s->join_eui = a->join_eui;
        break;
    case 5: /* another is the first */
        *a = *b;
        *b = was;
        break;
    case 6: /* one is the newest, again */
        memmove(r->session + 1, r->session, r->d.sessions * sizeof *s);
        r->d.sessions += r->d.sessions && r->d.sessions < LJS_SESSIONS_MAX;
        break;
    case 7:
        memmove(s, s + 1, (size_t)(r->session + LJS_SESSIONS_MAX - s) * sizeof *s);
        r->d.sessions -= r->d.sessions > 0;
        break;
    case 8:
        r->d.generation ^= (uint32_t)(how >> 16);
        break;
    default: /* any octet of one that is any */
        s->session_key_id[how >> 16 & 15] ^= (uint8_t)(how >> 24);
        s->dev_addr ^= (uint32_t)(how >> 32);
        s->at ^= (int64_t)(how >> 40);
    }
}

/* The record is written as if nothing were known of where its sessions came from. */
static void written_alike(const struct record *r)
{
    struct record all = *r;
    ljs_buf got, want;

    all.origins = 0;
    CHECK(ljs__record_save(&got, r, vault()) == LJS_OK);
    CHECK(ljs__record_save(&want, &all, vault()) == LJS_OK);
    CHECK(got.len == want.len && memcmp(got.data, want.data, got.len) == 0);
    ljs_buf_free(&got);
    ljs_buf_free(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct record nothing;
    struct record r, again;
    struct wr w = { 0 };
    ljs_buf saved;
    ljs_session session;
    ljs_buf nonces;
    bool now;

    if (size > 32768)
        return 0;
    ljs__wr(&w, data, size);
    CHECK(ljs__vault_tag(&w, vault(), TAG_RECORD) == LJS_OK);
    if (ljs__record_tagged(&now, vault(), w.data, w.len) != LJS_OK) { /* of an old schema */
        w.len = size;
        CHECK(ljs__vault_tag(&w, vault(), TAG_DEVICE) == LJS_OK);
        CHECK(ljs__record_tagged(&now, vault(), w.data, w.len) == LJS_OK);
    }
    if (ljs__record_load(&r, vault(), w.data, w.len) != LJS_OK) {
        CHECK(memcmp(&r.d, &nothing.d, sizeof r.d) == 0);
        ljs__wr_drop(&w);
        return 0;
    }
    CHECK(ljs__record_save(&saved, &r, vault()) == LJS_OK);
    CHECK(ljs__record_load(&again, vault(), saved.data, saved.len) == LJS_OK);
    same(&r, &again);
    written_alike(&r);
    for (uint64_t i = 0, how = size; i < 8; i++) {
        how = how * 6364136223846793005u + data[how % size] + i;
        change(&again, how >> 8);
        written_alike(&again);
    }
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
