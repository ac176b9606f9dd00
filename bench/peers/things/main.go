// Command things is the crypto packages of The Things Stack as a worker (see bench/worker.h): a, b and c.  They
// compute over octets, so that who calls them reads the request and lays out the accept.
package main

import (
	"bytes"
	"errors"
	"os"

	"go.thethings.network/lorawan-stack/v3/pkg/crypto"
	"go.thethings.network/lorawan-stack/v3/pkg/types"

	"lorajs/bench/peers/goworker"
)

type answer struct {
	accept []byte
	keys   []types.AES128Key
	wraps  [][]byte
}

const micLen = 4

// reversed appends what is big-endian here and little-endian on air.
func reversed(out []byte, in []byte) []byte {
	for i := len(in) - 1; i >= 0; i-- {
		out = append(out, in[i])
	}
	return out
}

func verified(key types.AES128Key, request []byte) error {
	signed, mic := request[:len(request)-micLen], request[len(request)-micLen:]
	computed, err := crypto.ComputeJoinRequestMIC(key, signed)
	if err == nil && !bytes.Equal(computed[:], mic) {
		err = errors.New("MIC")
	}
	return err
}

func core(all *goworker.Fixtures, f *goworker.Fixture, kind byte) (*answer, error) {
	v11 := kind != 'a'
	nwk, app := types.AES128Key(f.NwkKey), types.AES128Key(f.AppKey)
	if err := verified(nwk, f.Request[:]); err != nil {
		return nil, err
	}
	joinEUI, devEUI := types.EUI64(reversed(nil, f.Request[1:9])), types.EUI64(reversed(nil, f.Request[9:17]))
	devNonce := types.DevNonce(reversed(nil, f.Request[17:19]))
	joinNonce, netID := types.JoinNonce(f.JoinNonce), types.NetID(f.NetID)

	settings := f.DLSettingsA
	if v11 {
		settings = f.DLSettingsB
	}
	accept := append(make([]byte, 0, len(f.AcceptA)), 0x20)
	accept = reversed(reversed(reversed(accept, f.JoinNonce[:]), f.NetID[:]), f.DevAddr[:])
	accept = append(append(accept, settings[0], f.RxDelay[0]), f.CFList[:]...)
	var mic [micLen]byte
	var err error
	if v11 {
		mic, err = crypto.ComputeJoinAcceptMIC(crypto.DeriveJSIntKey(nwk, devEUI), 0xff, joinEUI, devNonce, accept)
	} else {
		mic, err = crypto.ComputeLegacyJoinAcceptMIC(nwk, accept)
	}
	if err != nil {
		return nil, err
	}
	encrypted, err := crypto.EncryptJoinAccept(nwk, append(accept, mic[:]...)[1:])
	if err != nil {
		return nil, err
	}
	out := &answer{accept: append(accept[:1], encrypted...)}
	if !v11 {
		out.keys = []types.AES128Key{crypto.DeriveLegacyNwkSKey(nwk, joinNonce, netID, devNonce),
			crypto.DeriveLegacyAppSKey(nwk, joinNonce, netID, devNonce)}
		return out, nil
	}
	out.keys = []types.AES128Key{crypto.DeriveFNwkSIntKey(nwk, joinNonce, joinEUI, devNonce),
		crypto.DeriveSNwkSIntKey(nwk, joinNonce, joinEUI, devNonce),
		crypto.DeriveNwkSEncKey(nwk, joinNonce, joinEUI, devNonce),
		crypto.DeriveAppSKey(app, joinNonce, joinEUI, devNonce)}
	for i := 0; kind == 'c' && i < len(out.keys); i++ {
		kek := all.NsKEK[:]
		if i == 3 {
			kek = all.AsKEK[:]
		}
		wrapped, err := crypto.WrapKey(out.keys[i][:], kek)
		if err != nil {
			return nil, err
		}
		out.wraps = append(out.wraps, wrapped)
	}
	return out, nil
}

func same(got []types.AES128Key, want ...[16]byte) bool {
	for i := range want {
		if got[i] != types.AES128Key(want[i]) {
			return false
		}
	}
	return len(got) == len(want)
}

func (a *answer) is(f *goworker.Fixture, kind byte) bool {
	switch kind {
	case 'a':
		return bytes.Equal(a.accept, f.AcceptA[:]) && same(a.keys, f.NwkSKeyA, f.AppSKeyA)
	case 'b':
		return bytes.Equal(a.accept, f.AcceptB[:]) && same(a.keys, f.FB, f.SB, f.NB, f.AB)
	}
	return bytes.Equal(a.accept, f.AcceptB[:]) && bytes.Equal(a.wraps[0], f.FC[:]) && bytes.Equal(a.wraps[1], f.SC[:]) &&
		bytes.Equal(a.wraps[2], f.NC[:]) && bytes.Equal(a.wraps[3], f.AC[:])
}

func main() {
	all := goworker.Read(os.Args[1])
	works := map[string]goworker.Work{}
	for _, kind := range []byte("abc") {
		kind := kind
		works[string(kind)] = goworker.Work{
			Join: func(i int) {
				_, err := core(all, &all.Join[i], kind)
				goworker.Must(err)
			},
			Good: func(i int) bool {
				a, err := core(all, &all.Join[i], kind)
				return err == nil && a.is(&all.Join[i], kind)
			},
		}
	}
	goworker.Obey(all, works)
}
