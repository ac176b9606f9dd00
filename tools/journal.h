/* journal.h -- what a simulation saw, as lines of text that are only ever added to, and the
 * judge who reads them.
 *
 *   run  FIRST_DEVEUI DEVICES               a simulation begins, or goes on
 *   ask  DEVEUI K KIND NONCE MAC NETID PHY  a request, before it is sent for the first time
 *   got  DEVEUI K KIND NONCE MAC NETID PHY JOINNONCE SESSIONKEYID ACCEPT
 *                                           the answer to it: the device has this accept
 *   no   DEVEUI K KIND NONCE MAC NETID PHY RESULT
 *                                           a request that should have been answered was refused
 *   bad  DEVEUI TEXT                        anything else that must not be
 *   end  all|part                           the simulation ended, with all of its work done or not
 *
 * KIND is join, rejoin0, rejoin1 or rejoin2; PHY and ACCEPT are hexadecimal, as on air.
 * Keys are in none of these.  An accept counts when its line is on the disk. */
#ifndef LORAJS_JOURNAL_H
#define LORAJS_JOURNAL_H

#include <lorajs/message.h>

#include <stdbool.h>

enum entry_type { ENTRY_RUN, ENTRY_ASK, ENTRY_GOT, ENTRY_NO, ENTRY_BAD, ENTRY_END };

/* A request as the device sent it. */
struct ask {
    uint32_t k; /* the device's k-th */
    ljs_frame_kind kind;
    uint16_t nonce;
    ljs_mac mac;
    ljs_netid net_id;
    uint8_t phy[LJS_FRAME_MAX], phy_len;
};

/* What it got for it. */
struct got {
    uint32_t join_nonce;
    uint8_t session_key_id[16];
    uint8_t accept[LJS_ACCEPT_MAX], accept_len;
};

struct entry {
    enum entry_type type;
    ljs_eui dev_eui;
    uint32_t devices; /* ENTRY_RUN */
    struct ask ask;
    struct got got;
    char text[64]; /* ENTRY_NO, ENTRY_BAD, ENTRY_END */
};

extern const char *const kind_text[4]; /* by kind & 3: a join is the fourth */

struct journal;

/* A row of a journal; false ends the reading. */
typedef bool journal_row(void *user, const struct entry *entry);

/* Complains itself; DONE, or an exit code.  A line that a crash cut short at the end is
 * no line, and is removed.
 * @param resume  read what is there and go on; else the file must not be there, or be empty
 * @param path    NULL: no journal, and writing to it does nothing */
int journal_open(struct journal **out, const char *path, bool resume, journal_row *row, void *user);
void journal_write(struct journal *journal, const struct entry *entry);
int journal_flush(struct journal *journal); /* to the file */
int journal_sync(struct journal *journal);  /* to the disk */
int journal_close(struct journal *journal);

/* Whether what the journals tells is what a Join Server may do; says so.  DONE, REFUSED
 * when a law is broken, FAILED when the file cannot be read. */
int journal_judge(const char *path, bool json);

#endif
