// Package prometheus_test tries the alerts and the dashboard on Prometheus itself. testing/promtool gets it.
package prometheus_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// tool is the program's path.
func tool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path, err := filepath.Abs(filepath.Join("out/usr/bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: %s is not installed. Run: testing/promtool", name)
	}
	return path
}

func promtool(t *testing.T, in io.Reader, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "promtool"), args...)
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const rulesFile = "regwarden.rules.yml"

var testFiles = []string{"regwarden.tests.yml", "regwarden.days.tests.yml"}

// alerts are the names of all alerts.
func alerts(t *testing.T) []string {
	var out []string
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, rulesFile), -1) {
		out = append(out, m[1])
	}
	if len(out) < 15 {
		t.Fatalf("only %d alerts found", len(out))
	}
	return out
}

func TestTheAlertsAreRight(t *testing.T) {
	promtool(t, nil, "check", "rules", rulesFile)
	promtool(t, nil, append([]string{"test", "rules"}, testFiles...)...)
}

// TestEachAlertIsTriedBothWays: once where it must come and once where it must not.
func TestEachAlertIsTriedBothWays(t *testing.T) {
	var tried strings.Builder
	for _, f := range testFiles {
		tried.WriteString(read(t, f))
	}
	for _, name := range alerts(t) {
		for _, outcome := range []string{" comes, ", " stays away, "} {
			if !strings.Contains(tried.String(), "name: "+name+outcome) {
				t.Errorf("no test in which %s%s", name, strings.TrimSuffix(outcome, ", "))
			}
		}
	}
}

// TestAlertsAndDashboardNameOnlyMetricsThatAre. The manual is held against the registry by its own test.
func TestAlertsAndDashboardNameOnlyMetricsThatAre(t *testing.T) {
	manual := read(t, "../../docs/metrics.md")
	for _, file := range []string{rulesFile, "../grafana/regwarden.json"} {
		names := regexp.MustCompile(`\b(regwarden|go|process)_[a-z_]+\b`).FindAllString(read(t, file), -1)
		if len(names) < 15 {
			t.Fatalf("%s: only %d metrics found", file, len(names))
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if base := strings.TrimSuffix(name, "_bucket"); !strings.Contains(manual, "| `"+base+"` |") {
				t.Errorf("%s: %s is not in docs/metrics.md", file, name)
			}
		}
	}
}

// dashboardQueries are the dashboard's queries by panel, and the metric of its variable.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	var d struct {
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Panels []struct {
			Title, Type string
			Targets     []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "../grafana/regwarden.json")), &d); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, v := range d.Templating.List {
		if m := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(v.Definition); m != nil {
			out["variable "+v.Name] = fmt.Sprintf("%s{%s!=\"\"}", m[1], m[2])
		}
	}
	for _, p := range d.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %s asks for nothing", p.Title)
		}
		for _, q := range p.Targets {
			out[p.Title+" "+q.RefID] = strings.NewReplacer("$__rate_interval", "10s", "$instance", ".*").Replace(q.Expr)
		}
	}
	if len(out) < 50 || out["variable instance"] == "" {
		t.Fatalf("only %d queries found", len(out))
	}
	return out
}

// TestEveryQueryOfTheDashboardReturnsData runs the daemon on a log that grows, and Prometheus with the alerts on the daemon.
func TestEveryQueryOfTheDashboardReturnsData(t *testing.T) {
	tool(t, "promtool") // skips before anything is built
	metrics := daemon(t)
	prometheus := prometheus(t, metrics)
	open := dashboardQueries(t)
	for deadline := time.Now().Add(2 * time.Minute); len(open) > 0; {
		if time.Now().After(deadline) {
			for name, q := range open {
				t.Errorf("%s: no data for %s", name, q)
			}
			break
		}
		<-time.After(200 * time.Millisecond)
		for name, q := range open {
			if hasData(t, prometheus, q) {
				delete(open, name)
			}
		}
	}
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	ask(t, prometheus+"/api/v1/rules", &rules)
	if len(rules.Data.Groups) != 1 || len(rules.Data.Groups[0].Rules) != len(alerts(t)) {
		t.Fatalf("Prometheus has %+v", rules.Data.Groups)
	}
	for _, r := range rules.Data.Groups[0].Rules {
		if r.Health != "ok" {
			t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
		}
	}
	promtool(t, strings.NewReader(page(t, "http://"+metrics+"/metrics")), "check", "metrics")
}

// hasData says whether the query returns a number.
func hasData(t *testing.T, prometheus, query string) bool {
	t.Helper()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	ask(t, prometheus+"/api/v1/query?query="+url.QueryEscape(query), &answer)
	if answer.Status != "success" {
		t.Fatalf("%s: %s", query, answer.Error)
	}
	for _, r := range answer.Data.Result {
		if r.Value[1] != "NaN" {
			return true
		}
	}
	return false
}

func ask(t *testing.T, address string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(page(t, address)), into); err != nil {
		t.Fatalf("%s: %v", address, err)
	}
}

func page(t *testing.T, address string) string {
	t.Helper()
	got, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// daemon builds regwarden and runs it on a log to which a client and some noise are written all the time; one action of two fails. It returns where metrics are.
func daemon(t *testing.T) string {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	log := filepath.Join(dir, "access.log")
	config := fmt.Sprintf(`
[guards]
storm = false
[[source]]
name = "registry"
path = "access.log"
from = "start"
[[actions.blocklist]]
path = "blocklist.txt"
[[actions.exec]]
name = "broken"
command = ["/bin/false"]
[state]
path = "state.db"
[control]
socket = "s"
group = ""
[metrics]
listen = %q
`, address)
	for path, text := range map[string]string{log: "", filepath.Join(dir, "regwarden.toml"): config} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "regwarden")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/regwarden").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run(t, "http://"+address+"/readyz", binary, "run", "--config", filepath.Join(dir, "regwarden.toml"))
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- write(log, stop) }()
	t.Cleanup(func() {
		close(stop)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	return address
}

// write adds lines to the log until it is told to stop.
func write(path string, stop <-chan struct{}) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		case <-time.After(50 * time.Millisecond):
		}
		for i := range 40 { // one crawler after the other asks for repositories that are not there
			_, err = fmt.Fprintf(f, "203.0.113.%d - - [%s] \"GET /v2/a/b%d/manifests/c HTTP/1.1\" 404 93 \"\" \"docker\" -\nnoise\n",
				n/10%200+1, time.Now().Format("02/Jan/2006:15:04:05 -0700"), n*40+i)
			if err != nil {
				return err
			}
		}
	}
}

// prometheus scrapes the daemon and looks at the alerts; it returns its own address.
func prometheus(t *testing.T, metrics string) string {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n  - job_name: regwarden\n    static_configs: [{targets: [%q]}]\n", rules, metrics)
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "http://"+address+"/-/ready", tool(t, "prometheus"), "--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	return "http://" + address
}

// run starts a program, waits until a page of it answers 200, and ends it with the test.
func run(t *testing.T, ready, name string, args ...string) {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			said := read(t, log.Name())
			t.Logf("%s ends with:\n%s", name, said[max(0, len(said)-4000):])
		}
		log.Close()
	})
	for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		if got, err := http.Get(ready); err == nil {
			got.Body.Close()
			if got.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s has ended: %v", name, err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", ready)
		}
	}
}

// freeAddress is one on loopback on which nobody listens at this moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
