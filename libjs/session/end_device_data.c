/* end_device_data.c -- what the device side sends and hears under a session: uplinks and downlinks. */
#include "session/end_device_step.h"

#include "air/data.h"
#include "air/octets.h"
#include "base/secret.h"
#include "session/end_device_keys.h"

typedef struct end_device_step step;

/* ---- uplinks ---------------------------------------------------------------- */

/* Of a data frame, but for its MIC. */
static int64_t print_of(const uint8_t *frame, size_t frame_len)
{
    uint8_t hash[16];
    int64_t print;

    ljs__hash(hash, frame, frame_len - LJS__DATA_MIC_LEN);
    memcpy(&print, hash, sizeof print);
    return print;
}

static void put_command(struct octets *o, const ljs_mac_command *command)
{
    put_le(o, command->cid, 1);
    put_le(o, command->cid == LJS_CID_REKEY ? command->minor : command->time_ok, 1);
}

ljs_err ljs__ed_send_data(step *s)
{
    const ljs_ed_event *event = s->event;
    struct ed *ed = &s->ed;
    uint8_t mac[4 + sizeof event->mac];
    struct octets o = { mac, 0, sizeof mac };
    ljs_data data = { .direction = LJS_UP, .dev_addr = (ljs_devaddr)ed->dev_addr };
    ljs_data_of of = { .scheme = (ljs_scheme)ed->scheme, .tx_dr = event->tx_dr, .tx_ch = event->tx_ch };
    int64_t count;
    ljs_err err;

    if (ed->fcnt_up >= ED_COUNTERS)
        return LJS_E_SPENT;
    /* [L2 1.1 §5.10]  RekeyInd is in every uplink until RekeyConf is heard */
    if (ed->state == LJS_ED_REKEYING)
        put_command(&o, &(ljs_mac_command){ .cid = LJS_CID_REKEY, .minor = OWN_MINOR });
    if (ed->params_due)
        put_command(&o, &(ljs_mac_command){ .cid = LJS_CID_REJOIN_PARAM_SETUP, .time_ok = !ed->no_clock });
    put(&o, event->mac, event->mac_len);

    data.confirmed = event->confirmed;
    data.adr = (uint8_t)ed->adr;
    data.adr_ack_req = ed->adr && ed->silent >= ed->adr_ack_limit;
    data.ack = ed->ack_down >= 0;
    data.fcnt = (uint16_t)ed->fcnt_up;
    data.has_fport = event->fport != 0;
    data.fport = event->fport;
    memcpy(data.frm_payload, event->payload, event->payload_len);
    data.frm_payload_len = event->payload_len;
    if (o.len <= LJS_FOPTS_MAX) {
        memcpy(data.fopts, mac, o.len);
        data.fopts_len = (uint8_t)o.len;
    } else if (!data.has_fport && o.len <= LJS_FRM_PAYLOAD_MAX) {
        data.has_fport = 1; /* port 0 */
        memcpy(data.frm_payload, mac, o.len);
        data.frm_payload_len = o.len;
    } else {
        return LJS_E_SIZE;
    }
    if (LJS__DATA_MIN + data.fopts_len + data.has_fport + data.frm_payload_len > LJS_DATA_MAX)
        return LJS_E_SIZE;

    of.fcnt = (uint32_t)ed->fcnt_up;
    of.conf_fcnt = ed->ack_down >= 0 ? (uint16_t)ed->ack_down : 0;
    err = ljs__ed_data_crypt(s->se, ed, &data, of.fcnt);
    if (!err)
        err = ljs__data_write(s->out->frame, &s->out->frame_len, &data);
    if (!err)
        err = ljs__ed_data_mic(s->out->frame + s->out->frame_len - LJS__DATA_MIC_LEN, s->se, ed, &of, &data,
                               s->out->frame, s->out->frame_len);
    ljs__public(s->out->frame, s->out->frame_len);
    if (err)
        return err;
    s->out->sends = LJS_ED_SENDS_DATA;
    s->out->fcnt = of.fcnt;
    s->out->tx_dr = event->tx_dr;

    if (event->confirmed) {
        ed->confirmed_up = data.fcnt;
        ed->ack_wanted = 1;
    }
    ed->sent_times = 1;
    ed->sent_print = print_of(s->out->frame, s->out->frame_len);
    ed->sent_conf = of.conf_fcnt;
    ed->ack_down = -1;
    ed->params_due = 0;
    if (ed->silent < UINT32_MAX)
        ed->silent++;
    ed->fcnt_up++;
    if (ed->fcnt_up > ed->fcnt_durable) { /* a restart goes on behind the reserve */
        ed->fcnt_durable = ed->fcnt_up + (ed->state == LJS_ED_REKEYING ? 0 : ed->fcnt_reserve - 1);
        if (ed->fcnt_durable > ED_COUNTERS)
            ed->fcnt_durable = ED_COUNTERS;
        s->out->persist = 1;
    }
    /* [L2 1.1 §5.14]  rejoin 0 every 2^(MaxCountN+4) uplinks at least */
    count = INT64_C(1) << (ed->max_count_n + 4);
    if (ed->has_params && ed->since_rejoin0 < count)
        ed->since_rejoin0++;
    if (ed->has_params && ed->since_rejoin0 >= count && (ed->rejoin0_at < 0 || ed->rejoin0_at > event->now))
        ed->rejoin0_at = event->now;
    return LJS_OK;
}

