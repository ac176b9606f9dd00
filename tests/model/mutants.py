#!/usr/bin/env python3
"""Rules broken on purpose: the explorer has to find each of them, by the law it breaks.

    mutants.py BUILD [NAME...]    make and run them all, or those named
    mutants.py --list             name them

Each is one replacement in one file, which must match exactly once.  BUILD is a build tree of ninja's in which
model_explore is up to date, and passes; a mutant is its one file compiled again by the same command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
JS = "libjs/device/join.c"
JS_REPEAT = "libjs/device/repeat.c"
NS = "libjs/session/network.c"
NS_RULES = "libjs/session/network_rules.c"
ED = "libjs/session/end_device.c"
ED_DATA = "libjs/session/end_device_data.c"
ED_KEYS = "libjs/session/end_device_keys.c"
SERVER = "libjs/server/handle.c"
JOB = "libjs/server/job.c"
REKEY = "libjs/device/rekey.c"
REKEYING = "libjs/device/rekeying.c"
REKEY_ED = "libjs/session/rekey_device.c"


class Mutant(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    laws: str  # any of these, and no other, is the one to break
    where: str = ""  # scenarios to look in, most likely first; "": all


MUTANTS = [
    # a MIC that nobody looks at
    Mutant("join MIC skipped at the Join Server", "libjs/keys/derive.c",
           "if (ljs__equal(cmac, in + in_len - LJS__MIC_LEN, LJS__MIC_LEN))", "if (true)", "FORGED"),
    Mutant("rejoin 1 MIC skipped at the Join Server", JS,
           "return err ? err : ljs__frame_check(j->ring, KEY_JS_INT, j->req->phy, j->req->phy_len);", "return err;",
           "FORGED"),
    Mutant("rejoin 0 and 2 MIC skipped at the Join Server", JS,
           "err = ljs__frame_check(j->ring, KEY_S_NWK_S_INT, j->req->phy, j->req->phy_len);", "err = LJS_OK;",
           "FORGED"),
    Mutant("rejoin 0 and 2 MIC skipped at the network server", NS_RULES,
           "(err = ljs__frame_check(s->ring, KEY_S_NWK_S_INT, s->in, s->in_len))", "(err = LJS_OK)", "FORGED"),
    Mutant("uplink MIC skipped at the network server", NS,
           "return ljs__data_check(s->ring, &of, KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, s->in, s->in_len);",
           "return (void)of, LJS_OK;", "FORGED"),
    Mutant("accept MIC skipped at the device", ED_KEYS,
           "if (!err && !ljs__equal(mic, fields + in_len - MIC_LEN, MIC_LEN))", "if (err)", "FORGED"),
    Mutant("downlink MIC skipped at the device", ED_DATA,
           "if (!err && !ljs__equal(mic, in + in_len - sizeof mic, sizeof mic))", "if (err)", "FORGED"),
    # >= for >
    Mutant("DevNonce may stay", JS, "j->frame.nonce > j->context->dev_nonce;", "j->frame.nonce >= j->context->dev_nonce;",
           "OTHER_PEER OTHER_ADDR FRESH"),
    Mutant("RJcount1 may stay", JS, "return j->frame.nonce > j->context->rj_count1;",
           "return j->frame.nonce >= j->context->rj_count1;", "OTHER_PEER OTHER_ADDR FRESH", "1.1"),
    Mutant("RJcount0 may stay, at the Join Server", JS, "j->frame.nonce > j->under->rj_count0;",
           "j->frame.nonce >= j->under->rj_count0;", "OTHER_PEER OTHER_ADDR FRESH", "1.1"),
    Mutant("RJcount0 may stay, at the network server", NS_RULES, "return s->frame.nonce > c->is.rj_count0",
           "return s->frame.nonce >= c->is.rj_count0", "TWICE", "1.1"),
    Mutant("FCntUp may fall", NS_RULES, "return s->fcnt > s->under->is.fcnt_up", "return s->fcnt != s->under->is.fcnt_up",
           "TWICE"),
    Mutant("FCntDown may stay", ED_DATA, "int64_t next = last + 1, fcnt", "int64_t next = last < 0 ? 0 : last, fcnt", "TWICE"),
    Mutant("JoinNonce may stay, at the device", ED, "s->accept.join_nonce > (last > 0 ? last : 0)",
           "s->accept.join_nonce >= (last > 0 ? last : 0)", "ADOPTED", "1.0.4 1.1-on-1.0"),
    # counters kept too short or too long
    Mutant("RJcount1 reset by a join", JS, "static void use_dev_nonce(struct join *j)\n{",
           "static void use_dev_nonce(struct join *j)\n{\n    j->context->rj_count1 = -1;", "FRESH", "1.1-rejoins"),
    Mutant("RJcount0 kept per device, at the Join Server", JS, ".rj_count0 = -1,",
           ".rj_count0 = j->under ? j->frame.nonce : -1,", "HEALS_REJOIN", "1.1"),
    Mutant("RJcount0 kept per device, at the network server", NS, ".rj_count0 = -1,",
           ".rj_count0 = s.n.current.is.present ? s.n.current.is.rj_count0 : -1,", "HEALS_REJOIN", "1.1"),
    Mutant("RJcount0 not remembered, at the network server", NS_RULES, "s->n.current.is.rj_count0 = s->frame.nonce;",
           "(void)s;", "TWICE HEALS_REJOIN", "1.1"),
    Mutant("RJcount1 reset at the device", ED, "ed->rj_count0 = 0;", "ed->rj_count0 = ed->rj_count1 = 0;",
           "ON_AIR HEALS_REJOIN", "1.1-rejoins"),
    Mutant("DevNonce not remembered", JS, "j->context->used.add = j->frame.nonce;", "(void)0;",
           "OTHER_PEER OTHER_ADDR FRESH", "1.0.3"),
    Mutant("the nonce set truncated to ten", "libjs/device/record.c", "ljs__pack_bin(w, list, n->len + 2);",
           "ljs__pack_bin(w, list, n->len + 2 > 20 ? 20 : n->len + 2);", "IMPORTED FRESH REPEAT", "1.0.3"),
    Mutant("JoinNonce starts at 0", JS, ".join_nonce = j->r->d.next_join_nonce,",
           ".join_nonce = j->r->d.next_join_nonce - 1,", "JOIN_NONCE"),
    Mutant("JoinNonce stays", JS, "r->d.next_join_nonce++;", "(void)0;", "JOIN_NONCE HEALS HEALS_REJOIN"),
    # what is answered, when and to whom
    Mutant("answered before committed", SERVER, "ljs_err result = results[i] && results[i] != LJS_E_CONFLICT ? LJS_E_STORE : results[i];",
           "ljs_err result = LJS_OK;", "DURABLE", "1.1"),
    Mutant("a repeat answered to another peer", JS_REPEAT, "put(&o, (const uint8_t *)req->peer, strlen(req->peer));",
           "put(&o, (const uint8_t *)req->peer, 0);", "OTHER_PEER"),
    Mutant("a repeat answered for another DevAddr", JS_REPEAT, "s->dev_addr == req->dev_addr &&", "", "OTHER_ADDR"),
    Mutant("a repeat refused", JS_REPEAT, "return s->kind == frame->kind &&", "return s->kind != frame->kind &&", "REPEAT"),
    Mutant("AppSKey answered to the network server", JOB, "*clear = named ? 0 : job->grant.clear & LJS_CLEAR_AS;",
           "*clear = LJS_CLEAR_AS;", "ENTITLED"),
    # the join-accept
    Mutant("a rejoin accept encrypted with NwkKey", JS, "KEY_JS_INT : KEY_NWK, rule->enc_key);",
           "KEY_JS_INT : KEY_NWK, KEY_NWK);", "ACCEPT", "1.1"),
    Mutant("the OptNeg MIC prefix dropped at the Join Server", "libjs/keys/frames.c",
           "size_t from = of->scheme == LJS_SCHEME_1_1 ? 0 : OF_LEN;", "size_t from = OF_LEN;", "HEALS", "1.1"),
    Mutant("the OptNeg MIC prefix dropped at the device", ED_KEYS,
           "err = mic_of(mic, se, LJS_SE_JS_INT, image, 11 + in_len - MIC_LEN);",
           "err = mic_of(mic, se, LJS_SE_JS_INT, fields, in_len - MIC_LEN);", "HEALS", "1.1"),
    # rekeying
    Mutant("RekeyConf ignored by the device", ED_DATA, "s->rekey_conf = true;", "s->rekey_conf = false;", "HEALS", "1.1"),
    Mutant("RekeyConf never sent", NS_RULES, "(s->rekey ? LJS_NS_DUE_REKEY_CONF : 0)", "0", "HEALS", "1.1"),
    Mutant("RekeyInd never sent", ED_DATA, "if (ed->state == LJS_ED_REKEYING)\n        put_command", "if (0)\n        put_command",
           "HEALS", "1.1"),
    Mutant("an uplink before RekeyInd passed up", NS, "return s->rekey ? EV_FIRST_REKEY : EV_FIRST_PLAIN;",
           "return EV_FIRST_REKEY;", "REKEY_FIRST", "1.1"),
    Mutant("the old context touched by the accept", NS_RULES, "s->n.pending = s->fresh;",
           "s->n.pending = s->fresh;\n    s->n.current.is.fcnt_up = -1;", "OLD_STANDS", "1.1"),
    Mutant("no going back to joining without RekeyConf", ED, "return s->ed.fcnt_up >= s->ed.adr_ack_limit;",
           "return s->ed.fcnt_up > 1000;", "HEALS", "1.1-rejoins 1.1"),
    Mutant("a device never heard does not give up", ED,
           "return s->ed.link_limit && s->ed.silent >= s->ed.link_limit;", "return s->ed.link_limit > 1000;", "HEALS",
           "1.0.4 1.0.3"),
    Mutant("a repeat not recognised by the network server", NS, "*repeat = was != NULL;", "*repeat = false;",
           "REKEY_FIRST", "1.1"),
    # uplinks that come again
    Mutant("an uplink again passed up again", NS, "    if (out->again)\n        return;\n", "", "TWICE"),
    Mutant("anything under the last counter taken again", NS_RULES, "ljs__equal(s->n.last.print, print, PRINT_LEN)", "true",
           "SAME"),
    Mutant("an uplink again refused", NS, "return EV_UPLINK_AGAIN;", "return EV_UPLINK;", "SAME AGAIN"),
    Mutant("nothing owed for an uplink again", NS_RULES, "s->answered = false;\n    owe(s);", "s->answered = false;", "AGAIN"),
    Mutant("an uplink sent again with the MIC of another channel", ED_DATA, "                             .tx_ch = event->tx_ch };",
           "                             .tx_ch = 0 };", "AGAIN", "1.1"),
    Mutant("an uplink sent again over a restart", ED,
           "    ed->sent_times = ed->sent_print = ed->sent_conf = 0;\n    ed->fcnt_up = ed->fcnt_durable;",
           "    ed->fcnt_up = ed->fcnt_durable;", "ON_AIR"),
    # rejoining
    Mutant("rejoin 0 checked against the newest session alone", JS, "i < j->r->d.sessions && err == LJS_E_MIC",
           "i < j->r->d.sessions && i < 1 && err == LJS_E_MIC", "HEALS HEALS_REJOIN", "1.1 1.1-rejoins"),
    Mutant("a rejoin 2 that was asked for dropped", NS_RULES, "n->rejoin2 = n->force.type == 2;", "n->rejoin2 = false;",
           "HEALS_REJOIN", "1.1"),
    Mutant("RejoinParamSetupReq not repeated in a new context", NS_RULES,
           "if (n->params.phase != PARAMS_NONE && (n->params", "if (0 && (n->params", "HEALS_REJOIN", "1.1"),
    Mutant("a rejoin 2 that forgets RejoinParamSetupReq", ED, "bool keep = ed->kind == LJS_FRAME_REJOIN2;",
           "bool keep = false;", "HEALS_REJOIN", "1.1"),
    # root keys that are replaced
    Mutant("the old keys refused as soon as there are new ones", REKEYING, "return r->rekey.state == LJS_REKEY_ACKED &&",
           "return r->rekey.state == LJS_REKEY_PENDING ||", "REKEY_FOUND REKEY_SETTLES", "rekey rekey-2"),
    Mutant("the new keys forgotten with the abort", REKEY, "    if (force)\n        ljs__rekey_drop(&r);",
           "    ljs__rekey_drop(&r);", "REKEY_FOUND REKEY_SETTLES", "rekey-2 rekey"),
    Mutant("the new keys not tried while aborting", REKEYING, " || k->state == LJS_REKEY_ABORTING);", ");",
           "REKEY_FOUND REKEY_SETTLES", "rekey-2 rekey"),
    Mutant("an epoch that was given up used again", REKEYING, "(struct rekeying){ .floor = ljs__rekey_floor(r),",
           "(struct rekeying){ .floor = 0,", "REKEY_EPOCH REKEY_SETTLES", "rekey"),
    Mutant("another epoch for the same command", REKEY, "    if (is_again(r, &k))\n        return sign_req(out, ring, vault, r);",
           "    if (is_again(r, &k))\n        ljs__rekey_drop(r);", "REKEY_EPOCH REKEY_SETTLES", "rekey"),
    Mutant("new keys in the places of the old", REKEY_ED, "    ljs__se_use(c->se, (unsigned)*roots_new);",
           "    ljs__se_use(c->se, (unsigned)c->ed.roots_old);", "REKEY_FOUND REKEY_SETTLES REKEY_SECRET", "rekey-same"),
    Mutant("an abort honoured though the new keys were used", REKEY_ED,
           "bool unused = ed->rk_phase == LJS_ED_REKEY_READY && epoch == ed->rk_new_epoch;",
           "bool unused = ed->rk_phase && epoch == ed->rk_new_epoch;\n    ed->roots = unused ? ed->roots_old : ed->roots;",
           "REKEY_FOUND REKEY_SETTLES", "rekey-same"),
    Mutant("new keys promised before they are durable", REKEY_ED,
           "    c->out->persist = 1;\n    return answer(c, LJS_REKEY_OK, c->m.epoch);",
           "    return answer(c, LJS_REKEY_OK, c->m.epoch);", "REKEY_FOUND REKEY_SETTLES", "rekey-2"),
    Mutant("DeriveKey before it is durable that it is meant", REKEY_ED,
           "    c->out->persist = c->out->again = 1;\n    return LJS_OK;\n}\n\nstatic ljs_err derive_key",
           "    c->out->again = 1;\n    return LJS_OK;\n}\n\nstatic ljs_err derive_key", "REKEY_FOUND REKEY_SETTLES", "rekey-4"),
    Mutant("a device that never goes back to the old keys", REKEY_ED, "|| ed->rk_tries < TRIES ?", "|| true ?",
           "REKEY_FOUND", "rekey rekey-same"),
    Mutant("a device that goes back and not forth", REKEY_ED, "ed->rk_tries = (ed->rk_tries + 1) % (2 * TRIES);",
           "ed->rk_tries = TRIES;", "REKEY_FOUND REKEY_SETTLES", "rekey rekey-same"),
    Mutant("the old keys gone with the first join-request under the new", REKEY_ED,
           "        ed->rk_phase = LJS_ED_REKEY_TRIED;\n",
           "        ed->rk_phase = LJS_ED_REKEY_TRIED, ljs__se_use(se, (unsigned)ed->roots_old),"
           " (void)overwrite(se, LJS_SE_NWK), ljs__se_use(se, (unsigned)ed->roots);\n", "REKEY_FOUND", "rekey-same rekey"),
    # crashes
    Mutant("a nonce on air before it is durable", ED, "s->out->persist = 1; /* the nonce is used", "s->out->persist = 0; /*",
           "ON_AIR"),
    Mutant("FCntUp goes on where it was durable last", ED, "ed->fcnt_up = ed->fcnt_durable;", "(void)0;", "ON_AIR",
           "1.0.4"),
    Mutant("FCntUp is never made durable", ED_DATA, "if (ed->fcnt_up > ed->fcnt_durable) {",
           "if (ed->fcnt_up > ed->fcnt_durable && (ed->fcnt_durable = ed->fcnt_up) < 0) {", "ON_AIR"),
    Mutant("a join-accept adopted and not made durable", ED, "s->out->persist = 1;\n    s->out->joined",
           "s->out->persist = 0;\n    s->out->joined", "LASTING"),
    Mutant("a downlink taken and not made durable", ED_DATA, "out->persist = 1; /* else", "out->persist = 0; /* else", "TWICE"),
    Mutant("no session keys after a restart", ED,
           "ed->fcnt_up = ed->fcnt_durable; /* those below may have been on air */\n    return load(s->se, ed);",
           "ed->fcnt_up = ed->fcnt_durable;\n    return LJS_OK;", "KEYS_KEPT"),
    Mutant("session keys of an accept in the bank of the old", ED, "return ljs__ed_derive_session(s->se, ed);\n}\n\n/* ---- the machine",
           "return ljs__ed_derive_session(s->se, &(struct ed){ .scheme = ed->scheme, .bank = old.bank,"
           " .join_nonce = ed->join_nonce, .session_nonce = ed->session_nonce, .join_eui = ed->join_eui,"
           " .net_id = ed->net_id });\n}\n\n/* ---- the machine", "KEYS_KEPT"),
]


def run(argv: list[str], **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]


class Build:
    """The explorer as it was built, by ninja; and linked again with one of its files replaced."""

    def __init__(self, build: Path, work: Path) -> None:
        self.build, self.work = build, work
        told = run(["ninja", "-C", str(build), "-t", "commands", "tests/model_explore"])
        if told.returncode:
            sys.exit(f"mutants: {told.stdout}{told.stderr}")
        *_, link = told.stdout.splitlines()
        self.link = shlex.split(link.removeprefix(": && ").removesuffix(" && :"))
        units = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
        self.compile = {unit["file"]: shlex.split(unit["command"]) for unit in units}

    def program(self, number: str, source: Path, text: str) -> Path:
        """What stands before the libraries has the place of what is in them."""
        changed, made, to = (self.work / f"{number}{end}" for end in (".c", ".o", ""))
        changed.write_text(text, encoding="utf-8")
        compile, link = self.compile[str(source)], self.link
        at = compile.index("-o")
        self.do([*compile[:at], "-w", "-o", str(made), "-c", str(changed)])
        at = link.index("-o")
        self.do([*link[:at], str(made), "-o", str(to), *link[at + 2:]])
        return to

    def do(self, command: list[str]) -> None:
        done = run(command, cwd=self.build)
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)}:\n{done.stderr}")


def judge(build: Build, number: int, mutant: Mutant) -> tuple[bool, str]:
    """Was it caught, and how is it told?"""
    source = ROOT / mutant.file
    text = source.read_text(encoding="utf-8")
    begin = time.monotonic()
    if text.count(mutant.old) != 1:
        return False, f"matches {text.count(mutant.old)} times in {mutant.file}"
    try:
        program = build.program(str(number), source, text.replace(mutant.old, mutant.new))
    except RuntimeError as error:
        return False, str(error)
    done = run([str(program), *mutant.where.split()], timeout=600)
    program.unlink()
    found = re.search(r"law broken: (\w+)", done.stdout)
    took = f"{time.monotonic() - begin:.1f} s"
    if done.returncode == 0:
        return False, f"not caught ({took})"
    if not found:
        return False, f"ended with {done.returncode}, by no law: {(done.stderr or done.stdout)[-300:]}"
    if found[1] not in mutant.laws.split():
        return False, f"caught by {found[1]}, not by {mutant.laws} ({took})"
    return True, f"{found[1]} ({took})"


def main() -> int:
    if sys.argv[1:] == ["--list"]:
        print("\n".join(m.name for m in MUTANTS))
        return 0
    names = sys.argv[2:]
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as work, ThreadPoolExecutor(2) as pool:
        build = Build(Path(sys.argv[1]).resolve(), Path(work))
        # Linked as they are, with nothing replaced; where it fails, they say nothing.
        source = ROOT / JS
        sound = pool.submit(run, [str(build.program("sound", source, source.read_text(encoding="utf-8"))), "1.0.4"],
                            timeout=900)
        chosen = [m for m in MUTANTS if not names or m.name in names]
        for mutant, (caught, words) in zip(chosen, pool.map(lambda at: judge(build, *at), enumerate(chosen))):
            passed, failed = passed + caught, failed + (not caught)
            print(f"{'caught' if caught else 'MISSED'}  {mutant.name}: {words}", flush=True)
        if sound.result().returncode:
            print(sound.result().stdout, sound.result().stderr, "mutants: the explorer fails without any", sep="\n")
            return 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
