package detector

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// program is the regular expressions of several groups as one nondeterministic automaton over bytes. What it says of a text is never too little: a group
// of which it says no has no expression that matches. A yes is to be confirmed, for word boundaries, line ends within the text and the inside of characters
// beyond ASCII are taken as they please.
type program struct {
	groups [][]string
	insts  []inst
	// starts are the first instructions of all expressions.
	starts []uint32
	// class numbers the bytes that no instruction tells apart.
	class   [256]uint8
	classes int
}

// inst is one instruction of regexp/syntax.
type inst struct {
	op       syntax.InstOp
	empty    syntax.EmptyOp
	out, arg uint32
	// ascii are the bytes below 0x80 that a character instruction takes, and high says whether it takes any character above.
	ascii [2]uint64
	high  bool
	group uint16
}

func (i *inst) takes(b byte) bool {
	if b >= utf8.RuneSelf {
		return i.high
	}
	return i.ascii[b>>6]>>(b&63)&1 != 0
}

// newProgram compiles the groups; each is alternatives, in Go's syntax. A group with an expression that cannot be compiled always may match.
func newProgram(groups [][]string) *program {
	p := &program{groups: groups}
	for g, expressions := range groups {
		for _, text := range expressions {
			prog := compiled(text)
			if prog == nil {
				prog = compiled("")
			}
			p.add(prog, uint16(g))
		}
	}
	p.classify()
	return p
}

func compiled(text string) *syntax.Prog {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil
	}
	return prog
}

// split returns programs for each half of the groups, which keep their numbers; nil for a single one.
func (p *program) split() []*program {
	var filled []int
	for g, expressions := range p.groups {
		if len(expressions) > 0 {
			filled = append(filled, g)
		}
	}
	if len(filled) < 2 {
		return nil
	}
	var halves []*program
	for _, part := range [...][]int{filled[:len(filled)/2], filled[len(filled)/2:]} {
		groups := make([][]string, len(p.groups))
		for _, g := range part {
			groups[g] = p.groups[g]
		}
		halves = append(halves, newProgram(groups))
	}
	return halves
}

func (p *program) add(prog *syntax.Prog, group uint16) {
	base := uint32(len(p.insts))
	for i := range prog.Inst {
		from := &prog.Inst[i]
		to := inst{op: from.Op, out: base + from.Out, arg: base + from.Arg, group: group}
		switch from.Op {
		case syntax.InstEmptyWidth:
			to.empty = syntax.EmptyOp(from.Arg)
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			for r := rune(0); r < utf8.RuneSelf; r++ {
				if from.MatchRune(r) {
					to.ascii[r>>6] |= 1 << (r & 63)
				}
			}
			to.high = takesHigh(from)
		}
		p.insts = append(p.insts, to)
	}
	p.starts = append(p.starts, base+uint32(prog.Start))
}

// takesHigh says whether a character instruction takes any character beyond ASCII; folding case leads there from k and s.
func takesHigh(i *syntax.Inst) bool {
	if i.Op == syntax.InstRuneAny || i.Op == syntax.InstRuneAnyNotNL {
		return true
	}
	if len(i.Rune) == 0 {
		return false
	}
	if syntax.Flags(i.Arg)&syntax.FoldCase != 0 {
		for r := unicode.SimpleFold(i.Rune[0]); r != i.Rune[0]; r = unicode.SimpleFold(r) {
			if r >= utf8.RuneSelf {
				return true
			}
		}
	}
	return i.Rune[len(i.Rune)-1] >= utf8.RuneSelf
}

// classify puts the bytes that every instruction treats alike into one class.
func (p *program) classify() {
	known := map[string]uint8{}
	var signature []byte
	for b := range 256 {
		signature = signature[:0]
		for i := range p.insts {
			in := &p.insts[i]
			if in.op == syntax.InstRune || in.op == syntax.InstRune1 || in.op == syntax.InstRuneAnyNotNL || in.op == syntax.InstRuneAny {
				bit := byte('0')
				if in.takes(byte(b)) {
					bit = '1'
				}
				signature = append(signature, bit)
			}
		}
		c, ok := known[string(signature)]
		if !ok {
			c = uint8(len(known))
			known[string(signature)] = c
		}
		p.class[b] = c
	}
	p.classes = len(known)
}

// The bounds of an automaton's memory and patience.
const (
	maxStates = 1000
	// A text that makes a new state for every few bytes costs more than the expressions themselves would.
	bytesPerState = 8
	// patience is how often the states may be thrown away at that pace.
	patience = 3
)

// automaton is a program that is made deterministic while it reads. It belongs to one goroutine.
type automaton struct {
	p      *program
	known  map[string]int32
	states []state
	next   []int32 // by state and class: where the next state's row begins, perhaps loud; -1 is not known yet
	seen   uint64  // bytes since the states were thrown away last
	thrown int
	// hopeless says that the program has too many states: then every group may match.
	hopeless bool

	// What a closure works with.
	stack   []uint32
	mark    []uint32 // of each instruction: the closure that met it last
	round   uint32
	waits   []uint32
	matched []uint64
	key     []byte
}

// state is where the program stands: which instructions wait for a byte, and which groups have matched on the way here or would if the text ended.
type state struct {
	waits   []uint32
	matched []uint64 // nil for none
	ends    []uint64 // nil until asked for
}

