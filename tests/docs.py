#!/usr/bin/env python3
"""Do as the documents say: the shell blocks of deployment.md, custody.md and backup-and-restore.md in
their order, with their configuration, until devices join over TLS, and the small ones of others; see that
somebody answers for every block of code there is (blocks.py); and follow every link.

    docs.py PROGRAM        as built, with the Python package beside it
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from blocks import Blocks, documents
from jwe import write_example

ROOT = Path(__file__).resolve().parent.parent


def check(truth: object, what: object) -> None:
    if not truth:
        sys.exit(f"docs.py: {what}")


def links() -> None:
    """A link in a document leads to a file, and to a heading that is there."""
    check(len(documents()) > 8, "documents")
    for path in documents():
        text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not re.match(r"[a-z]+:", target):
                check((path.parent / target).exists(), f"{path.name}: no {target}")
        for named in re.findall(r"`((?:tools|tests|libjs|scripts|docs|include|fuzz|examples|python|bindings)/[\w./-]+)`", text):
            check("LAYER" in named or (ROOT / named).exists(), f"{path.name}: no {named}")


def modules() -> None:
    """The site has every module of the Python package: by itself, or by what `lorajs` has of it."""
    told = re.findall(r"automodule:: ([\w.]+)", (ROOT / "docs/python-api.md").read_text())
    ours = set(re.findall(r"^from \.(\w+) import", (ROOT / "python/lorajs/__init__.py").read_text(), re.M))
    package = ROOT / "python/lorajs"
    there = {path.stem for path in package.glob("[a-z]*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    there -= ours | {"shape"}
    check(set(told) == {"lorajs"} | {f"lorajs.{name}" for name in there}, f"python-api.md: {sorted(told)} for {sorted(there)}")


def proofs() -> None:
    """Each test that the threat model names is there: a function of that file."""
    named = re.findall(r"`([\w./-]+\.(?:c|py)):(\w+)`", (ROOT / "docs/threat-model.md").read_text())
    check(len(named) > 40, f"{len(named)} tests in the threat model")
    for file, name in named:
        check((ROOT / file).is_file(), f"threat-model.md: no {file}")
        check(re.search(rf"^(?:def |static void |int |.*\bKIND\(){name}\b", (ROOT / file).read_text(), re.M)
              or re.search(rf"^static void {name}\(", (ROOT / file).read_text(), re.M),
              f"threat-model.md: no {name} in {file}")


def sandbox() -> None:
    """The unit keeps the daemon to itself: its exposure, from 0 to 10, as systemd reckons, is 1.5 at the most."""
    if not (analyze := shutil.which("systemd-analyze")):
        print("no systemd-analyze here: nothing reckons what the unit exposes")
        return
    done = subprocess.run([analyze, "security", "--offline=true", "--no-pager", "--threshold=15",
                           ROOT / "tools/lorajs.service"], text=True, capture_output=True)
    check(done.returncode == 0 and "Overall exposure" in done.stdout, done.stdout + done.stderr)


def ceremony(t: Trial, b: Blocks) -> None:
    """Two people and a machine without a network, all played here: a master key whose halves fit."""
    for name in ("OFFLINE", "SEALED", "WORDS"):
        t.env[name] = str(t.work / "ceremony" / name.lower())
    for name in ("SEALED", "WORDS"):
        Path(t.env[name]).mkdir(parents=True)
    t.sh(b.take("key-ceremony.md", "sh", "lorajs key generate"))
    lines = t.sh(b.take("key-ceremony.md", "sh", "sha256sum")).split()
    check(len(lines) == 2 and all(re.fullmatch("[0-9a-f]{16}", line) for line in lines), lines)
    check(sorted(p.name for p in Path(t.env["SEALED"]).iterdir()) == ["lorajs.db", "master.sealed"], "no key in clear")
    said = t.sh(b.take("key-ceremony.md", "sh", "lorajs doctor"))
    check(", 0 errors" in said, said)
    t.sh(b.take("key-ceremony.md", "sh", "shred"))
    check(not Path(t.env["OFFLINE"]).exists(), "nothing is left where it was made")


class Trial:
    def __init__(self, program: Path, work: Path) -> None:
        self.program, self.work = program, work
        self.env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
        for name in ("DATA", "BACKUP", "SAFE", "RESTORED", "OTHER", "INSIDE", "ROTATED", "ELSEWHERE"):
            self.env[name] = str(work / name.lower())
        (work / "backup").mkdir()
        self.env["SAFE"] = self.env["DATA"]
        self.started: list[subprocess.Popen] = []

    def sh(self, script: str) -> str:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=self.work, env=self.env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
        check(done.returncode == 0, f"exit {done.returncode}\n{script}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def serve(self, script: str, listeners: int = 2) -> tuple[subprocess.Popen, str, str]:
        """Start it; the URL that it serves by TLS, and that without, which has its metrics."""
        log = self.work / f"serve-{time.monotonic_ns()}"
        process = subprocess.Popen(["bash", "-c", f"exec {script}"], cwd=self.work, env=self.env,
                                   stdin=subprocess.DEVNULL, stdout=log.open("wb"), stderr=subprocess.STDOUT)
        self.started.append(process)
        for _ in range(600):
            said = log.read_text()
            urls = re.findall(r"https?://[^\s:]+:\d+", said)
            if len(urls) >= listeners or process.poll() is not None:
                break
            time.sleep(0.05)
        check(len(urls) >= listeners, said)
        self.log = log
        secure = next((re.sub(r"//[^:]+:", "//localhost:", u) for u in urls if u.startswith("https")), "")
        return process, secure, next(u for u in urls if not u.startswith("https"))

    def refuses(self, script: str) -> bool:
        """Serving ends at once, with 3."""
        return subprocess.run(["bash", "-c", f"exec {script}"], cwd=self.work, env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=120).returncode == 3

    def stop(self, process: subprocess.Popen) -> None:
        process.send_signal(signal.SIGTERM)
        check(process.wait(60) == 0, "serve ends with 0")

    def simulate(self, url: str, more: str) -> None:
        self.sh(f"lorajs simulate --devices 12 --url {url} --net-id 000013 --ca ca.pem --cert ns.acme.example.pem "
                f"--cert-key ns.acme.example.key --kek-file keks {more}")


FREE = "127.0.0.1:0"


def request(t: Trial, dev_nonce: int) -> None:
    """What acme's network server asks for the first device of LoRaWAN 1.0.4, as request.json."""
    import lorajs

    line = next(line for line in (t.work / "devices.jsonl").read_text().splitlines() if '"1.0.4"' in line)
    device = lorajs.DeviceLine(line.encode())
    [key] = re.findall(r'"app_key":"([0-9a-f]{32})"', line)
    frame = lorajs.Frame(lorajs.FrameKind.JOIN, device.device.dev_eui, device.device.join_eui, nonce=dev_nonce)
    message = lorajs.Message.join_req(0x13, frame.join_eui, frame.dev_eui, frame.sign(lorajs.Key.from_hex(key)),
                                      mac=lorajs.Mac.V1_0_4, dev_addr=0x26011234, transaction_id=dev_nonce)
    (t.work / "request.json").write_bytes(message.build())


