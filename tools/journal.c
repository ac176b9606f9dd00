#include "journal.h"

#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal {
    FILE *file;
    const char *path;
    bool dirty; /* written since the last sync */
};

enum { LINE_MAX_LEN = 512 };

const char *const kind_text[4] = { "rejoin0", "rejoin1", "rejoin2", "join" };

/* ---- one line --------------------------------------------------------------- */

static void put_hex(FILE *file, const uint8_t *in, size_t in_len)
{
    fputc(' ', file);
    for (size_t i = 0; i < in_len; i++)
        fprintf(file, "%02x", in[i]);
}

static void put_ask(FILE *file, const char *word, const struct entry *e)
{
    fprintf(file, "%s %016" PRIx64 " %u %s %u %s %06x", word, e->dev_eui, e->ask.k, kind_text[e->ask.kind & 3],
            e->ask.nonce, ljs_mac_text(e->ask.mac), e->ask.net_id);
    put_hex(file, e->ask.phy, e->ask.phy_len);
}

void journal_write(struct journal *journal, const struct entry *e)
{
    FILE *file;

    if (!journal)
        return;
    file = journal->file;
    switch (e->type) {
    case ENTRY_RUN:
        fprintf(file, "run %016" PRIx64 " %u", e->dev_eui, e->devices);
        break;
    case ENTRY_ASK:
        put_ask(file, "ask", e);
        break;
    case ENTRY_GOT:
        put_ask(file, "got", e);
        fprintf(file, " %u", e->got.join_nonce);
        put_hex(file, e->got.session_key_id, sizeof e->got.session_key_id);
        put_hex(file, e->got.accept, e->got.accept_len);
        break;
    case ENTRY_NO:
        put_ask(file, "no", e);
        fprintf(file, " %s", e->text);
        break;
    case ENTRY_BAD:
        fprintf(file, "bad %016" PRIx64 " %s", e->dev_eui, e->text);
        break;
    case ENTRY_END:
        fprintf(file, "end %s", e->text);
        break;
    }
    fputc('\n', file);
    journal->dirty = true;
}

/* Hexadecimal of at most `room` octets; -1 for anything else. */
static int get_hex(uint8_t *out, size_t room, const char *text)
{
    size_t n = strlen(text) / 2;

    if (n > room || strlen(text) % 2 || strspn(text, "0123456789abcdef") != 2 * n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        unsigned octet = 0;

        sscanf(text + 2 * i, "%2x", &octet);
        out[i] = (uint8_t)octet;
    }
    return (int)n;
}

static bool get_ask(struct ask *out, char *const *word)
{
    char *end;
    unsigned long nonce = strtoul(word[3], &end, 10);
    int kind = 0, n = get_hex(out->phy, sizeof out->phy, word[6]);

    while (kind < 4 && strcmp(kind_text[kind], word[2]))
        kind++;
    if (kind == 4 || *end || nonce > 0xffff || n < 0 || ljs_mac_parse(&out->mac, word[4]) ||
        ljs_net_id_parse(&out->net_id, word[5]))
        return false;
    out->k = (uint32_t)strtoul(word[1], &end, 10);
    out->kind = kind == 3 ? LJS_FRAME_JOIN : (ljs_frame_kind)kind;
    out->nonce = (uint16_t)nonce;
    out->phy_len = (uint8_t)n;
    return !*end;
}

static bool get_got(struct got *out, char *const *word)
{
    char *end;
    int n = get_hex(out->accept, sizeof out->accept, word[2]);

    out->join_nonce = (uint32_t)strtoul(word[0], &end, 10);
    out->accept_len = (uint8_t)(n < 0 ? 0 : n);
    return !*end && n > 0 && get_hex(out->session_key_id, 16, word[1]) == 16;
}

