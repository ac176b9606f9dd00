#include "base/json.h"

#include "base/secret.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

#include <yajl/yajl_parse.h>

/* ---- before yajl: the octets ------------------------------------------------ */

enum octet { PLAIN, QUOTE, BACKSLASH, SPACE, CONTROL, UTF8 };

static enum octet kind_of(uint8_t c)
{
    if (c >= 0x80)
        return UTF8;
    if (c >= 0x20)
        return c == '"' ? QUOTE : c == '\\' ? BACKSLASH : PLAIN;
    return c == '\t' || c == '\n' || c == '\r' ? SPACE : CONTROL;
}

/* The number of a \uXXXX at s, -1 when it is none. */
static int32_t unicode_escape(const uint8_t *s, size_t left)
{
    uint8_t two[2];

    if (left < 6 || s[0] != '\\' || s[1] != 'u' || !ljs__hex(two, 2, (const char *)s + 2, 4))
        return -1;
    return two[0] << 8 | two[1];
}

/* Length of the escape at s, a backslash; 0 for one that stands for U+0000 or for half a
 * character. */
static size_t escape_len(const uint8_t *s, size_t left)
{
    int32_t first, second;

    if (left < 2)
        return 0;
    if (s[1] != 'u')
        return 2; /* yajl knows which there are */
    first = unicode_escape(s, left);
    if (first <= 0)
        return 0;
    if (first < 0xd800 || first > 0xdfff)
        return 6;
    second = unicode_escape(s + 6, left - 6);
    return first <= 0xdbff && second >= 0xdc00 && second <= 0xdfff ? 12 : 0;
}

typedef int8_t sixteen __attribute__((vector_size(16)));

/* All PLAIN but for quotes, and these by twos?  Most messages are, and sixteen octets are
 * looked at as easily as one. */
static bool is_plain(const uint8_t *in, size_t in_len)
{
    const sixteen lane = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }, none = { 0 };
    sixteen v, other = none, quotes = none;
    uint64_t half[2], odd;
    size_t left = in_len;

    if (left < sizeof v)
        return false;
    for (; left >= sizeof v; in += sizeof v, left -= sizeof v) {
        memcpy(&v, in, sizeof v);
        other |= (v < none + ' ') | (v == none + '\\'); /* from 0x80 on they are below 0 here */
        quotes ^= v == none + '"';
    }
    memcpy(&v, in + left - sizeof v, sizeof v); /* ends where all does, and some of it was seen */
    other |= (v < none + ' ') | (v == none + '\\');
    quotes ^= (v == none + '"') & (lane >= none + (int8_t)(sizeof v - left));
    memcpy(half, &quotes, sizeof half);
    odd = (half[0] ^ half[1]) & UINT64_C(0x0101010101010101);
    odd = (uint64_t)__builtin_parityll(odd);
    memcpy(half, &other, sizeof half);
    odd |= half[0] | half[1];
    ljs__public(&odd, sizeof odd); /* where a text ends is no secret, whatever it says */
    return !odd;
}

/* One pass over all octets.  It knows no grammar but where texts begin and end: a
 * backslash outside of them is left for yajl to refuse, which sees it before anything
 * that this pass could have misread because of it.
 * @param longest  how many octets the longest text with an escape takes: only such a
 *                 text is copied by yajl
 * @return what is wrong, or NULL */
static const char *scan(const uint8_t *in, size_t in_len, size_t *longest)
{
    size_t begin = 0;
    bool text = false, escapes = false;

    *longest = 0;
    if (is_plain(in, in_len))
        return NULL;
    for (size_t i = 0, n; i < in_len; i += n) {
        n = 1;
        switch (kind_of(in[i])) {
        case PLAIN:
        case SPACE: /* inside a text, yajl refuses it */
            break;
        case QUOTE:
            if (!text) {
                begin = i;
                escapes = false;
            } else if (escapes && i - begin > *longest)
                *longest = i - begin;
            text = !text;
            break;
        case BACKSLASH:
            if (!(n = escape_len(in + i, in_len - i)))
                return "an escape that stands for no character";
            escapes = true;
            break;
        case UTF8:
            if (!(n = ljs__utf8_len(in + i, in_len - i))) /* yajl's own check takes more than that */
                return "not UTF-8";
            break;
        case CONTROL:
            return "a control character";
        }
    }
    return text ? "a text that does not end" : NULL;
}

