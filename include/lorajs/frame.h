/** @file frame.h
 *  The frames of activation as they are on air: join-request, rejoin-request 0, 1
 *  and 2, join-accept, and what a join-accept carries.  Pure: bytes in, struct out,
 *  and back.  No keys here; who checks and seals frames is in keys.h.
 *
 *  Strict: a length that is not exactly one of the specification's, an MType or
 *  Major other than the frame's, and RFU bits that are set are errors, with the one
 *  exception stated at ::ljs_accept.  On air every multi-octet field is
 *  little-endian; in these structs it is a number.  [L2 1.0.4 §6.2, L2 1.1 §6.2] */
#ifndef LORAJS_FRAME_H
#define LORAJS_FRAME_H

#include <lorajs/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The values are the JoinReqType octets of [L2 1.1 §6.2.3]. */
typedef enum ljs_frame_kind {
    LJS_FRAME_REJOIN0 = 0,
    LJS_FRAME_REJOIN1 = 1,
    LJS_FRAME_REJOIN2 = 2,
    LJS_FRAME_JOIN = 0xff,
} ljs_frame_kind;

enum {
    LJS_FRAME_MAX = 24,  /**< the longest uplink of activation, a rejoin-request 1 */
    LJS_ACCEPT_MAX = 33, /**< a join-accept with CFList; 17 without */
    LJS_CFLIST_LEN = 16,
};

/** A join-request (23 octets), rejoin-request 0 or 2 (19) or 1 (24). */
typedef struct ljs_frame {
    ljs_frame_kind kind; /**< by MType and JoinReqType */
    ljs_eui join_eui;    /**< octets 1..8 of JOIN, 2..9 of REJOIN1, LE; 0 for REJOIN0 and REJOIN2, which carry none */
    ljs_eui dev_eui;     /**< octets 9..16 of JOIN, 10..17 of REJOIN1, 5..12 of REJOIN0 and REJOIN2, LE */
    ljs_netid net_id;    /**< octets 2..4 of REJOIN0 and REJOIN2, LE; 0 for JOIN and REJOIN1 */
    uint16_t nonce;      /**< DevNonce, RJcount0 or RJcount1, LE, before the MIC */
    uint8_t mic[4];      /**< the last four octets, in the order of AES-CMAC's output */
} ljs_frame;

/** Parse one PHYPayload, whole.
 *  @return ::LJS_E_SIZE for a length that no such frame has, ::LJS_E_FRAME for any
 *  other fault; *out is then all zero. */
LJS_MUST ljs_err ljs_frame_parse(ljs_frame *out, const uint8_t *in, size_t in_len);

/** The way back: 19, 23 or 24 octets, the MIC as it stands in the struct.
 *  @return ::LJS_E_INVAL for a kind that is none, a NetID over 24 bits, or a field
 *  set that the kind does not carry. */
LJS_MUST ljs_err ljs_frame_build(ljs_buf *out, const ljs_frame *frame);

/** DLSettings, one octet: OptNeg (bit 7; RFU before LoRaWAN 1.1), RX1DRoffset (6..4),
 *  RX2DataRate (3..0). */
typedef struct ljs_dl_settings {
    uint8_t opt_neg;       /**< 0 or 1 */
    uint8_t rx1_dr_offset; /**< 0..7 */
    uint8_t rx2_data_rate; /**< 0..15 */
} ljs_dl_settings;

/** Every octet is one. */
LJS_API ljs_dl_settings ljs_dl_settings_parse(uint8_t octet);
/** @return ::LJS_E_INVAL for a field out of its range */
LJS_MUST ljs_err ljs_dl_settings_build(uint8_t *out, const ljs_dl_settings *settings);

/** CFList [RP002]: 16 octets, the last of which is CFListType. */
typedef struct ljs_cf_list {
    uint8_t type; /**< 0: channel frequencies; 1: channel masks */
    uint32_t
        frequency[5]; /**< type 0: in Hz, a multiple of 100, from 100 MHz up; 0 unused.  On air 24 bits of 100 Hz, LE */
    uint16_t mask[6]; /**< type 1: ChMask0 (channels 0..15) first; on air 16 bits each, LE, then three RFU octets */
} ljs_cf_list;

/** @return ::LJS_E_SIZE for another length than 16, ::LJS_E_FRAME for a reserved
 *  frequency (1 .. 999999 of 100 Hz), another type, or RFU octets that are set */
LJS_MUST ljs_err ljs_cf_list_parse(ljs_cf_list *out, const uint8_t *in, size_t in_len);
/** 16 octets.
 *  @return ::LJS_E_INVAL for a frequency that is no multiple of 100 Hz, below 100 MHz
 *  or over 24 bits, for another type, and for a field that the type does not carry */
LJS_MUST ljs_err ljs_cf_list_build(ljs_buf *out, const ljs_cf_list *list);

/** A join-accept in clear.  DLSettings and CFList pass through as octets: the Join
 *  Server does not choose them, and refuses none of the network's plans.  RxDelay:
 *  bits 3..0; RFU bits 7..4 pass through too, for the same reason. */
typedef struct ljs_accept {
    uint32_t join_nonce;  /**< octets 1..3, LE; 24 bits */
    ljs_netid net_id;     /**< Home_NetID, octets 4..6, LE */
    ljs_devaddr dev_addr; /**< octets 7..10, LE */
    uint8_t dl_settings;  /**< octet 11, as ljs_dl_settings_parse() reads it */
    uint8_t rx_delay;     /**< octet 12: Del in bits 3..0, in seconds; 0 means 1 */
    uint8_t cf_list[16];  /**< octets 13..28, raw; zero when there is none */
    uint8_t has_cf_list;  /**< 0 or 1 */
} ljs_accept;

/** Parse a join-accept in clear, MHDR first, without its MIC: 13 or 29 octets.
 *  @return ::LJS_E_SIZE for another length, ::LJS_E_FRAME for another MHDR; *out is then
 *  all zero. */
LJS_MUST ljs_err ljs_accept_parse(ljs_accept *out, const uint8_t *in, size_t in_len);
/** The way back: 13 or 29 octets.
 *  @return ::LJS_E_INVAL for a field over its bits, and for a cf_list that has_cf_list denies */
LJS_MUST ljs_err ljs_accept_build(ljs_buf *out, const ljs_accept *accept);

#ifdef __cplusplus
}
#endif
#endif
