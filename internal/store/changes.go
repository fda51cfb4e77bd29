package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"regwarden/detector"
)

// SaveChanges makes the active blocks as the changes say and adds these to the history, in one transaction: once it returns, neither is
// lost, whatever happens to the daemon or the host.
func (s *Store) SaveChanges(ctx context.Context, changes []detector.Change) error {
	return s.Save(ctx, changes, nil)
}

// Save saves changes and, unless it is nil, a checkpoint in one transaction: a line is then either counted and its decision known, or
// read again.
func (s *Store) Save(ctx context.Context, changes []detector.Change, checkpoint *Checkpoint) error {
	if len(changes) == 0 && checkpoint == nil {
		return nil
	}
	what := fmt.Sprintf("save %d changes", len(changes))
	if len(changes) == 0 {
		what = "save a checkpoint"
	}
	return s.transact(ctx, what, func(tx *sql.Tx) error {
		if err := s.saveChanges(ctx, tx, changes); err != nil {
			return err
		}
		if checkpoint == nil {
			return nil
		}
		return saveCheckpoint(ctx, tx, *checkpoint)
	})
}

// changeStatements are prepared once, when the database is opened: preparing takes longer than what they do.
type changeStatements struct{ forget, cause, history, path, strike *sql.Stmt }

func prepareChanges(writer *sql.DB) (*changeStatements, error) {
	c := &changeStatements{}
	for _, p := range []struct {
		statement **sql.Stmt
		text      string
	}{
		{&c.forget, `DELETE FROM causes WHERE target = ?`},
		{&c.cause, `INSERT OR REPLACE INTO causes (target, ` + causeColumns + `) VALUES (?` + strings.Repeat(", ?", 20) + `)`},
		{&c.history, `INSERT INTO history (time_ms, recorded_ms, verb, target, lowest, highest, ` + causeColumns + `, changed_by, note)
			VALUES (?` + strings.Repeat(", ?", 27) + `)`},
		{&c.path, `INSERT OR IGNORE INTO history_paths (path, id) VALUES (?, ?)`},
		{&c.strike, `INSERT OR REPLACE INTO strikes (rule, target, count, last_ms) VALUES (?, ?, ?, ?)`},
	} {
		var err error
		if *p.statement, err = writer.Prepare(p.text); err != nil {
			return nil, err // whoever opens the database closes it then, and them with it
		}
	}
	return c, nil
}

// in returns the statements as they are used in one transaction, whose end closes them.
func (c *changeStatements) in(ctx context.Context, tx *sql.Tx) *changeStatements {
	return &changeStatements{tx.StmtContext(ctx, c.forget), tx.StmtContext(ctx, c.cause), tx.StmtContext(ctx, c.history), tx.StmtContext(ctx, c.path), tx.StmtContext(ctx, c.strike)}
}

func (s *Store) saveChanges(ctx context.Context, tx *sql.Tx, changes []detector.Change) error {
	if len(changes) == 0 {
		return nil
	}
	c, now := s.changes.in(ctx, tx), s.clock()
	for _, change := range changes {
		if err := c.save(ctx, change, now); err != nil {
			return fmt.Errorf("%s %s: %w", change.Verb, change.Block.Target, err)
		}
		if err := saveProbation(ctx, tx, change.Probation); err != nil {
			return fmt.Errorf("probation of %s: %w", change.Block.Target, err)
		}
	}
	return nil
}

func (c *changeStatements) save(ctx context.Context, change detector.Change, now time.Time) error {
	target := change.Block.Target.Masked()
	if !target.IsValid() {
		return fmt.Errorf("the target is no prefix")
	}
	lowest, highest := bounds(target)
	row := []any{milliseconds(change.Time), milliseconds(now), change.Verb, target.String(), lowest, highest}
	row = append(append(row, causeValues(change.Cause)...), change.By, change.Note)
	result, err := c.history.ExecContext(ctx, row...)
	if err != nil {
		return err
	}
	id, err := result.LastInsertId()
	if err != nil {
		return err
	}
	for _, path := range paths(&change.Cause) {
		if _, err := c.path.ExecContext(ctx, path, id); err != nil {
			return err
		}
	}
	if change.Verb == detector.ChangeDryRun || change.Verb == detector.ChangeSpared {
		return nil // nobody is blocked by it
	}
	return c.hold(ctx, target.String(), change)
}