/* ---- yajl's memory ---------------------------------------------------------- */

/* All that yajl allocates lives here: a handle, a lexer and some small structs, and the
 * one buffer in which it unescapes texts.  Nothing is given back singly. */
struct arena {
    uint8_t *data;
    size_t room, used, last; /* last: where the last block's octets begin */
    jmp_buf full;            /* yajl does not look whether it was given memory */
};

enum { ALIGN = alignof(max_align_t), YAJL_OWN = 4096, ON_STACK = YAJL_OWN + 4096 };

static void *arena_malloc(void *ctx, size_t size)
{
    struct arena *arena = ctx;
    size_t need = (size + ALIGN - 1) / ALIGN * ALIGN;

    if (need < size || need > arena->room - arena->used)
        longjmp(arena->full, 1);
    arena->last = arena->used;
    arena->used += need;
    return arena->data + arena->last;
}

static void arena_free(void *ctx, void *block)
{
    (void)ctx;
    (void)block;
}

static void *arena_realloc(void *ctx, void *block, size_t size)
{
    struct arena *arena = ctx;
    uint8_t *old = block, *new;
    size_t old_room;

    if (!old)
        return arena_malloc(ctx, size);
    if (old == arena->data + arena->last) {
        arena->used = arena->last; /* grows where it is */
        return arena_malloc(ctx, size);
    }
    /* Block sizes are not kept; what follows the block is ours too, and copying some of
     * it does no harm. */
    old_room = (size_t)(arena->data + arena->used - old);
    new = arena_malloc(ctx, size);
    memcpy(new, old, old_room < size ? old_room : size);
    return new;
}

/* ---- events ----------------------------------------------------------------- */

struct reader {
    json_fn *fn;
    void *ctx;
    uintptr_t in, roomy; /* where the message is, and up to where LJS__JSON_NAME_ROOM octets of it can be read */
    const char *why;
    unsigned depth; /* of the values to come; 0 before and after all */
    bool done;
    bool object[LJS__JSON_DEPTH + 1];    /* by depth: are these values members? */
    uint16_t first[LJS__JSON_DEPTH + 1]; /* by depth: the first of its names */
    uint64_t marks[LJS__JSON_DEPTH + 1]; /* by depth: a bit for each of its names, which some share */
    uint16_t names;
    char name[LJS__JSON_NAME_MAX + 1];
    struct arena arena;
    uint64_t name_hash[LJS__JSON_NAMES]; /* of all objects that are open, outermost first */
};

static int refuse(struct reader *r, const char *why)
{
    r->why = why;
    return 0;
}

static int emit(struct reader *r, struct json_event *event)
{
    static const char nameless[LJS__JSON_NAME_ROOM];

    if (r->depth == 0)
        return refuse(r, "not a JSON object");
    event->depth = r->depth;
    event->name = event->type == JSON_END || !r->object[r->depth] ? nameless : r->name;
    return r->fn(r->ctx, event);
}

static int on_null(void *ctx)
{
    return emit(ctx, &(struct json_event){ .type = JSON_NULL });
}

static int on_bool(void *ctx, int value)
{
    return emit(ctx, &(struct json_event){ .type = JSON_BOOL, .number = value != 0 });
}

static int on_text(void *ctx, const unsigned char *text, size_t len)
{
    return emit(ctx, &(struct json_event){ .type = JSON_TEXT, .text = (const char *)text, .text_len = len });
}

