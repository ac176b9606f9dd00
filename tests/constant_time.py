#!/usr/bin/env python3
"""No branch and no index of ours depends on a key, a MIC, a tag or a token.

    constant_time.py ROOT    the proof, and the mutants that it has to find

The library is compiled once more, with ljs__public() telling valgrind where something made of a secret
becomes public, and tests are linked with constant_time.c, which makes every key undefined as it comes
in: what is undefined spreads bit by bit through all that is computed from it, and memcheck tells of
each jump and each address that depends on it.  What happens inside libgcrypt, libsodium and yajl is
not looked at (constant_time.supp).

Each mutant is one replacement in one file, which must match exactly once, and must be found by one of
the tests named beside it, in the function named."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

# Tests of tests/unit, one function of them behind a colon, and constant_time_text.c beside this file:
# joins and rejoins of every version, seals, envelopes, frames, parcels, both ends of a session, the
# server with its KEKs, a passphrase, tokens.
PROGRAMS = """constant_time_text keys_vectors keys_key keys_vault:tags keys_envelope keys_master:there_and_back
keys_master:another_passphrase device_sessions server_vectors server_keks:test_put_replace_delete_list
server_roles:test_a_token keys_masters:each_key_opens_the_pack codec_parcel:whole codec_parcel:exposed
session_network session_end_device_vectors""".split()

WRAPPED = "ljs_key_import ljs_key_generate ljs_vault_new ljs_master_seal ljs_master_open ljs_server_check_token".split()


class Mutant(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    program: str
    function: str  # where it is found; gcc makes no branch of a short memcmp, but there is one on what comes of it
    through: str = ""  # of a header: the file that is compiled with it


MUTANTS = [
    Mutant("a plain memcmp", "libjs/base/secret.c", "int differ = sodium_memcmp(a, b, len);",
           "int differ = memcmp(a, b, len);", "keys_key", "ljs__equal_all|ljs_key_check"),
    Mutant("a plain memcmp of few octets", "libjs/base/secret.h", "differ = (x[0] ^ y[0]) | (x[1] ^ y[1]);",
           "differ = (uint64_t)memcmp(x, y, sizeof x);", "keys_envelope", "ljs__equal", "libjs/keys/envelope.c"),
    Mutant("few octets that end at the first that differ", "libjs/base/secret.h",
           "differ = (x[0] ^ y[0]) | (x[1] ^ y[1]);", "if ((differ = x[0] ^ y[0])) return false; differ = x[1] ^ y[1];",
           "server_vectors", "ljs__equal", "libjs/keys/vault.c"),
    Mutant("hexadecimal that ends at the first digit that is none", "libjs/base/cursor.c",
           "eight = le64(octets_of(v, &bad));",
           "eight = le64(octets_of(v, &bad)); half = (two)bad; if (half[0] | half[1]) return false;",
           "constant_time_text", "ljs__hex"),
    Mutant("hexadecimal of the program that ends likewise", "tools/hex.c", "bad |= (high < 0) | (low < 0);",
           "bad |= (high < 0) | (low < 0); if (bad) return bad;", "constant_time_text", "hex_octets"),
    Mutant("a MIC by memcmp", "libjs/keys/frames.c", "!ljs__equal(mic, in + in_len - MIC_LEN, MIC_LEN)",
           "memcmp(mic, in + in_len - MIC_LEN, MIC_LEN)", "server_vectors", "ljs__join|ljs__frame_check"),
    Mutant("a tag by memcmp", "libjs/keys/vault.c", "!ljs__equal(tag, in + in_len - TAG_LEN, TAG_LEN)",
           "memcmp(tag, in + in_len - TAG_LEN, TAG_LEN)", "server_vectors", "step|ljs__record_load|ljs__vault_check"),
    Mutant("a token by memcmp", "libjs/server/credentials.c", "ljs__equal(digest, k.digest, sizeof digest)",
           "!memcmp(digest, k.digest, sizeof digest)", "server_roles:test_a_token", "ljs_server_check_token"),
    Mutant("a weak key found early", "libjs/keys/key.c", "differ |= key->octets[i] ^ key->octets[i - period];",
           "if (key->octets[i] != key->octets[i - period]) return false;", "keys_key", "ljs_key_check"),
    Mutant("a table by the octets of a key", "libjs/keys/key.c", "differ |= key->octets[i] ^ key->octets[i - period];",
           "differ |= published[key->octets[i] % 7].len ^ published[key->octets[i - period] % 7].len;", "keys_key",
           "ljs_key_check"),
]


def run(argv: list[str], **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]


class Build:
    """The library's objects, and programs of them."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work = root, work
        packages = ["libsodium", "libgcrypt", "yajl", "sqlite3", "msgpack", "cmocka", "jansson"]
        flags, libs = (run(["pkg-config", what, *packages]) for what in ("--cflags", "--libs"))
        if libs.returncode:
            sys.exit(f"constant_time: {libs.stderr.strip()}")
        self.libs = [*shlex.split(libs.stdout), "-lpthread"]
        # Optimised as what is shipped: it is the compiler that may make a branch of an expression.  Debian's
        # valgrind does not read what clang writes of itself in DWARF 5.
        self.cc = [os.environ.get("CC", "gcc"), "-std=c11", "-O2", "-g1", "-gdwarf-4", "-w", "-D_GNU_SOURCE",
                   '-DLORAJS_VERSION="0"',
                   "-DLJS_CONSTANT_TIME", f'-DTESTS_DIR="{root}/tests"', "-ffunction-sections", f"-I{root}/include",
                   f"-I{root}/libjs", f"-I{root}/tests", "-iquote", f"{root}/tools", *shlex.split(flags.stdout)]
        tests = root / "tests"
        self.sources = [*sorted(root.glob("libjs/*/*.c")), tests / "vectors.c", *sorted(tests.glob("contract/*.c")),
                        tests / "constant_time.c", root / "tools/hex.c"]
        self.shipped = {source: made for source in self.sources if (made := self.as_shipped(source))}

    def source_of(self, program: str) -> Path:
        tests, name = self.root / "tests", program.partition(":")[0]
        return tests / f"{name}.c" if name.startswith("constant") else tests / f"unit/test_{name}.c"

    def compile(self, source: Path, to: Path, *more: str) -> None:
        done = run([self.cc[0], *more, *self.cc[1:], "-c", str(source), "-o", str(to)])
        if done.returncode:
            raise RuntimeError(f"{source} does not compile:\n{done.stderr}")

    def as_shipped(self, source: Path) -> Path | None:
        """Its object in the release, by the same compiler, where nothing in it says what is public: if something did,
        more would be found, not less.  Nor does it take from p11-kit what it needs of a token."""
        layer, text = source.parent.name, source.read_text(encoding="utf-8")
        made = self.root / f"build/release/libjs/CMakeFiles/ljs_{layer}.dir/{layer}/{source.name}.o"
        other = self.cc[0] != "gcc" or re.search(r"\b(ljs__public|ljs__equal|LJS_P11KIT)\b", text)
        return made if made.is_file() and not other else None

    def object_of(self, source: Path) -> Path:
        return self.shipped.get(source) or self.work / (str(source.relative_to(self.root)).replace("/", "-") + ".o")

    def all(self, pool: ThreadPoolExecutor) -> None:
        every = [*self.sources, *sorted(set(map(self.source_of, PROGRAMS)))]
        list(pool.map(lambda source: self.compile(source, self.object_of(source)),
                      (source for source in every if source not in self.shipped)))

    def link(self, program: str, to: Path, instead: dict[Path, Path]) -> Path:
        objects = [str(instead.get(o, o)) for o in map(self.object_of, [self.source_of(program), *self.sources])]
        done = run([self.cc[0], *objects, *(f"-Wl,--wrap={name}" for name in WRAPPED), "-Wl,--gc-sections", *self.libs,
                    "-o", str(to)])
        if done.returncode:
            raise RuntimeError(done.stderr)
        return to


