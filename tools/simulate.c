/* simulate.c -- `lorajs simulate`: what the command line says, and which simulation it is about: a crowd over HTTP
 * (crowd.c), the whole triangle by simulated time (triangle.c), or a rekey of all (rekeyed.c). */
#include "crowd.h"
#include "rekeyed.h"
#include "tool.h"
#include "triangle.h"

#include <inttypes.h>
#include <string.h>

enum { TIMEOUT_MS = 30000, CONNECTIONS_MAX = 1024 };

struct opts {
    const char *url, *seed, *join_eui, *ns_id, *as_id, *kek_file, *ns_label, *as_label, *judge;
    const char *ca, *cert, *cert_key;
    struct texts net_ids;
    int64_t devices, connections, crash;
    bool rekey, provision;
    struct crowd_opts crowd;
    struct triangle_opts triangle;
};

#define AT(member) offsetof(struct opts, member)

static const struct flag flags[] = {
    { "url", "URL", "of the Join Server: http://127.0.0.1:8080", FLAG_TEXT, AT(url), 0, 0 },
    { "devices", "N", "how many (default 100); LoRaWAN 1.0.0 to 1.0.4 and 1.1, by turns", FLAG_NUMBER, AT(devices), 1,
      SIM_DEVICES_MAX },
    { "joins", "N", "joins of each device (default 1)", FLAG_NUMBER, AT(crowd.joins), 0, 1000000 },
    { "rejoins", "N", "rejoins of each device of 1.1 (default 1), of types 0, 1 and 2", FLAG_NUMBER, AT(crowd.rejoins),
      0, 1000000 },
    { "connections", "N", "kept alive, with one request in flight on each (default 32)", FLAG_NUMBER, AT(connections),
      1, CONNECTIONS_MAX },
    { "seed", "TEXT", "what DevEUIs, root keys and choices are drawn from (default \"lorajs\"); no secret", FLAG_TEXT,
      AT(seed), 0, 0 },
    { "provision", NULL, "print the devices, keys and all, for `lorajs device import -`, and end", FLAG_SWITCH,
      AT(provision), 0, 0 },
    { "join-eui", "EUI", "of all devices (default 0200000000000001)", FLAG_TEXT, AT(join_eui), 0, 0 },
    { "net-id", "NETID", "of the network servers they are heard by (default 000001); may be given several times",
      FLAG_LIST, AT(net_ids), 0, 0 },
    { "ns-id", "EUI", "NSID in messages of Backend Interfaces 1.1 (default 0200000000000002)", FLAG_TEXT, AT(ns_id), 0,
      0 },
    { "as-id", "TEXT", "of the application server that asks for AppSKeys now and then (default: none does)", FLAG_TEXT,
      AT(as_id), 0, 0 },
    { "kek-file", "FILE", "lines LABEL HEX: the keys that session keys come wrapped under; none may then be in clear",
      FLAG_TEXT, AT(kek_file), 0, 0 },
    { "ns-kek", "LABEL", "with --provision: the KEK for network keys", FLAG_TEXT, AT(ns_label), 0, 0 },
    { "as-kek", "LABEL", "with --provision: the KEK for AppSKeys", FLAG_TEXT, AT(as_label), 0, 0 },
    { "checks", "N", "one request in N is also forged, repeated, replayed, its AppSKey asked for (default 16; 0: none)",
      FLAG_NUMBER, AT(crowd.whims), 0, 255 },
    { "retry-for", "SECONDS", "ask again when there is no answer, as devices do (default 0: that is a failure)",
      FLAG_NUMBER, AT(crowd.retry_for), 0, 86400 },
    { "journal", "FILE", "write down each request and accept; an accept counts when it is on the disk", FLAG_TEXT,
      AT(crowd.journal), 0, 0 },
    { "resume", NULL, "go on where the journal ends, with the devices as it tells of them", FLAG_SWITCH,
      AT(crowd.resume), 0, 0 },
    { "judge", "FILE", "no simulation: tell whether what a journal tells is what a Join Server may do", FLAG_TEXT,
      AT(judge), 0, 0 },
    { "ca", "FILE", "PEM: whom to trust as the server (https)", FLAG_TEXT, AT(ca), 0, 0 },
    { "cert", "FILE", "PEM: the client's certificate", FLAG_TEXT, AT(cert), 0, 0 },
    { "cert-key", "FILE", "PEM: its key", FLAG_TEXT, AT(cert_key), 0, 0 },
    { "json", NULL, "the summary as one JSON object", FLAG_SWITCH, AT(crowd.json), 0, 0 },

    { "rekey", NULL, "replace the root keys of devices while they join, by suites 1, 2 and 4, in this process",
      FLAG_SWITCH, AT(rekey), 0, 0 },
    { "crash", "PERCENT", "with --rekey: of what either side makes durable its power fails (default 5)", FLAG_NUMBER,
      AT(crash), 0, 50 },

    { "days", "N", "the whole triangle, for so many simulated days of each device", FLAG_NUMBER, AT(triangle.days), 1,
      36500 },
    { "uplinks", "N", "with --days, as all below: of each device and day (default 16)", FLAG_NUMBER,
      AT(triangle.uplinks), 1, 720 },
    { "loss", "PERCENT", "of frames, each way (default 0)", FLAG_NUMBER, AT(triangle.loss), 0, 95 },
    { "backend-loss", "PERCENT", "of requests to the Join Server, and of its answers (default 0)", FLAG_NUMBER,
      AT(triangle.backend_loss), 0, 95 },
    { "duplicate", "PERCENT", "of frames come twice (default 0)", FLAG_NUMBER, AT(triangle.duplicate), 0, 100 },
    { "delay", "MS", "of frames, at most, by chance (default 0)", FLAG_NUMBER, AT(triangle.delay), 0, 60000 },
    { "reorder", "PERCENT", "of frames are held back, for a second or for hours (default 0)", FLAG_NUMBER,
      AT(triangle.reorder), 0, 100 },
    { "rejoin0", "N", "devices of 1.1 rejoin by type 0 every 2^(N+10) seconds (default 6: 18 hours; -1: never)",
      FLAG_NUMBER, AT(triangle.rejoin0), -1, 15 },
    { "rejoin1", "HOURS", "and by type 1 every so many (default 72; 0: never; not below 5)", FLAG_NUMBER,
      AT(triangle.rejoin1), 0, 87600 },
    { "force", "DAYS", "ForceRejoinReq of type 0 or 2 about every so many (default 5; 0: never)", FLAG_NUMBER,
      AT(triangle.force), 0, 36500 },
    { "power-loss", "DAYS", "of each device, about every so many (default 10; 0: never)", FLAG_NUMBER,
      AT(triangle.power_loss), 0, 36500 },
    { "calm", "HOURS", "without any loss before the verdict (default 24)", FLAG_NUMBER, AT(triangle.calm), 0, 8760 },
    { "only", "DEVICE", "this life alone, from 0, as it is among all others", FLAG_NUMBER, AT(triangle.only), 0,
      SIM_DEVICES_MAX - 1 },
    { "jobs", "N", "threads (default: one for each processor)", FLAG_NUMBER, AT(triangle.jobs), 1, 64 },
    { "trace", NULL, "print each message and what becomes of it", FLAG_SWITCH, AT(triangle.trace), 0, 0 },
    { "diagram", "FILE", "of one life (--only, else device 0): a sequence diagram, .svg or .mmd (Mermaid)", FLAG_TEXT,
      AT(triangle.diagram), 0, 0 },
    { 0 },
};