static int on_number(void *ctx, const char *text, size_t len)
{
    struct json_event event = { .type = JSON_INT };
    bool minus = text[0] == '-', over = false;

    for (size_t i = minus; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') /* . e E: a float, however whole its value */
            return emit(ctx, &(struct json_event){ .type = JSON_FLOAT, .text = text, .text_len = len });
        /* downwards: INT64_MIN has no counterpart above */
        over |= __builtin_mul_overflow(event.number, 10, &event.number);
        over |= __builtin_sub_overflow(event.number, text[i] - '0', &event.number);
    }
    if (over || (!minus && __builtin_sub_overflow((int64_t)0, event.number, &event.number)))
        return refuse(ctx, "a number out of range");
    return emit(ctx, &event);
}

static int begin(struct reader *r, enum json_type type)
{
    if (r->depth == 0) {
        if (type != JSON_OBJECT)
            return refuse(r, "not a JSON object");
    } else if (!emit(r, &(struct json_event){ .type = type }))
        return 0;
    if (r->depth == LJS__JSON_DEPTH)
        return refuse(r, "nested too deeply");
    r->depth++;
    r->object[r->depth] = type == JSON_OBJECT;
    r->first[r->depth] = r->names;
    r->marks[r->depth] = 0;
    return 1;
}

static int end(void *ctx)
{
    struct reader *r = ctx;

    r->names = r->first[r->depth];
    r->depth--;
    if (r->depth > 0)
        return emit(r, &(struct json_event){ .type = JSON_END });
    r->done = true;
    return 1;
}

static int on_object(void *ctx)
{
    return begin(ctx, JSON_OBJECT);
}

static int on_array(void *ctx)
{
    return begin(ctx, JSON_ARRAY);
}

