// Command linearizable has Porcupine, a linearizability checker that knows nothing of
// this program, judge histories of the simulation:
//
//	FTCHAT_SIM_HISTORIES=/tmp/histories FTCHAT_SIM_SEEDS=100 \
//	    cargo test --test sim -- campaign
//	cd scripts/linearizable && go run . /tmp/histories/*.jsonl
//
// The head of tests/sim/oracle/export.rs describes the files. Linearizability is local,
// so what one account sent to another is an object of its own, which keeps the search
// short: messages enter it in the order of their seq, are marked and deleted, and every
// page must show exactly what is there. Names that somebody else had before are left out:
// which messages reached which owner is not in the history.
//
// Exit code 1: some history has no order. A history for which a minute does not suffice
// is named, and is no failure.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

const patience = time.Minute

type query struct {
	Which string `json:"which"`
	After uint64 `json:"after"`
	From  string `json:"from"`
	Since string `json:"since"`
	Limit int    `json:"limit"`
}

type message struct {
	ID   string `json:"id"`
	Seq  uint64 `json:"seq"`
	From string `json:"from"`
	Read bool   `json:"read"`
}

type value struct {
	ID       string    `json:"id"`
	From     string    `json:"from"`
	To       []string  `json:"to"`
	Owner    string    `json:"owner"`
	Query    query     `json:"query"`
	Seqs     []uint64  `json:"seqs"`
	Seq      uint64    `json:"seq"`
	Messages []message `json:"messages"`
	More     bool      `json:"more"`
	Count    int       `json:"count"`
}

type event struct {
	Time    uint64 `json:"time"`
	Process int    `json:"process"`
	Type    string `json:"type"`
	F       string `json:"f"`
	Value   value  `json:"value"`
	Error   string `json:"error"`
}

// What was done to one object, and answered. Its kind is the event's f; of a delete that
// found nothing, "missing".
type deed struct {
	kind     string
	sure     bool
	seq      uint64
	previous uint64
	seqs     []uint64
	query    query
	messages []message
	until    uint64
}

// Messages of an object, the latest first, and what became of them.
type cell struct {
	seq  uint64
	prev *cell
}

type state struct {
	head          *cell
	count         int
	deleted, read map[uint64]bool
}

func with(set map[uint64]bool, more ...uint64) map[uint64]bool {
	grown := make(map[uint64]bool, len(set)+len(more))
	for seq := range set {
		grown[seq] = true
	}
	for _, seq := range more {
		grown[seq] = true
	}
	return grown
}

func same(one, other map[uint64]bool) bool {
	if len(one) != len(other) {
		return false
	}
	for seq := range one {
		if !other[seq] {
			return false
		}
	}
	return true
}

func (s state) has(seq uint64) bool {
	for at := s.head; at != nil && at.seq >= seq; at = at.prev {
		if at.seq == seq {
			return !s.deleted[seq]
		}
	}
	return false
}

// Whether a page is what this state shows.
func (s state) shows(d deed) bool {
	next := len(d.messages)
	for at := s.head; at != nil && at.seq > d.query.After; at = at.prev {
		if at.seq > d.until || s.deleted[at.seq] {
			continue
		}
		read := s.read[at.seq]
		if d.query.Which == "unread" && read {
			continue
		}
		next--
		if next < 0 || d.messages[next].Seq != at.seq || d.messages[next].Read != read {
			return false
		}
	}
	return next == 0
}

func step(before, input, _ interface{}) (bool, interface{}) {
	s, d := before.(state), input.(deed)
	switch d.kind {
	case "send":
		// All places are known, so nothing that comes later stands before it.
		if s.head == nil && d.previous == 0 || s.head != nil && s.head.seq == d.previous {
			return true, state{&cell{d.seq, s.head}, s.count + 1, s.deleted, s.read}
		}
		for at := s.head; at != nil; at = at.prev {
			if at.seq == d.seq {
				return true, s
			}
		}
		return false, s
	case "read":
		return s.shows(d), s
	case "mark":
		// Both descend.
		var fresh []uint64
		at := s.head
		for i := len(d.seqs) - 1; i >= 0; i-- {
			for at != nil && at.seq > d.seqs[i] {
				at = at.prev
			}
			if at != nil && at.seq == d.seqs[i] && !s.deleted[at.seq] && !s.read[at.seq] {
				fresh = append(fresh, at.seq)
			}
		}
		if len(fresh) == 0 {
			return true, s
		}
		return true, state{s.head, s.count, s.deleted, with(s.read, fresh...)}
	case "delete":
		if !s.has(d.seq) {
			return !d.sure, s
		}
		return true, state{s.head, s.count, with(s.deleted, d.seq), s.read}
	case "missing":
		return !s.has(d.seq), s
	}
	panic("no such deed: " + d.kind)
}

func equal(one, other interface{}) bool {
	a, b := one.(state), other.(state)
	// Messages enter in one order only, so the last one tells which there are.
	heads := a.head == b.head || a.head != nil && b.head != nil && a.head.seq == b.head.seq
	return heads && a.count == b.count && same(a.deleted, b.deleted) && same(a.read, b.read)
}

