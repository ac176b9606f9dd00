/* master.h -- where the master key of a data directory comes from.
 *
 * Whoever keeps the key, one file of the directory stands for it, comes into being together
 * with the database and never without it:
 *   master.key     is the key itself, 32 octets as 64 hex digits and a newline, mode 0600;
 *   master.sealed  is the key under a passphrase, in hexadecimal and a newline;
 *   master.mark    is a mark of a key that is kept elsewhere, 32 hex digits and a newline. */
#ifndef LORAJS_TOOLS_MASTER_H
#define LORAJS_TOOLS_MASTER_H

#include "tool.h"

enum keeper { KEPT_HERE, KEPT_SEALED, KEPT_ELSEWHERE, KEEPERS };

/* The file that stands for it, its name before it counts, and that of the next master key's (rewrap.c). */
struct stand_in {
    const char *name, *fresh, *next;
};
extern const struct stand_in stand_in[KEEPERS];

/* What --master-key says; points into its text. */
struct source {
    enum keeper kept;
    enum {
        FROM_HERE,
        FROM_FILE,
        FROM_CREDENTIAL,
        FROM_FD,
        FROM_TERMINAL,
        FROM_TOKEN
    } from;           /* the key, or the passphrase */
    const char *name; /* of the file or credential; the URI of the token */
    int fd;
};

/* Complains itself.  GO_ON, or USAGE. */
int source_read(struct source *out, const char *text);

/* What the source gives, without one newline at its end; and what is typed at the terminal. */
int source_secret(ljs_buf *out, const struct source *source, const char *what, size_t most);
int source_ask(ljs_buf *out, const char *prompt);

struct place {
    const char *dir;
    int fd; /* of the directory, locked */
};

/* What a passphrase costs who guesses. */
struct stretch {
    int64_t memory, passes; /* MiB; 0: as the library thinks best */
};

/* A key that is new, or, where it is kept elsewhere, the one that is there; and its stand-in,
 * durable under its `fresh` name.  `key` is not NULL when it is this one that changes its keeper. */
int master_begin(ljs_key **out, const struct place *place, const struct source *source, const struct stretch *stretch,
                 const ljs_key *key);
/* The key that the stand-in of this name is for. */
int master_take(ljs_key **out, const struct place *place, const struct source *source, const char *name);

/* Is the key that is there, by this source, the one that it should be? */
int master_check_same(const ljs_key *there, const ljs_key *key, const struct source *source);
/* The key that is kept elsewhere, whatever a stand-in says. */
int master_look(ljs_key **out, const struct source *source);
/* The mark of a vault that is kept elsewhere, durable under its `fresh` name; and is it that of the stand-in of this
 * name? */
int master_write_mark(const struct place *place, ljs_vault *vault);
int master_check_mark(ljs_vault *vault, const struct place *place, const struct source *source, const char *name);

/* data.c.  Which source the directory has: the one that was asked for, or, with `asked` NULL, the one
 * whose stand-in is there.  Sets *fresh when the stand-in still has its `fresh` name. */
int place_open(struct place *out, const char *dir, enum data_mode mode);
void place_close(struct place *place);
int place_settle(struct source *out, bool *fresh, bool *begun, const struct place *place, const char *asked,
                 enum data_mode mode);
/* The database under this key; or, with `key` NULL, in the vault that is there already. */
int place_use(struct data *out, const struct place *place, const struct source *source, const ljs_key *key,
              const ljs_server_opts *opts);
/* The vault of a database that is to be put back: its stand-in is there, or, where the key is kept elsewhere,
 * is made.  Sets *fresh as place_settle() does. */
int place_vault(ljs_vault **out, struct source *source, bool *fresh, const struct place *place, const char *asked);
/* The stand-in gets its name. */
int place_name(const struct place *place, const struct stand_in *file);

#endif
