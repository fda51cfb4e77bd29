package detector

import (
	"syscall"
	"unsafe"
)

// hugePage is the size of the larger pages of amd64 and arm64.
const hugePage = 2 << 20

// preferHugePages asks the kernel to back large memory with large pages: a look-up at a random place then waits for the memory and not for the page
// tables, too. It is advice; where it is not taken, nothing else changes.
func preferHugePages[T any](list []T) {
	const madviseHugePage = 14 // MADV_HUGEPAGE
	var one T
	size := len(list) * int(unsafe.Sizeof(one))
	if size < 2*hugePage {
		return
	}
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(list))) % hugePage
	whole := (uintptr(size) - skip) / hugePage * hugePage
	memory := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), size)
	_ = syscall.Madvise(memory[skip:skip+whole], madviseHugePage)
}
