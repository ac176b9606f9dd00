/* data.h -- data frames under the keys of a ring, for the session above: the same rules
 * as the end of <lorajs/keys.h>, in ids. */
#ifndef LJS_KEYS_DATA_H
#define LJS_KEYS_DATA_H

#include "keys/ring.h"

/* The MIC of a whole frame, whose last four octets are not looked at; direction, DevAddr
 * and ACK are the frame's.  `id_f` is NwkSKey in LJS_SCHEME_1_0; 1.1 downlinks do not look
 * at it, and 1.0 not at `id_s`.  LJS_E_SIZE, LJS_E_FRAME, LJS_E_NOKEY, LJS_E_INVAL. */
ljs_err ljs__data_mic(struct ring *ring, uint8_t out[4], const ljs_data_of *of, enum key_id id_f, enum key_id id_s,
                      const uint8_t *in, size_t in_len);
/* Does the frame carry it?  LJS_E_MIC. */
ljs_err ljs__data_check(struct ring *ring, const ljs_data_of *of, enum key_id id_f, enum key_id id_s, const uint8_t *in,
                        size_t in_len);
/* Put it there. */
ljs_err ljs__data_sign(struct ring *ring, const ljs_data_of *of, enum key_id id_f, enum key_id id_s, uint8_t *frame,
                       size_t frame_len);

/* What of the frame itself goes before it under the MIC. */
struct mic_head {
    ljs_direction direction;
    ljs_devaddr dev_addr;
    bool ack;
};

/* ljs__data_mic() of `msg`, a frame without its MIC, under any head: nothing of it is
 * parsed. */
ljs_err ljs__data_mic_under(struct ring *ring, uint8_t out[4], const ljs_data_of *of, const struct mic_head *head,
                            enum key_id id_f, enum key_id id_s, const uint8_t *msg, size_t msg_len);

/* Encrypt or decrypt in_len octets, in place allowed.  LJS_E_INVAL for more than the stream
 * may have: 15 of FOpts, 242 of FRMPayload. */
ljs_err ljs__data_crypt(struct ring *ring, enum key_id id, uint8_t *out, ljs_stream stream, ljs_direction direction,
                        ljs_devaddr dev_addr, uint32_t fcnt, const uint8_t *in, size_t in_len);

#endif
