#!/usr/bin/env python3
"""Keys that are encrypted to the recipient of a manifest, put together of what `cryptography` has, and each way in which
one is wrong.

    jwe.py     write tests/vectors/manifest-keys.json, and of it the corpus of fuzz_codec_secrets; some rows are made by
               jwcrypto, which is needed for that alone

Each run draws keys anew."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from manifests import Chip, Maker, flip as wrong_letter, pem, text_of

TESTS = Path(__file__).resolve().parent
ALG, ENC = "ECDH-ES+A128KW", "A256GCM"


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def sized(octets: bytes) -> bytes:
    return len(octets).to_bytes(4, "big") + octets


def secret_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """As `lorajs manifest keys` takes it, before it is hexadecimal."""
    return key.private_numbers().private_value.to_bytes(32, "big")


def public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    n = key.public_numbers()
    size = (key.curve.key_size + 7) // 8
    return {"kty": "EC", "crv": {256: "P-256", 384: "P-384"}[key.curve.key_size], "x": b64(n.x.to_bytes(size, "big")),
            "y": b64(n.y.to_bytes(size, "big"))}


def oct_jwk(key: bytes, kid: str | None = None, **more: Any) -> dict[str, Any]:
    return {"kty": "oct", **({"kid": kid} if kid is not None else {}), "k": b64(key), **more}


def encrypt(plain: bytes, to: ec.EllipticCurvePublicKey, *, protected: dict[str, Any] | str | None = None,
            header: dict[str, Any] | None = None, apu: bytes | None = None, apv: bytes | None = None,
            kdf_alg: str = ALG, epk: dict[str, Any] | None = None, cek_len: int = 32, drop: tuple[str, ...] = (),
            tag_len: int = 16) -> dict[str, Any]:
    """Flattened [RFC 7516 §7.2.2].  `protected` adds to the header or, a text, is it; `header` moves alg and epk out of
    it."""
    mine = ec.generate_private_key(to.curve)
    params: dict[str, Any] = {"alg": ALG, "enc": ENC, "epk": public_jwk(mine.public_key()) if epk is None else epk}
    params |= {name: b64(value) for name, value in (("apu", apu), ("apv", apv)) if value is not None}
    if isinstance(protected, dict):
        params |= protected
    for name in drop:
        del params[name]
    outside = None
    if header is not None:
        outside = {name: params.pop(name) for name in ("alg", "epk") if name in params} | header
    text = b64((protected if isinstance(protected, str) else compact(params)).encode())
    info = sized(kdf_alg.encode()) + sized(apu or b"") + sized(apv or b"") + (128).to_bytes(4, "big")
    kek = ConcatKDFHash(hashes.SHA256(), 16, info).derive(mine.exchange(ec.ECDH(), to))
    cek, iv = os.urandom(32), os.urandom(12)
    sealed = AESGCM(cek).encrypt(iv, plain, text.encode())
    made = {"protected": text, "header": outside, "encrypted_key": b64(aes_key_wrap(kek, cek[:cek_len])), "iv": b64(iv),
            "ciphertext": b64(sealed[:-16]), "tag": b64(sealed[-16:][:tag_len])}
    return {name: value for name, value in made.items() if value is not None}


def in_one(jwe: dict[str, Any]) -> str:
    """Compact [RFC 7516 §7.1]."""
    return ".".join(jwe[part] for part in ("protected", "encrypted_key", "iv", "ciphertext", "tag"))


def flip(text: str, at: int = 5) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


# What it is, the key, and how it is refused: "" for not at all.
Row = tuple[str, Any, str]
PAIR, POINT, STRANGER = "zip and crit", "epk is no point", "it is not encrypted for this recipient"


def good(key: bytes, to: ec.EllipticCurvePublicKey) -> Iterator[Row]:
    plain = compact(oct_jwk(key, "the kid")).encode()
    yield "flattened", encrypt(plain, to), ""
    yield "compact", in_one(encrypt(plain, to)), ""
    yield "epk outside", encrypt(plain, to, header={"kid": "recipient"}), ""
    yield "parties", encrypt(plain, to, apu=b"Alice", apv=b"Bob"), ""
    yield "more than is needed", encrypt(json.dumps(oct_jwk(key, "the kid", use="enc", more={"a": [1]}), indent=1).encode(),
                                         to, protected={"typ": "JWE", "kid": "9", "cty": "jwk+json",
                                                        "more": {"d": "of no epk", "x": 1}}), ""
    yield "members that nobody knows", encrypt(plain, to, header={"kid": "recipient", "more": {"d": "of no epk"}}) | {
        "more": {"alg": "none", "zip": "DEF", "epk": {"d": "of no header"}}}, ""


def of_header(key: bytes, to: ec.EllipticCurvePublicKey) -> Iterator[Row]:
    plain = compact(oct_jwk(key)).encode()
    for alg in ("none", "dir", "ECDH-ES", "ECDH-ES+A256KW", "ECDH-ES+A128kw", "RSA-OAEP", "A128KW", ""):
        yield f"alg {alg}", encrypt(plain, to, protected={"alg": alg}), "alg is another"
    for enc in ("A128GCM", "A256CBC-HS512", "A256gcm", ""):
        yield f"enc {enc}", encrypt(plain, to, protected={"enc": enc}), "enc is another"
    yield "alg that is no text", encrypt(plain, to, protected={"alg": [ALG]}), "alg is another"
    yield "no alg", encrypt(plain, to, drop=("alg",)), "alg, enc or epk is missing"
    yield "no enc", encrypt(plain, to, drop=("enc",)), "alg, enc or epk is missing"
    yield "no epk", encrypt(plain, to, drop=("epk",)), "alg, enc or epk is missing"
    yield "compressed", encrypt(plain, to, protected={"zip": "DEF"}), PAIR
    yield "critical", encrypt(plain, to, protected={"crit": ["exp"], "exp": 1}), PAIR
    yield "critical outside", encrypt(plain, to, header={"crit": []}), PAIR
    yield "alg in both", encrypt(plain, to) | {"header": {"alg": ALG}}, "a header parameter stands in both"
    yield "epk in both", encrypt(plain, to) | {"header": {"epk": {}}}, "a header parameter stands in both"
    yield "a name twice", encrypt(plain, to, protected='{"alg":"%s","alg":"none"}' % ALG), "its protected header is no strict"
    yield "deep", encrypt(plain, to, protected='{"a":' * 20 + "1" + "}" * 20), "its protected header is no strict"
    yield "an array", encrypt(plain, to, protected="[]"), "its protected header is no strict"
    yield "long", encrypt(plain, to, protected={"a": "b" * 1600}), "its protected header is too long"
    yield "a party that is long", encrypt(plain, to, apu=bytes(65)), "apu is not"
    yield "a party that is no text", encrypt(plain, to, protected={"apv": 1}), "apv is not"
    yield "another party", encrypt(plain, to, protected={"apu": b64(b"Mallory")}), STRANGER
    yield "another alg derived", encrypt(plain, to, kdf_alg="A128GCM"), STRANGER


def of_epk(key: bytes, to: ec.EllipticCurvePublicKey) -> Iterator[Row]:
    plain = compact(oct_jwk(key)).encode()
    mine = ec.generate_private_key(ec.SECP256R1())
    jwk, wrong = public_jwk(mine.public_key()), "epk is no key on P-256"
    yield "another curve", encrypt(plain, to, epk=public_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())), wrong
    yield "a name of another curve", encrypt(plain, to, epk=jwk | {"crv": "P-384"}), wrong
    yield "another kty", encrypt(plain, to, epk=jwk | {"kty": "OKP"}), wrong
    yield "a number too long", encrypt(plain, to, epk=jwk | {"x": b64(bytes(33))}), wrong
    yield "a number too short", encrypt(plain, to, epk=jwk | {"y": b64(bytes(31))}), wrong
    yield "a text for epk", encrypt(plain, to, protected={"epk": "x"}), wrong
    yield "no y", encrypt(plain, to, epk={name: jwk[name] for name in ("kty", "crv", "x")}), "alg, enc or epk is missing"
    yield "a secret that came along", encrypt(plain, to, epk=jwk | {"d": b64(secret_of(mine))}), "epk has a private key"
    yield "another point", encrypt(plain, to, epk=jwk), STRANGER
    yield "beside the curve", encrypt(plain, to, epk=jwk | {"y": jwk["x"]}), POINT
    yield "zeros", encrypt(plain, to, epk=jwk | {"x": b64(bytes(32)), "y": b64(bytes(32))}), POINT
    yield "over the prime", encrypt(plain, to, epk=jwk | {"x": b64(b"\xff" * 32)}), POINT
    # Points of small order are on curves that differ in b alone: what agrees with those tells the secret, piece by piece.
    yield "of another curve", encrypt(plain, to, epk=jwk | {"x": b64(bytes(32)), "y": b64(bytes(31) + b"\1")}), POINT


def of_parts(key: bytes, to: ec.EllipticCurvePublicKey) -> Iterator[Row]:
    made = encrypt(compact(oct_jwk(key)).encode(), to)
    for part in ("protected", "encrypted_key", "iv", "ciphertext", "tag"):
        yield f"no {part}", {name: value for name, value in made.items() if name != part}, "a member of the JWE is missing"
        yield f"{part} no text", made | {part: 7}, "a member that is to be a text"
    for part in ("encrypted_key", "iv", "ciphertext", "tag"):
        yield f"another {part}", made | {part: flip(made[part])}, STRANGER
    yield "another header", made | {"protected": b64(base64.urlsafe_b64decode(made["protected"] + "==") + b" ")}, STRANGER
    yield "a short tag", encrypt(b"{}", to, tag_len=12), "tag has not 16"
    yield "a tag of nothing", made | {"tag": ""}, "tag has not 16"
    yield "a long iv", made | {"iv": b64(bytes(16))}, "iv has not 12"
    yield "a key for AES-128", encrypt(b"{}", to, cek_len=16), "encrypted_key has not 40"
    yield "nothing encrypted", made | {"ciphertext": ""}, "ciphertext is not"
    yield "much encrypted", encrypt(bytes(1025), to), "ciphertext is not"
    yield "not base64url", made | {"ciphertext": "+/+/"}, "ciphertext is not"
    for name in ("recipients", "unprotected", "aad"):
        yield name, made | {name: []}, "recipients, unprotected and aad"
    yield "header no object", made | {"header": "x"}, "header is no object"
    yield "a number", 7, "it is no JWE"
    yield "an array", [made], "it is no JWE"
    yield "an empty text", "", "it is no JWE of five parts"
    yield "four parts", in_one(made).rpartition(".")[0], "it is no JWE of five parts"
    yield "six parts", in_one(made) + ".AA", "tag has not 16"
    yield "for somebody else", encrypt(b"{}", ec.generate_private_key(ec.SECP256R1()).public_key()), STRANGER


def of_inside(key: bytes, to: ec.EllipticCurvePublicKey) -> Iterator[Row]:
    def inside(jwk: Any) -> dict[str, Any]:
        return encrypt((jwk if isinstance(jwk, str) else compact(jwk)).encode(), to)

    yield "another kty inside", inside(oct_jwk(key) | {"kty": "EC"}), "inside: kty is another"
    yield "no kty inside", inside({"k": b64(key)}), "inside: kty or k is missing"
    yield "no k inside", inside({"kty": "oct"}), "inside: kty or k is missing"
    yield "a short k", inside(oct_jwk(key[:15])), "inside: k is not 16"
    yield "a long k", inside(oct_jwk(key * 2)), "inside: k is not 16"
    yield "k no text", inside(oct_jwk(key) | {"k": 1}), "inside: k is not 16"
    yield "k twice", inside(compact(oct_jwk(key))[:-1] + ',"k":"AA"}'), "inside: no strict JSON"
    yield "no JSON inside", inside("k"), "inside: no strict JSON"
    yield "another JWE inside", inside(in_one(inside(oct_jwk(key)))), "inside: no strict JSON"
    yield "an array inside", inside([oct_jwk(key)]), "inside: no strict JSON"
    yield "deep inside", inside('{"a":' + "[" * 20 + "]" * 20 + "}"), "inside: no strict JSON"
    yield "a long kid", inside(oct_jwk(key, "k" * 48)), "inside: kid is no text"
    yield "an odd kid", inside(oct_jwk(key, "a\x1b[2J")), "inside: kid has control"
    yield "a kid that is none", inside(oct_jwk(key) | {"kid": 1}), "inside: kid is no text"


def by_jwcrypto(key: bytes, to: ec.EllipticCurvePublicKey) -> Iterator[Row]:
    from jwcrypto import jwe, jwk

    public = jwk.JWK(**public_jwk(to))
    plain = compact(oct_jwk(key, "the kid"))
    made = jwe.JWE(plain, compact({"alg": ALG, "enc": ENC}), recipient=public)
    yield "compact, by jwcrypto", made.serialize(compact=True), ""
    made = jwe.JWE(plain, compact({"alg": ALG, "enc": ENC}), recipient=public)
    yield "flattened, by jwcrypto", json.loads(made.serialize()), ""
    made = jwe.JWE(plain, compact({"enc": ENC}), recipient=public, header=compact({"alg": ALG, "apu": b64(b"us")}))
    yield "alg outside, by jwcrypto", json.loads(made.serialize()), ""
    made = jwe.JWE(plain, compact({"alg": ALG, "enc": ENC, "zip": "DEF"}), recipient=public)
    yield "compressed, by jwcrypto", made.serialize(compact=True), PAIR


def all_of(key: bytes, to: ec.EllipticCurvePublicKey) -> Iterator[Row]:
    for some in (good, of_header, of_epk, of_parts, of_inside):
        yield from some(key, to)


def entry(maker: Maker, number: int, jwes: list[Any]) -> dict[str, Any]:
    """Of a manifest, with these for its recipient."""
    return maker.entry(maker.payload(Chip(maker, number), encryptedSecretKeySet={"keys": jwes}))


def signed(key: bytes, to: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """A manifest of four entries: two keys and one that is not for us, no key set, forged, and one key."""
    maker = Maker()
    jwes = [encrypt(compact(oct_jwk(key[::-1], "0")).encode(), to), in_one(encrypt(compact(oct_jwk(key)).encode(), to)),
            encrypt(b"{}", ec.generate_private_key(ec.SECP256R1()).public_key())]
    entries = [entry(maker, 1, jwes), maker.good(2), entry(maker, 3, jwes), entry(maker, 4, jwes[:1])]
    entries[2]["signature"] = wrong_letter(entries[2]["signature"], 9)
    return {"signer": pem(maker.log), "root": pem(maker.root), "entries": text_of(entries)}


def write_example(folder: Path) -> None:
    """What docs/manifests.md begins with: a manifest of one chip, whom to believe, and the recipient's key."""
    maker, recipient = Maker(), ec.generate_private_key(ec.SECP256R1())
    sealed = encrypt(compact(oct_jwk(os.urandom(16), "app")).encode(), recipient.public_key())
    (folder / "manifest.json").write_text(text_of([entry(maker, 1, [sealed])]))
    (folder / "logsigner.pem").write_text(pem(maker.log))
    (folder / "root.pem").write_text(pem(maker.root))
    (folder / "recipient.pem").write_bytes(recipient.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))


def main() -> None:
    recipient, key = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
    rows = [*by_jwcrypto(key, recipient.public_key()), *all_of(key, recipient.public_key())]
    made = {"recipient": secret_of(recipient).hex(), "key": key.hex(),
            "manifest": signed(key, recipient.public_key()),
            "rows": [{"what": what, "jwe": compact(jwe), "refused": refused} for what, jwe, refused in rows]}
    (TESTS / "vectors/manifest-keys.json").write_text(json.dumps(made, indent=1) + "\n")
    corpus = TESTS.parent / "fuzz/corpus/fuzz_codec_secrets"
    corpus.mkdir(exist_ok=True)
    named = {what: jwe for what, jwe, _ in rows}
    for what in ("compact, by jwcrypto", "flattened, by jwcrypto", "parties", "epk outside", "beside the curve", "six parts"):
        (corpus / what.replace(",", "").replace(" ", "-")).write_text(compact(named[what]))
    (TESTS.parent / "fuzz/manifest_recipient.h").write_text(
        "/* Whom the keys of the corpus are encrypted to.  Written by tests/jwe.py. */\n"
        f'static const char recipient_hex[] = "{secret_of(recipient).hex()}";\n')


if __name__ == "__main__":
    main()
