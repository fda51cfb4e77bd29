package actions

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"regwarden/detector"
)

// Log writes one record a change and blocks nobody: the action for a dry run.
type Log struct {
	name   string
	logger *slog.Logger
}

// NewLog returns the log action of that name.
func NewLog(name string, logger *slog.Logger) *Log { return &Log{name: name, logger: logger} }

// Name is the configured name.
func (l *Log) Name() string { return l.name }

// Kind is "log".
func (l *Log) Kind() string { return "log" }

// Holds is false for every scope.
func (l *Log) Holds(detector.Scope) bool { return false }

// Reports is true: a dry run is read here.
func (l *Log) Reports() bool { return true }

// Apply writes the changes. Repositories and reasons carry text that clients chose: they are cut, and shown without control characters.
func (l *Log) Apply(ctx context.Context, changes []detector.Change) error {
	for _, c := range changes {
		l.logger.LogAttrs(ctx, slog.LevelInfo, "decision", logged(c)...)
	}
	return nil
}

func logged(c detector.Change) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("verb", c.Verb),
		slog.String("target", c.Block.Target.String()),
		slog.String("rule", clean(c.Cause.Rule, 100)),
		slog.String("scope", c.Cause.Scope.String()),
		slog.String("by", clean(c.By, 100)),
	}
	if until := c.Block.Until; !until.IsZero() {
		attrs = append(attrs, slog.String("until", until.UTC().Format(time.RFC3339)))
	}
	if c.Cause.Count > 0 {
		attrs = append(attrs, slog.Int("count", c.Cause.Count))
	}
	for _, a := range []struct{ key, text string }{
		{"repositories", strings.Join(c.Cause.Repositories, ",")},
		{"reason", c.Cause.Reason},
		{"note", c.Note},
		{"id", c.Cause.ID},
	} {
		if a.text != "" {
			attrs = append(attrs, slog.String(a.key, clean(a.text, 300)))
		}
	}
	return attrs
}
