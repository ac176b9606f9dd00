"""A join over Django models, settings and all in this one file.

    python3 django_join.py [FILE]        an SQLite file; in memory, when not given

In a project of yours there are the model and join(); the rest is Django's own beginning.  Two
processes may step one device at once: the version makes whoever comes second begin again at the
load, and nothing is answered before it is saved."""

from __future__ import annotations

import sys

import django
import lorajs
from django.conf import settings

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": (sys.argv + [":memory:"])[1]}},
        USE_TZ=True,
    )
    django.setup()

from django.db import connection, models  # noqa: E402  once there are settings

TRIES = 8


class Device(models.Model):
    dev_eui = models.CharField(max_length=16, primary_key=True)  # text: databases have no unsigned 64 bits
    record = models.BinaryField()
    version = models.BigIntegerField(default=1)

    class Meta:
        app_label = "joins"


def add(vault: lorajs.Vault, device: lorajs.Device, app_key: lorajs.Key) -> None:
    Device.objects.create(dev_eui=str(device.dev_eui), record=lorajs.make_device(vault, device, app_key=app_key))


def join(vault: lorajs.Vault, request: lorajs.JoinRequest) -> lorajs.JoinAnswer:
    """Load, step, save if unchanged, answer.  Device.DoesNotExist; lorajs.Refused."""
    dev_eui = str(lorajs.Frame.parse(request.phy).dev_eui)
    for _ in range(TRIES):
        device = Device.objects.get(dev_eui=dev_eui)
        before = bytes(device.record)
        record, answer = lorajs.join(before, request, vault)
        if record == before:  # a repeat: the same session again
            return answer
        unchanged = Device.objects.filter(dev_eui=dev_eui, version=device.version)
        if unchanged.update(record=record, version=device.version + 1):
            return answer
        # Somebody else was first.
    raise TimeoutError(f"device {dev_eui} is stepped by too many at once")


def main() -> None:
    with connection.schema_editor() as schema:  # yours: a migration
        schema.create_model(Device)
    vault, key = lorajs.Vault.generate(), lorajs.Key.generate()  # yours: Vault.from_file()
    device = lorajs.Device(lorajs.EUI("0102030405060708"), lorajs.EUI("70b3d57ed0000000"), lorajs.Mac.V1_0_4)
    add(vault, device, key)
    for dev_nonce in range(3):
        uplink = lorajs.Frame(lorajs.FrameKind.JOIN, device.dev_eui, device.join_eui, nonce=dev_nonce).sign(key)
        request = lorajs.JoinRequest(uplink, net_id=0x13, dev_addr=0x26011234, mac=device.mac, clear=lorajs.Clear.NS)
        answer = join(vault, request)
        print(f"DevNonce {dev_nonce}: JoinNonce {answer.join_nonce}, join-accept {answer.phy.hex()}")


if __name__ == "__main__":
    main()
