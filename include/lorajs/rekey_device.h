/** @file rekey_device.h
 *  Root-key rekey, lorajs-rekey-1, at the device: one more step over the state of end_device.h.
 *  EXPERIMENTAL, as rekey.h says.
 *
 *  Messages come on ::LJS_REKEY_FPORT of downlinks, or over a cable.  The caller gives what it heard there to
 *  ljs_ed_rekey(), makes the state durable where the result says so, and only then sends the answer.
 *
 *  An element for it has each root key twice (::LJS_SE_NWK and ::LJS_SE_NWK_B and so on).  New keys go into the
 *  places that are not in use, and the state then says in one word that both sets are good: so the power may fail
 *  between any two steps.  The next join-request is under the new keys; after four of them without an answer come
 *  four under the old, and so on, but for ::LJS_REKEY_COMPROMISED.  A join-accept under the new keys makes them the
 *  device's own, and the old ones are overwritten once that is durable.  With another JoinEUI, DevNonces under it
 *  begin at 0; JoinNonce goes on.
 *
 *      settled    one set of keys          RekeyReq -> ready
 *      ready      both, the new unused     join-request -> tried; RekeyAbort -> settled
 *      tried      both                     join-accept under the new -> settled
 *      in place   suite 4: DeriveKey       the element has the new keys -> settled
 *                 may or may not be done
 *
 *  What the protocol leaves open is decided so: a RekeyReq of another epoch is answered ::LJS_REKEY_UNSETTLED while one
 * is tried, since either side may still need what there is; one that was aborted, or never came, is burnt; sixteen
 *  messages in a row whose MIC does not verify make the device deaf for a day. */
#ifndef LORAJS_REKEY_DEVICE_H
#define LORAJS_REKEY_DEVICE_H

#include <lorajs/end_device.h>
#include <lorajs/rekey_message.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An element in software that can be rekeyed, by suites 1 and 2.
 *  @param nwk, app  as ljs_se_software()
 *  @param gen_app   GenAppKey; may be NULL
 *  @param rekey     the rekey key, 16 octets
 *  @param x25519    the device's X25519 key for suite 2, 32 octets; NULL: suite 1 alone
 *  @return ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_se_software_rekey(ljs_se **out, const ljs_key *nwk, const ljs_key *app, const ljs_key *gen_app,
                                       const ljs_key *rekey, const ljs_key *x25519);
/** A model of an ATECC608 as LoRaWAN parts of it are made up: sixteen slots, AES and KDF from slot to slot, DeriveKey
 * from slot 13 into slot 0 alone, where AppKey and NwkKey are.  By suite 4; it has no rekey key.
 *  @param slot0   AppKey, then NwkKey: 32 octets
 *  @param parent  slot 13: 32 octets
 *  @param in      the serial number, 9 octets
 *  @return ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_se_atecc(ljs_se **out, const ljs_key *slot0, const ljs_key *parent, const uint8_t *in,
                              size_t in_len);

/** Where the root keys of a device stand. */
typedef enum ljs_ed_rekey_phase {
    LJS_ED_REKEY_SETTLED = 0,  /**< one set */
    LJS_ED_REKEY_READY = 1,    /**< two, and no join-request went out under the new one */
    LJS_ED_REKEY_TRIED = 2,    /**< two */
    LJS_ED_REKEY_IN_PLACE = 3, /**< suite 4, under way */
} ljs_ed_rekey_phase;

/** What came of a message. */
typedef struct ljs_ed_rekey_out {
    ljs_err err;              /**< ::LJS_OK, or why there is no answer: ::LJS_E_MIC, ::LJS_E_BUSY (deaf), ::LJS_E_FRAME,
                               *   ::LJS_E_SIZE (no message for a device), ::LJS_E_CRYPTO (the element) */
    ljs_ed_rekey_phase phase; /**< after it */
    uint8_t persist;          /**< make the state durable before anything below is done */
    uint8_t again;            /**< call once more, with the same octets */
    uint8_t answer[8];        /**< RekeyAns, to be sent */
    size_t answer_len;        /**< 0: none */
    ljs_rekey_status status;  /**< of the answer */
    uint16_t epoch;           /**< of the keys in use, 0 for those that the device was born with */
} ljs_ed_rekey_out;

/** One message.  After a restart call it once without octets: what was under way in place is done then.
 *  @param now  as in ljs_ed_event
 *  @return ::LJS_OK with a state, also when the message was refused (ljs_ed_rekey_out.err); ::LJS_E_SEAL,
 *  ::LJS_E_VERSION for the state; ::LJS_E_NOKEY without the keys for it; faults of the element */
LJS_MUST ljs_err ljs_ed_rekey(ljs_ed_rekey_out *out, ljs_buf *out_state, ljs_se *se, int64_t now, const uint8_t *in,
                              size_t in_len, const uint8_t *state, size_t state_len);

#ifdef __cplusplus
}
#endif
#endif