// hold makes the causes of a target those that it has after the change.
func (c *changeStatements) hold(ctx context.Context, target string, change detector.Change) error {
	if _, err := c.forget.ExecContext(ctx, target); err != nil {
		return err
	}
	for _, cause := range change.Block.Causes {
		if _, err := c.cause.ExecContext(ctx, append([]any{target}, causeValues(cause)...)...); err != nil {
			return err
		}
	}
	cause := change.Cause
	if change.Forgiven {
		_, err := c.strike.ExecContext(ctx, cause.Rule, target, cause.Strike, milliseconds(cause.Until))
		return err
	}
	if cause.Strike == 0 || (change.Verb != detector.ChangeBlock && change.Verb != detector.ChangeExtend) {
		return nil
	}
	_, err := c.strike.ExecContext(ctx, cause.Rule, target, cause.Strike, milliseconds(cause.Until))
	return err
}

// Blocks returns what is blocked, sorted by target, the causes in the order in which they came.
func (s *Store) Blocks(ctx context.Context) ([]detector.Block, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT target, `+causeColumns+` FROM causes ORDER BY target, since_ms, cause_id`)
	if err != nil {
		return nil, s.failed("read the blocks", err)
	}
	defer rows.Close()
	var blocks []detector.Block
	for rows.Next() {
		var target string
		var cause detector.Cause
		if err := scanCause(rows, &cause, []any{&target}); err != nil {
			return nil, s.failed("read the blocks", err)
		}
		prefix, err := netip.ParsePrefix(target)
		if err != nil { // one odd row must not keep the daemon from starting
			s.logger.Warn("a block in the database has no valid target and is left out", "store", s.path, "target", target)
			continue
		}
		blocks = addCause(blocks, prefix, cause)
	}
	slices.SortFunc(blocks, func(a, b detector.Block) int { return a.Target.Compare(b.Target) })
	return blocks, s.failed("read the blocks", rows.Err())
}

// addCause adds a cause to the last block if that has its target, else to a new one.
func addCause(blocks []detector.Block, target netip.Prefix, cause detector.Cause) []detector.Block {
	if n := len(blocks); n == 0 || blocks[n-1].Target != target {
		blocks = append(blocks, detector.Block{Target: target})
	}
	last := &blocks[len(blocks)-1]
	last.Causes = append(last.Causes, cause)
	if cause.Until.After(last.Until) {
		last.Until = cause.Until
	}
	return blocks
}

func causeValues(c detector.Cause) []any {
	return []any{
		c.ID, c.Rule, c.By, c.Reason, c.Scope.String(), c.Widened, c.Strike, c.Count, c.Window,
		milliseconds(c.First), milliseconds(c.Last), milliseconds(c.Since), milliseconds(c.Until),
		list(c.Repositories), list(c.Projects), list(c.Samples), list(c.Actions), list(c.References), c.About, c.Reblock,
	}
}

// scanCause reads a row that has other columns before and after a cause's.
func scanCause(rows *sql.Rows, c *detector.Cause, before []any, after ...any) error {
	var scope, repositories, projects, samples, names, references string
	var first, last, since, until int64
	row := append(before, &c.ID, &c.Rule, &c.By, &c.Reason, &scope, &c.Widened, &c.Strike, &c.Count, &c.Window,
		&first, &last, &since, &until, &repositories, &projects, &samples, &names, &references, &c.About, &c.Reblock)
	if err := rows.Scan(append(row, after...)...); err != nil {
		return err
	}
	c.Scope, _ = detector.ParseScope(scope)
	c.First, c.Last, c.Since, c.Until = fromMilliseconds(first), fromMilliseconds(last), fromMilliseconds(since), fromMilliseconds(until)
	for _, l := range []struct {
		text string
		list *[]string
	}{{repositories, &c.Repositories}, {projects, &c.Projects}, {samples, &c.Samples}, {names, &c.Actions}, {references, &c.References}} {
		if err := json.Unmarshal([]byte(l.text), l.list); err != nil {
			return fmt.Errorf("cause %q: %w", c.ID, err)
		}
	}
	return nil
}

// list is a JSON list; broken UTF-8 in it becomes the replacement character.
func list(texts []string) string {
	if len(texts) == 0 {
		return "null"
	}
	text, _ := json.Marshal(texts) // strings always marshal
	return string(text)
}

// bounds returns the first and the last address of a prefix in a form that sorts: the family comes first.
func bounds(p netip.Prefix) (lowest, highest []byte) {
	lowest = p.Masked().Addr().AsSlice()
	highest = slices.Clone(lowest)
	for bit := p.Bits(); bit < p.Addr().BitLen(); bit++ {
		highest[bit/8] |= 0x80 >> (bit % 8)
	}
	family := []byte{byte(p.Addr().BitLen() / 8)}
	return slices.Concat(family, lowest), slices.Concat(family, highest)
}
