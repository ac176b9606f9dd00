/* doctor.c -- `lorajs doctor`: what of a machine, a data directory and a configuration would
 * keep a Join Server from working, or its keys from being secret; a line for each finding. */
#include "doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct doctor_opts, member)
static const struct flag flags[] = {
    WHERE_FLAGS(struct doctor_opts),
    { "config", "FILE", "look at this configuration of serve, too, and where it says the data are", FLAG_TEXT,
      AT(config), 0, 0 },
    { "strict", NULL, "take a warning for an error", FLAG_SWITCH, AT(strict), 0, 0 },
    { "json", NULL, "JSON, an object a line: each finding, then the sum", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage doctor_usage = {
    "doctor",
    "",
    "Looks at what a Join Server depends on, and changes nothing: this machine (locked memory, core dumps, swap, "
    "clock), the data directory (modes, owners, disk), its master key, each record of its database, and a "
    "configuration. Each finding is a line: ok, warning or error, what was seen, and what to do about it.\n"
    "Run it as the user that serves, as the unit file shows for other commands. The exit code is 0 without an error, "
    "3 with one, and with --strict also 3 with a warning.",
    flags,
    0,
    0,
};

/* ---- what is found ------------------------------------------------------------- */

void tell(struct visit *v, enum verdict verdict, const char *remedy, const char *format, ...)
{
    static const char *const names[VERDICTS] = { "ok", "warning", "error" };
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->found[verdict]++;
    if (v->opts->json) {
        printf("{\"check\":\"%s\",\"verdict\":\"%s\",\"text\":", v->check, names[verdict]);
        print_json_text(stdout, text);
        printf(",\"remedy\":");
        print_json_text(stdout, verdict == OK ? NULL : remedy);
        puts("}");
    } else {
        printf("%-7s  %-14s  %s%s%s\n", names[verdict], v->check, text, verdict == OK || !remedy ? "" : "; ",
               verdict == OK || !remedy ? "" : remedy);
    }
}

void tell_caught(struct visit *v, char *said, const char *remedy)
{
    complain_into(NULL, 0);
    tell(v, ERROR, remedy, "%s", *said ? said : "it cannot be used");
}

/* ---- the visit ----------------------------------------------------------------- */

/* Before everything else: it says where the data are. */
static void read_config(struct visit *v)
{
    char command[] = "serve", flag[] = "--config", *argv[] = { command, flag, NULL, NULL }, said[1024];

    v->where = v->opts->where;
    if (!v->opts->config || !(argv[2] = strdup(v->opts->config)))
        return;
    v->check = "configuration";
    complain_into(said, sizeof said);
    v->has_config = config_load(&v->config, 3, argv) == GO_ON;
    free(argv[2]);
    if (!v->has_config) {
        tell_caught(v, said, "mend it; a daemon would not start with it");
        return;
    }
    complain_into(NULL, 0);
    v->where.data = v->where.data ? v->where.data : v->config.where.data;
    v->where.master_key = v->where.master_key ? v->where.master_key : v->config.where.master_key;
}

int cmd_doctor(int argc, char **argv)
{
    static const struct {
        const char *check;
        void (*look)(struct visit *v);
    } looks[] = {
        { "memory", look_memory }, { "core dumps", look_dumps }, { "swap", look_swap },
        { "clock", look_clock },   { "directory", look_data },   { "configuration", look_config },
    };
    struct doctor_opts opts = { 0 };
    struct visit v = { .opts = &opts };
    int code = read_flags(&doctor_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    read_config(&v);
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        v.check = looks[i].check;
        looks[i].look(&v);
    }
    printf(opts.json ? "{\"ok\":%u,\"warnings\":%u,\"errors\":%u}\n" : "%u ok, %u warnings, %u errors\n", v.found[OK],
           v.found[WARNING], v.found[ERROR]);
    data_close(&v.data);
    free(v.keks);
    free(v.lots);
    if (v.has_config)
        config_free(&v.config);
    return v.found[ERROR] || (opts.strict && v.found[WARNING]) ? REFUSED : DONE;
}
