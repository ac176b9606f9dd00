"""Bulk files from Python: rows of any format, what is refused, and what is written."""

from __future__ import annotations

import io
import traceback

import pytest

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
    with pytest.raises(InvalidError, match="header"):
        next(read_bulk(io.BytesIO(b"who knows\n"), BulkFormat.TTS_CSV))
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
