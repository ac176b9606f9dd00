// Command brocaar is the Go package github.com/brocaar/lorawan as a worker (see bench/worker.h), and
// its Join Server handler over HTTP.
//
//	brocaar FIXTURES             a, b, c: the cryptography; handler-a, -b, -c: its HTTP handler, called
//	                             without a socket
//	brocaar FIXTURES http KIND   the handler on a free port of 127.0.0.1, until standard input ends
package main

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/brocaar/lorawan"
	"github.com/brocaar/lorawan/backend"
	"github.com/brocaar/lorawan/backend/joinserver"

	"lorajs/bench/peers/goworker"
)

type (
	fixture  = goworker.Fixture
	fixtures = goworker.Fixtures
	work     = goworker.Work
)

var must = goworker.Must

func joinNonce(f *fixture) int {
	return int(f.JoinNonce[0])<<16 | int(f.JoinNonce[1])<<8 | int(f.JoinNonce[2])
}

// ---- the cryptography alone: what the handler does, in the package's calls

type answer struct {
	accept []byte
	keys   []lorawan.AES128Key
	wraps  []*backend.KeyEnvelope
}

// derive is what the package does and keeps to itself.
func derive(key lorawan.AES128Key, b [16]byte) (out lorawan.AES128Key, err error) {
	block, err := aes.NewCipher(key[:])
	if err == nil {
		block.Encrypt(out[:], b[:])
	}
	return
}

func core(all *fixtures, f *fixture, kind byte) (*answer, error) {
	var request, accept lorawan.PHYPayload
	var cfList lorawan.CFList
	var settings lorawan.DLSettings
	var netID lorawan.NetID

	if err := request.UnmarshalBinary(f.Request[:]); err != nil {
		return nil, err
	}
	join, ok := request.MACPayload.(*lorawan.JoinRequestPayload)
	if !ok {
		return nil, errors.New("no join-request")
	}
	if ok, err := request.ValidateUplinkJoinMIC(f.NwkKey); err != nil || !ok {
		return nil, errors.New("MIC")
	}
	v11 := kind != 'a'
	octet := f.DLSettingsA
	if v11 {
		octet = f.DLSettingsB
	}
	if err := settings.UnmarshalBinary(octet[:]); err != nil {
		return nil, err
	}
	if err := cfList.UnmarshalBinary(f.CFList[:]); err != nil {
		return nil, err
	}
	netID = f.NetID
	accept = lorawan.PHYPayload{
		MHDR: lorawan.MHDR{MType: lorawan.JoinAccept, Major: lorawan.LoRaWANR1},
		MACPayload: &lorawan.JoinAcceptPayload{JoinNonce: lorawan.JoinNonce(joinNonce(f)), HomeNetID: netID,
			DevAddr: f.DevAddr, DLSettings: settings, RXDelay: f.RxDelay[0], CFList: &cfList},
	}

	var in [16]byte
	nonce := uint32(joinNonce(f))
	in[1], in[2], in[3] = byte(nonce), byte(nonce>>8), byte(nonce>>16)
	micKey := f.NwkKey
	out := &answer{}
	var err error
	if v11 {
		var js [16]byte
		js[0] = 6
		binary.LittleEndian.PutUint64(js[1:], binary.BigEndian.Uint64(f.DevEUI[:]))
		if micKey, err = derive(f.NwkKey, js); err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint64(in[4:], binary.BigEndian.Uint64(join.JoinEUI[:]))
		binary.LittleEndian.PutUint16(in[12:], uint16(join.DevNonce))
	} else {
		in[4], in[5], in[6] = netID[2], netID[1], netID[0]
		binary.LittleEndian.PutUint16(in[7:], uint16(join.DevNonce))
	}
	if err := accept.SetDownlinkJoinMIC(lorawan.JoinRequestType, join.JoinEUI, join.DevNonce, micKey); err != nil {
		return nil, err
	}
	if err := accept.EncryptJoinAcceptPayload(f.NwkKey); err != nil {
		return nil, err
	}
	if out.accept, err = accept.MarshalBinary(); err != nil {
		return nil, err
	}
	numbers, last := []byte{1, 2}, f.NwkKey
	if v11 {
		numbers, last = []byte{1, 3, 4, 2}, f.AppKey
	}
	for i, number := range numbers {
		root := f.NwkKey
		if i == len(numbers)-1 {
			root = last
		}
		in[0] = number
		key, err := derive(root, in)
		if err != nil {
			return nil, err
		}
		out.keys = append(out.keys, key)
	}
	if kind == 'c' {
		for i, key := range out.keys {
			label, kek := "ns-kek", all.NsKEK[:]
			if i == 3 {
				label, kek = "as-kek", all.AsKEK[:]
			}
			wrapped, err := backend.NewKeyEnvelope(label, kek, key)
			if err != nil {
				return nil, err
			}
			out.wraps = append(out.wraps, wrapped)
		}
	}
	return out, nil
}

func (a *answer) is(f *fixture, kind byte) bool {
	switch kind {
	case 'a':
		return bytes.Equal(a.accept, f.AcceptA[:]) && a.keys[0] == f.NwkSKeyA && a.keys[1] == f.AppSKeyA
	case 'b':
		return bytes.Equal(a.accept, f.AcceptB[:]) && a.keys[0] == f.FB && a.keys[1] == f.SB && a.keys[2] == f.NB &&
			a.keys[3] == f.AB
	}
	return bytes.Equal(a.accept, f.AcceptB[:]) && bytes.Equal(a.wraps[0].AESKey, f.FC[:]) &&
		bytes.Equal(a.wraps[1].AESKey, f.SC[:]) && bytes.Equal(a.wraps[2].AESKey, f.NC[:]) &&
		bytes.Equal(a.wraps[3].AESKey, f.AC[:])
}

