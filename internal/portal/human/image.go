package human

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"image/color"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/mojocn/base64Captcha"
)

const (
	imageWidth, imageHeight = 240, 80 // pixels
	skew                    = 0.6     // of a digit; more is hard for people first
	circles                 = 60
	maxPlays                = 5  // of one challenge's sound: each is 8 ms of CPU
	maxTyped                = 64 // bytes of an answer that are looked at
)

// ImageOptions is how the image test is. The zero value is the default.
type ImageOptions struct {
	Digits  int           // default 6, at most 8
	Expires time.Duration // default 5 minutes
	Max     int           // challenges at a time; default 10,000
	PerUser int           // challenges of one person at a time, the oldest goes; default 10
	// Peek hears each answer, for tests and nothing else.
	Peek func(id, answer string)
}

// Image shows digits, or says them. It asks nobody else.
type Image struct {
	digits int
	peek   func(id, answer string)
	ledger *ledger[*code]
}

// code is the digits of one challenge.
type code struct {
	digits string
	plays  int
}

// NewImage returns the test that needs nobody else.
func NewImage(o ImageOptions) *Image {
	return &Image{digits: min(max(cmp.Or(o.Digits, 6), 4), 8), peek: o.Peek, ledger: newLedger[*code](o.Expires, o.Max, o.PerUser)}
}

// Challenge draws digits.
func (i *Image) Challenge(_ context.Context, b Binding) (Challenge, error) {
	digits := randomDigits(i.digits)
	picture, err := draw(digits)
	if err != nil {
		return Challenge{}, err
	}
	id, err := i.ledger.issue(b, &code{digits: digits})
	if err != nil {
		return Challenge{}, err
	}
	if i.peek != nil {
		i.peek(id, digits)
	}
	return Challenge{ID: id, Kind: "image", Image: picture}, nil
}

// Verify compares the digits; spaces and dashes between them do not matter.
func (i *Image) Verify(_ context.Context, b Binding, form url.Values) error {
	c, err := i.ledger.take(b, form.Get(FieldID))
	if err != nil {
		return err
	}
	if onlyDigits(form.Get(FieldAnswer)) != c.digits {
		return ErrWrong
	}
	return nil
}

// Sound says the digits. ErrSpent after some times.
func (i *Image) Sound(_ context.Context, b Binding, id string) ([]byte, error) {
	var digits string
	err := i.ledger.with(b, id, func(t *ticket[*code]) error {
		if t.what.plays == maxPlays {
			return ErrSpent
		}
		t.what.plays++
		digits = t.what.digits
		return nil
	})
	if err != nil {
		return nil, err
	}
	item, err := base64Captcha.NewDriverAudio(len(digits), "en").DrawCaptcha(digits)
	if err != nil {
		return nil, fmt.Errorf("say the digits: %w", err)
	}
	var wav bytes.Buffer
	if _, err := item.WriteTo(&wav); err != nil {
		return nil, fmt.Errorf("say the digits: %w", err)
	}
	return wav.Bytes(), nil
}

// draw makes a PNG. The library leaves the ground transparent and draws darkly, which a dark page would swallow: it becomes white.
func draw(digits string) ([]byte, error) {
	item, err := base64Captcha.NewDriverDigit(imageHeight, imageWidth, len(digits), skew, circles).DrawCaptcha(digits)
	if err != nil {
		return nil, fmt.Errorf("draw the digits: %w", err)
	}
	if d, ok := item.(*base64Captcha.ItemDigit); ok && len(d.Palette) > 0 {
		d.Palette[0] = color.White
	}
	var png bytes.Buffer
	if _, err := item.WriteTo(&png); err != nil {
		return nil, fmt.Errorf("draw the digits: %w", err)
	}
	return png.Bytes(), nil
}

func randomDigits(n int) string {
	var b strings.Builder
	for range n {
		d, err := rand.Int(rand.Reader, big.NewInt(10))
		if err != nil {
			panic("human: no random numbers: " + err.Error()) // crypto/rand never fails
		}
		b.WriteByte('0' + byte(d.Int64()))
	}
	return b.String()
}

// onlyDigits is what somebody typed without what people put between digits. Anything else stays, and is wrong.
func onlyDigits(typed string) string {
	if len(typed) > maxTyped {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(" \t\r\n-.,\u00a0\u3000", r):
			return -1
		case r >= '０' && r <= '９': // full width, as some keyboards write them
			return r - '０' + '0'
		}
		return r
	}, typed)
}
