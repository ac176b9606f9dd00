/* tool.h -- what the commands of the program share: how a command is declared, how it
 * speaks, and the data directory. */
#ifndef LORAJS_TOOL_H
#define LORAJS_TOOL_H

#include <lorajs/lorajs.h>

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/* Exit codes; documented in lorajs(1). */
enum {
    DONE = 0,
    FAILED = 1,  /* the machine's fault: files, store, network */
    USAGE = 2,   /* wrong words on the command line, or a wrong configuration */
    REFUSED = 3, /* understood, and not done: unknown device, weak key, bad input line */
};

/* argv[0] is the command's own name ("serve"; "import" for `device import`). */
typedef int command_fn(int argc, char **argv);

struct command {
    const char *name, *summary;
    command_fn *run;             /* or */
    const struct command *under; /* its own commands, ended by a NULL name */
    const struct usage *usage;   /* for completion; NULL where there is none */
};

/* What a command takes on its command line, as one table: parsing, --help, the shells'
 * completion and the check of the man pages all read it. */
enum flag_kind {
    FLAG_SWITCH, /* bool */
    FLAG_TEXT,   /* const char *; one of the words when `value` has a | in it */
    FLAG_NUMBER, /* int64_t, min .. max */
    FLAG_LIST,   /* struct texts: may be given several times */
};

struct texts {
    const char *at[16];
    unsigned n;
};

struct flag {
    const char *name;  /* "data" for --data; NULL ends the table */
    const char *value; /* "DIR", "FILE", "N", "join|rejoin0"; NULL for a switch */
    const char *help;
    enum flag_kind kind;
    size_t at; /* offset in the struct that read_flags() fills */
    int64_t min, max;
};

struct usage {
    const char *path; /* "device import" */
    const char *args; /* "FILE|-", "" for none */
    const char *text; /* what it does, the paragraph of --help */
    const struct flag *flags;
    unsigned least, most; /* words besides flags */
};

/* Long flags in any order and either form (--data DIR, --data=DIR), into the struct `into`,
 * which keeps its defaults for flags that are absent.  --help is answered here.
 * @return GO_ON, with *argc and *argv the words that are left; else the exit code: the
 * command is over, and what was wrong has been said */
enum { GO_ON = -1 };
int read_flags(const struct usage *usage, void *into, int *argc, char ***argv);
/* Of the command that read its flags last: "device import". */
const char *command_path(void);
void print_usage(const struct usage *usage);

/* --data DIR if given, else $LORAJS_DATA, else /var/lib/lorajs. */
const char *data_dir(const char *given);
#define DATA_HELP   "the data directory (default $LORAJS_DATA, else /var/lib/lorajs)"
#define MASTER_HELP "who keeps the master key; see lorajs-master(1) (default: whoever does so already, else file)"

/* The flags of every command that opens a data directory; a member `where` of its options. */
struct where {
    const char *data, *master_key;
    struct marking *marking; /* of who gives JoinNonces, marking.h; else NULL */
};
#define WHERE_FLAGS(opts)                                                                                              \
    { "data", "DIR", DATA_HELP, FLAG_TEXT, offsetof(opts, where.data), 0, 0 },                                         \
    {                                                                                                                  \
        "master-key", "SOURCE", MASTER_HELP, FLAG_TEXT, offsetof(opts, where.master_key), 0, 0                         \
    }

command_fn cmd_serve;                           /* serve.c */
command_fn cmd_inspect;                         /* inspect.c */
command_fn cmd_simulate;                        /* simulate.c */
command_fn cmd_why;                             /* why.c */
command_fn cmd_doctor;                          /* doctor.c */
extern const struct command device_commands[];  /* device.c */
extern const struct command kek_commands[];     /* kek.c */
extern const struct command key_commands[];     /* kek.c */
extern const struct command lot_commands[];     /* lot.c */
extern const struct command master_commands[];  /* master_move.c */
extern const struct command audit_commands[];   /* audit.c */
extern const struct command token_commands[];   /* token.c */
extern const struct command role_commands[];    /* role.c */
extern const struct command account_commands[]; /* account.c */
extern const struct command claim_commands[];   /* claim.c */
extern const struct command qr_commands[];      /* qr.c */
command_fn cmd_rewrap;                          /* rewrap.c */
command_fn cmd_backup, cmd_restore;             /* backup.c */
command_fn cmd_completion;                      /* completion.c */
extern const struct command commands[];         /* main.c: all of them */
extern const struct command rekey_commands[];   /* rekey.c */

