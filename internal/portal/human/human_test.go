package human_test

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"regwarden/internal/portal/human"
)

var mine = human.Binding{Subject: "42", Project: "acme/web", Address: "203.0.113.7", Purpose: "lift"}

// others are bindings that differ from mine in one thing.
func others() map[string]human.Binding {
	person, project, address, purpose := mine, mine, mine, mine
	person.Subject, project.Project, address.Address, purpose.Purpose = "43", "acme/other", "203.0.113.8", "extend"
	return map[string]human.Binding{"another person": person, "another project": project, "another address": address, "another purpose": purpose}
}

// exam is the image test with the answers.
type exam struct {
	*human.Image
	answers map[string]string
}

func newExam(o human.ImageOptions) *exam {
	e := &exam{answers: map[string]string{}}
	o.Peek = func(id, answer string) { e.answers[id] = answer }
	e.Image = human.NewImage(o)
	return e
}

func (e *exam) challenge(t *testing.T, b human.Binding) human.Challenge {
	t.Helper()
	c, err := e.Challenge(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func form(c human.Challenge, answer string) url.Values {
	return url.Values{human.FieldID: {c.ID}, human.FieldAnswer: {answer}}
}

func TestTheRightDigitsAreGoodOnce(t *testing.T) {
	e := newExam(human.ImageOptions{})
	c := e.challenge(t, mine)
	right := form(c, e.answers[c.ID])
	if err := e.Verify(t.Context(), mine, right); err != nil {
		t.Fatalf("want it taken, got %v", err)
	}
	if err := e.Verify(t.Context(), mine, right); !errors.Is(err, human.ErrSpent) {
		t.Errorf("replayed: want spent, got %v", err)
	}
}

func TestAWrongAnswerSpendsTheChallenge(t *testing.T) {
	for _, typed := range []string{"", "0", "abcdef", "999999999999", strings.Repeat("1", 100_000), "\x00\x00"} {
		e := newExam(human.ImageOptions{})
		c := e.challenge(t, mine)
		if err := e.Verify(t.Context(), mine, form(c, typed)); !errors.Is(err, human.ErrWrong) {
			t.Errorf("%.20q: want wrong, got %v", typed, err)
		}
		if err := e.Verify(t.Context(), mine, form(c, e.answers[c.ID])); !errors.Is(err, human.ErrSpent) {
			t.Errorf("%.20q: a second guess: want spent, got %v", typed, err)
		}
	}
}

func TestTypingIsForgiven(t *testing.T) {
	e := newExam(human.ImageOptions{})
	for name, typed := range map[string]func(string) string{
		"spaces":       func(a string) string { return " " + a[:3] + " " + a[3:] + "\n" },
		"each":         func(a string) string { return strings.Join(strings.Split(a, ""), " ") },
		"dashes":       func(a string) string { return a[:2] + "-" + a[2:] },
		"no-break":     func(a string) string { return a[:2] + "\u00a0" + a[2:] },
		"full width":   func(a string) string { return strings.Map(func(r rune) rune { return r - '0' + '０' }, a) },
		"a full stop.": func(a string) string { return a + "." },
	} {
		c := e.challenge(t, mine)
		if err := e.Verify(t.Context(), mine, form(c, typed(e.answers[c.ID]))); err != nil {
			t.Errorf("%s: %q for %q: %v", name, typed(e.answers[c.ID]), e.answers[c.ID], err)
		}
	}
}

func TestAChallengeForSomethingElse(t *testing.T) {
	for name, other := range others() {
		t.Run(name, func(t *testing.T) {
			e := newExam(human.ImageOptions{})
			c := e.challenge(t, mine)
			right := form(c, e.answers[c.ID])
			if err := e.Verify(t.Context(), other, right); !errors.Is(err, human.ErrNotYours) {
				t.Errorf("want not yours, got %v", err)
			}
			if _, err := e.Sound(t.Context(), other, c.ID); !errors.Is(err, human.ErrNotYours) {
				t.Errorf("sound: want not yours, got %v", err)
			}
			if err := e.Verify(t.Context(), mine, right); err != nil {
				t.Errorf("nobody else spends it: %v", err)
			}
			if err := e.Verify(t.Context(), other, right); !errors.Is(err, human.ErrNotYours) {
				t.Errorf("nor learns that it is spent: %v", err)
			}
		})
	}
}

func TestAnOpenBindingIsRefused(t *testing.T) {
	for _, b := range []human.Binding{{}, {Project: "acme/web", Address: "203.0.113.7", Purpose: "lift"}, {Subject: "42", Project: "acme/web", Address: strings.Repeat("x", 1000), Purpose: "lift"}} {
		if _, err := newExam(human.ImageOptions{}).Challenge(t.Context(), b); err == nil {
			t.Errorf("%.80v: want it refused", b)
		}
	}
}

func TestAChallengeExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExam(human.ImageOptions{})
		early, late := e.challenge(t, mine), e.challenge(t, mine)
		time.Sleep(5*time.Minute - time.Nanosecond)
		if err := e.Verify(t.Context(), mine, form(early, e.answers[early.ID])); err != nil {
			t.Errorf("just in time: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := e.Verify(t.Context(), mine, form(late, e.answers[late.ID])); !errors.Is(err, human.ErrExpired) {
			t.Errorf("too late: want expired, got %v", err)
		}
	})
}

