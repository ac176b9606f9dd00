"""The binding itself: it reaches the whole C API, lets the GIL go where it should, and brings
what callbacks raise back out of the call that caused them."""

from __future__ import annotations

import gc
import itertools
import pathlib
import re
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator

import pytest

import lorajs
from lorajs import InvalidError, native

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADERS = sorted((ROOT / "include/lorajs").glob("*.h"))
INTERFACE = (ROOT / "bindings/lorajs.i").read_text()

# Public functions that Python does not reach, and why.
NOT_REACHED = {
    "ljs_audit_report_free": "an object frees what it owns",
    "ljs_buf_copy": "octets are bytes",
    "ljs_buf_free": "octets are bytes",
    "ljs_import_clear": "an object frees what it owns",
    "ljs_key_free": "an object frees what it owns",
    "ljs_manifest_free": "an object frees what it owns",
    "ljs_bulk_free": "an object frees what it owns",
    "ljs_bulk_row_clear": "an object frees what it owns",
    "ljs_bulk_writer_free": "an object frees what it owns",
    "ljs_parcel_free": "an object frees what it owns",
    "ljs_peers_free": "an object frees what it owns",
    "ljs_rewrap_free": "an object frees what it owns",
    "ljs_se_free": "an object frees what it owns",
    "ljs_server_free": "an object frees what it owns",
    "ljs_store_free": "an object frees what it owns",
    "ljs_vault_free": "an object frees what it owns",
}

# Functions that hold the GIL: they look something up, or move a few octets.
QUICK = set(
    """accept_build accept_parse account_kek admin_problem admin_route admin_route_act alarm_text audit_fault_name audit_fault_text
    audit_kind_text audit_link_entry audit_link_read audit_report_finding audit_report_totals backup_plan bulk_format_parse
    bulk_format_text bulk_head bulk_loses bulk_names bulk_new bulk_set bulk_writer_new cf_list_build
    cf_list_parse claim_act_text claim_state_text data_build data_parse dev_addr_parse dl_settings_build dl_settings_parse ed_event_init
    ed_opts_init ed_state_text errname eui_parse frame_build frame_parse import_example join_req_init key_check
    key_export key_len mac_command_build mac_command_parse mac_command_text mac_parse mac_text manifest_end
    manifest_expect_join_eui manifest_verdict_name manifest_verdict_text message_init
    message_answers message_reply message_type_text net_id_parse ns_opts_init ns_state_text parcel_again parcel_device
    parcel_head parcel_hold parcel_time register_why_name register_why_text parcel_wants peers_add peers_add_as_id peers_add_kek peers_add_net_id
    peers_add_ns_id peers_new qr_checksum rekey_build rekey_parse rekey_state_text rekey_status_text remedy result_code result_err role_text
    roles_allow roles_parse se_custom server_alarms server_count server_set_actor server_set_peers store_custom store_memory
    strerror vault_version
    vault_versions version""".split()
)


def public_functions() -> set[str]:
    names = set()
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", " ", header.read_text(), flags=re.S)
        names |= set(re.findall(r"\bLJS_(?:API|MUST)\b[^;{]*?\b(ljs_\w+)\s*\(", text))
    return names


def test_the_whole_c_api_is_reached() -> None:
    functions = public_functions()
    assert len(functions) > 120 and "ljs_join" in functions and "ljs_server_handle_batch" in functions
    missing = {name for name in functions if not hasattr(native, name.removeprefix("ljs_"))}
    assert missing == set(NOT_REACHED)


def test_every_header_is_wrapped() -> None:
    assert {header.name for header in HEADERS} - {"lorajs.h"} == set(re.findall(r"^%include <lorajs/(\w+\.h)>", INTERFACE, re.M))


def test_who_waits_or_computes_lets_the_gil_go() -> None:
    let_go = set(re.findall(r"^%thread ljs_(\w+);", INTERFACE, re.M))
    functions = {name.removeprefix("ljs_") for name in public_functions() - set(NOT_REACHED)}
    assert let_go <= functions
    assert functions - let_go == QUICK


