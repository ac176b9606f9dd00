// Package goworker is what every worker in Go has: the fixtures, and the lines that it obeys (see
// bench/worker.h).
package goworker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

const part = 64 // joins between two looks at the clock

// Fixture is a record of the file, as bench/fixtures.h lays it out.
type Fixture struct {
	JoinEUI, DevEUI    [8]byte
	NetID              [3]byte
	DevAddr            [4]byte
	JoinNonce          [3]byte
	DevNonce           [2]byte
	RxDelay            [1]byte
	DLSettingsA        [1]byte
	DLSettingsB        [1]byte
	NwkKey, AppKey     [16]byte
	CFList             [16]byte
	Request            [23]byte
	AcceptA            [33]byte
	NwkSKeyA, AppSKeyA [16]byte
	AcceptB            [33]byte
	FB, SB, NB, AB     [16]byte
	FC, SC, NC, AC     [24]byte
}

// Fixtures are all of them, and the KEKs of both servers.
type Fixtures struct {
	Magic        [8]byte
	NsKEK, AsKEK [16]byte
	Join         [1024]Fixture
}

// Must ends the worker on an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Read reads the file of fixtures.
func Read(path string) *Fixtures {
	file, err := os.ReadFile(path)
	Must(err)
	all := &Fixtures{}
	Must(binary.Read(bytes.NewReader(file), binary.BigEndian, all))
	return all
}

// Work is something that can be timed: the join of a fixture, and whether it answers what it must.
type Work struct {
	Join func(i int)
	Good func(i int) bool
}

func timed(w Work, joins int, ms int) float64 {
	var took []float64
	end := time.Now().Add(time.Duration(ms) * time.Millisecond)
	for first := 0; ; first = (first + part) % joins {
		start := time.Now()
		for i := first; i < first+part; i++ {
			w.Join(i)
		}
		took = append(took, float64(time.Since(start).Nanoseconds())/part)
		if time.Now().After(end) {
			break
		}
	}
	sort.Float64s(took)
	return took[len(took)/2]
}

func obey(all *Fixtures, ready map[string]Work, words []string) string {
	if words[0] == "list" {
		var names []string
		for name := range ready {
			names = append(names, name)
		}
		return "ok " + strings.Join(names, " ")
	}
	w, ok := ready[words[1]]
	switch {
	case !ok:
		return "bad no work of that name"
	case words[0] == "check":
		for i := range all.Join {
			if !w.Good(i) {
				return fmt.Sprintf("bad fixture %d is not reproduced", i)
			}
		}
		return fmt.Sprintf("ok %d", len(all.Join))
	case words[0] == "time":
		ms, err := strconv.Atoi(words[2])
		Must(err)
		return fmt.Sprintf("ok %.3f", timed(w, len(all.Join), ms))
	}
	return "bad command"
}

// Obey answers the lines of standard input until it ends.
func Obey(all *Fixtures, works map[string]Work) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(obey(all, works, strings.Fields(lines.Text())))
	}
}
