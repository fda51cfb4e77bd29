package format_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"regwarden/detector"
	"regwarden/sources/format"
)

// lines returns a file's lines.
func lines(t testing.TB, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

// tally counts lines by kind and operation, by verdict where there is no event, and events without client or time.
type tally map[string]int

func count(t *testing.T, options format.Options, name string) tally {
	t.Helper()
	r := reader(t, options)
	got := tally{}
	var e detector.Event
	for _, line := range lines(t, name) {
		verdict := r.Read(line, &e)
		if verdict != format.Parsed {
			got[verdict.String()]++
			continue
		}
		got[fmt.Sprintf("%s %s", e.Kind, e.Operation)]++
		if !e.Client.IsValid() {
			got["no client"]++
		}
		if e.Time.IsZero() {
			got["no time"]++
		}
	}
	return got
}

// TestCorpus reads logs of the real programs. "no client" are requests that went through a proxy, so that the registry took the address from
// a header: their client is in the proxy's own log.
func TestCorpus(t *testing.T) {
	for name, want := range map[string]tally{
		"real/distribution-v3-json.stdout.log": {"access blob": 15, "access catalog": 4, "access manifest": 55,
			"access other": 7, "access ping": 15, "access tags": 5, "access upload": 14},
		// The access lines of a registry's own stream have no client: see own.go. Three noise records are parts of lines that go on, the last of them the end of the stream; one is {"msg":"LLL…"}, 40 KB that
		// were written to see docker split it.
		"real/docker-json-file.registry-v2.log": {"access blob": 14, "access catalog": 4, "access manifest": 15,
			"access ping": 11, "access tags": 4, "access upload": 12, "registry blob": 15, "registry catalog": 4,
			"registry manifest": 45, "registry ping": 16, "registry tags": 4, "registry upload": 14, "no client": 67,
			"noise": 26},
		"real/gitlab-registry-json.log": {"registry blob": 15, "registry catalog": 4, "registry manifest": 64,
			"registry other": 7, "registry ping": 16, "registry tags": 5, "registry upload": 14, "noise": 254},
		"real/gitlab-registry-omnibus-default.log": {"registry blob": 15, "registry catalog": 4, "registry manifest": 55,
			"registry other": 7, "registry ping": 15, "registry tags": 5, "registry upload": 14, "noise": 229},
		"real/jwtauth_stub_access.log": {"access token": 43},
		// The others are 101 TLS handshakes and ten probes for what is no registry.
		"real/nginx_combined_access.log": {"access blob": 15, "access catalog": 4, "access manifest": 313,
			"access other": 111, "access ping": 142, "access tags": 5, "access upload": 2},
		"real/nginx_gitlab_registry_access.log": {"access blob": 15, "access catalog": 4, "access manifest": 313,
			"access other": 111, "access ping": 142, "access tags": 5, "access upload": 2},
		"real/nginx_in_front_of_gitlab_registry_access.log": {"access manifest": 9, "access ping": 1},
		"real/nginx_realip_access.log":                      {"access manifest": 11},
		"real/registry-v2-json-tokenauth.stderr.log": {"registry blob": 10, "registry catalog": 5, "registry manifest": 60,
			"registry ping": 31, "registry tags": 2, "registry upload": 5, "no client": 10, "noise": 30},
		"real/registry-v2-json.stderr.log": {"registry blob": 30, "registry catalog": 8, "registry manifest": 403,
			"registry ping": 156, "registry tags": 8, "registry upload": 16, "no client": 523, "noise": 71},
		"real/registry-v2-json.stdout.log": {"access blob": 30, "access catalog": 8, "access manifest": 408,
			"access other": 14, "access ping": 156, "access tags": 10, "access upload": 16},
		"real/registry-v2-text.stderr.log": {"registry blob": 13, "registry catalog": 4, "registry manifest": 53,
			"registry ping": 15, "registry tags": 4, "registry upload": 2, "no client": 10, "noise": 28},
		"real/sshd_auth.log.debian12-rfc3339.log": {"ssh login": 20, "noise": 24},
		"real/sshd_auth.log.traditional.log":      {"ssh login": 20, "noise": 24},
		"real/svlogd-registry-text.1": {"registry blob": 9, "registry manifest": 7, "registry ping": 10,
			"registry tags": 2, "registry upload": 12, "noise": 79},
		"real/svlogd-registry-text.2": {"registry blob": 6, "registry catalog": 4, "registry manifest": 24,
			"registry other": 7, "registry ping": 3, "registry tags": 3, "registry upload": 1, "noise": 66},
		"real/svlogd-registry-text.current": {"registry manifest": 24, "registry ping": 2, "registry upload": 1, "noise": 84},
		"incident/auth.log":                 {"auth api": 7, "auth login": 6, "auth other": 34, "auth token": 49, "no client": 1, "noise": 1},
		"incident/gitlab_registry_access.log": {"access api": 1, "access blob": 175, "access catalog": 2,
			"access manifest": 1258, "access other": 9, "access ping": 1395, "access tags": 8, "access upload": 46},
		"incident/production_json.log": {"rails git": 15, "rails login": 10, "rails token": 1343, "rails web": 11},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, count(t, format.Options{Reference: reference}, name)); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// TestConfiguredDialectReadsItsCorpusAsAutoDoes holds for the logs of one program.
func TestConfiguredDialectReadsItsCorpusAsAutoDoes(t *testing.T) {
	for name, dialect := range map[string]string{
		"real/registry-v2-json-tokenauth.stderr.log": "distribution",
		"real/registry-v2-text.stderr.log":           "distribution",
		"real/gitlab-registry-json.log":              "gitlab-registry",
		"real/svlogd-registry-text.2":                "gitlab-registry",
		"real/nginx_combined_access.log":             "combined",
		"real/nginx_gitlab_registry_access.log":      "nginx",
		"real/sshd_auth.log.traditional.log":         "sshd",
		"incident/auth.log":                          "gitlab-auth",
		"incident/production_json.log":               "gitlab-rails",
	} {
		t.Run(name, func(t *testing.T) {
			auto := count(t, format.Options{Reference: reference}, name)
			fixed := count(t, format.Options{Reference: reference, Name: dialect}, name)
			if diff := cmp.Diff(auto, fixed); diff != "" {
				t.Errorf("auto -, %s +:\n%s", dialect, diff)
			}
		})
	}
}

// TestSSHDFormsAgree reads the same sessions as two syslog daemons wrote them.
func TestSSHDFormsAgree(t *testing.T) {
	read := func(name string) (all []detector.Event) {
		r := reader(t, format.Options{Reference: reference})
		var e detector.Event
		for _, line := range lines(t, name) {
			if r.Read(line, &e) == format.Parsed {
				c := e.Clone()
				c.Time = c.Time.Truncate(1e9)
				all = append(all, *c)
			}
		}
		return all
	}
	traditional, rfc3339 := read("real/sshd_auth.log.traditional.log"), read("real/sshd_auth.log.debian12-rfc3339.log")
	if diff := cmp.Diff(traditional, rfc3339, equateAddr); diff != "" {
		t.Errorf("traditional -, RFC 3339 +:\n%s", diff)
	}
}
