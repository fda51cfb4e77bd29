//go:build !race

package daemon

const floodSize = 1_000_000
