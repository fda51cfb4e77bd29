package detector

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// awkward are expressions with everything that the automaton treats in its own way.
var awkward = []string{
	`^/v2/.*/manifests/latest$`, `(?i)wp-login\.php`, `\bk\b`, `(?m)^x$`, `a.{3}x`, `^$`, `$`, `^`, `[^a-z]+é`, `(?s)a.b`, `\Aab|cd\z`, `(?i)straße`, `K`, `(?i)k`, `[\x80-\x{10ffff}]{2}`,
	`(a|b)*abb`, `\d{1,3}\.\d{1,3}`, `(?:^|/)\.env(?:$|\?)`, ``, `\Bx`, `[[:^ascii:]]z`, `a{0,5}b`, `ſ`, `^(?:GET|HEAD) [^ ]+ "`,
}

// TestNoMatchIsLost: a group whose expression matches a text is always found in it, and what is found beyond is rare.
func TestNoMatchIsLost(t *testing.T) {
	var groups [][]string
	var want []*regexp.Regexp
	for _, a := range awkward {
		groups = append(groups, []string{a})
		want = append(want, regexp.MustCompile(a))
	}
	s := newSearch(newProgram(groups))
	rnd := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "b", "x", "k", "K", "é", "ſ", "\xff", "\xe2\x84\xaa", "/v2/", "/manifests/latest", "wp-login.php", "\n", " ", ".", "9", "12.34", "straße", "STRASSE", ".env", "?", "\x80", "ab", "cd", `GET / "`, "日本"}
	missed, beyond := 0, 0
	for range 30_000 {
		var text strings.Builder
		for range rnd.IntN(8) {
			text.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		found := s.in(text.String())
		for g, rx := range want {
			switch matches := rx.MatchString(text.String()); {
			case matches && !has(found, g):
				if missed++; missed < 5 {
					t.Errorf("%q matches %q, and was not found", awkward[g], text.String())
				}
			case !matches && has(found, g):
				beyond++
			}
		}
	}
	if all := 30_000 * len(awkward); beyond > all/10 {
		t.Errorf("%d of %d were found and do not match", beyond, all)
	}
}

// FuzzNoMatchIsLost is the same for any expression.
func FuzzNoMatchIsLost(f *testing.F) {
	for _, a := range awkward {
		f.Add(a, "/v2/a/manifests/latest k é x")
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 200 || len(text) > 2000 {
			return
		}
		rx, err := regexp.Compile(expr)
		if err != nil {
			return
		}
		if p := compiled(expr); p == nil || len(p.Inst) > 2000 {
			return
		}
		if s := newSearch(newProgram([][]string{{`zzz`}, {expr}})); rx.MatchString(text) && !has(s.in(text), 1) {
			t.Errorf("%q matches %q, and was not found", expr, text)
		}
	})
}

// TestAnExplodingExpressionHurtsNoOther: it is taken for one that always may match, and the others are still told apart.
func TestAnExplodingExpressionHurtsNoOther(t *testing.T) {
	groups := [][]string{{`needle`}, {`a.{14}x`}, {`other`}, {`third$`}}
	s := newSearch(newProgram(groups))
	rnd := rand.New(rand.NewPCG(3, 4))
	text := make([]byte, 4000)
	for range 200 {
		for i := range text {
			text[i] = "ab"[rnd.IntN(2)]
		}
		s.in(string(text))
	}
	states := 0
	for _, a := range s.automata {
		states += len(a.states)
	}
	if states > 4*maxStates {
		t.Errorf("%d states", states)
	}
	for text, want := range map[string]string{"a needle": "[true true false false]", "the third": "[false true false true]", "nothing": "[false true false false]"} {
		found := s.in(text)
		var got []bool
		for g := range groups {
			got = append(got, has(found, g))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("in %q: %v, want %s", text, got, want)
		}
	}
}

// TestOneTextWithTooManyStatesComesToAnEnd: it makes a thousand states late, so that throwing them away once more would lead nowhere.
func TestOneTextWithTooManyStatesComesToAnEnd(t *testing.T) {
	s := newSearch(newProgram([][]string{{`needle`}, {`a.{14}x`}}))
	rnd := rand.New(rand.NewPCG(5, 6))
	text := make([]byte, 13000)
	for i := range text {
		if text[i] = 'b'; i >= 9000 {
			text[i] = "ab"[rnd.IntN(2)]
		}
	}
	if found := s.in(string(text)); has(found, 0) || !has(found, 1) {
		t.Errorf("found %v: the exploding one may match, the other does not", found)
	}
}

// TestStatesAreToldApart: many groups that match together leave a state that is no other's.
func TestStatesAreToldApart(t *testing.T) {
	var groups [][]string
	for i := range 24 {
		groups = append(groups, []string{map[bool]string{true: "w", false: "q"}[i < 18]})
	}
	groups[23] = []string{"z" + strings.Repeat("y", 200)}
	s := newSearch(newProgram(groups))
	s.in("q")
	if !has(s.in("z"+strings.Repeat("y", 200)), 23) {
		t.Error("a match is lost after another text")
	}
}
