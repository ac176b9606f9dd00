/* world.h -- one device, the air, its network server and its Join Server, as one value: what the
 * explorer walks over.
 *
 * The four are the real ones: the steps of end_device.h, those of network.h, and a server of
 * server.h over a store whose one record is part of the value.  An event takes a node and gives the
 * next one; the laws are asked as it goes. */
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

#include <lorajs/lorajs.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AIR_MAX = 3, FRAME_OCTETS = 64, TAKEN_MAX = 40, LIVES_MAX = 40, HEARD_MAX = 4 };

/* What is explored: the versions on both sides, and what was before. */
struct scenario {
    const char *name, *says;
    ljs_mac device, network; /* the network's: MACVersion of what it asks */
    uint8_t dl_settings;     /* OptNeg is bit 7 */
    bool rejoins;            /* it comes to a session of LoRaWAN 1.1 */
    bool rising;             /* the device wants JoinNonce to rise */
    bool confirmed;          /* its uplinks want an ACK */
    unsigned used;           /* DevNonces used elsewhere before, and imported */
};

/* How much may still happen on a path. */
enum budget {
    REQUESTS, /* join- and rejoin-requests of the device */
    UPLINKS,
    STARTS,  /* the device gives up what it has and begins anew */
    WISHES,  /* the network's, for a rejoin or for its parameters */
    MISHAPS, /* losses, copies, crashes, faults of the store */
    BUDGETS
};

/* Octets that nodes share. */
struct blob {
    unsigned refs;
    bool has_digest;
    int64_t digest_at; /* of a device's state */
    uint8_t digest[16];
    size_t len;
    uint8_t data[];
};

struct frame {
    uint8_t up, len;
    uint8_t ch; /* that it was sent on: the MIC of an uplink of 1.1 covers it */
    uint8_t octets[FRAME_OCTETS];
};

/* A request that the Join Server accepted. */
struct taken {
    uint16_t nonce;
    uint8_t kind, len;
    uint8_t octets[LJS_FRAME_MAX];
};

/* What a device sent within one session. */
struct life {
    uint32_t join_nonce;
    uint16_t nonce;
    int32_t rj_count0;
    int64_t fcnt;
};

enum what {
    DO_NONE,
    DO_START,   /* the device begins, or begins anew */
    DO_TICK,    /* its time has come: `now` is its wake_at */
    DO_SEND,    /* its application speaks */
    DO_RESEND,  /* it sends what it said last once more, on another channel */
    DO_WINDOWS, /* its receive windows close */
    DO_CRASH,   /* it comes back with what was durable */
    DO_ARRIVE,  /* a frame in flight arrives */
    DO_LOSE,    /* it does not */
    DO_AGAIN,   /* the network server asks the Join Server once more, having heard no answer */
    DO_FORCE0,  /* the network server wants a rejoin 0 */
    DO_FORCE2,  /* ... 2 */
    DO_PARAMS,  /* ... a rejoin 0 from time to time */
    DO_TIMER,   /* the time of its wake_at has come */
    EVENT_KINDS
};

/* What becomes of a request at the Join Server. */
enum fate {
    ANSWERED,
    ANSWER_LOST,   /* after the commit */
    FAULT_ONCE,    /* the first commit fails, and is not applied */
    FAULT_APPLIED, /* the first commit is applied, and reported as a fault */
    FAULT_ALWAYS,  /* no commit goes through */
    FATES
};

struct event {
    uint8_t kind;
    uint8_t frame; /* which of those in flight */
    uint8_t fate;
    uint8_t kept; /* a copy stays in flight */
    uint8_t cut;  /* the device crashes once its state is durable, before the frame is sent */
};

struct node {
    struct blob *live, *durable, *network, *record;
    uint64_t version; /* of the record in its store */
    int64_t now, durable_at;
    struct frame air[AIR_MAX];
    struct frame again; /* what the network server has no answer to; len 0: nothing */
    struct frame last;  /* the data frame that the device may send again; len 0: none */
    uint8_t airs;
    uint8_t left[BUDGETS];
    /* what the laws remember */
    uint8_t takens, lives, heards;
    uint8_t answer[16]; /* of the newest session: a hash of the octets */
    uint32_t join_nonce;
    int32_t dev_nonce, rj_count1;  /* last on air */
    int32_t adopted;               /* JoinNonce that the device took last */
    uint16_t draws;                /* of a random DevNonce */
    struct frame heard[HEARD_MAX]; /* uplinks that the network server accepted, the last of them */
    struct taken taken[TAKEN_MAX];
    struct life life[LIVES_MAX];
};

