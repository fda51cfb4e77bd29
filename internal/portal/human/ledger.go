package human

import (
	"cmp"
	"container/list"
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

// Defaults of what is kept at a time. Ten challenges of one person are five minutes of quick tries; all of them are about 10 MB at the most.
const (
	expires    = 5 * time.Minute
	maxAll     = 10_000
	maxPerUser = 10
	maxText    = 512 // bytes of each text of a binding
)

// ticket is one challenge that was given out.
type ticket[T any] struct {
	id      string
	binding Binding
	until   time.Time
	spent   bool
	what    T
}

// ledger keeps what was given out until it expires, spent or not, so that each is good once. It is bounded: where there is no room, the oldest of
// the person goes, or the oldest of all.
type ledger[T any] struct {
	mu      sync.Mutex
	keep    time.Duration
	max     int
	perUser int
	byID    map[string]*list.Element // of *ticket[T]
	all     *list.List               // oldest first
	byUser  map[string][]string      // IDs, oldest first
}

func newLedger[T any](keep time.Duration, max, perUser int) *ledger[T] {
	return &ledger[T]{keep: cmp.Or(keep, expires), max: cmp.Or(max, maxAll), perUser: cmp.Or(perUser, maxPerUser),
		byID: map[string]*list.Element{}, all: list.New(), byUser: map[string][]string{}}
}

// issue remembers a new ticket. A binding that leaves something open would fit everybody: it is a mistake of ours.
func (l *ledger[T]) issue(b Binding, what T) (id string, err error) {
	for _, text := range []string{b.Subject, b.Project, b.Address, b.Purpose} {
		if text == "" || len(text) > maxText {
			return "", errors.New("a challenge wants a person, a project, an address and a purpose")
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(time.Now())
	if mine := l.byUser[b.Subject]; len(mine) >= l.perUser {
		l.drop(l.byID[mine[0]])
	}
	if l.all.Len() >= l.max {
		l.drop(l.all.Front())
	}
	t := &ticket[T]{id: rand.Text(), binding: b, until: time.Now().Add(l.keep), what: what}
	l.byID[t.id] = l.all.PushBack(t)
	l.byUser[b.Subject] = append(l.byUser[b.Subject], t.id)
	return t.id, nil
}

// take spends a ticket: of two who come at the same time one gets it.
func (l *ledger[T]) take(b Binding, id string) (what T, err error) {
	err = l.with(b, id, func(t *ticket[T]) error {
		t.spent, what = true, t.what
		return nil
	})
	return what, err
}

// with does something with a good ticket, alone.
func (l *ledger[T]) with(b Binding, id string, do func(*ticket[T]) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(time.Now())
	e, known := l.byID[id]
	if !known {
		return ErrExpired
	}
	t := e.Value.(*ticket[T])
	if t.binding != b { // first, so that nobody learns more of another's, nor spends it
		return ErrNotYours
	}
	if t.spent {
		return ErrSpent
	}
	return do(t)
}

// forget drops what is over; all live equally long, so these are the first.
func (l *ledger[T]) forget(now time.Time) {
	for e := l.all.Front(); e != nil && !now.Before(e.Value.(*ticket[T]).until); e = l.all.Front() {
		l.drop(e)
	}
}

func (l *ledger[T]) drop(e *list.Element) {
	t := l.all.Remove(e).(*ticket[T])
	delete(l.byID, t.id)
	mine := l.byUser[t.binding.Subject]
	for i, id := range mine {
		if id == t.id {
			mine = append(mine[:i], mine[i+1:]...)
			break
		}
	}
	l.byUser[t.binding.Subject] = mine
	if len(mine) == 0 {
		delete(l.byUser, t.binding.Subject)
	}
}
