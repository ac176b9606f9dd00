// A worker (see bench/worker.h) over node:crypto or lora-packet.
//
//     node worker.js FIXTURES crypto|lora-packet
//
// lora-packet is for devices and gateways' captures: it has no way to encrypt a join-accept and wraps
// no key.  Where it has nothing, node:crypto does it.
'use strict'

const crypto = require('node:crypto')
const fs = require('node:fs')
const readline = require('node:readline')

const PART = 8 // joins between two looks at the clock
const FIELDS = {
  joinEui: 8, devEui: 8, netId: 3, devAddr: 4, joinNonce: 3, devNonce: 2,
  rxDelay: 1, dlSettingsA: 1, dlSettingsB: 1, nwkKey: 16, appKey: 16, cfList: 16,
  request: 23,
  acceptA: 33, nwkSKeyA: 16, appSKeyA: 16,
  acceptB: 33, fB: 16, sB: 16, nB: 16, aB: 16,
  fC: 24, sC: 24, nC: 24, aC: 24
}
const ZERO = Buffer.alloc(16)
const WRAP_IV = Buffer.alloc(8, 0xa6)
const JOIN_REQUEST = Buffer.from([0xff])
const MHDR_ACCEPT = Buffer.from([0x20])

function read (path) {
  const octets = fs.readFileSync(path)
  const fixtures = { nsKek: octets.subarray(8, 24), asKek: octets.subarray(24, 40), joins: [] }
  for (let at = 40; at < octets.length;) {
    const f = {}
    for (const [name, length] of Object.entries(FIELDS)) {
      f[name] = octets.subarray(at, at + length)
      at += length
    }
    fixtures.joins.push(f)
  }
  return fixtures
}

const fixtures = read(process.argv[2])
const reversed = (octets) => Buffer.from(octets).reverse()

// ---- node:crypto

function ecb (key, blocks, decrypt) {
  const cipher = decrypt
    ? crypto.createDecipheriv('aes-128-ecb', key, null)
    : crypto.createCipheriv('aes-128-ecb', key, null)
  cipher.setAutoPadding(false)
  return cipher.update(blocks)
}

function twice (block) {
  const out = Buffer.alloc(16)
  for (let i = 0; i < 16; i++) out[i] = (block[i] << 1) | (i < 15 ? block[i + 1] >> 7 : 0)
  if (block[0] & 0x80) out[15] ^= 0x87
  return out
}

function cmac (key, message) { // RFC 4493
  const whole = message.length > 0 && message.length % 16 === 0
  const padded = Buffer.alloc(Math.max(16, Math.ceil(message.length / 16) * 16))
  message.copy(padded)
  if (!whole) padded[message.length] = 0x80
  let k = twice(ecb(key, ZERO))
  if (!whole) k = twice(k)
  for (let i = 0; i < 16; i++) padded[padded.length - 16 + i] ^= k[i]
  return crypto.createCipheriv('aes-128-cbc', key, ZERO).update(padded).subarray(-16)
}

function wrap (kek, key) {
  return crypto.createCipheriv('id-aes128-wrap', kek, WRAP_IV).update(key)
}

const block = (...parts) => Buffer.concat(parts, 16) // the rest is zero

function acceptOf (f, settings) {
  return Buffer.concat([reversed(f.joinNonce), reversed(f.netId), reversed(f.devAddr), settings, f.rxDelay, f.cfList])
}

function byNode (f, kind) {
  const phy = f.request
  if (phy.length !== 23 || phy[0] !== 0) throw new Error('no join-request')
  const joinEui = phy.subarray(1, 9); const devEui = phy.subarray(9, 17); const nonce = phy.subarray(17, 19)
  if (!crypto.timingSafeEqual(cmac(f.nwkKey, phy.subarray(0, 19)).subarray(0, 4), phy.subarray(19))) {
    throw new Error('MIC')
  }
  const clear = acceptOf(f, kind === 'a' ? f.dlSettingsA : f.dlSettingsB)
  const joinNonce = clear.subarray(0, 3); const netId = clear.subarray(3, 6)
  let mic, keys
  if (kind === 'a') {
    mic = cmac(f.nwkKey, Buffer.concat([MHDR_ACCEPT, clear]))
    keys = [1, 2].map(n => ecb(f.nwkKey, block(Buffer.from([n]), joinNonce, netId, nonce)))
  } else {
    const jsInt = ecb(f.nwkKey, block(Buffer.from([6]), devEui))
    mic = cmac(jsInt, Buffer.concat([JOIN_REQUEST, joinEui, nonce, MHDR_ACCEPT, clear]))
    keys = [1, 3, 4, 2].map(n => ecb(n === 2 ? f.appKey : f.nwkKey, block(Buffer.from([n]), joinNonce, joinEui, nonce)))
  }
  if (kind === 'c') keys = keys.map((key, i) => wrap(i < 3 ? fixtures.nsKek : fixtures.asKek, key))
  return [Buffer.concat([MHDR_ACCEPT, ecb(f.nwkKey, Buffer.concat([clear, mic.subarray(0, 4)]), true)]), ...keys]
}