const struct usage simulate_usage = {
    .path = "simulate",
    .args = "",
    .text =
        "End devices of every LoRaWAN version, each with a network and an application server, join and rejoin against "
        "a Join Server. Each accept is opened as a device would, each session key derived anew and compared. At the "
        "end a summary with latencies. For tests: whoever knows the seed knows all keys.\n"
        "  lorajs simulate --devices 1000 --provision | lorajs device import - --data DIR\n"
        "  lorajs simulate --devices 1000 --url http://127.0.0.1:8080\n"
        "With --days it is the whole triangle by simulated time: devices, their network server, and a Join Server in "
        "this process or at --url; joins, rejoins, data both ways, power losses, over a channel that loses, doubles "
        "and reorders. In the end each device must share one session with its network. --provision then prints its "
        "devices.\n"
        "  lorajs simulate --days 100 --devices 1000 --loss 30\n"
        "With --rekey each device gets other root keys on its way, and has to end under them (lorajs-rekey(1)).\n"
        "  lorajs simulate --rekey --devices 1000 --loss 30 --crash 10\n"
        "  lorajs simulate --days 2 --devices 4 --only 2 --trace --diagram life.svg",
    .flags = flags,
    .least = 0,
    .most = 0,
};

static int set_up_fleet(struct fleet *fleet, const struct opts *opts)
{
    ljs_err err;

    fleet->devices = (uint32_t)opts->devices;
    fleet->as_id = opts->as_id;
    fleet->ns_label = opts->ns_label;
    fleet->as_label = opts->as_label;
    if (read_eui(&fleet->join_eui, opts->join_eui, "--join-eui") || read_eui(&fleet->ns_id, opts->ns_id, "--ns-id"))
        return USAGE;
    for (unsigned i = 0; i < opts->net_ids.n; i++)
        if (ljs_net_id_parse(&fleet->net_ids[i], opts->net_ids.at[i])) {
            complain("simulate: --net-id takes 6 hexadecimal digits");
            return USAGE;
        }
    fleet->net_ids_len = opts->net_ids.n;
    if (!fleet->net_ids_len)
        fleet->net_ids[fleet->net_ids_len++] = 0x000001;
    if ((opts->as_id && strlen(opts->as_id) >= LJS_LABEL_MAX) ||
        (opts->ns_label && strlen(opts->ns_label) >= LJS_LABEL_MAX) ||
        (opts->as_label && strlen(opts->as_label) >= LJS_LABEL_MAX)) {
        complain("simulate: labels and AS-IDs have at most %d octets", LJS_LABEL_MAX - 1);
        return USAGE;
    }
    err = fleet_seed(fleet, opts->seed);
    if (err)
        return complain_err(err, "simulate");
    return opts->kek_file ? fleet_read_keks(fleet, opts->kek_file) : DONE;
}