def ask(t: Trial, b: Blocks, url: str) -> None:
    """The request of deployment.md, and the lines of the log that configuration.md shows."""
    curl = b.take("deployment.md", "sh", "@request.json").replace("https://localhost:8443/", f"{url}/")
    check(url in curl, "curl asks this server")
    for dev_nonce, result in ((60000, "Success"), (60000, "Success"), (59999, "JoinReqFailed")):
        request(t, dev_nonce)
        check(f'"ResultCode":"{result}"' in (said := t.sh(curl)), said)
    shown = b.take("configuration.md", "text", "REPLAY JoinReq")

    def lines(log: str) -> set[str]:
        return set(re.sub(r"\d{4}-\d\d-\d\dT[\d:]{8}Z|(?<=dev_eui=)[0-9a-f]{16}|(?<=nonce=)\d+", "_", log).splitlines())

    check(len(lines(shown)) == 2 and lines(shown) <= lines(t.log.read_text()), f"{shown}\nis not in\n{t.log.read_text()}")


def moving(t: Trial, b: Blocks) -> None:
    """A device from one server to another, both serving; whoever asks the old one is answered by the new one."""
    (t.work / "moving").mkdir()
    t.env["OLD"], t.env["NEW"] = (str(t.work / "moving" / name) for name in ("old", "new"))
    simulate = "lorajs simulate --devices 2 --seed moving"
    listed = t.sh(f"{simulate} --provision | tee moving/fleet | lorajs device import - --data $OLD && cat moving/fleet")
    known = [json.loads(line)["dev_eui"] for line in listed.splitlines() if line.startswith("{")]
    serve = f"lorajs serve --listen {FREE} --allow-clear-keys --log-level error --data"
    there, _, url = t.serve(f"{serve} $NEW", 1)
    here, _, old = t.serve(f"{serve} $OLD --forward {url}", 1)
    for marker in ("key pair x25519", "key pair ed25519", "--move", "device receive"):
        t.sh("cd moving\n" + b.take("migration.md", "sh", marker).replace("70b3d57ed0000001", known[0]))
    check(known[0] in (said := t.sh("lorajs device list --data $NEW")) and known[1] not in said, said)
    check("2 devices: 2 joins" in (said := t.sh(f"{simulate} --url {old}")), said)
    for process in (there, here):
        t.stop(process)


