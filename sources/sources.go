// Package sources is where lines come from: files that are followed through every kind of rotation, journald, and
// standard input. It knows nothing of what the lines mean; sources/format reads them.
//
// A source gives out blocks of whole lines in order, and with each block the position after it, so that whoever
// counts the lines can remember both together: that is how no line is lost and none is counted twice.
package sources

import "context"

// MaxLine is the longest line, in bytes without its newline, that a source gives out. What is longer is cut there, counted in
// Batch.Cut, and the rest of the line skipped.
const MaxLine = 64 << 10

// Batch is a block of whole lines.
type Batch struct {
	// Source is the name of the configured source.
	Source string
	// Path is the file as the operator would name it; "journal" or "stdin" for the others.
	Path string
	// Data is whole lines, each ended by one '\n'. It is valid until Emit returns. It is empty once, when a file is begun at its end at the
	// very first start: only the position is to be remembered then.
	Data []byte
	// Cut is how many lines in Data were longer than MaxLine and were cut.
	Cut int
	// After is where the source stands after Data.
	After Position
	// Rotated says that Data was read from a file after it was rotated away (Path still names the followed path).
	Rotated bool
}

// Position says where in a source reading goes on.
type Position struct {
	Path string `json:"path"`
	// Target is what Path pointed to, where it is a symlink: the file stays there when the link is switched.
	Target string `json:"target,omitempty"`
	Device uint64 `json:"device,omitempty"`
	Inode  uint64 `json:"inode,omitempty"`
	// Offset is the byte after the last whole line that was given out.
	Offset int64 `json:"offset,omitempty"`
	// Head is the CRC-32 (IEEE) of the file's first HeadLength bytes; it tells a truncated or replaced file that has the same inode.
	Head       uint32 `json:"head,omitempty"`
	HeadLength int    `json:"head_length,omitempty"`
	// Cursor is journald's.
	Cursor string `json:"cursor,omitempty"`
}

// Emit takes a batch. The source waits for it: that is the back-pressure. An error ends the source.
type Emit func(Batch) error

// Source gives out lines until its context ends or, for a finite one, until its end.
type Source interface {
	// Name is the configured name.
	Name() string
	// Run gives out every batch from the remembered positions on; it blocks. For a source of several files it calls
	// emit from several goroutines, one a Path, and returns when all have ended.
	Run(ctx context.Context, remembered map[string]Position, emit Emit) error
}