def valgrind(root: Path, program: Path, name: str) -> tuple[int, str]:
    done = run(["valgrind", "-q", "--error-exitcode=9", "--num-callers=8",
                f"--suppressions={root}/tests/constant_time.supp", str(program)],
               timeout=300, env={**os.environ, "CONSTANT_TIME_ONLY": name.partition(":")[2]})
    return done.returncode, done.stdout + done.stderr


def prove(build: Build, program: str) -> tuple[bool, str]:
    begin = time.monotonic()
    code, said = valgrind(build.root, build.link(program, build.work / program, {}), program)
    secrets = re.search(r"^constant_time: (\d+) secrets$", said, re.M)
    if code:
        return False, said[-6000:]
    if not secrets or secrets[1] == "0":
        return False, f"nothing was secret:\n{said[-2000:]}"
    return True, f"{secrets[1]} secrets ({time.monotonic() - begin:.1f} s)"


def judge(build: Build, number: int, mutant: Mutant) -> tuple[bool, str]:
    """Was it found, and how is it told?"""
    source = build.root / mutant.file
    text = source.read_text(encoding="utf-8")
    begin = time.monotonic()
    if text.count(mutant.old) != 1:
        return False, f"matches {text.count(mutant.old)} times in {mutant.file}"
    mutated, to = build.work / f"{number}.c", build.work / f"{number}.o"
    first: tuple[str, ...] = ()
    if mutant.through:  # the header is found before that of the tree
        first = (f"-I{build.work / str(number)}",)
        mutated = build.work / str(number) / Path(mutant.file).relative_to("libjs")
        mutated.parent.mkdir(parents=True)
    mutated.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    if mutant.through:
        source = mutated = build.root / mutant.through
    try:
        build.compile(mutated, to, *first)
        program = build.link(mutant.program, build.work / f"mutant-{number}", {build.object_of(source): to})
    except RuntimeError as error:
        return False, str(error)
    code, said = valgrind(build.root, program, mutant.program)
    found = re.search(r"uninitialised value.*(\n==\d+==\s+(at|by) .*)+", said)
    if code != 9 or not found:
        return False, f"not found, exit {code}:\n{said[-2000:]}"
    where = re.search(rf"\b({mutant.function})\b", found[0])
    if not where:
        return False, f"found, but not in {mutant.function}:\n{found[0]}"
    return True, f"{where[1]} ({time.monotonic() - begin:.1f} s)"


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="constant-time-") as work, ThreadPoolExecutor(2) as pool:
        build = Build(root, Path(work))
        build.all(pool)
        print(f"compiled, but for {len(build.shipped)} files, as the release has them", flush=True)
        for program, (good, words) in zip(PROGRAMS, pool.map(lambda p: prove(build, p), PROGRAMS)):
            failed += not good
            print(f"{'constant' if good else 'DEPENDS '}  {program}: {words}", flush=True)
        for mutant, (good, words) in zip(MUTANTS, pool.map(lambda at: judge(build, *at), enumerate(MUTANTS))):
            failed += not good
            print(f"{'found   ' if good else 'MISSED  '}  {mutant.name}: {words}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
