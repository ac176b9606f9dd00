/** @file parcel.h
 *  Devices on their way to another Join Server: root keys, nonces and settings, sealed to
 *  one recipient and signed by who sent them.
 *
 *  The recipient has an X25519 key pair, the sender an Ed25519 pair; each gives the other
 *  the public half, by a way that both trust, before anything is sent.  Secret halves are
 *  keys of 32 octets, whose public ones ljs_x25519_public() and ljs_ed25519_public() give (keys.h).
 *
 *  Sending:    ljs_parcel_pack(), then write what ljs_parcel_head() gives, for each record
 *              what ljs_parcel_put() gives, and at the end what ljs_parcel_close() gives.
 *  Receiving:  ljs_parcel_open(), then as long as ljs_parcel_wants() is not 0, read as many
 *              octets and ljs_parcel_feed() them.  When it is 0, the parcel has been
 *              whole, from this sender and unaltered to its last octet.  Now ljs_parcel_again()
 *              begins from the start, and ljs_parcel_land() makes a record of each device as it
 *              comes by.  Nothing can be landed in the first round, so nothing is changed by a
 *              parcel that is not whole.
 *
 *  A parcel may be of any length; no more than one record of it is in memory.  Root keys
 *  are sealed under a master key of the parcel's own from one vault to the other, and never
 *  in clear.  What is in a parcel cannot be read, reordered, left out, sent on as somebody
 *  else's or put into another one.  A parcel received twice at once changes nothing the second
 *  time, and nonces are only ever added to; but one that comes again later takes settings back to
 *  what they were, and brings back a device that was removed: ljs_parcel_time() tells how old it
 *  is.  Nothing in it tells whether the sender goes on
 *  answering for the device: two servers that both do would give a JoinNonce twice.
 *
 *  One thread at a time for one parcel. */
#ifndef LORAJS_PARCEL_H
#define LORAJS_PARCEL_H

#include <lorajs/device.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ljs_parcel ljs_parcel; /**< one that is being written, or read */

enum {
    LJS_PARCEL_PIECE_MAX = 72 * 1024, /**< octets that ljs_parcel_wants() may ask for at once */
    LJS_PARCEL_HELD_MAX = 64,         /**< devices that ljs_parcel_hold() keeps */
};

/** @param signer  the sender's Ed25519 key
 *  @param now     Unix time in seconds, told to the recipient
 *  @param in      the recipient's public X25519 key, 32 octets
 *  @return ::LJS_E_INVAL for lengths, and for a public key that is none */
LJS_MUST ljs_err ljs_parcel_pack(ljs_parcel **out, const ljs_key *signer, int64_t now, const uint8_t *in,
                                 size_t in_len);
/** The first octets of it.  @return ::LJS_E_STATE when they were given already */
LJS_MUST ljs_err ljs_parcel_head(ljs_buf *out, ljs_parcel *parcel);
/** One device.  Mark its record with ::LJS_DEVICE_EXPOSE, and save that, before.
 *  @return ::LJS_E_STATE for a tombstone, or out of order */
LJS_MUST ljs_err ljs_parcel_put(ljs_buf *out, ljs_parcel *parcel, ljs_vault *vault, const uint8_t *record,
                                size_t record_len);
/** The last octets of it: the signature. */
LJS_MUST ljs_err ljs_parcel_close(ljs_buf *out, ljs_parcel *parcel);

/** @param recipient  the recipient's X25519 key
 *  @param in         the public Ed25519 key of the sender who is expected, 32 octets */
LJS_MUST ljs_err ljs_parcel_open(ljs_parcel **out, const ljs_key *recipient, const uint8_t *in, size_t in_len);
/** How many octets come next, at most ::LJS_PARCEL_PIECE_MAX; 0 after the last.  What is left over
 *  then does not belong to the parcel. */
LJS_API size_t ljs_parcel_wants(const ljs_parcel *parcel);
/** @param in  as many octets as ljs_parcel_wants() says
 *  @return ::LJS_E_INVAL for what is no parcel, ::LJS_E_VERSION for one of a newer lorajs, ::LJS_E_RECEIVER
 *  for one to somebody else, ::LJS_E_SENDER for one from somebody else, ::LJS_E_SEAL for one that was
 *  altered; then it takes no more */
LJS_MUST ljs_err ljs_parcel_feed(ljs_parcel *parcel, const uint8_t *in, size_t in_len);
/** From the start once more.  @return ::LJS_E_STATE before the first round has ended well */
LJS_MUST ljs_err ljs_parcel_again(ljs_parcel *parcel);
/** The device that was fed last.  Its settings and nonces are only as good as the round: believe
 *  them when ljs_parcel_wants() has been 0.
 *  @return ::LJS_E_NOTFOUND when what was fed last is no device */
LJS_MUST ljs_err ljs_parcel_device(ljs_device *out, const ljs_parcel *parcel);
/** When it was packed, Unix time in seconds; 0 before the head was fed. */
LJS_API int64_t ljs_parcel_time(const ljs_parcel *parcel);
/** The device that was fed last as a record under this vault, marked as exposed; over an existing one by the
 *  rules of ljs_device_make(), with all its JoinEUIs, DevNonces and RJcount1.
 *  @param flags   LJS_MAKE_...
 *  @param record  the device's record or tombstone; NULL for none
 *  @return ::LJS_E_STATE in the first round, ::LJS_E_NOTFOUND as ljs_parcel_device(), ::LJS_E_INVAL when there
 *  would be more than ::LJS_JOIN_EUIS_MAX JoinEUIs, else what ljs_device_make() says */
LJS_MUST ljs_err ljs_parcel_land(ljs_buf *out_record, ljs_parcel *parcel, ljs_vault *vault, unsigned flags,
                                 const uint8_t *record, size_t record_len);
/** Keep the device that was fed last beside those kept before, to be landed with them: ljs_server_land_held().  They
 * are forgotten with the next round.
 *  @return ::LJS_E_STATE in the first round, ::LJS_E_NOTFOUND as ljs_parcel_device(), ::LJS_E_EXISTS when it is kept
 *  already, or ::LJS_PARCEL_HELD_MAX are: land them first */
LJS_MUST ljs_err ljs_parcel_hold(ljs_parcel *parcel);
/** Wipe and free; NULL is taken. */
LJS_API void ljs_parcel_free(ljs_parcel *parcel);

#ifdef __cplusplus
}
#endif
#endif
