/* audit.c -- `lorajs audit ...`: what was done with keys, and whether anybody altered the telling of it. */
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct audit_opts {
    struct where where;
    const char *anchor, *device, *kind, *since;
    int64_t lines;
    bool json;
};

#define AT(member) offsetof(struct audit_opts, member)
#define SELECT_FLAGS                                                                                                   \
    { "device", "DEVEUI", "entries about this device alone", FLAG_TEXT, AT(device), 0, 0 },                            \
        { "kind", "KIND", "entries of this kind alone: join, refused, alarm, block ...", FLAG_TEXT, AT(kind), 0, 0 },  \
    {                                                                                                                  \
        "json", NULL, "a JSON object an entry", FLAG_SWITCH, AT(json), 0, 0                                            \
    }
static const struct flag verify_flags[] = {
    WHERE_FLAGS(struct audit_opts),
    { "anchor", "FILE", "the last links of chains, as `audit anchor` or `serve --audit-anchor` wrote them", FLAG_TEXT,
      AT(anchor), 0, 0 },
    { "json", NULL, "a JSON object a finding, and one of the totals", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag show_flags[] = {
    WHERE_FLAGS(struct audit_opts),
    SELECT_FLAGS,
    { "since", "TIME", SINCE_HELP, FLAG_TEXT, AT(since), 0, 0 },
    { 0 },
};
static const struct flag tail_flags[] = {
    WHERE_FLAGS(struct audit_opts),
    SELECT_FLAGS,
    { "lines", "N", "begin with the last N entries (default 10)", FLAG_NUMBER, AT(lines), 0, 100000 },
    { 0 },
};
static const struct flag anchor_flags[] = {
    WHERE_FLAGS(struct audit_opts),
    { 0 },
};
#undef AT

static const struct usage verify_usage = {
    "audit verify",
    "",
    "Checks every link of the audit log, that none is missing before another, and that every device's record is the "
    "one that the log leads to: an older one that was put back is found. What was cut off the end of a chain is found "
    "with --anchor alone. The daemon may be running. Exit code 3 when something was found.",
    verify_flags,
    0,
    0,
};
static const struct usage show_usage = { "audit show", "", "Prints the entries of the audit log by their time.",
                                         show_flags,   0,  0 };
static const struct usage tail_usage = {
    "audit tail", "", "Prints the last entries of the audit log, and each that is added, until it is ended.",
    tail_flags,   0,  0
};
static const struct usage anchor_usage = {
    "audit anchor",
    "",
    "Verifies the audit log and prints the last link of every chain: for paper, a ticket or another machine, where "
    "those who can write to the database cannot change it. `audit verify --anchor` then finds what was cut off.",
    anchor_flags,
    0,
    0,
};

/* ---- verify and anchor ------------------------------------------------------ */

static void print_finding(const ljs_audit_finding *f, bool json)
{
    const char *name = ljs_audit_fault_name(f->fault), *text = ljs_audit_fault_text(f->fault);

    if (json)
        printf("{\"fault\":\"%s\",", name);
    else
        printf("%s: ", name);
    if (f->fault == LJS_AUDIT_WORD)
        printf(json ? "\"text\":\"%s\"}\n" : "%s\n", text);
    else if (f->fault >= LJS_AUDIT_RECORD_BAD)
        printf(json ? "\"dev_eui\":\"%016" PRIx64 "\",\"text\":\"%s\"}\n" : "device %016" PRIx64 ": %s\n", f->dev_eui,
               text);
    else
        printf(json ? "\"chain\":\"%016" PRIx64 "\",\"sequence\":%" PRIu64 ",\"text\":\"%s\"}\n"
                    : "chain %016" PRIx64 ", link %" PRIu64 ": %s\n",
               f->writer, f->sequence, text);
}

static void print_totals(const ljs_audit_totals *t, bool json)
{
    static const char *const forms[] = {
        "%s: %" PRIu64 " chains, %" PRIu64 " links, %" PRIu64 " entries, %" PRIu64 " devices\n",
        "{\"result\":\"%s\",\"chains\":%" PRIu64 ",\"links\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"devices\":%" PRIu64,
    };
    const char *result = t->findings ? "altered" : !t->generation ? "none" : "whole";

    if (!json && !t->generation && !t->findings) {
        puts("no audit log was ever begun here");
        return;
    }
    printf(forms[json], result, t->chains, t->links, t->entries, t->devices);
    if (json)
        printf(",\"findings\":%" PRIu64 ",\"kept\":%s}\n", t->findings, t->kept ? "true" : "false");
    else if (!t->kept)
        puts("no log is kept any more: records were not compared with it");
}

static int verify(ljs_audit_report **out, const struct audit_opts *opts, const struct usage *usage, FILE *to_tell)
{
    struct data data;
    ljs_audit_totals totals = { 0 };
    ljs_audit_finding finding;
    ljs_buf anchor = { NULL, 0 };
    ljs_err err;
    int code = DONE;

    *out = NULL;
    if (opts->anchor && (code = read_all(&anchor, opts->anchor, 64 << 20)))
        return code;
    if ((code = data_open(&data, &opts->where, DATA_OPEN, NULL)))
        goto out;
    err = ljs_server_verify_audit(out, data.server, anchor.data, anchor.len);
    if (err == LJS_E_INVAL) {
        complain("%s: this is no anchor; lines are of a chain, a number and a tag, as `lorajs audit anchor` prints "
                 "them",
                 opts->anchor);
        code = REFUSED;
    } else if (err || (err = ljs_audit_report_totals(&totals, *out))) {
        code = complain_err(err, usage->path);
    }
    for (unsigned i = 0; !code && to_tell && !ljs_audit_report_finding(&finding, *out, i); i++)
        print_finding(&finding, opts->json);
    if (!code && to_tell)
        print_totals(&totals, opts->json);
    if (!code && totals.findings)
        code = REFUSED;
out:
    data_close(&data);
    ljs_buf_free(&anchor);
    return code;
}

static int cmd_verify(int argc, char **argv)
{
    struct audit_opts opts = { 0 };
    ljs_audit_report *report;
    int code = read_flags(&verify_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    code = verify(&report, &opts, &verify_usage, stdout);
    ljs_audit_report_free(report);
    return code;
}

static int cmd_anchor(int argc, char **argv)
{
    struct audit_opts opts = { 0 };
    ljs_audit_report *report;
    ljs_buf text = { NULL, 0 };
    char at[32];
    int code = read_flags(&anchor_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    code = verify(&report, &opts, &anchor_usage, NULL);
    if (code == REFUSED) {
        complain("audit anchor: the log was altered, `lorajs audit verify` says where; no anchor is made of it");
    } else if (!code) {
        if (ljs_audit_report_anchor(&text, report))
            code = complain_err(LJS_E_NOMEM, "audit anchor");
        else
            printf("# lorajs audit anchor, %s\n%.*s", time_text(at, now_seconds()), (int)text.len,
                   text.data ? (const char *)text.data : "");
    }
    ljs_buf_free(&text);
    ljs_audit_report_free(report);
    return code;
}

/* ---- entries ---------------------------------------------------------------- */

static void print_entry(const ljs_audit_link *link, const ljs_audit_entry *e)
{
    char at[32];

    printf("%-20s  %-12s", time_text(at, link->at), ljs_audit_kind_text(e->kind));
    if (e->dev_eui)
        printf(" %016" PRIx64, e->dev_eui);
    if (e->join_nonce)
        printf(" JoinNonce %" PRIu32, e->join_nonce);
    if (e->kind == LJS_AUDIT_JOIN || e->kind == LJS_AUDIT_REJOIN || e->kind == LJS_AUDIT_ALARM)
        printf(" nonce %" PRIu32 " NetID %06" PRIX32, e->nonce, e->net_id);
    if (e->err)
        printf(" %s", ljs_errname(e->err));
    if (e->count && e->kind != LJS_AUDIT_BEGIN)
        printf(" %" PRIu32 " times", e->count);
    if (*e->text)
        printf(" \"%s\"", e->text);
    if (*e->who)
        printf(" by %s", e->who);
    putchar('\n');
}

static ljs_err print_entry_json(const ljs_audit_link *link, const ljs_audit_entry *e)
{
    ljs_buf text;
    ljs_err err = ljs_audit_entry_json(&text, link, e);

    if (!err)
        printf("%.*s\n", (int)text.len, (const char *)text.data);
    ljs_buf_free(&text);
    return err;
}

/* ---- show and tail ---------------------------------------------------------- */

struct place {
    int64_t at;
    uint64_t writer, sequence;
    unsigned entry;
};

struct reading {
    const struct audit_opts *opts;
    ljs_server *server;
    int64_t since;
    ljs_eui dev_eui;
    struct place *found; /* entries that are asked for */
    size_t found_len, found_room;
    struct place *chain; /* rising: the last link that was looked at */
    size_t chains, chains_room;
    bool bad;
};

static bool room_for(struct place **at, size_t *room, size_t len)
{
    struct place *more;

    if (len < *room)
        return true;
    if (!(more = realloc(*at, (*room ? 2 * *room : 64) * sizeof *more)))
        return false;
    *at = more;
    *room = *room ? 2 * *room : 64;
    return true;
}

static bool is_asked_for(const struct reading *r, const ljs_audit_link *link, const ljs_audit_entry *e)
{
    return link->at >= r->since && (!r->opts->device || e->dev_eui == r->dev_eui) &&
           (!r->opts->kind || !strcmp(r->opts->kind, ljs_audit_kind_text(e->kind)));
}

static ljs_err look_at(struct reading *r, uint64_t writer, uint64_t sequence)
{
    ljs_audit_link link;
    ljs_audit_entry e;
    ljs_buf octets;
    ljs_err err = ljs_server_get_link(&octets, r->server, writer, sequence);

    if (!err)
        err = ljs_audit_link_read(&link, octets.data, octets.len);
    for (unsigned i = 0; !err && i < link.entries; i++) {
        if ((err = ljs_audit_link_entry(&e, i, octets.data, octets.len)) || !is_asked_for(r, &link, &e))
            continue;
        if (!room_for(&r->found, &r->found_room, r->found_len))
            err = LJS_E_NOMEM;
        else
            r->found[r->found_len++] = (struct place){ link.at, writer, sequence, i };
    }
    ljs_buf_free(&octets);
    if (err == LJS_E_SEAL || err == LJS_E_VERSION) {
        complain("chain %016" PRIx64 ", link %" PRIu64 ": %s; see `lorajs audit verify`", writer, sequence,
                 ljs_strerror(err));
        r->bad = true;
        err = LJS_OK;
    }
    return err == LJS_E_NOTFOUND ? LJS_OK : err;
}

static ljs_err one_link(void *user, uint64_t writer, uint64_t sequence)
{
    struct reading *r = user;
    size_t low = 0, high = r->chains;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (r->chain[middle].writer < writer)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == r->chains || r->chain[low].writer != writer) {
        if (!room_for(&r->chain, &r->chains_room, r->chains))
            return LJS_E_NOMEM;
        memmove(r->chain + low + 1, r->chain + low, (r->chains++ - low) * sizeof *r->chain);
        r->chain[low] = (struct place){ .writer = writer };
    } else if (sequence <= r->chain[low].sequence) {
        return LJS_OK;
    }
    r->chain[low].sequence = sequence;
    return look_at(r, writer, sequence);
}

/* By time, and in their order within a chain. */
static int by_time(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->writer != y->writer)
        return x->writer < y->writer ? -1 : 1;
    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    return (x->entry > y->entry) - (x->entry < y->entry);
}

/* All that was found, or the last `most`. */
static ljs_err print_found(struct reading *r, size_t most)
{
    size_t from = r->found_len > most ? r->found_len - most : 0;
    ljs_err err = LJS_OK;

    if (r->found_len)
        qsort(r->found, r->found_len, sizeof *r->found, by_time);
    for (size_t i = from; !err && i < r->found_len; i++) {
        const struct place *p = &r->found[i];
        ljs_audit_link link;
        ljs_audit_entry e;
        ljs_buf octets;

        err = ljs_server_get_link(&octets, r->server, p->writer, p->sequence);
        if (!err && !(err = ljs_audit_link_read(&link, octets.data, octets.len)) &&
            !(err = ljs_audit_link_entry(&e, p->entry, octets.data, octets.len))) {
            if (r->opts->json)
                err = print_entry_json(&link, &e);
            else
                print_entry(&link, &e);
        }
        ljs_buf_free(&octets);
    }
    r->found_len = 0;
    return err;
}

/* 1 .. 255: all that a link has room for. */
static int check_kind(const char *kind)
{
    if (!kind)
        return DONE;
    for (int i = 1; i < 256; i++)
        if (!strcmp(kind, ljs_audit_kind_text((ljs_audit_kind)i)))
            return DONE;
    fprintf(stderr, "lorajs: --kind is one of");
    for (int i = 1; i < 256; i++)
        if (strcmp(ljs_audit_kind_text((ljs_audit_kind)i), "?") != 0)
            fprintf(stderr, " %s", ljs_audit_kind_text((ljs_audit_kind)i));
    fputc('\n', stderr);
    return USAGE;
}

/* Until it is ended, or nobody reads any more. */
static ljs_err follow(struct reading *r)
{
    const struct timespec tick = { .tv_nsec = 500 * 1000000L };
    sigset_t ends;
    int got;
    ljs_err err = LJS_OK;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    while (!err && !fflush(stdout) && !ferror(stdout)) {
        got = sigtimedwait(&ends, NULL, &tick);
        if (got == SIGINT || got == SIGTERM)
            break;
        if (!(err = ljs_server_each_link(r->server, one_link, r)))
            err = print_found(r, SIZE_MAX);
    }
    return err;
}

static int tell(const struct audit_opts *opts, const struct usage *usage, bool on)
{
    struct reading r = { .opts = opts };
    struct data data = { NULL, NULL, NULL };
    sigset_t ends;
    ljs_err err;
    int code;

    if ((code = check_kind(opts->kind)) || (code = read_since(&r.since, opts->since)) ||
        (opts->device && (code = read_eui(&r.dev_eui, opts->device, "--device"))) ||
        (code = data_open(&data, &opts->where, DATA_OPEN, NULL)))
        goto out;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    if (on)
        pthread_sigmask(SIG_BLOCK, &ends, NULL);
    r.server = data.server;
    err = ljs_server_each_link(data.server, one_link, &r);
    if (!err)
        err = print_found(&r, on ? (size_t)opts->lines : SIZE_MAX);
    if (!err && on)
        err = follow(&r);
    if (err)
        code = complain_err(err, usage->path);
    else if (r.bad)
        code = REFUSED;
out:
    free(r.found);
    free(r.chain);
    data_close(&data);
    return code;
}

static int cmd_show(int argc, char **argv)
{
    struct audit_opts opts = { 0 };
    int code = read_flags(&show_usage, &opts, &argc, &argv);

    return code == GO_ON ? tell(&opts, &show_usage, false) : code;
}

static int cmd_tail(int argc, char **argv)
{
    struct audit_opts opts = { .lines = 10 };
    int code = read_flags(&tail_usage, &opts, &argc, &argv);

    return code == GO_ON ? tell(&opts, &tail_usage, true) : code;
}

const struct command audit_commands[] = {
    { "verify", "was it, or a record, altered?", cmd_verify, NULL, &verify_usage },
    { "show", "its entries", cmd_show, NULL, &show_usage },
    { "tail", "the last entries, and those to come", cmd_tail, NULL, &tail_usage },
    { "anchor", "its last links, to be kept elsewhere", cmd_anchor, NULL, &anchor_usage },
    { 0 },
};
