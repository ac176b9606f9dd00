#!/usr/bin/env python3
"""Install a build into an empty prefix, and use what was installed: the examples through
CMake and through pkg-config, each header alone in C and in C++, the program, the README.

    package.py BUILD
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: object, input: str | None = None, cwd: Path | None = None, **env: str) -> str:
    """Standard output of a command that must succeed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=input or "", capture_output=True, text=True, cwd=cwd, timeout=300,
                          env={**os.environ, **env})
    if done.returncode:
        sys.exit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def check(truth: object, what: object) -> None:
    if not truth:
        sys.exit(f"package.py: {what}")


def installed(prefix: Path) -> tuple[Path, dict[str, str]]:
    """The library's folder, and the environment in which pkg-config finds it."""
    found = list(prefix.rglob("liblorajs.so.0"))
    check(len(found) == 1, f"one liblorajs.so.0, not {found}")
    folder = found[0].parent
    dynamic = run("objdump", "-p", found[0])
    check(re.search(r"SONAME\s+liblorajs\.so\.0\n", dynamic), "soname")
    check((folder / "liblorajs.so").is_symlink(), "liblorajs.so points at the library")
    return folder, {"PKG_CONFIG_PATH": str(folder / "pkgconfig"), "LD_LIBRARY_PATH": str(folder)}


def headers(prefix: Path, work: Path) -> None:
    """Each header stands alone, in plain C11 and in C++."""
    source = work / "header.c"
    names = sorted(p.name for p in (prefix / "include/lorajs").glob("*.h"))
    check(names == sorted(p.name for p in (ROOT / "include/lorajs").glob("*.h")), f"headers installed: {names}")
    for name in names:
        source.write_text(f"#include <lorajs/{name}>\n#include <lorajs/{name}>\nint main(void) {{ return 0; }}\n")
        strict = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I", prefix / "include", source)
        run("gcc", "-std=c11", *strict)
        run("g++", "-std=c++11", "-x", "c++", *strict)


def join_of(vector: dict) -> tuple[str, str]:
    """A vector's device as a line to import, and its request."""
    given = vector["inputs"]
    members = {k: given["device"][k]["hex"] for k in ("dev_eui", "join_eui", "nwk_key", "app_key")}
    return json.dumps({**members, "lorawan_version": "1.1"}), given["request"]


def session(out: str) -> None:
    """What the network server tells: a join, a forced rejoin, data under either keys, in this order."""
    rest = out
    for told in ("JoinAns, DevAddr 26011234: PENDING", "uplink 0 of 26011234, RekeyInd, the keys are new: REKEYING",
                 '"good morning"', "RekeyConf: JOINED", "downlink 1, ForceRejoinReq", "rejoin-request 2",
                 "RejoinAns, DevAddr 26011235: SWITCHING", "rejoined: REKEYING",
                 "uplink 0 of 26011235, RekeyInd, the keys are new: REKEYING", '"under new keys"',
                 "downlink 0, RekeyConf, payload", '"well heard"'):
        check(told in rest, f"{told!r} is not where it should be\n{out}")
        rest = rest[rest.index(told) + len(told):]


def examples(build: Path, work: Path) -> None:
    """They run, and join."""
    out = run(build / "minimal")
    check(re.fullmatch(r"JoinNonce 1, a join-accept of 17 octets, a record of \d+\n", out), out)
    session(run(build / "network_server"))

    vectors = {v["id"]: v for v in json.loads((ROOT / "tests/vectors/lorawan-join.json").read_text())}
    line, first = join_of(vectors["computed-devA-join"])
    _, second = join_of(vectors["computed-devA-rejoin1"])
    devices, database, key = work / "devices", work / f"{build.name}.db", work / "key"
    devices.write_text(line + "\n")
    key.write_bytes(os.urandom(32))

    def ask(*words: object, messages: list[str]) -> list[dict]:
        text = run(build / "join_server", devices, *words, input="".join(m + "\n" for m in messages))
        return [json.loads(answer) for answer in text.splitlines()]

    for words in ((), (database, key)):
        join, refused = ask(*words, messages=[first, "{}"])
        check(join["PHYPayload"].lower() == vectors["computed-devA-join"]["expected"]["PHYPayload"], join)
        check(refused["Result"]["ResultCode"].startswith("Malformed"), refused)
    # Another process, the same database: it remembers.
    again, rejoin = ask(database, key, messages=[first, second])
    check(again["PHYPayload"] == join["PHYPayload"], "a repeat after a restart gets the same answer")
    check(rejoin["Result"]["ResultCode"] == "Success", rejoin)
    check(rejoin["PHYPayload"] != join["PHYPayload"], rejoin)


def readme(build: Path, device: Path, work: Path, env: dict[str, str]) -> None:
    """What the README shows is compiled and run."""
    text = (ROOT / "README.md").read_text()
    blocks: dict[str, str] = {}
    for language, block in re.findall(r"^```(c|python)\n(.*?)^```$", text, re.M | re.S):
        blocks.setdefault(language, block)  # the first of each stands alone
    (work / "readme.c").write_text(blocks["c"])
    flags = run("pkg-config", "--cflags", "--libs", "liblorajs", **env).split()
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", work / "readme.c", "-o", work / "readme", *flags)
    line = json.dumps({"dev_eui": "0102030405060708", "join_eui": "70b3d57ed0000000", "lorawan_version": "1.0.4",
                       "app_key": re.search(r'app_key\[16\] = "([^"]{16})"', blocks["c"])[1].encode().hex()})
    request = run(device, "request", 1, input=line)
    (work / "answer").write_text(run(work / "readme", cwd=work, input=request, **env))
    check("has joined" in run(device, "read", 1, work / "answer", input=line), "the README's C lets a device join")
    if (build / "python/lorajs").is_dir():
        (work / "readme.py").write_text(blocks["python"])
        out = run(sys.executable, work / "readme.py", cwd=work, PYTHONPATH=str(build / "python"))
        check(re.fullmatch(r"20[0-9a-f]{32} 1\n", out), out)
    else:
        print("package.py: no Python package in this build; the README's Python is not run")


def main(build: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lorajs-package-") as name:
        work = Path(name)
        prefix = work / "prefix"
        run("cmake", "--install", build, "--prefix", prefix)
        _, env = installed(prefix)
        headers(prefix, work)

        by_cmake, by_pkg_config = work / "by-cmake", work / "by-pkg-config"
        run("cmake", "-S", ROOT / "examples", "-B", by_cmake, f"-DCMAKE_PREFIX_PATH={prefix}",
            "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror")
        run("cmake", "--build", by_cmake)
        examples(by_cmake, work)

        by_pkg_config.mkdir()
        flags = run("pkg-config", "--cflags", "--libs", "liblorajs", **env).split()
        check(run("pkg-config", "--modversion", "liblorajs", **env).count(".") == 2, "a version")
        for example in ("minimal", "join_server", "end_device", "network_server"):
            run("cc", "-std=c11", "-D_GNU_SOURCE", ROOT / f"examples/{example}.c", "-o", by_pkg_config / example,
                *flags, f"-Wl,-rpath,{env['LD_LIBRARY_PATH']}")
        examples(by_pkg_config, work)

        if (prefix / "bin/lorajs").exists():
            check(run(prefix / "bin/lorajs", "version").startswith("lorajs "), "the installed program runs")
            check(list(prefix.rglob("man1/lorajs.1*")), "a manual page")
        readme(build, by_pkg_config / "end_device", work, env)
    print("installed, built against and run")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
