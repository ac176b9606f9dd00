"""Bulk files from Python: rows of any format, what is refused, and what is written."""

from __future__ import annotations

import io
import json
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lorajs
from lorajs import EUI, BulkFormat, InvalidError, Loses, Mac, Vault, read_bulk, write_bulk

KEY_A, KEY_B = "5FD2C8A17E3904B6D1F08C4B92A7E35D", "8D3C1F6A5B7E90214FD2A6C3B8E17095"
CSV = f"""id;dev_eui;join_eui;name;lorawan_version;app_key
a;70B3D57ED0000101;70B3D57ED0000000;meter;MAC_V1_0_3;{KEY_A}
b;70B3D57ED0000102;70B3D57ED0000000;;MAC_V1_0_3;{KEY_A}
c;70B3D57ED0000103;70B3D57ED0000000;;MAC_V1_0_3;{'0' * 32}
d;x;;;;
""".encode()


@pytest.fixture
def vault() -> Vault:
    return Vault(bytearray(range(32)))


def test_rows_of_a_file_are_devices_or_reasons(vault: Vault) -> None:
    good, twice, weak, bad = read_bulk(io.BytesIO(CSV), next_join_nonce=1)
    assert good.device and good.device.device.mac is Mac.V1_0_3 and good.dev_eui == EUI(0x70B3D57ED0000101)
    assert (good.number, good.line, good.name, good.has_join_nonce, good.refused) == (1, 2, "meter", False, "")
    record = good.device.make(vault)
    assert lorajs.Device.read(record).next_join_nonce == 1
    assert (twice.refused, twice.device) == ("EXISTS", None) and "app_key" in twice.reason
    assert weak.refused == "WEAK" and weak.dev_eui == EUI(0x70B3D57ED0000103)
    assert (bad.refused, bad.reason, bad.dev_eui) == ("INVAL", "dev_eui: must be 16 hexadecimal digits", None)
    assert KEY_A not in repr(good) + repr(twice)


def test_a_row_without_join_nonce_needs_somebody_who_knows() -> None:
    assert all("JoinNonce" in row.reason for row in list(read_bulk(io.BytesIO(CSV), "tts-csv"))[:3])
    row = next(read_bulk(io.BytesIO(CSV), "tts-csv", next_join_nonce=70000))
    assert row.device and row.device.device.next_join_nonce == 70000


def test_what_is_written_is_read_back(vault: Vault) -> None:
    line = (f'{{"dev_eui":"70b3d57ed0000104","join_eui":"70b3d57ed0000000","lorawan_version":"1.1","nwk_key":"{KEY_A}",'
            f'"app_key":"{KEY_B}","next_join_nonce":5,"last_dev_nonce":41,"as_id":"as"}}')
    record = lorajs.DeviceLine(line).make(vault)
    assert lorajs.bulk_loses(record, BulkFormat.LORAJS) == Loses.NOTHING
    assert lorajs.bulk_loses(record, BulkFormat.WANESY) == Loses.NONCES | Loses.SETTINGS | Loses.ROOT_KEY
    for format in BulkFormat:
        if lorajs.bulk_loses(record, format) & Loses.ROOT_KEY:
            with pytest.raises(lorajs.Refused):
                write_bulk(io.BytesIO(), format, [record], opener=vault)
            continue
        file = io.BytesIO()
        assert write_bulk(file, format, [("=1", record)], opener=vault, values=dict.fromkeys(format.names, "x")) == 1
        assert KEY_B.encode() in file.getvalue().upper()
        file.seek(0)
        [row] = read_bulk(file, mac=Mac.V1_1, join_eui=0x70B3D57ED0000000, next_join_nonce=5)
        assert row.device and row.device.device.next_join_nonce == 5 and row.device.join_euis[0] == 0x70B3D57ED0000000
        assert row.name in ("=1", "")
        assert lorajs.make_device(vault, row.device.device, record=row.device.make(vault, record),  # the same keys
                                  nwk_key=lorajs.Key.from_hex(KEY_A),
                                  app_key=lorajs.Key.from_hex(KEY_B))
        open_file = io.BytesIO()
        write_bulk(open_file, format, [record])
        assert KEY_B.encode() not in open_file.getvalue().upper()


