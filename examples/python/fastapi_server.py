"""A Join Server inside a FastAPI application, over the data directory that `lorajs` keeps.

    lorajs device import devices.json --data DIR      makes database and master key, when there are none
    lorajs kek add ns --data DIR
    LORAJS_DATA=DIR uvicorn fastapi_server:application --host 127.0.0.1 --port 8080

Network servers POST to /backend-interfaces.  In front is a proxy that speaks TLS, verifies client
certificates and sets X-Client-DN to the subject of the one it has verified: see PEERS.  The rest of
the application is yours; here it tells why a device does not join."""

from __future__ import annotations

import os
import pathlib

import lorajs
import lorajs.asgi
from fastapi import FastAPI, HTTPException

PEERS = {"CN=ns.example": lorajs.Peer("ns", net_ids=(0x000013,), keks=("ns",))}

data = pathlib.Path(os.environ["LORAJS_DATA"])
server = lorajs.JoinServer(lorajs.Vault.from_file(data / "master.key"), lorajs.Store.sqlite(data / "lorajs.db"))
server.set_peers(PEERS.values())
join_server = lorajs.asgi.app(server, peer=lorajs.asgi.proxy_header(
    "X-Client-DN", {subject: peer.name for subject, peer in PEERS.items()}))

application = FastAPI(title="devices")
application.mount("/backend-interfaces", join_server)
application.add_event_handler("shutdown", join_server.aclose)  # FastAPI tells what is mounted of no end


@application.get("/devices/{dev_eui}")
def device(dev_eui: str) -> dict:  # no `async`: it waits for the store, in a thread of FastAPI's
    try:
        eui = lorajs.EUI(dev_eui)
        found = server.device(eui)
    except (lorajs.NotFound, ValueError):
        raise HTTPException(404, "no such device") from None
    return {"dev_eui": str(eui), "lorawan_version": str(found.mac), "state": found.state.name,
            "decisions": [{"at": decision.at, "error": decision.error, "text": decision.text, "remedy": decision.remedy,
                           "nonce": decision.nonce, "count": decision.count, "peer": decision.peer}
                          for decision in server.decisions(eui)]}