func newAutomaton(p *program) *automaton {
	a := &automaton{p: p, mark: make([]uint32, len(p.insts)), matched: p.newSet()}
	a.forget()
	return a
}

// giveUp lets go of all memory: every group may match from now on.
func (a *automaton) giveUp() { *a = automaton{p: a.p, hopeless: true} }

func (a *automaton) forget() {
	a.known, a.states, a.next, a.seen = map[string]int32{}, a.states[:0], a.next[:0], 0
	a.begin()
	for _, s := range a.p.starts {
		a.follow(s, true, false)
	}
	a.enter()
}

// loud marks a row whose state has groups that matched on the way there. It is more than any row.
const loud = 1 << 30

// scan adds to found the groups that may match the text. It says no when it had to throw its states away; then the text is to be scanned again.
func (a *automaton) scan(text string, found []uint64) bool {
	unite(found, a.states[0].matched)
	next, class, row := a.next, &a.p.class, int32(0)
	for i := 0; i < len(text); i++ {
		to := next[row+int32(class[text[i]])]
		if to == row {
			continue // most bytes lead nowhere, and then the next look need not wait for this one's answer
		}
		if uint32(to) >= loud {
			if to < 0 {
				if to = a.step(row, text[i], i); to < 0 {
					return false
				}
				next = a.next
			}
			if to&loud != 0 {
				to &^= loud
				unite(found, a.states[int(to)/a.p.classes].matched)
			}
		}
		row = to
	}
	a.seen += uint64(len(text))
	unite(found, a.end(row/int32(a.p.classes)))
	return true
}

// step makes the state that a byte leads to from the one of a row, and returns its row; -1 says that there were too many and that all are forgotten.
func (a *automaton) step(row int32, b byte, read int) int32 {
	if len(a.states) >= maxStates {
		if (a.seen+uint64(read))/bytesPerState < maxStates {
			if a.thrown++; a.thrown >= patience {
				a.giveUp()
				return -1
			}
		}
		a.forget()
		return -1
	}
	a.begin()
	for _, pc := range a.states[int(row)/a.p.classes].waits {
		i := &a.p.insts[pc]
		if i.op == syntax.InstEmptyWidth || !i.takes(b) {
			continue
		}
		a.follow(i.out, false, false)
		if b >= utf8.RuneSelf {
			a.follow(pc, false, false) // the character may have more bytes
		}
	}
	for _, s := range a.p.starts {
		a.follow(s, false, false) // a match may begin anywhere
	}
	n := a.enter()
	to := n * int32(a.p.classes)
	if a.states[n].matched != nil {
		to |= loud
	}
	a.next[row+int32(a.p.class[b])] = to
	return to
}

// begin starts a closure.
func (a *automaton) begin() {
	a.round++
	a.waits = a.waits[:0]
	clear(a.matched)
}

// follow adds to the closure what an instruction leads to without a byte.
func (a *automaton) follow(pc uint32, first, last bool) {
	a.stack = append(a.stack[:0], pc)
	for len(a.stack) > 0 {
		pc := a.stack[len(a.stack)-1]
		a.stack = a.stack[:len(a.stack)-1]
		if a.mark[pc] == a.round {
			continue
		}
		a.mark[pc] = a.round
		i := &a.p.insts[pc]
		switch i.op {
		case syntax.InstAlt, syntax.InstAltMatch:
			a.stack = append(a.stack, i.arg, i.out)
		case syntax.InstCapture, syntax.InstNop:
			a.stack = append(a.stack, i.out)
		case syntax.InstMatch:
			a.matched[i.group/64] |= 1 << (i.group % 64)
		case syntax.InstEmptyWidth:
			switch {
			case i.empty&syntax.EmptyBeginText != 0 && !first:
			case i.empty&syntax.EmptyEndText != 0 && !last:
				a.waits = append(a.waits, pc) // for the end
			default:
				a.stack = append(a.stack, i.out)
			}
		case syntax.InstFail:
		default:
			a.waits = append(a.waits, pc)
		}
	}
}

// enter returns the number of the closure's state, a new one if it was never met.
func (a *automaton) enter() int32 {
	slices.Sort(a.waits)
	a.key = a.key[:0]
	for _, m := range a.matched { // as many words as ever, so that what follows is told apart
		a.key = binary.LittleEndian.AppendUint64(a.key, m)
	}
	for _, w := range a.waits {
		a.key = binary.LittleEndian.AppendUint32(a.key, w)
	}
	if n, ok := a.known[string(a.key)]; ok {
		return n
	}
	s := state{waits: slices.Clone(a.waits)}
	if slices.ContainsFunc(a.matched, func(m uint64) bool { return m != 0 }) {
		s.matched = slices.Clone(a.matched)
	}
	n := int32(len(a.states))
	a.known[string(a.key)] = n
	a.states = append(a.states, s)
	for range a.p.classes {
		a.next = append(a.next, -1)
	}
	return n
}

// end returns the groups that match because the text ends in the state.
func (a *automaton) end(at int32) []uint64 {
	s := &a.states[at]
	if s.ends == nil {
		a.begin()
		for _, pc := range s.waits {
			if a.p.insts[pc].op == syntax.InstEmptyWidth {
				a.follow(pc, at == 0, true)
			}
		}
		s.ends = slices.Clone(a.matched)
	}
	return s.ends
}
