#!/usr/bin/env python3
"""The shape of the code, checked: who may include whom, which file may know which foreign
library, what the shared library exports, and that nothing but a program reads a clock.

    layers.py ROOT [LIBRARY]    check the tree, and the built liblorajs.so where given
    layers.py --self-test       show that each rule can fail
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# Each layer and the layers it sees.  A file sees its own layer too.
SEES = {
    "base": "",
    "air": "base",
    "keys": "base air",
    "store": "base",
    "device": "base air keys",
    "session": "base air keys",
    "codec": "base air keys device",
    "server": "base air keys device session codec store",
}

# Each public header, and the layer that implements it.
PUBLIC = {
    "base": "base",
    "frame": "air",
    "mac": "air",
    "rekey_message": "air",
    "keys": "keys",
    "master": "keys",
    "token": "keys",
    "lot": "keys",
    "rekey_keys": "keys",
    "store": "store",
    "backend": "store",
    "device": "device",
    "join": "device",
    "rekey": "device",
    "network": "session",
    "end_device": "session",
    "rekey_device": "session",
    "message": "codec",
    "import": "codec",
    "bulk": "codec",
    "parcel": "codec",
    "qr": "codec",
    "manifest": "codec",
    "explain": "codec",
    "server": "server",
    "audit": "server",
    "rewrap": "server",
    "roles": "server",
    "claim": "server",
    "chip": "server",
    "admin": "server",
    "backup": "server",
    "lorajs": "server",
}

# One foreign library, one adapter: (the start of) a header, and the one file that knows it.
ADAPTER = {
    "sodium.h": "libjs/base/secret.c",
    "yajl/": "libjs/base/json.c",
    "msgpack": "libjs/base/pack.c",
    "gcrypt.h": "libjs/keys/gcrypt.c",
    "p11-kit/": "libjs/keys/cryptoki.c",
    "valgrind/": "libjs/base/secret.h",
    "sqlite3.h": "libjs/store/sqlite.c",
    "microhttpd.h": "tools/http.c",
    "gnutls/": "tools/tls.c",
    "confuse.h": "tools/config.c",
    "curl/": "tools/client.c",
    "png.h": "tools/qr_picture.c",
    "qrencode.h": "tools/qr_picture.c",
}

LIBC = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings tgmath threads time uchar
wchar wctype arpa/inet dirent fcntl getopt grp ifaddrs libgen net/if netdb netinet/in netinet/tcp poll
pthread pwd sched semaphore spawn sys/epoll sys/eventfd sys/file sys/ioctl sys/mman sys/prctl sys/random
sys/resource sys/select sys/signalfd sys/socket sys/stat sys/statfs sys/statvfs sys/syscall sys/time sys/timerfd sys/timex
sys/types sys/uio sys/un sys/utsname sys/wait syslog termios unistd""".split()

# What only a program may call: the clock, the environment, its arguments.
WORLD = re.compile(
    r"\b(time|clock|clock_gettime|gettimeofday|timespec_get|ftime|getenv|secure_getenv|sqlite3_vfs_xCurrentTime)"
    r"\s*\(|\b(environ|argv)\b"
)

COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\')', re.S)
INCLUDE = re.compile(r'^[ \t]*[#%][ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)

Tree = dict[str, str]  # path below the root, and the text


def uncommented(text: str) -> str:
    """Without comments, line by line as before; strings stay."""
    return COMMENT.sub(lambda m: m[1] or "\n" * m[0].count("\n"), text)


def includes(text: str):
    """(line, is it in <>, what)"""
    text = uncommented(text)
    for m in INCLUDE.finditer(text):
        yield text.count("\n", 0, m.start()) + 1, m[1] == "<", m[2]


def standard(what: str) -> bool:
    return what.removesuffix(".h") in LIBC


def public_layer(what: str) -> str | None:
    return PUBLIC.get(what.removeprefix("lorajs/").removesuffix(".h"))


def place(path: str) -> str:
    """The layer of a file: a folder of libjs/, or what stands above them all."""
    top, *rest = path.split("/")
    if top == "libjs":
        return rest[0]
    if path.startswith("include/lorajs/"):
        return PUBLIC.get(Path(path).stem, "?")
    return top


def rule_layers(tree: Tree):
    """Each layer includes itself and what lies below it, and its own header first."""
    for path, text in tree.items():
        layer = place(path)
        inside = path.startswith(("libjs/", "include/"))
        if inside and layer not in SEES:
            yield path, 1, f"belongs to no layer ({layer})"
            continue
        first = True
        for line, angle, what in includes(text):
            if angle and what.startswith("lorajs/"):
                target = public_layer(what)
                if f"include/{what}" not in tree or target is None:
                    yield path, line, f"<{what}>: no such public header, or of no layer"
                    continue
            elif not angle:
                target = what.split("/")[0] if "/" in what else None
                if inside and (target not in SEES or f"libjs/{what}" not in tree):
                    yield path, line, f'"{what}": written "layer/file.h", and it must be there'
                    continue
                if not inside and (target is not None or f"{layer}/{what}" not in tree):
                    yield path, line, f'"{what}": {layer} sees its own folder and <lorajs/...> only'
                    continue
            else:
                target = None
            if inside and target and target != layer and target not in SEES[layer].split():
                yield path, line, f"{layer} does not see {target} ({what})"
            own = path.removeprefix("libjs/").removesuffix(".c") + ".h"
            if first and path.endswith(".c") and f"libjs/{own}" in tree and what != own:
                yield path, line, f'its own header "{own}" comes first'
            first = False


def rule_adapters(tree: Tree):
    """Each foreign header is known to its adapter alone, and to it indeed."""
    used = set()
    for path, text in tree.items():
        for line, angle, what in includes(text):
            if not angle or what.startswith("lorajs/") or standard(what):
                continue
            if path.endswith(".i") and what.endswith(".i"):
                continue  # SWIG's own library
            row = next((k for k in ADAPTER if what.startswith(k)), None)
            if row is None:
                yield path, line, f"<{what}>: a foreign library without an adapter"
            elif ADAPTER[row] != path:
                yield path, line, f"<{what}> is for {ADAPTER[row]} alone"
            else:
                used.add(row)
    for row in ADAPTER.keys() - used:
        yield ADAPTER[row], 1, f"should be the adapter of <{row}...>, and does not include it"


def rule_examples(tree: Tree):
    """An example uses what is installed: <lorajs/...> and libc."""
    for path, text in tree.items():
        if path.startswith("examples/"):
            for line, angle, what in includes(text):
                if not angle or not (standard(what) or what.startswith("lorajs/")):
                    yield path, line, f"{what}: neither <lorajs/...> nor libc"


def rule_world(tree: Tree):
    """A clock, an environment and an argv are for programs."""
    for path, text in tree.items():
        if path.startswith(("tools/", "examples/")):
            continue
        for number, line in enumerate(uncommented(text).split("\n"), 1):
            line = re.sub(r'"(?:\\.|[^"\\])*"', '""', line)
            if not line.lstrip().startswith("#") and (m := WORLD.search(line)):
                yield path, number, f"{m[0].strip()}: only tools/ may"


def declared(tree: Tree):
    """(path, name, is it marked for export) of each prototype of the public headers."""
    for path, text in tree.items():
        if not path.startswith("include/lorajs/"):
            continue
        text = uncommented(text)
        text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
        text = text.replace('extern "C" {', "")
        while (flat := re.sub(r"\{[^{}]*\}", "", text)) != text:  # bodies of structs and enums
            text = flat
        for statement in text.split(";"):
            words = statement.replace("}", " ").split()
            m = re.search(r"\b(\w+)\s*\(", statement)
            if m and words and words[0] != "typedef":
                yield path, m[1], words[0] in ("LJS_API", "LJS_MUST")


def rule_exports(tree: Tree, exported: set[str]):
    """What is declared is exported, what is exported is declared, and all of it is ljs_."""
    names = set()
    for path, name, marked in declared(tree):
        names.add(name)
        if not marked:
            yield path, 1, f"{name} is declared without LJS_API or LJS_MUST"
        if not name.startswith("ljs_") or name.startswith("ljs__"):
            yield path, 1, f"{name} is public and not ljs_..."
        if name not in exported:
            yield path, 1, f"{name} is declared and not exported"
    for name in sorted(exported - names):
        yield "liblorajs.so", 1, f"{name} is exported and not declared in include/lorajs"


RULES = [rule_layers, rule_adapters, rule_examples, rule_world]


def read_tree(root: Path) -> Tree:
    return {
        str(p.relative_to(root)): p.read_text("utf-8")
        for top in ("include", "libjs", "tools", "bindings", "examples")
        for p in sorted((root / top).rglob("*"))
        if p.suffix in (".c", ".h", ".i")
    }


def read_exports(library: str) -> set[str]:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", library], check=True, capture_output=True, text=True
    ).stdout
    names = {line.split()[0].split("@")[0] for line in listing.splitlines() if line}
    return {n for n in names if not n.startswith("__") and n not in ("_init", "_fini", "mangle_path")}  # the compiler's own, and gcov's


