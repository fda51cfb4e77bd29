package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"
)

// SourcePosition is how far one path of a source was read.
type SourcePosition struct {
	Source   string
	Path     string
	Position json.RawMessage // sources.Position; the store does not look into it
	// Pending is what was read and could not be counted yet, such as the first half of a record.
	Pending []byte
}

// Checkpoint is where the daemon goes on after a crash: all positions and what the detector knew there.
type Checkpoint struct {
	Positions []SourcePosition
	State     []byte
	Time      time.Time
}

// SaveCheckpoint replaces the checkpoint. Positions that it does not name are forgotten.
func (s *Store) SaveCheckpoint(ctx context.Context, c Checkpoint) error {
	return s.Save(ctx, nil, &c)
}

func saveCheckpoint(ctx context.Context, tx *sql.Tx, c Checkpoint) error {
	if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO checkpoint (one, time_ms, state) VALUES (1, ?, ?)`, milliseconds(c.Time), c.State); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM positions`); err != nil {
		return err
	}
	for _, p := range c.Positions {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO positions (source, path, position, pending) VALUES (?, ?, ?, ?)`,
			p.Source, p.Path, string(p.Position), p.Pending)
		if err != nil {
			return err
		}
	}
	return nil
}

// Checkpoint returns the last checkpoint, the zero one if there is none.
func (s *Store) Checkpoint(ctx context.Context) (Checkpoint, error) {
	c, err := s.checkpoint(ctx)
	return c, s.failed("read the checkpoint", err)
}

func (s *Store) checkpoint(ctx context.Context) (Checkpoint, error) {
	var c Checkpoint
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // both tables as of one moment
	if err != nil {
		return c, err
	}
	defer tx.Rollback()
	var at int64
	err = tx.QueryRowContext(ctx, `SELECT time_ms, state FROM checkpoint`).Scan(&at, &c.State)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return c, err
	}
	c.Time = fromMilliseconds(at)
	rows, err := tx.QueryContext(ctx, `SELECT source, path, position, pending FROM positions ORDER BY source, path`)
	if err != nil {
		return c, err
	}
	defer rows.Close()
	for rows.Next() {
		var p SourcePosition
		var position string
		if err := rows.Scan(&p.Source, &p.Path, &position, &p.Pending); err != nil {
			return c, err
		}
		p.Position = json.RawMessage(position)
		c.Positions = append(c.Positions, p)
	}
	return c, rows.Err()
}
