package format

import (
	"testing"
	"time"
)

// TestCivilIsTheStandardLibrarys compares every day of 500 years, and odd times, with package time.
func TestCivilIsTheStandardLibrarys(t *testing.T) {
	for day := time.Date(1600, 1, 1, 23, 59, 59, 5, time.UTC); day.Year() < 2100; day = day.AddDate(0, 0, 1) {
		c := civil{year: day.Year(), month: int(day.Month()), day: day.Day(), hour: 23, minute: 59, second: 59, nano: 5}
		if got := c.utc(0); !got.Equal(day) {
			t.Fatalf("want %s, got %s", day, got)
		}
	}
}

func TestTimestamps(t *testing.T) {
	for _, text := range []string{
		"2026-11-21T17:45:09.394041814Z", "2026-11-21T17:45:09Z", "2026-11-21T17:45:09.5+02:00", "2026-11-21T17:45:09-11:30",
		"2024-02-29T00:00:00Z", "1999-12-31T23:59:59.999999999Z",
	} {
		want, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := timestamp(text); !got.Equal(want) {
			t.Errorf("%s: got %s", text, got)
		}
	}
	for _, text := range []string{
		"", "2026", "2026-11-21", "2026-11-21T17:45:09", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-21T24:00:00Z",
		"2026-11-21T17:60:09Z", "2026-11-21T17:45:09Zx", "2026-11-21T17:45:09+2", "2026-11-21T17:45:09+24:00", "0000-01-01T00:00:00Z",
		"2026-11-21T17:45:09.Z", "2026-1a-21T17:45:09Z", "----------T--:--:--Z",
	} {
		if got := timestamp(text); !got.IsZero() {
			t.Errorf("%q: want no time, got %s", text, got)
		}
	}
}

func TestTAI64N(t *testing.T) {
	for text, want := range map[string]string{
		"400000006b01e16a3129f9c4": "2026-11-21T18:22:24.8248345Z",
		"400000000000000a00000000": "1970-01-01T00:00:00Z",
		"000000000000000000000000": "0001-01-01T00:00:00Z",
		"ffffffffffffffff00000000": "0001-01-01T00:00:00Z",
		"400000006b01e16affffffff": "0001-01-01T00:00:00Z",
		"400000006b01e16a3129f9cx": "0001-01-01T00:00:00Z",
	} {
		if got := tai64n(text).Format(time.RFC3339Nano); got != want {
			t.Errorf("%s: want %s, got %s", text, want, got)
		}
	}
}

func TestPlainIPv4AgreesWithTheGeneralWay(t *testing.T) {
	for _, text := range []string{"1.2.3.4", "255.255.255.255", "0.0.0.1", "01.2.3.4", "1.2.3.04", "1.2.3", "1.2.3.4.5", "256.1.1.1",
		"1..2.3", ".1.2.3", "1.2.3.", "1.2.3.4 ", "2001:db8::1", "1000.1.1.1", ""} {
		a, ok := plainIPv4(text)
		if want := address(text); ok && a != want || !ok && want.Is4() {
			t.Errorf("%q: want %v, got %v %v", text, want, a, ok)
		}
	}
}
