package detector

import "net/netip"

// Field names one field of an Event, as rules do.
type Field uint8

// The fields that a rule may test or count by.
const (
	FieldClient Field = iota
	FieldSource
	FieldOperation
	FieldStatus
	FieldBytes
	FieldMethod
	FieldPath
	FieldRepository
	FieldReference
	FieldUser
	FieldUserAgent
	FieldProject
	FieldThrottle
	FieldThrottleEnv
	FieldSafelist
	FieldError
	FieldMessage
)

var fieldNames = [...]string{"client", "source", "operation", "status", "bytes", "method", "path", "repository",
	"reference", "user", "user_agent", "project", "throttle", "throttle_env", "safelist", "error", "message"}

// String returns the name that rules use.
func (f Field) String() string { return nameOf(fieldNames[:], int(f)) }

// ParseField returns the field of that name.
func ParseField(name string) (Field, bool) {
	i, ok := indexOf(fieldNames[:], name)
	return Field(i), ok
}

// FieldNames returns the names of all fields.
func FieldNames() []string { return fieldNames[:] }

// Numeric says that the field holds a number.
func (f Field) Numeric() bool { return f == FieldStatus || f == FieldBytes }

// number returns a numeric field's value.
func (e *Event) number(f Field) int64 {
	if f == FieldBytes {
		return e.Bytes
	}
	return int64(e.Status)
}

// Text returns a field as text; numbers and the client have none here.
func (e *Event) Text(f Field) string {
	switch f {
	case FieldSource:
		return e.Kind.String()
	case FieldOperation:
		return e.Operation.String()
	case FieldMethod:
		return e.Method
	case FieldPath:
		return e.Path
	case FieldRepository:
		return e.Repository
	case FieldReference:
		return e.Reference
	case FieldUser:
		return e.User
	case FieldUserAgent:
		return e.UserAgent
	case FieldProject:
		return e.Project
	case FieldThrottle:
		return e.Throttle
	case FieldThrottleEnv:
		return e.ThrottleEnv
	case FieldSafelist:
		return e.Safelist
	case FieldError:
		return e.Error
	case FieldMessage:
		return e.Message
	}
	return ""
}

// inAny says whether an address lies in one of the prefixes.
func inAny(addr netip.Addr, prefixes []netip.Prefix) bool {
	addr = addr.Unmap()
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