bool ljs__ed_sent_last(const step *s)
{
    const ljs_ed_event *event = s->event;
    const struct ed *ed = &s->ed;

    return ed->sent_times && ed->sent_times < ED_SENT_MAX && event->frame_len >= LJS__DATA_MIN &&
           print_of(event->frame, event->frame_len) == ed->sent_print;
}

/* The same octets, but for the MIC: in 1.1 it covers data rate and channel.  Neither FCntUp nor what goes by
 * the number of uplinks counts it.  [L2 1.0.4 §4.3.1.1, §4.3.1.3] */
ljs_err ljs__ed_send_again(step *s)
{
    const ljs_ed_event *event = s->event;
    struct ed *ed = &s->ed;
    const ljs_data_of of = { .scheme = (ljs_scheme)ed->scheme,
                             .fcnt = (uint32_t)(ed->fcnt_up - 1),
                             .conf_fcnt = (uint16_t)ed->sent_conf,
                             .tx_dr = event->tx_dr,
                             .tx_ch = event->tx_ch };
    ljs_data data;
    ljs_err err = ljs_data_parse(&data, event->frame, event->frame_len);

    if (err)
        return err;
    memcpy(s->out->frame, event->frame, event->frame_len);
    s->out->frame_len = event->frame_len;
    s->out->sends = LJS_ED_SENDS_DATA;
    s->out->fcnt = of.fcnt;
    s->out->tx_dr = event->tx_dr;
    ed->sent_times++;
    return ljs__ed_data_mic(s->out->frame + s->out->frame_len - LJS__DATA_MIC_LEN, s->se, ed, &of, &data, s->out->frame,
                            s->out->frame_len);
}

/* ---- downlinks -------------------------------------------------------------- */

/* [L2 1.1 §4.3.1.5]  the 32-bit counter that goes on from the last and ends in these 16 bits */
static int64_t whole_counter(int64_t last, uint16_t low)
{
    int64_t next = last + 1, fcnt = (next & ~INT64_C(0xffff)) | low;

    return fcnt >= next ? fcnt : fcnt + 0x10000;
}

static ljs_err check_data(const step *s, int64_t fcnt)
{
    const ljs_data_of of = { .scheme = (ljs_scheme)s->ed.scheme,
                             .fcnt = (uint32_t)fcnt,
                             .conf_fcnt = (uint16_t)s->ed.confirmed_up };
    const uint8_t *in = s->event->frame;
    size_t in_len = s->event->frame_len;
    uint8_t mic[4];
    ljs_err err = fcnt < ED_COUNTERS ? LJS_OK : LJS_E_REPLAY;

    if (!err)
        err = ljs__ed_data_mic(mic, s->se, &s->ed, &of, &s->data, in, in_len);
    if (!err && !ljs__equal(mic, in + in_len - sizeof mic, sizeof mic))
        err = LJS_E_MIC;
    return err;
}

/* The commands that concern this machine; the caller sees them all.  After one of unknown length
 * nothing can be read.  [L2 1.1 §5] */
static void read_commands(step *s, const uint8_t *in, size_t in_len)
{
    ljs_mac_command command;
    size_t at = 0;

    memcpy(s->out->mac, in, in_len);
    s->out->mac_len = in_len;
    if (s->ed.scheme != LJS_SCHEME_1_1) /* 1.0 knows none of them */
        return;
    while (!ljs_mac_command_parse(&command, &at, LJS_DOWN, (ljs_octet_order)s->ed.order, in, in_len)) {
        s->commands[s->commands_len++] = command;
        /* [L2 1.1 §5.10]  valid when 0 < version <= the device's own; else it is as if it were not there */
        if (command.cid == LJS_CID_REKEY && command.minor && command.minor <= OWN_MINOR)
            s->rekey_conf = true;
    }
}

