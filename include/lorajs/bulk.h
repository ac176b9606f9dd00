/** @file bulk.h
 *  Devices by the thousand, in the formats of others: The Things Stack (CSV and JSON), ttjs, ChirpStack's API
 *  objects, ThingPark, Wanesy; and in our own (import.h).
 *
 *  A file may be of any length: rows come out as octets are fed, and what stays in memory is one row, and 7 octets
 *  for each root key seen, by which one that comes again is known: a keyed digest under a key drawn at random, which
 *  tells nothing of it.
 *
 *      ljs_bulk_new(&bulk, &opts);
 *      while (more octets) {
 *          size_t at = 0;
 *          while (!(err = ljs_bulk_next(&row, &at, bulk, octets, octets_len)))
 *              ...;
 *      }
 *      err = ljs_bulk_next(&row, &at, bulk, NULL, 0);   // a last row may end without a newline
 *
 *  A row is taken or refused for itself, and a refused one has its reason, without any key.  Refused is, besides
 *  what cannot be read,
 *   - a root key so regular that it is no secret, or made of the device's own EUIs, unless the options allow it;
 *   - a root key that a row before it has;
 *   - a row that does not say which JoinNonce comes next, unless the options do: a JoinNonce must never go back, or
 *     sessions repeat their keys, and devices that count refuse to join (docs/bulk.md).
 *
 *  Writing: ljs_bulk_head(), then ljs_bulk_put() for each record.  What a format has no place for is lost, and
 *  ljs_bulk_loses() tells that of a record beforehand.
 *
 *  One thread at a time for one reader or writer. */
#ifndef LORAJS_BULK_H
#define LORAJS_BULK_H

#include <lorajs/import.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Whose format.  The numbers stay what they are. */
typedef enum ljs_bulk_format {
    LJS_BULK_LORAJS = 1,     /**< "lorajs": lines of import.h */
    LJS_BULK_TTS_CSV = 2,    /**< "tts-csv": The Things Stack, a header, `;` or `,` between cells */
    LJS_BULK_TTS_JSON = 3,   /**< "tts-json": The Things Stack, one object after another */
    LJS_BULK_TTJS = 4,       /**< "ttjs": what `ttjs get --nonces --root-keys` prints, of one device or several */
    LJS_BULK_CHIRPSTACK = 5, /**< "chirpstack": objects with device, device_keys and device_profile of its API */
    LJS_BULK_THINGPARK = 6,  /**< "thingpark": cells by their place, the first CREATE_OTAA or UPDATE_OTAA */
    LJS_BULK_WANESY = 7,     /**< "wanesy": a header, `,` between cells */
} ljs_bulk_format;

/** By its name above.  @return ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_bulk_format_parse(ljs_bulk_format *out, const char *text);
/** "tts-csv"; "?" for a number that is none. */
LJS_API const char *ljs_bulk_format_text(ljs_bulk_format format);

/** Which formats can a file be that begins so?
 *  @param out  a bit for each, 1 << its number; 0 for none
 *  @param in   its first octets; some 64 KiB are enough, or all of it */
LJS_MUST ljs_err ljs_bulk_guess(uint32_t *out, const uint8_t *in, size_t in_len);

enum {
    LJS_BULK_ROW_MAX = 512 * 1024, /**< octets of a row: all 65,536 DevNonces have room in it */
};

/** How to read, and what to take rows for that do not say it. */
typedef struct ljs_bulk_opts {
    size_t struct_size;       /**< sizeof(ljs_bulk_opts) */
    ljs_bulk_format format;   /**< of the file */
    uint16_t mac;             /**< the ::ljs_mac of rows that name no LoRaWAN version; 0: those are refused */
    uint8_t has_join_eui;     /**< 1: join_eui is set */
    uint8_t allow_weak;       /**< take keys that are no secret, though never one of another row */
    ljs_eui join_eui;         /**< of rows that name none */
    uint32_t next_join_nonce; /**< of rows that do not say: 1 when none of them ever joined, more when none can
                               *   have had as many; 0: those are refused */
} ljs_bulk_opts;

/** A row.  ljs_bulk_row_clear() frees its keys. */
typedef struct ljs_bulk_row {
    uint64_t number;          /**< from 1; a header, empty lines and comments are none */
    uint64_t line;            /**< in which it begins, from 1 */
    ljs_err err;              /**< ::LJS_OK; ::LJS_E_WEAK, ::LJS_E_EXISTS for a key that is there already,
                               *   ::LJS_E_INVAL for anything else: then entry.fault says what, and entry.device
                               *   has no more than the DevEUI, 0 where that is not known */
    ljs_import entry;         /**< the device; of LoRaWAN 1.0.x its root key is `app`, but where both are there */
    uint8_t has_join_nonce;   /**< 1: the row says which comes next, not the options */
    uint8_t exposed;          /**< 1: it says that its root keys have left where it comes from */
    char name[LJS_LABEL_MAX]; /**< what the row calls it; "" for nothing */
} ljs_bulk_row;

