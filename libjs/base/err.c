#include <lorajs/base.h>

#include "base/cursor.h"

/* Everything there is to say about an error, once.  Faults are "Other" to a peer: what
 * is wrong with us is none of his business.  UnknownDevEUI, UnknownSender and
 * UnkownReceiver make some network servers drop a device for good, so nothing else may
 * be mapped onto them.
 *
 * The 1.0 column knows only the codes of TS002-1.0 [BI10 Table 23], and spells
 * "UnkownReceiver" as that table does. */
static const struct error {
    ljs_err err;
    const char *name, *text, *remedy, *result_10, *result_11;
} errors[] = {
    { LJS_OK, "OK", "success", "nothing needs doing", "Success", "Success" },

    { LJS_E_INVAL, "INVAL", "argument out of its documented range",
      "check the value against the manual or the header that documents it", "Other", "Other" },
    { LJS_E_NOMEM, "NOMEM", "no memory, or no locked memory",
      "give the process more memory, and raise its limit of locked memory (ulimit -l, LimitMEMLOCK=)", "Other",
      "Other" },
    { LJS_E_CRYPTO, "CRYPTO", "the cryptographic library refused",
      "check that libgcrypt and libsodium of the installed versions work on this machine (FIPS mode, secure memory)",
      "Other", "Other" },
    { LJS_E_STORE, "STORE", "the store failed; what became of the change is unknown",
      "look for a full disk, a read-only file or a damaged database, then send the request again", "Other", "Other" },
    { LJS_E_CONFLICT, "CONFLICT", "somebody else wrote this record first; nothing changed",
      "load the record again and repeat the step", "Other", "Other" },
    { LJS_E_NOTFOUND, "NOTFOUND", "no such record",
      "check the name or DevEUI with `lorajs device list` or `lorajs kek list`", "Other", "Other" },
    { LJS_E_SEAL, "SEAL", "wrong master key, or a record tampered with",
      "use the master key that belongs to this database; if it is the right one, restore the record from a backup",
      "Other", "Other" },
    { LJS_E_VERSION, "VERSION", "a record written by a newer lorajs",
      "run a lorajs at least as new as the one that wrote this database", "Other", "Other" },
    { LJS_E_STATE, "STATE", "handle used after fork(), or out of order",
      "open handles in the process that uses them, and call in the documented order", "Other", "Other" },
    { LJS_E_EXISTS, "EXISTS", "there is such a record already",
      "remove the existing one first, or say explicitly that its keys are to be replaced", "Other", "Other" },
    { LJS_E_WEAK, "WEAK", "a key so regular that it is no secret",
      "give the device a random key (`lorajs key generate`); --allow-weak-keys is for tests only", "Other", "Other" },
    { LJS_E_MISSING, "MISSING", "a backend that this build does not have",
      "install a lorajs that was built with this backend, or choose another", "Other", "Other" },
    { LJS_E_TOKEN, "TOKEN", "the token is gone, or failed",
      "see that it is there (`p11tool --list-tokens`, `lorajs token check`); it is opened anew by itself", "Other",
      "Other" },
    { LJS_E_PIN, "PIN", "the token refused the PIN",
      "use the right PIN: a few wrong ones lock the token, so it is not tried again until the program starts anew",
      "Other", "Other" },
    { LJS_E_INSIDE, "INSIDE", "the key is in a token, which does not give it away",
      "give the device new root keys where it is to go, or use a token of the policy `rotatable` to move keys to "
      "another "
      "storage key",
      "Other", "Other" },
    { LJS_E_LOT, "LOT", "the key of the device's lot is not here, or does not open",
      "see `lorajs lot list`, and take the key with `lorajs lot add`; if it is there, restore it from a backup",
      "Other", "Other" },

    { LJS_E_MESSAGE, "MESSAGE", "not a Backend Interfaces message, or a member out of its range",
      "compare what the network server sends with TS002, mandatory members first", "MalformedRequest",
      "MalformedMessage" },
    { LJS_E_FRAME, "FRAME", "PHYPayload of wrong type, or not the device the message names",
      "explain the PHYPayload with `lorajs inspect` and compare its DevEUI and JoinEUI with those of the message",
      "MalformedRequest", "MalformedMessage" },
    { LJS_E_SIZE, "SIZE", "PHYPayload of wrong size",
      "check that the network server passes the whole frame: 23 octets for a join, 19 or 24 for a rejoin",
      "FrameSizeError", "FrameSizeError" },
    { LJS_E_MIC, "MIC", "message integrity code does not match",
      "compare the root key in the device with the one imported here: NwkKey for LoRaWAN 1.1, AppKey for 1.0.x",
      "MICFailed", "MICFailed" },
    { LJS_E_REPLAY, "REPLAY", "nonce or counter already used",
      "check that the device keeps its DevNonce through a restart; if it was reset on purpose, "
      "run `lorajs device reset-nonces` for it",
      "JoinReqFailed", "FrameReplayed" },
    { LJS_E_DEVICE, "DEVICE", "DevEUI unknown", "import the device with `lorajs device import`, or check its DevEUI",
      "UnknownDevEUI", "UnknownDevEUI" },
    { LJS_E_BLOCKED, "BLOCKED", "device blocked by an operator",
      "find out who blocked it and why with `lorajs why`, then unblock it", "ActivationDisallowed",
      "ActivationDisallowed" },
    { LJS_E_HOME, "HOME", "another network is the device's home",
      "check home_net_id and home_ns_id of the device, or register it with the right network server",
      "ActivationDisallowed", "ActivationDisallowed" },
    { LJS_E_JOINEUI, "JOINEUI", "device not registered under this JoinEUI",
      "correct the JoinEUI in the device, or add it to the device's record", "JoinReqFailed", "JoinReqFailed" },
    { LJS_E_PROTOCOL, "PROTOCOL", "ProtocolVersion neither 1.0 nor 1.1",
      "set the network server to Backend Interfaces 1.0 or 1.1", "InvalidProtocolVersion", "InvalidProtocolVersion" },
    { LJS_E_SENDER, "SENDER", "sender unknown, or not whom the transport vouches for",
      "check the peer's certificate and which NetIDs, NSIDs and AS-IDs its configuration lets it speak for",
      "UnknownSender", "UnknownSender" },
    { LJS_E_RECEIVER, "RECEIVER", "addressed to somebody else",
      "check the ReceiverID that the sender uses: it is to be the device's JoinEUI", "UnkownReceiver",
      "UnknownReceiver" },
    { LJS_E_KEK, "KEK", "no key to wrap with, and clear keys not allowed",
      "agree on a KEK with the peer, add it with `lorajs kek add`, and name its label in the peer's or the "
      "device's settings",
      "JoinReqFailed", "JoinReqFailed" },
    { LJS_E_MAC, "MAC", "MACVersion, OptNeg and the device's version do not go together",
      "set the same LoRaWAN version for the device here and at the network server", "JoinReqFailed", "JoinReqFailed" },
    { LJS_E_NOKEY, "NOKEY", "the device has not the root key that this version needs",
      "import the missing root key: LoRaWAN 1.1 needs both NwkKey and AppKey; a device of a manifest has none until "
      "then",
      "JoinReqFailed", "JoinReqFailed" },
    { LJS_E_SPENT, "SPENT", "JoinNonce used up: no session can be made any more",
      "give the device another DevEUI, with new root keys, and import it as a new one", "JoinReqFailed",
      "JoinReqFailed" },
    { LJS_E_SESSION, "SESSION", "no session of this SessionKeyID",
      "let the device join again: only its newest sessions are kept", "Other", "Other" },
    { LJS_E_ROAMING, "ROAMING", "sender may not ask for this device's home network",
      "allow the peer to ask in its configuration, if there is a roaming agreement with it", "NoRoamingAgreement",
      "NoRoamingAgreement" },
    { LJS_E_BUSY, "BUSY", "temporarily refused: come again later", "wait, then send the request again", "Deferred",
      "Deferred" },
    { LJS_E_CLAIM, "CLAIM", "no such device, another's, or a wrong owner token",
      "read the label again: DevEUI and owner token are those of its QR code; a device that has an owner is released "
      "or "
      "offered by him",
      "Other", "Other" },
    { LJS_E_LIMIT, "LIMIT", "too many failed tries", "wait an hour, and read the label again before the next try",
      "Other", "Other" },
    { LJS_E_MOVED, "MOVED", "the device has moved to another Join Server",
      "let network servers ask the Join Server it has moved to, or pass on what they ask here (`lorajs serve "
      "--forward`)",
      "Other", "Other" },
};

