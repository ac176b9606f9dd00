#!/usr/bin/env python3
"""Write native.pyi, what type checkers know of the module that SWIG makes: from the headers that SWIG
reads, by the shapes that lorajs.i converts.  stubtest holds it to the module.

    stubs.py INCLUDE OUT"""

from __future__ import annotations

import re
import sys
from pathlib import Path

NUMBERS = {"int", "unsigned", "size_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "int32_t", "int64_t",
           "ljs_eui", "ljs_devaddr", "ljs_netid"}
HANDLES = {"ljs_key", "ljs_vault", "ljs_store", "ljs_server", "ljs_peers", "ljs_parcel", "ljs_audit_report", "ljs_rewrap",
           "ljs_manifest", "ljs_bulk", "ljs_bulk_writer", "ljs_se"}
TUPLES = {"ljs_buf", "ljs_call", "ljs_change", "ljs_store_ops", "ljs_se_ops"}  # in Python of another shape
RENAMED = {"ljs_import": "imported"}
# What may be None, by its header; in others it may not.
MAY_BE_NONE = {"peer", "ns_label", "as_label", "ns_kek", "as_kek", "nwk", "app", "gen_app", "rekey", "x25519", "f_nwk_s_int",
               "s_nwk_s_int", "nwk_s_enc"}
MAY_BE_NONE_IN = {"ljs_envelope_seal": {"kek"}, "ljs_envelope_open": {"kek"}, "ljs_server_new": {"opts"},
                  "ljs_device_make": {"in", "record"}, "ljs_server_make_device": {"in"},
                  "ljs_parcel_land": {"record"}, "ljs_server_verify_audit": {"in"}, "ljs_server_set_actor": {"who"},
                  "ljs_server_claim": {"in"}, "ljs_marker_look": {"against"},
                  "ljs_bulk_next": {"in"}, "ljs_bulk_put": {"opener", "title"},
                   "ljs_backup_plan": {"marker", "known"}}
OCTETS = {"in", "record", "state", "key", "prefix"}
# Functions whose ljs_err is a result: it is what was asked for, or what comes with it tells more.
NUMBERED = {"ljs_server_handle", "ljs_import_parse", "ljs_message_answer", "ljs_store_get", "ljs_server_decision",
            "ljs_explain_accept", "ljs_qr_parse", "ljs_manifest_next", "ljs_manifest_open_secret", "ljs_bulk_next", "ljs_result_err"}
ROWS = {"ljs_store_row": "Callable[[bytes], object]", "ljs_device_row": "Callable[[int], object]",
        "ljs_event_row": "Callable[[event], object]",
        "ljs_kek_row": "Callable[[str, int], object]", "ljs_lot_row": "Callable[[str], object]",
        "ljs_audit_row": "Callable[[int, int], object]",
        "ljs_credential_row": "Callable[[credential], object]", "ljs_account_row": "Callable[[account], object]",
        "ljs_claim_row": "Callable[[claim], object]"}
# Made by a function alone; and one whose field has its own name, which SWIG takes for a constructor.
NO_CONSTRUCTOR = HANDLES | {"ljs_join_eui", "ljs_join_req", "ljs_message", "ljs_ns_opts", "ljs_ns", "ljs_ed_opts",
                           "ljs_ed_event", "ljs_ed", "ljs_rekey", "ljs_claim_index", "ljs_import", "ljs_bulk_row",
                           "ljs_admin_ans"}

READ_ONLY = {"ljs_import", "ljs_bulk_row", "ljs_admin_ans"}

HEAD = '''"""What SWIG makes of the headers, for type checkers.  Written by bindings/stubs.py: do not edit."""

from collections.abc import Callable, Iterable
from typing import Any

_Octets = bytes | bytearray | memoryview

'''


def strip(text: str) -> str:
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return re.sub(r"^#.*?$", "", text, flags=re.M)


def py(name: str) -> str:
    return RENAMED.get(name, name.removeprefix("ljs_"))


