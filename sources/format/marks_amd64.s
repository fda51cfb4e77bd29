#include "textflag.h"

DATA wanted<>+0(SB)/4, $0x005c220a // newline, quote, backslash
GLOBL wanted<>(SB), RODATA|NOPTR, $4

// func markLine32(data *byte, words64 int, words *uint64) (end int)
TEXT ·markLine32(SB), NOSPLIT, $0-32
	MOVQ data+0(FP), SI
	MOVQ words64+8(FP), CX
	MOVQ words+16(FP), DI
	XORQ AX, AX
	VPBROADCASTB wanted<>+0(SB), Y0
	VPBROADCASTB wanted<>+1(SB), Y1
	VPBROADCASTB wanted<>+2(SB), Y2

loop:
	VMOVDQU (SI)(AX*1), Y3
	VMOVDQU 32(SI)(AX*1), Y4
	VPCMPEQB Y1, Y3, Y5
	VPCMPEQB Y2, Y3, Y6
	VPOR Y5, Y6, Y5
	VPMOVMSKB Y5, R8
	VPCMPEQB Y1, Y4, Y7
	VPCMPEQB Y2, Y4, Y8
	VPOR Y7, Y8, Y7
	VPMOVMSKB Y7, R9
	SHLQ $32, R9
	ORQ R9, R8
	MOVQ R8, (DI)
	VPCMPEQB Y0, Y3, Y3
	VPMOVMSKB Y3, R10
	VPCMPEQB Y0, Y4, Y4
	VPMOVMSKB Y4, R11
	SHLQ $32, R11
	ORQ R11, R10
	JNZ found
	ADDQ $64, AX
	ADDQ $8, DI
	DECQ CX
	JNZ loop
	VZEROUPPER
	MOVQ AX, end+24(FP)
	RET

found:
	BSFQ R10, R10
	ADDQ R10, AX
	VZEROUPPER
	MOVQ AX, end+24(FP)
	RET

// func markLine64(data *byte, words64 int, words *uint64) (end int)
TEXT ·markLine64(SB), NOSPLIT, $0-32
	MOVQ data+0(FP), SI
	MOVQ words64+8(FP), CX
	MOVQ words+16(FP), DI
	XORQ AX, AX
	VPBROADCASTB wanted<>+0(SB), Z0
	VPBROADCASTB wanted<>+1(SB), Z1
	VPBROADCASTB wanted<>+2(SB), Z2

wide:
	VMOVDQU8 (SI)(AX*1), Z3
	VPCMPEQB Z1, Z3, K1
	VPCMPEQB Z2, Z3, K2
	KORQ K1, K2, K1
	KMOVQ K1, (DI)
	VPCMPEQB Z0, Z3, K3
	KMOVQ K3, R10
	TESTQ R10, R10
	JNZ here
	ADDQ $64, AX
	ADDQ $8, DI
	DECQ CX
	JNZ wide
	VZEROUPPER
	MOVQ AX, end+24(FP)
	RET

here:
	BSFQ R10, R10
	ADDQ R10, AX
	VZEROUPPER
	MOVQ AX, end+24(FP)
	RET
