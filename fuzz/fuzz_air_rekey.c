/* fuzz_air_rekey.c -- laws of the messages of lorajs-rekey-1:
 *  - what is refused leaves nothing;
 *  - what was read builds again to the very same octets, and names a kind;
 *  - the flags say whether there is a JoinEUI, the suite how long its data are. */
#include "fuzz.h"

#include <lorajs/rekey_message.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ljs_rekey_message none;
    ljs_rekey_message m;
    ljs_buf built;
    ljs_err err;

    memset(&m, 0xa5, sizeof m);
    err = ljs_rekey_parse(&m, data, size);
    if (err) {
        CHECK(err == LJS_E_SIZE || err == LJS_E_FRAME);
        CHECK(!memcmp(&m, &none, sizeof m));
        return 0;
    }
    CHECK(m.kind >= LJS_REKEY_REQ && m.kind <= LJS_REKEY_ABORT && m.status < LJS_REKEY_STATUS_END);
    CHECK(size == (m.kind == LJS_REKEY_REQ ? 11 + (m.flags & LJS_REKEY_JOIN_EUI ? 8U : 0U) + m.data_len : 8));
    CHECK(m.suite != LJS_REKEY_SUITE_1 || !m.data_len);
    CHECK(m.suite != LJS_REKEY_SUITE_2 || m.data_len == 32);
    CHECK(m.flags & LJS_REKEY_JOIN_EUI || !m.join_eui);
    CHECK(ljs_rekey_build(&built, &m) == LJS_OK);
    CHECK(built.len == size && !memcmp(built.data, data, size));
    ljs_buf_free(&built);
    return 0;
}
