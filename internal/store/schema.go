package store

import (
	"database/sql"
	"fmt"
)

// applicationID marks a database as ours: "RgWd".
const applicationID = 0x52675764

// causeColumns are what both tables keep of a cause; causeValues and scanCause follow their order.
const causeColumns = `cause_id, rule, by_whom, reason, scope, widened, strike, count, findtime, first_ms, last_ms, since_ms, until_ms,
	repositories, projects, samples, actions, tags, about, reblock`

const causeDefinition = `
	cause_id     TEXT    NOT NULL,
	rule         TEXT    NOT NULL,
	by_whom      TEXT    NOT NULL,
	reason       TEXT    NOT NULL,
	scope        TEXT    NOT NULL,
	widened      INTEGER NOT NULL,
	strike       INTEGER NOT NULL,
	count        INTEGER NOT NULL,
	findtime     INTEGER NOT NULL, -- seconds
	first_ms     INTEGER NOT NULL, -- all times are unix milliseconds, 0 is none
	last_ms      INTEGER NOT NULL,
	since_ms     INTEGER NOT NULL,
	until_ms     INTEGER NOT NULL,
	repositories TEXT    NOT NULL, -- JSON lists
	projects     TEXT    NOT NULL,
	samples      TEXT    NOT NULL,
	actions      TEXT    NOT NULL,`

// migrations bring the tables from one version (their index) to the next. One that was released is never changed.
var migrations = []string{
	`
CREATE TABLE causes (
	target       TEXT    NOT NULL,` + causeDefinition + `
	PRIMARY KEY (target, cause_id)
) WITHOUT ROWID;

CREATE TABLE history (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	time_ms      INTEGER NOT NULL,
	recorded_ms  INTEGER NOT NULL, -- by the host's clock; time_ms is the log's
	verb         TEXT    NOT NULL,
	target       TEXT    NOT NULL,
	lowest       BLOB    NOT NULL, -- the target's first address, after a byte for the family
	highest      BLOB    NOT NULL,` + causeDefinition + `
	changed_by   TEXT    NOT NULL,
	note         TEXT    NOT NULL
);
CREATE INDEX history_recorded ON history (recorded_ms, verb, cause_id);
CREATE INDEX history_time ON history (time_ms);

CREATE TABLE strikes (
	rule         TEXT    NOT NULL,
	target       TEXT    NOT NULL,
	count        INTEGER NOT NULL,
	last_ms      INTEGER NOT NULL,
	PRIMARY KEY (rule, target)
) WITHOUT ROWID;
CREATE INDEX strikes_last ON strikes (last_ms);

CREATE TABLE positions (
	source       TEXT    NOT NULL,
	path         TEXT    NOT NULL,
	position     TEXT    NOT NULL, -- JSON
	pending      BLOB,
	PRIMARY KEY (source, path)
) WITHOUT ROWID;

CREATE TABLE checkpoint (
	one          INTEGER PRIMARY KEY CHECK (one = 1),
	time_ms      INTEGER NOT NULL,
	state        BLOB
);

CREATE TABLE allowed (
	prefix       TEXT    PRIMARY KEY,
	until_ms     INTEGER NOT NULL, -- 0 is for ever
	comment      TEXT    NOT NULL,
	by_whom      TEXT    NOT NULL,
	since_ms     INTEGER NOT NULL
) WITHOUT ROWID;
`,
	`
CREATE TABLE firewall_places (
	kind         TEXT    NOT NULL,
	name         TEXT    NOT NULL,
	set_name     TEXT    NOT NULL,
	PRIMARY KEY (kind, name, set_name)
) WITHOUT ROWID;
`,
	// The tags and digests that were asked for, which the blocked client is told.
	`
ALTER TABLE causes ADD COLUMN tags TEXT NOT NULL DEFAULT 'null';
ALTER TABLE history ADD COLUMN tags TEXT NOT NULL DEFAULT 'null';
`,
	// What the project page asks: whose a cause is, a project's and an address's history without reading all of it, charts, and what it must remember.
	`
ALTER TABLE causes ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE causes ADD COLUMN reblock INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE history ADD COLUMN reblock INTEGER NOT NULL DEFAULT 0;

CREATE TABLE history_paths (
	path         TEXT    NOT NULL, -- a repository or what may be its project, in small letters
	id           INTEGER NOT NULL, -- of the history's row
	PRIMARY KEY (path, id)
) WITHOUT ROWID;
CREATE INDEX history_paths_id ON history_paths (id);
INSERT OR IGNORE INTO history_paths SELECT lower(value), history.id FROM history, json_each(history.projects) WHERE value IS NOT NULL;
INSERT OR IGNORE INTO history_paths SELECT lower(value), history.id FROM history, json_each(history.repositories) WHERE value IS NOT NULL;

CREATE INDEX history_target ON history (target);
CREATE INDEX history_made ON history (recorded_ms, rule, about) WHERE verb IN ('block', 'extend');

CREATE TABLE probations (
	target       TEXT    PRIMARY KEY,
	since_ms     INTEGER NOT NULL,
	until_ms     INTEGER NOT NULL,
	reblocks     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE uses (
	id           INTEGER PRIMARY KEY,
	what         TEXT    NOT NULL, -- what is limited, and whose use it is
	time_ms      INTEGER NOT NULL
);
CREATE INDEX uses_what ON uses (what, time_ms);
CREATE INDEX uses_time ON uses (time_ms);
`,
}

// migrate runs the migrations that the file lacks, each in a transaction of its own.
func (s *Store) migrate() error {
	version, err := pragma(s.writer, "user_version")
	if err != nil {
		return err
	}
	for ; version < len(migrations); version++ {
		if err := s.step(version); err != nil {
			return fmt.Errorf("bring its tables to version %d: %w", version+1, err)
		}
	}
	return nil
}

func (s *Store) step(from int) error {
	tx, err := s.writer.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := run(tx, migrations[from], fmt.Sprintf("PRAGMA user_version = %d", from+1), fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	return tx.Commit()
}

func run(tx *sql.Tx, statements ...string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(statement); err != nil {
			return err
		}
	}
	return nil
}
