#!/usr/bin/env python3
"""Manifests of secure elements of our own making: a root, the signer of chips, a log signer, and entries that
are good or forged.

    manifests.py            write tests/vectors/manifests.json and what is made of it for fuzz/
    manifests.py N FILE     a manifest of N good entries; FILE.signer and FILE.root are whom to trust
    manifests.py --light N FILE    the same of version 2, which has no certificates

Each run draws keys anew, and keeps none."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

TESTS = Path(__file__).resolve().parent
JOIN_EUI = "70b3d57ed0000000"
BEGIN, END = datetime.datetime(2019, 1, 1), datetime.datetime(2049, 1, 1)


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def light_id(number: int) -> str:
    return f"0123{number:012x}2a"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """x | y"""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Chips"),
                      x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def der(tag: int, contents: bytes) -> bytes:
    n = len(contents)
    return bytes([tag]) + (bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else bytes([0x82, n >> 8, n & 255])) + contents


def signed(tbs: bytes, by: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate of this tbsCertificate, for those that the library would not make."""
    algorithm = der(0x30, der(0x06, bytes.fromhex("2a8648ce3d040302")))
    return der(0x30, tbs + algorithm + der(0x03, b"\0" + by.sign(tbs, ec.ECDSA(hashes.SHA256()))))


def certificate(subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, *,
                ca: bool = False, may_sign: bool = True, eui64: str | None = None) -> bytes:
    """In DER.  `eui64` stands in the subjectAltName as later chips have it."""
    builder = x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), x509.random_serial_number(), BEGIN, END)
    if eui64 is not None:
        alt = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, "eui64-" + eui64)])
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DirectoryName(alt)]), False)
    builder = builder.add_extension(x509.BasicConstraints(ca, 0 if ca else None), True)
    builder = builder.add_extension(
        x509.KeyUsage(may_sign, False, False, False, not ca, ca, ca, False, False), True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False)
    made = builder.sign(by, hashes.SHA256())
    # The letter that PrintableString has not, and chips have.
    return (made.public_bytes(Encoding.DER) if eui64 is None
            else signed(made.tbs_certificate_bytes.replace(b"eui64-", b"eui64_"), by))


def pem(octets: bytes) -> str:
    return "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(octets).decode() + "-----END CERTIFICATE-----\n"


