package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/portal"
	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
	"regwarden/internal/store"
)

// How much there is when the project page is measured.
const (
	benchBlocks  = 10_000
	benchHistory = 1_000_000
)

// fillBench fills a database: a thousand projects, of which each has its share of blocks and of the history.
func fillBench(b *testing.B, st *store.Store) {
	b.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	cause := func(i int) detector.Cause {
		repository := fmt.Sprintf("group%d/project%d/image", i%100, i%1000)
		return detector.Cause{ID: fmt.Sprintf("%012x", i), Rule: []string{"missing-manifest", "tag-scan", "token-denied"}[i%3], By: "rule", About: repository, Repositories: []string{repository},
			Projects: detector.ProjectCandidates(repository), References: []string{"v1"}, Reason: "keeps asking for a manifest that does not exist: 45 times in 4m0s", Scope: detector.ScopeRepository,
			Samples: []string{`203.0.113.7 - - [05/Oct/2026:08:00:02 +0000] "GET /v2/group/project/image/manifests/v1 HTTP/1.1" 404 93 "" "docker/27.5.1" -`, "another line of the same"},
			Count:   45, Since: now, Until: now.Add(12 * time.Hour), First: now, Last: now, Strike: 1}
	}
	target := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	var changes []detector.Change
	for i := range benchHistory {
		c := cause(i)
		change := detector.Change{Time: now.Add(time.Duration(i-benchHistory) * time.Second), Verb: detector.ChangeDryRun, Block: detector.Block{Target: target(i)}, Cause: c, By: "rule"}
		if i >= benchHistory-benchBlocks {
			block := detector.Block{Target: target(i), Until: c.Until, Causes: []detector.Cause{c}}
			change.Verb, change.Block = detector.ChangeBlock, block
		}
		if changes = append(changes, change); len(changes) == 20000 || i == benchHistory-1 {
			if err := st.SaveChanges(context.Background(), changes); err != nil {
				b.Fatal(err)
			}
			changes = changes[:0]
		}
	}
}

// benchDoor lets everybody in as one person.
type benchDoor struct{}

func (benchDoor) Wrap(next http.Handler) http.Handler { return next }
func (benchDoor) User(context.Context) (account.User, bool) {
	return account.User{Subject: "1", Username: "dana", Groups: []string{"g"}}, true
}
func (benchDoor) Routes() http.Handler { return http.NotFoundHandler() }

// BenchmarkProjectPage is the page of one project among 10,000 blocks and a million rows of history, with all that the daemon does for it; cpu-ms/op is the time
// that the process had of all cores. The database, 0.8 GB, is kept in REGWARDEN_BENCH_DB if that names a file, since filling it takes two minutes.
//
//	REGWARDEN_BENCH_DB=/var/tmp/bench.db go test ./internal/daemon -run '^$' -bench ProjectPage -benchtime 200x
func BenchmarkProjectPage(b *testing.B) {
	path := os.Getenv("REGWARDEN_BENCH_DB")
	if path == "" {
		path = filepath.Join(b.TempDir(), "state.db")
	}
	_, missing := os.Stat(path)
	st, err := store.Open(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	if missing != nil {
		fillBench(b, st)
	}
	c := config.Default()
	c.DryRun, c.Actions.Log, c.BlockPrivate = true, false, true
	c.Sources = []config.Source{{Name: "s", Type: "file", Paths: []string{filepath.Join(b.TempDir(), "none")}, From: "end", Format: "auto"}}
	plan, err := makePlan(&c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	d := &Daemon{options: Options{Config: &c}, logger: slog.New(slog.DiscardHandler), since: time.Now()}
	if d.core, err = newCore(b.Context(), plan, st, d.logger); err != nil {
		b.Fatal(err)
	}
	if n := d.core.ledger.Len(); n != benchBlocks {
		b.Fatalf("there are %d blocks, want %d", n, benchBlocks)
	}
	d.core.warned["due prune"] = time.Now().Add(time.Hour) // a million is more than is kept
	ended := make(chan error, 1)
	go func() { ended <- d.core.run() }()
	defer func() { d.core.stop(); <-ended }()
	groups, err := access.NewGroups([]access.Grant{{Group: "g", Namespace: "*", Level: access.Maintainer}})
	if err != nil {
		b.Fatal(err)
	}
	rights, err := access.New(groups, access.Policy{Admins: []string{"dana"}})
	if err != nil {
		b.Fatal(err)
	}
	p := portal.New(portal.Options{URL: "https://blocks.example.org", Door: benchDoor{}, Rights: rights, Backend: portalBackend{d}, LiftFrom: access.Developer,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	for _, path := range []string{"/p/group42/project142", "/p/group42/project142/-/history", "/", "/blocked", "/admin", "/admin?q=10.15.66.64", "/admin?q=group42/project142"} {
		b.Run(path, func(b *testing.B) {
			begun := cpu(b)
			for i := range b.N {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.RemoteAddr = "127.0.0.1:1"
				r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.15.%d.%d", i/200%250, i%250)) // no address asks too often
				p.Handler().ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("status %d", w.Code)
				}
			}
			if now, err := ask(b.Context(), d.core, func(c *core) int { return c.ledger.Len() }); err != nil || now != benchBlocks {
				b.Fatalf("there are %d blocks, want %d: %v", now, benchBlocks, err)
			}
			b.ReportMetric(float64((cpu(b)-begun).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// cpu is the time that the process has had so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
