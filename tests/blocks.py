"""Every block of code in the documents: who runs it, or by what it is checked, or why it is not run.

A block has a kind, the word behind its fence.  One that nobody runs and whose kind nobody checks is an
error; so is a line of the tables below that fits no block."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent

# Run by others: documents, kind, what is in it (or "" for all), by whom.
ELSEWHERE = [
    ("README.md", "sh", "scripts/serve", "scripts/check serve, and scripts/check itself"),
    ("README.md", "c", "int main", "tests/package.py"),
    ("README.md", "python", "lorajs.join(", "tests/package.py and tests/wheel.py"),
    ("README.md", "python", "lorajs_device", "tests/python/test_testing.py"),
    ("docs/cookbook/*.md", "python", "", "tests/cookbook.py"),
    ("docs/cookbook/*.md", "text", "", "tests/cookbook.py"),
    ("docs/rekey.md", "sh", "rekey resync", "tests/integration/test_cli_rekey.py"),
    ("docs/sessions.md", "mermaid", "", "scripts/diagrams.py"),
    ("docs/simulate.md", "sh", "simulate --rekey", "tests/integration/test_simulate.py"),
    ("docs/*.md", "{toctree}", "", "scripts/check site"),
    ("docs/*.md", "{eval-rst}", "", "scripts/check site"),
]
# Not run, but for what can be told of it without: document, what is in it, why.
NOT_RUN = [
    ("CONTRIBUTING.md", "cmake --preset dev", "builds everything: scripts/check does"),
    ("docs/ARCHITECTURE.md", "base < air", "a drawing"),
    ("docs/custody.md", "aes128_encrypt(LotKey", "a formula: tests/integration/test_cli_lot.py computes it"),
    ("docs/custody.md", "systemd-creds", "writes into /etc, and takes a machine that systemd runs"),
    ("docs/key-ceremony.md", "systemd-creds", "writes into /etc, and takes a machine that systemd runs"),
    ("docs/deployment.md", "sudo cmake --install", "installs into /usr: tests/package.py does so into a prefix"),
    ("docs/deployment.md", "systemctl", "takes a machine that systemd runs"),
    ("docs/deployment.md", "useradd", "makes a user"),
    ("docs/deployment.md", "pip install .", "takes PyPI: tests/wheel.py does, from the sources that were packed"),
    ("docs/model.md", "model_explore --long", "takes hours: scripts/check model does the first two"),
    ("docs/performance.md", "bench/run --quick", "takes an idle machine: scripts/check bench runs all of it, untimed"),
    ("docs/performance.md", "bench/asgi.py", "takes an idle machine: scripts/check bench runs a round of it"),
    ("docs/rekey.md", "Join Server       ", "a drawing"),
    ("docs/sessions.md", "(state, event)", "a formula"),
    ("docs/sessions.md", "network server   ", "a drawing"),
    ("docs/simulate.md", "the device has no session", "what nobody has seen happen"),
    ("docs/testing.md", "fuzz_codec_message", "runs until it is stopped: scripts/check fuzz does"),
]


class Block(NamedTuple):
    document: str
    line: int
    kind: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.document}:{self.line}"


def check(truth: object, what: object) -> None:
    if not truth:
        sys.exit(f"blocks.py: {what}")


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def all_blocks() -> list[Block]:
    """Fenced and indented, in lists and quotes too."""
    return [Block(str(path.relative_to(ROOT)), token.map[0] + 1, (token.info.split() or [""])[0], token.content)
            for path in documents() for token in MarkdownIt("commonmark").parse(path.read_text())
            if token.type in ("fence", "code_block")]


class Blocks:
    """The blocks, handed out to whoever runs them, and what is left then."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self.left = all_blocks()
        check(len(self.left) > 60, f"only {len(self.left)} blocks")
        [whole] = [b.text for b in self.left if b.document == "docs/deployment.md" and b.kind == "conf"]
        self.listener = whole[:whole.index("peer ")]

    def take(self, document: str, kind: str, marker: str) -> str:
        """The one block of a kind with these words in it, to be run."""
        found = [b for b in self.left if b.document in (document, f"docs/{document}") and b.kind == kind
                 and marker in b.text]
        check(len(found) == 1, f"{document}: not one {kind} with {marker!r} but {[b.where for b in found]}")
        self.left.remove(found[0])
        return found[0].text

    def rest(self) -> None:
        """Nothing is left that nobody answers for."""
        kinds: dict[str, Callable[[Block], None]] = {
            "sh": self._shell, "conf": self._conf, "ini": self._unit, "toml": lambda b: check(tomllib.loads(b.text), b.where),
            "yaml": lambda b: check(yaml.safe_load(b.text), b.where), "json": lambda b: check(json.loads(b.text), b.where)}
        named = [(document, "*", marker, why) for document, marker, why in NOT_RUN]
        counted = dict.fromkeys([*ELSEWHERE, *named], 0)
        for block in self.left:
            rows = [row for row in counted if fnmatch(block.document, row[0]) and fnmatch(block.kind, row[1])
                    and row[2] in block.text]
            check(len(rows) < 2, f"{block.where}: {rows}")
            for row in rows:
                counted[row] += 1
            checked = kinds.get(block.kind)
            check(rows or (checked and block.kind != "sh"), f"{block.where}: a block of kind {block.kind!r} that nobody "
                  "runs: see ELSEWHERE and NOT_RUN in tests/blocks.py")
            try:
                if checked:
                    checked(block)
            except (ValueError, yaml.YAMLError, configparser.Error) as wrong:
                check(False, f"{block.where}: {wrong}")
        for row, found in counted.items():
            check(found == 1 or found and not row[2], f"{row} fits {found} blocks")

    # -- what can be told without running

    def _shell(self, block: Block) -> None:
        """It is bash; commands and options of lorajs, and files of ours, are there."""
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
        check(done.returncode == 0, f"{block.where}: {done.stderr}")
        for command in re.split(r"\n|&&|\|", block.text.replace("\\\n", " ")):
            words = [word for word in shlex.split(command, comments=True) if word != "sudo"]
            if words and words[0] == "lorajs":
                self._lorajs(block, words[1:])
            for word in words:
                if re.match(r"(scripts|bench|fuzz)/", word):
                    check((ROOT / word).exists(), f"{block.where}: no {word}")

    def _lorajs(self, block: Block, words: list[str]) -> None:
        for length in (2, 1):
            told = subprocess.run([self.program, *words[:length], "--help"], text=True, capture_output=True)
            if told.returncode == 0:
                break
        check(told.returncode == 0, f"{block.where}: no lorajs {' '.join(words[:2])}")
        for word in words:
            option = word.split("=")[0]
            check(not option.startswith("--") or re.search(rf"{option}\b", told.stdout), f"{block.where}: no {option}")

    def _conf(self, block: Block) -> None:
        """The daemon would take it, a peer by itself behind the rest of deployment.md; what it names need not be there."""
        with tempfile.TemporaryDirectory(prefix="lorajs-docs-") as name:
            file = Path(name, "lorajs.conf")
            file.write_text((self.listener if block.text.startswith("peer ") else "") + block.text)
            done = subprocess.run([self.program, "doctor", "--json", "--config", file, "--data", Path(name, "none")],
                                  text=True, capture_output=True)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        about = [f for f in found if f.get("check") == "configuration"]
        check([f["verdict"] for f in about] == ["ok"], f"{block.where}: {about or done.stderr}")

    def _unit(self, block: Block) -> None:
        """A drop-in of lorajs.service, as systemd reads it."""
        parser = configparser.RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(block.text)
        check(parser.sections(), f"{block.where}: no section")
        if not (analyze := shutil.which("systemd-analyze")):
            print("no systemd-analyze here: units are read for their syntax alone")
            return
        with tempfile.TemporaryDirectory(prefix="lorajs-docs-") as name:
            unit = Path(name, "lorajs.service")
            unit.write_text((ROOT / "tools/lorajs.service").read_text().replace("/usr/bin/lorajs", str(self.program)))
            (drop_in := Path(f"{unit}.d")).mkdir()
            (drop_in / "documented.conf").write_text(block.text)
            done = subprocess.run([analyze, "verify", "--man=no", unit], text=True, capture_output=True)
            check(done.returncode == 0 and not done.stderr, f"{block.where}: {done.stderr}")
