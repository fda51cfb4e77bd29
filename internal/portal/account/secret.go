package account

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is all that anybody reads of a secret.
const redacted = "[redacted]"

// Secret is a text that no log, page or error shows, however it is printed: only Reveal gives it. The zero value is empty.
// It holds a pointer, because fmt asks no method of a value in an unexported field: there it prints the address.
type Secret struct{ text *string }

// NewSecret wraps a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal is the text itself. Its only place is a request to the one who gave it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty says that there is none.
func (s Secret) Empty() bool { return s.text == nil }

// String shows nothing.
func (s Secret) String() string {
	if s.Empty() {
		return ""
	}
	return redacted
}

// Format shows nothing, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue shows nothing.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText shows nothing; JSON, XML and TOML use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
