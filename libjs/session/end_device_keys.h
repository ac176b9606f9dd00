/* end_device_keys.h -- what a device computes, through its secure element.
 *
 * The blocks under the keys are built here anew and not by keys/: an element takes blocks, and a
 * device that shares no line with the Join Server and the network is a witness to both. */
#ifndef LJS_SESSION_END_DEVICE_KEYS_H
#define LJS_SESSION_END_DEVICE_KEYS_H

#include "session/end_device_state.h"
#include "session/se.h"

/* JSIntKey and JSEncKey. */
ljs_err ljs__ed_derive_js(ljs_se *se, const struct ed *ed);
/* The session keys of ed->scheme, into ed->bank. */
ljs_err ljs__ed_derive_session(ljs_se *se, const struct ed *ed);

/* A (re)join-request, with its MIC.  For rejoin 0 and 2 under the session of `ed`. */
ljs_err ljs__ed_request(uint8_t out[LJS_FRAME_MAX], size_t *out_len, ljs_se *se, const struct ed *ed,
                        ljs_frame_kind kind, uint16_t nonce);
/* A join-accept to the request that waits: decrypted, verified, and of which scheme. */
ljs_err ljs__ed_accept(ljs_accept *out, ljs_scheme *scheme, ljs_se *se, const struct ed *ed, const uint8_t *in,
                       size_t in_len);

/* Data frames of the session of `ed`: `in` in clear but for its MIC, or likewise back. */
ljs_err ljs__ed_data_mic(uint8_t out[4], ljs_se *se, const struct ed *ed, const ljs_data_of *of, const ljs_data *data,
                         const uint8_t *in, size_t in_len);
/* In place: FOpts, and FRMPayload. */
ljs_err ljs__ed_data_crypt(ljs_se *se, const struct ed *ed, ljs_data *data, uint32_t fcnt);

#endif
