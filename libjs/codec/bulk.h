/* bulk.h -- what the formats of others have in common: a table of names for each, and what its values become.
 *
 * A family is one format.  Its rows are cells of a line or members of an object; either way a value comes with the
 * name by which the format knows it, and the family's table says which field of a device that is. */
#ifndef LJS_CODEC_BULK_H
#define LJS_CODEC_BULK_H

#include <lorajs/bulk.h>

#include "base/cursor.h"

enum { BULK_KEY_LEN = 16, BULK_CELLS_MAX = 128, BULK_SETS_MAX = 4 };

/* What a value is for. */
enum bulk_field {
    BULK_IGNORED, /* known, and of no use to a Join Server */
    BULK_DEV_EUI,
    BULK_SAME_DEV_EUI, /* once more: must be the same */
    BULK_TAG,          /* the DevEUI, or the text of the label (qr.h) that says it */
    BULK_JOIN_EUI,
    BULK_VERSION,
    BULK_NWK_KEY,
    BULK_APP_KEY,
    BULK_GEN_APP_KEY,
    BULK_SEALED_KEY, /* a key under a key that we have not */
    BULK_LAST_JOIN_NONCE,
    BULK_NEXT_JOIN_NONCE,
    BULK_LAST_DEV_NONCE,
    BULK_USED_DEV_NONCES, /* many numbers */
    BULK_EXPOSED,
    BULK_NAME,
    BULK_CREATE,     /* what is to be done with the row: bring the device in */
    BULK_ACTIVATION, /* over the air, else there is nothing to import */
};
#define BULK_BIT(field) (UINT32_C(1) << (field))

struct bulk_name {
    const char *name;
    enum bulk_field field;
};

/* How rows lie in the octets. */
enum bulk_frame {
    BULK_LINES,   /* a line each, whole to ljs_import_parse() */
    BULK_TABLE,   /* RFC 4180 */
    BULK_OBJECTS, /* JSON objects, one after another or in an array */
};

/* A device that is written. */
struct bulk_device {
    ljs_device d;
    ljs_eui join_eui[LJS_JOIN_EUIS_MAX];
    int32_t dev_nonce; /* of the first JoinEUI */
    ljs_buf used;      /* likewise, two octets each, little-endian */
    ljs_key *nwk, *app, *gen_app, *rekey;
    const char *title;      /* NULL for none */
    const char *const *set; /* by the order of the family's; NULL for those that are not set */
};

struct bulk_family {
    const char *name;
    enum bulk_frame frame;
    const char *delimiters; /* of a table, one of them; the first is what is written */
    bool header;            /* the first row of a table has names; without one they go by their place */
    bool comments;          /* lines that begin with # are none */
    bool js;                /* objects may be as a console of JavaScript prints them */
    bool nwk_is_root;       /* the root key of LoRaWAN 1.0.x is where nwk_key is; app_key then counts for nothing,
                             * and a key that is all zero is none */
    const struct bulk_name *names;
    size_t names_len;
    uint32_t places;  /* BULK_BIT() of each field that can be written */
    const char *sets; /* what ljs_bulk_set() takes: names with spaces between; NULL for none */
    void (*head)(struct wr *w, const struct bulk_device *device); /* NULL: nothing; only `set` is there */
    void (*put)(struct wr *w, const struct bulk_device *device);
};

/* By ljs_bulk_format; NULL for a number that is none. */
const struct bulk_family *ljs__bulk_family(ljs_bulk_format format);
extern const struct bulk_family ljs__bulk_lorajs, ljs__bulk_tts_csv, ljs__bulk_tts_json, ljs__bulk_ttjs,
    ljs__bulk_chirpstack, ljs__bulk_thingpark, ljs__bulk_wanesy;

/* ---- bulk_row.c: values into a row ---------------------------------------------- */

struct bulk_reading {
    const struct bulk_family *family;
    const ljs_bulk_opts *opts;
    ljs_bulk_row *row;
    uint32_t there;       /* BULK_BIT() of each field that was */
    int64_t dev_nonce;    /* the highest told, -1 for none */
    struct wr dev_nonces; /* all of them, two octets each */
    ljs_eui same;         /* the DevEUI that was told once more */
    ljs_eui tagged;       /* the JoinEUI of a label */
    bool has_tagged;
    ljs_err err; /* a fault of ours, not of the row */
};

/* Why the row is refused; `name` is the format's own, "" for the whole row.  Always false. */
bool ljs__bulk_fault(struct bulk_reading *r, const char *name, const char *what);
/* false: the row is refused, and fault says why.  A text of no octets says nothing. */
bool ljs__bulk_text(struct bulk_reading *r, enum bulk_field field, const char *name, const char *text, size_t len);
bool ljs__bulk_number(struct bulk_reading *r, enum bulk_field field, const char *name, int64_t number);
/* What no value says alone.  After it, dev_nonces are the row's. */
bool ljs__bulk_finish(struct bulk_reading *r);
/* By name; NULL for one that is not known. */
const struct bulk_name *ljs__bulk_named(const struct bulk_family *family, const char *name, size_t len);

/* ---- bulk_csv.c: a line of cells --------------------------------------------------- */

struct bulk_cells {
    char *at[BULK_CELLS_MAX]; /* in the row's own octets, which are rewritten */
    size_t len[BULK_CELLS_MAX];
    size_t n;
};
/* NULL, or what is wrong. */
const char *ljs__csv_read(struct bulk_cells *out, char delimiter, char *row, size_t row_len);
/* Is this text one that a spreadsheet would take for a formula, or would read back as one that was none? */
bool ljs__csv_formula(const char *text, size_t len);
/* A cell of ours, with a delimiter before it unless it is the first of its row. */
void ljs__csv_cell(struct wr *w, char delimiter, const char *text);
/* The same of text that somebody chose: no formula, and read back as it was. */
void ljs__csv_text(struct wr *w, char delimiter, const char *text);
void ljs__csv_end(struct wr *w);

/* ---- bulk_json.c: an object --------------------------------------------------------- */

bool ljs__bulk_object(struct bulk_reading *r, const uint8_t *in, size_t in_len);
/* `{ devEUI: '00...' }` as JSON. */
void ljs__bulk_from_js(struct wr *w, const uint8_t *in, size_t in_len);

/* ---- bulk_write.c: what the families write ---------------------------------------- */

/* Hexadecimal in upper case, most significant first; NULL for a key that is not there or not to be written. */
void ljs__bulk_hex(char out[17], uint64_t number);
bool ljs__bulk_key(char out[2 * BULK_KEY_LEN + 1], const ljs_key *key); /* wipe it; false: there is none */
/* "eui-0102030405060708", or the title. */
const char *ljs__bulk_title(char out[24], const struct bulk_device *device);
/* The one root key of LoRaWAN 1.0.x. */
const ljs_key *ljs__bulk_root(const struct bulk_device *device);
/* A member whose value is a key; nothing where there is none. */
void ljs__bulk_key_member(struct wr *w, const char *name, const ljs_key *key);
void ljs__bulk_eui_member(struct wr *w, const char *name, ljs_eui eui);
void ljs__bulk_text_member(struct wr *w, const char *name, const char *text); /* NULL: nothing */
/* used_dev_nonces as numbers in brackets. */
void ljs__bulk_nonces(struct wr *w, const char *name, const struct bulk_device *device);

#endif
