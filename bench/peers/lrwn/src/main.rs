//! A worker (see bench/worker.h) over lrwn, ChirpStack's library, and over aes-kw for the wraps, as
//! ChirpStack does: `lrwn-worker FIXTURES`.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use aes::cipher::generic_array::GenericArray;
use aes_kw::KekAes128;
use lrwn::{
    keys, AES128Key, CFList, DLSettings, DevAddr, FType, JoinAcceptPayload, JoinType, Major, NetID, Payload,
    PhyPayload, EUI64, MHDR,
};

type Error = Box<dyn std::error::Error>;

const JOINS: usize = 1024;
const PART: usize = 64; // joins between two looks at the clock

/// A record of the file, as bench/fixtures.h lays it out.
struct Fixture {
    net_id: [u8; 3],
    dev_addr: [u8; 4],
    join_nonce: u32,
    rx_delay: u8,
    dl_settings_a: u8,
    dl_settings_b: u8,
    nwk_key: [u8; 16],
    app_key: [u8; 16],
    cf_list: [u8; 16],
    request: [u8; 23],
    accept_a: [u8; 33],
    keys_a: [[u8; 16]; 2],
    accept_b: [u8; 33],
    keys_b: [[u8; 16]; 4],
    keys_c: [[u8; 24]; 4],
}

struct Fixtures {
    ns_kek: [u8; 16],
    as_kek: [u8; 16],
    join: Vec<Fixture>,
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, left) = self.0.split_at(N);
        self.0 = left;
        taken.try_into().unwrap()
    }
}

fn read(path: &str) -> Result<Fixtures, Error> {
    let file = std::fs::read(path)?;
    let mut r = Reader(&file);
    let _magic: [u8; 8] = r.take();
    let (ns_kek, as_kek) = (r.take(), r.take());
    let join = (0..JOINS)
        .map(|_| {
            let _euis: [u8; 16] = r.take();
            let (net_id, dev_addr) = (r.take(), r.take());
            let [high, middle, low]: [u8; 3] = r.take();
            let _dev_nonce: [u8; 2] = r.take();
            let [rx_delay, dl_settings_a, dl_settings_b] = r.take();
            Fixture {
                net_id,
                dev_addr,
                join_nonce: u32::from_be_bytes([0, high, middle, low]),
                rx_delay,
                dl_settings_a,
                dl_settings_b,
                nwk_key: r.take(),
                app_key: r.take(),
                cf_list: r.take(),
                request: r.take(),
                accept_a: r.take(),
                keys_a: [r.take(), r.take()],
                accept_b: r.take(),
                keys_b: [r.take(), r.take(), r.take(), r.take()],
                keys_c: [r.take(), r.take(), r.take(), r.take()],
            }
        })
        .collect();
    Ok(Fixtures { ns_kek, as_kek, join })
}

struct Answer {
    accept: Vec<u8>,
    keys: Vec<AES128Key>,
    wrapped: Vec<[u8; 24]>,
}

fn wrap(kek: &[u8; 16], key: &AES128Key) -> Result<[u8; 24], Error> {
    let mut out = [0; 24];
    KekAes128::new(GenericArray::from_slice(kek))
        .wrap(&key.to_bytes(), &mut out)
        .map_err(|e| format!("{e:?}"))?;
    Ok(out)
}

