package human_test

import (
	"crypto/sha256"
	"errors"
	"math/bits"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"regwarden/internal/portal/human"
)

// worked does the work as a browser would.
func worked(p human.Puzzle) url.Values {
	for n := 0; ; n++ {
		sum := sha256.Sum256([]byte(p.Seed + strconv.Itoa(n)))
		if bits.LeadingZeros32(uint32(sum[0])<<24|uint32(sum[1])<<16|uint32(sum[2])<<8|uint32(sum[3])) >= p.Bits {
			return url.Values{human.FieldWorkID: {p.ID}, human.FieldWork: {strconv.Itoa(n)}}
		}
	}
}

func TestWorkIsGoodOnceAndForOneThing(t *testing.T) {
	w, err := human.NewWork(10, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Puzzle(mine)
	if err != nil {
		t.Fatal(err)
	}
	done := worked(p)
	for name, other := range others() {
		if err := w.Verify(other, done); !errors.Is(err, human.ErrNotYours) {
			t.Errorf("%s: want not yours, got %v", name, err)
		}
	}
	if err := w.Verify(mine, done); err != nil {
		t.Errorf("want it taken, got %v", err)
	}
	if err := w.Verify(mine, done); !errors.Is(err, human.ErrSpent) {
		t.Errorf("replayed: want spent, got %v", err)
	}
	next, _ := w.Puzzle(mine)
	done.Set(human.FieldWorkID, next.ID)
	done.Set(human.FieldWork, "")
	if err := w.Verify(mine, done); !errors.Is(err, human.ErrWrong) {
		t.Errorf("no work: want wrong, got %v", err)
	}
}

func TestWorkThatWasNotDone(t *testing.T) {
	w, _ := human.NewWork(24, 0)
	for _, n := range []string{"0", "-1", "1e9", "99999999999999999999", " 1", "x"} {
		p, _ := w.Puzzle(mine)
		if err := w.Verify(mine, url.Values{human.FieldWorkID: {p.ID}, human.FieldWork: {n}}); !errors.Is(err, human.ErrWrong) {
			t.Errorf("%q: want wrong, got %v", n, err)
		}
	}
	for _, bits := range []int{-1, 0, 25, 256} {
		if _, err := human.NewWork(bits, 0); err == nil {
			t.Errorf("%d bits: want it refused", bits)
		}
	}
}

// TestTheBrowsersHalf runs the script as it is; the page around it is the browser tests'.
func TestTheBrowsersHalf(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: needs node: apt-get install nodejs")
	}
	w, _ := human.NewWork(12, 0)
	for range 5 {
		p, err := w.Puzzle(mine)
		if err != nil {
			t.Fatal(err)
		}
		script := string(human.WorkScript) + "\nwork('" + p.Seed + "', 12).then((n) => console.log(n));"
		out, err := exec.CommandContext(t.Context(), node, "--eval", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := w.Verify(mine, url.Values{human.FieldWorkID: {p.ID}, human.FieldWork: {strings.TrimSpace(string(out))}}); err != nil {
			t.Errorf("%s: %v", out, err)
		}
	}
}
