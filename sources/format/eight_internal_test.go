package format

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestEightAtATime: what is read eight bytes at a time is what is read byte by byte, of texts that are nearly addresses and numbers.
func TestEightAtATime(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	parts := []string{"0", "1", "9", "10", "99", "127", "199", "255", "256", "300", "01", "1000", "", ".", ".", "..", " ", ":", "/", "a", "\x00", "\x80", "\xb0", "\xff", `"`, "-"}
	quads := 0
	for range 300_000 {
		var b strings.Builder
		odd := len(parts) >> (rnd.IntN(2) * 2) // half of them have numbers only
		for n := 2 + rnd.IntN(3); n >= 0; n-- {
			b.WriteString(parts[rnd.IntN(odd)])
			if rnd.IntN(8) > 0 {
				b.WriteByte('.')
			}
		}
		text := strings.TrimSuffix(b.String(), ".")
		s := text + ` x"` + strings.Repeat(".", quadRoom)
		end := 0
		for end < len(s) && '0' <= s[end] && s[end] <= '9' {
			end++
		}
		if got := digitsEnd(s, 0); got != end {
			t.Fatalf("%q: digits end at %d, want %d", s, got, end)
		}
		plain := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		want, ok := plainIPv4(s[:plain])
		a, end := quad(s, 0)
		if ok && (end != plain || fromQuad(a) != want) {
			t.Fatalf("%q: %v to %d, want %v to %d", s, fromQuad(a), end, want, plain)
		}
		if !ok && end > 0 { // what stands before a fifth part
			if before, is := plainIPv4(s[:end]); !is || before != fromQuad(a) || s[end] != '.' {
				t.Fatalf("%q: %v to %d, and it is none", s, fromQuad(a), end)
			}
		}
		if ok {
			quads++
		}
		for _, text := range []string{text, text + ":443", text + ":", text + ":123456"} {
			line := `{"a":"` + text + `"` + strings.Repeat(" ", quadRoom)
			if got, want := skimAddress(line, line[6:6+len(text)]), address(text); got != want {
				t.Fatalf("%q is %v, want %v", text, got, want)
			}
		}
	}
	if quads < 1000 {
		t.Errorf("%d addresses only", quads)
	}
}