ljs_err ljs__ed_open_data(step *s)
{
    const struct ed *ed = &s->ed;
    bool own, application;
    int64_t last;
    ljs_err err = ljs_data_parse(&s->data, s->event->frame, s->event->frame_len);

    if (err)
        return err;
    if (s->data.direction != LJS_DOWN)
        return LJS_E_FRAME;
    if (s->data.dev_addr != ed->dev_addr)
        return LJS_E_SESSION;
    /* [L2 1.1 §4.3.1.5]  AFCntDown counts ports above 0, NFCntDown all else; 1.0 has one counter */
    application = s->data.has_fport && s->data.fport;
    own = ed->scheme == LJS_SCHEME_1_1 && application;
    last = own ? ed->a_fcnt_down : ed->n_fcnt_down;
    s->fcnt = whole_counter(last, s->data.fcnt);
    err = check_data(s, s->fcnt);
    if (err == LJS_E_MIC && s->fcnt >= 0x10000 && !check_data(s, s->fcnt - 0x10000))
        err = LJS_E_REPLAY; /* authentic, and old */
    if (!err)
        err = ljs__ed_data_crypt(s->se, ed, &s->data, (uint32_t)s->fcnt);
    if (err)
        return err;
    if (s->data.has_fport && !application)
        read_commands(s, s->data.frm_payload, s->data.frm_payload_len);
    else
        read_commands(s, s->data.fopts, s->data.fopts_len);
    return LJS_OK;
}

/* [L2 1.1 §5.13]  RejoinType 0 and 1 are type 0, 2 is type 2, others are RFU; a new command takes the
 * place of the one that runs; the first rejoin-request goes at once */
static void obey_force(step *s, const ljs_mac_command *command)
{
    if (command->rejoin_type > 2)
        return;
    s->ed.force_left = 1 + command->max_retries;
    s->ed.force_type = command->rejoin_type == 2 ? 2 : 0;
    s->ed.force_period = command->period;
    s->ed.force_dr = command->data_rate;
    s->ed.force_at = s->event->now;
    s->out->forced = 1;
}

static void obey_params(step *s, const ljs_mac_command *command)
{
    s->ed.has_params = s->ed.params_due = 1;
    s->ed.max_time_n = command->max_time_n;
    s->ed.max_count_n = command->max_count_n;
    ljs__ed_schedule_rejoin0(s);
}

static const struct {
    uint8_t cid;
    void (*obey)(step *s, const ljs_mac_command *command);
} commands[] = {
    { LJS_CID_FORCE_REJOIN, obey_force },
    { LJS_CID_REJOIN_PARAM_SETUP, obey_params },
};

ljs_err ljs__ed_take_data(step *s)
{
    ljs_ed_out *out = s->out;
    struct ed *ed = &s->ed;
    const ljs_data *data = &s->data;
    bool application = data->has_fport && data->fport;

    if (ed->scheme == LJS_SCHEME_1_1 && application)
        ed->a_fcnt_down = s->fcnt;
    else
        ed->n_fcnt_down = s->fcnt;
    ed->silent = 0;
    if (data->confirmed)
        ed->ack_down = data->fcnt;
    for (size_t i = 0; i < s->commands_len; i++)
        for (size_t k = 0; k < COUNT(commands); k++)
            if (commands[k].cid == s->commands[i].cid)
                commands[k].obey(s, &s->commands[i]);

    out->persist = 1; /* else it could be replayed after a crash */
    out->heard = 1;
    out->fcnt = (uint32_t)s->fcnt;
    out->confirmed = data->confirmed;
    out->acked = data->ack && ed->ack_wanted;
    if (data->ack)
        ed->ack_wanted = 0;
    /* [L2 1.0.4 §4.3.1.3]  no more of a confirmed frame once its ACK is heard, and of another once anything is */
    if (!ed->ack_wanted || ed->confirmed_up != ((ed->fcnt_up - 1) & 0xffff))
        ed->sent_times = ed->sent_print = ed->sent_conf = 0;
    out->pending = data->pending;
    out->has_fport = data->has_fport;
    out->fport = data->fport;
    if (application) {
        memcpy(out->payload, data->frm_payload, data->frm_payload_len);
        out->payload_len = data->frm_payload_len;
    }
    return LJS_OK;
}

ljs_err ljs__ed_take_rekey_conf(step *s)
{
    s->out->rekeyed = 1;
    return ljs__ed_take_data(s);
}

bool ljs__ed_rekey_conf(const step *s)
{
    return s->rekey_conf;
}
