/* json.h -- JSON, strictly: RFC 8259 and I-JSON [RFC 7493].  yajl's only user.
 *
 * Reading is by events and copies nothing that outlives them: no tree, no malloc() for
 * ordinary input, no recursion, and whatever yajl copied of the input (which may be a
 * key) is wiped before ljs__json_read() returns.  Beyond yajl it refuses: other octets
 * than UTF-8, lone surrogates, U+0000, control characters, white space that is not
 * JSON's, a name twice in one object, more than 256 names in the objects open at a
 * time, depth over 16, integers beyond int64_t, a text that is not one object.
 *
 * Writing is into a struct wr.  Commas come by themselves. */
#ifndef LJS_BASE_JSON_H
#define LJS_BASE_JSON_H

#include "base/cursor.h"

enum { LJS__JSON_DEPTH = 16, LJS__JSON_NAMES = 256, LJS__JSON_NAME_MAX = 63, LJS__JSON_NAME_ROOM = 16 };

enum json_type {
    JSON_NULL,
    JSON_BOOL,   /* number is 0 or 1 */
    JSON_INT,    /* number; also -0 */
    JSON_FLOAT,  /* text is how it was written: nothing here is ever a float */
    JSON_TEXT,   /* text, unescaped */
    JSON_OBJECT, /* begins; its members come one deeper */
    JSON_ARRAY,  /* begins; its elements come one deeper */
    JSON_END,    /* of the object or array that began at this depth */
};

/* A value.  `depth` is 1 for the members of the outermost object, which itself makes no
 * event.  `name` is the member's, and empty for elements of arrays, for JSON_END, and
 * for names that are longer than any of ours.  Neither name nor text outlives the call;
 * text has no NUL in it, and none after it. */
struct json_event {
    enum json_type type;
    unsigned depth;
    const char *name; /* ends in NUL, and LJS__JSON_NAME_ROOM octets can be read, with zeros behind the name */
    const char *text;
    size_t text_len;
    int64_t number;
};

/* A name of ours as tables have it, of less than LJS__JSON_NAME_ROOM octets: read and written without a call. */
struct json_name {
    char text[LJS__JSON_NAME_ROOM];
    uint8_t len;
};
#define JSON_NAME(name)                                                                                                \
    {                                                                                                                  \
        name, sizeof(char[sizeof(name) <= LJS__JSON_NAME_ROOM ? sizeof(name) : -1]) - 1                                \
    }

static inline bool json_named(const struct json_event *event, const struct json_name *name)
{
    return memcmp(event->name, name->text, sizeof name->text) == 0;
}

/* false stops the reading */
typedef bool json_fn(void *ctx, const struct json_event *event);

/* Reads one object of at most `max` octets.
 * @param why  what is wrong, for a person: a constant that quotes nothing of the input;
 *             NULL when `fn` stopped it, or there was no memory
 * @return LJS_E_MESSAGE or LJS_E_NOMEM; then fn may have seen a part */
ljs_err ljs__json_read(const uint8_t *in, size_t in_len, size_t max, json_fn *fn, void *ctx, const char **why);

void ljs__json_open(struct wr *w, char bracket); /* { or [ */
void ljs__json_close(struct wr *w, char bracket);
void ljs__json_name(struct wr *w, const char *name); /* a name of ours: nothing in it to escape */

/* The name as it is written, with what is before and behind it. */
struct json_key {
    char text[LJS__JSON_NAME_ROOM + 8];
    uint8_t len;
};
#define JSON_KEY(name)                                                                                                 \
    {                                                                                                                  \
        ",\"" name "\":", sizeof(char[sizeof(name) <= LJS__JSON_NAME_ROOM ? sizeof(name) : -1]) + 3                    \
    }

/* A name of ours behind `before`: a '{', and the object opens with it, or a ','. */
static inline void json_member(struct wr *w, char before, const struct json_key *key)
{
    uint8_t *at = wr_add(w, sizeof key->text);

    if (!at)
        return;
    memcpy(at, key->text, sizeof key->text); /* all of it, which is quicker than what there is of it */
    at[0] = (uint8_t)before;
    w->len -= sizeof key->text - key->len;
}
void ljs__json_word(struct wr *w, const struct json_name *word); /* a text of ours */
void ljs__json_text(struct wr *w, const char *text);             /* UTF-8 */
/* The text in `room` octets, all of which can be read.  false, and nothing written, for one that has no NUL there, or
 * that cannot be shown (base/text.h); one that can is judged also where there is no memory to write it. */
bool ljs__json_label(struct wr *w, const char *text, size_t room);
void ljs__json_number(struct wr *w, int64_t number);
void ljs__json_bool(struct wr *w, bool value);
void ljs__json_hex(struct wr *w, const uint8_t *in, size_t in_len);        /* octets, in their order */
void ljs__json_hex_number(struct wr *w, uint64_t number, unsigned digits); /* most significant first */

#endif
