package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxBody is the largest request, in bytes.
const maxBody = 64 << 10

// WriteJSON writes v as the socket does: indented by two spaces, with a newline at its end, and with every character that could move a
// terminal's cursor or turn its text round written as an escape, since log lines are an attacker's text.
func WriteJSON(w io.Writer, v any) error {
	text, err := indented(v, "")
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// WriteJSONList is WriteJSON for a list, and makes the text of one element at a time: a hundred thousand blocks with their evidence are
// more than the daemon's memory should have to hold twice.
func WriteJSONList[T any](w io.Writer, list []T) error {
	if len(list) == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	before := "[\n  "
	for i := range list {
		text, err := indented(&list[i], "  ")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, before+string(text)); err != nil {
			return err
		}
		before = ",\n  "
	}
	_, err := io.WriteString(w, "\n]\n")
	return err
}

func indented(v any, prefix string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return escapeUnprintable(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// escapeUnprintable writes as \u what JSON allows in a string and a terminal or a reader's eye does not bear: DEL, the C1 controls,
// marks that change the direction of text, and the like. Outside strings JSON has none of them.
func escapeUnprintable(text []byte) []byte {
	if bytes.IndexFunc(text, unprintable) < 0 {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for _, r := range string(text) {
		switch {
		case !unprintable(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func unprintable(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// decode reads a request's body strictly: one object, no field that v does not have, nothing after it.
func decode(body io.Reader, v any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return badBody(err, v)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return badBody(err, v)
		}
		return bad("send one JSON object", "the body goes on after the JSON object")
	}
	return nil
}

// decodeNothing reads the body of a request that has none, or an empty object.
func decodeNothing(body io.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return badBody(err, &struct{}{})
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	return decode(bytes.NewReader(text), &struct{}{})
}

// badBody says what is wrong with a body in the words of its fields, not in Go's.
func badBody(err error, v any) *Problem {
	var large *http.MaxBytesError
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	fields := "it may have: " + strings.Join(fieldsOf(v), ", ")
	if len(fieldsOf(v)) == 0 {
		fields = "send none"
	}
	switch {
	case errors.As(err, &large):
		return problem(http.StatusRequestEntityTooLarge, "", "the body is larger than %d bytes", large.Limit)
	case errors.Is(err, io.EOF):
		return bad(fields, "the body is empty, a JSON object is needed")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return bad("", "the body ends in the middle of its JSON")
	case errors.As(err, &wrong) && wrong.Field == "":
		return bad(fields, "the body is a JSON %s, an object is needed", wrong.Value)
	case errors.As(err, &wrong):
		return bad("", "field %q is a JSON %s, a %s is needed", cut(wrong.Field), wrong.Value, kindName(wrong.Type))
	case errors.As(err, &syntax):
		return bad("", "the body is no JSON: %v at byte %d", syntax, syntax.Offset)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return bad(fields, "unknown field %s", cut(name))
	}
	return bad("", "the body cannot be read: %v", err)
}

// kindName is what JSON calls a value that goes into the type.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "number"
	}
	return "string"
}

// fieldsOf are the names that the object v has in JSON.
func fieldsOf(v any) []string {
	t := reflect.TypeOf(v).Elem()
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
