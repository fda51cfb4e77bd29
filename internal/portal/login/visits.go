package login

import (
	"container/list"
	"sync"
	"time"

	"regwarden/internal/portal/account"
)

// visit is somebody who is signed in: what must never leave this process. Its mutex is held while a token is refreshed, so that of several
// requests of one person only one does it; a refresh token is good once.
type visit struct {
	mu      sync.Mutex
	user    account.User
	refresh account.Secret
}

// seat is a visit under its session's token, with what scs keeps of the session.
type seat struct {
	token   string
	subject string
	data    []byte
	until   time.Time // idle and whole life, as scs reckons it
	visit   *visit
}

// visits are all who are signed in, and the store of scs at the same time: a session without a visit is not kept. So a request that was under
// way during a logout does not bring its session back, and nobody who only looks takes memory.
type visits struct {
	mu      sync.Mutex
	max     int
	ofOne   int
	idle    time.Duration
	byToken map[string]*list.Element // of *seat
	recent  *list.List               // the longest unused first
}

func newVisits(max, ofOne int, idle time.Duration) *visits {
	return &visits{max: max, ofOne: ofOne, idle: idle, byToken: map[string]*list.Element{}, recent: list.New()}
}

// add begins a visit. Where there is no room, the longest unused one of the person ends, or of all.
func (v *visits) add(token string, one *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	of, oldest := 0, (*list.Element)(nil)
	for e, next := v.recent.Front(), (*list.Element)(nil); e != nil; e = next {
		next = e.Next()
		switch s := e.Value.(*seat); {
		case !now.Before(s.until):
			v.remove(e)
		case s.subject == one.user.Subject:
			if of++; oldest == nil {
				oldest = e
			}
		}
	}
	if of >= v.ofOne {
		v.remove(oldest)
	}
	if v.recent.Len() >= v.max {
		v.remove(v.recent.Front())
	}
	v.byToken[token] = v.recent.PushBack(&seat{token: token, subject: one.user.Subject, until: now.Add(v.idle), visit: one})
}

// get is the visit of a session; nil if there is none.
func (v *visits) get(token string) *visit {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.seat(token); s != nil {
		return s.visit
	}
	return nil
}

func (v *visits) seat(token string) *seat {
	e, ok := v.byToken[token]
	if !ok {
		return nil
	}
	s := e.Value.(*seat)
	if !time.Now().Before(s.until) {
		v.remove(e)
		return nil
	}
	return s
}

// Find is scs.Store's.
func (v *visits) Find(token string) (data []byte, found bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.seat(token)
	if s == nil || s.data == nil {
		return nil, false, nil
	}
	return s.data, true, nil
}

// Commit is scs.Store's. It is called at the end of each request of somebody who is signed in.
func (v *visits) Commit(token string, data []byte, until time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.seat(token); s != nil {
		s.data, s.until = data, until
		v.recent.MoveToBack(v.byToken[token])
	}
	return nil
}

// Delete is scs.Store's. The tokens are forgotten with the visit.
func (v *visits) Delete(token string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e, ok := v.byToken[token]; ok {
		v.remove(e)
	}
	return nil
}

func (v *visits) remove(e *list.Element) { delete(v.byToken, v.recent.Remove(e).(*seat).token) }
