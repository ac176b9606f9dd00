/* marking.c -- whether a database is the one that its marker knows, and what is done when it is not. */
#include "marking.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char put_back[] = "it was put back by other means than `lorajs restore`, and would give JoinNonces twice";

const char *marking_text(ljs_marker_verdict verdict)
{
    static const char *const texts[] = {
        [LJS_MARKER_LOST] = "the marker that the database goes with is not there",
        [LJS_MARKER_BROKEN] = "the marker is damaged, or of another master key",
        [LJS_MARKER_OTHER] = "the marker is that of another database",
        [LJS_MARKER_BEFORE] = "the database is of an earlier generation than its marker",
        [LJS_MARKER_BEHIND] = "the database has fewer changes than its marker saw",
    };

    return (unsigned)verdict < sizeof texts / sizeof *texts ? texts[verdict] : NULL;
}

/* A generation above all that is known of, by more than may have been given since. */
static ljs_err begin_generation(struct data *data, const ljs_standing *is, const ljs_marker *marker, bool marked)
{
    const ljs_backup as_backup = { .standing = *is, .at = now_seconds() };
    ljs_standing next;
    ljs_err err = ljs_backup_plan(&next, &as_backup, marker, NULL, 0, as_backup.at);

    if (!err)
        err = ljs_standing_raise(data->vault, data->store, next.generation, next.count, marked);
    if (!err)
        complain(
            "warning: started by force: a new generation begins, and each device's next JoinNonce rises by %" PRIu32,
            next.generation - is->generation);
    return err;
}

/* What is no marker of this database makes way for one. */
static int put_aside(const char *path, ljs_marker_verdict verdict)
{
    char aside[4200];

    if (verdict != LJS_MARKER_BROKEN && verdict != LJS_MARKER_OTHER)
        return DONE;
    if ((unsigned)snprintf(aside, sizeof aside, "%s.refused", path) < sizeof aside && !rename(path, aside)) {
        complain("%s: put aside as %s", path, aside);
        return DONE;
    }
    complain("%s: it cannot be put aside: %s", path, strerror(errno));
    return FAILED;
}

static int refuse(const char *what, const char *why)
{
    complain("%s: %s; put back the newest database there is, or its marker, or run `lorajs restore`; "
             "--force-regression starts all the same, with a new generation",
             what, why);
    return REFUSED;
}

static int overrule(struct data *data, const struct marking *marking, const ljs_standing *is, const ljs_marker *marker)
{
    ljs_err err = begin_generation(data, is, marker, false);

    if (err)
        return complain_err(err, "--force-regression");
    return marking->path ? put_aside(marking->path, marker->verdict) : DONE;
}

static int check(struct data *data, struct marking *marking)
{
    static const char none[] = "the database goes with a marker, and none is configured (marker = \"PATH\")";
    char text[256];
    ljs_standing is;
    ljs_marker marker = { .verdict = LJS_MARKER_GOOD };
    ljs_err err = ljs_standing_read(&is, data->vault, data->store);
    const char *why = NULL;

    if (err == LJS_E_NOTFOUND) /* a new one, which is yet to be claimed */
        return DONE;
    if (!err && marking->path)
        err = ljs_marker_look(&marker, data->vault, data->store, marking->path);
    if (err)
        return complain_err(err, marking->path ? marking->path : "the database");
    if (marking->path)
        why = marking_text(marker.verdict);
    else if (is.marked)
        why = none;
    if (!why)
        return DONE;
    if (marking->force) {
        marking->forced = true;
        return overrule(data, marking, &is, &marker);
    }
    snprintf(text, sizeof text, "%s", why);
    if (marker.verdict == LJS_MARKER_BEFORE)
        snprintf(text, sizeof text, "%s (%" PRIu32 " and %" PRIu32 "): %s", why, is.generation, marker.generation,
                 put_back);
    else if (marker.verdict == LJS_MARKER_BEHIND)
        snprintf(text, sizeof text, "%s (%" PRIu64 " and %" PRIu64 "): %s", why, is.count, marker.at, put_back);
    return refuse(marking->path ? marking->path : "marker", text);
}

int marking_use(struct data *out, struct marking *marking)
{
    ljs_store *inner = out->store;
    int code = check(out, marking);
    ljs_err err;

    if (code || !marking->path)
        return code;
    err = ljs_store_marked(&out->store, inner, out->vault, marking->path, (unsigned)marking->every);
    if (err == LJS_E_STATE) /* a new database, and a marker that was there before it */
        code = refuse(marking->path, marking_text(LJS_MARKER_OTHER));
    else if (err == LJS_E_STORE)
        code = (complain("%s cannot be written, or the database not", marking->path), FAILED);
    else if (err)
        code = complain_err(err, marking->path);
    if (err) {
        out->store = inner;
        return code;
    }
    marking->inner = inner;
    return DONE;
}

int marking_note(struct data *data, const struct marking *marking)
{
    ljs_err err = LJS_OK;

    if (marking->forced)
        err = ljs_server_note(data->server, LJS_AUDIT_FORCED, 0, LJS_OK, "serve --force-regression");
    return err ? complain_err(err, "audit log") : DONE;
}