/** Free the keys, wipe and empty; NULL is taken. */
LJS_API void ljs_bulk_row_clear(ljs_bulk_row *row);

typedef struct ljs_bulk ljs_bulk; /**< a file that is being read */

/** From its first octet on.  @return ::LJS_E_INVAL for options out of their range */
LJS_MUST ljs_err ljs_bulk_new(ljs_bulk **out, const ljs_bulk_opts *opts);
/** The next row, refused or not.
 *  @param at  the place in `in`: 0 for octets that follow those before, moved past what was read
 *  @param in  octets that follow those before; NULL when there are no more
 *  @return ::LJS_E_NOTFOUND when `in` is read to its end; ::LJS_E_INVAL when the file has not the header of its
 *  format, which, as want of memory, ends the reading */
LJS_MUST ljs_err ljs_bulk_next(ljs_bulk_row *out, size_t *at, ljs_bulk *bulk, const uint8_t *in, size_t in_len);
/** Wipe and free; NULL is taken. */
LJS_API void ljs_bulk_free(ljs_bulk *bulk);

/* ---- writing ---------------------------------------------------------------- */

/** Bits of ljs_bulk_loses(). */
enum {
    LJS_BULK_LOSES_NONCES = 1,    /**< JoinNonce, DevNonces or RJcount1, of any JoinEUI */
    LJS_BULK_LOSES_JOIN_EUIS = 2, /**< all JoinEUIs but the first */
    LJS_BULK_LOSES_KEYS = 4,      /**< GenAppKey, the rekeying key, or the one of two keys that LoRaWAN 1.0.x does
                                   *   not use */
    LJS_BULK_LOSES_SETTINGS = 8,  /**< home network, KEK labels, AS-ID, the public key for rekeying and the like */
    LJS_BULK_LOSES_VERSION = 16,  /**< the LoRaWAN version */
    LJS_BULK_LOSES_ROOT_KEY = 32, /**< one of the two root keys of LoRaWAN 1.1: it cannot be written with keys */
};

/** What of this record has no place in the format; LJS_BULK_LOSES_... */
LJS_MUST ljs_err ljs_bulk_loses(uint32_t *out, ljs_bulk_format format, const uint8_t *record, size_t record_len);

typedef struct ljs_bulk_writer ljs_bulk_writer; /**< a file that is being written */

/** @return ::LJS_E_INVAL for a format that is none */
LJS_MUST ljs_err ljs_bulk_writer_new(ljs_bulk_writer **out, ljs_bulk_format format);
/** What every row is to have that no record knows.
 *  @param name   a cell or member of the format: frequency_plan_id, lorawan_phy_version (The Things Stack);
 *                application_id, device_profile_id (ChirpStack); model_id, connectivity_plan (ThingPark);
 *                clusterId, rfRegion (Wanesy)
 *  @param value  1 to 127 octets of UTF-8 without control characters
 *  @return ::LJS_E_NOTFOUND for a name that the format has not, ::LJS_E_INVAL for a value out of range,
 *  ::LJS_E_STATE once the head was given */
LJS_MUST ljs_err ljs_bulk_set(ljs_bulk_writer *writer, const char *name, const char *value);
/** The names that ljs_bulk_set() takes, with spaces between them; "" for none. */
LJS_API const char *ljs_bulk_names(ljs_bulk_format format);
/** What stands before the first row; may be nothing.  @return ::LJS_E_STATE when it was given already */
LJS_MUST ljs_err ljs_bulk_head(ljs_buf *out, ljs_bulk_writer *writer);
/** A row, with its newline.  Text that a spreadsheet would take for a formula is written so that it does not, and
 *  reads back as it was.
 *  @param opener  the vault of the record: the row then has its root keys, **in clear**; mark the record with
 *                 ::LJS_DEVICE_EXPOSE, and save that, before.  NULL: without keys, and nothing is opened
 *  @param title   what to call it; NULL: eui- and the DevEUI, where the format wants a name
 *  @return ::LJS_E_STATE before the head, and for a tombstone; ::LJS_E_NOKEY when the format has no place for a
 *  root key of it, ::LJS_E_INSIDE for a vault in a token, ::LJS_E_SEAL, ::LJS_E_VERSION, ::LJS_E_INVAL for a title
 *  that is too long or has control characters */
LJS_MUST ljs_err ljs_bulk_put(ljs_buf *out, ljs_bulk_writer *writer, ljs_vault *opener, const char *title,
                              const uint8_t *record, size_t record_len);
/** Free; NULL is taken. */
LJS_API void ljs_bulk_writer_free(ljs_bulk_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
