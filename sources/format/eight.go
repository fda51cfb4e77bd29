package format

import (
	"encoding/binary"
	"math/bits"
)

// What is read here is read eight bytes at a time: how many digits a number has changes from line to line, and a branch for each could not be foreseen.

// eight returns the eight bytes at a place, the first one lowest. s is long enough.
func eight(s string, at int) uint64 { return binary.LittleEndian.Uint64(bytesOf(s[at : at+8])) }

// notDigits has the highest bit of each byte set that is no decimal digit.
func notDigits(x uint64) uint64 {
	const zeros, low, tops, beyond = 0x3030303030303030, 0x7f7f7f7f7f7f7f7f, 0x8080808080808080, 0x7676767676767676 // beyond takes ten to the highest bit
	x ^= zeros
	return (x&low + beyond | x) & tops
}

// digitsEnd is where decimal digits end that begin at a place in s.
func digitsEnd(s string, at int) int {
	for at+8 <= len(s) {
		if others := notDigits(eight(s, at)); others != 0 {
			return at + bits.TrailingZeros64(others)/8
		}
		at += 8
	}
	for at < len(s) && '0' <= s[at] && s[at] <= '9' {
		at++
	}
	return at
}

// quadRoom is how many bytes of text quad wants: the longest address, what ends it, and what is read together with its last number.
const quadRoom = 20

// quad reads a dotted IPv4 address, and returns where it ends; 0 when there is none, or one with leading zeros. s has quadRoom bytes behind that place.
func quad(s string, at int) (a uint32, end int) {
	s = s[at : at+quadRoom]
	ends := notDigitsOf(s)
	one := bits.TrailingZeros32(ends)
	ends &= ends - 1
	two := bits.TrailingZeros32(ends)
	ends &= ends - 1
	three := bits.TrailingZeros32(ends)
	four := bits.TrailingZeros32(ends & (ends - 1))
	if four > 15 || s[one] != '.' || s[two] != '.' || s[three] != '.' {
		return 0, 0
	}
	v1, bad1 := octet(s, 0, one)
	v2, bad2 := octet(s, one+1, two-one-1)
	v3, bad3 := octet(s, two+1, three-two-1)
	v4, bad4 := octet(s, three+1, four-three-1)
	if bad1|bad2|bad3|bad4 != 0 {
		return 0, 0
	}
	return v1<<24 | v2<<16 | v3<<8 | v4, at + four
}

// notDigitsOf has a bit set for each of sixteen bytes that is no digit.
func notDigitsOf(s string) uint32 {
	const gather = 0x0102040810204080 // brings the lowest bits of eight bytes together in the highest byte
	return uint32(notDigits(eight(s, 0))>>7*gather>>56) | uint32(notDigits(eight(s, 8))>>7*gather>>56)<<8
}

// octet reads a number of n digits. bad is not 0 if there are not one to three, the first of more is 0, or they are more than 255.
func octet(s string, at, n int) (value, bad uint32) {
	word := binary.LittleEndian.Uint32(bytesOf(s[at : at+4]))
	digits := (word ^ 0x30303030) << (uint(4-n) * 8 & 31) // the last one is the highest byte now, and there are zeros below the first
	value = digits>>24 + digits>>16&0xff*10 + digits>>8&0xff*100
	more := uint32(n - 1)
	tooMany := (more | (more + 1)) >> 2 // more than 2, or less than 0
	leading := ((word&0xff ^ 0x30) - 1) >> 31 & ((more | -more) >> 31)
	return value, tooMany | value>>8 | leading
}