/* The way back.  A code that stands for several errors is read as the likeliest of the
 * refusals that it stands for: JoinReqFailed as the used DevNonce of 1.0, ActivationDisallowed as
 * the block, Other as the one refusal that has no code of its own. */
static const struct {
    const char *code;
    ljs_err err;
} codes[] = {
    { "Success", LJS_OK },
    { "MICFailed", LJS_E_MIC },
    { "JoinReqFailed", LJS_E_REPLAY },
    { "FrameReplayed", LJS_E_REPLAY },
    { "UnknownDevEUI", LJS_E_DEVICE },
    { "ActivationDisallowed", LJS_E_BLOCKED },
    { "MalformedRequest", LJS_E_MESSAGE },
    { "MalformedMessage", LJS_E_MESSAGE },
    { "FrameSizeError", LJS_E_SIZE },
    { "InvalidProtocolVersion", LJS_E_PROTOCOL },
    { "UnknownSender", LJS_E_SENDER },
    { "UnknownReceiver", LJS_E_RECEIVER },
    { "UnkownReceiver", LJS_E_RECEIVER },
    { "NoRoamingAgreement", LJS_E_ROAMING },
    { "Deferred", LJS_E_BUSY },
    { "Other", LJS_E_SESSION },
};

static const struct error unknown = {
    LJS_E_INVAL, "?", "no error of lorajs", "report this number as a bug of lorajs", "Other", "Other"
};

static const struct error *row_of(ljs_err err)
{
    for (size_t i = 0; i < COUNT(errors); i++)
        if (errors[i].err == err)
            return &errors[i];
    return &unknown;
}

const char *ljs_errname(ljs_err err)
{
    return row_of(err)->name;
}

const char *ljs_strerror(ljs_err err)
{
    return row_of(err)->text;
}

const char *ljs_remedy(ljs_err err)
{
    return row_of(err)->remedy;
}

const char *ljs_result_code(ljs_err err, int protocol)
{
    return protocol == 10 ? row_of(err)->result_10 : row_of(err)->result_11;
}

ljs_err ljs_result_err(const char *result_code)
{
    for (size_t i = 0; result_code && i < COUNT(codes); i++)
        if (!strcmp(codes[i].code, result_code))
            return codes[i].err;
    return LJS_E_MESSAGE;
}

const char *ljs_version(void)
{
    return LORAJS_VERSION;
}
