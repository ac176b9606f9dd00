/* tool.h -- what the commands of the program share: how a command is declared, how it
 * speaks, and the data directory. */
#ifndef LORAJS_TOOL_H
#define LORAJS_TOOL_H

#include <lorajs/lorajs.h>

#include <stdbool.h>

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
};

command_fn cmd_serve;                          /* serve.c */
command_fn cmd_inspect;                        /* inspect.c */
command_fn cmd_simulate;                       /* simulate.c */
command_fn cmd_why;                            /* why.c */
extern const struct command device_commands[]; /* device.c */
extern const struct command kek_commands[];    /* kek.c */
extern const struct command key_commands[];    /* kek.c */

/* "lorajs: ..." on standard error, with a newline. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* complain about `what`, with the error's text and its remedy; the exit code that goes with it. */
int complain_err(ljs_err err, const char *what);

/* The data directory: DIR/lorajs.db and DIR/master.key (32 octets as 64 hex digits and a
 * newline, mode 0600). */
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
int data_open(struct data *out, const char *dir, enum data_mode mode, const ljs_server_opts *opts);
void data_close(struct data *data);

/* A whole file, or standard input for "-", at most `most` octets; ljs_buf_free() wipes it. */
int read_all(ljs_buf *out, const char *path, size_t most);
/* A key of 16, 24 or 32 octets in hex on one line.  Never from argv. */
int read_key(ljs_key **out, const char *path);

/* Seconds since 1970; milliseconds that only grow. */
int64_t now_seconds(void);
int64_t now_ms(void);

#endif