class Chip:
    """One chip of a maker, of generation "B", "C", or "M", which has no DevEUI."""

    def __init__(self, maker: Maker, number: int, kind: str = "B", key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self.unique_id = f"0123{number:012x}27"
        self.dev_eui = f"0004a310{number:08x}"
        self.key = key or new_key()
        common_name, eui64 = {
            "B": (f"{self.unique_id.upper()} {self.dev_eui.upper()} ATECC", None),
            "C": (f"sn{self.unique_id.upper()}", self.dev_eui.upper()),
            "M": (f"{self.unique_id.upper()} ATECC", None),
        }[kind]
        self.certificate = certificate(common_name, self.key, maker.NAME, maker.key, eui64=eui64)

    def public_key(self, maker: Maker) -> dict[str, Any]:
        xy = point(self.key)
        return {"kid": "1", "kty": "EC", "crv": "P-256", "x": b64(xy[:32]), "y": b64(xy[32:]),
                "x5c": [base64.b64encode(c).decode() for c in (self.certificate, maker.certificate)]}


class Maker:
    """Who makes chips and says so: root, signer of the chips' certificates, log signer."""

    ROOT, NAME, LOG = "Example Root", "Example Signer 0001", "Example Log Signer"

    def __init__(self) -> None:
        self.root_key, self.key, self.log_key = new_key(), new_key(), new_key()
        self.root = certificate(self.ROOT, self.root_key, self.ROOT, self.root_key, ca=True)
        self.certificate = certificate(self.NAME, self.key, self.ROOT, self.root_key, ca=True)
        self.log = certificate(self.LOG, self.log_key, self.LOG, self.log_key)
        self.kid = b64(x509.SubjectKeyIdentifier.from_public_key(self.log_key.public_key()).digest)
        self.x5t = b64(hashlib.sha256(self.log).digest())

    def payload(self, chip: Chip | None, unique_id: str = "", **changes: Any) -> dict[str, Any]:
        """A payload of version 1; without a chip, of version 2."""
        entity = {"organizationName": "Example Chips", "organizationalUnitName": "Test"}
        made: dict[str, Any] = {
            "version": 1 if chip else 2, "model": "ATECC608A", "partNumber": "ATECC608A-MAHT3", "manufacturer": entity,
            "provisioner": entity, "distributor": entity, "groupId": "TEST0000GROUP000",
            "provisioningTimestamp": "2019-09-20T16:18:45.390Z", "uniqueId": chip.unique_id if chip else unique_id}
        if chip:
            made["publicKeySet"] = {"keys": [chip.public_key(self)]}
            made["modelInfo"] = {"publicData": [{"zone": "data", "slot": 9, "offset": 0,
                                                 "data": b64(bytes.fromhex(JOIN_EUI) + bytes(64))}]}
        made |= changes
        return {key: value for key, value in made.items() if value is not None}

    def protected(self, **changes: Any) -> dict[str, Any]:
        made = {"typ": "JWT", "alg": "ES256", "kid": self.kid, "x5t#S256": self.x5t} | changes
        return {key: value for key, value in made.items() if value is not None}

    def sign(self, text: bytes) -> bytes:
        r, s = decode_dss_signature(self.log_key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def entry(self, payload: dict[str, Any] | str, protected: dict[str, Any] | str | None = None, *,
              header: Any = True) -> dict[str, Any]:
        """Signed, whatever stands in it.  `header` True is the uniqueId, None none."""
        if header is True:
            header = {"uniqueId": payload["uniqueId"]} if isinstance(payload, dict) else None
        texts = [b64((text if isinstance(text, str) else json.dumps(text, separators=(",", ":"))).encode())
                 for text in (self.protected() if protected is None else protected, payload)]
        made = {"payload": texts[1], "protected": texts[0], "header": header, "signature": b64(self.sign(".".join(texts).encode()))}
        return {key: value for key, value in made.items() if value is not None}

    def good(self, number: int, kind: str = "B") -> dict[str, Any]:
        return self.entry(self.payload(Chip(self, number, kind)))

    def light(self, number: int) -> dict[str, Any]:
        return self.entry(self.payload(None, light_id(number)))


class Stranger(Maker):
    """Calls itself the same and has other keys."""


DEEP = '{"version":1,"a":' + "[" * 40 + "]" * 40 + "}"
HUGE = '{"version":123456789012345678901234567890}'

Row = tuple[str, dict[str, Any] | str, str]


def flip(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def of_text(m: Maker) -> Iterator[Row]:
    good = m.light(1)
    text = json.dumps(good)
    yield "deep nesting", text[:-1] + ',"a":' + "[" * 40 + "]" * 40 + "}", "not-json"
    yield "deep objects", '{"a":' * 40 + "1" + "}" * 40, "not-json"
    yield "brackets that do not fit", text[:-1] + ',"a":[}]}', "not-json"
    yield "a huge number", text[:-1] + ',"n":99999999999999999999999999}', "not-json"
    yield "a name twice", text[:-1] + ',"payload":"AA"}', "not-json"
    yield "half a character", text[:-1] + ',"n":"\\ud800"}', "not-json"
    yield "no object", "1e999999", "not-json"
    yield "an array", "[1,2]", "not-json"
    yield "two in one", text + text, "not-json"
    yield "no signature", {k: v for k, v in good.items() if k != "signature"}, "not-jws"
    yield "no payload", {k: v for k, v in good.items() if k != "payload"}, "not-jws"
    yield "no protected header", {k: v for k, v in good.items() if k != "protected"}, "not-jws"
    yield "a number for payload", good | {"payload": 1}, "not-jws"
    yield "white space in base64url", good | {"protected": good["protected"] + " "}, "not-jws"
    yield "a protected header with a name twice", m.entry(m.payload(None, "0123"), '{"alg":"none","alg":"ES256"}'), "not-jws"
    yield "an identifier that is none", good | {"header": {"uniqueId": "0123"}}, "not-jws"
    yield "a path for a name", {**{k: v for k, v in good.items() if k != "header"}, "header/uniqueId": 7}, "good"
    yield "alg without a signature", good | {"header": {"alg": "none"}}, "unsigned-header"
    yield "kid without a signature", good | {"header": {"uniqueId": good["header"]["uniqueId"], "kid": m.kid}}, "unsigned-header"


def of_signature(m: Maker, other: Maker) -> Iterator[Row]:
    good, payload = m.light(1), m.payload(None, light_id(1))
    for alg in ("none", "HS256", "ES384", "es256"):
        yield f"alg {alg}", m.entry(payload, m.protected(alg=alg)), "not-es256"
    yield "no alg", m.entry(payload, m.protected(alg=None)), "not-es256"
    mac = m.entry(payload, m.protected(alg="HS256"))  # the public key for a secret one
    mac["signature"] = b64(hmac.digest(point(m.log_key), f"{mac['protected']}.{mac['payload']}".encode(), "sha256"))
    yield "HS256 by the public key", mac, "not-es256"
    yield "crit", m.entry(payload, m.protected(crit=["exp"], exp=1)), "critical"
    yield "payload not encoded", m.entry(payload, m.protected(b64=False)), "critical"
    yield "a kid that nobody has", m.entry(payload, m.protected(kid=other.kid)), "signer"
    yield "a kid that is too long", m.entry(payload, m.protected(kid=m.kid * 9)), "signer"
    yield "no kid", m.entry(payload, m.protected(kid=None)), "signer"
    yield "another's certificate", m.entry(payload, m.protected(**{"x5t#S256": other.x5t})), "signer-certificate"
    yield "no certificate", m.entry(payload, m.protected(**{"x5t#S256": None})), "signer-certificate"
    yield "another's signature", other.entry(payload, m.protected()), "signature"
    yield "a key that comes along", other.entry(payload, m.protected(jwk={"kty": "EC"}, x5c=[b64(other.log)])), "signature"
    yield "the signature of another entry", good | {"signature": m.light(2)["signature"]}, "signature"
    yield "the payload of another entry", good | {"payload": m.light(2)["payload"], "header": {}}, "signature"
    yield "a signature too short", good | {"signature": good["signature"][:82]}, "signature"
    yield "a signature of zeros", good | {"signature": b64(bytes(64))}, "signature"
    yield "a signature of one and none", good | {"signature": b64(bytes(31) + b"\1" + bytes(32))}, "signature"
    yield "a signature in DER", good | {"signature": b64(m.log_key.sign(b"", ec.ECDSA(hashes.SHA256())))}, "signature"
    yield "a signature with bits left over", good | {"signature": good["signature"][:-1] + "_"}, "signature"
    for what in ("signature", "payload"):
        yield f"a wrong letter in {what}", good | {what: flip(good[what], 20)}, "signature"


def of_payload(m: Maker) -> Iterator[Row]:
    def payload(**changes: Any) -> dict[str, Any]:
        return {key: value for key, value in (m.payload(None, light_id(1)) | changes).items() if value is not None}

    yield "deep nesting that is signed", m.entry(DEEP), "payload"
    yield "a huge number that is signed", m.entry(HUGE), "payload"
    yield "a payload that is no object", m.entry("[]"), "payload"
    yield "a payload that is cut short", m.entry(json.dumps(payload())[:-1]), "payload"
    yield "no model", m.entry(payload(model=None)), "payload"
    yield "no part number", m.entry(payload(partNumber=None)), "payload"
    yield "no time", m.entry(payload(provisioningTimestamp=None)), "payload"
    yield "a control character", m.entry(payload(model="A\x1b[2J")), "payload"
    yield "a text that is too long", m.entry(payload(model="A" * 48)), "payload"
    yield "a version that is a text", m.entry(payload(version="1")), "payload"
    data = [{"zone": "data", "slot": 9, "offset": 0, "data": b64(bytes(8))}]
    yield "two JoinEUIs", m.entry(payload(modelInfo={"publicData": data * 2})), "payload"
    yield "data that is not base64url", m.entry(payload(modelInfo={"publicData": [data[0] | {"data": "+/+/"}]})), "payload"
    for version in (0, 4, -1, 2**62):
        yield f"version {version}", m.entry(payload(version=version)), "version"
    yield "no version", m.entry(payload(version=None)), "version"
    for unique_id in (light_id(1).upper().replace("0123", "01FA"), "01233", "", light_id(1) + "0", "g" * 18):
        made = m.entry(payload(uniqueId=unique_id), header=None)
        yield f"uniqueId {unique_id}", made, "unique-id" if unique_id else "payload"
    yield "no uniqueId", m.entry(payload(uniqueId=None), header=None), "unique-id"
    yield "another's header", m.entry(payload(), header={"uniqueId": light_id(2)}), "header-id"


def keys(m: Maker, chip: Chip, *certificates: bytes, **changes: Any) -> dict[str, Any]:
    """The chip's entry with another key set."""
    key = chip.public_key(m) | changes
    if certificates:
        key["x5c"] = [base64.b64encode(c).decode() for c in certificates]
    return m.entry(m.payload(chip, publicKeySet={"keys": [{k: v for k, v in key.items() if v is not None}]}))


def of_certificates(m: Maker, other: Maker) -> Iterator[Row]:
    chip, second = Chip(m, 1), Chip(m, 2)
    key = chip.public_key(m)
    yield "no keys", m.entry(m.payload(chip, publicKeySet=None)), "key"
    yield "no key in the set", m.entry(m.payload(chip, publicKeySet={"keys": []})), "key"
    yield "a key without a certificate", keys(m, chip, x5c=None), "key"
    yield "two certified keys", m.entry(m.payload(chip, publicKeySet={"keys": [key, key]})), "key"
    yield "an RSA key", keys(m, chip, kty="RSA"), "key"
    yield "another curve", keys(m, chip, crv="P-384"), "key"
    yield "a point beside the curve", keys(m, chip, y=key["x"]), "key"
    yield "a number too short", keys(m, chip, x=key["x"][:-2]), "key"
    yield "no y", keys(m, chip, y=None), "key"
    yield "a certificate that is not base64", keys(m, chip, x5c=["%"]), "payload"
    yield "one certificate", keys(m, chip, chip.certificate), "certificate"
    yield "three certificates", keys(m, chip, chip.certificate, m.certificate, m.root), "certificate"
    yield "a certificate cut short", keys(m, chip, chip.certificate[:-1], m.certificate), "certificate"
    yield "an octet behind a certificate", keys(m, chip, chip.certificate + b"\0", m.certificate), "certificate"
    yield "no signer that is a CA", keys(m, chip, chip.certificate, second.certificate), "role"
    yield "a chip that is a CA", keys(m, chip, certificate("x", chip.key, m.NAME, m.key, ca=True), m.certificate), "role"
    mute = certificate(f"{chip.unique_id} ATECC", chip.key, m.NAME, m.key, may_sign=False)
    yield "a chip that may not sign", keys(m, chip, mute, m.certificate), "role"
    yield "another device's key", keys(m, chip, x=second.public_key(m)["x"], y=second.public_key(m)["y"]), "certified-key"
    yield "swapped certificates", keys(m, chip, second.certificate, m.certificate), "certified-key"
    twin = Chip(m, 2, key=chip.key)
    yield "a certificate for another uniqueId", keys(m, chip, twin.certificate, m.certificate), "certified-id"
    for subject in ("ATECC", "sn", "0123", chip.unique_id[:-1], chip.unique_id + "0 ATECC"):
        anonymous = certificate(subject, chip.key, m.NAME, m.key)
        yield f"a certificate for {subject}", keys(m, chip, anonymous, m.certificate), "certified-id"
    two = f"{chip.unique_id} {chip.dev_eui} ATECC"
    yield "two DevEUIs", keys(m, chip, certificate(two, chip.key, m.NAME, m.key, eui64=second.dev_eui), m.certificate), "dev-eui"
    yield "a DevEUI too short", keys(m, chip, certificate(two, chip.key, m.NAME, m.key, eui64="0004A3"), m.certificate), "dev-eui"
    stranger = certificate(m.NAME, m.key, "Some Root", new_key(), ca=True)
    yield "a root that nobody trusts", keys(m, chip, chip.certificate, stranger), "root"
    yield "a root of that name", keys(m, chip, chip.certificate, other.certificate), "chain"
    yield "a certificate by another signer", keys(m, chip, Chip(other, 1, key=chip.key).certificate, m.certificate), "chain"
    elder = certificate("Example Signer 0002", m.key, m.ROOT, m.root_key, ca=True)
    yield "a signer of another name", keys(m, chip, chip.certificate, elder), "chain"


def of_good(m: Maker) -> Iterator[Row]:
    for kind in "BCM":
        yield f"generation {kind}", m.good(1, kind), "good"
    yield "both names of the DevEUI", m.entry(m.payload(both := Chip(m, 1), publicKeySet={"keys": [
        both.public_key(m) | {"x5c": [base64.b64encode(c).decode() for c in (certificate(
            f"{both.unique_id} {both.dev_eui} ATECC", both.key, m.NAME, m.key, eui64=both.dev_eui), m.certificate)]}]})), "good"
    yield "version 3, no header", m.entry(m.payload(Chip(m, 1), version=3), header=None), "good"
    yield "version 2", m.entry(m.payload(None, light_id(1))), "good"
    chip = Chip(m, 1)
    x = chip.public_key(m)["x"]
    yield "padded numbers", keys(m, chip, x=x + "="), "good"
    yield "another key, not certified", m.entry(m.payload(chip, publicKeySet={"keys": [
        {"kid": "0", "kty": "EC"}, chip.public_key(m)]})), "good"
    yield "keys for the recipient alone", m.entry(m.payload(chip, encryptedSecretKeySet={"keys": [{"kid": "0"}]})), "good"
    yield "white space", json.dumps(m.good(1), indent=2), "good"


def whole(m: Maker) -> list[dict[str, Any]]:
    """Manifests in which entries meet."""
    first, other = m.good(1), m.good(2, "C")
    wrong = first | {"signature": flip(first["signature"], 3)}
    same = Chip(m, 3)
    same.certificate = certificate(f"{same.unique_id} {Chip(m, 1).dev_eui} ATECC", same.key, m.NAME, m.key)
    bare = m.entry(m.payload(Chip(m, 4), modelInfo=None))
    return [{"what": what, "entries": entries, "verdicts": verdicts, "join_eui": join_eui}
            for what, entries, verdicts, join_eui in (
                ("none", [], [], None),
                ("two", [first, other], ["good", "good"], None),
                ("an entry twice", [first, other, first], ["good", "good", "duplicate"], None),
                ("an entry twice, first forged", [wrong, first], ["signature", "good"], None),
                ("a DevEUI twice", [first, m.entry(m.payload(same))], ["good", "duplicate-dev-eui"], None),
                ("the JoinEUI that is expected", [first, bare, m.light(1)], ["good", "join-eui", "join-eui"], JOIN_EUI),
                ("another JoinEUI", [first], ["join-eui"], "f03d29ac71010001"),
                ("light ones", [m.light(1), m.light(1)], ["good", "duplicate"], None))]


def text_of(entries: list[Any]) -> str:
    texts = [e if isinstance(e, str) else json.dumps(e, separators=(",", ":")) for e in entries]
    return "[" + ",\n".join(texts) + "]\n"


def vectors(m: Maker, other: Maker) -> dict[str, Any]:
    rows = [*of_good(m), *of_text(m), *of_signature(m, other), *of_payload(m), *of_certificates(m, other)]
    return {"signer": pem(m.log), "root": pem(m.root),
            "entries": [{"what": what, "entry": text_of([entry])[1:-2], "verdict": verdict} for what, entry, verdict in rows],
            "manifests": [row | {"entries": text_of(row["entries"])} for row in whole(m)]}


def c_text(variable: str, text: str) -> str:
    """As clang-format has it."""
    begin = f"static const char {variable}[] = "
    return begin + ("\n" + " " * len(begin)).join(f'"{line}\\n"' for line in text.splitlines()) + ";\n"


def write_vectors() -> None:
    maker, other = Maker(), Stranger()
    made = vectors(maker, other)
    (TESTS / "vectors/manifests.json").write_text(json.dumps(made, indent=1) + "\n")
    (TESTS.parent / "fuzz/manifest_trust.h").write_text(
        "/* Whom the manifests of the corpus are believed of.  Written by tests/manifests.py. */\n"
        + c_text("signer_pem", made["signer"]) + c_text("root_pem", made["root"]))
    corpus = TESTS.parent / "fuzz/corpus/fuzz_codec_manifest"
    corpus.mkdir(exist_ok=True)
    texts = {row["what"]: f"[{row['entry']}]" for row in made["entries"]} | {
        row["what"]: row["entries"] for row in made["manifests"]}
    for what, octet in {"generation C": 1, "light ones": 7, "deep nesting": 3}.items():
        (corpus / what.replace(" ", "-").lower()).write_bytes(bytes([octet]) + texts[what].encode())
    corpus = TESTS.parent / "fuzz/corpus/fuzz_codec_cert"
    corpus.mkdir(exist_ok=True)
    for what, octets in {"root": maker.root, "signer": maker.certificate, "log-signer": maker.log,
                         **{f"chip-{kind.lower()}": Chip(maker, 1, kind).certificate for kind in "BCM"}}.items():
        (corpus / what).write_bytes(octets)


def write_many(count: int, path: str, light: bool) -> None:
    maker = Maker()
    Path(path + ".signer").write_text(pem(maker.log))
    Path(path + ".root").write_text(pem(maker.root))
    with open(path, "w") as file:
        for number in range(count):
            payload = maker.payload(None, light_id(number)) if light else maker.payload(Chip(maker, number))
            file.write(("," if number else "[") + "\n" + json.dumps(maker.entry(payload), separators=(",", ":")))
        file.write("\n]\n" if count else "[]\n")


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--light"]
    if not words:
        write_vectors()
    elif len(words) == 2:
        write_many(int(words[0]), words[1], "--light" in sys.argv)
    else:
        sys.exit(__doc__)
