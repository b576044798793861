//go:build !amd64

package exact

func dotRows(dst []int32, codes []int8, query []int16) { dotRowsGo(dst, codes, query) }