def small(t: Trial, b: Blocks) -> None:
    """A daemon in a line, and the simulator by itself."""
    alone = b.take("configuration.md", "sh", "lorajs serve")
    serve, provision, joins = b.take("README.md", "sh", "lorajs serve").splitlines()
    check(alone.strip() == serve, "the two begin alike")
    serve, provision = (line.replace("DIR", "tried") for line in (serve, provision))
    process, _, url = t.serve(serve.replace("127.0.0.1:8080", FREE), 1)
    t.sh(provision)
    check("100 devices: 100 joins" in (said := t.sh(joins.replace("http://127.0.0.1:8080", url))), said)
    t.stop(process)

    (t.work / "token.txt").write_text("AABBCCDDEEFF\n")
    said = t.sh(b.take("labels.md", "sh", "lorajs qr make"))
    check(":OAABBCCDDEEFF:SYYWWNNNNNN:C" in said and "CheckSum         good" in said, said)
    exec(b.take("labels.md", "python", "lorajs.QR"), {"print": lambda text: check(":PFOOBAR:CAF2C" in text, text)})

    made = json.loads((ROOT / "tests/vectors/manifests.json").read_text())
    (t.work / "logsigner.pem").write_text(made["signer"])
    (t.work / "root.pem").write_text(made["root"])
    (t.work / "manifest.json").write_text(next(m["entries"] for m in made["manifests"] if m["what"] == "two"))
    said = t.sh(b.take("manifests.md", "sh", "lorajs manifest check"))
    check("2 entries: 2 good, 0 refused" in said, said)
    before, t.env["DATA"] = t.env["DATA"], str(t.work / "registered")
    said = t.sh(b.take("manifests.md", "sh", "lorajs manifest register"))
    check("2 entries: 2 registered, 0 refused" in said and said.count("registered, assigned to acme") == 2, said)
    t.sh(b.take("manifests.md", "sh", "lorajs claim challenge"))
    words = (t.work / "challenge").read_text().split()
    check([len(word) for word in words] == [64, 4, 64] and words[1] == "sign", str(words))
    t.env["DATA"] = before
    read: list[str] = []
    with contextlib.chdir(t.work):
        exec(b.take("manifests.md", "python", "lorajs.Manifest"), {"print": lambda *words: read.append(str(words[0]))})
    check(read == ["012300000000000127", "012300000000000227"], str(read))
    write_example(t.work)
    had, t.env["DATA"] = t.env["DATA"], str(t.work / "maker")
    t.sh(b.take("manifests.md", "sh", "openssl ec"))
    said = t.sh(b.take("manifests.md", "sh", "lorajs manifest keys"))
    check("keys taken" in said and "1 entries: keys of 1, 0 refused" in said, said)
    t.env["DATA"] = had

    bulk(t, b)
    [one, many] = b.take("simulate.md", "sh", "--diagram life.svg").splitlines()
    t.sh(one)
    check("diverged: 0 of 10" in (said := t.sh(many.replace("--devices 1000", "--devices 10"))), said)
    [life] = re.findall(r"^The beginning of `(lorajs simulate [^`]*)`:$", (ROOT / "docs/simulate.md").read_text(), re.M)
    t.sh(life)
    check((t.work / "life.mmd").read_text().startswith(b.take("simulate.md", "mermaid", "")), "the life shown is that one")


