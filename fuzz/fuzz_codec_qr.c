/* fuzz_codec_qr.c -- laws of the text of QR codes:
 *  - what is refused says why, without the token, and leaves nothing else;
 *  - what is read strictly is read leniently to the same, and is not sloppy;
 *  - what is read strictly and has all that the final form wants can be written, and what is
 *    written, with its checksum, says the same. */
#include "fuzz.h"

#include <lorajs/qr.h>

#include <string.h>

static int is_text(const char *text, size_t room)
{
    size_t len = strnlen(text, room);

    for (size_t i = 0; i < room; i++)
        if (i < len ? text[i] < 0x20 || text[i] > 0x7e : text[i])
            return 0;
    return len < room;
}

static void refused(const ljs_qr *qr)
{
    ljs_qr empty;

    memset(&empty, 0, sizeof empty);
    memcpy(empty.fault, qr->fault, sizeof empty.fault);
    CHECK(qr->fault[0] && is_text(qr->fault, sizeof qr->fault));
    CHECK(!memcmp(&empty, qr, sizeof empty));
}

static void taken(const ljs_qr *qr)
{
    CHECK(!qr->fault[0] && qr->form >= LJS_QR_D0 && qr->form <= LJS_QR_BARE);
    CHECK(qr->has_join_eui || !qr->join_eui);
    CHECK(qr->has_profile || (!qr->vendor_id && !qr->vendor_profile_id));
    CHECK(qr->has_checksum || !qr->checksum_good);
    CHECK(is_text(qr->owner_token, sizeof qr->owner_token) && is_text(qr->serial, sizeof qr->serial) &&
          is_text(qr->proprietary, sizeof qr->proprietary));
}

static void written(ljs_qr qr)
{
    ljs_qr again;
    ljs_buf out;
    ljs_err err = ljs_qr_build(&out, &qr, LJS_QR_CHECKSUM);

    CHECK(err == (qr.has_join_eui && qr.has_profile ? LJS_OK : LJS_E_INVAL));
    if (err)
        return;
    CHECK(ljs_qr_parse(&again, 0, out.data, out.len) == LJS_OK);
    ljs_buf_free(&out);
    qr.form = LJS_QR_D0;
    qr.has_checksum = qr.checksum_good = 1;
    CHECK(!memcmp(&again, &qr, sizeof qr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ljs_qr strict, lenient;
    ljs_err err;

    memset(&strict, 0xa5, sizeof strict);
    memset(&lenient, 0xa5, sizeof lenient);
    err = ljs_qr_parse(&strict, 0, data, size);
    CHECK(err == LJS_OK || err == LJS_E_INVAL);
    if (err)
        refused(&strict);
    else
        taken(&strict);
    if (ljs_qr_parse(&lenient, LJS_QR_LENIENT, data, size)) {
        CHECK(err);
        refused(&lenient);
        return 0;
    }
    taken(&lenient);
    CHECK(lenient.sloppy == (err != LJS_OK));
    if (err)
        return 0;
    CHECK(!memcmp(&strict, &lenient, sizeof strict));
    written(strict);
    return 0;
}
