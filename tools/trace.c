#include "trace.h"

#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 4000, /* of a diagram: more is not read by anybody */
    TEXT_MAX = 104,
    /* of the SVG, in pixels */
    LEFT = 190,
    BETWEEN = 330,
    TOP = 70,
    ROW = 26,
};

struct row {
    int64_t sent, at;
    uint8_t from, to; /* the same: a note */
    bool lost;
    char text[TEXT_MAX];
};

struct trace {
    bool print;
    const char *path; /* of the diagram, or NULL */
    char title[TEXT_MAX];
    struct row *rows;
    size_t rows_len, rows_room, left_out;
};

static const char *const names[ACTORS] = { "device", "network", "join server" };

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n > m && !strcmp(text + n - m, end);
}

int trace_open(struct trace **out, bool print, const char *diagram)
{
    *out = NULL;
    if (diagram && !ends_in(diagram, ".svg") && !ends_in(diagram, ".mmd") && !ends_in(diagram, ".mermaid")) {
        complain("--diagram writes .svg or .mmd (Mermaid), by the ending of the file's name");
        return USAGE;
    }
    if (!print && !diagram)
        return DONE;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return complain_err(LJS_E_NOMEM, "--trace");
    (*out)->print = print;
    (*out)->path = diagram;
    return DONE;
}