static bool parse(struct entry *out, char *line)
{
    static const struct {
        const char *word;
        enum entry_type type;
        unsigned least; /* words */
    } types[] = {
        { "run", ENTRY_RUN, 3 }, { "ask", ENTRY_ASK, 8 }, { "got", ENTRY_GOT, 11 },
        { "no", ENTRY_NO, 9 },   { "bad", ENTRY_BAD, 3 }, { "end", ENTRY_END, 2 },
    };
    char *word[12] = { line }, *end;
    size_t t = 0;
    unsigned n;

    memset(out, 0, sizeof *out);
    line[strcspn(line, "\n")] = '\0';
    while (t < 6 && (strncmp(types[t].word, line, strlen(types[t].word)) || line[strlen(types[t].word)] != ' '))
        t++;
    if (t == 6)
        return false;
    for (n = 1; n < types[t].least && (word[n] = strchr(word[n - 1], ' ')); n++)
        *word[n]++ = '\0';
    if (n < types[t].least || (types[t].type != ENTRY_BAD && strchr(word[n - 1], ' ')))
        return false;
    out->type = types[t].type;
    if (out->type >= ENTRY_NO) /* the text is the last word */
        snprintf(out->text, sizeof out->text, "%.63s", word[n - 1]);
    if (out->type == ENTRY_END)
        return true;
    if (ljs_eui_parse(&out->dev_eui, word[1]))
        return false;
    if (out->type == ENTRY_RUN) {
        out->devices = (uint32_t)strtoul(word[2], &end, 10);
        return !*end;
    }
    return out->type == ENTRY_BAD ||
           (get_ask(&out->ask, word + 1) && (out->type != ENTRY_GOT || get_got(&out->got, word + 8)));
}

/* Each row; *whole is the length of the file up to its last whole line. */
static int read_rows(const char *path, FILE *file, journal_row *row, void *user, off_t *whole)
{
    char line[LINE_MAX_LEN];
    struct entry entry;
    unsigned long number = 0;

    *whole = 0;
    while (fgets(line, sizeof line, file)) {
        if (!strchr(line, '\n') && feof(file))
            break; /* cut short */
        number++;
        if (!parse(&entry, line)) {
            complain("%s: line %lu is none of a journal", path, number);
            return FAILED;
        }
        *whole = ftello(file);
        if (!row(user, &entry))
            break;
    }
    if (ferror(file)) {
        complain("%s: %s", path, strerror(errno));
        return FAILED;
    }
    return DONE;
}

/* ---- the file --------------------------------------------------------------- */

