package portal

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"regwarden/detector"
	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
	"regwarden/internal/portal/human"
)

// purpose binds a human test to lifting.
const purpose = "lift"

// maxReason is how long a reason may be, in characters.
const maxReason = 200

// What lift may say besides the errors of access, human and Backend.
var (
	errNoReason   = errors.New("say in a few words what was done, so that it does not happen again")
	errLongReason = fmt.Errorf("the reason is longer than %d characters", maxReason)
	errNoTest     = errors.New("nobody can unblock here: no human test is configured")
)

// turns let one person do one thing at a time: of two answers sent at once, the second finds the quotas as the first has left them.
type turns struct {
	seed  maphash.Seed
	once  sync.Once
	locks [64]sync.Mutex
}

func (t *turns) take(who string) *sync.Mutex {
	t.once.Do(func() { t.seed = maphash.MakeSeed() })
	m := &t.locks[maphash.String(t.seed, who)%uint64(len(t.locks))]
	m.Lock()
	return m
}

// wanted is what somebody wants to lift.
type wanted struct {
	user        account.User
	project, id string
	reason      string
	form        url.Values
}

// find is the block of the ID as the project sees it, and what of it is blocked.
func (p *Portal) find(ctx context.Context, project, id string) (detector.Block, error) {
	blocks, err := p.o.Load().Backend.Blocks(ctx, project)
	if err != nil {
		return detector.Block{}, err
	}
	for _, b := range blocks {
		for _, c := range b.Causes {
			if c.ID == id && c.Share(project) > detector.ShareNone {
				return b, nil
			}
		}
	}
	return detector.Block{}, ErrNotBlocked
}

// lift lifts a project's causes of a block: for whoever may, at this moment; once there is room in all quotas; and after the human test.
func (p *Portal) lift(ctx context.Context, w wanted) (Lifted, error) {
	o := p.o.Load()
	level, err := o.Rights.Lift(ctx, w.user, w.project)
	if err != nil {
		return Lifted{}, err
	}
	reason, err := cleanReason(w.reason)
	if err != nil {
		return Lifted{}, err
	}
	block, err := p.find(ctx, w.project, w.id)
	if err != nil {
		return Lifted{}, err
	}
	view, _ := viewBlock(block, w.project, level, o, o.Clock())
	switch {
	case !view.Liftable:
		return Lifted{}, ErrNotYours
	case !view.May:
		return Lifted{}, &ErrReblocked{view.Reblock}
	case o.Test == nil:
		return Lifted{}, errNoTest
	}
	defer p.turns.take(w.user.Subject).Unlock()
	now := o.Clock()
	failures, uses := o.failures(w.user), o.uses(w.user, level, w.project, view.Address)
	if err := o.room(ctx, w.user, level, w.project, view.Address); err != nil {
		return Lifted{}, err
	}
	if err := p.test(ctx, w, view.Address, failures, now); err != nil {
		return Lifted{}, err
	}
	if len(uses) > 0 {
		if err := o.Backend.Use(ctx, now, uses...); err != nil {
			return Lifted{}, err
		}
	}
	return o.Backend.Lift(ctx, Lift{Project: w.project, ID: view.ID, By: o.by(w.user), Reason: reason, Reblocks: o.reblocks(level), Probation: o.Limits.Probation})
}

// test asks the human test, and notes a failure.
func (p *Portal) test(ctx context.Context, w wanted, address string, failures Quota, now time.Time) error {
	o := p.o.Load()
	binding := o.binding(w.user, w.project, address)
	var err error
	if o.Work != nil {
		err = o.Work.Verify(binding, w.form)
	}
	if err == nil {
		err = o.Test.Verify(ctx, binding, w.form)
	}
	switch {
	case err == nil:
		o.Tested(o.TestName, "passed")
		return nil
	case errors.Is(err, human.ErrAway):
		o.Tested(o.TestName, "away")
		return err
	}
	o.Tested(o.TestName, "failed")
	if noted := o.Backend.Use(ctx, now, failures); noted != nil {
		return noted
	}
	return err
}

func (o *Options) binding(u account.User, project, address string) human.Binding {
	return human.Binding{Subject: u.Subject, Project: project, Address: address, Purpose: purpose}
}

// failures is the quota of failed tests.
func (o *Options) failures(u account.User) Quota {
	return Quota{What: "failed human tests of " + u.Subject, Max: o.Limits.FailuresHour, Window: time.Hour}
}

// room says whether somebody may lift now, as far as the quotas go: nil, or a *Full.
func (o *Options) room(ctx context.Context, u account.User, level access.Level, project, address string) error {
	return o.Backend.Room(ctx, o.Clock(), append(o.uses(u, level, project, address), o.failures(u))...)
}

// uses are the quotas of a lift. Admins have none: they are who is asked when the members' are full, and theirs take nothing from those.
func (o *Options) uses(u account.User, level access.Level, project, address string) []Quota {
	if level >= access.Admin {
		return nil
	}
	return []Quota{
		{What: "unblocks by " + u.Subject, Max: o.Limits.UserHour, Window: time.Hour},
		{What: "unblocks for project " + project, Max: o.Limits.ProjectDay, Window: 24 * time.Hour},
		{What: "unblocks of address " + address, Max: o.Limits.AddressDay, Window: 24 * time.Hour},
	}
}

// quotaWords say which quota is full without its key, which has the subject in it.
func (o *Options) quotaWords(f *Full) string {
	switch {
	case strings.HasPrefix(f.Quota.What, "failed"):
		return fmt.Sprintf("You have failed the human test %d times within an hour.", f.Quota.Max)
	case strings.HasPrefix(f.Quota.What, "unblocks by"):
		return fmt.Sprintf("You have unblocked %s within an hour, which is all that one person may.", times(f.Quota.Max))
	case strings.HasPrefix(f.Quota.What, "unblocks for"):
		return fmt.Sprintf("The members of this project have unblocked %s within a day, which is all that one project may.", times(f.Quota.Max))
	}
	return fmt.Sprintf("This address was unblocked %s within a day, which is all that may be.", times(f.Quota.Max))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// by is who lifted, for the history: the name that people know and the one that nobody else can get later.
func (o *Options) by(u account.User) string {
	return "web:" + tidy(u.Username, 64) + " (" + o.Realm + " " + tidy(u.Subject, 64) + ")"
}

// tidy is a text of others in one short line.
func tidy(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most])
	}
	return strings.TrimSpace(s)
}

// cleanReason is a reason as the history keeps it.
func cleanReason(text string) (string, error) {
	text = strings.Join(strings.Fields(text), " ")
	switch clean := tidy(text, maxReason); {
	case clean == "":
		return "", errNoReason
	case len([]rune(text)) > maxReason:
		return "", errLongReason
	default:
		return clean, nil
	}
}
