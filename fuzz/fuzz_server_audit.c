/* A link of the audit log, given a good tag, or an anchor; the first octet chooses.
 * Laws: what does not read leaves nothing; what reads is written and read again as the same; a link
 * with one bit changed is refused. */
#include "server/anchor.h"

#include "fuzz.h"

#include <stdlib.h>

static ljs_vault *vault(void)
{
    static ljs_vault *made;
    static const uint8_t master[32] = { 1 };

    if (!made)
        CHECK(ljs_vault_new(&made, master, sizeof master) == LJS_OK);
    return made;
}

static void anchor(const uint8_t *data, size_t size)
{
    struct anchor a, again;
    struct wr w = { 0 };

    if (ljs__anchor_read(&a, data, size)) {
        CHECK(!a.at && !a.len);
        return;
    }
    for (size_t i = 0; i < a.len; i++)
        ljs__anchor_line(&w, a.at[i].writer, a.at[i].sequence, a.at[i].tag);
    CHECK(ljs__anchor_read(&again, w.data, w.len) == LJS_OK && again.len == a.len);
    for (size_t i = 0; i < a.len; i++)
        CHECK(a.at[i].writer == again.at[i].writer && a.at[i].sequence == again.at[i].sequence &&
              memcmp(a.at[i].tag, again.at[i].tag, sizeof a.at[i].tag) == 0);
    free(a.at);
    free(again.at);
    ljs__wr_drop(&w);
}

/* As the writer is given it. */
static void rewrite(struct wr *body, const ljs_audit_entry *e)
{
    const struct entry entry = {
        .kind = e->kind,
        .err = e->err,
        .dev_eui = e->dev_eui,
        .join_nonce = e->join_nonce,
        .nonce = e->nonce,
        .count = e->count,
        .net_id = e->net_id,
        .who = e->who,
        .text = e->text,
        .before = e->has_before ? e->before : NULL,
        .after = e->has_after ? e->after : NULL,
    };

    ljs__link_entry(body, &entry);
}

static void a_link(const uint8_t *data, size_t size)
{
    static const ljs_audit_link nothing;
    static const ljs_audit_entry no_entry;
    ljs_audit_link head, head2;
    ljs_audit_entry entry, entry2;
    struct wr w = { 0 }, body = { 0 }, again = { 0 };

    ljs__wr(&w, data, size);
    CHECK(ljs__vault_tag(&w, vault(), TAG_AUDIT) == LJS_OK);
    if (ljs_audit_link_read(&head, w.data, w.len)) {
        CHECK(memcmp(&head, &nothing, sizeof head) == 0);
        goto out;
    }
    for (unsigned i = 0; i < head.entries; i++) {
        CHECK(ljs_audit_link_entry(&entry, i, w.data, w.len) == LJS_OK);
        rewrite(&body, &entry);
    }
    CHECK(ljs_audit_link_entry(&entry, head.entries, w.data, w.len) == LJS_E_NOTFOUND);
    CHECK(memcmp(&entry, &no_entry, sizeof entry) == 0);
    CHECK(ljs__link_write(&again, vault(), &head, &body) == LJS_OK);
    CHECK(ljs_audit_link_read(&head2, again.data, again.len) == LJS_OK);
    memcpy(head2.tag, head.tag, sizeof head.tag); /* another spelling has another */
    CHECK(memcmp(&head, &head2, sizeof head) == 0);
    for (unsigned i = 0; i < head.entries; i++) {
        CHECK(ljs_audit_link_entry(&entry, i, w.data, w.len) == LJS_OK);
        CHECK(ljs_audit_link_entry(&entry2, i, again.data, again.len) == LJS_OK);
        CHECK(memcmp(&entry, &entry2, sizeof entry) == 0);
    }
    CHECK(ljs__vault_check(vault(), TAG_AUDIT, again.data, again.len) == LJS_OK);
    again.data[size % again.len] ^= (uint8_t)(1 << size % 8);
    CHECK(ljs__vault_check(vault(), TAG_AUDIT, again.data, again.len) == LJS_E_SEAL);
out:
    ljs__wr_drop(&w);
    ljs__wr_drop(&body);
    ljs__wr_drop(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size || size > 4096)
        return 0;
    if (data[0] & 1)
        anchor(data + 1, size - 1);
    else
        a_link(data + 1, size - 1);
    return 0;
}