func TestAnUnknownChallenge(t *testing.T) {
	e := newExam(human.ImageOptions{})
	for _, f := range []url.Values{nil, {}, {human.FieldID: {"NOSUCH"}, human.FieldAnswer: {"123456"}}, {human.FieldID: {""}, human.FieldAnswer: {""}}} {
		if err := e.Verify(t.Context(), mine, f); !errors.Is(err, human.ErrExpired) {
			t.Errorf("%v: want expired, got %v", f, err)
		}
	}
}

func TestOnlySoManyChallenges(t *testing.T) {
	e := newExam(human.ImageOptions{Max: 4, PerUser: 2})
	first, second, third := e.challenge(t, mine), e.challenge(t, mine), e.challenge(t, mine)
	if err := e.Verify(t.Context(), mine, form(first, e.answers[first.ID])); !errors.Is(err, human.ErrExpired) {
		t.Errorf("a person's third challenge takes the first one's place: %v", err)
	}
	for i := range 3 { // with one more all are full
		b := mine
		b.Subject = fmt.Sprint(i)
		e.challenge(t, b)
	}
	if err := e.Verify(t.Context(), mine, form(second, e.answers[second.ID])); !errors.Is(err, human.ErrExpired) {
		t.Errorf("the fifth takes the place of the oldest: %v", err)
	}
	if err := e.Verify(t.Context(), mine, form(third, e.answers[third.ID])); err != nil {
		t.Errorf("and of no other: %v", err)
	}
}

func TestOfManyAtOnceOneIsTaken(t *testing.T) {
	e := newExam(human.ImageOptions{})
	c := e.challenge(t, mine)
	var all sync.WaitGroup
	results := make(chan error, 50)
	for range cap(results) {
		all.Go(func() { results <- e.Verify(t.Context(), mine, form(c, e.answers[c.ID])) })
	}
	all.Wait()
	close(results)
	taken := 0
	for err := range results {
		if err == nil {
			taken++
		} else if !errors.Is(err, human.ErrSpent) {
			t.Errorf("want spent, got %v", err)
		}
	}
	if taken != 1 {
		t.Errorf("want one, got %d", taken)
	}
}

func TestImageAndSound(t *testing.T) {
	e := newExam(human.ImageOptions{})
	for range 100 { // places and noise are random
		c := e.challenge(t, mine)
		p, err := png.Decode(bytes.NewReader(c.Image))
		if err != nil {
			t.Fatal(err)
		}
		if size := p.Bounds().Size(); size.X != 240 || size.Y != 80 {
			t.Fatalf("want 240 x 80, got %v", size)
		}
		if _, _, _, alpha := p.At(0, 0).RGBA(); alpha != 0xffff {
			t.Fatal("the ground is transparent: on a dark page nobody could read it")
		}
		if !strings.HasPrefix(string(c.ImageURI()), "data:image/png;base64,iVBOR") || c.Kind != "image" {
			t.Fatalf("got %.40q, %s", c.ImageURI(), c.Kind)
		}
	}
	c := e.challenge(t, mine)
	for range 5 {
		wav, err := e.Sound(t.Context(), mine, c.ID)
		if err != nil || !bytes.HasPrefix(wav, []byte("RIFF")) || !bytes.Contains(wav[:16], []byte("WAVE")) || len(wav) < 40_000 {
			t.Fatalf("want a WAV file, got %d bytes, %v", len(wav), err)
		}
	}
	if _, err := e.Sound(t.Context(), mine, c.ID); !errors.Is(err, human.ErrSpent) {
		t.Errorf("a sixth time: want spent, got %v", err)
	}
	if err := e.Verify(t.Context(), mine, form(c, e.answers[c.ID])); err != nil {
		t.Errorf("hearing spends nothing: %v", err)
	}
	if _, err := e.Sound(t.Context(), mine, c.ID); !errors.Is(err, human.ErrSpent) {
		t.Errorf("after the answer: want spent, got %v", err)
	}
}

func TestEveryLengthOfDigits(t *testing.T) {
	for digits, want := range map[int]int{0: 6, 1: 4, 4: 4, 5: 5, 7: 7, 8: 8, 20: 8} {
		e := newExam(human.ImageOptions{Digits: digits})
		for range 50 {
			if c := e.challenge(t, mine); len(e.answers[c.ID]) != want {
				t.Fatalf("%d: want %d digits, got %q", digits, want, e.answers[c.ID])
			}
		}
	}
}
