// Package human asks whether there is a person in front of a form. Each challenge is for one person, project, address and purpose, is
// good once and for five minutes. None of it excludes a determined robot: the login, the role and the quotas do that. And each of these tests
// shuts somebody out: a page that shows one also says how to ask an admin.
package human

import (
	"context"
	"encoding/base64"
	"errors"
	"html/template"
	"net/url"
)

// Binding is what a challenge is for. One that was made for another is refused with ErrNotYours.
type Binding struct {
	Subject string // the person's account.User.Subject
	Project string
	Address string // what is to be lifted
	Purpose string // "lift"; letters, digits, - and _ only, 32 at most
}

// Provider is a human test. It is safe for concurrent use.
type Provider interface {
	Challenge(ctx context.Context, b Binding) (Challenge, error)
	// Verify looks at the form that came back: nil, or ErrWrong, ErrExpired, ErrSpent, ErrNotYours, ErrAway. Whatever it says but ErrNotYours,
	// the challenge is spent then.
	Verify(ctx context.Context, b Binding, form url.Values) error
}

// Speaker is a Provider whose challenges can also be heard.
type Speaker interface {
	// Sound is a WAV file that says the challenge's digits. It may be heard a few times and spends nothing.
	Sound(ctx context.Context, b Binding, id string) ([]byte, error)
}

// The names of the form's fields.
const (
	FieldID     = "challenge" // Challenge.ID, hidden
	FieldAnswer = "answer"    // what the person typed from the image; widgets have fields of their own
)

// Challenge is what a page shows. The form must have FieldID.
type Challenge struct {
	ID    string
	Kind  string // image, hcaptcha, recaptcha or turnstile
	Image []byte // PNG, for image only; the page says "type the digits" and has a link to the sound

	// For the others: the page has <script src=Script async defer> and <div class=Class data-sitekey=SiteKey data-action=Action data-cdata=ID>,
	// and its policy takes in Sources. They do nothing without JavaScript.
	Script, Class, SiteKey, Action string
	Sources                        Sources
}

// ImageURI is the image for a src attribute.
func (c Challenge) ImageURI() template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(c.Image))
}

// Sources is what a widget wants in the page's Content-Security-Policy, beside 'self'. None wants inline.
type Sources struct{ Script, Frame, Style, Connect []string }

// What may be the matter with an answer. Tell them apart with errors.Is.
var (
	ErrWrong    = errors.New("the answer is not right")
	ErrExpired  = errors.New("the challenge is too old, or none of ours")
	ErrSpent    = errors.New("the challenge was used before")
	ErrNotYours = errors.New("the challenge was made for something else")
	ErrAway     = errors.New("the human test's provider does not answer")
)
