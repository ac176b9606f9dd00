/* Cells [RFC 4180], with the delimiter that the format has. */
#include "codec/bulk.h"

/* One cell that begins with a quote, unquoted where it stands; *end is behind it. */
static const char *quoted(char **at, size_t *len, const char *end)
{
    char *from = *at + 1, *to = *at;

    for (; from < end; from++) {
        if (*from == '"' && (from + 1 == end || from[1] != '"'))
            break;
        from += *from == '"';
        *to++ = *from;
    }
    if (from == end)
        return "a quote that does not end; rows that it has swallowed are not read";
    *len = (size_t)(to - *at);
    *at = from + 1;
    return NULL;
}

const char *ljs__csv_read(struct bulk_cells *out, char delimiter, char *row, size_t row_len)
{
    char *at = row, *end = row + row_len;

    out->n = 0;
    for (;;) {
        char *begin = at;
        size_t len = 0;

        if (out->n == BULK_CELLS_MAX)
            return "more cells than any of these formats has";
        if (at < end && *at == '"') {
            const char *why = quoted(&at, &len, end);

            if (why)
                return why;
            if (at < end && *at != delimiter)
                return "something stands behind a quote";
        } else {
            for (; at < end && *at != delimiter; at++)
                if (*at == '"')
                    return "a quote inside of a cell that has none around it";
            len = (size_t)(at - begin);
        }
        out->at[out->n] = begin;
        out->len[out->n++] = len;
        if (at == end)
            return NULL;
        at++;
    }
}

bool ljs__csv_formula(const char *text, size_t len)
{
    static const char first[] = { '=', '+', '-', '@', '\t', '\r' };
    size_t quotes = 0;

    while (quotes < len && text[quotes] == '\'')
        quotes++;
    return quotes < len && memchr(first, text[quotes], sizeof first) != NULL;
}

static void cell(struct wr *w, char delimiter, const char *before, const char *text)
{
    bool quote = strchr(text, delimiter) || strpbrk(text, "\"\r\n\t;, ");

    if (w->len && w->data[w->len - 1] != '\n')
        ljs__wr(w, &delimiter, 1);
    if (quote)
        ljs__wr_text(w, "\"");
    ljs__wr_text(w, before);
    for (; *text; text++) {
        if (*text == '"')
            ljs__wr_text(w, "\"");
        ljs__wr(w, text, 1);
    }
    if (quote)
        ljs__wr_text(w, "\"");
}

void ljs__csv_cell(struct wr *w, char delimiter, const char *text)
{
    cell(w, delimiter, "", text);
}

void ljs__csv_text(struct wr *w, char delimiter, const char *text)
{
    cell(w, delimiter, ljs__csv_formula(text, strlen(text)) ? "'" : "", text);
}

void ljs__csv_end(struct wr *w)
{
    ljs__wr_text(w, "\r\n");
}
