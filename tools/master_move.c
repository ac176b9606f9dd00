/* master_move.c -- `lorajs master move`: the same key, another keeper. */
#include "master.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct move_opts {
    struct where where;
    const char *to;
    struct stretch stretch;
    bool dry_run, json;
};

#define AT(member) offsetof(struct move_opts, member)
static const struct flag move_flags[] = {
    WHERE_FLAGS(struct move_opts),
    { "to", "SOURCE", "who is to keep it, in the words of --master-key; needed", FLAG_TEXT, AT(to), 0, 0 },
    { "stretch-memory", "MIB", "memory that one guess at the passphrase costs (default 256)", FLAG_NUMBER,
      AT(stretch.memory), LJS_STRETCH_MEMORY_MIN / 1024, LJS_STRETCH_MEMORY_MAX / 1024 },
    { "stretch-passes", "N", "passes over that memory (default 3)", FLAG_NUMBER, AT(stretch.passes), 1,
      LJS_STRETCH_PASSES_MAX },
    { "dry-run", NULL, "look whether it could be moved and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

static const struct usage move_usage = {
    "master move",
    "",
    "Gives the master key of a data directory another keeper, or a new passphrase. The key itself stays what it is, "
    "and so does every record.\n"
    "To a file elsewhere or a credential nothing is written: a copy of the key must be there already, and is compared. "
    "What kept the key before is removed from the data directory once the new keeper has it; a disk may still hold "
    "its octets. The daemon may be running; give it the new --master-key for its next start.",
    move_flags,
    0,
    0,
};

/* What move would remove must not be what the new source names. */
static bool is_only_copy(const struct place *place, const char *name, const struct source *to)
{
    struct stat here, there;

    return to->kept == KEPT_ELSEWHERE && to->from == FROM_FILE && !stat(to->name, &there) &&
           !fstatat(place->fd, name, &here, AT_SYMLINK_NOFOLLOW) && here.st_dev == there.st_dev &&
           here.st_ino == there.st_ino && here.st_nlink == 1;
}

/* Where a copy must be already, is it there?  What a new passphrase will be nobody is asked for nothing. */
static int look_at_keeper(const struct source *to, const ljs_key *key)
{
    ljs_key *there = NULL;
    int code = to->kept == KEPT_ELSEWHERE ? master_look(&there, to) : DONE;

    if (!code && there)
        code = master_check_same(there, key, to);
    ljs_key_free(there);
    return code;
}

static int move(const struct place *place, const struct move_opts *opts, const struct source *to)
{
    struct source was;
    const char *name;
    struct data data = { NULL, NULL, NULL };
    ljs_key *key = NULL, *moved = NULL, *again = NULL;
    bool fresh = false, begun = false;
    int code = place_settle(&was, &fresh, &begun, place, opts->where.master_key, DATA_OPEN);

    if (code != GO_ON)
        return code;
    for (unsigned k = 0; k < KEEPERS; k++)
        if (!faccessat(place->fd, stand_in[k].next, F_OK, 0)) {
            complain("master move: a change of the master key is under way; finish it first, with `lorajs rewrap`");
            return REFUSED;
        }
    if (was.kept == to->kept && to->kept != KEPT_SEALED) {
        complain("master move: that is what keeps it already");
        return REFUSED;
    }
    name = fresh ? stand_in[was.kept].fresh : stand_in[was.kept].name;
    if (is_only_copy(place, name, to)) {
        complain("master move: %s is the key in the data directory itself; put a copy of it elsewhere first", to->name);
        return REFUSED;
    }
    if ((code = master_take(&key, place, &was, name)) || (code = place_use(&data, place, &was, key, NULL)))
        goto out;
    if (opts->dry_run) {
        code = look_at_keeper(to, key);
        goto tell;
    }
    if ((code = master_begin(&moved, place, to, &opts->stretch, key)))
        goto out;
    /* Read back what can be read back without asking anybody: a key under words that nobody
     * typed is never left alone. */
    if (to->kept == KEPT_HERE && ((code = master_take(&again, place, to, stand_in[to->kept].fresh)) ||
                                  (code = master_check_same(again, key, to))))
        goto out;
    if ((code = place_name(place, &stand_in[to->kept])))
        goto out;
    if (was.kept != to->kept && (unlinkat(place->fd, name, 0) || fsync(place->fd))) {
        complain("%s/%s: %s; remove it by hand", place->dir, name, strerror(errno));
        code = FAILED;
        goto out;
    }
tell:
    if (!code)
        printf(opts->json ? "{\"master_key\":\"%s\",\"result\":\"%s\"}\n" : "%s: %s\n", stand_in[to->kept].name,
               opts->dry_run ? "would be moved" : "moved");
out:
    data_close(&data);
    ljs_key_free(key);
    ljs_key_free(moved);
    ljs_key_free(again);
    return code;
}

static int cmd_move(int argc, char **argv)
{
    struct move_opts opts = { 0 };
    struct place place;
    struct source to;
    int code = read_flags(&move_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!opts.to) {
        complain("master move needs --to (see `lorajs master move --help`)");
        return USAGE;
    }
    if ((code = source_read(&to, opts.to)) != GO_ON)
        return code;
    code = place_open(&place, data_dir(opts.where.data), DATA_OPEN);
    if (!code)
        code = move(&place, &opts, &to);
    place_close(&place);
    return code;
}

const struct command master_commands[] = {
    { "move", "give it another keeper, or a new passphrase", cmd_move, NULL, &move_usage },
    { 0 },
};
