"""Alarms: what a real daemon notices of cloned devices, and everywhere it is told.

Which requests alarm and which do not is tests/unit/test_server_alarms.c's."""

from __future__ import annotations

import json
import re
import urllib.request

from joins import devices, result

COUNTS = {"lorawan_version": "1.0.4"}


def test_told_everywhere(run, data, serve):
    twice, lost = devices(2)
    run("device", "import", "-", "--data", data, input=twice.line(**COUNTS) + lost.line(**COUNTS, last_dev_nonce=100))
    server = serve("--allow-clear-keys", "--metrics", "127.0.0.1:0", "--alarm-refusals", 2)
    metrics = server._wait_for(rb"^metrics on (\S+)")[1].decode()
    for net_id in ("000013", "000013", "000024"):
        assert result(server.ask(twice.join(net_id, MACVersion="1.0.4"))) == "Success"
    for _ in range(3):
        assert result(server.ask(lost.join(MACVersion="1.0.4"))) == "JoinReqFailed"

    text = urllib.request.urlopen(f"{metrics}/metrics").read().decode()
    assert re.findall(r"^lorajs_alarms_total(.*)$", text, re.M) == [
        '{kind="backward"} 1', '{kind="interleaved"} 0', '{kind="network"} 1']
    assert server.stop() == 0
    log = server.stderr()
    assert re.search(rf"warning OK JoinReq dev_eui={twice.dev_eui:016x} net_id=000024 nonce=2 .*alarm=network$", log, re.M)
    assert re.search(rf"warning REPLAY JoinReq dev_eui={lost.dev_eui:016x} net_id=000013 nonce=2 alarm=backward: ", log)
    assert log.count("alarm=") == 2

    shown = run("audit", "show", "--data", data, "--kind", "alarm").stdout
    assert f'{twice.dev_eui:016x} JoinNonce 3 nonce 2 NetID 000024 "network"' in shown
    assert f'{lost.dev_eui:016x} nonce 2 NetID 000013 REPLAY "backward"' in shown
    said = [json.loads(line) for line in
            run("audit", "show", "--data", data, "--kind", "alarm", "--json").stdout.splitlines()]
    assert {(e["dev_eui"], e["text"], e["nonce"], e["net_id"]) for e in said} == {
        (f"{twice.dev_eui:016x}", "network", 2, "000024"), (f"{lost.dev_eui:016x}", "backward", 2, "000013")}
    assert "whole: " in run("audit", "verify", "--data", data).stdout

    for device, alarm in ((twice, "network"), (lost, "backward")):
        text = run("why", f"{device.dev_eui:016x}", "--data", data).stdout
        assert text.count("alarm, ") == 1 and f"alarm, {alarm}: " in text
        told = [json.loads(line) for line in
                run("why", f"{device.dev_eui:016x}", "--data", data, "--json").stdout.splitlines()][1:]
        assert [t["alarm"] for t in told if t["alarm"]] == [alarm]
