package account_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"regwarden/internal/portal/account"
)

func TestASecretIsNeverPrinted(t *testing.T) {
	const text = "glpat-very-secret"
	s := account.NewSecret(text)
	u := account.User{Subject: "42", Token: s}
	type hidden struct{ inner account.Secret } // fmt asks no method of an unexported field
	var out bytes.Buffer
	for _, v := range []any{s, &s, u, &u, []account.Secret{s}, map[string]account.Secret{"k": s}, map[account.Secret]int{s: 1}, hidden{s}, &hidden{s}, fmt.Errorf("x: %v", s), any(s)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %[1]v"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		j, _ := json.Marshal(v)
		x, _ := xml.Marshal(v)
		out.Write(j)
		out.Write(x)
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("m", "v", v, slog.Group("g", "v", v))
		}
	}
	hex := fmt.Sprintf("%x", text)
	for _, leak := range []string{text, hex, strings.ToUpper(hex), fmt.Sprint([]byte(text))} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in:\n%s", leak, out.String())
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing was printed at all")
	}
	if s.Reveal() != text || s.Empty() || !account.NewSecret("").Empty() || (account.Secret{}).Reveal() != "" {
		t.Error("a secret is its text to who asks for it, and only one without text is empty")
	}
}
