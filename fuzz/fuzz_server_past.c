/* Markers and the ends of backups, given a good tag so that the reader behind it is reached; the first octet
 * says which.
 * Laws: what does not read leaves nothing; what reads is written and read again as the same; with one bit
 * changed it is refused; and without our tag nothing reads at all. */
#include "server/past.h"

#include "fuzz.h"

static ljs_vault *vault(void)
{
    static ljs_vault *made;
    static const uint8_t master[32] = { 1 };

    if (!made)
        CHECK(ljs_vault_new(&made, master, sizeof master) == LJS_OK);
    return made;
}

static bool is_nothing(const void *mem, size_t len)
{
    return ljs__is_zero(mem, len);
}

static void fuzz_marker(const uint8_t *data, size_t size)
{
    struct place p, again;
    struct wr w = { 0 }, whole = { 0 };
    uint8_t octets[PLACE_LEN];

    CHECK(ljs__place_read(&p, vault(), data, size) != LJS_OK && is_nothing(&p, sizeof p));
    ljs__wr(&w, data, size);
    CHECK(ljs__vault_tag(&w, vault(), TAG_MARKER) == LJS_OK);
    ljs__wr_le(&whole, w.len, 2);
    ljs__wr(&whole, w.data, w.len);
    CHECK(!whole.bad);
    if (ljs__place_read(&p, vault(), whole.data, whole.len) != LJS_OK) {
        CHECK(is_nothing(&p, sizeof p));
    } else {
        CHECK(p.marker.bound >= p.marker.at);
        CHECK(ljs__place_write(octets, &p, vault()) == LJS_OK);
        CHECK(ljs__place_read(&again, vault(), octets, sizeof octets) == LJS_OK);
        CHECK(memcmp(&p, &again, sizeof p) == 0);
        octets[size % (2 + (octets[0] | octets[1] << 8))] ^= (uint8_t)(1 << size % 8);
        CHECK(ljs__place_read(&again, vault(), octets, sizeof octets) != LJS_OK);
    }
    ljs__wr_drop(&w);
    ljs__wr_drop(&whole);
}

static void fuzz_end(const uint8_t *data, size_t size)
{
    static const uint8_t word[] = { 'L', 'J', 'S', 'B', 'A', 'C', 'K', '1' };
    struct end e, again;
    struct wr w = { 0 };
    ljs_buf octets;
    size_t len;

    CHECK(ljs__end_read(&e, &len, vault(), data, size) != LJS_OK && is_nothing(&e, sizeof e) && !len);
    ljs__wr(&w, data, size);
    CHECK(ljs__vault_tag(&w, vault(), TAG_BACKUP) == LJS_OK);
    ljs__wr_le(&w, w.len, 2);
    ljs__wr(&w, word, sizeof word);
    CHECK(!w.bad);
    if (ljs__end_read(&e, &len, vault(), w.data, w.len) != LJS_OK) {
        CHECK(is_nothing(&e, sizeof e) && !len);
    } else {
        CHECK(len == w.len);
        CHECK(ljs__end_write(&octets, &e, vault()) == LJS_OK);
        CHECK(ljs__end_read(&again, &len, vault(), octets.data, octets.len) == LJS_OK && len == octets.len);
        CHECK(memcmp(&e, &again, sizeof e) == 0);
        octets.data[size % octets.len] ^= (uint8_t)(1 << size % 8);
        CHECK(ljs__end_read(&again, &len, vault(), octets.data, octets.len) != LJS_OK);
        ljs_buf_free(&octets);
    }
    ljs__wr_drop(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size || size > 4096)
        return 0;
    if (data[0] & 1)
        fuzz_marker(data + 1, size - 1);
    else
        fuzz_end(data + 1, size - 1);
    return 0;
}
