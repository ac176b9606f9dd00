/* fuzz_codec_cert.c -- laws of certificates:
 *  - what is refused leaves nothing;
 *  - what is read lies inside, is text that can be shown, and is read from these octets alone: cut short, or with
 *    one more, they are none. */
#include "codec/cert.h"

#include "fuzz.h"

static void inside(const struct part *part, const uint8_t *data, size_t size)
{
    const uint8_t *at = part->at;

    CHECK(at >= data && at <= data + size && part->len <= (size_t)(data + size - at));
}

static void is_text(const char text[CERT_NAME_MAX])
{
    size_t len = strnlen(text, CERT_NAME_MAX);

    CHECK(len < CERT_NAME_MAX);
    for (size_t i = 0; i < len; i++)
        CHECK(text[i] >= 0x20 && text[i] <= 0x7e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cert empty;
    static uint8_t more[1 << 16];
    struct cert cert, other;

    memset(&cert, 0xa5, sizeof cert);
    if (size >= sizeof more)
        return 0;
    if (!ljs__cert_read(&cert, data, size)) {
        CHECK(!memcmp(&cert, &empty, sizeof cert));
        return 0;
    }
    inside(&cert.tbs, data, size);
    inside(&cert.issuer, data, size);
    inside(&cert.subject, data, size);
    if (cert.key_id.len)
        inside(&cert.key_id, data, size);
    is_text(cert.common_name);
    is_text(cert.alt_serial);
    CHECK(!ljs__cert_read(&other, data, size - 1));
    memcpy(more, data, size);
    more[size] = 0;
    CHECK(!ljs__cert_read(&other, more, size + 1));
    return 0;
}