int journal_open(struct journal **out, const char *path, bool resume, journal_row *row, void *user)
{
    struct journal *journal;
    struct stat st;
    off_t whole = 0;
    int code = FAILED, fd;

    *out = NULL;
    if (!path)
        return DONE;
    journal = calloc(1, sizeof *journal);
    fd = journal ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
    if (fd < 0 || fstat(fd, &st) || !(journal->file = fdopen(fd, "r+"))) {
        complain("%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        free(journal);
        return FAILED;
    }
    journal->path = path;
    if (st.st_size && !resume) {
        complain("%s is there already: give --resume to go on with it, or another name", path);
        code = REFUSED;
        goto out;
    }
    code = read_rows(path, journal->file, row, user, &whole);
    if (code)
        goto out;
    if (ftruncate(fd, whole) || fseeko(journal->file, whole, SEEK_SET)) {
        complain("%s: %s", path, strerror(errno));
        code = FAILED;
        goto out;
    }
    setvbuf(journal->file, NULL, _IOFBF, 1 << 16);
    *out = journal;
    return DONE;
out:
    fclose(journal->file);
    free(journal);
    return code;
}

int journal_flush(struct journal *journal)
{
    if (!journal || !fflush(journal->file))
        return DONE;
    complain("%s: %s", journal->path, strerror(errno));
    return FAILED;
}

int journal_sync(struct journal *journal)
{
    int code = journal_flush(journal);

    if (code || !journal || !journal->dirty)
        return code;
    if (fdatasync(fileno(journal->file))) {
        complain("%s: %s", journal->path, strerror(errno));
        return FAILED;
    }
    journal->dirty = false;
    return DONE;
}

int journal_close(struct journal *journal)
{
    int code = journal_sync(journal);

    if (!journal)
        return DONE;
    if (fclose(journal->file) && code == DONE) {
        complain("%s: %s", journal->path, strerror(errno));
        code = FAILED;
    }
    free(journal);
    return code;
}

/* ---- the judge -------------------------------------------------------------- */

/* Everything is kept and put into order of devices; a million accepts are 200 MB. */
struct evidence {
    struct row {
        struct entry e;
        size_t seq;
    } * rows;
    size_t len, room, seq;
    size_t last_run; /* seq of it */
    ljs_eui first;   /* the devices of the last run */
    uint32_t devices;
    bool finished; /* the last run did all of its work */
    bool nomem;
};

struct verdict {
    unsigned long accepts, sessions, devices, broken;
};

static bool gather(void *user, const struct entry *entry)
{
    struct evidence *ev = user;

    ev->seq++;
    if (entry->type == ENTRY_RUN) {
        ev->last_run = ev->seq;
        ev->first = entry->dev_eui;
        ev->devices = entry->devices;
        ev->finished = false;
        return true;
    }
    if (entry->type == ENTRY_END) {
        ev->finished = !strcmp(entry->text, "all");
        return true;
    }
    if (ev->len == ev->room) {
        size_t room = ev->room ? 2 * ev->room : 1024;
        struct row *rows = realloc(ev->rows, room * sizeof *rows);

        if (!rows) {
            ev->nomem = true;
            return false;
        }
        ev->rows = rows;
        ev->room = room;
    }
    ev->rows[ev->len++] = (struct row){ *entry, ev->seq };
    return true;
}

static int by_device(const void *va, const void *vb)
{
    const struct row *a = va, *b = vb;

    if (a->e.dev_eui != b->e.dev_eui)
        return a->e.dev_eui < b->e.dev_eui ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static int by_session(const void *va, const void *vb)
{
    const struct row *a = *(const struct row *const *)va, *b = *(const struct row *const *)vb;

    return memcmp(a->e.got.session_key_id, b->e.got.session_key_id, 16);
}

static bool same_phy(const struct ask *a, const struct ask *b)
{
    return a->phy_len == b->phy_len && !memcmp(a->phy, b->phy, a->phy_len);
}

static bool same_got(const struct got *a, const struct got *b)
{
    return a->join_nonce == b->join_nonce && !memcmp(a->session_key_id, b->session_key_id, 16) &&
           a->accept_len == b->accept_len && !memcmp(a->accept, b->accept, a->accept_len);
}

static void broken(struct verdict *v, const struct row *row, const char *law)
{
    if (++v->broken <= 20)
        complain("device %016" PRIx64 ", line %zu: %s", row->e.dev_eui, row->seq, law);
}

/* The rows of one device, in their order.  got[]: its sessions so far, the first accept of each. */
static void judge_device(struct verdict *v, const struct evidence *ev, const struct row *rows, size_t rows_len,
                         const struct row **got)
{
    size_t n = 0;
    bool asked_since = false, joined_last = false;

    for (const struct row *row = rows; row < rows + rows_len; row++) {
        size_t i = n;

        if (row->e.type == ENTRY_BAD) {
            broken(v, row, row->e.text);
            continue;
        }
        while (i > 0 && !same_phy(&got[i - 1]->e.ask, &row->e.ask))
            i--; /* got[i - 1] answered this very request, or i is 0 */
        if (row->e.type == ENTRY_ASK) {
            if (i)
                broken(v, row, "the simulator asked the same anew; this journal proves nothing");
            asked_since = true;
        } else if (row->e.type == ENTRY_NO) {
            if (!i)
                broken(v, row, "a good request was refused");
            else if (i == n && !asked_since)
                broken(v, row, "an answered join was forgotten: the same request again was refused");
        } else if (i) { /* a repeat */
            v->accepts++;
            if (!same_got(&got[i - 1]->e.got, &row->e.got))
                broken(v, row, "two sessions for one request: an answered join was forgotten");
            else if (i != n)
                broken(v, row, "an old request was answered again");
        } else {
            v->accepts++;
            for (size_t j = 0; j < n; j++) {
                const struct ask *a = &got[j]->e.ask;

                if (got[j]->e.got.join_nonce == row->e.got.join_nonce)
                    broken(v, row, "a JoinNonce was used twice");
                if (a->kind == row->e.ask.kind && a->nonce == row->e.ask.nonce &&
                    (a->kind == LJS_FRAME_JOIN || a->kind == LJS_FRAME_REJOIN1))
                    broken(v, row, "a nonce of the device was accepted twice");
            }
            if (n && got[n - 1]->e.got.join_nonce > row->e.got.join_nonce)
                broken(v, row, "JoinNonce went down: an answered join was forgotten");
            got[n++] = row;
            asked_since = false;
            joined_last = joined_last || row->seq > ev->last_run;
        }
    }
    v->sessions += n;
    if (ev->finished && !joined_last && rows->e.dev_eui - ev->first < ev->devices)
        broken(v, rows + rows_len - 1, "the device could not join again in the last run");
}

static void judge_session_ids(struct verdict *v, const struct row **got, size_t n)
{
    qsort(got, n, sizeof *got, by_session);
    for (size_t i = 1; i < n; i++)
        if (!by_session(&got[i - 1], &got[i]) &&
            (got[i - 1]->e.dev_eui != got[i]->e.dev_eui || !same_phy(&got[i - 1]->e.ask, &got[i]->e.ask)))
            broken(v, got[i], "two sessions have the same SessionKeyID");
}

int journal_judge(const char *path, bool json)
{
    struct evidence ev = { 0 };
    struct verdict v = { 0 };
    const struct row **got = NULL;
    FILE *file = fopen(path, "re");
    off_t whole;
    size_t n = 0;
    uint32_t seen = 0;
    int code;

    if (!file) {
        complain("%s: %s", path, strerror(errno));
        return FAILED;
    }
    code = read_rows(path, file, gather, &ev, &whole);
    fclose(file);
    if (code == DONE && (ev.nomem || !(got = calloc(ev.len + 1, sizeof *got))))
        code = complain_err(LJS_E_NOMEM, path);
    if (code == DONE && !ev.last_run) {
        complain("%s: an empty journal proves nothing", path);
        code = FAILED;
    }
    if (code)
        goto out;

    if (ev.len)
        qsort(ev.rows, ev.len, sizeof *ev.rows, by_device);
    for (size_t from = 0, to; from < ev.len; from = to) {
        for (to = from + 1; to < ev.len && ev.rows[to].e.dev_eui == ev.rows[from].e.dev_eui;)
            to++;
        judge_device(&v, &ev, ev.rows + from, to - from, got);
        v.devices++;
        seen += ev.rows[from].e.dev_eui - ev.first < ev.devices;
    }
    for (size_t i = 0; i < ev.len; i++)
        if (ev.rows[i].e.type == ENTRY_GOT)
            got[n++] = &ev.rows[i];
    judge_session_ids(&v, got, n);
    if (ev.finished && seen < ev.devices) {
        complain("%u of the devices never asked", ev.devices - seen);
        v.broken++;
    }

    if (json)
        printf("{\"accepts\":%lu,\"sessions\":%lu,\"devices\":%lu,\"broken\":%lu,\"finished\":%s}\n", v.accepts,
               v.sessions, v.devices, v.broken, ev.finished ? "true" : "false");
    else
        printf("%lu accepts, %lu sessions, %lu devices: %s%s\n", v.accepts, v.sessions, v.devices,
               v.broken ? "laws broken" : "no nonce used twice, no join forgotten",
               ev.finished ? ", each device joined in the last run" : "; the last run is not finished");
    code = v.broken ? REFUSED : DONE;
out:
    free(got);
    free(ev.rows);
    return code;
}