class Dictionary:
    """The store contract over a dict."""

    def __init__(self) -> None:
        self.values: dict[bytes, tuple[bytes, int]] = {}
        self.version = 0
        self.closed = 0
        self.raise_in: dict[str, BaseException] = {}
        self.threads: set[int] = set()

    def _called(self, name: str) -> None:
        self.threads.add(threading.get_ident())
        if name in self.raise_in:
            raise self.raise_in[name]

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        self._called("get")
        return self.values.get(key)

    def commit(self, changes: list[tuple[bytes, bytes | None, int, int]]) -> list[int]:
        self._called("commit")
        results = []
        for _, of_group in itertools.groupby(changes, lambda change: change[3]):
            group = list(of_group)
            good = all(self.values.get(key, (b"", 0))[1] == if_version for key, _, if_version, _ in group)
            for key, value, _, _ in group if good else []:
                self.version += 1
                if value is None:
                    del self.values[key]
                else:
                    self.values[key] = value, self.version
            results += [0 if good else native.LJS_E_CONFLICT] * len(group)
        return results

    def each(self, prefix: bytes) -> Iterator[bytes]:
        self._called("each")
        for key in sorted(self.values):
            if key.startswith(prefix):
                yield key

    def close(self) -> None:
        self.closed += 1


class Boom(Exception):
    pass


def boom_of(call: Callable[[], object], exc: BaseException) -> None:
    """The call raises this very object, and its traceback leads to where it was raised."""
    with pytest.raises(type(exc)) as caught:
        call()
    assert caught.value is exc
    assert "_called" in [frame.name for frame in traceback.extract_tb(exc.__traceback__)]


def test_a_store_in_python_keeps_the_contract() -> None:
    mine = Dictionary()
    store = native.store_custom(mine)
    assert native.store_commit(store, [(b"a", b"1", 0, 0), (b"b", b"", 0, 1), (b"a", b"2", 0, 2)]) == [
        0, 0, native.LJS_E_CONFLICT]
    assert native.store_get(store, b"a") == (0, b"1", 1)
    keys: list[bytes] = []
    native.store_each(store, b"", keys.append)
    assert keys == [b"a", b"b"]
    for bad in ([(b"", b"1", 0, 0)], [(b"a", None, 0, 0)], [(b"a", b"1", 1, 1), (b"b", b"1", 0, 0)]):
        with pytest.raises(ValueError):
            native.store_commit(store, bad)
    for wrong in (None, 5, [b"a"], [(b"a",)], [(b"a", "text", 0, 0)], [[b"a", b"1", 0, 0]]):
        with pytest.raises(TypeError):
            native.store_commit(store, wrong)
    assert native.store_commit(store, [(b"a", None, 1, 0)]) == [0] and len(mine.values) == 1
    del store
    assert mine.closed == 1


