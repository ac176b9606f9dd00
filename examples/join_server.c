/* A Join Server inside a program of yours, over whatever transport you have.  Here it is
 * the simplest: a Backend Interfaces message a line on standard input, its answer a line
 * on standard output.
 *
 *     join_server DEVICES [DATABASE MASTER_KEY]
 *
 * DEVICES has a JSON object a line, as `lorajs device import` takes them.  Without
 * DATABASE everything is in memory and ends with the program; with it, records are in
 * that SQLite file and their keys sealed under the 32 octets of the file MASTER_KEY. */
#include <lorajs/lorajs.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int fail(const char *what, ljs_err err)
{
    fprintf(stderr, "%s: %s; %s\n", what, ljs_strerror(err), ljs_remedy(err));
    return EXIT_FAILURE;
}

static ljs_err open_vault(ljs_vault **out, const char *path)
{
    ljs_key *random = NULL;
    ljs_buf key = { NULL, 0 };
    uint8_t octets[33];
    size_t octets_len = 0;
    FILE *file;
    ljs_err err;

    *out = NULL;
    if (path) {
        if ((file = fopen(path, "rb"))) {
            octets_len = fread(octets, 1, sizeof octets, file);
            fclose(file);
        }
        err = ljs_vault_new(out, octets, octets_len); /* refuses any other length than 32 */
        explicit_bzero(octets, sizeof octets);
        return err;
    }
    if (!(err = ljs_key_generate(&random, 32)) && !(err = ljs_key_export(&key, random)))
        err = ljs_vault_new(out, key.data, key.len);
    ljs_buf_free(&key);
    ljs_key_free(random);
    return err;
}

static ljs_err import_line(ljs_server *server, const char *line, size_t len)
{
    ljs_import device;
    ljs_err err = ljs_import_parse(&device, (const uint8_t *)line, len);

    if (err) {
        fprintf(stderr, "%s\n", device.fault);
        return err;
    }
    err = ljs_server_make_device(server, &device.device,
                                 &(ljs_root_keys){ device.nwk, device.app, device.gen_app, device.rekey }, 0,
                                 device.dev_nonce, device.dev_nonces.data, device.dev_nonces.len);
    for (unsigned i = 1; !err && i < device.device.join_euis; i++)
        err = ljs_server_add_join_eui(server, device.device.dev_eui, device.join_eui[i]);
    ljs_import_clear(&device);
    return err;
}

static ljs_err import_devices(ljs_server *server, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    ljs_err err = file ? LJS_OK : LJS_E_NOTFOUND;

    while (!err && (len = getline(&line, &room, file)) > 0)
        err = import_line(server, line, (size_t)len);
    if (line)
        explicit_bzero(line, room); /* root keys stood in it */
    free(line);
    if (file)
        fclose(file);
    return err;
}

/* The loop: a message, its answer. */
static ljs_err answer_all(ljs_server *server)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    ljs_err err = LJS_OK;

    while (!err && (len = getline(&line, &room, stdin)) > 0) {
        ljs_buf answer = { NULL, 0 };

        err = ljs_server_handle(&answer, server, "stdin", (int64_t)time(NULL), (const uint8_t *)line, (size_t)len);
        if (err == LJS_E_MESSAGE) /* no message at all: the answer says so */
            err = LJS_OK;
        if (!err) {
            fwrite(answer.data, 1, answer.len, stdout);
            putchar('\n');
            fflush(stdout);
        }
        ljs_buf_free(&answer);
    }
    free(line);
    return err;
}

/* Who may ask: one peer, "stdin", the network server of NetID 000013.  It gets keys in
 * clear, since it is at the other end of our pipe. */
static ljs_err admit(ljs_server *server)
{
    ljs_peers *peers = NULL;
    ljs_err err = ljs_peers_new(&peers);

    if (!err)
        err = ljs_peers_add(peers, "stdin", LJS_CLEAR_NS | LJS_CLEAR_AS);
    if (!err)
        err = ljs_peers_add_net_id(peers, "stdin", 0x000013);
    if (!err)
        err = ljs_server_set_peers(server, peers);
    ljs_peers_free(peers);
    return err;
}

int main(int argc, char **argv)
{
    ljs_vault *vault = NULL;
    ljs_store *store = NULL;
    ljs_server *server = NULL;
    int code = EXIT_SUCCESS;
    ljs_err err;

    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: join_server DEVICES [DATABASE MASTER_KEY]\n");
        return 2;
    }
    if ((err = open_vault(&vault, argc > 3 ? argv[3] : NULL)))
        code = fail("master key", err);
    else if ((err = argc > 2 ? ljs_store_sqlite(&store, argv[2]) : ljs_store_memory(&store)))
        code = fail("store", err);
    else if ((err = ljs_server_new(&server, vault, store, NULL)) || (err = admit(server)))
        code = fail("server", err);
    else if ((err = import_devices(server, argv[1])))
        code = fail(argv[1], err);
    else if ((err = answer_all(server)))
        code = fail("answering", err);
    ljs_server_free(server);
    ljs_store_free(store);
    ljs_vault_free(vault);
    return code;
}