fn join(all: &Fixtures, f: &Fixture, kind: char) -> Result<Answer, Error> {
    let request = PhyPayload::from_slice(&f.request)?;
    let nwk = AES128Key::from_bytes(f.nwk_key);
    if !request.validate_join_request_mic(&nwk)? {
        return Err("MIC".into());
    }
    let Payload::JoinRequest(asked) = &request.payload else {
        return Err("no join-request".into());
    };
    let v11 = kind != 'a';
    let app = if v11 { AES128Key::from_bytes(f.app_key) } else { nwk };
    let net_id = NetID::from_be_bytes(f.net_id);
    let settings = if v11 { f.dl_settings_b } else { f.dl_settings_a };
    let mut accept = PhyPayload {
        mhdr: MHDR { f_type: FType::JoinAccept, major: Major::LoRaWANR1 },
        payload: Payload::JoinAccept(JoinAcceptPayload {
            join_nonce: f.join_nonce,
            home_netid: net_id,
            devaddr: DevAddr::from_be_bytes(f.dev_addr),
            dl_settings: DLSettings::from_le_bytes([settings]),
            rx_delay: f.rx_delay,
            cflist: Some(CFList::from_bytes(f.cf_list)?),
        }),
        mic: None,
    };
    let mic_key = if v11 { keys::get_js_int_key(&asked.dev_eui, &nwk)? } else { nwk };
    let (eui, nonce): (EUI64, u16) = (asked.join_eui, asked.dev_nonce);
    accept.set_join_accept_mic(JoinType::Join, &eui, nonce, &mic_key)?;
    accept.encrypt_join_accept_payload(&nwk)?;

    let mut out = Answer { accept: accept.to_vec()?, keys: Vec::new(), wrapped: Vec::new() };
    let n = f.join_nonce;
    out.keys.push(keys::get_f_nwk_s_int_key(v11, &nwk, &net_id, &eui, n, nonce)?);
    if v11 {
        out.keys.push(keys::get_s_nwk_s_int_key(v11, &nwk, &net_id, &eui, n, nonce)?);
        out.keys.push(keys::get_nwk_s_enc_key(v11, &nwk, &net_id, &eui, n, nonce)?);
    }
    out.keys.push(keys::get_app_s_key(v11, &app, &net_id, &eui, n, nonce)?);
    if kind == 'c' {
        for (i, key) in out.keys.iter().enumerate() {
            out.wrapped.push(wrap(if i < 3 { &all.ns_kek } else { &all.as_kek }, key)?);
        }
    }
    Ok(out)
}

fn good(all: &Fixtures, f: &Fixture, kind: char) -> bool {
    let Ok(answer) = join(all, f, kind) else {
        return false;
    };
    let keys: Vec<_> = answer.keys.iter().map(|key| key.to_bytes()).collect();
    match kind {
        'a' => answer.accept == f.accept_a && keys == f.keys_a,
        'b' => answer.accept == f.accept_b && keys == f.keys_b,
        _ => answer.accept == f.accept_b && answer.wrapped == f.keys_c,
    }
}

/// Nanoseconds a join: the median of parts.
fn timed(all: &Fixtures, kind: char, milliseconds: u64) -> Result<f64, Error> {
    let end = Instant::now() + Duration::from_millis(milliseconds);
    let mut took = Vec::new();
    for part in all.join.chunks(PART).cycle() {
        let start = Instant::now();
        for f in part {
            std::hint::black_box(join(all, std::hint::black_box(f), kind)?);
        }
        let now = Instant::now();
        took.push((now - start).as_nanos() as f64 / part.len() as f64);
        if now >= end {
            break;
        }
    }
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}

fn obey(all: &Fixtures, line: &str) -> Result<String, Error> {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        ["list"] => Ok("ok a b c".into()),
        ["check", kind @ ("a" | "b" | "c")] => {
            let kind = kind.chars().next().unwrap();
            Ok(match all.join.iter().position(|f| !good(all, f, kind)) {
                None => format!("ok {JOINS}"),
                Some(i) => format!("bad fixture {i} is not reproduced"),
            })
        }
        ["time", kind @ ("a" | "b" | "c"), ms, ..] => {
            Ok(format!("ok {:.3}", timed(all, kind.chars().next().unwrap(), ms.parse()?)?))
        }
        _ => Ok("bad command".into()),
    }
}

fn main() -> Result<(), Error> {
    let all = read(&std::env::args().nth(1).ok_or("usage: lrwn-worker FIXTURES")?)?;
    for line in std::io::stdin().lock().lines() {
        let answer = obey(&all, &line?).unwrap_or_else(|e| format!("bad {e}"));
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