extern const struct command manifest_commands[]; /* manifest.c */

/* claim_chip.c: a row of claim_commands; and the proof in a file, challenge and signature as words of hexadecimal
 * digits, which complains itself.  NULL: none. */
command_fn cmd_claim_challenge;
extern const struct usage claim_challenge_usage;
int read_chip(ljs_claim_req *req, const char *path);

/* parcel.c and pair.c: rows of device_commands and key_commands */
command_fn cmd_pair, cmd_export, cmd_receive;
extern const struct usage pair_usage, export_usage, receive_usage;

/* device_import.c and device_act.c: rows of device_commands */
command_fn cmd_device_import;
extern const struct usage device_import_usage;
command_fn cmd_device_block, cmd_device_unblock, cmd_device_move_back, cmd_device_reset, cmd_device_remove;
extern const struct usage device_block_usage, device_unblock_usage, device_move_back_usage, device_reset_usage,
    device_remove_usage;

/* device.c: "0102030405060708: removed", or the same as a JSON object; every word must be a DevEUI before anything is
 * done */
void device_report(bool json, ljs_eui dev_eui, const char *what);
int check_euis(int argc, char **argv);

/* device.c: of a device's record, for who lists, too; and what went wrong with one, with its remedy */
const char *device_state_text(ljs_state state);
const char *device_key_names(char out[64], unsigned keys);
ljs_err device_print_json(const ljs_buf *record);
int complain_device(ljs_err err, ljs_eui dev_eui);

/* kek.c: is it fit to be one?  Complains itself. */
int check_label(const char *label);
/* lot.c: --lot and --lot-keys, either of which may be NULL, into a device; complains itself. */
int read_lot(ljs_device *out, const char *lot, const char *keys);

command_fn cmd_device_list; /* list.c: a row of device_commands */
extern const struct usage device_list_usage;

command_fn cmd_bulk_import, cmd_bulk_export; /* import.c, export.c */
extern const struct usage bulk_import_usage, bulk_export_usage;

/* Each command's own. */
extern const struct usage rewrap_usage;
extern const struct usage inspect_usage, why_usage, doctor_usage, completion_usage;
extern const struct usage backup_usage, restore_usage;
extern const struct usage serve_usage, simulate_usage; /* config.c, simulate.c */

/* "lorajs: ..." on standard error, with a newline. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From now on the last complaint goes into `out` instead, empty for none; NULL ends that.  For
 * a command that has one thread. */
void complain_into(char *out, size_t room);
/* complain about `what`, with the error's text and its remedy; the exit code that goes with it. */
int complain_err(ljs_err err, const char *what);

/* harden.c: no core dump and no debugger for this process, in which keys may be; 0 or an errno. */
int no_dumps(void);
/* Could as much memory be locked? */
bool can_lock(size_t octets);

/* The data directory: DIR/lorajs.db, and the file that stands for the master key (master.h). */
struct data {
    ljs_vault *vault;
    ljs_store *store;
    ljs_server *server;
};

enum data_mode {
    DATA_OPEN,   /* it must be there */
    DATA_CREATE, /* what is missing is made: the directory (0700), database and master key together */
};

/* Complains itself.  A master key file that others may read, a database without its key, or
 * a key without its database (but for DATA_CREATE on neither) is an error.  DONE, or an exit code. */
