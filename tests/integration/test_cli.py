"""The command line itself: help, versions, misspelt words, exit codes, completion, man pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from conftest import DONE, FAILED, REFUSED, ROOT, USAGE

GROUPS = {"device": ["add", "import", "export", "receive", "show", "list", "block", "unblock", "move-back",
                     "reset-nonces", "remove"],
          "kek": ["add", "list", "rotate", "retire", "remove"], "key": ["generate", "pair"], "lot": ["add", "make", "list"], "master": ["move"],
          "audit": ["verify", "show", "tail", "anchor"],
          "token": ["init", "next", "check"],
          "role": ["add", "list", "remove"],
          "account": ["add", "list", "suspend", "resume", "remove"],
          "claim": ["enrol", "claim", "challenge", "assign", "release", "offer", "withdraw", "accept", "suspend", "resume", "retire",
                    "show", "list", "index"],
          "rekey": ["start", "status", "message", "abort", "release", "reopen", "resync"],
          "qr": ["read", "make"], "manifest": ["check", "keys", "register"]}
SINGLE = ["serve", "import", "export", "rewrap", "backup", "restore", "inspect", "why", "doctor", "simulate", "completion", "version", "help"]
RUNNABLE = [[c] for c in SINGLE] + [[g, c] for g, under in GROUPS.items() for c in under]

# Every other command changes something, and so has --dry-run: those that only tell, those that make files of their own
# and nothing else, and what runs until it is ended.
NO_DRY_RUN = {
    "device show", "device list", "kek list", "lot list", "role list", "account list", "claim challenge", "claim show", "claim list",
    "rekey status", "audit verify", "audit show", "audit tail", "audit anchor", "token check", "manifest check", "qr read", "inspect",
    "why", "doctor", "completion", "version", "help",
    "key generate", "key pair", "qr make", "backup",
    "serve", "simulate"}

# What no flag, file or word of ours contains: when it is seen, a key was printed.
MARKER = "c0ffee5ec2e7c0ffee5ec2e701234567"


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"^  (--[a-z0-9-]+)", text, re.M))


def test_no_command_is_wrong_and_says_which_there_are(run):
    done = run(code=USAGE)
    assert done.stdout == "" and all(f"\n  {c} " in done.stderr for c in [*GROUPS, *SINGLE])


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_the_commands(run, words):
    done = run(*words)
    assert done.stderr == "" and all(f"\n  {c} " in done.stdout for c in [*GROUPS, *SINGLE])


def commands_in(text: str) -> set[str]:
    return set(re.findall(r"^  ([a-z-]+) ", text.split("Commands:\n")[1].split("\n\n")[0], re.M))


def test_no_command_is_left_out_here(run):
    """What the tests of all commands go through is all of them."""
    assert commands_in(run("--help").stdout) == {*GROUPS, *SINGLE}
    for group, under in GROUPS.items():
        assert commands_in(run(group, "--help").stdout) == set(under), group


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_what_changes_something_can_be_tried(run, words):
    assert ("--dry-run" in flags_in(run(*words, "--help").stdout)) == (" ".join(words) not in NO_DRY_RUN)


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_each_command_has_help(run, words):
    done = run(*words, "--help")
    assert done.stdout.startswith(f"Usage: lorajs {' '.join(words)}") and done.stderr == ""
    assert "--help" in flags_in(done.stdout)
    assert run("help", *words).stdout == done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize("group", GROUPS)
def test_groups_have_help(run, group):
    assert all(f"\n  {c} " in run(group, "--help").stdout for c in GROUPS[group])
    assert run(group, code=USAGE).stdout == ""


@pytest.mark.parametrize("words, meant", [(["devise"], "device"), (["srve"], "serve"), (["device", "imprt"], "import"),
                                          (["kek", "lst"], "list"), (["versoin"], "version"),
                                          (["device", "list", "--jsn"], "--json"),
                                          (["device", "import", "--dryrun", "x"], "--dry-run")])
def test_did_you_mean(run, words, meant):
    assert f"did you mean {meant}?" in run(*words, code=USAGE).stderr.replace("`", "")


def test_far_words_are_not_guessed(run):
    assert "did you mean" not in run("xyzzyplugh", code=USAGE).stderr


@pytest.mark.parametrize("words", [
    ["device", "add", f"--app-key={MARKER}"], ["device", "add", "--app-key", MARKER], ["kek", "add", "label", MARKER],
    ["kek", "add", MARKER], [MARKER], ["device", MARKER], ["device", "show", MARKER], ["why", MARKER],
    ["device", "import", f"--{MARKER}"], ["inspect", "--keys", "-", "--request", MARKER, "00"],
    ["key", "generate", "--length", MARKER], ["inspect", "--dev-nonce", MARKER, "00"], ["inspect", MARKER],
    ["device", "list", MARKER], ["completion", MARKER], ["role", "add", MARKER, "--roles", "audit", "--output", "x"],
    ["role", "add", "ops", f"--token={MARKER}"], ["role", "add", "ops", "--roles", MARKER, "--output", "x"]], ids=lambda w: " ".join(w).replace(MARKER, "KEY"))
def test_a_key_on_the_command_line_is_refused_and_not_repeated(run, words, data):
    done = run(*words, "--data", data, code=None) if words[0] in ("device", "kek", "why") else run(*words, code=None)
    assert done.returncode in (USAGE, REFUSED)
    assert MARKER not in done.stderr
    if words[0] != "inspect":  # inspect shows the octets of what it is given as a frame
        assert MARKER not in done.stdout
    assert not data.exists()


@pytest.mark.parametrize("words, says", [
    (["device", "import"], "needs FILE"), (["device", "show"], "needs DEVEUI"),
    (["device", "list", "extra"], "1 too many"), (["device", "list", "--data"], "needs a value"),
    (["device", "list", "--json=yes"], "takes no value"), (["device", "show", "12"], "16 hexadecimal digits"),
    (["why", "zz"], "16 hexadecimal digits"), (["key", "generate", "--length", "17"], "16|24|32"),
    (["inspect", "--request", "rejoin3", "00"], "join|rejoin0|rejoin1|rejoin2"),
    (["inspect", "--dev-nonce", "65536", "00"], "0 to 65535"), (["why", "0" * 16, "--limit", "0"], "1 to 1000"),
    (["completion", "tcsh"], "bash, zsh or fish"), (["device", "list", "--data", ""], "data")])
def test_wrong_words(run, words, says):
    done = run(*words, code=None)
    assert done.returncode in (USAGE, FAILED) and done.stdout == ""
    assert says in done.stderr and done.stderr.startswith("lorajs: ")


def test_version(run):
    text = run("version").stdout
    assert text == run("--version").stdout and re.match(r"lorajs \d+\.\d+\.\d+\nliblorajs \d", text)
    versions = json.loads(run("version", "--json").stdout)
    assert {"lorajs", "liblorajs", "libgcrypt", "libsodium", "sqlite3", "yajl", "msgpack"} <= versions.keys()
    assert all(re.match(r"\d+\.", v) for v in versions.values())
    assert f"{'libgcrypt'} {versions['libgcrypt']}" in text


def test_a_full_output_is_a_failure(program):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program, "help"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == FAILED and b"standard output" in done.stderr


# ---- completion -------------------------------------------------------------------


def complete(program: str, run, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    script = run("completion", "bash").stdout + """
        COMP_WORDS=(lorajs "$@"); COMP_CWORD=$#; _lorajs; printf '%s\\n' "${COMPREPLY[@]}" """
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands(program, run):
    assert complete(program, run, "dev") == ["device"]
    assert set(complete(program, run, "device", "")) == set(GROUPS["device"])
    assert set(complete(program, run, "kek", "l")) == {"list"}


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_bash_completes_every_flag_that_help_tells(program, run, words):
    assert set(complete(program, run, *words, "--")) >= flags_in(run(*words, "--help").stdout)


