//go:build race

package daemon

// floodSize is a tenth under the race detector, which makes the million take minutes.
const floodSize = 100_000
