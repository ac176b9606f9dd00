/* What is carried from one master key to the next, over any octets, given a good seal so that the reader
 * behind it is reached.
 * Laws: what is refused leaves the vault as it was; what is taken is packed and taken again as the same,
 * with numbers that rise, and what one of both vaults tags is good for the other. */
#include "base/secret.h"
#include "keys/masters.h"

#include "fuzz.h"

static ljs_vault *fresh(void)
{
    static const uint8_t key[32] = { 1 };
    ljs_vault *vault;

    CHECK(ljs_vault_new(&vault, key, sizeof key) == LJS_OK);
    return vault;
}

/* The pack whose one box for us holds `data`. */
static void around(struct wr *w, const ljs_vault *vault, const uint8_t *data, size_t size, unsigned n, unsigned number)
{
    const uint8_t ad[] = { 1, (uint8_t)n, (uint8_t)number, (uint8_t)(number >> 8) };
    uint8_t *at;

    ljs__wr_le(w, 1, 1);
    ljs__wr_le(w, n, 1);
    for (unsigned i = 0; i < n; i++) {
        ljs__wr_le(w, number, 2);
        if ((at = wr_add(w, size + LJS__SEAL_EXTRA)))
            ljs__seal(at, masters_of(vault)->at[0].carry, ad, sizeof ad, data, size);
    }
    CHECK(!w->bad);
}

static void taken(ljs_vault *vault)
{
    const struct masters *set = masters_of(vault);
    ljs_vault *other = fresh();
    struct wr w = { 0 };
    ljs_buf again;

    for (unsigned i = 1; i < set->n; i++)
        CHECK(set->at[i].number < set->at[i - 1].number);
    CHECK(ljs_vault_pack(&again, vault) == LJS_OK);
    /* It opens for who has one of its keys, which the first need not be. */
    if (ljs_vault_unpack(other, again.data, again.len) == LJS_OK) {
        CHECK(ljs_vault_version(other) == ljs_vault_version(vault));
        CHECK(ljs_vault_versions(other) == ljs_vault_versions(vault));
        ljs__wr(&w, "x", 1);
        CHECK(ljs__vault_tag(&w, vault, TAG_KEK) == LJS_OK);
        CHECK(ljs__vault_check(other, TAG_KEK, w.data, w.len) == LJS_OK);
        ljs__wr_drop(&w);
    } else {
        CHECK(ljs_vault_versions(other) == 1);
    }
    ljs_buf_free(&again);
    ljs_vault_free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ljs_vault *vault = fresh();
    struct wr w = { 0 };
    ljs_err err;

    CHECK(ljs_vault_unpack(vault, data, size) != LJS_OK);
    CHECK(ljs_vault_version(vault) == 1 && ljs_vault_versions(vault) == 1);
    if (size >= 3 && size < 4096) {
        around(&w, vault, data + 3, size - 3, data[0], data[1] | data[2] << 8);
        err = ljs_vault_unpack(vault, w.data, w.len);
        if (!err)
            taken(vault);
        else
            CHECK(ljs_vault_version(vault) == 1 && ljs_vault_versions(vault) == 1);
        ljs__wr_drop(&w);
    }
    ljs_vault_free(vault);
    return 0;
}
