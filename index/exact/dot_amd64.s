#include "textflag.h"

// How far ahead of the row at work memory is asked for: the rows are read once,
// in order, and mostly come from beyond the second level cache.
#define AHEAD 8192

// func dotRowsAVX2(dst *int32, rows int, codes *int8, query *int16, dim int)
TEXT ·dotRowsAVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ rows+8(FP), CX
	MOVQ codes+16(FP), SI
	MOVQ query+24(FP), R8
	MOVQ dim+32(FP), R9

row:
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	MOVQ  R8, BX
	MOVQ  R9, DX

step:
	PREFETCHT0 AHEAD(SI)
	VPMOVSXBW  (SI), Y2     // 16 codes, widened
	VPMADDWD   (BX), Y2, Y2 // sums of two products: 8 int32
	VPADDD     Y2, Y0, Y0
	VPMOVSXBW  16(SI), Y3
	VPMADDWD   32(BX), Y3, Y3
	VPADDD     Y3, Y1, Y1
	ADDQ       $32, SI
	ADDQ       $64, BX
	SUBQ       $32, DX
	JNZ        step

	VPADDD       Y1, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD       X1, X0, X0
	VPSHUFD      $0x4E, X0, X1
	VPADDD       X1, X0, X0
	VPSHUFD      $0xB1, X0, X1
	VPADDD       X1, X0, X0
	VMOVD        X0, (DI)
	ADDQ         $4, DI
	DECQ         CX
	JNZ          row

	VZEROUPPER
	RET
