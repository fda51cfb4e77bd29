package login

import (
	"container/list"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	beginTime  = 10 * time.Minute // from the link to the provider's answer
	maxUsed    = 50_000           // answers that are remembered as used: 5 MB
	maxPending = 3800             // bytes of the cookie; browsers keep 4096
)

// attempt is a sign-in that has begun: what the answer is held against.
type attempt struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	To       string    `json:"t"`
	Until    time.Time `json:"u"`
}

// pending keeps attempts in the browsers that began them, sealed with a key of this process, so that strangers who begin a thousand take
// no memory and push nobody out. What was used is remembered here, the oldest forgotten where there are too many; the provider takes a code only once too.
type pending struct {
	cookie string
	secure bool
	seal   cipher.AEAD

	mu    sync.Mutex
	used  map[string]*list.Element
	order *list.List // of usedState, oldest first
}

type usedState struct {
	state string
	until time.Time
}

func newPending(cookie string, secure bool) *pending {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("login: " + err.Error()) // 32 bytes are a key
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("login: " + err.Error())
	}
	return &pending{cookie: cookie, secure: secure, seal: seal, used: map[string]*list.Element{}, order: list.New()}
}

// begin gives the browser an attempt to keep.
func (p *pending) begin(w http.ResponseWriter, a attempt) error {
	a.Until = time.Now().Add(beginTime)
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	sealed := base64.RawURLEncoding.EncodeToString(p.seal.Seal(nil, nil, text, []byte(p.cookie)))
	if len(sealed) > maxPending {
		return errors.New("the way back is too long")
	}
	p.set(w, sealed, int(beginTime.Seconds()))
	return nil
}

// finish is the attempt that a state belongs to, in the browser that began it, once.
func (p *pending) finish(w http.ResponseWriter, r *http.Request, state string) (a attempt, ok bool) {
	c, err := r.Cookie(p.cookie)
	if err != nil || len(c.Value) > maxPending {
		return a, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return a, false
	}
	text, err := p.seal.Open(nil, nil, sealed, []byte(p.cookie))
	if err != nil || json.Unmarshal(text, &a) != nil || !time.Now().Before(a.Until) {
		return a, false
	}
	if state == "" || subtle.ConstantTimeCompare([]byte(state), []byte(a.State)) != 1 {
		return a, false // the cookie stays: somebody else's link must not end this person's attempt
	}
	p.set(w, "", -1)
	return a, p.use(a)
}

// use says that an attempt was not used before.
func (p *pending) use(a attempt) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.order.Front(); e != nil && (p.order.Len() >= maxUsed || !time.Now().Before(e.Value.(usedState).until)); e = p.order.Front() {
		delete(p.used, p.order.Remove(e).(usedState).state)
	}
	if p.used[a.State] != nil {
		return false
	}
	p.used[a.State] = p.order.PushBack(usedState{a.State, a.Until})
	return true
}

func (p *pending) set(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: p.cookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode})
}