def bulk(t: Trial, b: Blocks) -> None:
    """Each format brings its device in, into a folder of its own; the last one's go out again."""
    for file in ("tts.csv", "tts.json", "ttjs.txt", "chirpstack.json", "thingpark.csv", "wanesy.csv", "lorajs.jsonl"):
        t.env["LORAJS_DATA"] = str(t.work / f"bulk-{file}")
        said = t.sh(b.take("bulk.md", "sh", f"cat > {file} "))
        check(said.startswith(f"{1 + (file == 'thingpark.csv')} imported, 0 refused\n"), said)
    t.sh(b.take("bulk.md", "sh", "--format thingpark"))
    check("5FD2" not in (t.work / "devices.csv").read_text(), "no key")
    t.sh(b.take("bulk.md", "sh", "--clear-keys --block"))
    check("5FD2" in (t.work / "devices.json").read_text(), "the key")
    read: list[str] = []
    with contextlib.chdir(t.work):
        exec(b.take("bulk.md", "python", "read_bulk"), {"print": lambda *words: read.append(str(words))})
    check(len(read) == 1 and "70B3D57ED0000301" in read[0].upper(), str(read))
    del t.env["LORAJS_DATA"]


MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


def in_token(t: Trial, b: Blocks) -> None:
    """Keys in a token, where there is SoftHSM: a folder of the trial's own."""
    script = b.take("custody.md", "sh", "lorajs token init \"$TOKEN\"")
    rotate = b.take("custody.md", "sh", "lorajs token next")
    if not MODULE.exists():
        return
    (t.work / "tokens").mkdir()
    t.env["SOFTHSM2_CONF"] = str(t.work / "softhsm2.conf")
    Path(t.env["SOFTHSM2_CONF"]).write_text(f"directories.tokendir = {t.work}/tokens\nobjectstore.backend = file\n")
    t.sh("umask 077 && echo 4711 >pin && softhsm2-util --init-token --free --label lorajs --pin 4711 --so-pin 081500")
    said = t.sh(script.replace("pin-source", f"module-path={MODULE}&pin-source"))
    check("policy sealed" in said and "0 errors" in said and "error  " not in said, said)
    t.sh("umask 077 && echo 081500 >so-pin")
    said = t.sh(rotate.replace("pin-source", f"module-path={MODULE}&pin-source"))
    check("storage key 2, 1 in the token, " in said and ": retired" in said and "policy rotatable, storage key 2" in said, said)


def administer(t: Trial, b: Blocks) -> None:
    """The requests of admin-api.md, in their order."""
    t.sh(b.take("admin-api.md", "sh", "role add fleet").replace("$DATA", "tried"))
    process, _, url = t.serve(f"lorajs serve --data tried --listen {FREE} --admin-listen {FREE}", 2)
    url = re.findall(r"^admin on (\S+)$", t.log.read_text(), re.M)[0]
    said = "".join(t.sh(b.take("admin-api.md", "sh", marker).replace("http://127.0.0.1:8081", url).replace("$DATA", "tried"))
                   for marker in ("key generate", "If-Match", "v1/decisions", "role add auditor"))
    check(said.count('{"devices":[') == 2, said)  # the list, and whose joins were refused
    for want in ('"result":"added"', '"kind":"route"', '"devices":[{"dev_eui":"70b3d57ed0000a01"', '"home_net_id":"000013"'):
        check(want in said, said)
    own(t, b, url)
    t.stop(process)


def own(t: Trial, b: Blocks, url: str) -> None:
    """The device that was administered goes from a label to its owner, and to the next."""
    for marker in ("account add acme", "claim enrol", "add ttn-cluster"):
        t.sh(b.take("claims.md", "sh", marker).replace("$DATA", "tried"))
    said = t.sh(b.take("claims.md", "sh", "claims=http").replace("http://127.0.0.1:8081", url))
    for want in ('"result":"claimed"', '"result":"offered"', '"result":"accepted"', '"account":"globex"', '"owners":2'):
        check(want in said, said)