int data_open(struct data *out, const struct where *where, enum data_mode mode, const ljs_server_opts *opts);
/* A server over the vault and the store that are there, in the name of whoever runs this command; NULL: as usual. */
ljs_err data_serve(struct data *data, const ljs_server_opts *opts);
void data_close(struct data *data);
/* dry.c: data_open(), unless it is to be dry: then what is there is read, every step is done as it would be and seen by
 * those after it, and what comes of it is kept in memory alone.  DATA_CREATE where nothing is: over a database in
 * memory. */
int data_try(struct data *out, const struct where *where, enum data_mode mode, const ljs_server_opts *opts, bool dry);
/* listing.c: a command that lists what the database has of one kind; `each` visits all of it, with a row that sets
 * `any`.  `none` is said when there was none, without --json; NULL for nothing. */
struct listing {
    struct where where;
    bool json;
    ljs_server *server;
    bool any;
};
#define LISTING_FLAGS(json_help)                                                                                       \
    WHERE_FLAGS(struct listing), { "json", NULL, json_help, FLAG_SWITCH, offsetof(struct listing, json), 0, 0 },       \
    {                                                                                                                  \
        0                                                                                                              \
    }
int list_all(const struct usage *usage, int argc, char **argv, ljs_err (*each)(struct listing *run), const char *none);
/* rewrap.c: the master key was changed and what we have opens the database no more: have it from its source, as it
 * is now.  DONE, or an exit code. */
int data_follow(struct data *data, const struct where *where);
/* Could the database that is there be written?  SQLite opens it either way. */
bool data_writable(const char *dir);

/* master.c: open a plain file that nobody but its owner may use; `dir_fd` AT_FDCWD for a path.  Complains
 * of `what`. */
int open_secret(int *out, int dir_fd, const char *name, const char *what);
/* A whole file, or standard input for "-", at most `most` octets; ljs_buf_free() wipes it. */
int read_all(ljs_buf *out, const char *path, size_t most);
/* The same of an open file, which it does not close; `name` is for complaints. */
int read_fd(ljs_buf *out, int fd, const char *name, size_t most);
/* One line from the terminal `fd`, with its newline and without echo. */
int read_hidden(ljs_buf *out, int fd, const char *prompt, size_t most);
/* A key of 16, 24 or 32 octets in hex on one line; "-" is standard input, without echo on a
 * terminal.  Never from argv. */
int read_key(ljs_key **out, const char *path);

/* Lines "NwkKey HEX", keys of 16 octets: each into the row of its name; "#" begins a comment. */
struct named_key {
    const char *name;
    ljs_key *key;
};
int read_named_keys(struct named_key *keys, size_t keys_len, const char *path);
void free_named_keys(struct named_key *keys, size_t keys_len);

/* hex.c: n octets of hexadecimal in either case, in constant time; true when there was something else among it. */
int hex_octets(uint8_t *out, size_t n, const char *text);
/* The same of a text; the number of octets, or -1. */
ssize_t from_hex(uint8_t *out, size_t room, const char *text, size_t len);
/* account.c: is it the name of an account?  Complains with `what` in front. */
int check_account(const char *name, const char *what);
/* 16 digits; complains with `what` in front. */
int read_eui(ljs_eui *out, const char *text, const char *what);

/* A string as JSON, with its quotes; NULL is null. */
void print_json_text(FILE *to, const char *text);
/* "2026-01-02 10:00:01Z" into out; "-" for 0. */
const char *time_text(char out[32], int64_t at);
/* --since: a day, a time or seconds since 1970; the least number for NULL.  Complains itself. */
#define SINCE_HELP "from then on: 2026-01-31, 2026-01-31T10:00:00Z, or seconds since 1970"
int read_since(int64_t *out, const char *text);
/* Which of the words is nearest to `word`, or NULL when none is near. */
const char *nearest(const char *word, const char *const *words, size_t words_len);

/* Seconds since 1970; milliseconds that only grow. */
int64_t now_seconds(void);
int64_t now_ms(void);

#endif