/* What a device did in the steps since this was emptied. */
struct seen {
    bool joined, rejoined, rekeyed, acked, heard;
    ljs_ed_sends sends;
    uint8_t payload[4];
    size_t payload_len;
};
extern struct seen seen;

void world_begin(const struct scenario *scenario, const uint8_t left[BUDGETS]);
void world_end(void);

void node_first(struct node *out);
void node_copy(struct node *out, const struct node *in);
void node_drop(struct node *n);
/* A node as it waits: no longer than it need be; it has what the node held.  And back, once. */
void *node_pack(const struct node *n);
void node_unpack(struct node *out, void *packed);
/* Two nodes with the same digest have the same future, and the laws the same past. */
void node_digest(uint8_t out[16], const struct node *n);

/* The i-th event that the node might have: false past the last. */
bool event_nth(struct event *out, const struct node *n, unsigned i);
/* false: nothing happened, and the node is as it was. */
bool event_apply(struct node *n, const struct event *event);
/* In words, before it is applied. */
void event_text(char *out, size_t out_len, const struct node *n, const struct event *event);
/* The parties, in words. */
void node_text(char *out, size_t out_len, const struct node *n);

/* From here on nothing is lost: does all come right?  The node is used up.  The law that did not
 * hold is noted as broken. */
void node_heal(struct node *n);

/* ---- laws ------------------------------------------------------------------- */

#define LAWS(X)                                                                                                        \
    X(JOIN_NONCE, "JoinNonces begin at 1, rise, and are never given twice")                                            \
    X(FRESH, "a nonce that was accepted is never accepted again")                                                      \
    X(REPEAT, "the true repeat is answered with the very same octets, also after a restart, and changes nothing")      \
    X(OTHER_PEER, "what one peer asked is never answered to another")                                                  \
    X(OTHER_ADDR, "what was answered is not answered for another DevAddr")                                             \
    X(IMPORTED, "a DevNonce used before the import is never accepted")                                                 \
    X(FORGED, "a frame whose MIC does not verify is accepted by nobody")                                               \
    X(REFUSED, "what is refused changes nothing")                                                                      \
    X(DURABLE, "what is answered with Success is durable")                                                             \
    X(ACCEPT, "the join-accept opens under the keys that the specification names, with the fields asked for")          \
    X(ENTITLED, "the network server gets network keys and no AppSKey")                                                 \
    X(ON_AIR, "the device's counters never go back on air, through any crash")                                         \
    X(ADOPTED, "a device that wants JoinNonce to rise takes no JoinNonce twice")                                       \
    X(TWICE, "no data frame is passed up twice, as itself or under a later context, nor taken twice, after a crash")   \
    X(SAME, "what is taken again is the last frame, word for word, and nothing else under its counter")                \
    X(REKEY_FIRST, "the network server passes up nothing of a pending 1.1 context before RekeyInd")                    \
    X(LASTING, "a session that the device takes is durable before anything is done under it")                          \
    X(KEYS_KEPT, "the keys a device has after an accept are those of its state")                                       \
    X(OLD_STANDS, "the old context stays until the device is heard under the new")                                     \
    X(AGAIN, "a device that waits for ACK or RekeyConf has it once it sends its last frame again and nothing is lost") \
    X(HEALS, "when losses end, device and network come to one shared context, and data goes each way")                 \
    X(HEALS_REJOIN, "... and one rejoin of each type 0, 1, 2 is answered and adopted")                                 \
    X(HEALS_APP, "... and the application's key is the one that the Join Server has")

enum law {
#define LAW_NAME(name, says) LAW_##name,
    LAWS(LAW_NAME)
#undef LAW_NAME
        LAWS_LEN
};
struct law_count {
    const char *name, *says;
    uint64_t asked;
};
extern struct law_count laws[LAWS_LEN];
extern int broken; /* the first law that did not hold; -1 */

#endif