static uint64_t mix(uint64_t hash, uint64_t eight)
{
    hash = (hash ^ eight) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* Keeps the name, or "" for one that is too long to be ours, with zeros behind it.
 * @return a hash: as FNV-1a, but of eight octets at a time, whose upper half goes into the lower */
__attribute__((noinline)) static uint64_t keep_any_name(struct reader *r, const unsigned char *name, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325 ^ len, eights[2];
    bool kept = len <= LJS__JSON_NAME_MAX;
    size_t at = 0;

    _Static_assert(LJS__JSON_NAME_MAX < sizeof r->name && sizeof r->name % sizeof eights == 0, "all sixteens fit");
    for (bool last = false; !last; at += sizeof eights) {
        size_t left = len - at;

        last = left < sizeof eights;
        eights[0] = le64(up_to_eight(name + at, left < 8 ? left : 8));
        eights[1] = left > 8 ? le64(up_to_eight(name + at + 8, last ? left - 8 : 8)) : 0;
        hash = mix(mix(hash, eights[0]), eights[1]);
        if (kept)
            memcpy(r->name + at, eights, sizeof eights);
    }
    if (!kept)
        memset(r->name, 0, LJS__JSON_NAME_ROOM);
    return hash;
}

/* The same, as most names are: short, and with more of the message behind them, which is read too.  What yajl copied
 * is not of the message, and ends where it ends. */
static inline uint64_t keep_name(struct reader *r, const unsigned char *name, size_t len)
{
    static const uint8_t masks[2 * LJS__JSON_NAME_ROOM] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    uint64_t eights[2], mask[2];

    _Static_assert(LJS__JSON_NAME_ROOM == sizeof eights, "they take one sixteen");
    if (len >= sizeof eights || (uintptr_t)name - r->in > r->roomy)
        return keep_any_name(r, name, len);
    memcpy(eights, name, sizeof eights);
    memcpy(mask, masks + sizeof eights - len, sizeof mask);
    eights[0] &= mask[0];
    eights[1] &= mask[1];
    memcpy(r->name, eights, sizeof eights);
    return mix(mix(0xcbf29ce484222325 ^ len, eights[0]), eights[1]);
}

static int on_name(void *ctx, const unsigned char *name, size_t len)
{
    struct reader *r = ctx;
    uint64_t hash = keep_name(r, name, len), mark = UINT64_C(1) << hash % 64;

    /* Equal hashes count as equal names: who makes two names collide on purpose has only
     * their own message refused, and nobody does it by accident. */
    if (r->marks[r->depth] & mark)
        for (unsigned i = r->first[r->depth]; i < r->names; i++)
            if (r->name_hash[i] == hash)
                return refuse(r, "a name that stands twice in one object");
    if (r->names == LJS__JSON_NAMES) /* also what keeps the loop above short */
        return refuse(r, "too many members");
    r->name_hash[r->names++] = hash;
    r->marks[r->depth] |= mark;
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_string = on_text,
    .yajl_start_map = on_object,
    .yajl_map_key = on_name,
    .yajl_end_map = end,
    .yajl_start_array = on_array,
    .yajl_end_array = end,
};

static ljs_err run(struct reader *r, const uint8_t *in, size_t in_len)
{
    yajl_alloc_funcs memory = { arena_malloc, arena_realloc, arena_free, &r->arena };
    yajl_handle yajl;

    if (setjmp(r->arena.full))
        return LJS_E_NOMEM;
    yajl = yajl_alloc(&callbacks, &memory, r);
    yajl_config(yajl, yajl_dont_validate_strings, 1); /* scan() did, and better */
    /* All at once, so yajl keeps no token over; and since the last octet closes the
     * object, there is nothing that yajl_complete_parse() could add.  No yajl_free()
     * either: the arena is what it would free. */
    switch (yajl_parse(yajl, in, in_len)) {
    case yajl_status_ok:
        if (r->done)
            return LJS_OK;
        break;
    case yajl_status_client_canceled:
        return LJS_E_MESSAGE; /* r->why says why, unless it was fn */
    case yajl_status_error:
        break;
    }
    r->why = "not JSON";
    return LJS_E_MESSAGE;
}

ljs_err ljs__json_read(const uint8_t *in, size_t in_len, size_t max, json_fn *fn, void *ctx, const char **why)
{
    alignas(max_align_t) uint8_t small[ON_STACK];
    struct reader r; /* not zeroed as a whole: it is large */
    size_t longest = 0;
    ljs_err err = LJS_E_MESSAGE;

    r.fn = fn;
    r.ctx = ctx;
    r.why = NULL;
    r.depth = 0;
    r.done = false;
    r.names = 0;
    r.name[0] = 0;
    r.arena.data = small;
    r.arena.room = sizeof small;
    r.arena.used = r.arena.last = 0;

    *why = NULL;
    if (in_len > max) {
        *why = "too long";
        return err;
    }
    while (in_len > 0 && (kind_of(in[in_len - 1]) == SPACE || in[in_len - 1] == ' '))
        in_len--;
    if (in_len == 0 || in[in_len - 1] != '}') {
        *why = "not a JSON object";
        return err;
    }
    if ((*why = scan(in, in_len, &longest)))
        return err;

    /* The buffer of texts begins with 2048 octets and doubles until one fits: all its
     * stages together take less than four times the text. */
    if (longest >= 1024) {
        r.arena.room = YAJL_OWN + 4 * longest;
        if (!(r.arena.data = malloc(r.arena.room)))
            return LJS_E_NOMEM;
    }
    r.in = (uintptr_t)in;
    r.roomy = in_len < LJS__JSON_NAME_ROOM ? 0 : in_len - LJS__JSON_NAME_ROOM; /* no name is at 0 */
    err = run(&r, in, in_len);
    *why = r.why;
    ljs__wipe(r.arena.data, r.arena.used);
    ljs__wipe(r.name, sizeof r.name);
    if (r.arena.data != small)
        free(r.arena.data);
    return err;
}
