package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// FirewallPlace is where in the kernel a daemon keeps its blocks, with all that it takes to remove them.
type FirewallPlace struct {
	Kind string `json:"kind"` // "nftables" or "iptables"
	Name string `json:"name"` // of the table, or of the chain
	Set  string `json:"set,omitempty"`
}

// FirewallPlaces returns the places that may still hold something of ours.
func (s *Store) FirewallPlaces(ctx context.Context) ([]FirewallPlace, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT kind, name, set_name FROM firewall_places ORDER BY kind, name, set_name`)
	if err != nil {
		return nil, s.failed("read the firewall's places", err)
	}
	defer rows.Close()
	var places []FirewallPlace
	for rows.Next() {
		var p FirewallPlace
		if err := rows.Scan(&p.Kind, &p.Name, &p.Set); err != nil {
			return nil, s.failed("read the firewall's places", err)
		}
		places = append(places, p)
	}
	return places, s.failed("read the firewall's places", rows.Err())
}

// SaveFirewallPlaces replaces the places.
func (s *Store) SaveFirewallPlaces(ctx context.Context, places []FirewallPlace) error {
	return s.transact(ctx, "save the firewall's places", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM firewall_places`); err != nil {
			return err
		}
		for _, p := range places {
			_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO firewall_places (kind, name, set_name) VALUES (?, ?, ?)`, p.Kind, p.Name, p.Set)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// OpenExisting opens a database for a moment, beside no daemon. Unlike Open it makes none, with fs.ErrNotExist, and leaves a damaged one where it is.
func OpenExisting(path string) (*Store, error) {
	if _, err := os.Stat(path); err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, logger: slog.New(slog.DiscardHandler), lock: lock, clock: time.Now}
	if err := s.connect(); err != nil {
		s.Close()
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return s, nil
}
