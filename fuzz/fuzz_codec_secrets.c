/* An element of encryptedSecretKeySet.keys, any octets.
 * Laws: what is refused leaves no key and no name, and is refused again for the same reason; what opens does so again,
 * for nobody but its recipient, and with a word of why for neither. */
#include "fuzz.h"

#include "base/cursor.h"
#include "codec/secrets.h"

#include "manifest_recipient.h"

#include <string.h>

static const ljs_key *one(const char *hex)
{
    uint8_t octets[32];
    ljs_key *key;

    CHECK(ljs__hex(octets, sizeof octets, hex, 2 * sizeof octets));
    CHECK(ljs_key_import(&key, octets, sizeof octets) == LJS_OK);
    return key;
}

static void same(const ljs_manifest_secret *a, const ljs_key *a_key, const ljs_manifest_secret *b, const ljs_key *b_key)
{
    ljs_buf x, y;

    CHECK(!strcmp(a->kid, b->kid) && !a->detail[0] && !b->detail[0]);
    CHECK(ljs_key_export(&x, a_key) == LJS_OK && ljs_key_export(&y, b_key) == LJS_OK);
    CHECK(x.len == 16 && y.len == 16 && !memcmp(x.data, y.data, 16));
    ljs_buf_free(&x);
    ljs_buf_free(&y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "{\"encryptedSecretKeySet\":{\"keys\":[", tail[] = "]}}";
    static const ljs_key *recipient, *stranger;
    ljs_manifest_secret secret, again;
    ljs_key *key, *again_key;
    uint8_t *text;
    size_t len = sizeof head - 1 + size + sizeof tail - 1;
    ljs_err err;

    if (!recipient) {
        recipient = one(recipient_hex);
        stranger = one("0102030000000000000000000000000000000000000000000000000000000000");
    }
    CHECK(text = malloc(len));
    memcpy(text, head, sizeof head - 1);
    if (size)
        memcpy(text + sizeof head - 1, data, size);
    memcpy(text + sizeof head - 1 + size, tail, sizeof tail - 1);
    err = ljs__secret_read(&secret, &key, text, len, 0, recipient);
    CHECK(ljs__secret_read(&again, &again_key, text, len, 0, recipient) == err);
    if (err) {
        CHECK(err == LJS_E_INVAL || err == LJS_E_SEAL || err == LJS_E_NOTFOUND);
        CHECK(!key && !again_key && !secret.kid[0] && !strcmp(secret.detail, again.detail));
    } else {
        same(&secret, key, &again, again_key);
        ljs_key_free(key);
        ljs_key_free(again_key);
        CHECK(ljs__secret_read(&secret, &key, text, len, 0, stranger) == LJS_E_SEAL && !key);
    }
    free(text);
    return 0;
}