// ---- lora-packet

function byLoraPacket (lora) {
  return (f, kind) => {
    const request = lora.fromWire(f.request)
    if (!lora.verifyMIC(request, undefined, f.nwkKey)) throw new Error('MIC')
    const v11 = kind !== 'a'
    const micKey = v11 ? lora.generateJSKeys(f.nwkKey, request.DevEUI).JSIntKey : f.nwkKey
    const accept = lora.fromFields({
      MType: 'Join Accept',
      AppNonce: f.joinNonce,
      NetID: f.netId,
      DevAddr: f.devAddr,
      DLSettings: v11 ? f.dlSettingsB : f.dlSettingsA,
      RxDelay: f.rxDelay,
      CFList: f.cfList,
      AppEUI: request.AppEUI,
      DevNonce: request.DevNonce
    })
    accept.JoinEUI = request.AppEUI
    const mic = lora.calculateMIC(accept, micKey, micKey)
    let keys
    if (v11) {
      const made = lora.generateSessionKeys11(f.appKey, f.nwkKey, request.AppEUI, f.joinNonce, request.DevNonce)
      keys = [made.FNwkSIntKey, made.SNwkSIntKey, made.NwkSEncKey, made.AppSKey]
    } else {
      const made = lora.generateSessionKeys10(f.nwkKey, f.netId, f.joinNonce, request.DevNonce)
      keys = [made.NwkSKey, made.AppSKey]
    }
    if (kind === 'c') keys = keys.map((key, i) => wrap(i < 3 ? fixtures.nsKek : fixtures.asKek, key))
    return [Buffer.concat([MHDR_ACCEPT, ecb(f.nwkKey, Buffer.concat([accept.MACPayload, mic]), true)]), ...keys]
  }
}

// ---- as a worker

const join = process.argv[3] === 'crypto' ? byNode : byLoraPacket(require('lora-packet'))

function good (f, kind) {
  const want = {
    a: [f.acceptA, f.nwkSKeyA, f.appSKeyA],
    b: [f.acceptB, f.fB, f.sB, f.nB, f.aB],
    c: [f.acceptB, f.fC, f.sC, f.nC, f.aC]
  }[kind]
  const got = join(f, kind)
  return got.length === want.length && got.every((octets, i) => octets.equals(want[i]))
}

function timed (kind, milliseconds) {
  const took = []
  const end = process.hrtime.bigint() + BigInt(milliseconds) * 1000000n
  for (let first = 0; ; first = (first + PART) % fixtures.joins.length) {
    const start = process.hrtime.bigint()
    for (let i = first; i < first + PART; i++) join(fixtures.joins[i], kind)
    const now = process.hrtime.bigint()
    took.push(Number(now - start) / PART)
    if (now >= end) break
  }
  return took.sort((x, y) => x - y)[took.length >> 1]
}

function obey (line) {
  const [verb, kind, ms] = line.split(' ')
  if (verb === 'list') return 'ok a b c'
  if (!'abc'.includes(kind)) return 'bad no work of that name'
  if (verb === 'time') return `ok ${timed(kind, Number(ms)).toFixed(3)}`
  if (verb !== 'check') return 'bad command'
  const wrong = fixtures.joins.findIndex(f => !good(f, kind))
  return wrong < 0 ? `ok ${fixtures.joins.length}` : `bad fixture ${wrong} is not reproduced`
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  let answer
  try {
    answer = obey(line)
  } catch (e) {
    answer = `bad ${e.message}`
  }
  console.log(answer)
})
