package detector

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Ledger is who is blocked, and why. It is owned by one goroutine. A target stays in it while it has a cause that has not
// ended; whoever lifts a block lifts causes.
type Ledger struct {
	blocks map[netip.Prefix]*Block
	// byRule is how many causes each rule has in blocks.
	byRule map[string]int
	// next is not later than the earliest end of any cause: until then there is nothing to expire.
	next time.Time
	// dry are the decisions that blocked nobody (dry runs, and targets that a guard spared), so that they are told once and not again at
	// every further hit.
	dry     map[dryKey]time.Time
	strikes map[strikeKey]Strike
	// probations are the targets whose block a member has lifted lately.
	probations map[netip.Prefix]Probation
}

type dryKey struct {
	target     netip.Prefix
	rule       string
	repository string
}

type strikeKey struct {
	target netip.Prefix
	rule   string
}

// Strike is how often a rule has blocked a target.
type Strike struct {
	Rule   string       `json:"rule"`
	Target netip.Prefix `json:"target"`
	Count  int          `json:"count"`
	// Until is the end of the latest block, from which forgetting counts.
	Until time.Time `json:"until"`
}

// Limits of what the ledger remembers besides blocks, so that a flood of targets cannot fill the memory.
const (
	maxStrikes = 100_000
	maxDry     = 100_000
)

// NewLedger returns a ledger of these blocks and strikes.
func NewLedger(blocks []Block, strikes []Strike) *Ledger {
	l := &Ledger{blocks: map[netip.Prefix]*Block{}, byRule: map[string]int{}, dry: map[dryKey]time.Time{}, strikes: map[strikeKey]Strike{},
		probations: map[netip.Prefix]Probation{}}
	for _, b := range blocks {
		l.blocks[b.Target] = &b
		for _, c := range b.Causes {
			l.byRule[c.Rule]++
		}
	}
	for _, s := range strikes {
		l.strikes[strikeKey{s.Target, s.Rule}] = s
	}
	return l
}

// Blocks returns all blocks, sorted by target.
func (l *Ledger) Blocks() []Block {
	out := make([]Block, 0, len(l.blocks))
	for _, b := range l.blocks {
		out = append(out, b.copy())
	}
	slices.SortFunc(out, func(a, b Block) int { return a.Target.Compare(b.Target) })
	return out
}

// Where returns the blocks that have a cause which is wanted, sorted by target; all of their causes.
func (l *Ledger) Where(wanted func(*Cause) bool) []Block {
	var out []Block
	for _, b := range l.blocks {
		for i := range b.Causes {
			if wanted(&b.Causes[i]) {
				out = append(out, b.copy())
				break
			}
		}
	}
	slices.SortFunc(out, func(a, b Block) int { return a.Target.Compare(b.Target) })
	return out
}

// Holding returns the blocks that hold the address, the narrowest first. It looks each of them up, however many blocks there are.
func (l *Ledger) Holding(a netip.Addr) []Block {
	var out []Block
	for b := range l.around(netip.PrefixFrom(a, a.BitLen())) {
		out = append(out, b.copy())
	}
	return out
}

// around are the blocks of a target and of the networks that it lies in, the narrowest first.
func (l *Ledger) around(target netip.Prefix) iter.Seq[*Block] {
	return func(yield func(*Block) bool) {
		for bits := target.Bits(); bits >= 0 && len(l.blocks) > 0; bits-- {
			p, err := target.Addr().Prefix(bits)
			if b := l.blocks[p]; err == nil && b != nil && !yield(b) {
				return
			}
		}
	}
}

// Each calls do with every cause. Neither may be kept or changed.
func (l *Ledger) Each(do func(netip.Prefix, *Cause)) {
	for target, b := range l.blocks {
		for i := range b.Causes {
			do(target, &b.Causes[i])
		}
	}
}

// Targets returns the targets that are blocked, in no order.
func (l *Ledger) Targets() []netip.Prefix {
	return slices.Collect(maps.Keys(l.blocks))
}

