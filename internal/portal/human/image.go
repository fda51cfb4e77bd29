package human

import (
	"context"
	"net/url"
	"time"
)

// ImageOptions is how the image test is. The zero value is the default.
type ImageOptions struct {
	Digits  int           // default 6
	Expires time.Duration // default 5 minutes
	Max     int           // challenges at a time; default 10,000
	PerUser int           // challenges of one person at a time, the oldest goes; default 10
	// Peek hears each answer, for tests and nothing else.
	Peek func(id, answer string)
}

// Image shows digits, or says them.
type Image struct{ o ImageOptions }

// NewImage returns the test that needs nobody else.
func NewImage(o ImageOptions) *Image { return &Image{o} }

// Challenge draws digits.
func (i *Image) Challenge(ctx context.Context, b Binding) (Challenge, error) { panic("not yet") }

// Verify compares the digits; spaces and dashes between them do not matter.
func (i *Image) Verify(ctx context.Context, b Binding, form url.Values) error { panic("not yet") }

// Sound says the digits.
func (i *Image) Sound(ctx context.Context, b Binding, id string) ([]byte, error) { panic("not yet") }