def follow(t: Trial, b: Blocks) -> None:
    def deployment(marker: str, kind: str = "sh") -> str:
        return b.take("deployment.md", kind, marker)

    keys, devices = deployment("lorajs key generate"), deployment("lorajs device import")
    doctor, serve = deployment("lorajs doctor"), deployment("lorajs serve --config")
    moves, parcel = b.take("custody.md", "sh", "lorajs master move"), b.take("custody.md", "sh", "lorajs device export")

    def past(marker: str) -> str:
        return b.take("backup-and-restore.md", "sh", marker)

    backup, mark, restore, replace = past("lorajs backup"), past("mkdir"), past("install -d"), past("--replace")
    config = deployment("listen", "conf")
    t.sh(deployment("openssl req"))
    config = config.replace("[::]:8443", FREE).replace("127.0.0.1:9100", FREE)
    check(config.count(FREE) == 2, "both listeners get a free port")
    (t.work / "lorajs.conf").write_text(config)
    t.sh("lorajs simulate --devices 12 --provision --ns-kek acme-2026 --as-kek acme-2026 >devices.jsonl")
    t.sh(keys)
    t.sh("sed 's/^/acme-2026 /' acme-2026.key >keks")
    t.sh(devices)
    t.sh("umask 077 && lorajs key generate >words")
    t.sh(moves)
    in_token(t, b)
    t.sh(parcel)
    check(t.sh("lorajs device list --data $OTHER --json").count('"exposed":true') == 12, "the parcel arrives")

    check(", 0 errors" in t.sh(doctor), "the doctor finds no error")
    process, url, metrics = t.serve(serve)
    check(urllib.request.urlopen(f"{metrics}/readyz").read() == b"ready\n", "ready")
    t.simulate(url, "")
    t.sh(b.take("custody.md", "sh", "--to file --dry-run"))
    t.sh(backup)
    said = t.sh(b.take("custody.md", "sh", "lorajs kek rotate"))
    check("retired" in said and "-> acme-2027" in said, said)
    ask(t, b, url)
    t.stop(process)

    shown = t.sh(b.take("audit.md", "sh", "lorajs audit show").replace("2026-01-31", "1"))
    check(shown.count(" join ") >= 12 and '"kind":"join"' in shown and "whole: " in shown, shown)
    check("whole: " in (said := t.sh(b.take("audit.md", "sh", "lorajs audit anchor"))), said)
    known = json.loads(t.sh("lorajs device list --data $DATA --json").splitlines()[0])["dev_eui"]
    said = t.sh(b.take("alarms.md", "sh", "--kind alarm").replace("70b3d57ed0000001", known))
    check(" alarm " not in said and "joined: " in said, said)

    t.sh(mark)
    told = t.sh(restore)
    check("would be restored" in told and "each passes over" in told, told)
    check('"restored":true' in t.sh(replace), "and again, over what is there")
    said = t.sh(b.take("custody.md", "sh", "lorajs lot add"))
    check('"lot":"meters-2026"' in said, said)
    check("under acme-2027" in (said := t.sh(b.take("custody.md", "sh", "lorajs lot make"))), said)
    check(t.refuses(serve.replace("$DATA", "$RESTORED")), "not without its marker")
    serve = serve.rstrip() + ' --marker "$ELSEWHERE/marker"'
    process, url, _ = t.serve(serve.replace("$DATA", "$RESTORED"))
    listed = t.sh("lorajs device list --data $RESTORED --json").splitlines()
    check(len(listed) == 12, "all devices are in the backup")
    first = re.search(r'"dev_eui":"([0-9a-f]{16})"', listed[0])[1]
    check('"net_id":"000013"' in t.sh(f"lorajs device show --data $RESTORED --json {first}"), "and their sessions")
    t.stop(process)


def main(program: Path) -> None:
    links()
    modules()
    proofs()
    sandbox()
    check((program.parent.parent / "python/lorajs").is_dir(), "no Python package in this build")
    sys.path.insert(0, str(program.parent.parent / "python"))
    b = Blocks(program)
    with tempfile.TemporaryDirectory(prefix="lorajs-docs-") as name:
        trial = Trial(program, Path(name))
        try:
            follow(trial, b)
            small(trial, b)
            ceremony(trial, b)
            moving(trial, b)
            administer(trial, b)
        finally:
            for process in trial.started:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    b.rest()
    print("the documents do what they say")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