var model = porcupine.Model{
	Init:  func() interface{} { return state{} },
	Step:  step,
	Equal: equal,
}

func read(path string) ([]event, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var events []event
	lines := bufio.NewReaderSize(file, 1<<20)
	decoder := json.NewDecoder(lines)
	for decoder.More() {
		var next event
		if err := decoder.Decode(&next); err != nil {
			return nil, err
		}
		events = append(events, next)
	}
	return events, nil
}

// Operations by object.
func objects(events []event) map[string][]porcupine.Operation {
	began, ended := map[int]event{}, map[int]event{}
	places := map[string]uint64{}
	for _, next := range events {
		if next.Type == "invoke" {
			began[next.Process] = next
			continue
		}
		ended[next.Process] = next
		if next.Type == "ok" && next.F == "send" {
			places[began[next.Process].Value.ID] = next.Value.Seq
		}
		for _, shown := range next.Value.Messages {
			places[shown.ID] = shown.Seq
		}
	}
	senders, senderOf := map[string]map[string]bool{}, map[uint64]string{}
	for process, asked := range began {
		if place, known := places[asked.Value.ID]; asked.F == "send" && known {
			senderOf[place] = asked.Value.From
			if ended[process].Type == "fail" {
				continue
			}
			for _, to := range asked.Value.To {
				if senders[to] == nil {
					senders[to] = map[string]bool{}
				}
				senders[to][asked.Value.From] = true
			}
		}
	}
	found := map[string][]porcupine.Operation{}
	for process, asked := range began {
		answer, sure := ended[process], ended[process].Type == "ok"
		until := int64(math.MaxInt64)
		if answer.Type != "info" {
			until = int64(answer.Time)
		}
		add := func(from, to string, d deed) {
			if strings.Contains(from+to, "#") {
				return
			}
			d.sure = sure
			object := "what " + from + " sent to " + to
			found[object] = append(found[object], porcupine.Operation{
				ClientId: process, Input: d, Call: int64(asked.Time), Return: until,
			})
		}
		owner := asked.Value.Owner
		place, known := places[asked.Value.ID]
		refused := answer.Type == "fail"
		switch {
		case asked.F == "send" && known && !refused:
			for _, to := range asked.Value.To {
				add(asked.Value.From, to, deed{kind: "send", seq: place})
			}
		case asked.F == "read" && sure && asked.Value.Query.Since == "" && asked.Value.Query.Which != "sent":
			q := asked.Value.Query
			for from := range senders[owner] {
				if q.From != "" && q.From != from {
					continue
				}
				d := deed{kind: "read", query: q, until: math.MaxUint64}
				for _, shown := range answer.Value.Messages {
					if answer.Value.More {
						d.until = shown.Seq
					}
					if shown.From == from {
						d.messages = append(d.messages, shown)
					}
				}
				add(from, owner, d)
			}
		case asked.F == "mark" && !refused:
			for from := range senders[owner] {
				d := deed{kind: "mark"}
				for _, seq := range asked.Value.Seqs {
					if senderOf[seq] == from {
						d.seqs = append(d.seqs, seq)
					}
				}
				add(from, owner, d)
			}
		case asked.F == "delete" && known && !refused:
			add(senderOf[place], owner, deed{kind: "delete", seq: place})
		case asked.F == "delete" && known && answer.Error == "unknown_message":
			add(senderOf[place], owner, deed{kind: "missing", seq: place})
		}
	}
	for object, operations := range found {
		pages, all := false, map[uint64]bool{0: true}
		for _, it := range operations {
			pages = pages || it.Input.(deed).kind == "read"
			if d := it.Input.(deed); d.kind == "send" {
				all[d.seq] = true
			}
		}
		if !pages {
			delete(found, object)
			continue
		}
		var places []uint64
		for seq := range all {
			places = append(places, seq)
		}
		sort.Slice(places, func(i, j int) bool { return places[i] < places[j] })
		for i, it := range operations {
			if d := it.Input.(deed); d.kind == "send" {
				at := sort.Search(len(places), func(i int) bool { return places[i] >= d.seq })
				d.previous = places[at-1]
				operations[i].Input = d
			}
		}
	}
	return found
}

func main() {
	var wrong, slow, judged, total int
	for _, path := range os.Args[1:] {
		events, err := read(path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			os.Exit(2)
		}
		found := objects(events)
		var names []string
		for name := range found {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			judged++
			total += len(found[name])
			switch porcupine.CheckOperationsTimeout(model, found[name], patience) {
			case porcupine.Illegal:
				wrong++
				fmt.Printf("%s: %s is not linearizable\n", path, name)
			case porcupine.Unknown:
				slow++
				fmt.Printf("%s: %s takes too long\n", path, name)
			}
		}
	}
	fmt.Printf("%d histories, %d objects, %d operations: %d not linearizable, %d took too long\n",
		len(os.Args)-1, judged, total, wrong, slow)
	if wrong > 0 || judged == 0 {
		os.Exit(1)
	}
}