def test_whose_file_it_is_is_seen_or_asked() -> None:
    assert BulkFormat.guess(CSV) == [BulkFormat.TTS_CSV] and str(BulkFormat.TTS_CSV) == "tts-csv"
    with pytest.raises(InvalidError, match="any of lorajs, tts-csv"):
        next(read_bulk(io.BytesIO(b"who knows")))
    for text in (b"who knows\n", CSV.replace(b"\n", b"\r")):
        with pytest.raises(InvalidError, match="header"):
            next(read_bulk(io.BytesIO(text), BulkFormat.TTS_CSV, next_join_nonce=1))
    with pytest.raises(InvalidError):
        next(read_bulk(io.BytesIO(CSV), "csv"))
    with pytest.raises(InvalidError):
        next(read_bulk(io.BytesIO(CSV), "ttjs", next_join_nonce=1 << 25))


def test_no_key_stands_in_a_traceback() -> None:
    try:
        list(read_bulk(io.BytesIO(f"{KEY_A};no header\n".encode()), "wanesy"))
    except InvalidError as why:
        shown = "".join(traceback.TracebackException.from_exception(why, capture_locals=True).format())
        assert KEY_A not in shown.replace("\n", "")
    else:
        pytest.fail("it was read")


# ---- what goes out comes in as it was ------------------------------------------------------------

KEYS = st.binary(min_size=16, max_size=16).filter(lambda octets: len(set(octets)) > 10).map(bytes.hex)
EUIS = st.integers(1, 2**64 - 1).map("{:016x}".format)
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=31)
SETTINGS = {"as_id", "ns_kek_label", "as_kek_label", "home_net_id", "home_ns_id", "require_1_1"}


@st.composite
def devices(draw: st.DrawFn) -> dict[str, object]:
    """A line of `lorajs device import`, whatever it may say."""
    mac = draw(st.sampled_from(["1.0.0", "1.0.1", "1.0.2", "1.0.3", "1.0.4", "1.1"]))
    said: dict[str, object] = {"dev_eui": draw(EUIS), "lorawan_version": mac,
                               "join_euis": draw(st.lists(EUIS, min_size=1, max_size=4, unique=True))}
    root = [["nwk_key", "app_key"]] if mac == "1.1" else [["nwk_key"], ["app_key"], ["nwk_key", "app_key"]]
    names = draw(st.sampled_from(root)) + draw(st.lists(st.sampled_from(["gen_app_key", "rekey_key"]), unique=True))
    said |= zip(names, draw(st.lists(KEYS, min_size=len(names), max_size=len(names), unique=True)))
    if draw(st.booleans()):
        said["next_join_nonce"] = draw(st.integers(2, 2**24))
        if mac in ("1.0.4", "1.1"):
            said["last_dev_nonce"] = draw(st.integers(0, 65535))
        else:
            said["used_dev_nonces"] = draw(st.lists(st.integers(0, 65535), unique=True, max_size=20))
    values = {"as_id": TEXTS, "ns_kek_label": TEXTS, "as_kek_label": TEXTS, "home_ns_id": EUIS,
              "home_net_id": st.integers(0, 2**24 - 1).map("{:06x}".format)}
    said |= {name: draw(value) for name, value in values.items() if draw(st.booleans())}
    return said | ({"require_1_1": True} if mac == "1.1" and draw(st.booleans()) else {})


def as_line(vault: Vault, record: bytes) -> dict[str, object]:
    file = io.BytesIO()
    write_bulk(file, BulkFormat.LORAJS, [record], opener=vault)
    said: dict[str, object] = json.loads(file.getvalue())
    return said


