"""An application server gets the key of a session from the Join Server, in ten lines.

    python3 application_server.py URL AS_ID JOIN_EUI DEV_EUI SESSION_KEY_ID KEK_FILE [CERTIFICATE KEY CA]

The network server tells SessionKeyID with the uplinks of a session.  KEK_FILE has the hexadecimal
digits of the key under which the Join Server wraps what it sends us (`lorajs kek add`)."""

from __future__ import annotations

import secrets
import sys

import httpx
import lorajs


def fetch(client: httpx.Client, url: str, as_id: str, join_eui: lorajs.EUI, dev_eui: lorajs.EUI,
          session_key_id: bytes, kek: lorajs.Key) -> lorajs.Key:
    """AppSKey.  lorajs.Refused when the Join Server refuses it; lorajs.Fault when it is under another KEK."""
    request = lorajs.Message.app_s_key_req(as_id, join_eui, dev_eui, session_key_id,
                                           transaction_id=secrets.randbits(32))
    response = client.post(url, content=request.build(), headers={"Content-Type": "application/json"})
    return request.read_answer(response.content).app_s.open(kek)


def main(url: str, as_id: str, join_eui: str, dev_eui: str, session_key_id: str, kek_file: str, *tls: str) -> None:
    with open(kek_file, encoding="ascii") as file:
        kek = lorajs.Key.from_hex(file.read().strip())
    more = {"cert": tls[:2], "verify": tls[2]} if tls else {}
    with httpx.Client(timeout=10, **more) as client:
        print(fetch(client, url, as_id, lorajs.EUI(join_eui), lorajs.EUI(dev_eui), bytes.fromhex(session_key_id), kek))


if __name__ == "__main__":
    main(*sys.argv[1:])
