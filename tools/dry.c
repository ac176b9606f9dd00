/* dry.c -- what --dry-run works over: what is there, with what is committed beside it (overlay.h), so that each step
 * sees those before it and none is kept. */
#include "overlay.h"
#include "token.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what a command is tried over ------------------------------------------------- */

/* Is there a database, or what stands for its master key? */
static bool has_database(const char *dir)
{
    static const char *const files[] = { "lorajs.db", "master.key", "master.sealed", "master.mark" };
    char path[4200];
    bool found = false;

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        found |= !access(path, F_OK);
    }
    return found;
}

/* Could a database be begun with this master key?  A passphrase is not asked for. */
static int try_source(const char *asked)
{
    struct source source;
    ljs_key *key = NULL;
    ljs_vault *vault = NULL;
    ljs_buf words = { NULL, 0 };
    int code = asked ? source_read(&source, asked) : DONE;

    if (!asked || code != GO_ON)
        return code;
    code = DONE;
    if (source.from == FROM_TOKEN)
        code = token_open(&vault, &source);
    else if (source.kept == KEPT_ELSEWHERE)
        code = master_look(&key, &source);
    else if (source.kept == KEPT_SEALED && source.from != FROM_TERMINAL)
        code = source_secret(&words, &source, "passphrase", LJS_PASSPHRASE_MAX + 2);
    ljs_buf_free(&words);
    ljs_key_free(key);
    ljs_vault_free(vault);
    return code;
}

/* One in memory, under a key that is thrown away. */
static int open_nowhere(struct data *out, const ljs_server_opts *opts)
{
    ljs_key *key = NULL;
    ljs_err err = ljs_key_generate(&key, LJS_MASTER_LEN);

    if (!err)
        err = ljs_vault_from_key(&out->vault, key);
    if (!err)
        err = ljs_store_memory(&out->store);
    if (!err)
        err = data_serve(out, opts);
    ljs_key_free(key);
    return err ? complain_err(err, "dry run") : DONE;
}

static int open_over(struct data *out, const struct where *where, const ljs_server_opts *opts)
{
    int code = data_open(out, where, DATA_OPEN, NULL);
    ljs_err err;

    if (code)
        return code;
    if (!data_writable(data_dir(where->data))) {
        complain("%s cannot be written", data_dir(where->data));
        return FAILED;
    }
    ljs_server_free(out->server);
    out->server = NULL;
    err = overlay_store(&out->store, out->store);
    if (!err)
        err = data_serve(out, opts);
    return err ? complain_err(err, "dry run") : DONE;
}

int data_try(struct data *out, const struct where *where, enum data_mode mode, const ljs_server_opts *opts, bool dry)
{
    bool nowhere = mode == DATA_CREATE && !has_database(data_dir(where->data));
    int code;

    if (!dry)
        return data_open(out, where, mode, opts);
    *out = (struct data){ NULL, NULL, NULL };
    if (!nowhere)
        code = open_over(out, where, opts);
    else if (!(code = try_source(where->master_key)))
        code = open_nowhere(out, opts);
    if (code)
        data_close(out);
    return code;
}
