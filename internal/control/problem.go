package control

import (
	"errors"
	"fmt"
	"net/http"
)

// What an error of a Client or a Backend can be tested for with errors.Is.
var (
	// ErrNoDaemon says that nobody answers on the socket.
	ErrNoDaemon = errors.New("no daemon answers")
	// ErrNotAllowed says that the socket or the daemon behind it turned the caller away.
	ErrNotAllowed = errors.New("not allowed")
	// ErrNotFound says that what was asked for is not there: the target is not blocked, or not on the allow list.
	ErrNotFound = errors.New("not found")
)

// Is lets errors.Is find ErrNotAllowed and ErrNotFound by the problem's status.
func (p *Problem) Is(target error) bool {
	switch target {
	case ErrNotAllowed:
		return p.Status == http.StatusForbidden
	case ErrNotFound:
		return p.Status == http.StatusNotFound
	}
	return false
}

// problem returns a problem of that status; hint may be empty.
func problem(status int, hint, format string, args ...any) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...), Hint: hint}
}

// bad returns the problem of a request that makes no sense.
func bad(hint, format string, args ...any) *Problem {
	return problem(http.StatusBadRequest, hint, format, args...)
}

// asProblem returns the error as what is answered: a *Problem as it is, with a status that says so, anything else as a fault of ours.
func asProblem(err error) *Problem {
	var p *Problem
	if !errors.As(err, &p) {
		return problem(http.StatusInternalServerError, "", "%v", err)
	}
	whole := *p
	if whole.Status < 400 || whole.Status > 599 {
		whole.Status = http.StatusInternalServerError
	}
	if whole.Title == "" {
		whole.Title = http.StatusText(whole.Status)
	}
	return &whole
}
