//go:build !amd64

package format

// vectors: quotes and backslashes are searched for one by one, with what the standard library has for the processor.
const vectors = false

func markLine(*byte, int, *uint64) int { panic("format: no vectors") }
