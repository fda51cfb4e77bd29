package format

import "golang.org/x/sys/cpu"

// vectors says that the processor has AVX2; wide that it has AVX-512 and, having VBMI2 too, is none of those that run slower for it. Tests switch them off.
var (
	vectors = cpu.X86.HasAVX2
	wide    = vectors && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VBMI2
)

// markLine looks through so many times 64 bytes until it has found a newline. It sets the bits of each 64 bytes' quotes and backslashes in a word, and returns where the newline is;
// where there is none, how many bytes it looked at.
func markLine(data *byte, words64 int, words *uint64) (end int) {
	if wide {
		return markLine64(data, words64, words)
	}
	return markLine32(data, words64, words)
}

//go:noescape
func markLine32(data *byte, words64 int, words *uint64) (end int)

//go:noescape
func markLine64(data *byte, words64 int, words *uint64) (end int)