// ---- the handler

func message(f *fixture, kind byte) []byte {
	mac, settings := "1.1.0", f.DLSettingsB
	if kind == 'a' {
		mac, settings = "1.0.3", f.DLSettingsA
	}
	return []byte(fmt.Sprintf(`{"ProtocolVersion":"1.0","SenderID":"%x","ReceiverID":"%x","TransactionID":%d,`+
		`"MessageType":"JoinReq","MACVersion":"%s","PHYPayload":"%x","DevEUI":"%x","DevAddr":"%x","DLSettings":"%x",`+
		`"RxDelay":%d,"CFList":"%x"}`, f.NetID[:], f.JoinEUI[:], binary.BigEndian.Uint32(f.DevAddr[:]), mac,
		f.Request[:], f.DevEUI[:], f.DevAddr[:], settings[:], f.RxDelay[0], f.CFList[:]))
}

func answered(f *fixture, kind byte, body []byte) bool {
	var said struct {
		PHYPayload                                             string
		NwkSKey, FNwkSIntKey, SNwkSIntKey, NwkSEncKey, AppSKey struct{ AESKey string }
	}
	is := func(text string, want []byte) bool {
		octets, err := hex.DecodeString(text)
		return err == nil && bytes.Equal(octets, want)
	}
	if json.Unmarshal(body, &said) != nil {
		return false
	}
	switch kind {
	case 'a':
		return is(said.PHYPayload, f.AcceptA[:]) && is(said.NwkSKey.AESKey, f.NwkSKeyA[:]) &&
			is(said.AppSKey.AESKey, f.AppSKeyA[:])
	case 'b':
		return is(said.PHYPayload, f.AcceptB[:]) && is(said.FNwkSIntKey.AESKey, f.FB[:]) &&
			is(said.SNwkSIntKey.AESKey, f.SB[:]) && is(said.NwkSEncKey.AESKey, f.NB[:]) && is(said.AppSKey.AESKey, f.AB[:])
	}
	return is(said.PHYPayload, f.AcceptB[:]) && is(said.FNwkSIntKey.AESKey, f.FC[:]) &&
		is(said.SNwkSIntKey.AESKey, f.SC[:]) && is(said.NwkSEncKey.AESKey, f.NC[:]) && is(said.AppSKey.AESKey, f.AC[:])
}

// handler looks devices up in a map, checks no nonce and stores nothing.  Over HTTP JoinNonces rise.
func handler(all *fixtures, kind byte, rising bool) http.Handler {
	type device struct {
		keys  joinserver.DeviceKeys
		nonce atomic.Int64
	}
	devices := map[lorawan.EUI64]*device{}
	for i := range all.Join {
		f := &all.Join[i]
		devices[f.DevEUI] = &device{keys: joinserver.DeviceKeys{DevEUI: f.DevEUI, NwkKey: f.NwkKey, AppKey: f.AppKey}}
		devices[f.DevEUI].nonce.Store(int64(joinNonce(f)))
	}
	nsLabel := hex.EncodeToString(all.Join[0].NetID[:]) // the package's rule: the SenderID is the label
	h, err := joinserver.NewHandler(joinserver.HandlerConfig{
		GetDeviceKeysByDevEUIFunc: func(devEUI lorawan.EUI64) (joinserver.DeviceKeys, error) {
			d := devices[devEUI]
			if d == nil {
				return joinserver.DeviceKeys{}, joinserver.ErrDevEUINotFound
			}
			keys := d.keys
			keys.JoinNonce = int(d.nonce.Load())
			if rising {
				d.nonce.Add(1)
			}
			return keys, nil
		},
		GetKEKByLabelFunc: func(label string) ([]byte, error) {
			if kind == 'c' && label == "as-kek" {
				return all.AsKEK[:], nil
			}
			if kind == 'c' && label == nsLabel {
				return all.NsKEK[:], nil
			}
			return nil, nil
		},
		GetASKEKLabelByDevEUIFunc: func(lorawan.EUI64) (string, error) {
			if kind == 'c' {
				return "as-kek", nil
			}
			return "", nil
		},
	})
	must(err)
	return h
}

// recorder is the least that a http.ResponseWriter can be.
type recorder struct {
	header http.Header
	body   []byte
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(int)     {}
func (r *recorder) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}

type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

func call(h http.Handler, message []byte) []byte {
	var b body
	b.Reset(message)
	w := recorder{header: http.Header{}}
	h.ServeHTTP(&w, &http.Request{Method: "POST", Body: &b, ContentLength: int64(len(message))})
	return w.body
}

func works(all *fixtures) map[string]work {
	out := map[string]work{}
	for _, kind := range []byte("abc") {
		kind := kind
		out[string(kind)] = work{
			Join: func(i int) {
				if _, err := core(all, &all.Join[i], kind); err != nil {
					panic(err)
				}
			},
			Good: func(i int) bool {
				a, err := core(all, &all.Join[i], kind)
				return err == nil && a.is(&all.Join[i], kind)
			},
		}
		h := handler(all, kind, false)
		messages := make([][]byte, len(all.Join))
		for i := range all.Join {
			messages[i] = message(&all.Join[i], kind)
		}
		out["handler-"+string(kind)] = work{
			Join: func(i int) { call(h, messages[i]) },
			Good: func(i int) bool { return answered(&all.Join[i], kind, call(h, messages[i])) },
		}
	}
	return out
}

func main() {
	all := goworker.Read(os.Args[1])
	if len(os.Args) > 3 && os.Args[2] == "http" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		fmt.Printf("listening on http://%s\n", listener.Addr())
		go func() { must(http.Serve(listener, handler(all, os.Args[3][0], true))) }()
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		return
	}
	goworker.Obey(all, works(all))
}