def test_bash_completes_values(program, run, tmp_path):
    (tmp_path / "keys.txt").write_text("")
    (tmp_path / "directory").mkdir()
    assert complete(program, run, "inspect", "--request", "rejoin") == ["rejoin0", "rejoin1", "rejoin2"]
    assert complete(program, run, "key", "generate", "--length", "") == ["16", "24", "32"]
    assert complete(program, run, "inspect", "--keys", f"{tmp_path}/k") == [f"{tmp_path}/keys.txt"]
    assert complete(program, run, "device", "list", "--data", f"{tmp_path}/") == [f"{tmp_path}/directory"]
    assert complete(program, run, "device", "import", f"{tmp_path}/k") == [f"{tmp_path}/keys.txt"]
    assert complete(program, run, "completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_know_every_flag(run, shell):
    script = run("completion", shell).stdout
    for words in RUNNABLE:
        for flag in flags_in(run(*words, "--help").stdout) - {"--help"}:
            assert re.search(rf"-l {flag[2:]}\b" if shell == "fish" else rf"'\*?{flag}\[", script), (words, flag)
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script.encode(), check=True)
    assert script.count("'") % 2 == 0


# ---- man pages --------------------------------------------------------------------


def man(page: str) -> str:
    return (ROOT / "tools/man" / f"{page}.1").read_text().replace("\\-", "-")


@pytest.mark.parametrize("words", [w for w in RUNNABLE if w != ["help"]], ids=" ".join)
def test_every_flag_of_help_is_in_the_man_page_and_the_other_way_round(run, words):
    page = man("lorajs" if words[0] in ("version",) else f"lorajs-{words[0]}")
    told = flags_in(run(*words, "--help").stdout) - {"--help"}
    if len(words) == 2:  # one subsection a command
        page = re.search(rf"^\.SS {words[1]}\n(.*?)(?=^\.S[SH] |\Z)", page, re.M | re.S)[1]
    written = set(re.findall(r"^\.BR?I? (--[a-z0-9-]+)", page, re.M))
    assert told <= written, told - written
    if words[0] != "version":
        assert written <= told | {"--help"}, written - told


def test_exit_codes_are_in_the_man_page():
    page = man("lorajs")
    section = re.search(r"^\.SH EXIT STATUS\n(.*?)^\.SH ", page, re.M | re.S)[1]
    assert re.findall(r"^\.B (\d)", section, re.M) == [str(c) for c in (DONE, FAILED, USAGE, REFUSED)]


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff")
def test_every_option_is_in_the_page_of_the_file(run):
    page = (ROOT / "tools/man/lorajs.conf.5").read_text().replace("\\-", "-")
    told = re.findall(r"^\.B ([a-z0-9-]+)$", page.split(".SH OPTIONS")[1].split(".SH PEERS")[0], re.M)
    assert set(told) == {f.lstrip("-") for f in flags_in(run("serve", "--help").stdout)} - {"help", "config", "peer", "force-regression"}


def test_pages_that_are_named_are_there():
    pages = {p.name for p in (ROOT / "tools/man").iterdir()}
    named = {f"{name}.{section}".replace("\\-", "-") for p in (ROOT / "tools/man").iterdir()
             for name, section in re.findall(r"^\.BR (lorajs\S*) \((\d)\)", p.read_text(), re.M)}
    assert named and named <= pages


@pytest.mark.parametrize("page", sorted(p.name for p in (ROOT / "tools/man").glob("*.[15]")))
def test_man_pages_are_well_formed(page):
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", str(ROOT / "tools/man" / page)],
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
