//go:build !cgo || !unix

package webp

import "github.com/lexicam/lexicrop/preprocess/header"

func systemAvailable() bool { return false }

func decodeSystem(header.Frame) (Picture, error) { panic("webp: no libwebp in this build") }
