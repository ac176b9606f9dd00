"""A join over a database of your own, with SQLAlchemy: one table, and one transaction for each join.

    python3 sqlalchemy_join.py [URL]        sqlite:///:memory:, when not given

Storage is yours: a record goes in, a record comes out.  Two processes may step one device at once:
the table's version makes whoever comes second begin again at the load, and nothing is answered
before it is saved.  Works with SQLAlchemy 1.4 and 2."""

from __future__ import annotations

import sys

import lorajs
from sqlalchemy import Column, Integer, LargeBinary, String, create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, declarative_base
from sqlalchemy.orm.exc import StaleDataError

Base = declarative_base()
TRIES = 8


class Device(Base):
    __tablename__ = "devices"

    dev_eui = Column(String(16), primary_key=True)  # text: databases have no unsigned 64 bits
    record = Column(LargeBinary, nullable=False)
    version = Column(Integer, nullable=False)
    __mapper_args__ = {"version_id_col": version}  # UPDATE ... WHERE version = the one that was loaded


def add(engine: Engine, vault: lorajs.Vault, device: lorajs.Device, app_key: lorajs.Key) -> None:
    record = lorajs.make_device(vault, device, app_key=app_key)
    with Session(engine) as session:
        session.add(Device(dev_eui=str(device.dev_eui), record=record))
        session.commit()


def join(engine: Engine, vault: lorajs.Vault, request: lorajs.JoinRequest) -> lorajs.JoinAnswer:
    """Load, step, save if unchanged, answer.  LookupError for an unknown device; lorajs.Refused."""
    dev_eui = str(lorajs.Frame.parse(request.phy).dev_eui)
    for _ in range(TRIES):
        with Session(engine) as session:
            device = session.get(Device, dev_eui)
            if device is None:
                raise LookupError(f"no device {dev_eui}")
            device.record, answer = lorajs.join(device.record, request, vault)
            try:
                session.commit()
            except StaleDataError:  # somebody else was first
                continue
            return answer
    raise TimeoutError(f"device {dev_eui} is stepped by too many at once")


def main(url: str) -> None:
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    vault, key = lorajs.Vault.generate(), lorajs.Key.generate()  # yours: Vault.from_file()
    device = lorajs.Device(lorajs.EUI("0102030405060708"), lorajs.EUI("70b3d57ed0000000"), lorajs.Mac.V1_0_4)
    add(engine, vault, device, key)
    for dev_nonce in range(3):
        uplink = lorajs.Frame(lorajs.FrameKind.JOIN, device.dev_eui, device.join_eui, nonce=dev_nonce).sign(key)
        request = lorajs.JoinRequest(uplink, net_id=0x13, dev_addr=0x26011234, mac=device.mac, clear=lorajs.Clear.NS)
        answer = join(engine, vault, request)
        print(f"DevNonce {dev_nonce}: JoinNonce {answer.join_nonce}, join-accept {answer.phy.hex()}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///:memory:")
