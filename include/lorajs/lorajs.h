/** @file lorajs.h
 *  Everything a user of the library needs.  Store writers add backend.h. */
/** @mainpage The C API
 *  [Each header](files.html) opens with what it is for.  Begin with join.h for a join as a pure function over records
 *  of yours, with server.h for a server over a store.h, with message.h, network.h or end_device.h for the other ends.
 *
 *  How it is deployed, and why it is as it is, is in the [documents](../index.html). */
#ifndef LORAJS_LORAJS_H
#define LORAJS_LORAJS_H

#include <lorajs/admin.h>
#include <lorajs/audit.h>
#include <lorajs/backup.h>
#include <lorajs/base.h>
#include <lorajs/bulk.h>
#include <lorajs/chip.h>
#include <lorajs/claim.h>
#include <lorajs/device.h>
#include <lorajs/end_device.h>
#include <lorajs/explain.h>
#include <lorajs/frame.h>
#include <lorajs/import.h>
#include <lorajs/join.h>
#include <lorajs/keys.h>
#include <lorajs/lot.h>
#include <lorajs/mac.h>
#include <lorajs/manifest.h>
#include <lorajs/master.h>
#include <lorajs/message.h>
#include <lorajs/network.h>
#include <lorajs/parcel.h>
#include <lorajs/qr.h>
#include <lorajs/rekey.h>
#include <lorajs/rekey_device.h>
#include <lorajs/rekey_keys.h>
#include <lorajs/rekey_message.h>
#include <lorajs/rewrap.h>
#include <lorajs/roles.h>
#include <lorajs/server.h>
#include <lorajs/store.h>
#include <lorajs/token.h>

#endif
