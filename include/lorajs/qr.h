/** @file qr.h
 *  The text in the QR code of a device's label [TR005]: which device it is, whose make, and the
 *  token by which its owner claims it.
 *
 *      LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122:OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAR:CAF2C
 *
 *  JoinEUI, DevEUI, VendorID and VendorProfileID; then elements by their first letter: OwnerToken,
 *  serial number, proprietary, checksum.  Two older drafts and a bare DevEUI are read too, since such
 *  labels are about; what is written is the final form.  A QR code carries no key.
 *
 *  Labels in the field are sloppy.  Read strictly, and only then is it good enough to claim a device
 *  by; ::LJS_QR_LENIENT takes more, to find out which device a label means.
 *
 *  Pure: text in, text out. */
#ifndef LORAJS_QR_H
#define LORAJS_QR_H

#include <lorajs/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LJS_QR_MAX = 1024,        /**< octets of the text of a code, at the most */
    LJS_OWNER_TOKEN_MAX = 32, /**< letters and digits of an OwnerToken, at the most */
    LJS_QR_LENIENT = 1,       /**< flag: see ljs_qr_parse() */
    LJS_QR_CHECKSUM = 2,      /**< flag of ljs_qr_build(): end in the checksum */
};

/** Which text it was. */
typedef enum ljs_qr_form {
    LJS_QR_D0 = 1,      /**< `LW:D0:`, the final form */
    LJS_QR_DRAFT_2 = 2, /**< `URN:LW:DP:`, the second draft */
    LJS_QR_DRAFT_3 = 3, /**< `URN:DEV:LW:`, the third draft */
    LJS_QR_BARE = 4,    /**< the sixteen digits of a DevEUI, and nothing else */
} ljs_qr_form;

/** What a code says. */
typedef struct ljs_qr {
    ljs_qr_form form;                          /**< set by ljs_qr_parse(), ignored by ljs_qr_build() */
    uint8_t has_join_eui;                      /**< 0 only of a bare DevEUI, or read leniently */
    uint8_t has_profile;                       /**< likewise: vendor_id and vendor_profile_id */
    uint8_t has_checksum;                      /**< the code had one */
    uint8_t checksum_good;                     /**< and it is that of the text before it */
    uint8_t sloppy;                            /**< 1: only ::LJS_QR_LENIENT takes this text */
    uint16_t vendor_id;                        /**< given by the LoRa Alliance */
    uint16_t vendor_profile_id;                /**< given by the vendor */
    ljs_eui join_eui;                          /**< JoinEUI */
    ljs_eui dev_eui;                           /**< DevEUI */
    char owner_token[LJS_OWNER_TOKEN_MAX + 1]; /**< a credential: whoever has it can claim the device; "" for none */
    char serial[LJS_LABEL_MAX];                /**< SerNum; "" for none */
    char proprietary[LJS_LABEL_MAX];           /**< "" for none */
    char fault[LJS_LABEL_MAX];                 /**< what is wrong with the text, without the token; "" for nothing */
} ljs_qr;

/** Read the text of a code, without NUL.
 *
 *  Strictly: upper-case digits, every field in its length, values of the alphanumeric set of QR codes
 *  without the colon, an OwnerToken of 1 to ::LJS_OWNER_TOKEN_MAX of A-Z and 0-9, no element twice, and
 *  the checksum right where there is one.  Elements stand in any order, empty ones count as absent, and
 *  letters that are not known are passed over.
 *
 *  ::LJS_QR_LENIENT also takes digits and tokens in lower case, spaces and line ends around the text, a
 *  missing JoinEUI or profile, a profile of four digits (VendorID alone), other printable ASCII in values, and
 *  a wrong checksum: `sloppy` is 1 then.
 *  @param flags  0 or ::LJS_QR_LENIENT
 *  @return ::LJS_E_INVAL; out->fault says why, and nothing else is set */
LJS_MUST ljs_err ljs_qr_parse(ljs_qr *out, unsigned flags, const uint8_t *in, size_t in_len);

/** Write the final form, elements in the order O, S, P, C; ljs_qr_parse() reads it strictly.
 *  @param flags  0 or ::LJS_QR_CHECKSUM
 *  @return ::LJS_E_INVAL without JoinEUI or profile, and for a value that the strict form has no room for */
LJS_MUST ljs_err ljs_qr_build(ljs_buf *out, const ljs_qr *qr, unsigned flags);

/** CRC-16/MODBUS: what follows `:C` as four digits, over all before it. */
LJS_API uint16_t ljs_qr_checksum(const uint8_t *in, size_t in_len);

#ifdef __cplusplus
}
#endif
#endif