/* "  0d 00:01:02.345" */
static const char *clock_text(char out[32], int64_t ms)
{
    snprintf(out, 32, "%3ud %02u:%02u:%02u.%03u", (unsigned)(ms / 86400000), (unsigned)(ms / 3600000 % 24),
             (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
    return out;
}

void trace_title(struct trace *trace, const char *title)
{
    snprintf(trace->title, sizeof trace->title, "%s", title);
    if (trace->print)
        printf("%s\n", title);
}

static void remember(struct trace *trace, const struct row *row)
{
    if (!trace->path)
        return;
    if (trace->rows_len == ROWS_MAX) {
        trace->left_out++;
        return;
    }
    if (trace->rows_len == trace->rows_room) {
        size_t room = trace->rows_room ? 2 * trace->rows_room : 64;
        struct row *rows = realloc(trace->rows, room * sizeof *rows);

        if (!rows) {
            trace->left_out++;
            return;
        }
        trace->rows = rows;
        trace->rows_room = room;
    }
    trace->rows[trace->rows_len++] = *row;
}

void trace_message(struct trace *trace, int64_t sent, int64_t at, enum actor from, enum actor to, bool lost,
                   const char *text)
{
    struct row row = { .sent = sent, .at = at, .from = (uint8_t)from, .to = (uint8_t)to, .lost = lost };
    char time[32], late[32] = "";

    if (at - sent >= 10000)
        snprintf(late, sizeof late, " (%lld s late)", (long long)(at - sent) / 1000);
    snprintf(row.text, sizeof row.text, "%.70s%s", text, late);
    if (trace->print)
        printf("%s  %-11s %s %-11s  %s\n", clock_text(time, at), names[from], lost ? "-x" : "->", names[to], row.text);
    remember(trace, &row);
}

void trace_note(struct trace *trace, int64_t at, enum actor whose, const char *text)
{
    struct row row = { .sent = at, .at = at, .from = (uint8_t)whose, .to = (uint8_t)whose };
    char time[32];

    snprintf(row.text, sizeof row.text, "%.100s", text);
    if (trace->print)
        printf("%s  %-11s    %s\n", clock_text(time, at), names[whose], text);
    remember(trace, &row);
}

/* ---- Mermaid ---------------------------------------------------------------- */

/* Semicolons end a statement there, and # begins an entity. */
static void put_mermaid(FILE *to, const char *text)
{
    for (; *text; text++)
        if (*text == ';' || *text == '#')
            fprintf(to, "#%d;", *text);
        else
            fputc(*text, to);
}

static void write_mermaid(FILE *to, const struct trace *trace)
{
    static const char letters[ACTORS] = { 'D', 'N', 'J' };
    char time[32];

    fputs("sequenceDiagram\n", to);
    for (unsigned i = 0; i < ACTORS; i++)
        fprintf(to, "    participant %c as %s\n", letters[i], names[i]);
    fputs("    Note over D,J: ", to);
    put_mermaid(to, trace->title);
    fputc('\n', to);
    for (size_t i = 0; i < trace->rows_len; i++) {
        const struct row *row = &trace->rows[i];

        clock_text(time, row->at);
        if (row->from == row->to)
            fprintf(to, "    Note over %c: ", letters[row->from]);
        else
            fprintf(to, "    %c%s%c: %s ", letters[row->from], row->lost ? "-x" : "->>", letters[row->to],
                    time + strspn(time, " "));
        put_mermaid(to, row->text);
        fputc('\n', to);
    }
    if (trace->left_out)
        fprintf(to, "    Note over D,J: %zu more\n", trace->left_out);
}

/* ---- SVG -------------------------------------------------------------------- */

static void put_xml(FILE *to, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '&':
            fputs("&amp;", to);
            break;
        default:
            fputc(*text, to);
        }
}

static int x_of(unsigned actor)
{
    return LEFT + (int)actor * BETWEEN;
}

static int y_of(size_t row)
{
    return TOP + ROW * (int)(row + 1);
}

/* Where row i was sent: beside the first row that came to pass after that, so that one which
 * was overtaken is drawn across those that overtook it. */
static int y_sent(const struct trace *trace, size_t i)
{
    size_t first = i;

    while (first > 0 && trace->rows[first - 1].at > trace->rows[i].sent)
        first--;
    return first == i ? y_of(i) : y_of(first) - ROW / 2;
}

static void write_row(FILE *to, const struct trace *trace, size_t i)
{
    const struct row *row = &trace->rows[i];
    int x = x_of(row->from), end = x_of(row->to), y = y_of(i), y_from = y_sent(trace, i);
    char time[32];

    fprintf(to, "<text class=\"t\" x=\"8\" y=\"%d\">%s</text>\n", y + 4, clock_text(time, row->at));
    if (row->from == row->to) {
        fprintf(to, "<circle cx=\"%d\" cy=\"%d\" r=\"4\"/><text class=\"n\" x=\"%d\" y=\"%d\">", x, y, x + 10, y + 4);
    } else {
        if (row->lost)
            end -= (end - x) / 8; /* beside the text */
        fprintf(to,
                "<line class=\"%s\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" marker-end=\"url(#%s)\"/>"
                "<text class=\"m\" x=\"%d\" y=\"%d\">",
                row->lost ? "l" : "a", x, y_from, end, y, row->lost ? "x" : "arrow",
                (x_of(row->from) + x_of(row->to)) / 2, y - 5);
    }
    put_xml(to, row->text);
    fputs("</text>\n", to);
}

static void write_svg(FILE *to, const struct trace *trace)
{
    int width = x_of(ACTORS - 1) + 250, height = y_of(trace->rows_len) + 2 * ROW;

    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n"
            "<style>svg{background:#fff}text{font:12px sans-serif;fill:#222}.t{font:11px monospace;fill:#777}"
            ".m{text-anchor:middle}.n{font-style:italic}.h{font-weight:bold;text-anchor:middle}"
            ".a{stroke:#246;stroke-width:1.3}.l{stroke:#b33;stroke-width:1.3;stroke-dasharray:5 3}"
            ".v{stroke:#bbb}circle{fill:#246}</style>\n"
            "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" "
            "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#246\"/></marker>"
            "<marker id=\"x\" viewBox=\"0 0 8 8\" refX=\"4\" refY=\"4\" markerWidth=\"9\" markerHeight=\"9\">"
            "<path d=\"M0 0L8 8M8 0L0 8\" stroke=\"#b33\" stroke-width=\"1.5\"/></marker></defs>\n",
            width, height, width, height);
    fputs("<title>", to);
    put_xml(to, trace->title);
    fputs("</title>\n<text x=\"8\" y=\"20\">", to);
    put_xml(to, trace->title);
    fputs("</text>\n", to);
    for (unsigned i = 0; i < ACTORS; i++)
        fprintf(to,
                "<text class=\"h\" x=\"%d\" y=\"%d\">%s</text><line class=\"v\" x1=\"%d\" y1=\"%d\" x2=\"%d\" "
                "y2=\"%d\"/>\n",
                x_of(i), TOP - 22, names[i], x_of(i), TOP - 14, x_of(i), height - ROW);
    for (size_t i = 0; i < trace->rows_len; i++)
        write_row(to, trace, i);
    if (trace->left_out)
        fprintf(to, "<text x=\"8\" y=\"%d\">%zu more</text>\n", height - 8, trace->left_out);
    fputs("</svg>\n", to);
}

int trace_close(struct trace *trace)
{
    int code = DONE;

    if (trace && trace->path) {
        FILE *to = fopen(trace->path, "w");

        if (to && ends_in(trace->path, ".svg"))
            write_svg(to, trace);
        else if (to)
            write_mermaid(to, trace);
        if (!to || ferror(to) || fclose(to)) {
            complain("%s: %s", trace->path, strerror(errno));
            code = FAILED;
        }
    }
    if (trace)
        free(trace->rows);
    free(trace);
    return code;
}