def self_test() -> int:
    """A tree that is right, and for each rule changes that it must find."""
    good: Tree = {
        "include/lorajs/base.h": "LJS_MUST ljs_err ljs_go(int *out);\ntypedef void ljs_row(void *user);\n",
        "include/lorajs/frame.h": "#include <lorajs/base.h>\n",
        "include/lorajs/lorajs.h": "#include <lorajs/frame.h>\n",
        "libjs/air/frame.h": "#include <lorajs/frame.h>\n",
        "libjs/air/frame.c": '#include "air/frame.h"\n\n#include <string.h>\n/* time(NULL), "x" */\n',
        "libjs/keys/ring.c": '#include "air/frame.h"\nint x(void) { return f("argv time(0)"); }\n',
        "libjs/base/secret.c": '#include "base/secret.h"\n',
        "tools/tool.h": "#include <lorajs/lorajs.h>\n",
        "tools/main.c": '#include "tool.h"\nint main(int argc, char **argv) { return time(NULL); }\n',
        "examples/minimal.c": "#include <lorajs/lorajs.h>\n#include <stdio.h>\n",
        "bindings/lorajs.i": "%include <stdint.i>\n%include <lorajs/base.h>\n",
    }
    for row, path in ADAPTER.items():
        good[path] = good.get(path, "") + f"#include <{row}{'x.h' if row.endswith('/') else ''}>\n"
    faults = [
        (rule_layers, "libjs/air/frame.c", '#include "keys/ring.h"\n'),
        (rule_layers, "libjs/air/frame.c", '#include "air/frame.h"\n#include <lorajs/lorajs.h>\n'),
        (rule_layers, "libjs/air/frame.c", '#include <string.h>\n#include "air/frame.h"\n'),
        (rule_layers, "libjs/air/frame.c", '#include "frame.h"\n'),
        (rule_layers, "libjs/extra/a.c", "int x;\n"),
        (rule_layers, "include/lorajs/base.h", "#include <lorajs/frame.h>\n"),
        (rule_layers, "tools/main.c", '#include "air/frame.h"\n'),
        (rule_layers, "bindings/lorajs.i", '%{\n#include "air/frame.h"\n%}\n'),
        (rule_adapters, "libjs/keys/ring.c", "#include <sodium.h>\n"),
        (rule_adapters, "libjs/keys/ring.c", " #  include <openssl/aes.h>\n"),
        (rule_adapters, "tools/tls.c", "int x;\n"),
        (rule_adapters, "include/lorajs/base.h", "#include <gcrypt.h>\n"),
        (rule_examples, "examples/minimal.c", '#include "tool.h"\n'),
        (rule_examples, "examples/minimal.c", "#include <sqlite3.h>\n"),
        (rule_world, "libjs/keys/ring.c", "int x(void) { return time (0); }\n"),
        (rule_world, "libjs/keys/ring.c", "int x(void) { return clock_gettime(0, &t); }\n"),
        (rule_world, "libjs/keys/ring.c", "char *x(void) { return getenv(y); }\n"),
        (rule_world, "bindings/lorajs.i", "extern char **environ;\n"),
        (rule_exports, "include/lorajs/frame.h", "LJS_API int ljs_absent(void);\n"),
        (rule_exports, "include/lorajs/base.h", "int x;\n"),
        (rule_exports, "include/lorajs/base.h", "ljs_err ljs_go(int *out);\n"),
        (rule_exports, "include/lorajs/frame.h", "LJS_API int other(void);\n"),
    ]
    bad = 0

    def run(rule, tree):
        return list(rule(tree, {"ljs_go"}) if rule is rule_exports else rule(tree))

    for rule in [*RULES, rule_exports]:
        if found := run(rule, good):
            print(f"self-test: {rule.__name__} finds fault with the right tree: {found}", file=sys.stderr)
            bad += 1
    for rule, path, text in faults:
        if not run(rule, {**good, path: text}):
            print(f"self-test: {rule.__name__} misses {path}: {text!r}", file=sys.stderr)
            bad += 1
    for rule in [*RULES, rule_exports]:
        assert any(rule is r for r, _, _ in faults), rule
    print(f"self-test: {len(faults)} planted faults, {bad} wrong")
    return bad > 0


def main(args: list[str]) -> int:
    if args == ["--self-test"]:
        return self_test()
    root = Path(args[0] if args else Path(__file__).parent.parent)
    tree = read_tree(root)
    found = [f for rule in RULES for f in rule(tree)]
    if len(args) > 1:
        found += rule_exports(tree, read_exports(args[1]))
    for path, line, text in found:
        print(f"{path}:{line}: {text}")
    print(f"{len(tree)} files, {len(found)} faults")
    return len(found) > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
