/** @file mac.h
 *  Data frames and MAC commands as they are on air, as far as activation and rekeying need
 *  them.  Pure: bytes in, struct out, and back.  No keys here: MIC and encryption of data
 *  frames are in keys.h.  [L2 1.0.4 §4, §5; L2 1.1 §4, §5] */
#ifndef LORAJS_MAC_H
#define LORAJS_MAC_H

#include <lorajs/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Which way a frame travels. */
typedef enum ljs_direction {
    LJS_UP = 0,   /**< from the device */
    LJS_DOWN = 1, /**< to the device */
} ljs_direction;

/* ---- data frames ------------------------------------------------------------ */

enum {
    LJS_DATA_MAX = 255, /**< a whole PHYPayload */
    LJS_FOPTS_MAX = 15,
    LJS_FRM_PAYLOAD_MAX = 242, /**< of any regional plan */
};

/** An unconfirmed or confirmed data frame.  FOpts and FRMPayload as they travel. */
typedef struct ljs_data {
    ljs_direction direction;                  /**< by MType */
    uint8_t confirmed;                        /**< 0 or 1 */
    ljs_devaddr dev_addr;                     /**< octets 1..4, LE */
    uint8_t adr;                              /**< FCtrl bit 7 */
    uint8_t adr_ack_req;                      /**< FCtrl bit 6, uplink; RFU in a downlink */
    uint8_t ack;                              /**< FCtrl bit 5 */
    uint8_t pending;                          /**< FCtrl bit 4: FPending of a downlink, ClassB of an uplink */
    uint16_t fcnt;                            /**< octets 6..7, LE: the lower 16 bits of the counter */
    uint8_t fopts_len;                        /**< FCtrl bits 3..0 */
    uint8_t has_fport;                        /**< 0 or 1 */
    uint8_t fport;                            /**< 0..255, where it has one */
    uint8_t fopts[LJS_FOPTS_MAX];             /**< MAC commands */
    uint8_t frm_payload[LJS_FRM_PAYLOAD_MAX]; /**< encrypted, or not */
    size_t frm_payload_len;                   /**< 0..242 */
    uint8_t mic[4];                           /**< the last four octets */
} ljs_data;

/** Parse one PHYPayload, whole.
 *  @return ::LJS_E_SIZE under 12 octets, over 255, or with FOpts longer than the frame;
 *  ::LJS_E_FRAME for another MType or Major, RFU bits of MHDR that are set, and FOpts beside
 *  FPort 0 [L2 1.1 §4.3.1.6] */
LJS_MUST ljs_err ljs_data_parse(ljs_data *out, const uint8_t *in, size_t in_len);
/** The way back, the MIC as it stands.  @return ::LJS_E_INVAL for a field out of its range */
LJS_MUST ljs_err ljs_data_build(ljs_buf *out, const ljs_data *data);

/* ---- MAC commands ----------------------------------------------------------- */

/** The commands that this library takes part in; every other one of LoRaWAN 1.0.4 and 1.1 is
 *  known by its length, so that a stream can be read past it. */
typedef enum ljs_cid {
    LJS_CID_RESET = 0x01,              /**< ResetInd, ResetConf */
    LJS_CID_REKEY = 0x0b,              /**< RekeyInd, RekeyConf */
    LJS_CID_DEVICE_TIME = 0x0d,        /**< DeviceTimeReq, DeviceTimeAns */
    LJS_CID_FORCE_REJOIN = 0x0e,       /**< ForceRejoinReq; downlink alone */
    LJS_CID_REJOIN_PARAM_SETUP = 0x0f, /**< RejoinParamSetupReq, RejoinParamSetupAns */
} ljs_cid;

/** ForceRejoinReq's two octets: the specification's general rule puts the low one first, as
 *  brocaar's stack and ChirpStack do; The Things Stack and the LoRaMac-node device have the high
 *  one first.  So it is a property of the device. */
typedef enum ljs_octet_order {
    LJS_LOW_FIRST = 0,  /**< as the specification has it */
    LJS_HIGH_FIRST = 1, /**< the other way */
} ljs_octet_order;

enum { LJS_MAC_COMMAND_MAX = 6, /**< CID and payload */ };

/** One command; a field that it does not carry is zero. */
typedef struct ljs_mac_command {
    uint8_t cid;                              /**< ::ljs_cid, or another that is known by length */
    ljs_direction direction;                  /**< which way it travels */
    uint8_t len;                              /**< of its payload */
    uint8_t payload[LJS_MAC_COMMAND_MAX - 1]; /**< as it travels; not looked at, and `len` neither, where a
                                               *   command that has fields below is built */
    uint8_t minor;                            /**< Reset..., Rekey...: LoRaWAN 1.minor, bits 3..0; 1 for LoRaWAN 1.1 */
    uint8_t period;                           /**< ForceRejoinReq: 0..7; 32 s * 2^period between tries */
    uint8_t max_retries;                      /**< ForceRejoinReq: 0..7; tries in all are one more */
    uint8_t rejoin_type;                      /**< ForceRejoinReq: 0 or 1 for type 0, 2 for type 2 */
    uint8_t data_rate;                        /**< ForceRejoinReq: 0..15 */
    uint8_t max_time_n;                       /**< RejoinParamSetupReq: 0..15; a rejoin every 2^(n+10) s at least */
    uint8_t max_count_n;                      /**< RejoinParamSetupReq: 0..15; every 2^(n+4) uplinks at least */
    uint8_t time_ok;                          /**< RejoinParamSetupAns: 0 or 1 */
} ljs_mac_command;

/** The command at *at of a stream (FOpts in clear, or FRMPayload of port 0); *at moves past it.
 *  RFU bits are not looked at, as the specification says of receivers; RejoinType 3..7 is RFU and
 *  passes through.
 *  @return ::LJS_E_NOTFOUND at the end of the stream; ::LJS_E_FRAME for a CID of unknown
 *  length or a command cut short: the rest of the stream cannot be read */
LJS_MUST ljs_err ljs_mac_command_parse(ljs_mac_command *out, size_t *at, ljs_direction direction, ljs_octet_order order,
                                       const uint8_t *in, size_t in_len);
/** CID and payload.  @return ::LJS_E_INVAL for a field over its range, RejoinType 3..7, or a
 *  command that does not travel that way */
LJS_MUST ljs_err ljs_mac_command_build(ljs_buf *out, const ljs_mac_command *command, ljs_octet_order order);
/** "RekeyInd"; "?" for a CID that is not known that way. */
LJS_API const char *ljs_mac_command_text(uint8_t cid, ljs_direction direction);

#ifdef __cplusplus
}
#endif
#endif
