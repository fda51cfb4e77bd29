package format

import "golang.org/x/sys/cpu"

// vectors says that the processor has AVX2. Tests switch it off.
var vectors = cpu.X86.HasAVX2

// markLine looks through so many times 64 bytes until it has found a newline. It sets the bits of each 64 bytes' quotes and backslashes in a word, and returns where the newline is;
// where there is none, how many bytes it looked at.
//
//go:noescape
func markLine(data *byte, words64 int, words *uint64) (end int)