static struct client_opts client_of(const struct opts *opts, unsigned connections)
{
    return (struct client_opts){ opts->url, connections, TIMEOUT_MS, opts->ca, opts->cert, opts->cert_key, NULL };
}

/* ---- the triangle ----------------------------------------------------------- */

static int set_up_triangle(struct fleet *fleet, const struct opts *opts)
{
    if (opts->crowd.journal || opts->crowd.resume) {
        complain("simulate: --journal and --resume do not go with --days");
        return USAGE;
    }
    if (opts->triangle.only >= opts->devices) {
        complain("simulate: --only takes one of the --devices, from 0 to %" PRId64, opts->devices - 1);
        return USAGE;
    }
    if (opts->triangle.rejoin1 && opts->triangle.rejoin1 < 5) { /* [L2 1.1 §6.2.4.2]  below 0.01 % of the time */
        complain("simulate: --rejoin1 takes 0, or 5 hours and more");
        return USAGE;
    }
    return set_up_fleet(fleet, opts);
}

static int provision_triangle(const struct fleet *fleet)
{
    ljs_err err = triangle_provision(stdout, fleet);

    return err ? complain_err(err, "simulate") : DONE;
}

static int live(const struct fleet *fleet, const struct opts *opts)
{
    const struct triangle triangle = {
        .opts = &opts->triangle,
        .fleet = fleet,
        .seed = opts->seed,
        .client = client_of(opts, 1),
        .json = opts->crowd.json,
    };

    return triangle_run(&triangle);
}

/* ---- the command ------------------------------------------------------------ */

static int run_rekeyed(struct fleet *fleet, const struct opts *opts)
{
    const struct rekeyed_opts how = { fleet, (unsigned)opts->triangle.loss, (unsigned)opts->crash, opts->crowd.json };
    int code = set_up_fleet(fleet, opts);

    return code ? code : rekeyed_run(&how);
}

static int run_triangle(struct fleet *fleet, const struct opts *opts)
{
    int code = set_up_triangle(fleet, opts);

    return code ? code : opts->provision ? provision_triangle(fleet) : live(fleet, opts);
}

static int provision(const struct fleet *fleet)
{
    ljs_err err = LJS_OK;

    for (uint32_t i = 0; !err && i < fleet->devices; i++)
        err = simdev_provision(stdout, i, fleet);
    return err ? complain_err(err, "simulate") : DONE;
}

static int run_crowd(struct fleet *fleet, struct opts *opts)
{
    int code;

    if (!opts->url && !opts->provision) {
        complain("simulate needs --url, --provision, --days or --judge (see `lorajs simulate --help`)");
        return USAGE;
    }
    if (opts->crowd.resume && !opts->crowd.journal) {
        complain("simulate: --resume goes on with a --journal");
        return USAGE;
    }
    if ((code = set_up_fleet(fleet, opts)))
        return code;
    if (opts->provision)
        return provision(fleet);
    opts->crowd.fleet = fleet;
    opts->crowd.client = client_of(opts, (unsigned)opts->connections);
    return crowd_run(&opts->crowd);
}

int cmd_simulate(int argc, char **argv)
{
    struct opts opts = {
        .seed = "lorajs",
        .join_eui = "0200000000000001",
        .ns_id = "0200000000000002",
        .devices = 100,
        .connections = 32,
        .crash = 5,
        .crowd = { .joins = 1, .rejoins = 1, .whims = 16 },
        .triangle = { .uplinks = 16, .rejoin0 = 6, .rejoin1 = 72, .force = 5, .power_loss = 10, .calm = 24, .only = -1 }
    };
    struct fleet fleet = { .devices = 0 };
    int code = read_flags(&simulate_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (opts.judge)
        return journal_judge(opts.judge, opts.crowd.json);
    code = opts.rekey           ? run_rekeyed(&fleet, &opts)
           : opts.triangle.days ? run_triangle(&fleet, &opts)
                                : run_crowd(&fleet, &opts);
    fleet_clear(&fleet);
    return code;
}
