/* diagrams -- print the machines of a session as they run: for each state that an event can
 * leave an arrow, and a table of every rule, both in Markdown.
 *
 *     diagrams network | end_device
 *
 * scripts/diagrams.py puts it into docs/sessions.md. */
#include "session/end_device.h"
#include "session/network.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 512 };

struct row {
    const char *from, *event, *guard, *action, *to;
    unsigned rank; /* among the rows of its state and event, of which the first that holds is taken */
    bool told;     /* printed already, together with one before */
};

static struct row rows[ROWS_MAX];
static size_t rows_len;

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void add(const char *from, const char *event, const char *guard, const char *action, const char *to)
{
    struct row r = { from, event, guard, action, to, 0, false };

    if (rows_len == ROWS_MAX)
        exit(2);
    for (size_t i = 0; i < rows_len; i++)
        r.rank += same(rows[i].from, from) && same(rows[i].event, event);
    rows[rows_len++] = r;
}

static void network(void)
{
    size_t n;
    const struct network_row *rules = ljs__network_rules(&n);

    for (size_t i = 0; i < n; i++)
        add(rules[i].from_text, rules[i].event_text, rules[i].guard, rules[i].action, rules[i].to);
}

static void end_device(void)
{
    size_t n;
    const struct end_device_row *rules = ljs__end_device_rules(&n);

    for (size_t i = 0; i < n; i++)
        add(rules[i].from, rules[i].event, rules[i].guard, rules[i].action, rules[i].to);
}

static bool stays(const struct row *r)
{
    return same(r->from, r->to);
}

/* "counter_rises": a function's name, read as words. */
static void words(const char *text)
{
    bool name = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(text);

    for (; *text; text++)
        putchar(name && *text == '_' ? ' ' : *text);
}

/* Every event that leads from one state to another, on one arrow. */
static void diagram(void)
{
    printf("```mermaid\nstateDiagram-v2\n    [*] --> %s\n", rows[0].from);
    for (size_t i = 0; i < rows_len; i++) {
        bool first = true;

        if (stays(&rows[i]))
            continue;
        for (size_t j = 0; j < i && first; j++)
            first = !same(rows[j].from, rows[i].from) || !same(rows[j].to, rows[i].to);
        if (!first)
            continue;
        printf("    %s --> %s: %s", rows[i].from, rows[i].to, rows[i].event);
        for (size_t j = i + 1; j < rows_len; j++) {
            bool new = same(rows[j].from, rows[i].from) && same(rows[j].to, rows[i].to);

            for (size_t k = i; k < j && new; k++)
                new = !same(rows[k].from, rows[i].from) || !same(rows[k].to, rows[i].to) ||
                      !same(rows[k].event, rows[j].event);
            if (new)
                printf("<br/>%s", rows[j].event);
        }
        putchar('\n');
    }
    printf("```\n");
}

static bool together(const struct row *a, const struct row *b)
{
    return a->rank == b->rank && same(a->event, b->event) && same(a->guard, b->guard) && same(a->action, b->action) &&
           stays(a) == stays(b) && (stays(a) || same(a->to, b->to));
}

/* One line for the rows that differ in their state alone. */
static void line(struct row *first)
{
    printf("| %s | ", first->event);
    for (struct row *r = first; r < rows + rows_len; r++)
        if (!r->told && together(first, r)) {
            printf(r == first ? "%s" : ", %s", r->from);
            r->told = true;
        }
    printf(" | ");
    words(first->guard);
    printf(" | ");
    words(first->action);
    printf(" | %s |\n", stays(first) ? "the same" : first->to);
}

/* Rules by event, and in the order in which they are tried. */
static void table(void)
{
    printf("\n| event | in state | if | then | next state |\n|---|---|---|---|---|\n");
    for (size_t e = 0; e < rows_len; e++)
        for (unsigned rank = 0; rank < rows_len; rank++)
            for (size_t i = e; i < rows_len; i++)
                if (!rows[i].told && rows[i].rank == rank && same(rows[i].event, rows[e].event))
                    line(&rows[i]);
}

int main(int argc, char **argv)
{
    if (argc == 2 && same(argv[1], "network"))
        network();
    else if (argc == 2 && same(argv[1], "end_device"))
        end_device();
    else
        return 2;
    if (!rows_len)
        return 1;
    diagram();
    table();
    return 0;
}
