/** @file lorajs.h
 *  Everything a user of the library needs.  Store writers add backend.h. */
#ifndef LORAJS_LORAJS_H
#define LORAJS_LORAJS_H

#include <lorajs/audit.h>
#include <lorajs/base.h>
#include <lorajs/device.h>
#include <lorajs/end_device.h>
#include <lorajs/explain.h>
#include <lorajs/frame.h>
#include <lorajs/import.h>
#include <lorajs/join.h>
#include <lorajs/keys.h>
#include <lorajs/mac.h>
#include <lorajs/master.h>
#include <lorajs/message.h>
#include <lorajs/network.h>
#include <lorajs/parcel.h>
#include <lorajs/qr.h>
#include <lorajs/roles.h>
#include <lorajs/server.h>
#include <lorajs/store.h>

#endif