@pytest.mark.parametrize("name", ["get", "commit", "each"])
@pytest.mark.parametrize("kind", [Boom, ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_what_a_store_raises_comes_out(name: str, kind: type[BaseException]) -> None:
    mine, exc = Dictionary(), kind("mine")
    store = native.store_custom(mine)
    native.store_commit(store, [(b"a", b"1", 0, 0)])
    mine.raise_in = {name: exc}
    boom_of({
        "get": lambda: native.store_get(store, b"a"),
        "commit": lambda: native.store_commit(store, [(b"b", b"1", 0, 0)]),
        "each": lambda: native.store_each(store, b"", lambda key: None),
    }[name], exc)
    mine.raise_in = {}
    assert native.store_get(store, b"a") == (0, b"1", 1)  # and nothing of it stays behind
    assert mine.threads == {threading.get_ident()}


def test_what_a_row_raises_comes_out() -> None:
    store = native.store_memory()
    native.store_commit(store, [(b"a", b"1", 0, 0), (b"b", b"1", 0, 1)])
    seen: list[bytes] = []
    exc = Boom()

    def _called(key: bytes) -> None:
        seen.append(key)
        raise exc

    boom_of(lambda: native.store_each(store, b"", _called), exc)
    assert seen == [b"a"]
    mine = Dictionary()
    mine.values = {b"a": (b"1", 1), b"b": (b"1", 2)}
    boom_of(lambda: native.store_each(native.store_custom(mine), b"", _called), exc)
    assert seen == [b"a", b"a"]


@pytest.mark.parametrize(
    "got", [5, b"value", (b"value",), (b"value", "1"), ("text", 1), (b"value", 0), (bytes((1 << 20) + 1), 1)], ids=repr
)
def test_a_store_that_gives_nonsense(got: object) -> None:
    mine = Dictionary()
    mine.get = lambda key: got  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises((TypeError, ValueError)):
        native.store_get(native.store_custom(mine), b"a")


@pytest.mark.parametrize("version", [-1, 1 << 64, (1 << 64) + 1])
def test_no_version_begins_again_at_0(version: int) -> None:
    """What does not fit into 64 bits is refused: 1 << 64 would say that nothing is there yet."""
    mine = Dictionary()
    mine.values = {b"a": (b"1", version)}
    for store in (native.store_custom(mine), native.store_memory()):
        with pytest.raises(OverflowError):
            native.store_commit(store, [(b"b", b"1", version, 0)])
        with pytest.raises(OverflowError):
            native.store_commit(store, [(b"b", b"1", 0, version)])
    with pytest.raises(OverflowError):
        native.store_get(native.store_custom(mine), b"a")
    assert list(mine.values) == [b"a"]
    mine.values = {b"a": (b"1", (1 << 64) - 1)}
    assert native.store_get(native.store_custom(mine), b"a") == (0, b"1", (1 << 64) - 1)


@pytest.mark.parametrize("number", [1 << 32, -1 << 32, 1 << 63, 1 << 64])
def test_no_result_of_a_commit_begins_again_at_0(number: int) -> None:
    """0 says that it was done."""
    mine = Dictionary()
    mine.commit = lambda changes: [number]  # type: ignore[method-assign]
    with pytest.raises(OverflowError):
        native.store_commit(native.store_custom(mine), [(b"a", b"1", 0, 0)])


@pytest.mark.parametrize("results", [None, [], [0, 0], ["yes"], 0])
def test_a_commit_that_gives_nonsense(results: object) -> None:
    mine = Dictionary()
    mine.commit = lambda changes: results  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises((TypeError, ValueError)):
        native.store_commit(native.store_custom(mine), [(b"a", b"1", 0, 0)])


def test_an_object_without_the_methods() -> None:
    class Little:
        def close(self) -> None:
            pass

    store = native.store_custom(Little())
    with pytest.raises(AttributeError, match="get"):
        native.store_get(store, b"a")
    with pytest.raises(AttributeError, match="commit"):
        native.store_commit(store, [(b"a", b"1", 0, 0)])


def test_close_has_nobody_to_tell(recwarn: pytest.WarningsRecorder) -> None:
    class Sore(Dictionary):
        def close(self) -> None:
            raise Boom("in close")

    caught: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", lambda unraisable: caught.append(unraisable.exc_value))
        del_me = native.store_custom(Sore())
        del del_me
    assert isinstance(caught[0], Boom)


class Element:
    """A secure element of one's own: what it computes is not looked at here."""

    def __init__(self) -> None:
        self.raise_in: dict[str, BaseException] = {}

    def _called(self, name: str) -> None:
        if name in self.raise_in:
            raise self.raise_in[name]

    def derive(self, to: int, from_: int, block: bytes) -> None:
        self._called("derive")
        assert len(block) == 16

    def encrypt(self, id: int, octets: bytes) -> bytes:
        self._called("encrypt")
        return octets

    def cmac(self, id: int, octets: bytes) -> bytes:
        self._called("cmac")
        return bytes(16)

    def has(self, id: int) -> bool:
        self._called("has")
        return True

    def close(self) -> None:
        pass


@pytest.mark.parametrize("name", ["derive", "cmac", "has"])
def test_what_an_element_raises_comes_out(name: str) -> None:
    mine, exc = Element(), Boom()
    se = native.se_custom(mine)
    opts = native.ed_opts_init()
    opts.join_eui, opts.dev_eui = 1, 2
    state = native.ed_new(opts)
    start = native.ed_event_init(native.LJS_ED_ON_START, 0)
    out, state_after = native.ed_step(se, start, state)
    assert out.sends == native.LJS_ED_SENDS_JOIN and state_after != state
    mine.raise_in = {name: exc}
    boom_of(lambda: native.ed_step(se, start, state), exc)
    for nonsense in (b"short", "text", None):
        mine.raise_in, mine.cmac = {}, lambda id, octets: nonsense  # type: ignore[method-assign]
        with pytest.raises((TypeError, ValueError)):
            native.ed_step(se, start, state)


def test_nothing_is_none_but_what_may_be() -> None:
    for call in (
        lambda: native.mac_parse(None), lambda: native.key_len(None), lambda: native.frame_build(None),
        lambda: native.store_get(None, b"a"), lambda: native.ns_new(None, native.ns_opts_init()),
        lambda: native.ed_new(None), lambda: native.message_build(None), lambda: native.se_software(5, None),
        lambda: native.peers_add(native.peers_new(), None, 0), lambda: native.server_handle_batch(None, []),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError):
        native.se_software(None, None)


def test_a_key_in_a_struct_stays_its_owners() -> None:
    """Or nobody would free it: guarded memory is scarce."""
    key = native.key_generate(16)
    for struct, members in ((native.root_keys(), ("nwk", "app", "gen_app", "rekey")),
                            (native.ns_keys(), ("f_nwk_s_int", "s_nwk_s_int", "nwk_s_enc"))):
        for member in members:
            setattr(struct, member, key)
            assert key.thisown
    _, imported = native.import_parse(native.import_example().splitlines()[0].encode())
    with pytest.raises(AttributeError):
        imported.nwk = key  # it owns those it was read with


def test_a_struct_inside_another_keeps_it() -> None:
    """And a struct keeps the keys that were put into it: neither points to what is freed, and wiped."""
    message = native.message_init()
    message.app_s = native.envelope_seal(native.key_generate(16), None, "")
    inside = weakref.ref(message)
    envelope = message.app_s
    octets = envelope.key
    assert any(octets)
    del message
    assert inside() is not None and [native.message_init().app_s.key for _ in range(8)] == [bytes(24)] * 8
    assert envelope.key == octets
    del envelope
    assert inside() is None
    assert native.import_parse(native.import_example().splitlines()[0].encode())[1].device.dev_eui

    keys, key = native.root_keys(), native.key_generate(16)
    keys.app, held = key, weakref.ref(key)
    del key
    assert held() is not None and native.key_len(keys.app) == 16
    read = keys.app
    keys.app = None
    assert held() is not None and native.key_len(read) == 16 and keys.app is None
    del read
    assert held() is None


class Log:
    def __call__(self, event: native.event) -> None:
        self.code = event.err


def test_what_is_borrowed_outlives_the_borrower() -> None:
    """A server has its vault, its store and its log to the end, and a marked store what it stands on."""
    vault, store, opts, log = native.vault_new(bytes(range(32))), native.store_memory(), native.server_opts(), Log()
    opts.anonymous = 1
    opts.log_to(log)
    gone = [weakref.ref(thing) for thing in (vault, store, opts)]
    told = weakref.ref(log)
    server = native.server_new(vault, store, opts)
    opts.log_to(print)  # the next one's
    del vault, store, opts, log
    assert [was() for was in gone] == [None] * 3 and told() is not None
    walk = native.rewrap_new(server)
    others = [(native.vault_new(bytes(32 - n for n in range(32))), native.store_memory()) for _ in range(64)]
    _, answer = native.server_handle(server, None, 0, lorajs.Message.home_ns_req(1, 2, 3).build())
    assert b"UnknownDevEUI" in answer and told().code == native.LJS_E_DEVICE  # type: ignore[union-attr]
    native.server_ready(server)
    del server, others
    assert native.rewrap_step(walk, 64).done
    del walk
    assert told() is None


def test_a_marked_store_keeps_what_it_stands_on(tmp_path: pathlib.Path) -> None:
    vault, plain = native.vault_new(bytes(range(32))), native.store_sqlite(str(tmp_path / "db"))
    native.server_new(vault, plain, None)
    store = native.store_marked(plain, vault, str(tmp_path / "marker"), 0)
    del vault, plain
    assert native.store_commit(store, [(b"a", b"1", 0, 0)]) == [0] and native.store_get(store, b"a")[1] == b"1"


def test_what_is_borrowed_in_a_circle() -> None:
    """The collector gives back server and store, whatever it comes to first."""
    mine, log, opts = Dictionary(), Log(), native.server_opts()
    opts.log_to(log)
    log.server = native.server_new(native.vault_new(bytes(range(32))), native.store_custom(mine), opts)  # type: ignore[attr-defined]
    del log, opts
    gc.collect()
    assert mine.closed == 1


def test_no_text_is_told_what_it_is() -> None:
    for call in (lambda: native.mac_parse(5), lambda: native.peers_add(native.peers_new(), b"acme", 0),
                 lambda: setattr(native.kek(), "label", None)):
        with pytest.raises(TypeError, match="^(text|name|label) is a str$"):
            call()


ANOTHER = """
import os, sys
import lorajs
from lorajs import native

if sys.version_info >= (3, 13):  # one with our GIL: from 3.12 on, Python by itself keeps us out of all others
    import _interpreters as interpreters
    made = interpreters.create("legacy")
else:
    import _xxsubinterpreters as interpreters
    made = interpreters.create(isolated=False)
try:
    raised = interpreters.run_string(made, "import lorajs")
    told = raised.formatted if raised else ""
except Exception as exc:  # before 3.13
    told = str(exc)
interpreters.destroy(made)
try:
    native.eui_parse("zz")
except lorajs.InvalidError:
    print(told, flush=True)
os._exit(0)
"""


def test_another_interpreter_is_told() -> None:
    """Exceptions and callbacks belong to the main one: another would get classes that are not its own.

    In a process of its own, which ends without collecting garbage: before 3.12.8 and 3.13.1, CPython frees strings of
    an interpreter that has ended while the main one has them (its issue 116510)."""
    pytest.importorskip("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    done = subprocess.run([sys.executable, "-c", ANOTHER], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "ImportError" in done.stdout and "main interpreter" in done.stdout, done
