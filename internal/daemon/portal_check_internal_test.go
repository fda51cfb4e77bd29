package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/internal/config"
)

// TestThePageThatCannotBeServedFailsTheCheck with the file, the line and the key, but keeps no daemon from starting.
func TestThePageThatCannotBeServedFailsTheCheck(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const page = "[[source]]\npath = \"a.log\"\n[portal]\nlisten = \"127.0.0.1:9443\"\nurl = \"https://blocks.example.org\"\nissuer = \"https://gitlab.example.org\"\nclient_id = \"x\"\n"
	const widget = "[portal.human]\ntest = \"hcaptcha\"\nsite_key = \"k\"\n"
	for _, row := range []struct{ name, text, want string }{
		{"a certificate that is not there", page + "cert_file = \"c.pem\"\nkey_file = \"k.pem\"\n", "f.toml:8: portal.cert_file: "},
		{"a certificate that is none", page + "cert_file = \"empty\"\nkey_file = \"empty\"\n", "f.toml:8: portal.cert_file: "},
		{"a test's secret that is not there", page + widget + "secret_file = \"none\"\n", "f.toml:11: portal.human.secret_file: "},
		{"a test's secret that is empty", page + widget + "secret_file = \"empty\"\n", "f.toml:11: portal.human.secret_file: "},
		{"a secret that is not there", page + "secret_file = \"none\"\n", "f.toml:8: portal.secret_file: "},
		{"what only the service has", page + "secret_file = \"credential:a\"\n" + widget + "secret_file = \"credential:b\"\n", ""},
	} {
		c, err := config.Parse(filepath.Join(dir, "f.toml"), []byte(row.text))
		if err != nil {
			t.Fatal(err)
		}
		err = CheckConfig(c)
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: %v", row.name, err)
		case row.want == "":
		case err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "; "):
			t.Errorf("%s: want %s and what to do, got %v", row.name, row.want, err)
		}
		if strings.Contains(row.name, "certificate") {
			if _, err := makePlan(c, slog.New(slog.DiscardHandler)); err != nil {
				t.Errorf("%s: the daemon does not start: %v", row.name, err)
			}
		}
	}
}
