package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"regwarden/internal/config"
)

// TestTheJournalGetsJSON unless the operator says otherwise, and without a time, which the journal has already.
func TestTheJournalGetsJSON(t *testing.T) {
	for _, row := range []struct {
		format, stream string
		json           bool
	}{
		{"auto", "8:12345", true}, {"auto", "", false}, {"text", "8:12345", false}, {"json", "", true},
	} {
		t.Setenv("JOURNAL_STREAM", row.stream)
		var out bytes.Buffer
		logger(&config.Config{LogFormat: row.format, LogLevel: "info"}, &out).Info("blocked", "rule", "x")
		if got := json.Valid(out.Bytes()); got != row.json {
			t.Errorf("%+v: %s", row, out.String())
		}
		if has := bytes.Contains(out.Bytes(), []byte("time")); has != (row.stream == "") {
			t.Errorf("%+v: %s", row, out.String())
		}
	}
}