// Direct sets which actions carry out the causes, for causes whose own are gone.
func (l *Ledger) Direct(actions func(Cause) []string) {
	for _, b := range l.blocks {
		for i := range b.Causes {
			b.Causes[i].Actions = actions(b.Causes[i])
		}
	}
}

// Has says whether exactly this target is blocked.
func (l *Ledger) Has(target netip.Prefix) bool { return l.blocks[target] != nil }

// Len returns how many targets are blocked.
func (l *Ledger) Len() int { return len(l.blocks) }

// ByRule returns how many causes each rule has.
func (l *Ledger) ByRule() map[string]int { return maps.Clone(l.byRule) }

// Find returns the blocks that cover the target or lie in it.
func (l *Ledger) Find(target netip.Prefix) []Block {
	if b, ok := l.blocks[target]; ok && target.IsSingleIP() {
		return []Block{b.copy()}
	}
	var out []Block
	for _, b := range l.Blocks() {
		if b.Target.Overlaps(target) {
			out = append(out, b)
		}
	}
	return out
}

func (b *Block) copy() Block {
	c := *b
	c.Causes = slices.Clone(b.Causes)
	return c
}

// covers says whether the cause already answers for what a decision is about.
func (c *Cause) covers(rule, repository string, now time.Time) bool {
	return c.Rule == rule && now.Before(c.Until) &&
		(c.Closes() == ScopeHost || repository == "" || slices.Contains(c.Repositories, repository))
}

// Add puts a cause on a target. A cause with the same ID replaces the one there.
func (l *Ledger) Add(target netip.Prefix, c Cause, now time.Time) Change {
	b := l.blocks[target]
	verb := ChangeExtend
	if b == nil {
		verb = ChangeBlock
		b = &Block{Target: target}
		l.blocks[target] = b
	}
	l.without(b, c.ID)
	b.Causes = append(b.Causes, c)
	l.byRule[c.Rule]++
	b.settle()
	if c.Until.Before(l.next) {
		l.next = c.Until
	}
	if c.Strike > 0 {
		l.strike(Strike{Rule: c.Rule, Target: target, Count: c.Strike, Until: c.Until})
	}
	return Change{Time: now, Verb: verb, Block: b.copy(), Cause: c, By: c.By}
}

// without takes the cause of that ID off a block.
func (l *Ledger) without(b *Block, id string) {
	b.Causes = slices.DeleteFunc(b.Causes, func(c Cause) bool {
		if c.ID == id {
			l.uncount(c.Rule)
		}
		return c.ID == id
	})
}

func (l *Ledger) uncount(rule string) {
	if l.byRule[rule]--; l.byRule[rule] == 0 {
		delete(l.byRule, rule)
	}
}

// settle makes Until the latest end.
func (b *Block) settle() {
	b.Until = time.Time{}
	for _, c := range b.Causes {
		if c.Until.After(b.Until) {
			b.Until = c.Until
		}
	}
}

// Lift takes off the causes that match and returns what changed; nothing if there is none.
func (l *Ledger) Lift(target netip.Prefix, match func(Cause) bool, by, note string, now time.Time) []Change {
	return l.remove(target, match, func(last bool) string {
		if last {
			return ChangeUnblock
		}
		return ChangeShorten
	}, by, note, now)
}

func (l *Ledger) remove(target netip.Prefix, match func(Cause) bool, verb func(last bool) string, by, note string, now time.Time) []Change {
	b := l.blocks[target]
	if b == nil {
		return nil
	}
	var changes []Change
	for _, c := range slices.Clone(b.Causes) {
		if !match(c) {
			continue
		}
		l.without(b, c.ID)
		b.settle()
		changes = append(changes, Change{Time: now, Verb: verb(len(b.Causes) == 0), Block: b.copy(), Cause: c, By: by, Note: note})
	}
	if len(b.Causes) == 0 {
		delete(l.blocks, target)
	}
	return changes
}