class Api:
    def __init__(self, text: str) -> None:
        self.constants = [
            name for body in re.findall(r"\benum(?:\s+\w+)?\s*\{(.*?)\}", text, re.S)
            for name in re.findall(r"\b(LJS_\w+)\s*(?:=|,|$)", re.sub(r"=[^,]*", "=", body))
        ]
        self.enums = set(re.findall(r"\benum\s+(ljs_\w+)\s*\{", text))
        self.structs = {
            name: body for name, body in re.findall(r"typedef struct (ljs_\w+) \{(.*?)\n\} \1;", text, re.S)
            if name not in TUPLES
        }
        self.functions = [
            (name, result, args) for result, name, args in re.findall(
                r"\bLJS_(?:API|MUST)\s+([\w\s]+?\*?)\s*\b(ljs_\w+)\s*\(([^;{]*?)\);", text, re.S)
            if not name.endswith("_free") and name not in ("ljs_buf_copy", "ljs_import_clear", "ljs_bulk_row_clear")
        ]

    # -- structs

    def fields(self, struct: str) -> list[tuple[str, str]]:
        found = []
        for kind, names in re.findall(r"^\s*((?:const\s+)?\w+)\s+([^;(]+);", self.structs[struct], re.M):
            for declared in names.split(","):
                name, length = re.match(r"\s*\*?(\w+)\s*(\[)?", declared).groups()  # type: ignore[union-attr]
                if name != "struct_size":
                    found.append((name, self.field_type(kind.removeprefix("const").strip(), bool(length))))
        return [(name, hint) for name, hint in found if hint]

    def field_type(self, kind: str, array: bool) -> str:
        if kind == "char":
            return "str"
        if kind == "uint8_t" and array:
            return "bytes"
        if array:
            return "tuple[int, ...]"
        if kind in NUMBERS or kind in self.enums or kind == "ljs_err":
            return "int"
        if kind == "ljs_buf":
            return "bytes"
        if kind in HANDLES:
            return f"{py(kind)} | None"
        return py(kind) if kind in self.structs else ""  # no callbacks

    # -- functions

    def function(self, name: str, result: str, args: str) -> str:
        results, params = [], []
        may_be_none = MAY_BE_NONE | MAY_BE_NONE_IN.get(name, set())
        if result != "ljs_err" or name in NUMBERED:
            results += [self.value(result)] if result != "void" else []
        declared = [] if args.strip() == "void" else [" ".join(arg.split()) for arg in args.split(",")]
        at = 0
        while at < len(declared):
            kind, stars, arg, array = re.match(  # type: ignore[union-attr]
                r"(?:const )?(\w+) ?(\**)(\w+)(\[\w+\])?", declared[at]).groups()
            following = declared[at + 1] if at + 1 < len(declared) else ""
            at += 1
            if arg in ("out", "out_record", "out_state", "out_key") or (kind, arg) == ("uint64_t", "version"):
                results.append("bytes" if array or kind == "ljs_buf" else self.value(kind))
            elif (kind, arg, stars) == ("size_t", "at", "*"):
                params.append("at: int")
                results.append("int")
            elif kind == "uint8_t" and arg in OCTETS and following.endswith(f"{arg}_len"):
                at += 1
                octets = "_Octets" + (" | None" if arg in may_be_none else "")
                params.append(f"{'_in' if arg == 'in' else arg}: {octets}")
            elif kind in ROWS:
                at += 1
                params.append(f"row: {ROWS[kind]}")
            elif kind in ("ljs_store_ops", "ljs_se_ops"):
                at += 1
                params.append("ops: object")
            elif kind == "ljs_change":
                at += 1
                params.append("changes: Iterable[tuple[bytes, bytes | None, int, int]]")
                results.append("list[int]")
            elif (kind, arg) == ("ljs_err", "results"):
                pass
            elif (kind, arg) == ("ljs_import", "imports"):
                at += 1
                params.append("imports: Iterable[imported]")
                results.append("list[int]")
            elif (kind, arg) == ("ljs_eui", "dev_euis"):
                at += 1
                params.append("dev_euis: Iterable[int]")
                results.append("list[int]")
            elif (kind, arg) == ("ljs_registered", "registered"):
                pass
            elif (kind, arg) == ("ljs_manifest_entry", "entries"):
                at += 1
                params.append("entries: Iterable[manifest_entry]")
                results.append("list[registered]")
            elif kind == "ljs_call":
                at += 1
                params.append("calls: Iterable[tuple[str | None, int, bytes]]")
                results.append("list[tuple[int, bytes, Exception | None]]")
            else:
                none = arg in may_be_none and stars
                params.append(f"{arg}: {self.value(kind)}" + (" | None" if none else ""))
        gives = results[0] if len(results) == 1 else f"tuple[{', '.join(results)}]" if results else "None"
        return f"def {py(name)}({', '.join(params)}) -> {gives}: ..."

    def value(self, kind: str) -> str:
        kind = kind.replace("const", "").replace("*", "").strip()
        if kind == "char":
            return "str"
        return "int" if kind in NUMBERS or kind in self.enums or kind == "ljs_err" else py(kind)


def stub(text: str) -> str:
    api = Api(strip(text))
    lines = [HEAD + "".join(f"{name}: int\n" for name in api.constants)]
    for handle in sorted(HANDLES):
        lines.append(f"class {py(handle)}:\n    thisown: bool\n"
                     "    def __init__(self, *args: Any, **kwargs: Any) -> None: ...\n")
    for struct in api.structs:
        field = "    @property\n    def {}(self) -> {}: ...\n" if struct in READ_ONLY else "    {}: {}\n"
        made = "*args: Any, **kwargs: Any" if struct in NO_CONSTRUCTOR else ""
        lines.append(f"class {py(struct)}:\n    thisown: bool\n"
                     + "".join(field.format(name, hint) for name, hint in api.fields(struct))
                     + f"    def __init__(self{', ' + made if made else ''}) -> None: ...\n"
                     + ("    def log_to(self, told: Callable[[event], object]) -> None: ...\n"
                        if struct == "ljs_server_opts" else ""))
    lines.append("def main_interpreter() -> None: ...")
    lines.append("def set_raiser(callable: Callable[[int, str, str, str], BaseException]) -> None: ...")
    lines += [api.function(*function) for function in api.functions]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    include, out = map(Path, sys.argv[1:])
    out.write_text(stub("".join(header.read_text() for header in sorted(include.glob("*.h")))))
