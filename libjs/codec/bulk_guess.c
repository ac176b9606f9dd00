/* Whose file is it, by its first rows? */
#include "codec/bulk.h"

#include "base/json.h"

struct guess {
    uint32_t formats;
};

/* A member of the outermost object that one format alone has. */
static bool on_event(void *ctx, const struct json_event *event)
{
    static const struct {
        const char *name;
        ljs_bulk_format format;
    } rows[] = {
        { "dev_eui", LJS_BULK_LORAJS },        { "ids", LJS_BULK_TTS_JSON },
        { "devEUI", LJS_BULK_TTJS },           { "device_keys", LJS_BULK_CHIRPSTACK },
        { "deviceKeys", LJS_BULK_CHIRPSTACK }, { "device", LJS_BULK_CHIRPSTACK },
    };
    struct guess *guess = ctx;

    for (size_t i = 0; event->depth == 1 && i < COUNT(rows); i++)
        if (!strcmp(event->name, rows[i].name))
            guess->formats |= 1u << rows[i].format;
    return true;
}

/* How long the object is that begins here; 0 when it does not end here. */
static size_t object_len(const uint8_t *in, size_t in_len)
{
    size_t depth = 0;
    uint8_t quote = 0;

    for (size_t i = 0; i < in_len; i++) {
        if (quote) {
            if (in[i] == '\\')
                i++;
            else if (in[i] == quote)
                quote = 0;
        } else if (in[i] == '"' || in[i] == '\'') {
            quote = in[i];
        } else if (in[i] == '{' || in[i] == '[') {
            depth++;
        } else if ((in[i] == '}' || in[i] == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static ljs_err guess_object(uint32_t *out, const uint8_t *in, size_t in_len)
{
    struct guess guess = { 0 };
    struct wr json = { 0 };
    const char *why;
    ljs_err err;

    ljs__bulk_from_js(&json, in, object_len(in, in_len));
    err = json.bad ? LJS_E_NOMEM : ljs__json_read(json.data, json.len, LJS_BULK_ROW_MAX, on_event, &guess, &why);
    ljs__wr_drop(&json);
    *out = err ? 0 : guess.formats;
    return err == LJS_E_NOMEM ? err : LJS_OK;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool begins(const uint8_t *in, size_t in_len, const char *text)
{
    return in_len >= strlen(text) && !memcmp(in, text, strlen(text));
}

/* A cell of the first line that is this. */
static bool has_cell(const uint8_t *in, size_t in_len, const char *name)
{
    size_t len = strlen(name), begin = 0;

    for (size_t i = 0; i <= in_len; i++) {
        if (i < in_len && in[i] != ';' && in[i] != ',' && in[i] != '\r' && in[i] != '"')
            continue;
        if (i - begin == len && !memcmp(in + begin, name, len))
            return true;
        begin = i + 1;
    }
    return false;
}

static uint32_t guess_table(const uint8_t *in, size_t in_len)
{
    const uint8_t *newline;

    while (in_len && *in == '#' && (newline = memchr(in, '\n', in_len))) {
        in_len -= (size_t)(newline - in) + 1;
        in = newline + 1;
    }
    newline = in_len ? memchr(in, '\n', in_len) : NULL;
    if (newline)
        in_len = (size_t)(newline - in);
    if (begins(in, in_len, "CREATE_") || begins(in, in_len, "UPDATE_") || begins(in, in_len, "DELETE"))
        return 1u << LJS_BULK_THINGPARK;
    return (has_cell(in, in_len, "dev_eui") ? 1u << LJS_BULK_TTS_CSV : 0u) |
           (has_cell(in, in_len, "devEui") ? 1u << LJS_BULK_WANESY : 0u);
}

ljs_err ljs_bulk_guess(uint32_t *out, const uint8_t *in, size_t in_len)
{
    bool list = false;

    *out = 0;
    if (begins(in, in_len, "\xef\xbb\xbf")) {
        in += 3;
        in_len -= 3;
    }
    while (in_len && (is_space(*in) || (!list && *in == '['))) {
        list |= *in == '[';
        in++;
        in_len--;
    }
    if (in_len && *in == '{')
        return guess_object(out, in, in_len);
    *out = in_len ? guess_table(in, in_len) : 0;
    return LJS_OK;
}
