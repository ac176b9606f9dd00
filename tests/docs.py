#!/usr/bin/env python3
"""Do as the documents say: the shell blocks of deployment.md, custody.md and backup-and-restore.md in
their order, with their configuration, until devices join over TLS; and follow every link.

    docs.py PROGRAM
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def check(truth: object, what: object) -> None:
    if not truth:
        sys.exit(f"docs.py: {what}")


def links() -> None:
    """A link in a document leads to a file, and to a heading that is there."""
    documents = [p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]]
    check(len(documents) > 8, "documents")
    for path in documents:
        text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not re.match(r"[a-z]+:", target):
                check((path.parent / target).exists(), f"{path.name}: no {target}")
        for named in re.findall(r"`((?:tools|tests|libjs|scripts|docs|include|fuzz|examples|python|bindings)/[\w./-]+)`", text):
            check("LAYER" in named or (ROOT / named).exists(), f"{path.name}: no {named}")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / name).read_text(), re.M | re.S)


class Trial:
    def __init__(self, program: Path, work: Path) -> None:
        self.program, self.work = program, work
        self.env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
        for name in ("DATA", "BACKUP", "SAFE", "RESTORED", "OTHER"):
            self.env[name] = str(work / name.lower())
        (work / "backup").mkdir()
        self.env["SAFE"] = self.env["DATA"]
        self.started: list[subprocess.Popen] = []

    def sh(self, script: str) -> str:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=self.work, env=self.env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
        check(done.returncode == 0, f"exit {done.returncode}\n{script}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def serve(self, script: str) -> tuple[subprocess.Popen, str, str]:
        """Start it; the URL it serves, and that of its metrics."""
        log = self.work / f"serve-{time.monotonic_ns()}"
        process = subprocess.Popen(["bash", "-c", f"exec {script}"], cwd=self.work, env=self.env,
                                   stdin=subprocess.DEVNULL, stdout=log.open("wb"), stderr=subprocess.STDOUT)
        self.started.append(process)
        for _ in range(600):
            said = log.read_text()
            urls = re.findall(r"https?://[^\s:]+:\d+", said)
            if len(urls) >= 2 or process.poll() is not None:
                break
            time.sleep(0.05)
        check(len(urls) >= 2, said)
        secure = next(u for u in urls if u.startswith("https"))
        return process, re.sub(r"//[^:]+:", "//localhost:", secure), next(u for u in urls if not u.startswith("https"))

    def stop(self, process: subprocess.Popen) -> None:
        process.send_signal(signal.SIGTERM)
        check(process.wait(60) == 0, "serve ends with 0")

    def simulate(self, url: str, more: str) -> None:
        self.sh(f"lorajs simulate --devices 12 --url {url} --net-id 000013 --ca ca.pem --cert ns.acme.example.pem "
                f"--cert-key ns.acme.example.key --kek-file keks {more}")


def follow(t: Trial) -> None:
    certificates, keys, devices, doctor, serve = blocks("deployment.md", "sh")
    moves, parcel = blocks("custody.md", "sh")
    backup, restore = blocks("backup-and-restore.md", "sh")
    [config] = blocks("deployment.md", "conf")
    t.sh(certificates)
    config = config.replace('"[::]:8443"', '"127.0.0.1:0"').replace('"127.0.0.1:9100"', '"127.0.0.1:0"')
    check(config.count('"127.0.0.1:0"') == 2, "both listeners get a free port")
    (t.work / "lorajs.conf").write_text(config)
    t.sh("lorajs simulate --devices 12 --provision --ns-kek acme-2026 --as-kek acme-2026 >devices.jsonl")
    t.sh(keys)
    t.sh("sed 's/^/acme-2026 /' acme-2026.key >keks")
    t.sh(devices)
    t.sh("umask 077 && lorajs key generate >words")
    t.sh(moves)
    t.sh(parcel)
    check(t.sh("lorajs device list --data $OTHER --json").count('"exposed":true') == 12, "the parcel arrives")

    check(", 0 errors" in t.sh(doctor), "the doctor finds no error")
    process, url, metrics = t.serve(serve)
    check(urllib.request.urlopen(f"{metrics}/readyz").read() == b"ready\n", "ready")
    t.simulate(url, "")
    t.sh(backup)
    t.stop(process)

    t.sh(restore)
    process, url, _ = t.serve(serve.replace("$DATA", "$RESTORED"))
    listed = t.sh("lorajs device list --data $RESTORED --json").splitlines()
    check(len(listed) == 12, "all devices are in the backup")
    first = re.search(r'"dev_eui":"([0-9a-f]{16})"', listed[0])[1]
    check('"net_id":"000013"' in t.sh(f"lorajs device show --data $RESTORED --json {first}"), "and their sessions")
    t.stop(process)


def main(program: Path) -> None:
    links()
    with tempfile.TemporaryDirectory(prefix="lorajs-docs-") as name:
        trial = Trial(program, Path(name))
        try:
            follow(trial)
        finally:
            for process in trial.started:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    print("the documents do what they say")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