// Expire takes off all causes that have ended, and forgets what is of no more use.
func (l *Ledger) Expire(now time.Time) []Change {
	if now.Before(l.next) {
		return nil
	}
	changes := l.expireBlocks(now)
	for k, until := range l.dry {
		if !now.Before(until) {
			delete(l.dry, k)
		}
	}
	for k, p := range l.probations {
		if !now.Before(p.Until) {
			delete(l.probations, k)
		}
	}
	l.next = now.Add(dryEvery)
	for _, b := range l.blocks {
		for _, c := range b.Causes {
			if c.Until.Before(l.next) {
				l.next = c.Until
			}
		}
	}
	return changes
}

// dryEvery is how often what was told of dry runs is looked through, at least.
const dryEvery = time.Minute

func (l *Ledger) expireBlocks(now time.Time) []Change {
	var changes []Change
	for target, b := range l.blocks {
		if !slices.ContainsFunc(b.Causes, func(c Cause) bool { return !now.Before(c.Until) }) {
			continue
		}
		changes = append(changes, l.remove(target, func(c Cause) bool { return !now.Before(c.Until) }, func(last bool) string {
			if last {
				return ChangeExpire
			}
			return ChangeShorten
		}, "expiry", "", now)...)
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(a.Cause.Until.Compare(b.Cause.Until), a.Block.Target.Compare(b.Block.Target))
	})
	return changes
}

// told says whether a rule's decision about a target was taken already and is still in force; the ID is the cause's, where it is a block.
func (l *Ledger) told(target netip.Prefix, rule, repository string, now time.Time) (id string, told bool) {
	if until, ok := l.dry[dryKey{target, rule, repository}]; ok && now.Before(until) {
		return "", true
	}
	if b := l.blocks[target]; b != nil {
		for _, c := range b.Causes {
			if c.covers(rule, repository, now) {
				return c.ID, true
			}
		}
	}
	return "", false
}

// closed says whether a target's host is blocked, by itself or with a network around it.
func (l *Ledger) closed(target netip.Prefix, now time.Time) bool {
	for b := range l.around(target) {
		if slices.ContainsFunc(b.Causes, func(c Cause) bool { return c.Closes() == ScopeHost && now.Before(c.Until) }) {
			return true
		}
	}
	return false
}

// tell remembers a decision that blocks nobody.
func (l *Ledger) tell(target netip.Prefix, rule, repository string, until time.Time) {
	if len(l.dry) >= maxDry {
		clear(l.dry) // some will be told twice; better than memory without end
	}
	l.dry[dryKey{target, rule, repository}] = until
}

// forgive takes a strike back, for a block that should not have been.
func (l *Ledger) forgive(target netip.Prefix, rule string) int {
	k := strikeKey{target, rule}
	s, ok := l.strikes[k]
	if !ok {
		return 0
	}
	if s.Count--; s.Count <= 0 {
		delete(l.strikes, k)
		return 0
	}
	l.strikes[k] = s
	return s.Count
}

// roomFor forgets any one of a map that is full: a flood of targets forgets the flood's own.
func roomFor[K comparable, V any](m map[K]V, most int) {
	if len(m) < most {
		return
	}
	for k := range m {
		delete(m, k)
		return
	}
}

func (l *Ledger) strike(s Strike) {
	roomFor(l.strikes, maxStrikes)
	l.strikes[strikeKey{s.Target, s.Rule}] = s
}

// nextStrike returns the number of the block that would come now: one more than those that are not forgotten yet.
func (l *Ledger) nextStrike(r *Rule, target netip.Prefix, now time.Time) int {
	s, ok := l.strikes[strikeKey{target, r.Name}]
	if !ok {
		return 1
	}
	forgotten := 0
	if now.After(s.Until) && r.Forget > 0 {
		forgotten = int(now.Sub(s.Until) / r.Forget)
	}
	return max(s.Count-forgotten, 0) + 1
}