@settings(max_examples=60, deadline=None)
@given(devices(), st.sampled_from(list(BulkFormat)), TEXTS)
def test_a_device_is_the_same_in_every_format(said: dict[str, object], format: BulkFormat, title: str) -> None:
    """But for what bulk_loses() says is lost, whoever it is and whatever it is called."""
    vault = Vault(bytearray(range(32)))
    record = lorajs.DeviceLine(json.dumps(said)).make(vault)
    loses = lorajs.bulk_loses(record, format)
    if loses & Loses.ROOT_KEY:
        return
    file, first = io.BytesIO(), said["join_euis"][0]  # type: ignore[index]
    write_bulk(file, format, [(title, record)], opener=vault, values=dict.fromkeys(format.names, title))
    file.seek(0)
    [row] = read_bulk(file, format, mac=Mac.parse(str(said["lorawan_version"])), join_eui=int(first, 16),
                      next_join_nonce=int(str(said.get("next_join_nonce", 1))))
    assert row.device, row.reason
    assert row.name in (title, "") and (row.name or format in (BulkFormat.LORAJS, BulkFormat.TTJS, BulkFormat.THINGPARK))
    was, now = as_line(vault, record), as_line(vault, row.device.make(vault))
    if loses & Loses.JOIN_EUIS:
        was["join_eui"] = was.pop("join_euis")[0]  # type: ignore[index]
    lost = (SETTINGS if loses & Loses.SETTINGS else set()) | (
        {"used_dev_nonces", "last_dev_nonce"} if loses & Loses.NONCES else set()) | (
        {"gen_app_key", "rekey_key"} if loses & Loses.KEYS else set())
    for line in (was, now):
        if format is not BulkFormat.LORAJS and said["lorawan_version"] != "1.1":  # one root key, by whatever name
            other = line.pop("app_key", None)
            line["root"] = line.pop("nwk_key", other)
        for name in lost:
            line.pop(name, None)
        line["used_dev_nonces"] = sorted(line.get("used_dev_nonces", ()))  # type: ignore[call-overload]
    assert was == now


def test_many_come_in_together(vault: Vault) -> None:
    def line(i: int, key: int) -> lorajs.DeviceLine:
        return lorajs.DeviceLine(json.dumps({"dev_eui": f"{i:016x}", "join_euis": [f"{1:016x}", f"{2:016x}"],
                                             "lorawan_version": "1.0.4", "app_key": f"{(key + 1) * 0x9e3779b97f4a7c15f39cc0605cedc835 % 2**128:032x}"}))

    server = lorajs.JoinServer(vault, lorajs.Store.memory())
    results = server.import_devices([*(line(i, i) for i in range(1, 100)), line(7, 8), line(8, 8)])
    assert [result is not None and result.code == lorajs.Code.EXISTS for result in results] == [False] * 99 + [True, False]
    assert [result for i, result in enumerate(results) if i != 99] == [None] * 100
    assert len(server.devices()) == 99 and server.device(7).join_euis == 2
    assert server.import_devices([]) == []
    assert server.import_devices([line(7, 8)], replace_keys=True) == [None]
    results = server.step_devices(iter([*range(1, 99), 7, 700]), lorajs.Act.BLOCK)
    assert results[:98] == [None] * 98 and [r and r.code for r in results[98:]] == [lorajs.Code.STATE, lorajs.Code.NOTFOUND]
    assert server.device(98).state == lorajs.State.BLOCKED and server.device(99).state == lorajs.State.FRESH
    assert server.step_devices([], lorajs.Act.BLOCK) == []
    for wrong in (7, ["7"], [None]):
        with pytest.raises(TypeError):
            server.step_devices(wrong, lorajs.Act.BLOCK)  # type: ignore[arg-type]
    for large in (-1, 1 << 64):
        with pytest.raises(OverflowError):
            server.step_devices([1, large], lorajs.Act.UNBLOCK)
    assert server.device(1).state == lorajs.State.BLOCKED
    with pytest.raises(TypeError):
        lorajs.native.server_import(server._open, [line(7, 8)], 0)  # type: ignore[list-item]
    with pytest.raises(TypeError):
        lorajs.native.server_import(server._open, 7, 0)  # type: ignore[arg-type]
