"""The text in the QR code of a device's label [TR005]."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from . import native
from .errors import Code, error
from .ids import EUI


class QRForm(enum.IntEnum):
    """Which text it was."""

    D0 = native.LJS_QR_D0
    """The final form, `LW:D0:`."""
    DRAFT_2 = native.LJS_QR_DRAFT_2
    DRAFT_3 = native.LJS_QR_DRAFT_3
    BARE = native.LJS_QR_BARE
    """A DevEUI, and nothing else."""


@dataclass(frozen=True, slots=True)
class QR:
    """What the QR code of a device says.  It carries no key; the OwnerToken is a credential, and not in the repr."""

    dev_eui: EUI
    join_eui: EUI | None = None
    vendor_id: int | None = None
    """16 bits, given by the LoRa Alliance."""
    vendor_profile_id: int | None = None
    """16 bits, given by the vendor."""
    owner_token: str = field(default="", repr=False)
    """By which the owner claims the device; "" for none."""
    serial: str = ""
    proprietary: str = ""
    form: QRForm = QRForm.D0
    checksum: bool | None = None
    """Whether it was right, as far as there was one."""
    strict: bool = True
    """Whether the text keeps to TR005, so that a device may be claimed by it."""

    @classmethod
    def parse(cls, text: str, *, lenient: bool = False) -> QR:
        """Read a text.  InvalidError says what is wrong with it.

        `lenient` also takes what people print: lower case, spaces around it, a missing JoinEUI or profile, a wrong
        checksum; `strict` is False then."""
        try:
            err, qr = native.qr_parse(native.LJS_QR_LENIENT if lenient else 0, text.encode(errors="surrogatepass"))
        finally:
            del text  # a traceback shows no OwnerToken
        if err:
            raise error(err, qr.fault)
        return cls(
            dev_eui=EUI(qr.dev_eui),
            join_eui=EUI(qr.join_eui) if qr.has_join_eui else None,
            vendor_id=qr.vendor_id if qr.has_profile else None,
            vendor_profile_id=qr.vendor_profile_id if qr.has_profile else None,
            owner_token=qr.owner_token,
            serial=qr.serial,
            proprietary=qr.proprietary,
            form=QRForm(qr.form),
            checksum=bool(qr.checksum_good) if qr.has_checksum else None,
            strict=not qr.sloppy,
        )

    def build(self, *, checksum: bool = True) -> str:
        """The text in its final form.  InvalidError without JoinEUI, VendorID or VendorProfileID, and for values that
        no QR code of TR005 has: A-Z, 0-9, space and $%*+-./ are what there is, for the OwnerToken the first two."""
        qr = native.qr()
        try:
            qr.has_join_eui = int(self.join_eui is not None)
            qr.has_profile = int(self.vendor_id is not None and self.vendor_profile_id is not None)
            qr.join_eui = self.join_eui or 0
            qr.dev_eui = self.dev_eui
            qr.vendor_id = self.vendor_id or 0
            qr.vendor_profile_id = self.vendor_profile_id or 0
            qr.owner_token = self.owner_token
            qr.serial = self.serial
            qr.proprietary = self.proprietary
        except (OverflowError, ValueError):  # more than the struct has room for
            raise error(Code.INVAL) from None
        return native.qr_build(qr, native.LJS_QR_CHECKSUM if checksum else 0).decode()
