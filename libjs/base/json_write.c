/* Writing JSON: into octets that grow, with commas where they belong. */
#include "base/json.h"
#include "base/text.h"

typedef int8_t sixteen __attribute__((vector_size(16)));

/* Room for a value or a name of n octets, behind a comma unless it is the first of its object
 * or array, or the value of a name; NULL when there is none. */
static inline uint8_t *add(struct wr *w, size_t n)
{
    uint8_t before = w->len ? w->data[w->len - 1] : '[';
    bool comma = before != ':' && (before | 0x20) != '{'; /* nor '[' */
    uint8_t *at = wr_add(w, n + comma);

    if (at && comma)
        *at++ = ',';
    return at;
}

void ljs__json_open(struct wr *w, char bracket)
{
    uint8_t *at = add(w, 1);

    if (at)
        *at = (uint8_t)bracket;
}

void ljs__json_close(struct wr *w, char bracket)
{
    ljs__wr(w, &bracket, 1);
}

void ljs__json_name(struct wr *w, const char *name)
{
    ljs__json_open(w, '"');
    ljs__wr_text(w, name);
    ljs__wr(w, "\":", 2);
}

void ljs__json_word(struct wr *w, const struct json_name *word)
{
    uint8_t *at = add(w, sizeof word->text + 2);

    if (!at)
        return;
    at[0] = '"';
    memcpy(at + 1, word->text, sizeof word->text);
    at[word->len + 1] = '"';
    w->len -= sizeof word->text - word->len;
}

/* What is not plain is escaped; the quotes are for the caller. */
static void escape(struct wr *w, const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        uint8_t c = (uint8_t)text[i];

        if ((n = ljs__plain(text + i, len - i)))
            ljs__wr(w, text + i, n);
        else {
            n = 1;
            if (c == '"' || c == '\\')
                ljs__wr(w, "\\", 1);
            else if (c < 0x20)
                ljs__wr_text(w, "\\u00");
            if (c < 0x20)
                ljs__wr_hex(w, &c, 1);
            else
                ljs__wr(w, &c, 1);
        }
    }
}

void ljs__json_text(struct wr *w, const char *text)
{
    size_t len = strlen(text), plain = ljs__plain(text, len);
    uint8_t *at = add(w, plain + 1);

    if (!at)
        return;
    *at = '"';
    memcpy(at + 1, text, plain);
    escape(w, text + plain, len - plain);
    ljs__wr(w, "\"", 1);
}

/* Copies them sixteen at a time until there is one in which the text ends, or which wants to be looked at.
 * @return how many octets were copied that are of the text, and to be written as they are */
static size_t copy_plain(uint8_t *to, const char *text, size_t room)
{
    const sixteen none = { 0 };

    for (size_t at = 0; at + sizeof(sixteen) <= room; at += sizeof(sixteen)) {
        uint64_t half[2];
        sixteen v, other;

        memcpy(&v, text + at, sizeof v);
        memcpy(to + at, &v, sizeof v);
        other = (v < none + ' ') | (v == none + '"') | (v == none + '\\') | (v == none + 0x7f);
        memcpy(half, &other, sizeof half);
        if (half[0])
            return at + (size_t)__builtin_ctzll(le64(half[0])) / 8;
        if (half[1])
            return at + sizeof half[0] + (size_t)__builtin_ctzll(le64(half[1])) / 8;
    }
    return room / sizeof(sixteen) * sizeof(sixteen);
}

bool ljs__json_label(struct wr *w, const char *text, size_t room)
{
    size_t len = w->len, plain;

    if (room + 3 <= w->room - len) { /* none is asked for that is not needed in the end */
        uint8_t *at = add(w, room + 2);

        plain = at ? copy_plain(at + 1, text, room) : room;
        if (plain < room && !text[plain]) {
            at[0] = at[plain + 1] = '"';
            w->len -= room - plain;
            return true;
        }
        w->len = len;
    }
    if (!ljs__text_ok(text, room))
        return false;
    ljs__json_text(w, text);
    return true;
}

void ljs__json_number(struct wr *w, int64_t number)
{
    static const char hundred[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                  "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                  "8081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof digits;
    uint8_t *to;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    for (; left >= 10; left /= 100) {
        at -= 2;
        memcpy(digits + at, hundred + 2 * (left % 100), 2);
    }
    if (left || at == sizeof digits)
        digits[--at] = (char)('0' + left);
    if (number < 0)
        digits[--at] = '-';
    if ((to = add(w, sizeof digits - at)))
        memcpy(to, digits + at, sizeof digits - at);
}

void ljs__json_bool(struct wr *w, bool value)
{
    ljs__json_open(w, value ? 't' : 'f');
    ljs__wr_text(w, value ? "rue" : "alse");
}

void ljs__json_hex(struct wr *w, const uint8_t *in, size_t in_len)
{
    uint8_t *at;

    if (in_len > SIZE_MAX / 2 - 3)
        w->bad = true;
    else if ((at = add(w, 2 * in_len + 2))) {
        at[0] = '"';
        ljs__digits(at + 1, in, in_len);
        at[2 * in_len + 1] = '"';
    }
}

void ljs__json_hex_number(struct wr *w, uint64_t number, unsigned digits)
{
    uint8_t octets[8];
    unsigned n = digits / 2;

    number = be64(number);
    memcpy(octets, &number, sizeof octets);
    ljs__json_hex(w, octets + sizeof octets - n, n);
}
