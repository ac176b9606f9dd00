/* end_device_state.h -- what a device remembers, decoded. */
#ifndef LJS_SESSION_END_DEVICE_STATE_H
#define LJS_SESSION_END_DEVICE_STATE_H

#include <lorajs/end_device.h>

/* Every member: its number in the map, which never changes meaning; its name; its range.
 * Times are in ms; -1 stands for "none". */
enum {
    ED_SCHEMA = 3,
    ED_MEMBERS_1 = 51, /* schema 1 ends there, and is read: what it lacks is 0 */
    ED_MEMBERS_2 = 55, /* schema 2 likewise, and written as long as there was no rekey: all that it lacks is 0 */
    ED_SENT_MAX = 15,  /* NbTrans is no greater */
};
#define ED_TIME_MAX (INT64_C(1) << 60)
#define ED_COUNTERS (INT64_C(1) << 32)
/* clang-format off */
#define ED_MEMBERS(X) \
    /* the options */ \
    X( 1, join_eui,          INT64_MIN, INT64_MAX) /* the 64 bits as they are */ \
    X( 2, dev_eui,           INT64_MIN, INT64_MAX) \
    X( 3, mac,               0x0100, 0x0110) \
    X( 4, airtime,           1, 4000) \
    X( 5, adr_ack_limit,     1, 0xffff) \
    X( 6, link_limit,        0, 0xffff) \
    X( 7, fcnt_reserve,      1, 0xffff) \
    X( 8, adr,               0, 1) \
    X( 9, join_nonce_rising, 0, 1) \
    X(10, no_clock,          0, 1) \
    X(11, order,             0, 1) \
    X(12, rejoin1_period,    0, 0xffffffff) \
    X(13, first_dev_nonce,   0, 0xffff) \
    X(14, first_rj_count1,   0, 0xffff) \
    /* activation */ \
    X(15, state,             LJS_ED_IDLE, LJS_ED_JOINED) \
    X(16, dev_nonce,         0, 0x10000) /* the next, as are the next two */ \
    X(17, rj_count0,         0, 0x10000) \
    X(18, rj_count1,         0, 0x10000) \
    X(19, join_nonce,        -1, 0xffffff) /* the last accepted */ \
    X(20, waiting,           0, 1) \
    X(21, kind,              0, 0xff) /* of the request that waits */ \
    X(22, nonce,             0, 0xffff) \
    X(23, t0,                -1, ED_TIME_MAX) /* power-up: the join budget counts from here */ \
    X(24, join_at,           0, 2 * ED_TIME_MAX) /* no join-request before */ \
    /* the session */ \
    X(25, scheme,            0, LJS_SCHEME_1_1) \
    X(26, bank,              0, 1) \
    X(27, session_kind,      0, 0xff) \
    X(28, session_nonce,     0, 0xffff) \
    X(29, net_id,            0, 0xffffff) \
    X(30, dev_addr,          0, 0xffffffff) \
    X(31, fcnt_up,           0, ED_COUNTERS) /* the next */ \
    X(32, fcnt_durable,      0, ED_COUNTERS) /* those below may have been sent */ \
    X(33, n_fcnt_down,       -1, ED_COUNTERS - 1) /* the last; the only one under 1.0 */ \
    X(34, a_fcnt_down,       -1, ED_COUNTERS - 1) \
    X(35, silent,            0, 0xffffffff) /* uplinks since the last downlink */ \
    X(36, confirmed_up,      0, 0xffff) /* FCntUp of the last confirmed uplink */ \
    X(37, ack_wanted,        0, 1) /* and it waits for its ACK */ \
    X(38, ack_down,          -1, 0xffff) /* FCntDown of the confirmed downlink that the next uplink answers */ \
    /* rejoining */ \
    X(39, params_due,        0, 1) /* RejoinParamSetupAns */ \
    X(40, has_params,        0, 1) \
    X(41, max_time_n,        0, 15) \
    X(42, max_count_n,       0, 15) \
    X(43, since_rejoin0,     0, 0xffffffff) /* uplinks */ \
    X(44, rejoin0_at,        -1, 2 * ED_TIME_MAX) \
    X(45, rejoin0_from,      0, 2 * ED_TIME_MAX) /* but not before: duty cycle */ \
    X(46, rejoin1_at,        -1, 2 * ED_TIME_MAX) \
    X(47, force_left,        0, 8) \
    X(48, force_type,        0, 2) \
    X(49, force_period,      0, 7) \
    X(50, force_dr,          0, 15) \
    X(51, force_at,          0, 2 * ED_TIME_MAX) \
    /* the last data frame */ \
    X(52, sent_times,        0, ED_SENT_MAX) /* 0: it is not to be sent again, and the next two are 0 */ \
    X(53, sent_print,        INT64_MIN, INT64_MAX) /* of all but its MIC */ \
    X(54, sent_conf,         0, 0xffff) /* ConfFCnt under its MIC */ \
    /* this state */ \
    X(55, made_at,           0, ED_TIME_MAX) \
    /* rekey_device.h: sets of root keys, a bit for the place of each */ \
    X(56, roots,             0, 15) /* in use */ \
    X(57, roots_old,         0, 15) /* settled */ \
    X(58, roots_new,         0, 15) /* the same where there is no other */ \
    X(59, rk_phase,          0, 3) /* ljs_ed_rekey_phase */ \
    X(60, rk_epoch,          0, 0xffff) /* of those that are settled */ \
    X(61, rk_new_epoch,      0, 0xffff) \
    X(62, rk_floor,          0, 0xffff) /* no epoch up to this one is taken */ \
    X(63, rk_ctl,            0, 0xff) /* suite and flags of the new */ \
    X(64, rk_tries,          0, 7) /* join-requests since a join-accept */ \
    X(65, rk_join_eui,       INT64_MIN, INT64_MAX) /* of the set that is not in use, where it is another */ \
    X(66, rk_dev_nonce,      0, 0x10000) /* likewise */ \
    X(67, rk_bad,            0, 15) /* MICs in a row */ \
    X(68, rk_deaf_until,     0, 2 * ED_TIME_MAX) \
    X(69, rk_wipe,           0, 15) /* places that are overwritten once this state is durable */ \
    X(70, rk_kcv_old,        0, 0xffffff) \
    X(71, rk_kcv_new,        0, 0xffffff) \
    X(72, rk_mac0,           INT64_MIN, INT64_MAX) /* of DeriveKey */ \
    X(73, rk_mac1,           INT64_MIN, INT64_MAX) \
    X(74, rk_mac2,           INT64_MIN, INT64_MAX) \
    X(75, rk_mac3,           INT64_MIN, INT64_MAX) \
    X(76, rk_session_gone,   0, 1) /* the session stands on keys that are no more */
/* clang-format on */

struct ed {
#define ED_MEMBER(number, name, least, most) int64_t name;
    ED_MEMBERS(ED_MEMBER)
#undef ED_MEMBER
};

/* LJS_E_SEAL for octets that are none, LJS_E_VERSION. */
ljs_err ljs__ed_decode(struct ed *out, const uint8_t *state, size_t state_len);
ljs_err ljs__ed_encode(ljs_buf *out, const struct ed *ed);

/* Of the join budget: 0 in the first hour, 1 in the ten after, 2 from then on. */
unsigned ljs__ed_period(const struct ed *ed, int64_t now);
/* When there is something to do next; -1: never. */
int64_t ljs__ed_wake_at(const struct ed *ed, int64_t now);

#endif
